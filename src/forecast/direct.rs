//! Direct regression, one for each horizon: how far the series will lie from where it is, from where it was at several
//! speeds, a season ago, and where the smoothers see it. Quantile regression, of which the median is a forecast.
//!
//! Direct multi-step regression: Marcellino, Stock & Watson, J. Econometrics 135 (2006). Every feature is a difference, so
//! that a level shift moves the forecast with it.

use super::linear::{self, FOLDS, Row, dot, fold};
use super::trail::Trail;
use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

/// Periods that it can look back by.
pub const PERIODS: usize = 3;
/// Coefficients at most: four without a season, one for each of two smoothers, and three for each period; rounded up.
const WIDEST: usize = 16;
/// Origins that a regression learns from, about: neighbours say nearly the same.
const ROWS: usize = 800;

type Features = [f64; WIDEST];

/// Features at origin `o` for `h` ahead, and the base they are measured from; `None` where a season ago is unknown.
fn features(t: &Trail, o: usize, h: usize, seen: &[f64]) -> Option<(f64, Features)> {
    let (last, [fast, medium, slow]) = t.now(o);
    let mut x = [0.0; WIDEST];
    x[..4].copy_from_slice(&[0.1, last - fast, fast - medium, medium - slow]);
    let mut k = 4;
    for f in seen {
        x[k] = f - fast;
        k += 1;
    }
    for s in 0..t.periods() {
        let (value, level, usual) = t.season_ago(o, h, s)?;
        x[k] = value - fast;
        x[k + 1] = level - fast;
        x[k + 2] = usual - fast;
        k += 3;
    }
    Some((fast, x))
}

/// Coefficients at a few horizons; between them they are interpolated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direct {
    anchors: Vec<usize>,
    coefficients: Vec<Features>,
}

/// What the regression sees besides the trail: the smoothers' rolled forecasts, from origin `burn` on.
pub struct Sights<'a> {
    pub trail: &'a Trail,
    pub seen: &'a [bool],
    pub y: &'a [f64],
    pub burn: usize,
    pub smoothers: &'a [Array2<f64>],
    /// How many points ahead the smoothers' columns, and the regressions, lie.
    pub ahead: &'a [usize],
    /// Weight of each origin.
    pub recency: &'a [f64],
}

impl Sights<'_> {
    fn views(&self, r: usize, column: usize) -> ([f64; 2], usize) {
        let mut v = [0.0; 2];
        for (slot, s) in v.iter_mut().zip(self.smoothers) {
            *slot = s[[r, column]];
        }
        (v, self.smoothers.len().min(2))
    }
}

/// A fit on all origins, and one without each fold of them, so that rolled forecasts have not seen what they foretell.
pub struct Fitted {
    pub all: Direct,
    without: Vec<Direct>,
}

impl Direct {
    /// Fits one regression at each anchor horizon, from an earlier one where there is; `None` when there are too few
    /// origins to learn from.
    pub fn fit(s: &Sights, warm: Option<&Direct>) -> Option<Fitted> {
        let width = 4 + s.smoothers.len().min(2) + 3 * s.trail.periods();
        let warm = warm.filter(|w| w.anchors == s.ahead);
        let fits = (0..s.ahead.len())
            .map(|column| Self::fit_at(s, column, width, warm.map(|w| &w.coefficients[column])))
            .collect::<Option<Vec<_>>>()?;
        let of = |k: usize| Direct {
            anchors: s.ahead.to_vec(),
            coefficients: fits.iter().map(|f| f[k]).collect(),
        };
        Some(Fitted {
            all: of(0),
            without: (1..=FOLDS).map(of).collect(),
        })
    }

