//! Sends each request at its intended time whatever the answers do, and measures from that intended time.

use super::http::{Fault, Reply};
use super::schedule::Schedule;
use super::timer::Timer;
use crate::model::{Millis, Rps};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::future::Future;
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// One request that has ended (or was refused by the in-flight limit).
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Place in the schedule, from 0.
    pub index: u64,
    /// When it was to be sent, from the start of the run.
    pub intended: Duration,
    /// How much later than intended the generator began to send it: its own fault, not the target's.
    pub lag: Duration,
    /// From the *intended* send time to the end of the answer, so that a stall shows in every request it delays.
    pub latency: Duration,
    pub reply: Reply,
}

/// How a run went, besides its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Driven {
    /// Requests whose time came: records given out plus `aborted`.
    pub intended: u64,
    /// Those that left: all but the ones beyond the in-flight limit.
    pub sent: u64,
    /// In flight when the run was cancelled: no verdict.
    pub aborted: u64,
}

/// Plays `schedule` through `send` and gives each ended request to `on`, in order of ending; see [`drive_by`].
pub async fn drive<S, F, R>(
    schedule: Schedule,
    max_in_flight: usize,
    cancel: &CancellationToken,
    send: S,
    on: R,
) -> Driven
where
    S: Fn(u64) -> F,
    F: Future<Output = Reply> + Send + 'static,
    R: FnMut(&Record) -> ControlFlow<()>,
{
    drive_by(&Timer::Wheel, schedule, max_in_flight, cancel, send, on).await
}

/// Requests that leave before answers are looked at again, when many are due at once.
const BURST: usize = 16;

/// As [`drive`], on a timer of choice.
///
/// Never more than `max_in_flight` requests at once: one beyond is recorded at once as [`Fault::Overload`], never delayed.
/// Ends when all are answered; when `cancel` fires or `on` breaks, it stops sending and drops what is in flight.
pub async fn drive_by<S, F, R>(
    timer: &Timer,
    schedule: Schedule,
    max_in_flight: usize,
    cancel: &CancellationToken,
    send: S,
    mut on: R,
) -> Driven
where
    S: Fn(u64) -> F,
    F: Future<Output = Reply> + Send + 'static,
    R: FnMut(&Record) -> ControlFlow<()>,
{
    let start = Instant::now();
    let mut driven = Driven::default();
    let mut in_flight: JoinSet<Record> = JoinSet::new();
    let mut schedule = schedule.enumerate().peekable();
    'run: loop {
        for _ in 0..BURST {
            let now = start.elapsed();
            let Some((index, intended)) = schedule.next_if(|(_, due)| *due <= now) else {
                break;
            };
            let index = index as u64;
            driven.intended += 1;
            if in_flight.len() < max_in_flight {
                driven.sent += 1;
                in_flight.spawn(timed(start, index, intended, send(index)));
            } else if on(&refused(start, index, intended)).is_break() {
                break 'run;
            }
        }
        while let Some(done) = in_flight.try_join_next() {
            if on(&ended(done)).is_break() {
                break 'run;
            }
        }
        let due = schedule.peek().map(|(_, due)| start + *due);
        if due.is_some_and(|due| due <= Instant::now()) && !cancel.is_cancelled() {
            // Behind: what was sent needs its turn, too.
            tokio::task::yield_now().await;
            continue;
        }
        if due.is_none() && in_flight.is_empty() {
            break;
        }
        let ended = tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(done) = in_flight.join_next() => ended(done),
            () = timer.until(due.unwrap_or(start)), if due.is_some() => continue,
        };
        if on(&ended).is_break() {
            break;
        }
    }
    driven.aborted = in_flight.len() as u64;
    in_flight.shutdown().await;
    driven
}

async fn timed(
    start: Instant,
    index: u64,
    intended: Duration,
    request: impl Future<Output = Reply>,
) -> Record {
    let lag = start.elapsed().saturating_sub(intended);
    let reply = request.await;
    Record {
        index,
        intended,
        lag,
        latency: start.elapsed().saturating_sub(intended),
        reply,
    }
}

fn refused(start: Instant, index: u64, intended: Duration) -> Record {
    let lag = start.elapsed().saturating_sub(intended);
    Record {
        index,
        intended,
        lag,
        latency: lag,
        reply: Reply::of(Err(Fault::Overload)),
    }
}

fn ended(done: Result<Record, tokio::task::JoinError>) -> Record {
    // Tasks are aborted only after the loop, so an error here is a panic in `send`: let it be seen.
    done.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))
}

/// What came of a run at one load. `intended = ok + failed + aborted`.
#[derive(Clone, Debug)]
pub struct LoadReport {
    pub intended: u64,
    pub sent: u64,
    pub ok: u64,
    pub failed: u64,
    /// Of `ok`: slower than the limit.
    pub late: u64,
    /// In flight at a cancellation: no verdict.
    pub aborted: u64,
    /// Bytes of all answers.
    pub bytes: u64,
    pub p50: Millis,
    pub p90: Millis,
    pub p95: Millis,
    pub p99: Millis,
    pub max: Millis,
    /// Microseconds from the intended send time; good answers and timeouts (a timeout is a slow answer, never omitted).
    pub histogram: Histogram<u64>,
    /// Failed requests by the name of their fault.
    pub by_error: BTreeMap<String, u64>,
    /// 99th percentile of the generator's own delay: latencies hold it, so it must be small against them.
    pub lag_p99: Millis,
    /// From the first intended send time to the last end of an answer.
    pub took: Duration,
}

