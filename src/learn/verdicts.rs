//! From what a shadow and production answered to the verdict on a place, and whether production got worse meanwhile.

use super::judge::{Limits, Outcome, beyond, judge};
use crate::model::*;

/// Readings are judged again and again while a shadow runs: each look may be wrong this seldom.
const ALARM: f64 = 0.001;
/// Fewer requests in the readings say nothing yet.
const FEW: usize = 20;
/// A request is slower than one of before with this probability: it matters.
const SLOWER: f64 = 0.7;
/// So many more requests in the tail of before, or failed, matter.
const TAIL: f64 = 0.05;
const ERRORS: f64 = 0.01;
/// A histogram with more requests than this is thinned.
const MOST: u64 = 5_000;

/// The answers of both sides, in the order of sending, at the load of the comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sides {
    pub shadow: Vec<Answer>,
    /// Nothing where there was no twin: then production of late is the baseline.
    pub twin: Option<Vec<Answer>>,
}

/// One verdict on one run of a shadow.
pub fn verdict(key: &ProfileKey, at: Moment, compare: &Compare, sides: &Sides) -> Judged {
    let limits = Limits {
        margin: compare.margin.0,
        ..Limits::default()
    };
    let twin = compare.twin.as_ref().zip(sides.twin.as_ref());
    let (against, found) = match twin {
        Some((twin, answers)) => {
            let site = twin.site.clone();
            let found = judge(answers, &sides.shadow, &limits);
            (Against::Twin { site }, found)
        }
        None => {
            let baseline = answers(&compare.production);
            let shadow = bucketed(&sides.shadow, &compare.production);
            // A histogram tells nothing of the spread within its buckets.
            let limits = Limits {
                spread: f64::INFINITY,
                ..limits
            };
            (Against::Production, judge(&baseline, &shadow, &limits))
        }
    };
    Judged {
        key: key.clone(),
        at,
        ruling: found.verdict,
        because: found.because,
        against,
        rate: compare.rate,
        baseline: found.requests.0 as u64,
        shadow: found.requests.1 as u64,
        times: 1,
        undecided: u32::from(found.verdict == Outcome::Inconclusive),
    }
}

/// The verdict in force after a new one: what concluded nothing does not take back what was concluded before, unless the run
/// says that the place has `changed`: what was concluded of how fast it is holds no longer then.
pub fn in_force(before: Option<&Judged>, new: Judged, changed: bool) -> Judged {
    let holds = |old: &&Judged| !changed || old.against == Against::Interference;
    match before.filter(holds) {
        Some(old) if new.ruling == Outcome::Inconclusive => Judged {
            undecided: old.undecided + 1,
            ..if old.ruling == Outcome::Inconclusive {
                new
            } else {
                old.clone()
            }
        },
        Some(old) if old.ruling == new.ruling => Judged {
            times: old.times + 1,
            ..new
        },
        _ => new,
    }
}

/// How much worse production got, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worse(pub String);

/// Whether production is significantly worse than it was before, by the judge's own tests: latency beyond the margin, its
/// tail, or errors. `None` too while there are too few requests to tell.
pub fn interference(before: &Latencies, now: &Latencies, margin: Millis) -> Option<Worse> {
    let limits = Limits {
        alpha: ALARM,
        min_requests: FEW,
        slower: SLOWER,
        errors: ERRORS,
        margin: margin.0,
        ..Limits::default()
    };
    let (then, now) = (answers(before), answers(now));
    let found = judge(&then, &now, &limits);
    if found.verdict == Outcome::Fail {
        return Some(Worse(found.because));
    }
    let p99 = quantile(before, 0.99)?.0;
    let (more, p) = beyond(&then, &now, p99 + margin.0);
    let enough = then.len().min(now.len()) >= FEW;
    (enough && more >= TAIL && p <= ALARM).then(|| {
        Worse(format!(
            "{:.1} percentage points more requests over the 99th percentile of before, {p99:.0} ms and {:.0} ms allowed (limit {:.0}, p = {p:.1e})",
            more * 100.0,
            margin.0,
            TAIL * 100.0
        ))
    })
}

/// The bucket that holds the quantile (0 to 1) of the good answers.
fn quantile(of: &Latencies, q: f64) -> Option<Millis> {
    let all: u64 = of.buckets.iter().map(|b| b.1).sum();
    let rank = (q * all as f64).ceil() as u64;
    let mut below = 0;
    let found = of.buckets.iter().find(|b| {
        below += b.1;
        below >= rank
    });
    found.filter(|_| all > 0).map(|b| b.0)
}

/// A histogram as answers, each as slow as its bucket allows; thinned where there are too many.
fn answers(of: &Latencies) -> Vec<Answer> {
    let all = of.requests();
    let kept = |n: u64| match all > MOST {
        true => (n as f64 * MOST as f64 / all as f64).round() as usize,
        false => n as usize,
    };
    let good = of.buckets.iter().flat_map(|(bound, n)| {
        let one = Answer {
            latency: *bound,
            ok: true,
        };
        std::iter::repeat_n(one, kept(*n))
    });
    let failed = Answer {
        latency: Millis(f64::NAN),
        ok: false,
    };
    good.chain(std::iter::repeat_n(failed, kept(of.failed)))
        .collect()
}

/// The answers as coarse as the histogram that they are compared with.
fn bucketed(shadow: &[Answer], like: &Latencies) -> Vec<Answer> {
    let last = like.buckets.last().map_or(f64::INFINITY, |b| b.0.0);
    let bound = |latency: f64| {
        let at = like.buckets.partition_point(|b| b.0.0 < latency);
        like.buckets.get(at).map_or(latency.max(last), |b| b.0.0)
    };
    let one = |a: &Answer| Answer {
        latency: Millis(bound(a.latency.0)),
        ok: a.ok,
    };
    shadow.iter().map(one).collect()
}

#[cfg(test)]
#[path = "verdicts_tests.rs"]
mod tests;
