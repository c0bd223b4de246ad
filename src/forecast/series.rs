//! Irregular readings become a regular series, and a regular series becomes one that can be fitted: scaled, filled, with a mask.

use crate::model::{Moment, Span};
use ndarray::Array1;

/// A regular series; a gap is NaN. The history of the house, under the name the forecaster uses.
pub use crate::model::Series as Samples;

/// Longest grid that irregular readings may span, so that one stray timestamp cannot ask for terabytes.
pub const LONGEST: i64 = 5_000_000;
/// Readings beyond this are cut to it: no load is that high, and sums of squares stay finite.
const HIGHEST: f64 = 1e18;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SeriesError {
    #[error("no series from no readings: give at least one `timestamp,value`")]
    Empty,
    #[error("no series at a step of {0} ms: the step must be above zero")]
    Step(i64),
    #[error(
        "the readings span {steps} steps of {step_ms} ms, more than {LONGEST}: give a longer step, or remove the stray timestamp"
    )]
    TooLong { steps: i64, step_ms: i64 },
}

/// Puts irregular `(moment, value)` readings, in any order, on a regular grid of `step` (the median distance when `None`).
/// Readings that fall on one grid point are averaged, those that are not finite are left out, and empty grid points are NaN.
pub fn regular(readings: &[(Moment, f64)], step: Option<Span>) -> Result<Samples, SeriesError> {
    let mut sorted: Vec<(Moment, f64)> = readings.to_vec();
    sorted.sort_by_key(|r| r.0);
    let (first, last) = match (sorted.first(), sorted.last()) {
        (Some(a), Some(b)) => (a.0, b.0),
        _ => return Err(SeriesError::Empty),
    };
    let step = step.unwrap_or_else(|| typical_step(&sorted));
    if step.0 <= 0 {
        return Err(SeriesError::Step(step.0));
    }
    // i128, because timestamps from a file may lie anywhere.
    let slot = |m: Moment| {
        let d = i128::from(m.0) - i128::from(first.0);
        (d + i128::from(step.0) / 2) / i128::from(step.0)
    };
    let steps = slot(last);
    if steps >= i128::from(LONGEST) {
        return Err(SeriesError::TooLong {
            steps: i64::try_from(steps).unwrap_or(i64::MAX),
            step_ms: step.0,
        });
    }
    let mut sums = vec![(0.0f64, 0u32); steps as usize + 1];
    for (m, v) in sorted.iter().filter(|r| r.1.is_finite()) {
        let cell = &mut sums[slot(*m) as usize];
        cell.1 += 1;
        // A running mean, because a sum of large readings could overflow.
        cell.0 += (v - cell.0) / f64::from(cell.1);
    }
    Ok(Samples {
        start: first,
        step,
        values: sums
            .into_iter()
            .map(|(mean, n)| if n == 0 { f64::NAN } else { mean })
            .collect(),
    })
}

/// Rates a second from the readings of a counter, in any order. A counter that falls has been reset, and has counted
/// from zero since. The first reading only says where it begins; readings of one moment count once.
pub fn rates(readings: &[(Moment, f64)]) -> Vec<(Moment, f64)> {
    let mut sorted: Vec<(Moment, f64)> = readings
        .iter()
        .copied()
        .filter(|r| r.1.is_finite())
        .collect();
    sorted.sort_by_key(|r| r.0);
    sorted.dedup_by_key(|r| r.0);
    sorted
        .windows(2)
        .map(|w| {
            let counted = if w[1].1 < w[0].1 { w[1].1 } else { w[1].1 - w[0].1 };
            (w[1].0, counted.max(0.0) / w[1].0.since(w[0].0).as_secs_f64())
        })
        .collect()
}

fn typical_step(sorted: &[(Moment, f64)]) -> Span {
    let mut gaps: Vec<i64> = sorted
        .windows(2)
        .map(|w| w[1].0.0.saturating_sub(w[0].0.0))
        .filter(|g| *g > 0)
        .collect();
    gaps.sort_unstable();
    // One moment alone has no distance; a minute is as good as any.
    Span(gaps.get(gaps.len() / 2).copied().unwrap_or(60_000))
}

/// A series made ready for fitting.
#[derive(Clone, Debug)]
pub struct Clean {
    /// Values over `scale`, gaps interpolated; of length `n`.
    pub y: Array1<f64>,
    /// Whether a value was observed; only those are fitted and scored.
    pub seen: Vec<bool>,
    /// What `y` times `scale` is in the series' own unit.
    pub scale: f64,
    pub warnings: Vec<String>,
}

impl Clean {
    pub fn observed(&self) -> usize {
        self.seen.iter().filter(|s| **s).count()
    }
}

