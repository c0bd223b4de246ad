//! A power transform under which noise and season do not grow with the level, chosen from the series itself.
//!
//! Box & Cox, JRSS B 26 (1964), shifted so that zero is allowed; the power is Guerrero's (J. Forecasting 12, 1993):
//! how local spread grows with local mean. Quantiles pass through a monotone map unchanged, so bands need no correction.

use serde::{Deserialize, Serialize};

/// Shift, as a share of the series' mean: below it the map is nearly linear, so that zeros do not rule the fit
/// (chosen with an eye on real load).
const SHIFT: f64 = 0.1;
/// Points in which a local mean and spread are taken.
const BLOCK: usize = 12;
/// Fewest blocks that say anything.
const FEWEST: usize = 10;
/// Pull of the slope towards none, as a variance of logarithms.
const PULL: f64 = 0.05;

/// `v → ((1 + v/c)^λ − 1) / λ`, scaled to map 1 to 1; λ = 1 is the identity and λ = 0 the logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bend {
    lambda: f64,
    unit: f64,
}

impl Bend {
    pub fn new(lambda: f64) -> Self {
        let lambda = if lambda.is_finite() {
            lambda.clamp(0.0, 1.0)
        } else {
            1.0
        };
        Bend {
            lambda,
            unit: raw(1.0, lambda),
        }
    }

    /// The power for `y` (values over their mean, none negative): one minus the slope of log spread over log mean in
    /// short blocks. Spread is taken from successive differences, so that a slope within a block does not count.
    pub fn of(y: &[f64]) -> Self {
        let points: Vec<(f64, f64)> = y
            .chunks_exact(BLOCK)
            .filter_map(|c| {
                let mean = c.iter().sum::<f64>() / BLOCK as f64;
                let moved = c.windows(2).map(|w| (w[1] - w[0]).abs()).sum::<f64>();
                let spread = moved / (BLOCK - 1) as f64;
                (mean > 1e-3 && spread > 1e-6).then(|| (mean.ln(), spread.ln()))
            })
            .collect();
        if points.len() < FEWEST {
            return Bend::new(1.0);
        }
        let n = points.len() as f64;
        let (mx, my) = points
            .iter()
            .fold((0.0, 0.0), |(a, b), p| (a + p.0 / n, b + p.1 / n));
        let (sxx, sxy) = points.iter().fold((0.0, 0.0), |(a, b), p| {
            (a + (p.0 - mx).powi(2), b + (p.0 - mx) * (p.1 - my))
        });
        Bend::new(1.0 - sxy / (sxx + PULL * n))
    }

    pub fn forth(&self, v: f64) -> f64 {
        if self.lambda == 1.0 {
            v
        } else {
            raw(v, self.lambda) / self.unit
        }
    }

    /// The inverse; what lies below zero becomes zero.
    pub fn back(&self, t: f64) -> f64 {
        let t = t.max(0.0);
        if self.lambda == 1.0 {
            return t;
        }
        let x = t * self.unit;
        let grown = if self.lambda < 1e-6 {
            x.exp()
        } else {
            (1.0 + self.lambda * x).powf(1.0 / self.lambda)
        };
        SHIFT * (grown - 1.0)
    }

    pub fn power(&self) -> f64 {
        self.lambda
    }
}

fn raw(v: f64, lambda: f64) -> f64 {
    let grown = 1.0 + v / SHIFT;
    if lambda < 1e-6 {
        grown.ln()
    } else {
        (grown.powf(lambda) - 1.0) / lambda
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::{Dice, daily};
    use super::*;

    #[test]
    fn there_and_back_is_where_it_was() {
        for lambda in [0.0, 0.2, 0.5, 1.0] {
            let b = Bend::new(lambda);
            for v in [0.0, 1e-4, 0.3, 1.0, 50.0] {
                assert!((b.back(b.forth(v)) - v).abs() < 1e-9 * (1.0 + v), "{lambda} {v}");
            }
            assert!((b.forth(1.0) - 1.0).abs() < 1e-12);
            assert_eq!(b.back(-3.0), 0.0);
        }
    }

    #[test]
    fn noise_that_grows_with_the_level_asks_for_a_logarithm_and_even_noise_for_nothing() {
        let mut dice = Dice::new(2);
        let even: Vec<f64> = daily(144, 2016, 0.0, 1)
            .into_iter()
            .map(|v| (v + 0.3 * dice.normal()) / 4.0)
            .collect();
        let grows: Vec<f64> = daily(144, 2016, 0.0, 1)
            .into_iter()
            .map(|v| (v - 4.0).exp() * (1.0 + 0.1 * dice.normal()))
            .collect();
        assert!(Bend::of(&even).power() > 0.75, "{:?}", Bend::of(&even));
        assert!(Bend::of(&grows).power() < 0.35, "{:?}", Bend::of(&grows));
        assert_eq!(Bend::of(&[1.0; 500]).power(), 1.0);
        assert_eq!(Bend::of(&[]).power(), 1.0);
    }
}
