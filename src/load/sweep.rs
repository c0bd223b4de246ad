//! Drives a target at rates that the search for the knee asks for, each until it is decided.

use super::http::Reply;
use super::knee::{Aim, Knee, Ruling, Search, Trial};
use super::open_loop::{LoadReport, Record, Tally, drive_by, in_flight_for};
use super::schedule::Schedule;
use super::timer::Timer;
use crate::model::{Answer, LoadDetail, LoadPoint, Mbps, Millis, Rps, Slo};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The send times of a rate for some time, from a seed.
pub type Plan = Arc<dyn Fn(Rps, Duration, u64) -> Schedule + Send + Sync>;

/// What to search for, and for how long.
#[derive(Clone)]
pub struct SweepSpec {
    pub aim: Aim,
    /// Longest measured time of a rate, after its warm-up; one that is decided earlier ends then.
    pub each: Duration,
    /// Sent at each rate, too, but not counted.
    pub warm_up: Duration,
    /// No further rate is begun after so long.
    pub lasts: Duration,
    /// Of the random arrivals; the same seed gives the same send times.
    pub seed: u64,
    pub arrivals: Plan,
    /// On the kernel's timer; else on tokio's.
    pub fine: bool,
}

#[derive(Clone, Debug)]
pub struct SweepPoint {
    pub rps: Rps,
    /// Without the warm-up.
    pub report: LoadReport,
    /// Within the SLO at this load, as far as its requests tell.
    pub good: bool,
    /// Decided with the confidence asked for; else its requests only lean that way.
    pub proven: bool,
    /// Ended before its time: decided, or stopped.
    pub cut_short: bool,
    /// What came of its requests, without the warm-up, in the order of sending; the first of very many.
    pub answers: Vec<Answer>,
}

/// So many answers of a rate are kept.
const KEPT: usize = 10_000;

/// Buckets of a profile's histograms begin at so many microseconds and grow by this factor: quantiles are good to 25 %.
const LOWEST_BUCKET: u64 = 100;
const BUCKETS: f64 = 1.25;

impl SweepPoint {
    /// The point as profiles keep it.
    pub fn load_point(&self, slo: &Slo) -> LoadPoint {
        LoadPoint {
            rate: self.rps,
            requests: self.report.ok + self.report.failed,
            failed: self.report.failed,
            p50: self.report.p50,
            p90: self.report.p90,
            p99: self.report.p99,
            at_slo: self.report.quantile(slo.quantile),
            good: self.good,
        }
    }

    /// What else came of it; the target's processor, memory and network are others' to say.
    pub fn detail(&self) -> LoadDetail {
        let took = self.report.took.as_secs_f64().max(1e-3);
        let buckets = self.report.histogram.iter_log(LOWEST_BUCKET, BUCKETS);
        let filled = buckets.filter(|b| b.count_since_last_iteration() > 0);
        LoadDetail {
            rate: self.rps,
            proven: self.proven,
            throughput: Rps(self.report.ok as f64 / took),
            histogram: filled
                .map(|b| {
                    let bound = Millis(b.value_iterated_to() as f64 / 1_000.0);
                    (bound, b.count_since_last_iteration())
                })
                .collect(),
            errors: self.report.by_error.clone().into_iter().collect(),
            network: Mbps(self.report.bytes as f64 * 8e-6 / took),
            own_delay: self.report.lag_p99,
            ..LoadDetail::default()
        }
    }
}

#[derive(Clone, Debug)]
pub struct SweepReport {
    /// In order of load.
    pub points: Vec<SweepPoint>,
    pub knee: Knee,
    /// Why the sweep did not try all it should have: what `stop` said, or the generator's own limit.
    pub stopped: Option<String>,
}

/// The generator's own delay (p99) may be this part of the SLO's latency; beyond it, what is measured is itself.
const OWN_DELAY: f64 = 0.1;
/// A rate of few requests may take so many times longer than others.
const LONGER: u32 = 4;
/// After a rate that broke, what still queues at the target is given as long to drain as the slowest answer took, at most this.
const REST: Duration = Duration::from_secs(5);

