//! Direct regression, one for each horizon: how far the series will lie from where it is, from where it was at several
//! speeds, a season ago, and where the smoothers see it. Median regression by iteratively reweighted least squares.
//!
//! Direct multi-step regression: Marcellino, Stock & Watson, J. Econometrics 135 (2006). Reweighting for the median:
//! Schlossmacher, JASA 68 (1973). Every feature is a difference, so that a level shift moves the forecast with it.

use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

/// Smoothing of the three running means, from fast to slow.
const SPEEDS: [f64; 3] = [0.5, 0.15, 0.03];
/// How fast what is usual at a phase follows, a season.
const SEASONS: f64 = 0.25;
/// Coefficients at most: five without a season, one more with, and three for each of three periods.
const WIDEST: usize = 15;
/// Rounds of reweighting.
const ROUNDS: usize = 1;
/// Origins that a regression learns from, about: neighbours say nearly the same.
const ROWS: usize = 800;
/// Blocks of origins; each is foretold by a fit without it.
const FOLDS: usize = 6;
/// Shrinkage of each coefficient, as a share of its own information.
const RIDGE: f64 = 0.01;

type Row = [f64; WIDEST];

/// One origin's features and what followed, both from the same base.
struct Lesson {
    weight: f64,
    target: f64,
    fold: usize,
    x: Row,
}

/// Values and their running means; index 0 is point number `from`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trail {
    from: usize,
    y: Vec<f64>,
    means: [Vec<f64>; 3],
    periods: Vec<usize>,
    /// For each period, the running mean at each point's phase over the seasons up to and with it.
    usual: Vec<Vec<f64>>,
}

impl Trail {
    pub fn new(y: &[f64], periods: &[usize]) -> Self {
        let mut t = Trail {
            from: 0,
            y: Vec::with_capacity(y.len()),
            means: Default::default(),
            periods: periods.to_vec(),
            usual: vec![Vec::with_capacity(y.len()); periods.len()],
        };
        y.iter().for_each(|v| t.push(*v));
        t
    }

    pub fn push(&mut self, v: f64) {
        for (m, a) in self.means.iter_mut().zip(SPEEDS) {
            let before = m.last().copied().unwrap_or(v);
            m.push(before + a * (v - before));
        }
        for (u, p) in self.usual.iter_mut().zip(&self.periods) {
            let before = u.len().checked_sub(*p).map_or(v, |i| u[i]);
            u.push(before + SEASONS * (v - before));
        }
        self.y.push(v);
    }

    /// Forgets all but the last `keep` points once twice as many have gathered, so that its cost is constant a point.
    pub fn forget(&mut self, keep: usize) {
        if self.y.len() >= 2 * keep.max(1) {
            let drop = self.y.len() - keep;
            self.from += drop;
            self.y.drain(..drop);
            self.means.iter_mut().for_each(|m| drop_front(m, drop));
            self.usual.iter_mut().for_each(|m| drop_front(m, drop));
        }
    }

    /// Points taken since the beginning.
    pub fn taken(&self) -> usize {
        self.from + self.y.len()
    }

    /// The last value and the running means before point number `o`.
    fn now(&self, o: usize) -> (f64, [f64; 3]) {
        let i = o - 1 - self.from;
        (
            self.y[i],
            [self.means[0][i], self.means[1][i], self.means[2][i]],
        )
    }

    /// Value at the phase of point `o + h − 1` in the last whole season before `o`, and the medium mean as it was then.
    fn season_ago(&self, o: usize, h: usize, k: usize) -> Option<(f64, f64, f64)> {
        let period = self.periods[k];
        let back = period * h.div_ceil(period);
        let at = (o + h - 1).checked_sub(back + self.from)?;
        let then = (o - 1).checked_sub(back + self.from)?;
        Some((self.y[at], self.means[1][then], self.usual[k][at]))
    }

    /// What is usual at that phase, over the last seasons and whatever the level is now.
    pub fn usual(&self, o: usize, h: usize) -> f64 {
        let last = self.periods.len().checked_sub(1);
        match last.and_then(|k| self.season_ago(o, h, k)) {
            Some((_, _, usual)) => usual,
            None => self.now(o).1[2],
        }
    }

    /// Value a season of the trail's `k`-th period ago, moved by what the level has changed since; the last value without one.
    pub fn naive(&self, o: usize, h: usize, k: Option<usize>) -> f64 {
        let (last, means) = self.now(o);
        match k.and_then(|k| self.season_ago(o, h, k)) {
            Some((value, level, _)) => value + means[1] - level,
            None => last,
        }
    }

