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
    pub y: &'a [f64],
    pub seen: &'a [bool],
    pub burn: usize,
    /// Weight of each origin.
    pub recency: &'a [f64],
}

impl Past<'_> {
    /// The actual that cell (`r`, `h`) foretold, `h` from 0; `None` beyond the end and in gaps.
    pub fn actual(&self, r: usize, h: usize) -> Option<f64> {
        let at = self.burn + r + h;
        (at < self.y.len() && self.seen[at]).then(|| self.y[at])
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
    if members < 2 || cells.is_empty() {
        return equal;
    }
    let loss = |w: &[f64]| -> f64 {
        cells
            .iter()
            .map(|(weight, actual, f)| {
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
    let start: Vec<f64> = match warm.filter(|w| w.len() == members) {
        Some(w) => w.iter().map(|v| v.max(1e-3).ln()).collect(),
        // From the better ones: inverse powers of each member's own loss.
        None => alone(&loss, members),
    };
    softmax(&minimise(&start, 1.5, 60, cost).0)
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

type Cell = (f64, f64, Vec<f64>);

fn thinned(past: &Past, (rows, horizon): (usize, usize)) -> Vec<Cell> {
    let ahead: Vec<usize> = (0..horizon).step_by(horizon.div_ceil(8).max(1)).collect();
    let stride = (rows * ahead.len()).div_ceil(CELLS).max(1);
    // Counted from the end, so that the newest origin is always among them.
    (0..rows)
        .rev()
        .step_by(stride)
        .flat_map(|r| ahead.iter().map(move |h| (r, *h)))
        .filter_map(|(r, h)| {
            let actual = past.actual(r, h)?;
            let f = past.rolled.iter().map(|m| m[[r, h]]).collect();
            Some((past.recency[r], actual, f))
        })
        .collect()
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
            y: &[],
            seen: &[],
            burn: 0,
            recency: &[1.0],
        };
        assert_eq!(weights(&past, None), vec![0.5, 0.5]);
    }
}
