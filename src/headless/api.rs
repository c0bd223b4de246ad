//! What the API stands on, and what its answers have in common.

use super::gate::{self, Gate};
use super::made::Made;
use super::metrics::Counted;
use super::ndjson::rfc3339;
use super::routes::routes;
use crate::engine::view::{Command, View};
use crate::model::{JournalEntry, Moment, Span};
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A command is far smaller than this, in bytes.
pub(super) const LARGEST: usize = 16 * 1024;
/// A view older than so many cycles is not ready.
const CYCLES: i64 = 3;

/// The newest so many entries of the journal before one, newest first; why there are none, if they cannot be read.
pub type Journal =
    Arc<dyn Fn(Option<i64>, usize) -> Result<Vec<(i64, JournalEntry)>, String> + Send + Sync>;

/// What the API stands on.
#[derive(Clone)]
pub struct Api {
    pub views: watch::Receiver<Arc<View>>,
    pub commands: mpsc::Sender<Command>,
    /// Without it every command is refused.
    pub act_token: Option<SecretString>,
    /// How long a cycle of the engine takes.
    pub cycle: Span,
    /// The engine's clock.
    pub now: Arc<dyn Fn() -> Moment + Send + Sync>,
    /// What the process counts by itself, for `/metrics`; nothing unless it began to.
    pub counted: Option<Counted>,
    pub journal: Option<Journal>,
}

/// The same for one door.
#[derive(Clone)]
pub(super) struct Shared {
    pub api: Api,
    pub gate: Gate,
    pub made: Arc<Mutex<Made>>,
    /// Ends the streams.
    pub over: CancellationToken,
}

impl FromRef<Shared> for Api {
    fn from_ref(shared: &Shared) -> Api {
        shared.api.clone()
    }
}

/// Everything behind one door, which asks for the read token if there is one; streams end with `over`.
pub fn router(api: Api, read_token: Option<SecretString>, over: CancellationToken) -> Router {
    let gate = Gate::new(read_token);
    let made = Arc::default();
    let shared = Shared {
        api,
        gate,
        made,
        over,
    };
    let mut router = Router::new();
    let mut paths = Vec::new();
    for route in routes() {
        paths.push(format!("{} {}", route.verb.name(), route.path));
        router = router.route(route.path, route.handler);
    }
    let paths = Arc::new(paths.join(", "));
    let others = Arc::clone(&paths);
    router
        .fallback(async move || {
            let text = format!("no such path; there are {paths}");
            told(StatusCode::NOT_FOUND, text)
        })
        .method_not_allowed_fallback(async move || {
            let text = format!("not with this method; there are {others}");
            told(StatusCode::METHOD_NOT_ALLOWED, text)
        })
        .layer(DefaultBodyLimit::max(LARGEST))
        .layer(from_fn_with_state(shared.clone(), gate::pass))
        .with_state(shared)
}

pub(super) fn told(status: StatusCode, text: impl std::fmt::Display) -> Response {
    (status, format!("{text}\n")).into_response()
}

impl Api {
    pub(super) fn latest(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// Why nobody should rely on this view now, if so.
    pub(super) fn unready(&self) -> Option<String> {
        let view = self.latest();
        if view.cycle == 0 {
            return Some("not ready: no cycle has been done yet".into());
        }
        let (age, limit) = ((self.now)().since(view.at), self.cycle.times(CYCLES));
        (age > limit).then(|| {
            format!(
                "not ready: the view is {:.1} s old, more than {CYCLES} cycles ({:.1} s); the last cycle, {}, was at {}",
                age.as_secs_f64(),
                limit.as_secs_f64(),
                view.cycle,
                rfc3339(view.at)
            )
        })
    }
}

/// Compares in a time that depends on lengths alone; an empty token fits nothing.
pub(super) fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differs = given
        .iter()
        .zip(wanted)
        .fold(0, |d, (a, b)| d | std::hint::black_box(a ^ b));
    differs == 0 && given.len() == wanted.len() && !wanted.is_empty()
}
