//! Autoregression on the latest changes and the level, about waves of the seasons (Fourier terms): the next point by median
//! regression, those further ahead by running it on.
//!
//! Box, Jenkins, Reinsel & Ljung, "Time Series Analysis" (2015), in the error-correction form of Said & Dickey (1984), so that
//! its ridge pulls towards a random walk; Fourier terms as in Young, Pedregal & Tych, J. Forecasting 18 (1999).

use super::linear::{self, Row, fold};
use super::trail::Trail;
use ndarray::Array2;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Values that it looks back by.
pub const LAGS: usize = 5;
/// Harmonics of each season.
const WAVES: usize = 4;
/// Coefficients: a constant, the lags, and two for each harmonic of two seasons; rounded up.
const WIDEST: usize = 24;
/// Fourier terms at most.
const TERMS: usize = 4 * WAVES;
/// Points that it learns from, about.
const ROWS: usize = 1000;
/// Lag coefficients of a forecast that sum to more than this run away.
const STEADY: f64 = 4.0;

type Terms = [f64; TERMS];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Autoregression {
    periods: Vec<usize>,
    /// As fitted, to start the next fit from.
    fitted: [f64; WIDEST],
    /// Where the series lies on average: changes are pulled towards it.
    middle: f64,
    /// The next value: a constant, the coefficients of the last values, and of the waves.
    constant: f64,
    lags: [f64; LAGS],
    waves: Terms,
}

/// A forecast so many points ahead as a linear function of what is known.
struct Ahead {
    constant: f64,
    lags: [f64; LAGS],
    waves: Terms,
}

/// Harmonics that a period carries.
fn harmonics(period: usize) -> usize {
    WAVES.min(period.saturating_sub(1) / 2)
}

/// Cosines and sines at point number `s`.
fn terms(periods: &[usize], s: usize) -> Terms {
    let mut out = [0.0; TERMS];
    for (p, slots) in periods.iter().zip(out.chunks_exact_mut(2 * WAVES)) {
        let (sin, cos) = (TAU * (s % p) as f64 / *p as f64).sin_cos();
        let (mut a, mut b) = (1.0, 0.0);
        // Each harmonic is the one before, turned on by the first.
        for slot in slots.chunks_exact_mut(2).take(harmonics(*p)) {
            (a, b) = (a * cos - b * sin, a * sin + b * cos);
            slot.copy_from_slice(&[a, b]);
        }
    }
    out
}

/// The terms at every point up to `n`.
fn table(periods: &[usize], n: usize) -> Vec<Terms> {
    let rings: Vec<Vec<Terms>> = periods
        .iter()
        .map(|p| (0..*p.min(&n)).map(|s| terms(&[*p], s)).collect())
        .collect();
    (0..n)
        .map(|s| {
            let mut out = [0.0; TERMS];
            for (ring, slots) in rings.iter().zip(out.chunks_exact_mut(2 * WAVES)) {
                slots.copy_from_slice(&ring[s % ring.len()][..2 * WAVES]);
            }
            out
        })
        .collect()
}

/// A fit on all points, and one without each fold of them, so that rolled forecasts have not seen what they foretell.
pub struct Fitted {
    pub all: Autoregression,
    without: Vec<Autoregression>,
}

/// What the fit learns from.
pub struct Lessons<'a> {
    pub y: &'a [f64],
    pub seen: &'a [bool],
    pub burn: usize,
    pub seasons: &'a [usize],
    /// Weight of each origin from `burn` on.
    pub recency: &'a [f64],
}

impl Lessons<'_> {
    /// The change into point `s`, and what it may follow from.
    fn row(&self, s: usize, middle: f64, waves: &Terms) -> Row<WIDEST> {
        let y = self.y;
        let mut x = [0.0; WIDEST];
        x[0] = 0.1;
        x[1] = y[s - 1] - middle;
        for k in 1..LAGS {
            x[k + 1] = y[s - k] - y[s - k - 1];
        }
        x[1 + LAGS..1 + LAGS + TERMS].copy_from_slice(waves);
        Row {
            weight: self.recency[s - self.burn],
            target: y[s] - y[s - 1],
            x,
        }
    }
}

