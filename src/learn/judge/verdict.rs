//! From the tests to one verdict and one sentence.

use super::counts::{Share, more};
use super::ranks::{effect_error, mann_whitney};
use super::spread::{brown_forsythe, median};
use super::{Found, Test, warmup};
use crate::model::counted;
use crate::model::{Answer, Ruling as Outcome};
use serde::Serialize;

/// What counts as enough evidence, and as a difference that matters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Probability of failing a shadow that is no worse, over all tests together.
    pub alpha: f64,
    /// Fewer requests on a side conclude nothing.
    pub min_requests: usize,
    /// Fewer requests on a side say nothing of the 99th percentile.
    pub min_tail: usize,
    /// Probability that a request of the shadow is slower than one of the baseline, above which it matters (0.5 is equal).
    pub slower: f64,
    /// To pass, the same probability must be below this with 95 % confidence.
    pub surely_below: f64,
    /// Growth of the share of errors that matters, in absolute terms.
    pub errors: f64,
    /// Growth of the part of requests beyond the baseline's own 99th percentile that matters (1 % by definition).
    pub tail: f64,
    /// Growth of the spread that matters, as a ratio.
    pub spread: f64,
    /// A shadow may be so many milliseconds slower: each of the baseline's latencies counts as so much longer.
    pub margin: f64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            alpha: 0.01,
            min_requests: 30,
            min_tail: 1_000,
            slower: 0.53,
            surely_below: 0.58,
            errors: 0.001,
            tail: 0.005,
            spread: 1.2,
            margin: 0.0,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    pub verdict: Outcome,
    /// One sentence with number and limit.
    pub because: String,
    pub tests: Vec<Test>,
    /// Requests left out at the start of each side (baseline, shadow): its warm-up.
    pub warm_up: (usize, usize),
    /// Requests that counted on each side.
    pub requests: (usize, usize),
}

/// One side without its warm-up: latencies of the good answers, sorted, and how many requests failed.
struct Side {
    latency: Vec<f64>,
    failed: u64,
    warm_up: usize,
}

impl Side {
    fn of(requests: &[Answer], longer: f64) -> Side {
        let good = |r: &&Answer| r.ok && r.latency.0.is_finite();
        let in_order: Vec<f64> = requests
            .iter()
            .filter(good)
            .map(|r| r.latency.0 + longer)
            .collect();
        let warm_up = warmup::length(&in_order);
        let mut latency = in_order[warm_up..].to_vec();
        latency.sort_by(f64::total_cmp);
        Side {
            latency,
            failed: requests.iter().filter(|r| !r.ok).count() as u64,
            warm_up,
        }
    }
    fn requests(&self) -> u64 {
        self.latency.len() as u64 + self.failed
    }
    fn errors(&self) -> Share {
        Share {
            bad: self.failed,
            n: self.requests(),
        }
    }
    fn beyond(&self, limit: f64) -> Share {
        let within = self.latency.partition_point(|x| *x <= limit);
        Share {
            bad: (self.latency.len() - within) as u64,
            n: self.latency.len() as u64,
        }
    }
}

/// Compares the shadow's requests with the baseline's, both in the order of sending.
///
/// Errors by Fisher's exact test or chi-square, latency by Mann-Whitney U, the tail by how many requests lie beyond the pooled
/// 99th percentile, spread by Brown-Forsythe; corrected by Holm (1979). Failed requests have no latency here: they count as
/// errors. A latency that is no number is left out.
pub fn judge(baseline: &[Answer], shadow: &[Answer], limits: &Limits) -> Judgement {
    let (b, s) = (Side::of(baseline, limits.margin), Side::of(shadow, 0.0));
    let mut tests = Vec::new();
    let few = b.requests().min(s.requests()) < limits.min_requests as u64;
    if !few {
        run(&b, &s, limits, &mut tests);
        holm(&mut tests, limits.alpha);
    }
    let (verdict, because) = conclude(&b, &s, &tests, limits);
    Judgement {
        verdict,
        because,
        tests,
        warm_up: (b.warm_up, s.warm_up),
        requests: (b.requests() as usize, s.requests() as usize),
    }
}

