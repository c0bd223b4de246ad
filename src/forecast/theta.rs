//! The theta method on what a series lies from its usual value at each phase: a smoothed level, and part of the slope of the
//! line through all of the past.
//!
//! Assimakopoulos & Nikolopoulos, Int. J. Forecasting 16 (2000); in the recursive form of Fiorucci et al., "Models for
//! optimising the theta method and their relationship to state space models", Int. J. Forecasting 32 (2016).

use super::optimise::{logistic, logit, minimise};
use super::smoothing::SCORED;
use serde::{Deserialize, Serialize};

/// Smoothing of the level, and how far forecasts lean towards the line through the past (1 − 1/θ); both within (0, 1).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    pub alpha: f64,
    pub lean: f64,
}

/// Level, and mean and slope of the least-squares line through the points taken so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    taken: f64,
    level: f64,
    mean: f64,
    slope: f64,
    /// (1 − α) to the power of the points taken.
    faded: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Theta {
    pub params: Params,
    state: State,
}

impl State {
    fn take(&mut self, p: &Params, value: Option<f64>) {
        if self.taken == 0.0 {
            let Some(v) = value else { return };
            *self = State {
                taken: 1.0,
                level: v,
                mean: v,
                slope: 0.0,
                faded: 1.0 - p.alpha,
            };
            return;
        }
        // Time passes in a gap, as if what was foretold had come.
        let v = value.unwrap_or_else(|| self.ahead(p, 1));
        self.taken += 1.0;
        let t = self.taken;
        self.slope = ((t - 2.0) * self.slope + 6.0 * (v - self.mean) / t) / (t + 1.0);
        self.mean += (v - self.mean) / t;
        self.level += p.alpha * (v - self.level);
        self.faded *= 1.0 - p.alpha;
    }

    fn ahead(&self, p: &Params, h: usize) -> f64 {
        let (start, run) = self.line(p);
        self.level + p.lean * (start + run * h as f64)
    }

    /// What the line adds: at no distance, and for each point ahead.
    fn line(&self, p: &Params) -> (f64, f64) {
        let intercept = self.mean - 0.5 * (self.taken + 1.0) * self.slope;
        let reach = (1.0 - self.faded * (1.0 - p.alpha)) / p.alpha - 1.0;
        (self.faded * intercept + self.slope * reach, self.slope)
    }
}

/// Mean absolute error at a few horizons, from origins after `burn`.
fn loss(z: &[Option<f64>], burn: usize, ahead: &[usize], p: &Params) -> f64 {
    let stride = (z.len() - burn).div_ceil(SCORED).max(1);
    let (mut state, mut next) = (State::default(), burn);
    let (mut sum, mut count) = (0.0, 0.0);
    for (i, v) in z.iter().enumerate() {
        if i == next {
            next += stride;
            let (start, run) = state.line(p);
            for h in ahead {
                if let Some(Some(actual)) = z.get(i + h - 1) {
                    sum += (actual - state.level - p.lean * (start + run * *h as f64)).abs();
                    count += 1.0;
                }
            }
        }
        state.take(p, *v);
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

impl Theta {
    /// Fits to distances from what is usual (`None` in a gap), from two starts or from an earlier fit.
    pub fn fit(z: &[Option<f64>], burn: usize, horizon: usize, warm: Option<&Theta>) -> Theta {
        let ahead = [1, (horizon / 4).max(1), horizon];
        let params = |free: &[f64]| Params {
            alpha: logistic(free[0]),
            lean: logistic(free[1]),
        };
        let cost = |free: &[f64]| loss(z, burn, &ahead, &params(free));
        let from = |alpha: f64, lean: f64, rounds| {
            minimise(&[logit(alpha), logit(lean)], 1.0, rounds, cost)
        };
        let best = match warm {
            Some(w) => from(w.params.alpha, w.params.lean, 6).0,
            None => {
                let (slow, quick) = (from(0.1, 0.5, 10), from(0.6, 0.2, 10));
                if slow.1 <= quick.1 { slow.0 } else { quick.0 }
            }
        };
        let mut out = Theta {
            params: params(&best),
            state: State::default(),
        };
        z.iter().for_each(|v| out.take(*v));
        out
    }

    pub fn take(&mut self, value: Option<f64>) {
        self.state.take(&self.params, value);
    }

    pub fn ahead(&self, h: usize) -> f64 {
        self.state.ahead(&self.params, h)
    }

    /// The same model before the first point.
    pub fn anew(&self) -> Theta {
        Theta {
            state: State::default(),
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::Dice;
    use super::*;

    #[test]
    fn a_noisy_line_is_drawn_on() {
        let mut dice = Dice::new(4);
        let z: Vec<Option<f64>> = (0..400)
            .map(|i| Some(3.0 + 0.02 * f64::from(i) + 0.3 * dice.normal()))
            .collect();
        let t = Theta::fit(&z, 40, 20, None);
        assert!((t.ahead(20) - (3.0 + 0.02 * 419.0)).abs() < 0.25, "{t:?}");
        assert!(t.params.lean > 0.8, "{t:?}");
    }

    #[test]
    fn the_slope_is_that_of_least_squares_and_a_gap_lets_time_pass() {
        let p = Params {
            alpha: 0.5,
            lean: 0.5,
        };
        let mut s = State::default();
        for i in 0..50 {
            s.take(&p, Some(1.0 + 2.0 * f64::from(i)));
        }
        assert!((s.slope - 2.0).abs() < 1e-9, "{s:?}");
        let before = s.taken;
        s.take(&p, None);
        assert_eq!(s.taken, before + 1.0);
        assert!((s.slope - 2.0).abs() < 0.05, "{s:?}");
    }
}
