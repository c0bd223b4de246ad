//! What a tap has counted: how many requests passed, what became of the copies, and how the shadow's answers differ.

use bytes::Bytes;
use hdrhistogram::Histogram;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use serde::Serialize;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Sizes that differ by more than this part count as different: dates and ids vary.
const ALIKE: f64 = 0.10;

/// One answer, whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    pub status: StatusCode,
    pub bytes: u64,
    pub took: Duration,
}

/// Counts, to be read at any time.
#[derive(Default)]
pub struct Tally {
    passed: AtomicU64,
    unreachable: AtomicU64,
    dropped: AtomicU64,
    compared: Mutex<Compared>,
}

struct Compared {
    same: u64,
    status: u64,
    size: u64,
    silent: u64,
    production: Histogram<u64>,
    shadow: Histogram<u64>,
}

impl Default for Compared {
    fn default() -> Self {
        // Microseconds to a minute at three digits: these bounds are valid, so nothing can fail.
        let histogram = || Histogram::new_with_bounds(1, 60_000_000, 3);
        let empty = || histogram().unwrap_or_else(|_| unreachable!("valid bounds"));
        Compared {
            same: 0,
            status: 0,
            size: 0,
            silent: 0,
            production: empty(),
            shadow: empty(),
        }
    }
}

/// A tap's counts at one moment; latencies in milliseconds, of copied requests alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    /// Requests that came.
    pub requests: u64,
    /// Production gave no answer.
    pub unreachable: u64,
    /// Copies that were compared.
    pub compared: u64,
    /// Copies for which the queue had no room.
    pub dropped: u64,
    /// Copies answered alike.
    pub same: u64,
    pub status_differs: u64,
    /// Same status, another size of the answer.
    pub size_differs: u64,
    /// Copies without a whole answer.
    pub silent: u64,
    pub production_p50: f64,
    pub production_p99: f64,
    pub shadow_p50: f64,
    pub shadow_p99: f64,
}

impl Tally {
    pub(super) fn passed(&self) {
        self.passed.fetch_add(1, Relaxed);
    }
    pub(super) fn unreachable(&self) {
        self.unreachable.fetch_add(1, Relaxed);
    }
    pub(super) fn dropped(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    pub(super) fn compare(&self, production: &Outcome, shadow: Option<&Outcome>) {
        let mut c = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = |took: Duration| took.as_micros().min(60_000_000) as u64;
        c.production.saturating_record(micros(production.took));
        let Some(shadow) = shadow else {
            c.silent += 1;
            return;
        };
        c.shadow.saturating_record(micros(shadow.took));
        let (a, b) = (production.bytes as f64, shadow.bytes as f64);
        if production.status != shadow.status {
            c.status += 1;
        } else if (a - b).abs() > ALIKE * a.max(b) {
            c.size += 1;
        } else {
            c.same += 1;
        }
    }

    pub fn counts(&self) -> Counts {
        let c = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |h: &Histogram<u64>, q| h.value_at_quantile(q) as f64 / 1_000.0;
        Counts {
            requests: self.passed.load(Relaxed),
            unreachable: self.unreachable.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            compared: c.same + c.status + c.size + c.silent,
            same: c.same,
            status_differs: c.status,
            size_differs: c.size,
            silent: c.silent,
            production_p50: at(&c.production, 0.5),
            production_p99: at(&c.production, 0.99),
            shadow_p50: at(&c.shadow, 0.5),
            shadow_p99: at(&c.shadow, 0.99),
        }
    }
}

/// Production's answer on its way to the client; tells what it was once it is whole.
pub(super) struct Counted {
    body: Incoming,
    status: StatusCode,
    began: Instant,
    bytes: u64,
    tell: Option<oneshot::Sender<Outcome>>,
}

impl Counted {
    pub(super) fn new(
        body: Incoming,
        status: StatusCode,
        began: Instant,
        tell: Option<oneshot::Sender<Outcome>>,
    ) -> Self {
        let mut counted = Counted {
            body,
            status,
            began,
            bytes: 0,
            tell,
        };
        if counted.body.is_end_stream() {
            counted.whole();
        }
        counted
    }

    fn whole(&mut self) {
        if let Some(tell) = self.tell.take() {
            // The copy may be given up already.
            let _ = tell.send(Outcome {
                status: self.status,
                bytes: self.bytes,
                took: self.began.elapsed(),
            });
        }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.bytes += frame.data_ref().map_or(0, |d| d.len() as u64);
        }
        let ended = matches!(polled, Poll::Ready(None));
        // A server that knows the length does not ask again after the last byte.
        if ended || (matches!(polled, Poll::Ready(Some(Ok(_)))) && self.body.is_end_stream()) {
            self.whole();
        }
        polled
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
