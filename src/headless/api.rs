//! A small HTTP API on loopback: the view for readers, commands for those who hold the act token.

use super::metrics::{self, Counted};
use super::ndjson::rfc3339;
use crate::engine::view::{Command, View};
use crate::model::{Moment, Span};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A command is far smaller than this, in bytes.
const LARGEST: usize = 16 * 1024;
/// A view older than so many cycles is not ready.
const CYCLES: i64 = 3;

const PATHS: &str = "GET /v1/view, GET /v1/stream, GET /v1/plan, GET /v1/portions/{id}, GET /v1/profiles, POST /v1/command, GET /live, GET /ready, \
     GET /metrics";

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("the API listens on loopback only, not on {0}; give a 127.x.y.z or [::1] address")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {at}; is another foreshadow running there? give another address")]
    Bind {
        at: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("the API stopped answering")]
    Serve(#[source] std::io::Error),
}

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
}

/// Takes the address, loopback only.
///
/// # Errors
/// `NotLoopback`, or `Bind` when the address is taken.
pub async fn bind(at: SocketAddr) -> Result<TcpListener, ApiError> {
    if !at.ip().is_loopback() {
        return Err(ApiError::NotLoopback(at));
    }
    let bound = TcpListener::bind(at).await;
    bound.map_err(|source| ApiError::Bind { at, source })
}

/// Answers until `cancel`; requests under way are finished.
///
/// # Errors
/// `Serve` when the listener fails.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    cancel: CancellationToken,
) -> Result<(), ApiError> {
    axum::serve(listener, router(api))
        .with_graceful_shutdown(cancel.cancelled_owned())
        .await
        .map_err(ApiError::Serve)
}

pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/view", get(view))
        .route("/v1/stream", get(super::stream::stream_view))
        .route("/v1/plan", get(plan))
        .route("/v1/portions/{id}", get(portion))
        .route("/v1/profiles", get(profiles))
        .route("/metrics", get(exposed))
        .route("/v1/command", post(command))
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .fallback(|| async {
            told(
                StatusCode::NOT_FOUND,
                format!("no such path; there are {PATHS}"),
            )
        })
        .method_not_allowed_fallback(|| async {
            told(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("not with this method; there are {PATHS}"),
            )
        })
        .layer(DefaultBodyLimit::max(LARGEST))
        .with_state(api)
}

fn told(status: StatusCode, text: impl std::fmt::Display) -> Response {
    (status, format!("{text}\n")).into_response()
}

impl Api {
    fn latest(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// Why nobody should rely on this view now, if so.
    fn unready(&self) -> Option<String> {
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

    /// Why this request may not command, if so.
    fn refusal(&self, headers: &HeaderMap) -> Option<&'static str> {
        let Some(token) = &self.act_token else {
            return Some("commands are refused: this foreshadow was started without an act token");
        };
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|v| v.as_bytes().strip_prefix(b"Bearer "));
        match given {
            None => Some("commands need the act token, as `Authorization: Bearer TOKEN`"),
            Some(given) if !same(given, token.expose_secret().as_bytes()) => {
                Some("this is not the act token of this foreshadow")
            }
            Some(_) => None,
        }
    }
}

/// Compares in a time that depends on lengths alone; an empty token fits nothing.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differs = given
        .iter()
        .zip(wanted)
        .fold(0, |d, (a, b)| d | std::hint::black_box(a ^ b));
    differs == 0 && given.len() == wanted.len() && !wanted.is_empty()
}

async fn view(State(api): State<Api>) -> Response {
    Json(&*api.latest()).into_response()
}

async fn plan(State(api): State<Api>) -> Response {
    let view = api.latest();
    Json(json!({
        "at": rfc3339(view.at),
        "cycle": view.cycle,
        "mode": view.mode,
        "hold": view.hold,
        "steps": view.steps,
        "waiting": view.waiting,
    }))
    .into_response()
}

async fn portion(State(api): State<Api>, Path(id): Path<String>) -> Response {
    let view = api.latest();
    if let Some(portion) = view.portions.iter().find(|p| p.id.as_str() == id) {
        return Json(portion).into_response();
    }
    let known: Vec<&str> = view
        .portions
        .iter()
        .take(20)
        .map(|p| p.id.as_str())
        .collect();
    let known = if known.is_empty() {
        "none yet".into()
    } else {
        known.join(", ")
    };
    told(
        StatusCode::NOT_FOUND,
        format!("no portion is called `{id}`; known are {known}"),
    )
}

async fn profiles(State(api): State<Api>) -> Response {
    let view = api.latest();
    let portions = view.portions.iter();
    let all: Vec<_> = portions
        .map(|p| {
            json!({
                "portion": p.id, "profiles": p.profiles, "known": p.known, "verdicts": p.verdicts,
                "calibration": p.calibration,
            })
        })
        .collect();
    Json(json!({"at": rfc3339(view.at), "cycle": view.cycle, "portions": all})).into_response()
}

async fn exposed(State(api): State<Api>) -> Response {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    match metrics::exposition(&api.latest(), (api.now)(), api.counted.as_ref()) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(e) => told(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("no metrics: {e}"),
        ),
    }
}

async fn ready(State(api): State<Api>) -> Response {
    match api.unready() {
        Some(why) => told(StatusCode::SERVICE_UNAVAILABLE, why),
        None => told(StatusCode::OK, "ready"),
    }
}

async fn command(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(why) = api.refusal(&headers) {
        return told(StatusCode::FORBIDDEN, why);
    }
    let command: Command = match serde_json::from_slice(&body) {
        Ok(command) => command,
        Err(e) => {
            let like = r#"{"command":"hold","on":true}, {"command":"abort"}, {"command":"switch","portion":"web","to":"provider-a"}"#;
            return told(
                StatusCode::BAD_REQUEST,
                format!("this is no command: {e}; commands look like {like}"),
            );
        }
    };
    match api.commands.try_send(command) {
        Ok(()) => told(
            StatusCode::ACCEPTED,
            "accepted: planner and guard decide in the next cycle; see /v1/plan",
        ),
        Err(mpsc::error::TrySendError::Full(_)) => told(
            StatusCode::SERVICE_UNAVAILABLE,
            "the engine has commands waiting; try again in a moment",
        ),
        Err(mpsc::error::TrySendError::Closed(_)) => told(
            StatusCode::SERVICE_UNAVAILABLE,
            "the engine has stopped; nothing will be done",
        ),
    }
}
