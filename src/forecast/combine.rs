//! How much each model of the pool counts: weights on the simplex, fitted by argmin on recent rolling-origin pinball loss.
//!
//! Bates & Granger (1969) for combining, Timmermann, "Forecast combinations" (2006), for shrinking towards equal weights.

use super::optimise::{descend, softmax};
use ndarray::Array2;

/// Cells (origin × horizon) that a weight's cost is summed over, at most.
const CELLS: usize = 3000;
/// Cost of weights away from equal ones, as a share of the loss of the equal ones.
const SHRINK: f64 = 0.005;
/// Radius of the loss's rounded corner, as a share of the mean error.
const ROUND: f64 = 0.05;
/// The loss of equal weights counts as this much, so that a first step along the gradient is neither timid nor wild.
const STRETCH: f64 = 20.0;
/// A step that gains less than this share of the loss is the last.
const GAIN: f64 = 2e-5;

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
    let level = cells.loss(&equal, 0.0, &mut vec![0.0; members]);
    if level <= 1e-12 * cells.weight {
        return equal;
    }
    let round = ROUND * level / cells.weight;
    let pull = SHRINK * level * members as f64;
    let scale = STRETCH / level;
    let cost = |free: &[f64], slope: &mut [f64]| -> f64 {
        let w = softmax(free);
        let mut by_weight = vec![0.0; members];
        let mut sum = cells.loss(&w, round, &mut by_weight);
        for ((g, w), equal) in by_weight.iter_mut().zip(&w).zip(&equal) {
            sum += pull * (w - equal).powi(2);
            *g += 2.0 * pull * (w - equal);
        }
        let middle: f64 = by_weight.iter().zip(&w).map(|(g, w)| g * w).sum();
        for ((s, g), w) in slope.iter_mut().zip(&by_weight).zip(&w) {
            *s = scale * w * (g - middle);
        }
        scale * sum
    };
    let search = |start: &[f64], rounds| descend(start, rounds, STRETCH * GAIN, cost);
    let log = |w: &[f64]| -> Vec<f64> { w.iter().map(|v| v.max(1e-3).ln()).collect() };
    let best = match warm.filter(|w| w.len() == members) {
        Some(w) => search(&log(w), 12),
        None => {
            // The loss is convex in the weights, not in what is searched: from those that do well alone, and from all.
            let (few, all) = (search(&cells.alone(), 30), search(&log(&equal), 30));
            if few.1 <= all.1 { few } else { all }
        }
    };
    softmax(&best.0)
}

/// Weight and actual of each cell, and every member's forecast of it.
#[derive(Default)]
struct Cells {
    members: usize,
    weight: f64,
    actuals: Vec<(f64, f64)>,
    forecasts: Vec<f64>,
}

impl Cells {
    /// Weighted sum of the errors of a mix, with their corner rounded; adds its gradient to `slope`.
    fn loss(&self, w: &[f64], round: f64, slope: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        let forecasts = self.forecasts.chunks_exact(self.members);
        for ((weight, actual), f) in self.actuals.iter().zip(forecasts) {
            let mix: f64 = f.iter().zip(w).map(|(a, b)| a * b).sum();
            let e = mix - actual;
            let size = (e * e + round * round).sqrt();
            sum += weight * size;
            let g = weight * e / size.max(1e-300);
            for (s, v) in slope.iter_mut().zip(f) {
                *s += g * v;
            }
        }
        sum
    }

    /// Where to start: inverse powers of each member's own loss.
    fn alone(&self) -> Vec<f64> {
        let mut each = vec![0.0; self.members];
        for ((weight, actual), f) in self
            .actuals
            .iter()
            .zip(self.forecasts.chunks_exact(self.members))
        {
            for (sum, v) in each.iter_mut().zip(f) {
                *sum += weight * (v - actual).abs();
            }
        }
        let best = each
            .iter()
            .copied()
            .fold(f64::INFINITY, f64::min)
            .max(1e-12);
        each.iter()
            .map(|l| (-4.0 * (l / best).max(1e-12).ln()).max(-5.0))
            .collect()
    }
}

fn thinned(past: &Past, (rows, columns): (usize, usize)) -> Cells {
    let stride = (rows * columns).div_ceil(CELLS).max(1);
    let mut out = Cells {
        members: past.rolled.len(),
        ..Cells::default()
    };
    // Counted from the end, so that the newest origin is always among them.
    for r in (0..rows).rev().step_by(stride) {
        for k in 0..columns {
            if let Some(actual) = past.actual(r, k) {
                let weight = past.recency[r] * past.share(k);
                out.weight += weight;
                out.actuals.push((weight, actual));
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