/// One reading as the forecaster takes it: `None` when there is none, never negative.
pub fn reading(value: f64) -> Option<f64> {
    value.is_finite().then(|| value.clamp(0.0, HIGHEST))
}

/// Scales a series by its mean, cuts negative readings to zero, and interpolates gaps linearly (flat at the ends).
pub fn clean(samples: &Samples) -> Clean {
    let read: Vec<Option<f64>> = samples.values.iter().map(|v| reading(*v)).collect();
    let observed: Vec<f64> = read.iter().flatten().copied().collect();
    let count = observed.len() as f64;
    let mean = observed.iter().map(|v| v / count).sum::<f64>();
    let scale = if mean > 1e-12 { mean } else { 1.0 };
    let mut warnings = Vec::new();
    let negative = samples
        .values
        .iter()
        .filter(|v| **v < 0.0 && v.is_finite())
        .count();
    if negative > 0 {
        warnings.push(format!("{negative} negative readings were taken as zero"));
    }
    let gaps = read.len() - observed.len();
    if gaps * 10 > read.len() {
        warnings.push(format!("{gaps} of {} readings are missing", read.len()));
    }
    Clean {
        y: Array1::from(filled(&read)) / scale,
        seen: read.iter().map(Option::is_some).collect(),
        scale,
        warnings,
    }
}

fn filled(read: &[Option<f64>]) -> Vec<f64> {
    let mut out = vec![0.0; read.len()];
    let mut before: Option<(usize, f64)> = None;
    for (i, v) in read.iter().enumerate() {
        let Some(v) = v else { continue };
        out[i] = *v;
        let from = before.map_or(0, |(j, _)| j + 1);
        for (k, slot) in out.iter_mut().enumerate().take(i).skip(from) {
            *slot = match before {
                Some((j, w)) => w + (v - w) * (k - j) as f64 / (i - j) as f64,
                None => *v,
            };
        }
        before = Some((i, *v));
    }
    if let Some((j, w)) = before {
        out[j + 1..].fill(w);
    }
    out
}

/// The value below which the fraction `p` of `values` lies (linear between order statistics); 0 for none. Reorders its input.
pub fn percentile(values: &mut [f64], p: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let at = p.clamp(0.0, 1.0) * (values.len() - 1) as f64;
    let (lo, hi) = (at.floor() as usize, at.ceil() as usize);
    values[lo] + (values[hi] - values[lo]) * (at - lo as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: i64, v: f64) -> (Moment, f64) {
        (Moment(s * 1000), v)
    }

    #[test]
    fn readings_in_any_order_are_put_on_a_grid_with_duplicates_averaged_and_gaps_left_open() {
        let s = regular(
            &[
                at(20, 3.0),
                at(0, 1.0),
                at(10, 2.0),
                at(10, 4.0),
                at(51, 9.0),
                at(30, f64::NAN),
            ],
            Some(Span::secs(10)),
        )
        .unwrap();
        assert_eq!(s.values.len(), 6);
        assert_eq!(&s.values[..3], &[1.0, 3.0, 3.0]);
        assert!(s.values[3].is_nan() && s.values[4].is_nan());
        assert_eq!(s.values[5], 9.0);
    }

    #[test]
    fn the_step_is_the_median_distance_when_none_is_given() {
        let s = regular(&[at(0, 1.0), at(5, 1.0), at(10, 1.0), at(60, 1.0)], None).unwrap();
        assert_eq!(s.step, Span::secs(5));
    }

    #[test]
    fn a_stray_timestamp_is_refused_with_what_to_do() {
        let e = regular(&[at(0, 1.0), at(1 << 50, 1.0)], Some(Span::secs(1))).unwrap_err();
        assert!(e.to_string().contains("stray timestamp"), "{e}");
        assert_eq!(regular(&[], None), Err(SeriesError::Empty));
        assert_eq!(
            regular(&[at(0, 1.0)], Some(Span(0))),
            Err(SeriesError::Step(0))
        );
    }

    #[test]
    fn gaps_are_interpolated_but_not_counted_as_seen() {
        let s = Samples {
            start: Moment(0),
            step: Span::secs(1),
            values: vec![f64::NAN, 2.0, f64::INFINITY, 4.0, -1.0, f64::NAN],
        };
        let c = clean(&s);
        let back: Vec<f64> = c.y.iter().map(|v| v * c.scale).collect();
        assert_eq!(back, vec![2.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
        assert_eq!(c.seen, vec![false, true, false, true, true, false]);
        assert!(c.warnings.iter().any(|w| w.contains("1 negative")));
        assert!(c.warnings.iter().any(|w| w.contains("3 of 6")));
    }
}
