//! The first part of a long ascent of the bound: each multiplier has a step of its own, longer while its slope keeps its sign and
//! shorter when that turns. Prices that begin orders of magnitude too low get there in a hundred steps, whatever their scale; the
//! volume algorithm goes on from there.
//!
//! Source: Riedmiller and Braun, "A direct adaptive method for faster backpropagation learning: the RPROP algorithm" (1993).

use argmin::core::{
    Error, KV, Operator, Problem as Counted, Solver, TerminationReason, TerminationStatus,
};

use super::asked::{Ascending, Asked};
use super::dual::Slope;

/// How steps grow and shrink; a turn must cost more than a step without one gains.
const LONGER: f64 = 1.3;
const SHORTER: f64 = 0.7;
/// The longest and shortest step, in parts of the first.
const LONGEST: f64 = 10.0;
const SHORTEST: f64 = 1e-4;

/// Rprop as a solver for argmin's executor. Its cost is minus the dual value.
pub(super) struct Lift<'a> {
    first: Vec<f64>,
    steps: Vec<f64>,
    last: Vec<f64>,
    at: Vec<f64>,
    ceilings: Vec<f64>,
    stop: &'a (dyn Fn() -> bool + Sync),
}

impl<'a> Lift<'a> {
    /// `first` is the first step of each multiplier; `ceilings` are their largest values, the smallest are zero.
    pub(super) fn new(
        first: Vec<f64>,
        ceilings: Vec<f64>,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Self {
        Self {
            steps: first.clone(),
            last: vec![0.0; first.len()],
            at: Vec::new(),
            first,
            ceilings,
            stop,
        }
    }

    fn step(&mut self, slope: &[f64]) {
        for (k, &slope) in slope.iter().enumerate() {
            let (step, first) = (&mut self.steps[k], self.first[k]);
            match slope * self.last[k] {
                same if same > 0.0 => *step = (*step * LONGER).min(first * LONGEST),
                turned if turned < 0.0 => *step = (*step * SHORTER).max(first * SHORTEST),
                _ => {}
            }
            self.last[k] = slope;
            if slope != 0.0 {
                self.at[k] = (self.at[k] + *step * slope.signum()).clamp(0.0, self.ceilings[k]);
            }
        }
    }
}

impl Solver<Asked<'_>, Ascending> for Lift<'_> {
    fn name(&self) -> &str {
        "Rprop"
    }

    fn next_iter(
        &mut self,
        problem: &mut Counted<Asked<'_>>,
        mut state: Ascending,
    ) -> Result<(Ascending, Option<KV>), Error> {
        if self.at.is_empty() {
            self.at = state.take_param().unwrap_or_default();
        }
        let here = self.at.clone();
        let Slope { value, slope, .. } =
            problem.problem("slope_count", |asked| asked.apply(&here))?;
        self.step(&slope);
        Ok((state.param(here).cost(-value), None))
    }

    fn terminate(&mut self, _state: &Ascending) -> TerminationStatus {
        if (self.stop)() {
            let reason = TerminationReason::SolverExit("stopped".to_owned());
            return TerminationStatus::Terminated(reason);
        }
        TerminationStatus::NotTerminated
    }
}
