//! Latency as a whole: Mann-Whitney U, with the common-language effect size.

use super::Found;
use statrs::distribution::{ContinuousCDF, Normal};

/// Mann-Whitney U of `shadow` over `baseline`, one-sided ("the shadow is slower"), normal approximation with tie and
/// continuity correction (Mann & Whitney 1947; as SciPy's `mannwhitneyu(shadow, baseline, "greater", method="asymptotic")`).
/// The effect is the probability that a request of the shadow is slower than one of the baseline, ties halved (CLES, McGraw
/// & Wong 1992). Both sides sorted, finite and not empty.
///
/// Our own and not `statrs::stats_tests::mannwhitneyu`: that one compares all pairs first, which is too slow for 10,000.
pub(super) fn mann_whitney(baseline: &[f64], shadow: &[f64]) -> Found {
    let (n, m) = (shadow.len() as f64, baseline.len() as f64);
    let (mut below, mut ties) = (0.0, 0.0);
    let (mut i, mut j) = (0, 0);
    while i < shadow.len() {
        let value = shadow[i];
        while j < baseline.len() && baseline[j] < value {
            j += 1;
        }
        let here = baseline[j..].iter().take_while(|b| **b == value).count();
        let mine = shadow[i..].iter().take_while(|s| **s == value).count();
        below += mine as f64 * (j as f64 + here as f64 / 2.0);
        ties += cube((here + mine) as f64);
        i += mine;
    }
    // Runs of equal values that only the baseline has.
    let mut k = 0;
    while k < baseline.len() {
        let run = baseline[k..]
            .iter()
            .take_while(|b| **b == baseline[k])
            .count();
        let shared = shadow
            .binary_search_by(|s| s.total_cmp(&baseline[k]))
            .is_ok();
        if !shared {
            ties += cube(run as f64);
        }
        k += run;
    }
    let all = n + m;
    let variance = n * m / 12.0 * ((all + 1.0) - ties / (all * (all - 1.0)).max(1.0));
    let p = if variance > 0.0 {
        let z = (below - n * m / 2.0 - 0.5) / variance.sqrt();
        Normal::standard().sf(z)
    } else {
        1.0
    };
    Found {
        statistic: below,
        p,
        effect: below / (n * m),
    }
}

fn cube(ties: f64) -> f64 {
    ties * ties * ties - ties
}

/// Standard error of the effect size under equal distributions.
pub(super) fn effect_error(baseline: usize, shadow: usize) -> f64 {
    let (n, m) = (baseline as f64, shadow as f64);
    ((n + m + 1.0) / (12.0 * n * m)).sqrt()
}
