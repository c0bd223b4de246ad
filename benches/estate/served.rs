//! The estate served as Nomad's and Consul's HTTP APIs and as its balancers' metrics, with a count of what was asked.

use super::{Estate, GATEWAY, INSTANCES, portion};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// Changes a second.
pub const RATE: u64 = 100;

/// Requests by system and path, IDs left out.
#[derive(Default)]
pub struct Counts(Mutex<BTreeMap<(&'static str, String), u64>>);

impl Counts {
    fn add(&self, system: &'static str, path: &str) {
        let mut all = self.0.lock().expect("nobody panics in it");
        *all.entry((system, shape(path))).or_default() += 1;
    }
    /// What was asked since the last call.
    pub fn take(&self) -> BTreeMap<(&'static str, String), u64> {
        std::mem::take(&mut *self.0.lock().expect("nobody panics in it"))
    }
}

/// A path without what names one of many.
fn shape(path: &str) -> String {
    let parts =
        path.split('/').map(
            |p| match p.contains(|c: char| c.is_ascii_digit()) && p != "v1" {
                true => ":id",
                false => p,
            },
        );
    parts.collect::<Vec<_>>().join("/")
}

#[derive(Clone)]
struct Desk {
    estate: Arc<Estate>,
    counts: Arc<Counts>,
    system: &'static str,
    began: Instant,
}

pub struct Served {
    pub nomad: SocketAddr,
    pub consul: SocketAddr,
    pub metrics: SocketAddr,
    pub counts: Arc<Counts>,
}

/// Serves until the runtime ends, and changes while the estate is changing.
pub async fn serve(estate: &Arc<Estate>) -> Served {
    let counts = Arc::new(Counts::default());
    let mut at = Vec::new();
    for system in ["nomad", "consul", "metrics"] {
        let desk = Desk {
            estate: estate.clone(),
            counts: counts.clone(),
            system,
            began: Instant::now(),
        };
        let router = Router::new().fallback(answer).with_state(desk);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        at.push(listener.local_addr().expect("its address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    let changing = estate.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_micros(1_000_000 / RATE));
        for k in 0.. {
            ticks.tick().await;
            if changing.changes() {
                changing.change(k);
            }
        }
    });
    Served {
        nomad: at[0],
        consul: at[1],
        metrics: at[2],
        counts,
    }
}

async fn answer(State(desk): State<Desk>, request: Request) -> Response {
    let path = request.uri().path().to_string();
    desk.counts.add(desk.system, &path);
    let query: BTreeMap<String, String> = request
        .uri()
        .query()
        .unwrap_or_default()
        .split('&')
        .filter_map(|pair| {
            pair.split_once('=')
                .or((!pair.is_empty()).then_some((pair, "")))
        })
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .collect();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match desk.system {
        "nomad" => nomad(&desk.estate, &parts, &query),
        "consul" => consul(&desk.estate, &parts, &query).await,
        _ => exposition(&desk, &parts),
    }
}

fn indexed(header: &'static str, index: usize, body: impl Into<Body>) -> Response {
    let headers = [
        ("content-type", "application/json".to_string()),
        (header, index.to_string()),
        ("x-consul-knownleader", "true".to_string()),
    ];
    (headers, body.into()).into_response()
}

/// The number in a name such as `job-7`.
fn number(name: &str) -> usize {
    let digits = name.rsplit('-').next().and_then(|n| n.parse().ok());
    digits.unwrap_or_default()
}

fn nomad(estate: &Arc<Estate>, parts: &[&str], query: &BTreeMap<String, String>) -> Response {
    const AT: &str = "x-nomad-index";
    let bare = query.contains_key("prefix");
    match parts {
        ["v1", "nodes"] if bare => indexed(AT, estate.nodes_at(), "[]"),
        ["v1", "allocations"] if bare => indexed(AT, estate.allocs_at(), "[]"),
        ["v1", "nodes"] => {
            let (all, at) = estate.nodes();
            indexed(AT, at, all)
        }
        ["v1", "allocations"] => {
            let (all, at) = estate.allocs();
            indexed(AT, at, all)
        }
        ["v1", "node", id] => {
            let n = usize::from_str_radix(&id[..8], 16).unwrap_or_default();
            indexed(AT, 1, estate.node(n))
        }
        ["v1", "evaluations"] | ["v1", "jobs"] => indexed(AT, 30, "[]"),
        ["v1", "job", id] => indexed(AT, 30, estate.job(number(id)).to_string()),
        ["v1", "client", "allocation", _, "stats"] => Json(json!({
            "ResourceUsage": {"CpuStats": {"Percent": 1.0, "TotalTicks": 30.0}, "MemoryStats": {"RSS": 30_000_000, "Usage": 31_000_000}},
            "Tasks": {}, "Timestamp": 0,
        }))
        .into_response(),
        ["v1", "agent", "self"] => Json(json!({
            "config": {"Region": "global", "Datacenter": "dc1", "Version": {"Version": "1.0.18"}}, "member": {"Tags": {}},
        }))
        .into_response(),
        ["v1", "event", "stream"] => stream(estate),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Events as they come, and a heartbeat each ten seconds as Nomad sends them.
fn stream(estate: &Estate) -> Response {
    let events = estate.events.subscribe();
    let lines = futures::stream::unfold((events, true), |(mut events, first)| async move {
        if first {
            return Some((
                Ok::<_, std::io::Error>(Bytes::from_static(b"{}\n{}\n")),
                (events, false),
            ));
        }
        let next = tokio::time::timeout(Duration::from_secs(10), events.recv()).await;
        let line = match next {
            Ok(Ok(line)) => line + "\n",
            Ok(Err(_)) => return None,
            Err(_) => "{}\n".to_string(),
        };
        Some((Ok(Bytes::from(line)), (events, false)))
    });
    Body::from_stream(lines).into_response()
}

/// Waits, as a blocking query does, until what stands at `now` has passed the index that is known.
async fn blocked(query: &BTreeMap<String, String>, moved: &Notify, now: impl Fn() -> usize) {
    let known = query.get("index").and_then(|i| i.parse::<usize>().ok());
    let longest = query.get("wait").and_then(|w| {
        let ms = w.strip_suffix("ms").and_then(|n| n.parse::<u64>().ok());
        ms.or_else(|| Some(w.strip_suffix('s')?.parse::<u64>().ok()? * 1_000))
    });
    let longest = Duration::from_millis(longest.unwrap_or(300_000));
    // Consul's own jitter: a sixteenth.
    let longest = longest + longest / 32;
    let waits = async {
        loop {
            let next = moved.notified();
            if known.is_none_or(|known| now() > known) {
                return;
            }
            next.await;
        }
    };
    // The end of the wait is an answer too.
    let _ = tokio::time::timeout(longest, waits).await;
}

async fn consul(
    estate: &Arc<Estate>,
    parts: &[&str],
    query: &BTreeMap<String, String>,
) -> Response {
    const AT: &str = "x-consul-index";
    match parts {
        ["v1", "agent", "self"] => Json(json!({
            "Config": {"Datacenter": "dc1", "NodeName": GATEWAY, "NodeID": "", "Server": true, "Version": "1.8.7"}, "Member": {},
        }))
        .into_response(),
        ["v1", "health", "service", name] => {
            let p = number(name);
            blocked(query, &estate.front_moved[p], || estate.front_at(p)).await;
            let (entries, at) = estate.entries(p);
            indexed(AT, at, entries.to_string())
        }
        ["v1", "health", "state", "critical"] => {
            blocked(query, &estate.checks_moved, || estate.checks_at()).await;
            let (checks, at) = estate.critical();
            indexed(AT, at, checks.to_string())
        }
        ["v1", "health", "state", _] => {
            blocked(query, &Notify::new(), || 20).await;
            indexed(AT, 20, "[]")
        }
        ["v1", "kv", "foreshadow"] => {
            blocked(query, &estate.keys_moved, || estate.keys_at()).await;
            let (targets, at) = estate.targets();
            let pair = |key: String, value: serde_json::Result<Vec<u8>>, at: u64| {
                json!({
                    "Key": key, "Value": STANDARD.encode(value.expect("plain")),
                    "Flags": 0, "LockIndex": 0, "CreateIndex": 20, "ModifyIndex": at,
                })
            };
            let applied = estate.applied(&targets);
            let reports = applied.iter().map(|a| {
                let key = format!("foreshadow/applied/{GATEWAY}/{}", a.service);
                pair(key, serde_json::to_vec(a), a.index)
            });
            let wanted = targets.iter().map(|t| {
                let key = format!("foreshadow/target/{}", t.service);
                pair(key, serde_json::to_vec(t), 20)
            });
            let pairs: Value = reports.chain(wanted).collect();
            indexed(AT, at, pairs.to_string())
        }
        ["v1", "kv", ..] => {
            blocked(query, &Notify::new(), || 20).await;
            (StatusCode::NOT_FOUND, [(AT, "20")], "").into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// What a balancer before a workload counts: each portion's requests, and how long they took.
fn exposition(desk: &Desk, parts: &[&str]) -> Response {
    let Some(w) = parts.last().map(|name| number(name)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let elapsed = desk.began.elapsed().as_secs_f64();
    let mut text =
        String::from("# TYPE requests_total counter\n# TYPE request_seconds histogram\n");
    for p in desk.estate.size.portions_of(w) {
        let rate = 20.0 + (p % 37) as f64 + (INSTANCES as f64);
        let count = (rate * elapsed).floor();
        let name = portion(p);
        // A String takes whatever is written.
        let _ = writeln!(
            text,
            "requests_total{{portion=\"{name}\",outcome=\"ok\"}} {count}"
        );
        for (bound, part) in [
            ("0.01", 0.3),
            ("0.025", 0.7),
            ("0.05", 0.95),
            ("0.1", 0.999),
            ("0.25", 1.0),
            ("+Inf", 1.0),
        ] {
            let within = (count * part).floor();
            let _ = writeln!(
                text,
                "request_seconds_bucket{{portion=\"{name}\",le=\"{bound}\"}} {within}"
            );
        }
        let _ = writeln!(
            text,
            "request_seconds_sum{{portion=\"{name}\"}} {}",
            count * 0.02
        );
        let _ = writeln!(text, "request_seconds_count{{portion=\"{name}\"}} {count}");
    }
    text.into_response()
}
