//! Regression of the median on a few features: pinball loss with a ridge, by L-BFGS in coordinates where the ridge regression,
//! which is known in closed form, is a sphere.
//!
//! Koenker & Bassett, "Regression quantiles", Econometrica 46 (1978); the corner of their loss is rounded as in Fernandes,
//! Guerre & Horta, "Smoothing quantile regressions", J. Business & Economic Statistics 39 (2021).

use super::optimise::descend;

/// Shrinkage of each coefficient, as a share of its own information.
const RIDGE: f64 = 0.01;
/// Radius of the rounded corner, as a share of the median error (chosen with an eye on real load).
const ROUND: f64 = 1.0;
/// Steps of L-BFGS at most; the coordinates make each worth many.
const STEPS: u64 = 10;
/// A step that gains less than this share of the loss is the last.
const GAIN: f64 = 1e-4;

/// Blocks of origins; each is foretold by a fit without it.
pub const FOLDS: usize = 6;

/// One lesson: what is known, what followed, and how much it counts.
#[derive(Clone, Debug)]
pub struct Row<const N: usize> {
    pub weight: f64,
    pub target: f64,
    pub x: [f64; N],
}

/// Normal equations; of the matrix, the lower half.
#[derive(Clone)]
pub struct Normal<const N: usize> {
    pub a: [[f64; N]; N],
    pub b: [f64; N],
}

impl<const N: usize> Default for Normal<N> {
    fn default() -> Self {
        Normal {
            a: [[0.0; N]; N],
            b: [0.0; N],
        }
    }
}

impl<const N: usize> Normal<N> {
    pub fn take(&mut self, row: &Row<N>, weight: f64, width: usize) {
        for i in 0..width {
            let wx = weight * row.x[i];
            self.b[i] += wx * row.target;
            for (cell, x) in self.a[i].iter_mut().zip(&row.x[..=i]) {
                *cell += wx * x;
            }
        }
    }

    pub fn add(&mut self, other: &Self) {
        for (x, y) in self.b.iter_mut().zip(&other.b) {
            *x += y;
        }
        for (to, from) in self.a.iter_mut().zip(&other.a) {
            for (x, y) in to.iter_mut().zip(from) {
                *x += y;
            }
        }
    }

    /// Cholesky's factor of the matrix with its ridge, of the first `width` features.
    pub fn factor(&self, width: usize) -> Factor<N> {
        let mut l = self.a;
        let trace: f64 = (0..width).map(|i| l[i][i]).sum();
        for (i, row) in l.iter_mut().enumerate().take(width) {
            row[i] += RIDGE * row[i] + 1e-7 * trace + 1e-12;
        }
        for i in 0..width {
            for j in 0..=i {
                let sum: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
                if i == j {
                    l[i][i] = (l[i][i] - sum).max(1e-300).sqrt();
                } else {
                    l[i][j] = (l[i][j] - sum) / l[j][j];
                }
            }
        }
        Factor { l, width }
    }

    /// Coefficients of the ridge regression.
    pub fn solve(&self, width: usize) -> [f64; N] {
        let f = self.factor(width);
        f.back(f.forth(self.b))
    }
}

/// `L` of `L Lᵀ`.
pub struct Factor<const N: usize> {
    l: [[f64; N]; N],
    width: usize,
}

impl<const N: usize> Factor<N> {
    /// `L⁻¹ b`.
    fn forth(&self, mut b: [f64; N]) -> [f64; N] {
        for i in 0..self.width {
            let sum: f64 = (0..i).map(|k| self.l[i][k] * b[k]).sum();
            b[i] = (b[i] - sum) / self.l[i][i];
        }
        b
    }

    /// `L⁻ᵀ b`.
    fn back(&self, mut b: [f64; N]) -> [f64; N] {
        for i in (0..self.width).rev() {
            let sum: f64 = (i + 1..self.width).map(|k| self.l[k][i] * b[k]).sum();
            b[i] = (b[i] - sum) / self.l[i][i];
        }
        b
    }

    /// `Lᵀ b`.
    fn up(&self, b: &[f64; N]) -> Vec<f64> {
        (0..self.width)
            .map(|i| (i..self.width).map(|k| self.l[k][i] * b[k]).sum())
            .collect()
    }
}

