//! Judges a shadow against its baseline: pass, fail or inconclusive, with the number and the limit that decided.

pub mod calibrate;
mod counts;
mod ranks;
mod spread;
mod verdict;
mod warmup;

use crate::model::Answer;
pub use crate::model::Ruling as Outcome;
pub use verdict::{Judgement, Limits, judge};

/// One comparison. `p` is one-sided: how likely a shadow no worse than its baseline looks this bad or worse.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Test {
    pub name: &'static str,
    pub statistic: f64,
    pub p: f64,
    /// How large the difference is, in the test's own unit (see each test).
    pub effect: f64,
    /// A critical test that finds the shadow worse fails it; another one only keeps it from passing.
    pub critical: bool,
    /// Worse, after correction for the number of tests and by enough to matter.
    pub worse: bool,
}

/// What a test computes, before it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    statistic: f64,
    p: f64,
    effect: f64,
}

/// How many more of the shadow's good answers took longer than `limit` (ms), as a difference of shares, and the one-sided p
/// of it (Fisher's exact test or chi-square). For latencies of a histogram, whose ties leave nothing beyond a pooled quantile.
pub fn beyond(baseline: &[Answer], shadow: &[Answer], limit: f64) -> (f64, f64) {
    let share = |side: &[Answer]| {
        let good = side.iter().filter(|a| a.ok);
        let late = good.clone().filter(|a| a.latency.0 > limit);
        counts::Share {
            bad: late.count() as u64,
            n: good.count() as u64,
        }
    };
    let found = counts::more(share(baseline), share(shadow));
    (found.effect, found.p)
}

/// The one-sided p of a test whose two-sided one is known, by whether the shadow looks worse.
fn one_sided(two_sided: f64, worse: bool) -> f64 {
    if worse {
        two_sided / 2.0
    } else {
        1.0 - two_sided / 2.0
    }
}

#[cfg(test)]
mod tests;
