//! The search for the knee, the highest rate at which the SLO holds: which rate to try next, when what was seen at a rate decides
//! it, and how sure that is. Pure: requests are told to it, and it knows no clock.
//!
//! A rate is judged by a sequential test of its part of late requests against the SLO's (1 − quantile): likelihood ratios mixed
//! over alternatives, which may be looked at after each request (Ville's inequality; Wald, *Sequential Analysis*, 1947; Robbins,
//! *Statistical methods related to the law of the iterated logarithm*, 1970). Requests that queue behind each other are no
//! independent evidence: counts are divided by the variance ratio of batch means (Law & Kelton, *Simulation Modeling and
//! Analysis*, ch. 9), so a queue that still grows decides nothing before it is late.

use crate::model::{Rps, Slo};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a search is for and what it may cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Aim {
    pub slo: Slo,
    /// That the knee lies where the search says, 0…1.
    pub confidence: f64,
    /// The search ends when the rate that broke is at most this part above the one that held.
    pub resolution: f64,
    /// The first rate tried, and the highest one ever.
    pub start: Rps,
    pub highest: Rps,
    /// A rate with fewer requests is not judged.
    pub min_requests: u64,
}

/// Where the first rate breaks the SLO, so often half of it is tried.
const DOWN: u32 = 4;

impl Aim {
    /// Rates that a search may try.
    pub fn tries(&self) -> u32 {
        let up = (self.highest.0 / self.start.0).log2().ceil().max(0.0) as u32 + 1;
        let halvings = (2f64.ln() / self.step().ln()).log2().ceil().max(0.0) as u32;
        up.max(DOWN + 1) + halvings
    }
    fn step(&self) -> f64 {
        1.0 + self.resolution.max(0.001)
    }
    /// Chance of error that one rate may take, so that all of them together keep the confidence (Bonferroni).
    fn error(&self) -> f64 {
        (1.0 - self.confidence).clamp(1e-6, 1.0) / f64::from(self.tries())
    }
}

/// What is said of one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ruling {
    /// The SLO holds at the rate: proven, or what the requests lean to.
    pub held: bool,
    /// Decided with the confidence that was asked for.
    pub proven: bool,
    /// Chance of this ruling were its opposite true: the test's p value, valid whenever it is looked at.
    pub error: f64,
}

/// The requests at one rate, told as they end.
#[derive(Clone, Debug)]
pub struct Trial {
    limit: Duration,
    late_part: f64,
    failed_part: f64,
    error: f64,
    min_requests: u64,
    /// Ended requests behind one that has not ended: index, intended time, whether late, share of the limit.
    waiting: BTreeMap<u64, (Duration, bool, f32)>,
    /// All before it are counted.
    next: u64,
    now: Duration,
    late: u64,
    failed: u64,
    /// Latency as part of the limit, at most 1, in order of sending.
    shares: Vec<f32>,
    /// Evidence is weighed again from so many requests on.
    look: usize,
    strongest: (f64, f64),
}

/// Requests before a first look (batches hold at least two).
const FIRST_LOOK: usize = 32;
/// Batches that a variance of their means needs: to say that a rate holds, and that it is broken. One burst of late requests must
/// not break a rate, so larger batches count there; a growing queue still does.
const BATCHES: usize = 16;
const BATCHES_OF_BURSTS: usize = 4;

impl Trial {
    pub fn new(aim: &Aim) -> Self {
        Trial {
            limit: Duration::from_secs_f64(aim.slo.latency.0.max(0.0) / 1000.0),
            late_part: (1.0 - aim.slo.quantile).clamp(1e-4, 0.9),
            failed_part: (1.0 - aim.slo.success).clamp(1e-5, 0.9),
            error: aim.error(),
            min_requests: aim.min_requests,
            waiting: BTreeMap::new(),
            next: 0,
            now: Duration::ZERO,
            late: 0,
            failed: 0,
            shares: Vec::new(),
            look: FIRST_LOOK,
            strongest: (0.0, 0.0),
        }
    }

