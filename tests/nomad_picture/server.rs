//! A Nomad of lists and events that does what the test says, and counts what it is asked.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use foreshadow::clients::http::{Peer, System};
use foreshadow::clients::nomad::Nomad;
use foreshadow::clients::nomad::picture::Which;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{broadcast, watch};

type Params = Query<BTreeMap<String, String>>;

#[derive(Default)]
pub struct Store {
    pub rows: [BTreeMap<String, Value>; 3],
    pub index: [u64; 3],
    /// Whole lists given.
    pub lists: [usize; 3],
    /// Indexes that streams were asked from.
    pub streams: Vec<u64>,
    /// Status of the stream when it is refused.
    pub refuse: Option<u16>,
    /// Everything is answered with this status.
    pub broken: Option<u16>,
    /// What the stream's buffer still holds.
    pub buffer: Vec<(u64, String)>,
}

struct Shared {
    store: Mutex<Store>,
    changed: watch::Sender<u64>,
    /// Lines for open streams; `None` cuts them.
    live: broadcast::Sender<Option<String>>,
}

#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    at: String,
}

impl Server {
    /// Every table at index 10, one node, one allocation.
    pub async fn start() -> Server {
        let shared = Arc::new(Shared {
            store: Mutex::default(),
            changed: watch::Sender::new(0),
            live: broadcast::Sender::new(64),
        });
        let app = Router::new()
            .route("/v1/nodes", get(|s, q| list(Which::Nodes, s, q)))
            .route("/v1/allocations", get(|s, q| list(Which::Allocs, s, q)))
            .route("/v1/evaluations", get(|s, q| list(Which::Evals, s, q)))
            .route("/v1/node/{id}", get(node))
            .route("/v1/event/stream", get(stream))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let server = Server { shared, at };
        let mut store = server.store();
        store.index = [10; 3];
        store.rows[0].insert("n1".into(), node_row("n1", "ready", 9));
        store.rows[1].insert("a1".into(), alloc_row("a1", "running", 10));
        drop(store);
        server
    }

    pub fn client(&self) -> Arc<Nomad> {
        Arc::new(Nomad::new(&Peer::plain(System::Nomad, &self.at).unwrap()).unwrap())
    }

    pub fn store(&self) -> MutexGuard<'_, Store> {
        self.shared.store.lock().unwrap()
    }

    /// Changes what it holds, without a word to anyone.
    pub fn change(&self, how: impl FnOnce(&mut Store)) {
        how(&mut self.store());
    }

    /// Writes a row as Nomad does: table, index, and an event unless `silent`.
    pub fn write(&self, which: Which, row: Value, index: u64, silent: bool) {
        let mut store = self.store();
        let id = row["ID"].as_str().unwrap().to_string();
        store.rows[which as usize].insert(id, row.clone());
        store.index[which as usize] = index;
        if !silent {
            let line = event(which, &row, index);
            store.buffer.push((index, line.clone()));
            // Nobody may be listening.
            let _ = self.shared.live.send(Some(line));
        }
        drop(store);
        self.shared.changed.send_modify(|n| *n += 1);
    }

    /// Removes a row as the garbage collection does, without an event.
    pub fn collect(&self, which: Which, id: &str, index: u64) {
        let mut store = self.store();
        store.rows[which as usize].remove(id);
        store.index[which as usize] = index;
        drop(store);
        self.shared.changed.send_modify(|n| *n += 1);
    }

    pub fn say(&self, line: &str) {
        let _ = self.shared.live.send(Some(line.to_string()));
    }

    pub fn cut(&self) {
        let _ = self.shared.live.send(None);
    }

    /// Waits until so many streams were opened.
    pub async fn streams(&self, count: usize) {
        let mut changed = self.shared.changed.subscribe();
        let opened = changed.wait_for(|_| self.store().streams.len() >= count);
        let opened = tokio::time::timeout(Duration::from_secs(20), opened).await;
        opened.expect("a stream is opened").unwrap();
    }
}

pub fn node_row(id: &str, status: &str, index: u64) -> Value {
    json!({"ID": id, "Name": id, "Datacenter": "edge-a", "Status": status, "SchedulingEligibility": "eligible",
        "Attributes": {"cpu.frequency": "2000"}, "Meta": {"price": "0.1"}, "Drivers": null, "ModifyIndex": index})
}

pub fn alloc_row(id: &str, status: &str, index: u64) -> Value {
    json!({"ID": id, "JobID": "shop", "TaskGroup": "web", "NodeID": "n1", "NodeName": "n1", "DesiredStatus": "run",
        "ClientStatus": status, "TaskStates": null, "ModifyIndex": index})
}

pub fn eval_row(id: &str, status: &str, index: u64) -> Value {
    json!({"ID": id, "JobID": "shop", "Status": status, "FailedTGAllocs": null, "ModifyIndex": index})
}

pub fn event(which: Which, row: &Value, index: u64) -> String {
    let (topic, kind) = match which {
        Which::Nodes => ("Node", "NodeStreamEvent"),
        Which::Allocs => ("Allocation", "AllocationUpdated"),
        Which::Evals => ("Evaluation", "EvaluationUpdated"),
    };
    let mut line =
        json!({"Index": index, "Events": [{"Topic": topic, "Type": kind, "Key": row["ID"],
        "Index": index, "Payload": {topic: row}}]})
        .to_string();
    line.push('\n');
    line
}

async fn list(which: Which, State(s): State<Arc<Shared>>, Query(q): Params) -> Response {
    let number = |key: &str| q.get(key).and_then(|v| v.parse::<u64>().ok());
    if let Some(after) = number("index") {
        let mut changed = s.changed.subscribe();
        let newer = changed.wait_for(|_| {
            let store = s.store.lock().unwrap();
            store.index[which as usize] != after || store.broken.is_some()
        });
        newer.await.unwrap();
    }
    let mut store = s.store.lock().unwrap();
    if let Some(status) = store.broken {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let rows: Vec<Value> = match q.contains_key("prefix") {
        true => Vec::new(),
        false => {
            store.lists[which as usize] += 1;
            store.rows[which as usize].values().cloned().collect()
        }
    };
    let index = store.index[which as usize].to_string();
    ([("X-Nomad-Index", index)], axum::Json(rows)).into_response()
}

async fn node(State(s): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    match s.store.lock().unwrap().rows[0].get(&id) {
        Some(row) => axum::Json(row.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn stream(State(s): State<Arc<Shared>>, Query(q): Params) -> Response {
    let from = q.get("index").and_then(|v| v.parse().ok()).unwrap_or(0);
    let (mut said, live) = {
        let mut store = s.store.lock().unwrap();
        if let Some(status) = store.refuse.or(store.broken) {
            return StatusCode::from_u16(status).unwrap().into_response();
        }
        store.streams.push(from);
        let old = store.buffer.iter().filter(|(index, _)| *index >= from);
        let old: String = old.map(|(_, line)| line.as_str()).collect();
        (Some(format!("{{}}\n{old}")), s.live.subscribe())
    };
    s.changed.send_modify(|n| *n += 1);
    let lines = futures::stream::unfold(live, move |mut live| {
        let first = said.take();
        async move {
            let line = match first {
                Some(line) => line,
                None => live.recv().await.ok().flatten()?,
            };
            Some((Ok::<_, std::io::Error>(Bytes::from(line)), live))
        }
    });
    Body::from_stream(lines).into_response()
}