    /// Coefficients on all origins, then without each fold.
    fn fit_at(
        s: &Sights,
        column: usize,
        width: usize,
        warm: Option<&Features>,
    ) -> Option<Vec<Features>> {
        let (n, h) = (s.y.len(), s.ahead[column]);
        let last = n.checked_sub(h)?;
        let stride = (last.saturating_sub(s.burn)).div_ceil(ROWS).max(1);
        let mut rows: Vec<Row<WIDEST>> = Vec::with_capacity(ROWS + 1);
        let mut folds: Vec<usize> = Vec::with_capacity(ROWS + 1);
        // Counted from the end, so that the newest lesson is always among them.
        let origins = (s.burn.max(1)..=last).rev().step_by(stride);
        for o in origins.filter(|o| s.seen[o + h - 1]) {
            let r = o - s.burn;
            let (views, k) = s.views(r, column);
            if let Some((base, x)) = features(s.trail, o, h, &views[..k]) {
                folds.push(fold(r, n - s.burn));
                rows.push(Row {
                    weight: s.recency[r],
                    target: s.y[o + h - 1] - base,
                    x,
                });
            }
        }
        if rows.len() < 6 * width {
            return None;
        }
        let fit = linear::median(&rows, width, warm)?;
        let mut out = vec![fit.beta];
        out.extend(fit.without_each(&rows, &folds, width)?);
        Some(out)
    }

    fn coefficients_at(&self, h: usize) -> Features {
        let k = self.anchors.partition_point(|a| *a < h);
        if k == 0 || k == self.anchors.len() {
            return self.coefficients[k.min(self.anchors.len() - 1)];
        }
        let (a, b) = (self.anchors[k - 1], self.anchors[k]);
        let t = (h - a) as f64 / (b - a) as f64;
        let (x, y) = (&self.coefficients[k - 1], &self.coefficients[k]);
        std::array::from_fn(|i| x[i] + (y[i] - x[i]) * t)
    }

    /// The forecast of `trail` at origin `o`, where `smoothers` hold the smoothers' paths from there.
    pub fn path(
        &self,
        trail: &Trail,
        o: usize,
        smoothers: &[ArrayView1<f64>],
        horizon: usize,
    ) -> Vec<f64> {
        (1..=horizon)
            .map(|h| {
                let views: Vec<f64> = smoothers.iter().map(|s| s[h - 1]).collect();
                at(&self.coefficients_at(h), trail, o, h, &views)
            })
            .collect()
    }
}

fn at(beta: &Features, trail: &Trail, o: usize, h: usize, views: &[f64]) -> f64 {
    match features(trail, o, h, views) {
        Some((base, x)) => base + dot(beta, &x),
        None => views.first().copied().unwrap_or(0.0),
    }
}

impl Fitted {
    /// Forecasts from every origin, shaped as the smoothers' are: each by the fit without its fold, the last by the whole.
    pub fn rolled(&self, s: &Sights) -> Array2<f64> {
        let last = s.y.len() - s.burn;
        let mut out = Array2::zeros((last + 1, s.ahead.len()));
        for (column, h) in s.ahead.iter().enumerate() {
            for (r, cell) in out.column_mut(column).iter_mut().enumerate() {
                let fit = if r == last {
                    &self.all
                } else {
                    &self.without[fold(r, last)]
                };
                let (views, k) = s.views(r, column);
                let beta = &fit.coefficients[column];
                *cell = at(beta, s.trail, s.burn + r, *h, &views[..k]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::Dice;
    use super::*;

    #[test]
    fn a_mean_that_series_return_to_is_learnt() {
        let mut dice = Dice::new(7);
        let mut x = 0.0;
        let y: Vec<f64> = (0..1500)
            .map(|_| {
                x = 0.8 * x + 0.1 * dice.normal();
                2.0 + x
            })
            .collect();
        let trail = Trail::new(&y, &[]);
        let flat = Array2::from_elem((y.len() - 100 + 1, 8), 2.0);
        let sights = Sights {
            trail: &trail,
            seen: &vec![true; y.len()],
            y: &y,
            burn: 100,
            smoothers: &[flat],
            ahead: &[1, 2, 3, 4, 5, 6, 7, 8],
            recency: &vec![1.0; y.len() - 99],
        };
        let d = Direct::fit(&sights, None).unwrap();
        let rolled = d.rolled(&sights);
        let off: f64 = (100..1490)
            .map(|o| (rolled[[o - 100, 0]] - (2.0 + 0.8 * (y[o - 1] - 2.0))).abs())
            .sum::<f64>()
            / 1390.0;
        assert!(off < 0.02, "{off} from the best possible forecast");
        let again = Direct::fit(&sights, Some(&d.all)).unwrap();
        let moved = (again.rolled(&sights) - &rolled).mapv(f64::abs).sum() / rolled.len() as f64;
        assert!(moved < 0.01, "a warm start ends {moved} away");
    }
}