    /// One request has ended; `index` counts those sent at this rate from 0, `failed` had no good answer.
    /// Says the ruling as soon as the rate is decided.
    pub fn ended(
        &mut self,
        index: u64,
        intended: Duration,
        latency: Duration,
        failed: bool,
    ) -> Option<Ruling> {
        self.now = self.now.max(intended + latency);
        self.failed += u64::from(failed);
        let late = failed || latency > self.limit;
        let share = (latency.as_secs_f64() / self.limit.as_secs_f64().max(1e-9)).min(1.0) as f32;
        // One that was counted as late while it was under way is not counted twice.
        if index >= self.next {
            let share = if failed { 1.0 } else { share };
            self.waiting.insert(index, (intended, late, share));
            self.count();
        }
        if self.shares.len() < self.look {
            return None;
        }
        self.look = self.shares.len() + (self.shares.len() / 16).max(4);
        Some(self.weigh()).filter(|r| r.proven)
    }

    /// Counts in order of sending, so that slow answers are not missed because quick ones ended first. One that is
    /// still under way past the limit is late already.
    fn count(&mut self) {
        while let Some((&first, &(intended, late, share))) = self.waiting.first_key_value() {
            if first == self.next {
                self.waiting.remove(&first);
                self.take(late, share);
            } else if intended + self.limit < self.now {
                self.take(true, 1.0);
            } else {
                break;
            }
        }
    }

    fn take(&mut self, late: bool, share: f32) {
        self.next += 1;
        self.late += u64::from(late);
        self.shares.push(share);
    }

    /// The ruling when no more requests come.
    pub fn close(&mut self) -> Ruling {
        self.now += self.limit + self.limit;
        self.count();
        self.weigh()
    }

    fn weigh(&mut self) -> Ruling {
        let n = self.shares.len() as f64;
        let (late, failed) = (self.late as f64, self.failed as f64);
        let alike = dependence(&self.shares, BATCHES);
        let bursts = dependence(&self.shares, BATCHES_OF_BURSTS);
        let p = self.late_part;
        let better = BETTER.iter().map(|(w, f)| (*w, f * p));
        let held = ratio(n / alike, late / alike, p, better);
        let worse = |hits: f64, p: f64| {
            let others = WORSE.iter().map(|(w, f)| (*w, (f * p).min(0.5 + p / 2.0)));
            ratio(n / bursts, hits / bursts, p, others)
        };
        let broken = worse(late, p).max(worse(failed, self.failed_part));
        self.strongest.0 = self.strongest.0.max(held);
        self.strongest.1 = self.strongest.1.max(broken);
        let within = late <= p * n && failed <= self.failed_part * n && n > 0.0;
        let evidence = if within {
            self.strongest.0
        } else {
            self.strongest.1
        };
        let error = (-evidence).exp().min(1.0);
        let enough = n >= (self.min_requests as f64).max(1.0);
        Ruling {
            held: within && enough,
            proven: enough && n >= FIRST_LOOK as f64 && error <= self.error,
            error,
        }
    }
}

/// Alternatives to a part, as factors of it, and their weights: how well loads below the knee do, and how badly those above.
const BETTER: [(f64, f64); 5] = [
    (0.4, 0.0),
    (0.15, 0.1),
    (0.15, 0.25),
    (0.15, 0.45),
    (0.15, 0.65),
];
const WORSE: [(f64, f64); 5] = [(0.2, 1.4), (0.2, 2.0), (0.2, 3.0), (0.2, 6.0), (0.2, 20.0)];

/// Log of the mixed likelihood ratio of `hits` among `count` against the part `p`.
fn ratio(count: f64, hits: f64, p: f64, others: impl Iterator<Item = (f64, f64)>) -> f64 {
    let logs: Vec<f64> = others
        .map(|(weight, other)| {
            let hit = if hits > 0.0 {
                hits * (other / p).ln()
            } else {
                0.0
            };
            weight.ln() + hit + (count - hits) * ((1.0 - other) / (1.0 - p)).ln()
        })
        .collect();
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return most;
    }
    most + logs.iter().map(|l| (l - most).exp()).sum::<f64>().ln()
}