    /// Features at origin `o` for `h` ahead, and the base they are measured from; `None` where a season ago is unknown.
    fn features(&self, o: usize, h: usize, seen: &[f64]) -> Option<(f64, Row)> {
        let (last, [fast, medium, slow]) = self.now(o);
        let mut x = [0.0; WIDEST];
        x[..4].copy_from_slice(&[0.1, last - fast, fast - medium, medium - slow]);
        let mut k = 4;
        for f in seen {
            x[k] = f - fast;
            k += 1;
        }
        for s in 0..self.periods.len() {
            let (value, level, usual) = self.season_ago(o, h, s)?;
            x[k] = value - fast;
            x[k + 1] = level - fast;
            x[k + 2] = usual - fast;
            k += 3;
        }
        Some((fast, x))
    }
}

fn drop_front(v: &mut Vec<f64>, n: usize) {
    v.drain(..n);
}

/// Coefficients at a few horizons; between them they are interpolated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Direct {
    anchors: Vec<usize>,
    coefficients: Vec<Vec<f64>>,
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

/// Normal equations.
#[derive(Clone)]
struct Normal {
    a: [[f64; WIDEST]; WIDEST],
    b: Row,
}

impl Direct {
    /// Fits one regression at each anchor horizon; `None` when there are too few origins to learn from.
    pub fn fit(s: &Sights) -> Option<Fitted> {
        let width = 4 + s.smoothers.len().min(2) + 3 * s.trail.periods.len();
        let fits = (0..s.ahead.len())
            .map(|column| Self::fit_at(s, column, width))
            .collect::<Option<Vec<_>>>()?;
        let of = |k: usize| Direct {
            anchors: s.ahead.to_vec(),
            coefficients: fits.iter().map(|f| f[k].clone()).collect(),
        };
        Some(Fitted {
            all: of(0),
            without: (1..=FOLDS).map(of).collect(),
        })
    }

    /// Coefficients on all origins, then without each fold.
    fn fit_at(s: &Sights, column: usize, width: usize) -> Option<Vec<Vec<f64>>> {
        let (n, h) = (s.y.len(), s.ahead[column]);
        let last = n.checked_sub(h)?;
        let stride = (last.saturating_sub(s.burn)).div_ceil(ROWS).max(1);
        // Counted from the end, so that the newest lesson is always among them.
        let rows: Vec<Lesson> = (s.burn.max(1)..=last)
            .rev()
            .step_by(stride)
            .filter(|o| s.seen[o + h - 1])
            .filter_map(|o| {
                let r = o - s.burn;
                let (views, k) = s.views(r, column);
                let (base, x) = s.trail.features(o, h, &views[..k])?;
                Some(Lesson {
                    weight: s.recency[r],
                    target: s.y[o + h - 1] - base,
                    fold: fold(r, n - s.burn),
                    x,
                })
            })
            .collect();
        if rows.len() < 6 * width {
            return None;
        }
        let mut weights: Vec<f64> = rows.iter().map(|r| r.weight).collect();
        let mut folds = normal(&rows, &weights, width);
        let mut beta = solve(total(&folds, FOLDS), width);
        for _ in 0..ROUNDS {
            let off: Vec<f64> = rows
                .iter()
                .map(|r| (r.target - dot(&beta, &r.x)).abs())
                .collect();
            let typical = off.iter().sum::<f64>() / off.len() as f64;
            for ((w, r), e) in weights.iter_mut().zip(&rows).zip(&off) {
                *w = r.weight * typical / e.max(0.1 * typical).max(1e-12);
            }
            folds = normal(&rows, &weights, width);
            beta = solve(total(&folds, FOLDS), width);
        }
        let mut out = vec![beta];
        out.extend((0..FOLDS).map(|k| solve(total(&folds, k), width)));
        out.iter()
            .flatten()
            .all(|b| b.is_finite())
            .then_some(out)
    }

    fn coefficients_at(&self, h: usize) -> Vec<f64> {
        let k = self.anchors.partition_point(|a| *a < h);
        if k == 0 || k == self.anchors.len() {
            return self.coefficients[k.min(self.anchors.len() - 1)].clone();
        }
        let (a, b) = (self.anchors[k - 1], self.anchors[k]);
        let t = (h - a) as f64 / (b - a) as f64;
        self.coefficients[k - 1]
            .iter()
            .zip(&self.coefficients[k])
            .map(|(x, y)| x + (y - x) * t)
            .collect()
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
                self.at(&self.coefficients_at(h), trail, o, h, &views)
            })
            .collect()
    }

    fn at(&self, beta: &[f64], trail: &Trail, o: usize, h: usize, views: &[f64]) -> f64 {
        match trail.features(o, h, views) {
            Some((base, x)) => base + dot(beta, &x),
            None => views.first().copied().unwrap_or(0.0),
        }
    }

}

