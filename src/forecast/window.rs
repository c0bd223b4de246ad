//! The mean of the last points since the level last shifted, on what a series lies from its usual value at each phase.
//!
//! A shift is where a two-sided cumulative sum leaves its band (Page, Biometrika 41, 1954); the level after it is the mean of
//! the points since that sum last stood at zero, which is where the shift most likely was.

use super::optimise::{logistic, logit, minimise};
use super::smoothing::SCORED;
use serde::{Deserialize, Serialize};

/// Longest window, in points.
const LONGEST: f64 = 400.0;
/// The sum's band, in typical errors, at most.
const WIDEST: f64 = 30.0;
/// Errors smaller than this part of the typical one do not count towards a shift.
const SLACK: f64 = 0.5;
/// How fast the typical error follows.
const SPEED: f64 = 0.02;

/// Points of the window, and how many typical errors a shift must gather.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Params {
    pub points: f64,
    pub band: f64,
}

impl Params {
    fn from_free(free: &[f64]) -> Self {
        Params {
            points: 1.0 + (LONGEST - 1.0) * logistic(free[0]),
            band: 1.0 + (WIDEST - 1.0) * logistic(free[1]),
        }
    }

    fn to_free(self) -> [f64; 2] {
        [
            logit((self.points - 1.0) / (LONGEST - 1.0)),
            logit((self.band - 1.0) / (WIDEST - 1.0)),
        ]
    }
}

/// A sum in one direction, and the points since it last stood at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Run {
    gathered: f64,
    points: f64,
    sum: f64,
}

impl Run {
    fn take(&mut self, error: f64, value: f64) {
        self.gathered += error - SLACK;
        if self.gathered <= 0.0 {
            *self = Run::default();
        } else {
            self.points += 1.0;
            self.sum += value;
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    level: f64,
    /// Points that the level rests on.
    points: f64,
    typical: f64,
    up: Run,
    down: Run,
}

impl State {
    fn take(&mut self, p: &Params, value: Option<f64>) {
        let Some(v) = value else { return };
        if self.points == 0.0 {
            (self.level, self.points) = (v, 1.0);
            return;
        }
        let error = v - self.level;
        let size = error.abs();
        if self.typical == 0.0 {
            self.typical = size;
        }
        let scaled = error / self.typical.max(1e-9);
        self.typical += SPEED * (size - self.typical);
        self.up.take(scaled, v);
        self.down.take(-scaled, v);
        for run in [self.up, self.down] {
            if run.gathered > p.band {
                self.level = run.sum / run.points;
                self.points = run.points;
                (self.up, self.down) = (Run::default(), Run::default());
                return;
            }
        }
        self.points = (self.points + 1.0).min(p.points);
        self.level += error / self.points;
    }
}

/// A level, its parameters and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Window {
    pub params: Params,
    state: State,
}

/// Mean absolute error at a few horizons, from origins after `burn`.
fn loss(z: &[Option<f64>], burn: usize, ahead: &[usize], p: &Params) -> f64 {
    let stride = (z.len() - burn).div_ceil(SCORED).max(1);
    let (mut state, mut next) = (State::default(), burn);
    let (mut sum, mut count) = (0.0, 0.0);
    for (i, v) in z.iter().enumerate() {
        if i == next {
            next += stride;
            for h in ahead {
                if let Some(Some(actual)) = z.get(i + h - 1) {
                    sum += (actual - state.level).abs();
                    count += 1.0;
                }
            }
        }
        state.take(p, *v);
    }
    if count > 0.0 { sum / count } else { 0.0 }
}

impl Window {
    /// Fits to distances from what is usual (`None` in a gap), from two starts or from an earlier fit.
    pub fn fit(z: &[Option<f64>], burn: usize, horizon: usize, warm: Option<&Window>) -> Window {
        let ahead = [1, (horizon / 4).max(1), horizon];
        let cost = |free: &[f64]| loss(z, burn, &ahead, &Params::from_free(free));
        let from =
            |points, band, rounds| minimise(&Params { points, band }.to_free(), 1.0, rounds, cost);
        let best = match warm {
            Some(w) => from(w.params.points, w.params.band, 6).0,
            None => {
                let (short, long) = (from(4.0, 8.0, 10), from(60.0, 8.0, 10));
                if short.1 <= long.1 { short.0 } else { long.0 }
            }
        };
        let mut out = Window {
            params: Params::from_free(&best),
            state: State::default(),
        };
        z.iter().for_each(|v| out.take(*v));
        out
    }

    pub fn take(&mut self, value: Option<f64>) {
        self.state.take(&self.params, value);
    }

    /// The level, however far ahead.
    pub fn level(&self) -> f64 {
        self.state.level
    }

    /// The same model before the first point.
    pub fn anew(&self) -> Window {
        Window {
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
    fn a_long_window_forgets_what_was_before_a_shift() {
        let mut dice = Dice::new(8);
        let z: Vec<Option<f64>> = (0..606)
            .map(|i| Some(if (200..600).contains(&i) { 1.0 } else { 9.0 } + dice.normal()))
            .collect();
        let w = Window::fit(&z[..590], 50, 6, None);
        assert!((w.level() - 1.0).abs() < 0.3, "{w:?}");
        assert!(w.params.points > 20.0, "noise is averaged: {w:?}");
        let mut after = w;
        z[590..].iter().for_each(|v| after.take(*v));
        assert!(
            (after.level() - 9.0).abs() < 1.2,
            "six points after a shift: {after:?}"
        );
    }

    #[test]
    fn noise_alone_is_no_shift() {
        let mut dice = Dice::new(9);
        let mut w = Window {
            params: Params {
                points: 300.0,
                band: 12.0,
            },
            state: State::default(),
        };
        for _ in 0..300 {
            w.take(Some(dice.normal()));
        }
        assert!(w.state.points > 250.0, "{w:?}");
    }
}
