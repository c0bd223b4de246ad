//! How sure a forecast is: quantiles from the forecaster's own rolling-origin errors, by horizon.
//!
//! Split conformal prediction (Vovk et al. 2005; Lei et al., JASA 113, 2018) with weights that forget (Barber, Candès,
//! Ramdas & Tibshirani, "Conformal prediction beyond exchangeability", 2023) on errors scaled by what the level, the
//! latest surprises, the models' disagreement and the time of the season say about their size; crossing is undone by sorting (Chernozhukov, Fernández-Val & Galichon 2010).

use super::combine::Past;
use super::optimise::{logistic, minimise};
use super::rhythm::Rhythm;
use ndarray::Array2;
use serde::{Deserialize, Serialize};

/// Levels at which error quantiles are kept; others are interpolated.
pub const GRID: [f64; 23] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8,
    0.85, 0.9, 0.95, 0.975, 0.99, 0.995,
];
const MEDIAN: usize = 11;
/// Standard normal quantiles at `GRID`.
const NORMAL: [f64; 23] = [
    -2.576, -2.326, -1.960, -1.645, -1.282, -1.036, -0.842, -0.674, -0.524, -0.385, -0.253, 0.0,
    0.253, 0.385, 0.524, 0.674, 0.842, 1.036, 1.282, 1.645, 1.960, 2.326, 2.576,
];
/// Origins that a horizon's quantiles are taken from, about: neighbours err nearly alike.
const ROWS: usize = 1000;
/// Fewer origins than this say too little about the errors' distribution.
pub const FEWEST: f64 = 12.0;
/// Parameters of the mix that the errors have taught, about.
const FITTED: f64 = 4.0;
/// Memory of the latest surprises, as a smoothing constant.
const SURPRISE: f64 = 0.1;
/// Errors grow at most with this power of a sign.
const STRONGEST: f64 = 1.2;
/// Pull of the powers towards none.
const RIDGE: f64 = 0.02;
/// How much a surprise may narrow or widen a band.
const SWING: (f64, f64) = (0.33, 4.0);

/// Error quantiles by horizon, in units of the errors' expected size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bands {
    /// Errors grow with these powers of the [`SIGNS`].
    powers: [f64; SIGNS],
    /// Added to level and disagreement, so that a series at zero has errors too.
    floor: f64,
    usual: f64,
    /// Running size of one-step errors.
    recent: f64,
    rhythm: Rhythm,
    table: Table,
    /// Origins the quantiles rest on, after forgetting.
    pub origins: f64,
}

/// Where errors lie at each horizon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Table {
    Seen {
        /// Points ahead of each row of `offsets` and of `bias`.
        ahead: Vec<usize>,
        /// Rows × [`GRID`].
        offsets: Array2<f64>,
        /// Mean error.
        bias: Vec<f64>,
    },
    /// Normal, growing with the root of the horizon, up to `horizon` points ahead.
    Guessed { spread: f64, horizon: usize },
}

/// What errors may grow with: the level, the latest surprises, how far the models disagree, and the time of the season.
const SIGNS: usize = 4;
type Signs = [f64; SIGNS];

/// One horizon's scaled errors, with weights.
type Errors = Vec<(f64, f64)>;

/// What is known at each origin about the size of the errors to come.
struct Told {
    surprises: Vec<f64>,
    /// Origins × horizon.
    spread: Array2<f64>,
    rhythm: Array2<f64>,
}

/// One error, and the signs of its size.
struct Sized {
    weight: f64,
    error: f64,
    signs: Signs,
}

/// Squared distance of log errors from a linear function of the signs, each horizon about its own mean.
#[derive(Default)]
struct Quadratic {
    a: [[f64; SIGNS]; SIGNS],
    b: Signs,
    weight: f64,
}

impl Quadratic {
    fn add(&mut self, sizes: &[Sized]) {
        let weight: f64 = sizes.iter().map(|s| s.weight).sum();
        let mean = |f: &dyn Fn(&Sized) -> f64| {
            sizes.iter().map(|s| s.weight * f(s)).sum::<f64>() / weight.max(1e-300)
        };
        // The smallest errors' logarithms say little, and would say it loudest.
        let least = 0.1 * mean(&|s| s.error) + 1e-9;
        let log = |s: &Sized| (s.error + least).ln();
        let middle = mean(&log);
        let signs: Signs = std::array::from_fn(|k| mean(&|s| s.signs[k]));
        for s in sizes {
            let off = log(s) - middle;
            let apart: Signs = std::array::from_fn(|k| s.signs[k] - signs[k]);
            for ((row, b), x) in self.a.iter_mut().zip(&mut self.b).zip(&apart) {
                *b += s.weight * x * off;
                for (cell, y) in row.iter_mut().zip(&apart) {
                    *cell += s.weight * x * y;
                }
            }
        }
        self.weight += weight;
    }

