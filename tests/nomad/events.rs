//! The event stream of the sandbox's Nomad, and the events that a real Nomad 1.0.18 sent.

use crate::fake::{Estate, hcl};
use foreshadow::sandbox::nomad::NodeConfig;
use futures::StreamExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Read an event stream to its end.
pub async fn collect(url: String, into: Arc<Mutex<Vec<Value>>>) {
    let mut lines = Lines::open(url).await;
    while let Some(batch) = lines.next().await {
        into.lock()
            .expect("lock")
            .extend(batch["Events"].as_array().into_iter().flatten().cloned());
    }
}

/// A stream, line by line.
struct Lines {
    stream: futures::stream::BoxStream<'static, Vec<u8>>,
    rest: Vec<u8>,
}

impl Lines {
    async fn open(url: String) -> Lines {
        let bytes = reqwest::get(url).await.expect("opens").bytes_stream();
        let whole = bytes.take_while(|b| futures::future::ready(b.is_ok()));
        let stream = whole.map(|b| b.expect("bytes").to_vec()).boxed();
        Lines {
            stream,
            rest: Vec::new(),
        }
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).expect("JSON lines"));
            }
            self.rest.extend(self.stream.next().await?);
        }
    }

    /// Batches up to the one that is as wanted, without heartbeats.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(batch) = self.next().await {
            if batch == json!({}) {
                continue;
            }
            let found = wanted(&batch);
            all.push(batch);
            if found {
                return all;
            }
        }
        panic!("the stream ended: {all:?}");
    }
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v[key].as_str().unwrap_or("")
}

fn events(batch: &Value) -> impl Iterator<Item = &Value> {
    batch["Events"].as_array().into_iter().flatten()
}

/// Every kind of event that was recorded is sent, and what it is about has the same keys with values of the same types.
pub fn compare_events(folder: &std::path::Path, ours: &[Value]) {
    let file = folder.join("nomad-events-1.0.18.ndjson");
    let recorded = std::fs::read_to_string(file).expect("readable");
    let batches: Vec<Value> = recorded
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(batches[0], json!({}), "a stream begins with a heartbeat");
    let theirs: Vec<Value> = batches.iter().flat_map(events).cloned().collect();
    let kinds = |all: &[Value]| -> BTreeSet<(String, String)> {
        let kind = |e: &Value| (text(e, "Topic").into(), text(e, "Type").into());
        all.iter().map(kind).collect()
    };
    let (wanted, sent) = (kinds(&theirs), kinds(ours));
    let missing: Vec<_> = wanted.difference(&sent).collect();
    assert!(missing.is_empty(), "never sent: {missing:?}");
    let (theirs, ours) = (shapes(&theirs), shapes(ours));
    let mut alike = 0;
    for (path, types) in &theirs {
        let Some(has) = ours.get(path) else {
            panic!("no event has {path}, which was {types:?}");
        };
        let known = |t: &BTreeSet<&str>| t.iter().any(|t| *t != "null");
        let common = types.intersection(has).next().is_some();
        assert!(
            common || !known(types) || !known(has),
            "{path} is {has:?} and not {types:?}"
        );
        alike += 1;
    }
    for path in ours.keys().filter(|p| !theirs.contains_key(*p)) {
        // What was `null` in all that was recorded may well have something in it here.
        let inside_null = theirs.iter().any(|(p, types)| {
            path.starts_with(&format!("{p}.")) && types.iter().all(|t| *t == "null")
        });
        assert!(inside_null, "{path} is in no recorded event");
    }
    println!(
        "kinds of events that agree: {}; keys and types in them: {alike}",
        wanted.len()
    );
}

/// Maps whose keys are names and not fields.
const NAMED: [&str; 14] = [
    "Attributes",
    "Meta",
    "Drivers",
    "Links",
    "TaskGroups",
    "TaskStates",
    "Tasks",
    "TaskLifecycles",
    "TaskResources",
    "NodesAvailable",
    "QueuedAllocations",
    "ClassEligibility",
    "FailedTGAllocs",
    "DimensionExhausted",
];

fn shapes(events: &[Value]) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut all = BTreeMap::new();
    for event in events {
        shape(event, text(event, "Topic"), &mut all);
    }
    all
}

