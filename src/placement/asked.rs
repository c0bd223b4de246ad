//! The dual as argmin asks it, whichever solver ascends it.

use argmin::core::{Error, IterState, Operator};

use super::dual::Slope;

/// Where an ascent stands.
pub(super) type Ascending = IterState<Vec<f64>, (), (), (), (), f64>;

/// A dual as argmin asks it.
pub(super) struct Asked<'a> {
    pub(super) slope: &'a dyn Fn(&[f64]) -> Slope,
}

impl Operator for Asked<'_> {
    type Param = Vec<f64>;
    type Output = Slope;

    fn apply(&self, at: &Vec<f64>) -> Result<Slope, Error> {
        Ok((self.slope)(at))
    }
}