/// Tries rates through `send` (see [`super::drive`]) until the knee is known, or time is up.
///
/// A rate ends as soon as it is decided. `after` is called at the end of each point while the target is still warm, to
/// read what it used. When `stop` resolves (production suffers, say), the sweep drops what is in
/// flight and returns with what it has; the point of that moment does not count for the knee.
pub async fn sweep<S, F, A, G>(
    spec: &SweepSpec,
    send: S,
    mut after: A,
    stop: impl Future<Output = String>,
) -> SweepReport
where
    S: Fn(u64) -> F,
    F: Future<Output = Reply> + Send + 'static,
    A: FnMut(&SweepPoint) -> G,
    G: Future<Output = ()>,
{
    let mut stop = pin!(stop);
    let begun = tokio::time::Instant::now();
    let mut search = Search::new(spec.aim);
    let mut points: Vec<SweepPoint> = Vec::new();
    let mut stopped = None;
    while let Some(rate) = search.rate().filter(|_| stopped.is_none()) {
        if begun.elapsed() >= spec.lasts {
            stopped = Some(format!("{} s are over", spec.lasts.as_secs_f64()));
            break;
        }
        let cancel = CancellationToken::new();
        let seed = spec.seed.wrapping_add(points.len() as u64);
        let mut running = pin!(point(spec, rate, seed, &send, &cancel));
        let (done, ruling) = tokio::select! {
            biased;
            why = &mut stop => {
                stopped = Some(why);
                cancel.cancel();
                running.await
            }
            done = &mut running => done,
        };
        stopped = stopped.or_else(|| own_delay(&done.report, &spec.aim.slo));
        if stopped.is_none() {
            search.ruled(rate, ruling);
            after(&done).await;
            if !ruling.held {
                let slowest = Duration::from_secs_f64(done.report.max.0 / 1_000.0);
                tokio::time::sleep(slowest.min(REST)).await;
            }
        }
        points.push(done);
    }
    points.sort_by(|a, b| a.rps.0.total_cmp(&b.rps.0));
    SweepReport {
        points,
        knee: search.knee(),
        stopped,
    }
}

/// Says so when the generator could not keep its own times.
fn own_delay(report: &LoadReport, slo: &Slo) -> Option<String> {
    let most = (slo.latency.0 * OWN_DELAY).max(2.0);
    (report.lag_p99.0 > most).then(|| {
        format!(
            "the generator itself was {} late (p99; {most:.0} ms allowed)",
            report.lag_p99
        )
    })
}

/// A slow rate is given longer, so that enough requests come to rule on it: twice what it takes on average.
fn longest(spec: &SweepSpec, rate: Rps) -> Duration {
    let enough = 2.0 * spec.aim.min_requests as f64 / rate.0.max(0.1);
    let enough = Duration::from_secs_f64(enough).min(spec.each * LONGER);
    spec.each.max(enough)
}

/// One rate: warm-up, then measured until it is decided or its time is up.
async fn point<S, F>(
    spec: &SweepSpec,
    rate: Rps,
    seed: u64,
    send: &S,
    cancel: &CancellationToken,
) -> (SweepPoint, Ruling)
where
    S: Fn(u64) -> F,
    F: Future<Output = Reply> + Send + 'static,
{
    let plan = |lasts: Duration| (spec.arrivals)(rate, lasts, seed);
    let before = plan(spec.warm_up).count() as u64;
    let limit = Duration::from_secs_f64(spec.aim.slo.latency.0.max(0.0) / 1000.0);
    let (mut tally, mut trial) = (Tally::new(limit), Trial::new(&spec.aim));
    let (mut decided, mut raw) = (None, Vec::new());
    // Without a file handle to spare, the coarse timer has to do.
    let timer = match spec.fine {
        true => Timer::fine().unwrap_or(Timer::Wheel),
        false => Timer::Wheel,
    };
    let on = |record: &Record| {
        let Some(index) = record.index.checked_sub(before) else {
            return ControlFlow::Continue(());
        };
        tally.add(record);
        let failed = record.reply.result.is_err();
        if raw.len() < KEPT {
            let latency = Millis(record.latency.as_secs_f64() * 1_000.0);
            let ok = !failed;
            raw.push((index, Answer { latency, ok }));
        }
        decided = trial.ended(index, record.intended, record.latency, failed);
        match decided {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    };
    let schedule = plan(spec.warm_up + longest(spec, rate));
    let driven = drive_by(&timer, schedule, in_flight_for(rate), cancel, send, on).await;
    let report = tally.report(driven.aborted);
    let cut_short = decided.is_some() || cancel.is_cancelled();
    let ruling = decided.unwrap_or_else(|| trial.close());
    raw.sort_by_key(|r| r.0);
    let point = SweepPoint {
        rps: rate,
        answers: raw.into_iter().map(|r| r.1).collect(),
        good: ruling.held && !cancel.is_cancelled(),
        proven: ruling.proven,
        report,
        cut_short,
    };
    (point, ruling)
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
