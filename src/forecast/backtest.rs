//! How good would forecasts have been? Rolling-origin evaluation over the past.

use super::bands::pinball;
use super::demand::forecast;
use super::series::Samples;
use crate::model::Span;
use serde::{Deserialize, Serialize};

/// The levels that WQL averages over.
pub const LEVELS: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// How to look back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Protocol<'a> {
    /// Origins: the number of points before the first one foretold.
    pub origins: &'a [usize],
    pub horizon: usize,
    /// Points before the origin that the forecaster may see.
    pub window: usize,
    /// The period of the seasonal naive that scales MASE.
    pub naive: usize,
    /// Seasons given to the forecaster; found when `None`.
    pub seasons: Option<&'a [usize]>,
}

/// Over all origins: MASE of the median (scaled by the in-window seasonal naive), mean weighted quantile loss over
/// 0.1…0.9, and the share of actuals within the 10–90 % band. Hyndman & Koehler (2006); Makridakis et al. (M5, 2022).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    pub mase: f64,
    pub wql: f64,
    pub coverage_80: f64,
    /// Actuals scored.
    pub scored: usize,
}

/// The window before `origin`, as a series of its own.
pub fn window(samples: &Samples, origin: usize, window: usize) -> Samples {
    let from = origin.saturating_sub(window);
    Samples {
        start: samples.start + samples.step.times(from as i64),
        step: samples.step,
        values: samples.values[from..origin].to_vec(),
    }
}

/// Scores what [`forecast`] would have said at each origin; origins beyond the series are passed over.
pub fn backtest(samples: &Samples, p: &Protocol) -> Scores {
    let origins = p
        .origins
        .iter()
        .filter(|o| **o > 0 && **o < samples.values.len());
    let mut tally = Tally::default();
    for origin in origins {
        let seen = window(samples, *origin, p.window);
        let f = forecast(&seen, p.horizon, p.seasons, &LEVELS, None, 1.0);
        let actual = &samples.values[*origin..(*origin + p.horizon).min(samples.values.len())];
        let paths: Vec<Vec<f64>> = f.points.into_iter().map(|p| p.quantiles).collect();
        tally.add(&seen.values, p.naive, actual, &paths);
    }
    tally.scores()
}

/// Sums over origins, so that any forecaster can be scored alike.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    mase: Vec<f64>,
    loss: [f64; LEVELS.len()],
    size: f64,
    covered: usize,
    scored: usize,
}

impl Tally {
    /// Adds one origin: what was seen, the naive's period, the actuals, and quantiles at [`LEVELS`] for each of them.
    pub fn add(&mut self, seen: &[f64], naive: usize, actual: &[f64], paths: &[Vec<f64>]) {
        let mut errors = Vec::new();
        for (a, q) in actual.iter().zip(paths).filter(|(a, _)| a.is_finite()) {
            errors.push((a - q[4]).abs());
            self.size += a.abs();
            for ((sum, level), v) in self.loss.iter_mut().zip(LEVELS).zip(q) {
                *sum += 2.0 * pinball(level, *a, *v);
            }
            self.covered += usize::from(q[0] <= *a && *a <= q[8]);
            self.scored += 1;
        }
        let scale = mean(
            seen.iter()
                .zip(seen.iter().skip(naive.max(1)))
                .map(|(a, b)| (a - b).abs()),
        );
        if let (Some(e), Some(s)) = (mean(errors.into_iter()), scale.filter(|s| *s > 0.0)) {
            self.mase.push(e / s);
        }
    }

    pub fn scores(&self) -> Scores {
        let loss = self.loss.iter().sum::<f64>() / LEVELS.len() as f64;
        Scores {
            mase: mean(self.mase.iter().copied()).unwrap_or(0.0),
            wql: if self.size > 0.0 {
                loss / self.size
            } else {
                0.0
            },
            coverage_80: self.covered as f64 / self.scored.max(1) as f64,
            scored: self.scored,
        }
    }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values
        .filter(|v| v.is_finite())
        .fold((0.0, 0usize), |(s, n), v| (s + v, n + 1));
    (n > 0).then(|| sum / n as f64)
}

/// Origins for a series of `n` points: `count` of them, evenly spread over its last two fifths.
pub fn spread_origins(n: usize, horizon: usize, count: usize) -> Vec<usize> {
    let (first, last) = (n * 3 / 5, n.saturating_sub(horizon));
    if count == 0 || last < first {
        return Vec::new();
    }
    (0..count)
        .map(|k| first + (last - first) * k / (count - 1).max(1))
        .collect()
}

/// Points in `span` at the series' step, at least one.
pub fn points_in(span: Span, step: Span) -> usize {
    usize::try_from(span.0 / step.0.max(1)).unwrap_or(1).max(1)
}
