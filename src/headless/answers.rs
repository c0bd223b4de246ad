//! What each path answers.

use super::api::{Api, same, told};
use super::gate::{bearer, unknown};
use super::metrics;
use super::ndjson::rfc3339;
use crate::engine::view::{Command, Health, Mode, PortionView, StepView};
use crate::model::{
    Calibration, Cause, Epoch, JournalEntry, JournalState, Judged, Known, PlanId, PortionId,
    Profile, Shared, StepId, Waiting,
};
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// The steps of the plan and what waits, as of a cycle.
#[derive(Serialize, JsonSchema)]
pub(super) struct Plan<'a> {
    /// RFC 3339, UTC.
    at: String,
    cycle: u64,
    mode: Mode,
    /// Why nothing is written, if so.
    hold: Option<&'a str>,
    steps: &'a [StepView],
    waiting: &'a [Shared<Waiting>],
}

/// How a portion is, in one sentence.
#[derive(Serialize, JsonSchema)]
struct Brief {
    id: PortionId,
    workload: String,
    health: Health,
    sentence: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Portions {
    /// RFC 3339, UTC.
    at: String,
    cycle: u64,
    portions: Vec<Brief>,
}

/// What was measured of a portion, what is counted on for it, and how that compares with what came.
#[derive(Serialize, JsonSchema)]
struct Measured<'a> {
    portion: &'a PortionId,
    profiles: &'a [Profile],
    known: &'a [Known],
    verdicts: &'a [Judged],
    calibration: &'a Calibration,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Profiles<'a> {
    /// RFC 3339, UTC.
    at: String,
    cycle: u64,
    portions: Vec<Measured<'a>>,
}

/// Where a step was on its way, as this gateway's store has it.
#[derive(Serialize, JsonSchema)]
struct Entry {
    /// Grows with each entry.
    id: i64,
    /// RFC 3339, UTC.
    at: String,
    step: StepId,
    plan: PlanId,
    portion: Option<PortionId>,
    cause: Cause,
    verb: &'static str,
    state: JournalState,
    epoch: Epoch,
    why: String,
    note: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Pages {
    /// Newest first.
    entries: Vec<Entry>,
    /// `before` of the next page; null when this is the last.
    next: Option<i64>,
}

/// Entries of a page, unless asked for, and at most.
const PAGE: usize = 100;
pub(super) const LARGEST_PAGE: usize = 500;

#[derive(Deserialize)]
pub(super) struct JournalAsk {
    before: Option<i64>,
    limit: Option<usize>,
}

pub(super) async fn view(State(api): State<Api>) -> Response {
    Json(&*api.latest()).into_response()
}

pub(super) async fn plan(State(api): State<Api>) -> Response {
    let view = api.latest();
    Json(Plan {
        at: rfc3339(view.at),
        cycle: view.cycle,
        mode: view.mode,
        hold: view.hold.as_deref(),
        steps: &view.steps,
        waiting: &view.waiting,
    })
    .into_response()
}

pub(super) async fn portions(State(api): State<Api>) -> Response {
    let view = api.latest();
    let brief = |p: &PortionView| Brief {
        id: p.id.clone(),
        workload: p.workload.clone(),
        health: p.health,
        sentence: p.sentence.clone(),
    };
    Json(Portions {
        at: rfc3339(view.at),
        cycle: view.cycle,
        portions: view.portions.iter().map(|p| brief(p)).collect(),
    })
    .into_response()
}

pub(super) async fn portion(State(api): State<Api>, Path(id): Path<String>) -> Response {
    let view = api.latest();
    if let Some(portion) = view.portions.iter().find(|p| p.id.as_str() == id) {
        return Json(portion).into_response();
    }
    let known = view.portions.iter().take(20).map(|p| p.id.as_str());
    let known: Vec<&str> = known.collect();
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

pub(super) async fn profiles(State(api): State<Api>) -> Response {
    let view = api.latest();
    let measured = view.portions.iter().map(|p| Measured {
        portion: &p.id,
        profiles: &p.profiles,
        known: &p.known,
        verdicts: &p.verdicts,
        calibration: &p.calibration,
    });
    Json(Profiles {
        at: rfc3339(view.at),
        cycle: view.cycle,
        portions: measured.collect(),
    })
    .into_response()
}

impl Entry {
    fn of((id, entry): (i64, JournalEntry)) -> Entry {
        let step = entry.step;
        Entry {
            id,
            at: rfc3339(entry.at),
            step: step.id,
            plan: step.plan,
            portion: step.portion,
            cause: step.cause,
            verb: step.action.verb(),
            state: entry.state,
            epoch: entry.epoch,
            why: step.why,
            note: entry.note,
        }
    }
}

pub(super) async fn journal(State(api): State<Api>, Query(ask): Query<JournalAsk>) -> Response {
    let limit = ask.limit.unwrap_or(PAGE);
    if !(1..=LARGEST_PAGE).contains(&limit) {
        let text = format!("limit must be 1 to {LARGEST_PAGE}, not {limit}");
        return told(StatusCode::BAD_REQUEST, text);
    }
    let Some(read) = api.journal else {
        return told(StatusCode::NOT_FOUND, "this foreshadow keeps no journal");
    };
    let read = tokio::task::spawn_blocking(move || read(ask.before, limit)).await;
    let entries = match read {
        Ok(Ok(entries)) => entries,
        Ok(Err(why)) => return told(StatusCode::SERVICE_UNAVAILABLE, why),
        Err(e) => {
            let text = format!("the journal was not read: {e}");
            return told(StatusCode::SERVICE_UNAVAILABLE, text);
        }
    };
    let full = entries.len() == limit;
    let next = entries.last().filter(|_| full).map(|(id, _)| *id);
    let entries = entries.into_iter().map(Entry::of).collect();
    Json(Pages { entries, next }).into_response()
}

pub(super) async fn exposed(State(api): State<Api>) -> Response {
    const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
    match metrics::exposition(&api.latest(), (api.now)(), api.counted.as_ref()) {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT)], text).into_response(),
        Err(e) => told(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("no metrics: {e}"),
        ),
    }
}

