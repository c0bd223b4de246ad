//! Every answer that was recorded of a real Nomad goes through the typed shapes: as it is, with every list `null`, and with
//! fields that nobody knows; refusals go through the client. Skipped aloud where the recordings are absent.

use super::answers::lines;
use crate::clients::http::{Ask, HttpError, Peer, System, Transport};
use crate::clients::nomad::*;
use crate::model::JobSpec;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

type Decode = fn(&Value) -> Result<(), serde_json::Error>;

fn shape<T: DeserializeOwned>(v: &Value) -> Result<(), serde_json::Error> {
    T::deserialize(v).map(drop)
}

fn job(v: &Value) -> Result<(), serde_json::Error> {
    Job::from_spec(JobSpec::new(v.clone())).map(drop)
}

/// The shape of an answer by method and path; `None` for what foreshadow never asks.
fn shape_of(method: &str, path: &str) -> Option<Decode> {
    let path = path.split('?').next()?;
    let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    Some(match (method, parts.as_slice()) {
        ("GET", ["status", "leader"]) => shape::<String>,
        ("GET", ["agent", "self"]) => shape::<Agent>,
        ("GET", ["regions"]) => shape::<Vec<String>>,
        ("GET", ["nodes"]) => shape::<Option<Vec<NodeStub>>>,
        ("GET", ["node", _]) => shape::<Node>,
        ("GET", ["client", "stats"]) => shape::<HostStats>,
        ("GET", ["client", "allocation", _, "stats"]) => shape::<AllocStats>,
        ("POST", ["jobs", "parse"]) | ("GET", ["job", _]) => job,
        ("POST", ["job", _, "plan"]) => shape::<PlanReply>,
        ("POST", ["jobs"]) | ("DELETE", ["job", _]) | ("POST", ["job", _, "scale"]) => {
            shape::<RegisterReply>
        }
        ("GET", ["evaluation", _]) => shape::<Evaluation>,
        ("GET", ["job", _, "evaluations"]) => shape::<Option<Vec<Evaluation>>>,
        ("GET", ["jobs"]) => shape::<Option<Vec<JobStub>>>,
        ("GET", ["job", _, "allocations"]) => shape::<Option<Vec<Alloc>>>,
        ("GET", ["allocation", _]) => shape::<Alloc>,
        ("GET", ["job", _, "deployment"]) => shape::<Deployment>,
        ("GET", ["job", _, "deployments"] | ["deployments"]) => shape::<Option<Vec<Deployment>>>,
        _ => return None,
    })
}

/// What foreshadow never asks; the recordings have it for the sandbox.
const NOT_ASKED: [&str; 6] = [
    "/validate/job",
    "/summary",
    "/eligibility",
    "/drain",
    "/versions",
    "/metrics",
];

/// The same with every list `null`.
fn without_lists(v: &Value) -> Value {
    match v {
        Value::Array(_) => Value::Null,
        Value::Object(map) => map
            .iter()
            .map(|(key, v)| (key.clone(), without_lists(v)))
            .collect(),
        other => other.clone(),
    }
}

/// The same with a field in each object that no version has yet. Objects keyed by names (of tasks, attributes) are no such.
fn with_news(v: &Value) -> Value {
    match v {
        Value::Array(all) => all.iter().map(with_news).collect(),
        Value::Object(map) => {
            let is_field = |key: &String| key.starts_with(|c: char| c.is_ascii_uppercase());
            let record = map.keys().all(is_field) && !map.is_empty();
            let known = map.iter().map(|(key, v)| (key.clone(), with_news(v)));
            let news = record.then(|| ("NotYetKnown".into(), json!({"Deep": [1, null]})));
            known.chain(news).collect()
        }
        other => other.clone(),
    }
}

#[test]
fn every_recorded_answer_decodes_also_with_null_lists_and_unknown_fields() {
    let Some(all) = lines("nomad-1.0.18.ndjson") else {
        return;
    };
    let (mut decoded, mut refused, mut not_asked) = (0, 0, 0);
    for call in &all {
        let (method, path) = (
            call["request"]["method"].as_str().unwrap(),
            call["request"]["path"].as_str().unwrap(),
        );
        let answer = &call["response"];
        if answer["status"] != 200 {
            refused += 1;
            continue;
        }
        let Some(decode) = shape_of(method, path) else {
            let known = NOT_ASKED.iter().any(|end| path.contains(end));
            let known = known || (method == "GET" && path.ends_with("/scale"));
            assert!(known, "{method} {path} has no shape");
            not_asked += 1;
            continue;
        };
        let body = &answer["json"];
        let forms = [
            ("as recorded", body.clone()),
            ("unknown fields", with_news(body)),
        ];
        let nulls = ("null lists", without_lists(body));
        // A list of names alone has nothing that could be null.
        let nulls = (path != "/v1/regions").then_some(nulls);
        for (form, body) in forms.into_iter().chain(nulls) {
            decode(&body).unwrap_or_else(|e| panic!("{method} {path}, {form}: {e}"));
        }
        decoded += 1;
    }
    println!(
        "recorded answers: {decoded} decoded, {refused} refusals, {not_asked} never asked, of {}",
        all.len()
    );
    assert_eq!(decoded + refused + not_asked, all.len());
    assert!(decoded >= 45, "only {decoded}");
}

#[tokio::test]
async fn every_recorded_refusal_is_an_error_with_nomads_words_that_never_is_asked_again() {
    let Some(all) = lines("nomad-1.0.18.ndjson") else {
        return;
    };
    let server = MockServer::start().await;
    let peer = Peer::plain(System::Nomad, &server.uri()).unwrap();
    let http = Transport::new(&peer).unwrap();
    let refusals = all.iter().filter(|c| c["response"]["status"] != 200);
    for call in refusals {
        let status = call["response"]["status"].as_u64().unwrap();
        let text = call["response"]["text"].as_str().unwrap();
        server.reset().await;
        Mock::given(any())
            .respond_with(ResponseTemplate::new(status as u16).set_body_string(text))
            .mount(&server)
            .await;
        let ask = Ask::get("see what it says", &["v1", "anything"]);
        let error = http.read::<Value>(&ask).await.unwrap_err();
        let path = &call["request"]["path"];
        match (&error, status) {
            (HttpError::NotFound { .. }, 404) => {}
            (HttpError::Status { status: s, .. }, _) => assert_eq!(u64::from(*s), status),
            _ => panic!("{path}: {error:?}"),
        }
        let words = text
            .split_whitespace()
            .take(4)
            .collect::<Vec<_>>()
            .join(" ");
        assert!(error.to_string().contains(&words), "{path}: {error}");
        assert!(!error.is_transient(), "{path}: {error}");
    }
}

#[test]
fn every_recorded_event_decodes_also_with_null_lists_and_unknown_fields() {
    let Some(all) = lines("nomad-events-1.0.18.ndjson") else {
        return;
    };
    for line in &all {
        let whole: EventBatch = serde_json::from_value(line.clone()).unwrap();
        let news: EventBatch = serde_json::from_value(with_news(line)).unwrap();
        assert_eq!(news.index, whole.index);
        assert_eq!(news.events.len(), whole.events.len());
        for event in line["Events"].as_array().into_iter().flatten() {
            let bare = without_lists(event);
            let read = Event::deserialize(&bare);
            assert!(read.is_ok(), "{}: {read:?}", event["Topic"]);
        }
    }
}
