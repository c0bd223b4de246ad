//! Drives a target at rising loads and finds the highest one within an SLO.

use super::http::Reply;
use super::open_loop::{LoadReport, Tally, drive, in_flight_for};
use super::schedule::{Pacing, Schedule};
use crate::model::{LoadPoint, Rps, Slo};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Whether a report keeps the SLO; a report of nothing does not.
fn kept(slo: &Slo, report: &LoadReport) -> bool {
    report.quantile(slo.quantile) <= slo.latency
        && report.success().is_some_and(|s| s >= slo.success)
}

/// The loads to try and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepSpec {
    /// Rising.
    pub loads: Vec<Rps>,
    /// Measured time of each load, after its warm-up.
    pub each: Duration,
    /// Sent at the load's rate, too, but not counted.
    pub warm_up: Duration,
    /// How often the gap between the last good and the first bad load is halved afterwards.
    pub refine: u32,
    /// A point with fewer ended requests proves nothing and is not good.
    pub min_requests: u64,
    pub slo: Slo,
    /// Of the Poisson arrivals; the same seed gives the same send times.
    pub seed: u64,
}

#[derive(Clone, Debug)]
pub struct SweepPoint {
    pub rps: Rps,
    /// Without the warm-up.
    pub report: LoadReport,
    /// Within the SLO at this load, over enough requests, to the end of its time.
    pub good: bool,
    /// Ended before its time: clearly bad, or stopped.
    pub cut_short: bool,
}

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
}

#[derive(Clone, Debug)]
pub struct SweepReport {
    /// In order of load.
    pub points: Vec<SweepPoint>,
    /// Highest load tried that kept the SLO, with no bad one below it; `None` when the lowest was not good.
    pub knee: Option<Rps>,
    /// No load tried was bad: the true knee lies above.
    pub knee_open: bool,
    /// Why the sweep did not try all it should have: what `stop` said.
    pub stopped: Option<String>,
}

/// Tries the loads of `spec` in turn through `send` (see [`drive`]) until one is bad, then halves the gap `refine` times.
///
/// A point that is clearly bad ends at once. `after` is called at the end of each point while the target is still warm, to
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
    let mut report = SweepReport {
        points: Vec::new(),
        knee: None,
        knee_open: true,
        stopped: None,
    };
    let mut first_bad: Option<Rps> = None;
    let mut halvings = 0;
    let mut loads = spec.loads.iter().copied();
    loop {
        let load = match (first_bad, report.knee) {
            (None, _) => loads.next(),
            (Some(bad), Some(good)) if halvings < spec.refine => {
                halvings += 1;
                Some(Rps((bad.0 + good.0) / 2.0))
            }
            _ => None,
        };
        let Some(load) = load else { break };
        let cancel = CancellationToken::new();
        let seed = spec.seed.wrapping_add(report.points.len() as u64);
        let mut running = pin!(point(spec, load, seed, &send, &cancel));
        let done = tokio::select! {
            biased;
            why = &mut stop => {
                report.stopped = Some(why);
                cancel.cancel();
                running.await
            }
            done = &mut running => done,
        };
        let stopped = report.stopped.is_some();
        if done.good && !stopped {
            report.knee = Some(load);
        } else if !stopped {
            report.knee_open = false;
            first_bad = Some(load);
        }
        if stopped {
            report.points.push(done);
            break;
        }
        after(&done).await;
        report.points.push(done);
    }
    report.points.sort_by(|a, b| a.rps.0.total_cmp(&b.rps.0));
    report
}

/// One load: warm-up, then measured; ends early when clearly bad or cancelled.
async fn point<S, F>(
    spec: &SweepSpec,
    load: Rps,
    seed: u64,
    send: &S,
    cancel: &CancellationToken,
) -> SweepPoint
where
    S: Fn(u64) -> F,
    F: Future<Output = Reply> + Send + 'static,
{
    let lasts = spec.warm_up + spec.each;
    let schedule = Schedule::constant(load, lasts, Pacing::Poisson { seed });
    let limit = Duration::from_secs_f64(spec.slo.latency.0.max(0.0) / 1000.0);
    let mut tally = Tally::new(limit);
    let mut clearly_bad = false;
    let driven = drive(schedule, in_flight_for(load), cancel, send, |record| {
        if record.intended < spec.warm_up {
            return ControlFlow::Continue(());
        }
        tally.add(record);
        clearly_bad = is_clearly_bad(&tally);
        if clearly_bad {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .await;
    let report = tally.report(driven.aborted);
    let cut_short = clearly_bad || cancel.is_cancelled();
    let enough = report.ok + report.failed >= spec.min_requests.max(1);
    SweepPoint {
        rps: load,
        good: !cut_short && enough && kept(&spec.slo, &report),
        report,
        cut_short,
    }
}

/// Of at least 40 ended requests, more than half failed or were late: no rest of the run can mend that.
fn is_clearly_bad(tally: &Tally) -> bool {
    let bad = tally.failed() + tally.late();
    let ended = tally.failed() + tally.ok();
    ended >= 40 && bad * 2 > ended
}

#[cfg(test)]
#[path = "sweep_tests.rs"]
mod tests;