impl Fitted {
    /// Forecasts from every origin, shaped as the smoothers' are: each by the fit without its fold, the last by the whole.
    pub fn rolled(&self, s: &Sights) -> Array2<f64> {
        let last = s.y.len() - s.burn;
        let mut out = Array2::zeros((last + 1, s.ahead.len()));
        for (column, h) in s.ahead.iter().enumerate() {
            for (r, cell) in out.column_mut(column).iter_mut().enumerate() {
                let fit = if r == last { &self.all } else { &self.without[fold(r, last)] };
                let (views, k) = s.views(r, column);
                *cell = fit.at(&fit.coefficients[column], s.trail, s.burn + r, *h, &views[..k]);
            }
        }
        out
    }
}

/// The fold of origin `r` of `rows`: blocks, because neighbours share what they foretell.
fn fold(r: usize, rows: usize) -> usize {
    (r * FOLDS / rows.max(1)).min(FOLDS - 1)
}

fn dot(beta: &[f64], x: &Row) -> f64 {
    beta.iter().zip(x).map(|(b, v)| b * v).sum()
}

/// Weighted normal equations of each fold.
fn normal(rows: &[Lesson], weights: &[f64], width: usize) -> Vec<Normal> {
    let mut out = vec![
        Normal {
            a: [[0.0; WIDEST]; WIDEST],
            b: [0.0; WIDEST],
        };
        FOLDS
    ];
    for (l, w) in rows.iter().zip(weights) {
        let Normal { a, b } = &mut out[l.fold];
        for i in 0..width {
            let wx = w * l.x[i];
            b[i] += wx * l.target;
            for j in 0..=i {
                a[i][j] += wx * l.x[j];
            }
        }
    }
    out
}

/// The sum of all but fold `without` (none when there is no such fold).
fn total(folds: &[Normal], without: usize) -> Normal {
    let mut sum = Normal {
        a: [[0.0; WIDEST]; WIDEST],
        b: [0.0; WIDEST],
    };
    for f in folds.iter().enumerate().filter(|(k, _)| *k != without).map(|f| f.1) {
        for i in 0..WIDEST {
            sum.b[i] += f.b[i];
            for j in 0..=i {
                sum.a[i][j] += f.a[i][j];
            }
        }
    }
    sum
}

/// Ridge regression by Cholesky's decomposition of the normal equations.
fn solve(Normal { mut a, b }: Normal, width: usize) -> Vec<f64> {
    let trace: f64 = (0..width).map(|i| a[i][i]).sum();
    for (i, row) in a.iter_mut().enumerate().take(width) {
        row[i] += RIDGE * row[i] + 1e-7 * trace + 1e-12;
    }
    cholesky(a, b, width)
}

fn cholesky(mut a: [[f64; WIDEST]; WIDEST], mut b: [f64; WIDEST], n: usize) -> Vec<f64> {
    for i in 0..n {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| a[i][k] * a[j][k]).sum();
            if i == j {
                a[i][i] = (a[i][i] - sum).max(1e-300).sqrt();
            } else {
                a[i][j] = (a[i][j] - sum) / a[j][j];
            }
        }
    }
    for i in 0..n {
        let sum: f64 = (0..i).map(|k| a[i][k] * b[k]).sum();
        b[i] = (b[i] - sum) / a[i][i];
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|k| a[k][i] * b[k]).sum();
        b[i] = (b[i] - sum) / a[i][i];
    }
    b[..n].to_vec()
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
        let d = Direct::fit(&sights).unwrap();
        let rolled = d.rolled(&sights);
        let off: f64 = (100..1490)
            .map(|o| (rolled[[o - 100, 0]] - (2.0 + 0.8 * (y[o - 1] - 2.0))).abs())
            .sum::<f64>()
            / 1390.0;
        assert!(off < 0.02, "{off} from the best possible forecast");
    }

    #[test]
    fn normal_equations_are_solved() {
        let mut a = [[0.0; WIDEST]; WIDEST];
        a[0][0] = 4.0;
        a[1][0] = 2.0;
        a[1][1] = 3.0;
        let mut b = [0.0; WIDEST];
        b[0] = 10.0;
        b[1] = 8.0;
        let x = cholesky(a, b, 2);
        assert!(
            (4.0 * x[0] + 2.0 * x[1] - 10.0).abs() < 1e-9
                && (2.0 * x[0] + 3.0 * x[1] - 8.0).abs() < 1e-9
        );
    }

    #[test]
    fn a_trail_forgets_without_losing_count() {
        let y: Vec<f64> = (0..100).map(f64::from).collect();
        let mut t = Trail::new(&y, &[10]);
        let before = t.naive(100, 3, Some(0));
        t.forget(30);
        assert_eq!(t.taken(), 100);
        assert_eq!(t.naive(100, 3, Some(0)), before);
    }
}
