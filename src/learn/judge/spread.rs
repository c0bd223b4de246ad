//! Spread of latency: Brown-Forsythe.

use super::{Found, one_sided};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

/// Brown-Forsythe test (1974; as SciPy's `levene(…, center="median")`), its p halved, as the direction is known. The effect is
/// the ratio of the mean distances from the median, shadow over baseline. Both sides sorted, finite, at least two each.
pub(super) fn brown_forsythe(baseline: &[f64], shadow: &[f64]) -> Found {
    let (b, s) = (distances(baseline), distances(shadow));
    let (n, m) = (b.len() as f64, s.len() as f64);
    let (mean_b, mean_s) = (mean(&b), mean(&s));
    let grand = (mean_b * n + mean_s * m) / (n + m);
    let between = n * (mean_b - grand).powi(2) + m * (mean_s - grand).powi(2);
    let within = squares(&b, mean_b) + squares(&s, mean_s);
    let effect = if mean_b > 0.0 {
        mean_s / mean_b
    } else if mean_s > 0.0 {
        // A spread where there was none: larger than any ratio that is written down.
        f64::MAX
    } else {
        1.0
    };
    let degrees = n + m - 2.0;
    let statistic = if within > 0.0 {
        degrees * between / within
    } else if between > 0.0 {
        f64::MAX
    } else {
        0.0
    };
    let two_sided = FisherSnedecor::new(1.0, degrees).map_or(1.0, |f| f.sf(statistic));
    Found {
        statistic,
        p: one_sided(two_sided, effect > 1.0),
        effect,
    }
}

fn distances(sorted: &[f64]) -> Vec<f64> {
    let median = median(sorted);
    sorted.iter().map(|x| (x - median).abs()).collect()
}

/// Of sorted values.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let mid = sorted.len() / 2;
    if sorted.is_empty() {
        0.0
    } else if sorted.len() % 2 == 1 {
        sorted[mid]
    } else {
        (sorted[mid - 1] + sorted[mid]) / 2.0
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn squares(values: &[f64], mean: f64) -> f64 {
    values.iter().map(|v| (v - mean).powi(2)).sum()
}