fn shape(v: &Value, path: &str, all: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match v {
        Value::Null => "null",
        Value::Bool(_) => "truth",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    all.entry(path.into()).or_default().insert(kind);
    let field = path.rsplit('.').next().unwrap_or("");
    // A driver's config and an event's details are whatever they are; scores depend on what was scored.
    if ["Config", "Details", "Scores", "Env"].contains(&field) {
        return;
    }
    match v {
        Value::Object(map) => {
            for (key, value) in map {
                let key = if NAMED.contains(&field) { "*" } else { key };
                shape(value, &format!("{path}.{key}"), all);
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| shape(item, &format!("{path}.[]"), all)),
        _ => {}
    }
}

async fn estate() -> Estate {
    let node = NodeConfig::new("edge-a-1", "edge-a", "127.0.10.1");
    Estate::start(vec![node], |_| ()).await
}

#[tokio::test]
async fn a_registration_is_told_in_the_order_in_which_nomad_writes_it() {
    let estate = estate().await;
    let mut lines =
        Lines::open(estate.url("/v1/event/stream?topic=Job&topic=Evaluation&topic=Allocation"))
            .await;
    assert_eq!(lines.next().await, Some(json!({})));
    estate.run(&hcl("shop", 1, "", "", "/bin/serve")).await;
    let running =
        |b: &Value| events(b).any(|e| e["Payload"]["Allocation"]["ClientStatus"] == "running");
    let told = lines.until(running).await;
    let kinds: Vec<Vec<String>> = told
        .iter()
        .map(|b| {
            events(b)
                .map(|e| format!("{} {}", text(e, "Topic"), text(e, "Type")))
                .collect()
        })
        .collect();
    assert_eq!(kinds[0], ["Job JobRegistered"]);
    assert_eq!(kinds[1], ["Evaluation JobRegistered"]);
    assert_eq!(told[0]["Index"], told[1]["Index"]);
    let planned: BTreeSet<&String> = kinds[2].iter().collect();
    let wanted = [
        "Allocation PlanResult",
        "Evaluation PlanResult",
        "Job PlanResult",
    ]
    .map(String::from);
    assert_eq!(planned, wanted.iter().collect());
    let indexes: Vec<u64> = told.iter().filter_map(|b| b["Index"].as_u64()).collect();
    assert!(indexes.is_sorted(), "{indexes:?}");
}

#[tokio::test]
async fn a_stream_goes_on_from_an_index_and_keeps_to_its_topics() {
    let estate = estate().await;
    estate.run(&hcl("shop", 1, "", "", "/bin/serve")).await;
    estate.run(&hcl("other", 1, "", "", "/bin/serve")).await;
    estate.running("shop", 1).await;
    estate.running("other", 1).await;
    let job = estate.get("/v1/job/other").await;
    let index = job["JobModifyIndex"].as_u64().expect("an index");
    let registered = |b: &Value| events(b).any(|e| e["Key"] == "other" && e["Topic"] == "Job");
    let mut all = Lines::open(estate.url("/v1/event/stream")).await;
    let from_the_start = all.until(registered).await;
    assert!(
        from_the_start
            .iter()
            .any(|b| events(b).any(|e| e["Topic"] == "Node"))
    );
    let mut later = Lines::open(estate.url(&format!("/v1/event/stream?index={index}"))).await;
    let first = later.until(|_| true).await;
    assert_eq!(first[0]["Index"], index);
    let mut last = Lines::open(estate.url("/v1/event/stream?index=999999")).await;
    let newest = last.until(|_| true).await;
    assert!(
        newest[0]["Index"].as_u64() >= Some(index),
        "the last batch, as nothing is newer"
    );
    // Allocations and evaluations are found by their job, too.
    let mut own =
        Lines::open(estate.url("/v1/event/stream?topic=Allocation:other&topic=Evaluation:other"))
            .await;
    let running =
        |b: &Value| events(b).any(|e| e["Payload"]["Allocation"]["ClientStatus"] == "running");
    for batch in own.until(running).await {
        for event in events(&batch) {
            assert_eq!(event["FilterKeys"][0], "other", "{event}");
        }
    }
    let mut nodes = Lines::open(estate.url("/v1/event/stream?namespace=nowhere")).await;
    let only_nodes = nodes.until(|_| true).await;
    assert!(events(&only_nodes[0]).all(|e| e["Topic"] == "Node"));
}

#[tokio::test]
async fn a_stream_that_makes_no_sense_is_refused_in_nomads_words() {
    let estate = estate().await;
    let cases = [
        (
            "GET",
            "index=x",
            400,
            "Unable to parse index: strconv.Atoi: parsing \"x\": invalid syntax",
        ),
        (
            "GET",
            "topic=Job:a:b",
            400,
            "Invalid topic query: error parsing topics: Invalid key value pair for topic, topic: Job:a:b",
        ),
        ("POST", "", 405, "Invalid method"),
    ];
    for (method, query, status, why) in cases {
        let answer = estate
            .call(method, &format!("/v1/event/stream?{query}"), None)
            .await;
        assert_eq!((answer.status, answer.body.as_str()), (status, why));
    }
}
