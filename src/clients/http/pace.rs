//! How fast and how much at once we ask, so that no cluster is harmed by its scheduler, and when a request is sent again.

use super::{Ask, HttpError};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use reqwest::Method;
use std::num::NonZeroU32;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Times that a request is sent again.
const AGAIN: usize = 2;

/// A server's share of our requests: so many a second, so many in flight. Streams and blocking queries, which only wait,
/// are counted when they begin and not while they last.
pub(super) struct Pace {
    rate: DefaultDirectRateLimiter,
    in_flight: Semaphore,
}

impl Pace {
    pub(super) fn new(most_a_second: NonZeroU32, in_flight: usize) -> Self {
        Pace {
            rate: RateLimiter::direct(Quota::per_second(most_a_second)),
            in_flight: Semaphore::new(in_flight.max(1)),
        }
    }

    /// Waits for our turn; the answer is in flight while the permit lives. `lasting`: it only waits, and needs none.
    pub(super) async fn turn(&self, lasting: bool) -> Option<SemaphorePermit<'_>> {
        self.rate.until_ready().await;
        match lasting {
            true => None,
            // It is never closed; were it, nothing would be gained by not asking.
            false => self.in_flight.acquire().await.ok(),
        }
    }
}

/// With jitter, so that many clients of one server that comes back do not ask it at the same moment.
pub(super) fn again() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(40))
        .with_max_times(AGAIN)
        .build()
}

/// Whether it may be sent again at once: it never arrived, or it only reads. What timed out has used up the time; a
/// blocking query's caller asks again anyway.
pub(super) fn may_repeat(ask: &Ask, error: &HttpError) -> bool {
    let reads = ask.method == Method::GET && ask.longest.is_none();
    match error {
        HttpError::Timeout { .. } => false,
        HttpError::Unreachable { source, .. } if source.is_timeout() => false,
        HttpError::Unreachable { source, .. } => reads || source.is_connect(),
        e => reads && e.is_transient(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn more_requests_than_a_second_allows_wait_for_their_turn() {
        let pace = Pace::new(NonZeroU32::MIN, 100);
        let at_once = (0..50).filter(|_| pace.turn(false).now_or_never().is_some());
        // One a second: a machine would have to stand still for 49 of them to let all pass.
        assert!((1..50).contains(&at_once.count()));
    }

    #[tokio::test]
    async fn no_more_are_in_flight_than_allowed_but_those_that_only_wait_are_not_counted() {
        let pace = Pace::new(NonZeroU32::MAX, 2);
        let (first, _second) = (pace.turn(false).await, pace.turn(false).await);
        assert!(pace.turn(false).now_or_never().is_none(), "the third waits");
        assert!(pace.turn(true).now_or_never().is_some(), "a watch does not");
        drop(first);
        assert!(
            pace.turn(false).now_or_never().is_some(),
            "an answer lets the next one go"
        );
    }
}