/// How many requests count as one: the variance of means of batches over what independent values would have, over batch sizes
/// from 2 up to the largest of which there are `batches`; at least 1.
fn dependence(values: &[f32], batches: usize) -> f64 {
    let moments = |v: &mut dyn Iterator<Item = f64>| {
        let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for x in v {
            n += 1.0;
            let off = x - mean;
            mean += off / n;
            squares += off * (x - mean);
        }
        squares / (n - 1.0)
    };
    let all = moments(&mut values.iter().map(|v| f64::from(*v)));
    if values.len() < 2 * batches || all <= 1e-12 {
        return 1.0;
    }
    let mut means: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
    let (mut size, mut worst) = (1.0, 1.0f64);
    while means.len() >= 2 * batches {
        means = means.chunks_exact(2).map(|c| (c[0] + c[1]) / 2.0).collect();
        size *= 2.0;
        worst = worst.max(size * moments(&mut means.iter().copied()) / all);
    }
    worst
}

/// Which rate next: doubled until one breaks (halved while the first one does), then the gap halved on a logarithmic scale.
#[derive(Clone, Debug)]
pub struct Search {
    aim: Aim,
    low: Option<f64>,
    high: Option<f64>,
    tried: u32,
    /// Highest rate proven to hold, lowest proven not to.
    proven: (Option<f64>, Option<f64>),
    /// Sum of the proven rulings' chances of error.
    error: f64,
}

/// What a search has found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knee {
    /// Highest rate at which the SLO held, as far as can be said; `None` when it held at none.
    pub at: Option<Rps>,
    /// It held at the highest rate that may be tried.
    pub open: bool,
    /// The knee is no lower than this and lies below that, with `confidence`: the nearest rates that are decided.
    pub proven: (Option<Rps>, Option<Rps>),
    /// What the search was asked for, or more: one less the chances of error of all proven rulings.
    pub confidence: f64,
}

impl Search {
    pub fn new(aim: Aim) -> Self {
        Search {
            aim,
            low: None,
            high: None,
            tried: 0,
            proven: (None, None),
            error: 0.0,
        }
    }

    /// The next rate to try, or none when the knee is known well enough.
    pub fn rate(&self) -> Option<Rps> {
        let (start, highest) = (self.aim.start.0, self.aim.highest.0.max(self.aim.start.0));
        let next = match (self.low, self.high) {
            (None, None) => Some(start),
            (None, Some(high)) => (self.tried <= DOWN).then_some(high / 2.0),
            (Some(low), None) => (low < highest).then_some((low * 2.0).min(highest)),
            (Some(low), Some(high)) => {
                let open = high / low > self.aim.step() * (1.0 + 1e-9);
                open.then_some((low * high).sqrt())
            }
        };
        next.filter(|_| self.tried < self.aim.tries()).map(Rps)
    }

    /// What came of the rate that was next.
    pub fn ruled(&mut self, rate: Rps, ruling: Ruling) {
        self.tried += 1;
        let (end, proven) = match ruling.held {
            true => (&mut self.low, &mut self.proven.0),
            false => (&mut self.high, &mut self.proven.1),
        };
        *end = Some(rate.0);
        if ruling.proven {
            *proven = Some(rate.0);
            self.error += ruling.error;
        }
    }

    pub fn knee(&self) -> Knee {
        let (low, high) = self.proven;
        Knee {
            at: self.low.map(Rps),
            open: self.low.is_some() && self.high.is_none(),
            proven: (low.map(Rps), high.map(Rps)),
            confidence: (1.0 - self.error).max(0.0),
        }
    }
}

#[cfg(test)]
#[path = "knee_tests.rs"]
mod tests;