impl LoadReport {
    /// Latency at a quantile (0…1), over the histogram; 0 when it is empty.
    pub fn quantile(&self, q: f64) -> Millis {
        at(&self.histogram, q)
    }

    /// Good answers among ended requests; `None` when none has ended.
    pub fn success(&self) -> Option<f64> {
        let ended = self.ok + self.failed;
        (ended > 0).then(|| self.ok as f64 / ended as f64)
    }
}

/// Sums records into a [`LoadReport`].
pub struct Tally {
    limit: Duration,
    ok: u64,
    late: u64,
    bytes: u64,
    histogram: Histogram<u64>,
    lag: Histogram<u64>,
    by_error: BTreeMap<Fault, u64>,
    first: Option<Duration>,
    last: Duration,
}

/// A day in microseconds: more than any request may take.
const HIGHEST_MICROS: u64 = 86_400_000_000;

fn micros() -> Histogram<u64> {
    Histogram::new_with_bounds(1, HIGHEST_MICROS, 3).expect("constant bounds are valid")
}

fn note(histogram: &mut Histogram<u64>, took: Duration) {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    histogram.saturating_record(micros.max(1));
}

impl Tally {
    /// `limit`: a good answer that took longer is late.
    pub fn new(limit: Duration) -> Self {
        Self {
            limit,
            ok: 0,
            late: 0,
            bytes: 0,
            histogram: micros(),
            lag: micros(),
            by_error: BTreeMap::new(),
            first: None,
            last: Duration::ZERO,
        }
    }

    pub fn add(&mut self, record: &Record) {
        self.bytes += record.reply.bytes;
        note(&mut self.lag, record.lag);
        let first = self.first.unwrap_or(record.intended);
        self.first = Some(first.min(record.intended));
        self.last = self.last.max(record.intended + record.latency);
        if matches!(record.reply.result, Ok(_) | Err(Fault::Timeout)) {
            note(&mut self.histogram, record.latency);
        }
        match record.reply.result {
            Ok(_) => {
                self.ok += 1;
                self.late += u64::from(record.latency > self.limit);
            }
            Err(fault) => *self.by_error.entry(fault).or_default() += 1,
        }
    }

    pub fn ok(&self) -> u64 {
        self.ok
    }
    pub fn late(&self) -> u64 {
        self.late
    }
    pub fn failed(&self) -> u64 {
        self.by_error.values().sum()
    }

    /// Closes the sums; `aborted` requests are those that were in flight at a cancellation.
    pub fn report(self, aborted: u64) -> LoadReport {
        let failed = self.failed();
        let overload = self.by_error.get(&Fault::Overload).copied().unwrap_or(0);
        let intended = self.ok + failed + aborted;
        LoadReport {
            intended,
            sent: intended - overload,
            ok: self.ok,
            failed,
            late: self.late,
            aborted,
            bytes: self.bytes,
            p50: at(&self.histogram, 0.50),
            p90: at(&self.histogram, 0.90),
            p95: at(&self.histogram, 0.95),
            p99: at(&self.histogram, 0.99),
            max: Millis(self.histogram.max() as f64 / 1000.0),
            histogram: self.histogram,
            by_error: named(self.by_error),
            lag_p99: at(&self.lag, 0.99),
            took: self.last.saturating_sub(self.first.unwrap_or_default()),
        }
    }
}

fn at(histogram: &Histogram<u64>, q: f64) -> Millis {
    Millis(histogram.value_at_quantile(q) as f64 / 1000.0)
}

fn named(by_fault: BTreeMap<Fault, u64>) -> BTreeMap<String, u64> {
    by_fault
        .into_iter()
        .map(|(fault, n)| (fault.to_string(), n))
        .collect()
}

/// In-flight requests that a load may need before the generator refuses: two seconds' worth, and at least 64.
pub fn in_flight_for(rate: Rps) -> usize {
    ((rate.0 * 2.0).ceil() as usize).max(64)
}

/// Plays `schedule` and reports on all of it. See [`drive`] for the arguments; `limit` marks late answers.
pub async fn measure<S, F>(
    schedule: Schedule,
    max_in_flight: usize,
    limit: Duration,
    cancel: &CancellationToken,
    send: S,
) -> LoadReport
where
    S: Fn(u64) -> F,
    F: Future<Output = Reply> + Send + 'static,
{
    let mut tally = Tally::new(limit);
    let driven = drive(schedule, max_in_flight, cancel, send, |record| {
        tally.add(record);
        ControlFlow::Continue(())
    })
    .await;
    tally.report(driven.aborted)
}

#[cfg(test)]
#[path = "open_loop_tests.rs"]
mod tests;