pub(super) async fn live() -> Response {
    told(StatusCode::OK, "live")
}

pub(super) async fn ready(State(api): State<Api>) -> Response {
    match api.unready() {
        Some(why) => told(StatusCode::SERVICE_UNAVAILABLE, why),
        None => told(StatusCode::OK, "ready"),
    }
}

/// What this request is told if it may not command.
fn refusal(api: &Api, headers: &HeaderMap) -> Option<Response> {
    let no = |why| Some(told(StatusCode::FORBIDDEN, why));
    let Some(token) = &api.act_token else {
        return no(
            "commands are refused: this foreshadow was started without an act token (FORESHADOW_ACT_TOKEN_FILE, or FORESHADOW_ACT_TOKEN)",
        );
    };
    match bearer(headers) {
        None => {
            let why = "commands need the act token, as `Authorization: Bearer TOKEN` (the command line takes it from FORESHADOW_ACT_TOKEN_FILE, or FORESHADOW_ACT_TOKEN)";
            Some(unknown(why))
        }
        Some(given) if !same(given, token.expose_secret().as_bytes()) => {
            no("this is not the act token of this foreshadow")
        }
        Some(_) => None,
    }
}

pub(super) async fn command(State(api): State<Api>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refusal) = refusal(&api, &headers) {
        return refusal;
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
    let accepted = match command.bare() {
        Command::LogLevel { .. } => "accepted: /v1/events says what the log tells from now on",
        _ => "accepted: planner and guard decide in the next cycle; see /v1/plan",
    };
    match api.commands.try_send(command) {
        Ok(()) => told(StatusCode::ACCEPTED, accepted),
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