pub fn dot<const N: usize>(beta: &[f64; N], x: &[f64; N]) -> f64 {
    // Four sums side by side, which a processor adds at once.
    let mut sums = [0.0; 4];
    for (b, v) in beta.chunks_exact(4).zip(x.chunks_exact(4)) {
        for k in 0..4 {
            sums[k] += b[k] * v[k];
        }
    }
    let done = N / 4 * 4;
    let rest: f64 = beta[done..]
        .iter()
        .zip(&x[done..])
        .map(|(b, v)| b * v)
        .sum();
    sums.iter().sum::<f64>() + rest
}

/// Coefficients, and the weights under which a ridge regression has the same answer.
pub struct Median<const N: usize> {
    pub beta: [f64; N],
    pub weights: Vec<f64>,
}

/// The loss in coordinates `u` where the information of the rows is a sphere: `β = L⁻ᵀ u`.
struct Rounded<'a, const N: usize> {
    rows: &'a [Row<N>],
    all: Normal<N>,
    factor: Factor<N>,
    /// Mean error at the start.
    typical: f64,
    /// Radius of the corner.
    round: f64,
}

impl<const N: usize> Rounded<'_, N> {
    fn beta(&self, u: &[f64]) -> [f64; N] {
        let mut b = [0.0; N];
        b[..u.len()].copy_from_slice(u);
        self.factor.back(b)
    }

    /// Scaled by the typical error, it has about the curvature of half the squares: one, in these coordinates.
    fn cost(&self, u: &[f64], slope: &mut [f64]) -> f64 {
        let beta = self.beta(u);
        let (mut sum, mut pull) = (0.0, [0.0; N]);
        for r in self.rows {
            let e = r.target - dot(&beta, &r.x);
            let size = (e * e + self.round * self.round).sqrt();
            sum += r.weight * size;
            let g = r.weight * self.typical * e / size;
            for (p, x) in pull.iter_mut().zip(&r.x) {
                *p -= g * x;
            }
        }
        sum *= self.typical;
        for (i, p) in pull.iter_mut().enumerate().take(u.len()) {
            let ridge = RIDGE * self.all.a[i][i];
            sum += 0.5 * ridge * beta[i] * beta[i];
            *p += ridge * beta[i];
        }
        slope.copy_from_slice(&self.factor.forth(pull)[..u.len()]);
        sum
    }

    /// Each row's weight over the size of its error.
    fn weights(&self, beta: &[f64; N]) -> Vec<f64> {
        let weight = |r: &Row<N>| {
            let e = r.target - dot(beta, &r.x);
            r.weight * self.typical / (e * e + self.round * self.round).sqrt()
        };
        self.rows.iter().map(weight).collect()
    }
}

/// Coefficients of the first `width` features that minimise the rounded pinball loss at one half, with a ridge, from `warm`
/// or from the ridge regression, whichever is better. `None` when the rows say nothing.
pub fn median<const N: usize>(
    rows: &[Row<N>],
    width: usize,
    warm: Option<&[f64; N]>,
) -> Option<Median<N>> {
    let mut all = Normal::default();
    rows.iter().for_each(|r| all.take(r, r.weight, width));
    let factor = all.factor(width);
    let ridge = factor.back(factor.forth(all.b));
    let total: f64 = rows.iter().map(|r| r.weight).sum();
    let size = |beta: &[f64; N], r: &Row<N>| (r.target - dot(beta, &r.x)).abs();
    let off = |beta: &[f64; N]| rows.iter().map(|r| r.weight * size(beta, r)).sum::<f64>() / total;
    let (mut start, mut typical) = (ridge, off(&ridge));
    if let Some((warm, near)) = warm.map(|w| (*w, off(w))).filter(|w| w.1 < typical) {
        (start, typical) = (warm, near);
    }
    if !typical.is_finite() {
        return None;
    }
    // By the median error, which a few wild rows do not move.
    let mut sizes: Vec<f64> = rows.iter().map(|r| size(&start, r)).collect();
    let half = sizes.len() / 2;
    let middle = *sizes.select_nth_unstable_by(half, f64::total_cmp).1;
    let loss = Rounded {
        rows,
        round: (ROUND * middle).max(1e-3 * typical).max(1e-12),
        all,
        factor,
        typical,
    };
    let gain = GAIN * total * typical * typical;
    let start = loss.factor.up(&start);
    let best = descend(&start, STEPS, gain, |u, slope| loss.cost(u, slope)).0;
    let beta = loss.beta(&best);
    beta.iter().all(|b| b.is_finite()).then(|| Median {
        weights: loss.weights(&beta),
        beta,
    })
}