fn run(b: &Side, s: &Side, limits: &Limits, tests: &mut Vec<Test>) {
    let mut add = |name, critical, found: Found, matters: bool| {
        tests.push(Test {
            name,
            statistic: found.statistic,
            p: found.p,
            effect: found.effect,
            critical,
            worse: matters,
        });
    };
    let errors = more(b.errors(), s.errors());
    add("errors", true, errors, errors.effect >= limits.errors);
    if b.latency.len().min(s.latency.len()) < limits.min_requests {
        return;
    }
    let latency = mann_whitney(&b.latency, &s.latency);
    add("latency", true, latency, latency.effect >= limits.slower);
    if b.latency.len().min(s.latency.len()) >= limits.min_tail {
        let mut pooled: Vec<f64> = b.latency.iter().chain(&s.latency).copied().collect();
        pooled.sort_by(f64::total_cmp);
        let p99 = pooled[(pooled.len() * 99).div_ceil(100) - 1];
        let tail = more(b.beyond(p99), s.beyond(p99));
        add("p99", true, tail, tail.effect >= limits.tail);
    }
    let spread = brown_forsythe(&b.latency, &s.latency);
    add("spread", false, spread, spread.effect >= limits.spread);
}

/// Holm's step-down correction: `worse` stays only where the corrected p is below alpha too.
fn holm(tests: &mut [Test], alpha: f64) {
    let mut order: Vec<usize> = (0..tests.len()).collect();
    order.sort_by(|a, b| tests[*a].p.total_cmp(&tests[*b].p));
    let mut rejected = true;
    for (step, i) in order.into_iter().enumerate() {
        let left = (tests.len() - step) as f64;
        rejected = rejected && tests[i].p * left <= alpha;
        tests[i].worse = tests[i].worse && rejected;
    }
}

fn conclude(b: &Side, s: &Side, tests: &[Test], limits: &Limits) -> (Outcome, String) {
    let n = b.requests().min(s.requests());
    let least = limits.min_requests;
    if n < least as u64 {
        let why = format!(
            "{} on one side, at least {least} are needed",
            counted(n, "request")
        );
        return (Outcome::Inconclusive, why);
    }
    if let Some(worst) = tests.iter().find(|t| t.worse && t.critical) {
        return (Outcome::Fail, sentence(worst, b, s, limits));
    }
    let Some(latency) = tests.iter().find(|t| t.name == "latency") else {
        let good = b.latency.len().min(s.latency.len());
        let why = format!("{good} good answers on one side, at least {least} are needed");
        return (Outcome::Inconclusive, why);
    };
    if let Some(other) = tests.iter().find(|t| t.worse) {
        return (Outcome::Inconclusive, sentence(other, b, s, limits));
    }
    let sure = latency.effect + 1.645 * effect_error(b.latency.len(), s.latency.len());
    if sure >= limits.surely_below {
        let why = format!(
            "too few requests: slower than the baseline with probability {:.3}, but up to {sure:.3} is possible (limit {:.2})",
            latency.effect, limits.surely_below
        );
        return (Outcome::Inconclusive, why);
    }
    let why = format!(
        "no slower than allowed: slower than the baseline with probability {:.3}, surely below {sure:.3} (limit {:.2}); {}",
        latency.effect,
        limits.surely_below,
        medians(b, s, limits)
    );
    (Outcome::Pass, why)
}

/// Both medians as they were measured, and what the shadow is allowed besides.
fn medians(b: &Side, s: &Side, limits: &Limits) -> String {
    let allowed = match limits.margin {
        0.0 => String::new(),
        margin => format!(" and {margin:.1} ms allowed"),
    };
    format!(
        "median {:.1} ms against {:.1} ms{allowed}",
        median(&s.latency),
        median(&b.latency) - limits.margin
    )
}

fn sentence(test: &Test, b: &Side, s: &Side, limits: &Limits) -> String {
    let p = test.p;
    match test.name {
        "errors" => format!(
            "errors grew by {:.2} percentage points (limit {:.2}): {} of {} against {} of {} (p = {p:.1e})",
            test.effect * 100.0,
            limits.errors * 100.0,
            s.failed,
            s.requests(),
            b.failed,
            b.requests()
        ),
        "latency" => format!(
            "slower than the baseline with probability {:.3} (limit {:.2}): {} (p = {p:.1e})",
            test.effect,
            limits.slower,
            medians(b, s, limits)
        ),
        "p99" => format!(
            "{:.2} percentage points more requests beyond the common 99th percentile (limit {:.2}, p = {p:.1e})",
            test.effect * 100.0,
            limits.tail * 100.0
        ),
        _ => format!(
            "latency spreads {:.2} times as wide as the baseline's (limit {:.2}, p = {p:.1e})",
            test.effect, limits.spread
        ),
    }
}
