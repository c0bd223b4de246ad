//! What every request passes first: how many a second there may be, the token where one is needed, a limit to how long it takes.

use super::api::{Api, Shared, same, told};
use super::door::Streams;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use secrecy::{ExposeSecret, SecretString};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections through one door at once; more wait outside.
pub(super) const CONNECTIONS: usize = 128;
/// Streams among them: others always find a seat.
pub(super) const STREAMS: usize = 16;
const _: () = assert!(STREAMS < CONNECTIONS);
/// Requests a second through one door, and at once.
const A_SECOND: NonZeroU32 = NonZeroU32::new(50).unwrap();
pub(super) const AT_ONCE: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// A request is answered by then, or its stream has begun; the reading of its body is part of it.
pub(super) const REQUEST: Duration = Duration::from_secs(10);
/// Who finds no stream free may ask again after so many seconds.
const LATER: u64 = 5;

/// Those who watch over foreshadow ask these; they tell nothing that others must not know, and cost next to nothing.
pub(super) const FREE: [&str; 2] = ["/live", "/ready"];

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Requests a second.
pub(super) struct Rate<C: Clock = DefaultClock> {
    limiter: Limiter<C>,
    clock: C,
}

impl<C: Clock + Clone> Rate<C> {
    pub(super) fn new(clock: C) -> Self {
        let quota = Quota::per_second(A_SECOND).allow_burst(AT_ONCE);
        Rate {
            limiter: RateLimiter::direct_with_clock(quota, clock.clone()),
            clock,
        }
    }

    /// Seconds to wait, if there were too many.
    pub(super) fn too_fast(&self) -> Option<u64> {
        let until = self.limiter.check().err()?.earliest_possible();
        let wait: Duration = until.duration_since(self.clock.now()).into();
        Some(wait.as_secs_f64().ceil().max(1.0) as u64)
    }
}

/// One door's.
#[derive(Clone)]
pub(super) struct Gate {
    token: Option<SecretString>,
    rate: Arc<Rate>,
    streams: Arc<Semaphore>,
}

impl Gate {
    /// With a token, readers must show it.
    pub(super) fn new(token: Option<SecretString>) -> Gate {
        Gate {
            token,
            rate: Arc::new(Rate::new(DefaultClock::default())),
            streams: Arc::new(Semaphore::new(STREAMS)),
        }
    }

    /// A place among the streams, as long as it is held.
    ///
    /// # Errors
    /// The answer when none is free.
    pub(super) fn stream(&self) -> Result<OwnedSemaphorePermit, Response> {
        Arc::clone(&self.streams).try_acquire_owned().map_err(|_| {
            let text = format!("all {STREAMS} streams are taken; close one, or try again");
            later(StatusCode::SERVICE_UNAVAILABLE, LATER, text)
        })
    }

    fn refusal(&self, headers: &HeaderMap, api: &Api) -> Option<&'static str> {
        let read = self.token.as_ref()?;
        let Some(given) = bearer(headers) else {
            return Some("reading needs a token here, as `Authorization: Bearer TOKEN`");
        };
        let fits = |token: &SecretString| same(given, token.expose_secret().as_bytes());
        // Both are looked at, whichever fits.
        let (reads, acts) = (fits(read), api.act_token.as_ref().is_some_and(fits));
        (!reads && !acts).then_some("this is not the read token of this foreshadow")
    }
}

/// What the request shows.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let shown = headers.get(header::AUTHORIZATION)?;
    shown.as_bytes().strip_prefix(b"Bearer ")
}

/// To somebody whose token is missing, or none that is known.
pub(super) fn unknown(why: &str) -> Response {
    let mut answer = told(StatusCode::UNAUTHORIZED, why);
    let fields = answer.headers_mut();
    fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}

fn later(status: StatusCode, seconds: u64, text: String) -> Response {
    let mut answer = told(status, text);
    let fields = answer.headers_mut();
    fields.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

pub(super) async fn pass(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let gate = &shared.gate;
    if !FREE.contains(&request.uri().path()) {
        if let Some(seconds) = gate.rate.too_fast() {
            let text = format!("more than {A_SECOND} requests a second; wait {seconds} s");
            return later(StatusCode::TOO_MANY_REQUESTS, seconds, text);
        }
        if let Some(why) = gate.refusal(request.headers(), &shared.api) {
            return unknown(why);
        }
    }
    let carried = request.extensions().get::<Streams>().cloned();
    let Ok(answer) = tokio::time::timeout(REQUEST, next.run(request)).await else {
        let text = format!("the request took more than {} s", REQUEST.as_secs());
        return told(StatusCode::REQUEST_TIMEOUT, text);
    };
    if let Some(Streams(streams)) = carried {
        let kind = answer.headers().get(header::CONTENT_TYPE);
        let endless = kind.is_some_and(|k| k.as_bytes().starts_with(b"text/event-stream"));
        streams.store(endless, Ordering::Relaxed);
    }
    answer
}