impl<const N: usize> Median<N> {
    /// Coefficients without each fold of the rows: one step of reweighted least squares from the fit on all (the
    /// infinitesimal jackknife of Giordano et al., AISTATS 2019), which is close and cheap. `None` where one is not finite.
    pub fn without_each(
        &self,
        rows: &[Row<N>],
        folds: &[usize],
        width: usize,
    ) -> Option<Vec<[f64; N]>> {
        let mut parts = vec![Normal::<N>::default(); FOLDS];
        for ((row, fold), weight) in rows.iter().zip(folds).zip(&self.weights) {
            parts[*fold].take(row, *weight, width);
        }
        let without = |fold: usize| {
            let mut rest = Normal::default();
            let others = parts.iter().enumerate().filter(|(k, _)| *k != fold);
            others.for_each(|(_, p)| rest.add(p));
            rest.solve(width)
        };
        let out: Vec<[f64; N]> = (0..FOLDS).map(without).collect();
        out.iter().flatten().all(|b| b.is_finite()).then_some(out)
    }
}

/// The fold of origin `r` of `rows`: blocks, because neighbours share what they foretell.
pub fn fold(r: usize, rows: usize) -> usize {
    (r * FOLDS / rows.max(1)).min(FOLDS - 1)
}

#[cfg(test)]
mod tests {
    use super::super::simulated::Dice;
    use super::*;

    #[test]
    fn normal_equations_are_solved() {
        let mut n = Normal::<4>::default();
        n.a[0][0] = 4.0;
        n.a[1][0] = 2.0;
        n.a[1][1] = 3.0;
        n.b = [10.0, 8.0, 0.0, 0.0];
        let f = n.factor(2);
        let x = f.back(f.forth(n.b));
        let ridge = |i: usize| n.a[i][i] * (1.0 + RIDGE);
        assert!((ridge(0) * x[0] + 2.0 * x[1] - 10.0).abs() < 1e-4, "{x:?}");
        assert!((2.0 * x[0] + ridge(1) * x[1] - 8.0).abs() < 1e-4, "{x:?}");
        let up = f.up(&x);
        let down = f.forth(n.b);
        assert!((up[0] - down[0]).abs() < 1e-9 && (up[1] - down[1]).abs() < 1e-9);
    }

    #[test]
    fn one_wild_row_in_twenty_hardly_moves_the_line_and_a_fold_is_left_out() {
        let mut dice = Dice::new(3);
        let rows: Vec<Row<4>> = (0..3000)
            .map(|i| {
                let x = dice.uniform();
                let wild = if i % 20 == 0 { 100.0 } else { 0.0 };
                // The last sixth follows another line.
                let slope = if i < 2500 { 2.0 } else { 8.0 };
                Row {
                    weight: 1.0,
                    target: 1.0 + slope * x + 0.5 * dice.normal() + wild,
                    x: [1.0, x, 0.0, 0.0],
                }
            })
            .collect();
        let tame = median(&rows[..2500], 2, None).unwrap().beta;
        // The mean lies five higher.
        assert!(
            (tame[0] - 1.0).abs() < 0.4 && (tame[1] - 2.0).abs() < 0.15,
            "{tame:?}"
        );
        let fit = median(&rows, 2, Some(&tame)).unwrap();
        let folds: Vec<usize> = (0..3000).map(|i| fold(i, 3000)).collect();
        let without = fit.without_each(&rows, &folds, 2).unwrap();
        assert!(
            (without[5][1] - 2.0).abs() < 0.5 * (fit.beta[1] - 2.0),
            "{:?} and without the last fold {:?}",
            fit.beta,
            without[5]
        );
    }
}