    fn cost(&self, p: &Signs) -> f64 {
        let mut sum = 0.0;
        for i in 0..SIGNS {
            sum += p[i] * (RIDGE * self.weight * p[i] - 2.0 * self.b[i]);
            for j in 0..SIGNS {
                sum += p[i] * self.a[i][j] * p[j];
            }
        }
        sum / self.weight.max(1e-300)
    }
}

impl Bands {
    /// From mixed rolling forecasts (origins × horizon), what followed, and how far the members lay apart.
    pub fn fit(past: &Past, mixed: &Array2<f64>, period: usize) -> Option<Self> {
        let total: f64 = past.recency.iter().sum();
        let squares: f64 = past.recency.iter().map(|w| w * w).sum();
        let rows = mixed.nrows();
        let horizon = past.ahead.last().copied().unwrap_or(0);
        let origins = total * total / squares.max(1e-300);
        if horizon == 0 || rows <= horizon / 2 || origins < FEWEST {
            return None;
        }
        let surprises = surprises(past, mixed);
        let usual = (surprises.iter().sum::<f64>() / surprises.len() as f64).max(1e-9);
        let mut bands = Bands {
            powers: [0.0; SIGNS],
            floor: 0.05,
            usual,
            recent: surprises[rows - 1],
            rhythm: Rhythm::new(period),
            table: Table::Guessed {
                spread: 0.0,
                horizon,
            },
            origins,
        };
        let told = bands.listen(past, mixed, surprises);
        bands.powers = bands.shape(past, mixed, &told);
        bands.table = bands.table(past, mixed, &told);
        Some(bands)
    }

    /// Where the scaled errors of the past lie.
    fn table(&self, past: &Past, mixed: &Array2<f64>, told: &Told) -> Table {
        let columns = mixed.ncols();
        let mut offsets = Array2::zeros((columns, GRID.len()));
        let mut bias = vec![0.0; columns];
        for h in 0..columns {
            let mut errors = self.errors(past, mixed, told, h);
            if errors.is_empty() {
                // The end of a long horizon may not have been reached yet.
                for k in 0..GRID.len() {
                    offsets[[h, k]] = if h > 0 { offsets[[h - 1, k]] } else { 0.0 };
                }
                continue;
            }
            let weight: f64 = errors.iter().map(|e| e.1).sum();
            bias[h] = errors.iter().map(|e| e.0 * e.1).sum::<f64>() / weight;
            let row = conformal(&mut errors, past.ahead[h]);
            offsets
                .row_mut(h)
                .iter_mut()
                .zip(row)
                .for_each(|(o, q)| *o = q);
        }
        Table::Seen {
            ahead: past.ahead.to_vec(),
            offsets,
            bias,
        }
    }

    /// A wide band for a series too short to have shown its errors: normal, growing with the root of the horizon.
    pub fn guess(spread: f64, horizon: usize) -> Self {
        Bands {
            powers: [0.0; SIGNS],
            floor: 0.05,
            usual: 1.0,
            recent: 1.0,
            rhythm: Rhythm::default(),
            table: Table::Guessed { spread, horizon },
            origins: 0.0,
        }
    }

    /// Goes through the past once, and leaves the rhythm where it stands at the end.
    fn listen(&mut self, past: &Past, mixed: &Array2<f64>, surprises: Vec<f64>) -> Told {
        let (rows, columns) = mixed.dim();
        let mut rhythm = Array2::zeros((rows, columns));
        for r in 0..rows {
            let ahead = self.rhythm.ahead(past.ahead, self.usual);
            rhythm
                .row_mut(r)
                .iter_mut()
                .zip(ahead)
                .for_each(|(c, v)| *c = v);
            if r + 1 < rows {
                let error = past
                    .actual(r, 0)
                    .map_or(self.usual, |a| (a - mixed[[r, 0]]).abs());
                self.rhythm.push(error);
            }
        }
        Told {
            surprises,
            spread: apart(past.rolled, mixed),
            rhythm,
        }
    }

    fn signs(&self, f: f64, recent: f64, spread: f64, rhythm: f64) -> Signs {
        [
            (self.floor + f.max(0.0)).ln(),
            (recent / self.usual).clamp(SWING.0, SWING.1).ln(),
            (self.floor + spread).ln(),
            (rhythm / self.usual).clamp(0.1, 10.0).ln(),
        ]
    }

    fn size(&self, signs: &Signs) -> f64 {
        let mut sum = 0.0;
        for (sign, power) in signs.iter().zip(&self.powers) {
            sum += sign * power;
        }
        sum.exp()
    }

    fn signs_at(&self, mixed: &Array2<f64>, told: &Told, r: usize, h: usize) -> Signs {
        self.signs(
            mixed[[r, h]],
            told.surprises[r],
            told.spread[[r, h]],
            told.rhythm[[r, h]],
        )
    }