impl Autoregression {
    /// `None` when there is too little to learn from, or when what was learnt runs away within `horizon` points.
    pub fn fit(l: &Lessons, horizon: usize, warm: Option<&Self>) -> Option<Fitted> {
        let n = l.y.len();
        let periods: Vec<usize> = l.seasons.iter().copied().take(2).collect();
        let middle = l.y.iter().sum::<f64>() / n.max(1) as f64;
        let width = 1 + LAGS + 2 * WAVES * periods.len();
        let first = l.burn.max(LAGS);
        let stride = n.saturating_sub(first).div_ceil(ROWS).max(1);
        let points: Vec<usize> = (first..n)
            .rev()
            .step_by(stride)
            .filter(|s| l.seen[*s])
            .collect();
        if points.len() < 6 * width {
            return None;
        }
        let waves = table(&periods, n);
        let rows: Vec<Row<WIDEST>> = points
            .iter()
            .map(|s| l.row(*s, middle, &waves[*s]))
            .collect();
        let folds: Vec<usize> = points
            .iter()
            .map(|s| fold(s - l.burn, n - l.burn))
            .collect();
        let before = warm.filter(|w| w.periods == periods).map(|w| &w.fitted);
        let fit = linear::median(&rows, width, before)?;
        let model = |beta: [f64; WIDEST]| {
            let model = Self::of(periods.clone(), beta, middle);
            let steady = |a: &Ahead| a.lags.iter().map(|v| v.abs()).sum::<f64>() < STEADY;
            model.run(horizon).iter().all(steady).then_some(model)
        };
        let without = fit.without_each(&rows, &folds, width)?;
        Some(Fitted {
            all: model(fit.beta)?,
            without: without.into_iter().map(model).collect::<Option<_>>()?,
        })
    }

    fn of(periods: Vec<usize>, fitted: [f64; WIDEST], middle: f64) -> Self {
        let change = |k: usize| {
            if (1..LAGS).contains(&k) {
                fitted[k + 1]
            } else {
                0.0
            }
        };
        let mut lags: [f64; LAGS] = std::array::from_fn(|k| change(k + 1) - change(k));
        lags[0] += 1.0 + fitted[1];
        let mut waves = [0.0; TERMS];
        waves.copy_from_slice(&fitted[1 + LAGS..1 + LAGS + TERMS]);
        Autoregression {
            constant: 0.1 * fitted[0] - fitted[1] * middle,
            periods,
            fitted,
            middle,
            lags,
            waves,
        }
    }

    /// Forecasts for 1…`horizon` points ahead as functions of the last values and of the waves at the point foretold.
    fn run(&self, horizon: usize) -> Vec<Ahead> {
        let mut out: Vec<Ahead> = Vec::with_capacity(horizon);
        // Response of a forecast to what comes in at each point on the way, the latest first.
        let (mut lags, mut constant, mut waves) = ([0.0; LAGS], 0.0, [0.0; TERMS]);
        lags[0] = 1.0;
        for h in 1..=horizon {
            // What a change `h − 1` points before the one foretold does to it.
            let response = lags[0];
            constant += response * self.constant;
            for (p, (slots, own)) in self.periods.iter().zip(
                waves
                    .chunks_exact_mut(2 * WAVES)
                    .zip(self.waves.chunks_exact(2 * WAVES)),
            ) {
                let (sin, cos) = (TAU * ((h - 1) % p) as f64 / *p as f64).sin_cos();
                let (mut a, mut b) = (1.0, 0.0);
                for (slot, w) in slots.chunks_exact_mut(2).zip(own.chunks_exact(2)) {
                    (a, b) = (a * cos - b * sin, a * sin + b * cos);
                    slot[0] += response * (w[0] * a - w[1] * b);
                    slot[1] += response * (w[0] * b + w[1] * a);
                }
            }
            let ahead = lags[0];
            lags = std::array::from_fn(|k| ahead * self.lags[k] + lags.get(k + 1).unwrap_or(&0.0));
            out.push(Ahead {
                constant,
                lags,
                waves,
            });
        }
        out
    }

