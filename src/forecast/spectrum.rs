//! The periodogram of a series and, by the theorem of Wiener and Khinchin, its autocorrelation, from one Fourier transform.
//!
//! Lines are tested as Fisher did (Proc. R. Soc. A 125, 1929), against a robust background rather than against white noise:
//! the median of the neighbouring ordinates of the series without its first-order autocorrelation (Mann & Lees, Climatic Change
//! 33, 1996; Vaughan, A&A 431, 2005), so that a drifting level is not taken for a long period.

use std::f64::consts::TAU;

/// Chance that noise shows a line anywhere.
const CHANCE: f64 = 0.01;
/// The background is taken from this factor below to this factor above a frequency.
const AROUND: f64 = 1.8;
/// It is taken anew at frequencies this factor apart.
const STAIR: f64 = 1.2;
/// Independent ordinates that a background needs.
const FEWEST: usize = 12;

type Complex = (f64, f64);

/// Padded to at least twice its length, so that lags do not wrap around and lines lie between ordinates.
pub struct Spectrum {
    points: usize,
    /// Squared size at `k / bins` cycles a point, up to half a cycle.
    power: Vec<f64>,
    bins: usize,
}

impl Spectrum {
    /// Of values about zero.
    pub fn of(d: &[f64]) -> Self {
        let bins = (2 * d.len()).next_power_of_two().max(2);
        let mut z: Vec<Complex> = d.iter().map(|v| (*v, 0.0)).collect();
        z.resize(bins, (0.0, 0.0));
        transform(&mut z);
        Spectrum {
            points: d.len(),
            power: z[..=bins / 2]
                .iter()
                .map(|c| c.0 * c.0 + c.1 * c.1)
                .collect(),
            bins,
        }
    }

    /// Sums of products at each lag, over the number of terms, or long periods would be put at a disadvantage.
    pub fn autocovariance(&self, lags: usize) -> Vec<f64> {
        let mut z: Vec<Complex> = (0..self.bins)
            .map(|k| (self.power[k.min(self.bins - k)], 0.0))
            .collect();
        transform(&mut z);
        (0..lags.min(self.points))
            .map(|l| z[l].0 / (self.bins as f64 * (self.points - l) as f64))
            .collect()
    }

    /// The same without the first-order autocorrelation `r`: what drifts is flattened.
    fn whitened(&self, r: f64) -> Vec<f64> {
        let filter = |k: usize| 1.0 + r * r - 2.0 * r * (TAU * k as f64 / self.bins as f64).cos();
        self.power
            .iter()
            .enumerate()
            .map(|(k, p)| p * filter(k))
            .collect()
    }

    /// Significant lines as period in points and size over the background, the clearest first; periods that the series
    /// holds fewer than three of are not looked at.
    pub fn lines(&self) -> Vec<(f64, f64)> {
        let c = self.autocovariance(2);
        if c.len() < 2 || c[0] <= 1e-18 {
            return Vec::new();
        }
        let power = self.whitened((c[1] / c[0]).clamp(0.0, 1.0));
        let per = self.bins as f64 / self.points as f64;
        let ordinates = self.points as f64 / 2.0;
        let needed = -(-(1.0 - CHANCE).ln() / ordinates).ln();
        let mut out = Vec::new();
        // The background changes slowly: it is taken a few times an octave.
        let (mut ground, mut until) = (0.0, 0);
        for k in ((3.0 * per).ceil() as usize).max(1)..power.len() - 1 {
            if k >= until {
                until = (k as f64 * STAIR) as usize + 1;
                ground = background(&power, (k + until) / 2, per).max(1e-300);
            }
            let size = power[k] / ground;
            if size > needed && power[k] >= power[k - 1] && power[k] > power[k + 1] {
                out.push((self.bins as f64 / top(&power, k), size));
            }
        }
        out.sort_by(|a, b| b.1.total_cmp(&a.1));
        out
    }
}