    fn errors(&self, past: &Past, mixed: &Array2<f64>, told: &Told, h: usize) -> Errors {
        (0..mixed.nrows())
            .rev()
            .step_by(mixed.nrows().div_ceil(ROWS))
            .filter_map(|r| {
                let e = past.actual(r, h)? - mixed[[r, h]];
                Some((
                    e / self.size(&self.signs_at(mixed, told, r, h)),
                    past.recency[r],
                ))
            })
            .collect()
    }

    /// Powers within bounds for which the errors' logarithm follows the signs' best: least squares with a ridge, by argmin.
    fn shape(&self, past: &Past, mixed: &Array2<f64>, told: &Told) -> Signs {
        let mut q = Quadratic::default();
        let rows = mixed.nrows();
        for h in 0..mixed.ncols() {
            let sizes: Vec<Sized> = (0..rows)
                .rev()
                .step_by(rows.div_ceil(ROWS / 2))
                .filter_map(|r| {
                    Some(Sized {
                        weight: past.recency[r] * past.share(h),
                        error: (past.actual(r, h)? - mixed[[r, h]]).abs(),
                        signs: self.signs_at(mixed, told, r, h),
                    })
                })
                .collect();
            if sizes.len() >= FEWEST as usize {
                q.add(&sizes);
            }
        }
        let powers =
            |free: &[f64]| -> Signs { std::array::from_fn(|k| STRONGEST * logistic(free[k])) };
        let start = [-1.0; SIGNS];
        powers(&minimise(&start, 1.0, 150, |free| q.cost(&powers(free))).0)
    }

    /// Means and quantiles at `levels` for each of the mixed forecasts `mix` from the next point on; the members lie
    /// `spread` apart.
    pub fn around(&self, mix: &[f64], spread: &[f64], levels: &[f64]) -> Vec<(f64, Vec<f64>)> {
        let rhythm = self
            .rhythm
            .ahead(&(1..=mix.len()).collect::<Vec<_>>(), self.usual);
        (0..mix.len())
            .map(|h| {
                let signs = self.signs(mix[h], self.recent, spread[h], rhythm[h]);
                self.at(mix[h], h + 1, self.size(&signs), levels)
            })
            .collect()
    }

    fn at(&self, f: f64, h: usize, size: f64, levels: &[f64]) -> (f64, Vec<f64>) {
        let (row, bias) = self.table.at(h);
        let at = |level: f64| (f + size * between(&row, level)).max(0.0);
        // In the order of the levels asked for, and never crossing.
        let mut order: Vec<usize> = (0..levels.len()).collect();
        order.sort_by(|a, b| levels[*a].total_cmp(&levels[*b]));
        let mut out = vec![0.0; levels.len()];
        let mut floor = 0.0f64;
        for i in order {
            floor = floor.max(at(levels[i]));
            out[i] = floor;
        }
        ((f + size * bias).max(0.0), out)
    }

    /// Takes in the newest one-step error, so that the band breathes without a refit.
    pub fn surprise(&mut self, error: Option<f64>) {
        let size = error.map_or(self.usual, f64::abs);
        self.rhythm.push(size);
        if error.is_some() {
            self.recent += SURPRISE * (size - self.recent);
        }
    }
}

impl Table {
    /// Offsets at [`GRID`] and the mean error `h` points ahead, in units of the errors' expected size.
    fn at(&self, h: usize) -> ([f64; GRID.len()], f64) {
        match self {
            Table::Seen {
                ahead,
                offsets,
                bias,
            } => {
                let (a, b, t) = around(ahead, h);
                let row = |k| offsets[[a, k]] + (offsets[[b, k]] - offsets[[a, k]]) * t;
                let bias = bias[a] + (bias[b] - bias[a]) * t;
                (std::array::from_fn(row), bias)
            }
            Table::Guessed { spread, horizon } => {
                let grown = (h.min(*horizon).max(1) as f64).sqrt().min(4.0);
                (NORMAL.map(|q| q * spread * grown), 0.0)
            }
        }
    }
}

/// The rows around `h` points ahead, and how far it lies from the first to the second.
fn around(ahead: &[usize], h: usize) -> (usize, usize, f64) {
    let k = ahead.partition_point(|a| *a < h);
    if k == 0 || k == ahead.len() {
        let end = k.min(ahead.len() - 1);
        return (end, end, 0.0);
    }
    let (a, b) = (ahead[k - 1], ahead[k]);
    (k - 1, k, (h - a) as f64 / (b - a) as f64)
}

