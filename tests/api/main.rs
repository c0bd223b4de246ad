//! The API against its own description: every path is in it, answers are as it says, and nothing that is thrown at it makes it stumble.
#![allow(clippy::disallowed_methods)] // the environment says which binary is tested; another process is waited for

mod answers;
mod fuzz;
mod instances;
#[path = "../scheduler/program.rs"]
mod program;
mod real;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use foreshadow::engine::view::{Command, View};
use foreshadow::headless::{Api, document, router};
use foreshadow::model::{
    Action, Cause, Epoch, JobId, JournalEntry, JournalState, Moment, PlanId, PortionId, Span, Step,
    StepId,
};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

const ACT: &str = "sesame";

/// The API of a view; commands it took are kept.
struct Served {
    router: Router,
    asked: mpsc::Receiver<Command>,
    _views: watch::Sender<Arc<View>>,
}

fn served(view: View) -> Served {
    let (views, receive) = watch::channel(Arc::new(view));
    let (commands, asked) = mpsc::channel(64);
    let api = Api {
        views: receive,
        commands,
        act_token: Some(ACT.to_string().into()),
        cycle: Span::secs(1),
        now: Arc::new(|| Moment(0)),
        counted: None,
        journal: Some(Arc::new(|before, n| {
            let newest = before.unwrap_or(i64::MAX).min(31);
            let ids = (1..newest).rev().take(n);
            Ok(ids.map(|id| (id, entry(id))).collect())
        })),
    };
    Served {
        router: router(api, None, CancellationToken::new()),
        asked,
        _views: views,
    }
}

fn entry(id: i64) -> JournalEntry {
    JournalEntry {
        step: Step {
            id: StepId::new(format!("step-{id}")),
            plan: PlanId::new("plan"),
            portion: (id % 2 == 0).then(|| PortionId::new("web")),
            cause: Cause::Upkeep,
            action: Action::Reap {
                job: JobId::new("job"),
            },
            why: "because".into(),
            waits_on: Vec::new(),
        },
        epoch: Epoch(7),
        state: JournalState::Verified,
        at: Moment(id * 1_000),
        note: String::new(),
    }
}

/// Status, content type and body; of a stream the body is left where it is.
async fn ask(router: &Router, request: Request<Body>) -> (u16, String, Vec<u8>) {
    let answer = router.clone().oneshot(request).await.expect("it answers");
    let status = answer.status().as_u16();
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let kind = kind.map_or("", |k| k.to_str().expect("text")).to_string();
    let kind = kind.split(';').next().unwrap_or_default().to_string();
    if kind == "text/event-stream" {
        return (status, kind, Vec::new());
    }
    let body = to_bytes(answer.into_body(), usize::MAX).await;
    (status, kind, body.expect("a whole body").to_vec())
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}

/// Why the body is not as the document says of this answer; `None` when it is.
fn differs(
    document: &Value,
    operation: &Value,
    (status, kind, body): (u16, &str, &[u8]),
) -> Option<String> {
    let Some(answer) = operation["responses"].get(status.to_string()) else {
        return Some(format!(
            "{status} is not described: {}",
            String::from_utf8_lossy(body)
        ));
    };
    let Some(content) = answer["content"].get(kind) else {
        return Some(format!(
            "{status} comes as {kind:?}, and is described as {answer}"
        ));
    };
    if kind != "application/json" {
        return None;
    }
    let body: Value = match serde_json::from_slice(body) {
        Ok(body) => body,
        Err(e) => return Some(format!("{status} is no JSON: {e}")),
    };
    unfit(document, &content["schema"], &body)
}

/// Why the value does not fit the schema, in the document's own words.
fn unfit(document: &Value, schema: &Value, value: &Value) -> Option<String> {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&whole).expect("a schema");
    let errors = validator.iter_errors(value).take(5);
    let errors: Vec<String> = errors
        .map(|e| format!("{} at {}", e, e.instance_path()))
        .collect();
    (!errors.is_empty()).then(|| errors.join("\n"))
}

/// Paths and their operations.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let mut all = Vec::new();
    for (path, item) in paths {
        for (verb, operation) in item.as_object().expect("operations") {
            all.push((path.as_str(), verb.as_str(), operation));
        }
    }
    all
}