    /// The forecast of `trail` for 1…`horizon` points from origin `o` on.
    pub fn path(&self, trail: &Trail, o: usize, horizon: usize) -> Vec<f64> {
        let last: [f64; LAGS] = std::array::from_fn(|k| trail.value(o - 1 - k));
        self.run(horizon)
            .iter()
            .zip(o..)
            .map(|(a, s)| a.at(&last, &terms(&self.periods, s)))
            .collect()
    }
}

impl Fitted {
    /// Forecasts from every origin `burn…n`, one column for each of `ahead`: each by the fit without its fold, the last by
    /// the whole.
    pub fn rolled(&self, y: &[f64], burn: usize, ahead: &[usize]) -> Array2<f64> {
        let horizon = ahead.last().copied().unwrap_or(0);
        let whole = self.all.run(horizon);
        let runs: Vec<Vec<Ahead>> = self.without.iter().map(|m| m.run(horizon)).collect();
        let waves = table(&self.all.periods, y.len() + horizon);
        let last = y.len() - burn;
        let mut out = Array2::zeros((last + 1, ahead.len()));
        for (r, mut row) in out.rows_mut().into_iter().enumerate() {
            let o = burn + r;
            let run = if r == last {
                &whole
            } else {
                &runs[fold(r, last)]
            };
            let back: [f64; LAGS] = std::array::from_fn(|k| y[(o.max(1) - 1).saturating_sub(k)]);
            for (cell, h) in row.iter_mut().zip(ahead) {
                *cell = run[h - 1].at(&back, &waves[o + h - 1]);
            }
        }
        out
    }
}

impl Ahead {
    fn at(&self, last: &[f64; LAGS], waves: &Terms) -> f64 {
        let lags: f64 = self.lags.iter().zip(last).map(|(a, v)| a * v).sum();
        self.constant + lags + linear::dot(&self.waves, waves)
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::{Dice, daily};
    use super::*;

    fn fitted(y: &[f64], burn: usize, seasons: &[usize]) -> Fitted {
        let l = Lessons {
            y,
            seen: &vec![true; y.len()],
            burn,
            seasons,
            recency: &vec![1.0; y.len() - burn + 1],
        };
        Autoregression::fit(&l, 24, None).unwrap()
    }

    #[test]
    fn the_coefficients_of_a_simulated_process_are_found() {
        let mut dice = Dice::new(12);
        let (mut a, mut b) = (0.0, 0.0);
        let y: Vec<f64> = (0..4000)
            .map(|_| {
                (a, b) = (1.2 * a - 0.5 * b + 0.1 * dice.normal(), a);
                3.0 + a
            })
            .collect();
        let f = fitted(&y, 50, &[]).all;
        assert!(
            (f.lags[0] - 1.2).abs() < 0.08 && (f.lags[1] + 0.5).abs() < 0.12,
            "{f:?}"
        );
        let far = f.path(&Trail::new(&y, &[]), y.len(), 40)[39];
        assert!((far - 3.0).abs() < 0.1, "it returns to its mean: {far}");
    }

    #[test]
    fn waves_are_carried_on_and_rolling_forecasts_end_where_the_path_begins() {
        let y = daily(48, 48 * 12, 0.05, 3);
        let truth = daily(48, 48 * 13, 0.0, 3);
        let f = fitted(&y, 96, &[48]);
        let trail = Trail::new(&y, &[48]);
        let path = f.all.path(&trail, y.len(), 24);
        for (p, t) in path.iter().zip(&truth[48 * 12..]) {
            assert!((p - t).abs() < 0.1, "{p} against {t}");
        }
        let rolled = f.rolled(&y, 96, &[1, 6, 24]);
        let end = rolled.row(rolled.nrows() - 1);
        for (a, b) in end.iter().zip([path[0], path[5], path[23]]) {
            assert!((a - b).abs() < 1e-9);
        }
    }
}