/// Mean distance of the members from their mix.
fn apart(rolled: &[Array2<f64>], mixed: &Array2<f64>) -> Array2<f64> {
    let mut out = Array2::zeros(mixed.dim());
    for m in rolled {
        // Over slices, which the compiler turns into vector instructions.
        if let (Some(o), Some(a), Some(b)) = (out.as_slice_mut(), m.as_slice(), mixed.as_slice()) {
            for ((o, a), b) in o.iter_mut().zip(a).zip(b) {
                *o += (a - b).abs();
            }
        }
    }
    out / rolled.len().max(1) as f64
}

/// Running size of one-step errors before each origin.
fn surprises(past: &Past, mixed: &Array2<f64>) -> Vec<f64> {
    let rows = mixed.nrows();
    let first: Vec<f64> = (0..rows.min(20))
        .filter_map(|r| Some((past.actual(r, 0)? - mixed[[r, 0]]).abs()))
        .collect();
    let mut size = first.iter().sum::<f64>() / first.len().max(1) as f64;
    let mut out = Vec::with_capacity(rows);
    for r in 0..rows {
        out.push(size);
        if let Some(actual) = past.actual(r, 0) {
            size += SURPRISE * ((actual - mixed[[r, 0]]).abs() - size);
        }
    }
    out
}

/// Weighted error quantiles at `GRID`, each tail moved outwards by what a finite sample may hide.
fn conformal(errors: &mut Errors, h: usize) -> [f64; GRID.len()] {
    errors.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = errors.iter().map(|e| e.1).sum();
    let squares: f64 = errors.iter().map(|e| e.1 * e.1).sum();
    // Errors of overlapping forecasts repeat one another.
    let independent = (total * total / squares.max(1e-300) / (h as f64).sqrt()).max(1.0);
    let mut out = [0.0; GRID.len()];
    let (mut k, mut below) = (0, 0.0);
    for (slot, level) in out.iter_mut().zip(GRID) {
        let moved = (level + (2.0 * level - 1.0) / (independent + 1.0)).clamp(0.0, 1.0);
        while k + 1 < errors.len() && below + 0.5 * errors[k].1 < moved * total {
            below += errors[k].1;
            k += 1;
        }
        *slot = errors[k].0;
    }
    // The mix was fitted to these errors: those to come are larger.
    let middle = out[MEDIAN];
    let grown = (1.0 + FITTED / independent).sqrt();
    out.map(|q| middle + grown * (q - middle))
}

/// The standard normal quantile at `level`, cut at the ends of [`GRID`].
pub fn normal(level: f64) -> f64 {
    between(&NORMAL, level)
}

fn between(row: &[f64], level: f64) -> f64 {
    let k = GRID.partition_point(|g| *g < level);
    if row.len() != GRID.len() {
        return 0.0;
    }
    if k == 0 || k == GRID.len() {
        return row[k.min(GRID.len() - 1)];
    }
    let t = (level - GRID[k - 1]) / (GRID[k] - GRID[k - 1]);
    row[k - 1] + (row[k] - row[k - 1]) * t
}

/// The loss that the quantile at `level` minimises.
pub fn pinball(level: f64, actual: f64, quantile: f64) -> f64 {
    let off = actual - quantile;
    if off >= 0.0 {
        level * off
    } else {
        (level - 1.0) * off
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guess_is_wide_ordered_and_not_negative() {
        let b = Bands::guess(0.5, 6);
        let (_, q) = b
            .around(&[1.0; 6], &[0.0; 6], &[0.99, 0.1, 0.5, 0.9])
            .remove(5);
        assert!(q[1] <= q[2] && q[2] <= q[3] && q[3] <= q[0]);
        assert_eq!(q[1], 0.0);
        assert!(q[3] - q[1] > 1.5, "{q:?}");
    }

    #[test]
    fn errors_that_grow_with_the_level_give_a_band_that_does() {
        let mut dice = super::super::simulated::Dice::new(3);
        let level = |i: usize| if (i / 20).is_multiple_of(2) { 1.0 } else { 4.0 };
        let y: Vec<f64> = (0..800)
            .map(|i| level(i) * (1.0 + 0.1 * dice.normal()))
            .collect();
        let mixed = Array2::from_shape_fn((701, 3), |(r, h)| level(100 + r + h));
        let past = Past {
            rolled: &[],
            ahead: &[1, 2, 3],
            y: &y,
            seen: &[true; 800],
            burn: 100,
            recency: &vec![1.0; 701],
        };
        let b = Bands::fit(&past, &mixed, 0).unwrap();
        let width = |f: f64| {
            let q = b.around(&[f; 2], &[0.0; 2], &[0.1, 0.9]).remove(1).1;
            q[1] - q[0]
        };
        assert!(
            width(4.0) / width(1.0) > 2.5,
            "{} {}",
            width(4.0),
            width(1.0)
        );
        assert!((width(1.0) / 0.256 - 1.0).abs() < 0.3, "{}", width(1.0));
    }
}