/// Where the parabola through three ordinates about `k` has its top.
fn top(power: &[f64], k: usize) -> f64 {
    let [a, b, c] = [k - 1, k, k + 1].map(|i| power[i].max(1e-300).ln());
    let bow = a - 2.0 * b + c;
    k as f64 + if bow < 0.0 { 0.5 * (a - c) / bow } else { 0.0 }
}

/// The mean that the ordinates about `k` would have were they noise: their median over ln 2.
fn background(power: &[f64], k: usize, per: f64) -> f64 {
    let reach = (FEWEST as f64 * per) as usize;
    let from = (k as f64 / AROUND) as usize;
    let to = ((k as f64 * AROUND) as usize)
        .max(k + reach)
        .min(power.len());
    let mut near: Vec<f64> = (from.max(1)..to)
        .step_by((per as usize).max(1))
        .map(|i| power[i])
        .collect();
    if near.is_empty() {
        return f64::INFINITY;
    }
    let middle = near.len() / 2;
    *near.select_nth_unstable_by(middle, f64::total_cmp).1 / std::f64::consts::LN_2
}

/// The fast Fourier transform in place (Cooley & Tukey 1965); the length is a power of two.
fn transform(z: &mut [Complex]) {
    let n = z.len();
    let bits = n.trailing_zeros();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            z.swap(i, j);
        }
    }
    let turns: Vec<Complex> = (0..n / 2)
        .map(|k| (TAU * k as f64 / n as f64).sin_cos())
        .map(|(sin, cos)| (cos, -sin))
        .collect();
    let mut half = 1;
    while half < n {
        let stride = n / (2 * half);
        for block in z.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for ((a, b), t) in low.iter_mut().zip(high).zip(turns.iter().step_by(stride)) {
                let turned = (b.0 * t.0 - b.1 * t.1, b.0 * t.1 + b.1 * t.0);
                *b = (a.0 - turned.0, a.1 - turned.1);
                *a = (a.0 + turned.0, a.1 + turned.1);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulated::Dice;
    use super::*;

    #[test]
    fn the_autocovariance_is_that_of_the_plain_sums() {
        let mut dice = Dice::new(1);
        let d: Vec<f64> = (0..300).map(|_| dice.normal()).collect();
        let fast = Spectrum::of(&d).autocovariance(150);
        for lag in [0, 1, 7, 149] {
            let sum: f64 = d.iter().zip(&d[lag..]).map(|(a, b)| a * b).sum();
            assert!((fast[lag] - sum / (300 - lag) as f64).abs() < 1e-9);
        }
    }

    #[test]
    fn a_period_between_two_points_is_told_to_a_hundredth() {
        let mut dice = Dice::new(2);
        let d: Vec<f64> = (0..1000)
            .map(|i| (TAU * f64::from(i) / 36.4).sin() + 0.5 * dice.normal())
            .collect();
        let lines = Spectrum::of(&d).lines();
        assert!((lines[0].0 - 36.4).abs() < 0.1, "{lines:?}");
    }

    #[test]
    fn noise_white_red_or_walking_shows_a_line_in_few_series_of_a_hundred() {
        for (name, keep) in [("white", 0.0), ("red", 0.9), ("walk", 1.0)] {
            let with_line = (0..100)
                .filter(|seed| {
                    let mut dice = Dice::new(*seed);
                    let mut x = 0.0;
                    let y: Vec<f64> = (0..600)
                        .map(|_| {
                            x = keep * x + dice.normal();
                            x
                        })
                        .collect();
                    let mean = y.iter().sum::<f64>() / 600.0;
                    let d: Vec<f64> = y.iter().map(|v| v - mean).collect();
                    !Spectrum::of(&d).lines().is_empty()
                })
                .count();
            println!("{name}: {with_line} of 100");
            assert!(with_line <= 8, "{name}: {with_line} of 100");
        }
    }
}
