//! How much each model of the pool counts: weights on the simplex, fitted by argmin on recent rolling-origin pinball loss.
//!
//! Bates & Granger (1969) for combining, Timmermann, "Forecast combinations" (2006), for shrinking towards equal weights.

use super::optimise::{minimise, softmax};
use ndarray::Array2;

/// Cells (origin × horizon) that a weight's cost is summed over, at most.
const CELLS: usize = 3000;
/// Cost of weights away from equal ones, as a share of the loss of the equal ones.
const SHRINK: f64 = 0.005;

/// What the weights are judged on: rolled forecasts of each member (origins × horizon) and the actuals that followed.
pub struct Past<'a> {
    pub rolled: &'a [Array2<f64>],
    /// How many points ahead each column lies.
    pub ahead: &'a [usize],
    pub y: &'a [f64],
    pub seen: &'a [bool],
    pub burn: usize,
    /// Weight of each origin.
    pub recency: &'a [f64],
}

impl Past<'_> {
    /// The actual that cell (`r`, `k`) foretold; `None` beyond the end and in gaps.
    pub fn actual(&self, r: usize, k: usize) -> Option<f64> {
        let at = self.burn + r + self.ahead[k] - 1;
        (at < self.y.len() && self.seen[at]).then(|| self.y[at])
    }
}

impl Past<'_> {
    /// Horizons that column `k` stands for: half of the way to its neighbours.
    pub fn share(&self, k: usize) -> f64 {
        let before = k.checked_sub(1).map_or(0, |b| self.ahead[b]);
        let after = self.ahead.get(k + 1).unwrap_or(&self.ahead[k]);
        (after - before) as f64 / 2.0
    }
}

/// Weights of the members; equal ones when there is nothing to learn from.
pub fn weights(past: &Past, warm: Option<&[f64]>) -> Vec<f64> {
    let members = past.rolled.len();
    let equal = vec![1.0 / members.max(1) as f64; members];
    let Some(shape) = past.rolled.first().map(Array2::dim) else {
        return equal;
    };
    let cells = thinned(past, shape);
    if members < 2 || cells.actuals.is_empty() {
        return equal;
    }
    let loss = |w: &[f64]| -> f64 {
        let mixed = cells.forecasts.chunks_exact(members);
        cells
            .actuals
            .iter()
            .zip(mixed)
            .map(|((weight, actual), f)| {
                let mix: f64 = f.iter().zip(w).map(|(a, b)| a * b).sum();
                weight * (actual - mix).abs()
            })
            .sum()
    };
    let pull = SHRINK * loss(&equal) * members as f64;
    let cost = |free: &[f64]| {
        let w = softmax(free);
        let away: f64 = w.iter().zip(&equal).map(|(a, b)| (a - b).powi(2)).sum();
        loss(&w) + pull * away
    };
    let (start, rounds) = match warm.filter(|w| w.len() == members) {
        Some(w) => (w.iter().map(|v| v.max(1e-3).ln()).collect(), 20),
        // From the better ones: inverse powers of each member's own loss.
        None => (alone(&loss, members), 60),
    };
    softmax(&minimise(&start, 1.5, rounds, cost).0)
}

fn alone(loss: &impl Fn(&[f64]) -> f64, members: usize) -> Vec<f64> {
    let each: Vec<f64> = (0..members)
        .map(|k| {
            let mut w = vec![0.0; members];
            w[k] = 1.0;
            loss(&w)
        })
        .collect();
    let best = each
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min)
        .max(1e-12);
    each.iter()
        .map(|l| (-4.0 * (l / best).max(1e-12).ln()).max(-5.0))
        .collect()
}

/// Weight and actual of each cell, and every member's forecast of it.
#[derive(Default)]
struct Cells {
    actuals: Vec<(f64, f64)>,
    forecasts: Vec<f64>,
}

fn thinned(past: &Past, (rows, columns): (usize, usize)) -> Cells {
    let stride = (rows * columns).div_ceil(CELLS).max(1);
    let mut out = Cells::default();
    // Counted from the end, so that the newest origin is always among them.
    for r in (0..rows).rev().step_by(stride) {
        for k in 0..columns {
            if let Some(actual) = past.actual(r, k) {
                out.actuals.push((past.recency[r] * past.share(k), actual));
                out.forecasts.extend(past.rolled.iter().map(|m| m[[r, k]]));
            }
        }
    }
    out
}

/// The members' forecasts, mixed.
pub fn mixed(rolled: &[Array2<f64>], weights: &[f64]) -> Array2<f64> {
    let shape = rolled.first().map_or((0, 0), Array2::dim);
    let mut out = Array2::zeros(shape);
    for (m, w) in rolled.iter().zip(weights) {
        out.scaled_add(*w, m);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::simulated::Dice;
    use super::*;

    #[test]
    fn the_member_that_is_right_gets_the_weight() {
        let mut dice = Dice::new(11);
        let y: Vec<f64> = (0..300).map(|_| 5.0 + dice.normal()).collect();
        let (rows, h) = (251, 4);
        let right = Array2::from_shape_fn((rows, h), |(r, k)| {
            y.get(50 + r + k).map_or(5.0, |v| v + 0.1 * dice.normal())
        });
        let wrong = Array2::from_shape_fn((rows, h), |_| 5.0 + 2.0 * dice.normal());
        let past = Past {
            rolled: &[wrong, right],
            ahead: &[1, 2, 3, 4],
            y: &y,
            seen: &[true; 300],
            burn: 50,
            recency: &vec![1.0; rows],
        };
        let w = weights(&past, None);
        assert!(w[1] > 0.9 && (w[0] + w[1] - 1.0).abs() < 1e-9, "{w:?}");
    }

    #[test]
    fn nothing_to_learn_from_gives_equal_weights() {
        let m = Array2::zeros((1, 3));
        let past = Past {
            rolled: &[m.clone(), m],
            ahead: &[1, 2, 3],
            y: &[],
            seen: &[],
            burn: 0,
            recency: &[1.0],
        };
        assert_eq!(weights(&past, None), vec![0.5, 0.5]);
    }
}
