//! What a real Nomad 1.0.18 answered to 66 requests, asked again of the sandbox's Nomad.

use crate::events::{collect, compare_events};
use crate::fake::{Answer, Estate, recordings};
use foreshadow::sandbox::nomad::NodeConfig;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Ties between nodes fall with this seed as they fell in the recording.
const SEED: u64 = 29;
const FLOOR: usize = 66;

#[tokio::test(flavor = "multi_thread")]
async fn recorded_calls_are_answered_alike() {
    let Some(folder) = recordings() else {
        println!("SKIPPED: no shared/recordings folder above the repository; nothing was compared");
        return;
    };
    let text = std::fs::read_to_string(folder.join("nomad-1.0.18.ndjson")).expect("readable");
    let calls: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let estate = Estate::start(nodes(&calls), |c| {
        c.seed = SEED;
        c.heartbeat_grace = Duration::from_millis(1500);
        c.eval_delay = Duration::from_millis(200);
    })
    .await;
    let events = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(collect(estate.url("/v1/event/stream"), events.clone()));
    before_the_recording(&estate).await;
    let mut replay = Replay {
        estate,
        ids: BTreeMap::new(),
    };
    let mut agree = 0;
    for call in &calls {
        if call["seq"] == 28 {
            // The recorder took its time here; the deployment of the scaled job was over.
            replay
                .estate
                .until("/v1/job/shop/deployment", |d| {
                    d["Status"] == "successful" && d["JobVersion"] == 1
                })
                .await;
        }
        if call["seq"] == 55 {
            replay.estate.handle.set_node_heartbeat("edge-b", false);
        }
        match replay.call(call).await {
            Ok(()) => agree += 1,
            Err(why) => println!(
                "{:>3} {} {}: {why}",
                call["seq"],
                text_at(call, "/request/method"),
                text_at(call, "/request/path")
            ),
        }
    }
    println!("recorded calls that agree: {agree} of {}", calls.len());
    compare_events(&folder, &events.lock().expect("lock"));
    assert!(
        agree >= FLOOR,
        "only {agree} of {} recorded calls agree, {FLOOR} did before",
        calls.len()
    );
}

/// What the recorded nodes had been through before: one drain of edge-a, one loss of edge-b.
async fn before_the_recording(estate: &Estate) {
    let nodes = estate.handle.nodes();
    let drain = format!("/v1/node/{}/drain", nodes["edge-a"]);
    estate
        .post(
            &drain,
            serde_json::json!({"DrainSpec": {"Deadline": 1_000_000_000, "IgnoreSystemJobs": true}}),
        )
        .await;
    estate
        .post(
            &drain,
            serde_json::json!({"DrainSpec": null, "MarkEligible": true}),
        )
        .await;
    for (powered, status) in [(false, "down"), (true, "ready")] {
        estate.handle.set_node_power("edge-b", powered);
        estate
            .until(&format!("/v1/node/{}", nodes["edge-b"]), |n| {
                n["Status"] == status
            })
            .await;
    }
}

/// The four recorded nodes.
fn nodes(calls: &[Value]) -> Vec<NodeConfig> {
    let details: Vec<&Value> = [6, 60]
        .iter()
        .map(|n| &calls[n - 1]["response"]["json"])
        .collect();
    let rows = calls[4]["response"]["json"].as_array().expect("nodes");
    rows.iter()
        .map(|row| {
            let mut node = NodeConfig::new(
                text_at(row, "/Name"),
                text_at(row, "/Datacenter"),
                text_at(row, "/Address"),
            );
            node.id = Some(text_at(row, "/ID").into());
            node.network_ip = Some("127.0.0.1".into());
            node.disk_mb = row["NodeResources"]["Disk"]["DiskMB"]
                .as_i64()
                .expect("disk");
            let drivers = row["Drivers"].as_object().expect("drivers").iter();
            node.drivers = drivers
                .filter(|(_, d)| d["Healthy"] == true)
                .map(|(name, d)| (name.clone(), texts(&d["Attributes"])))
                .collect();
            if let Some(detail) = details.iter().find(|d| d["ID"] == row["ID"]) {
                node.attributes = texts(&detail["Attributes"]);
                node.meta = texts(&detail["Meta"]);
                node.links = texts(&detail["Links"]);
            }
            node
        })
        .collect()
}

fn texts(v: &Value) -> BTreeMap<String, String> {
    v.as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.clone(), v.as_str().unwrap_or("").to_string()))
        .collect()
}

fn text_at<'a>(v: &'a Value, pointer: &str) -> &'a str {
    v.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

struct Replay {
    estate: Estate,
    /// Recorded IDs, and job modify indexes, to ours.
    ids: BTreeMap<String, String>,
}

impl Replay {
    /// Ask again; a read may need to wait for the world to get where the recorded one was.
    async fn call(&mut self, call: &Value) -> Result<(), String> {
        let (method, mut path) = (
            text_at(call, "/request/method"),
            text_at(call, "/request/path").to_string(),
        );
        for (theirs, ours) in &self.ids {
            path = path.replace(theirs, ours);
        }
        if path == "/v1/metrics?format=prometheus" {
            // It was asked of edge-a's own client.
            path = format!("{path}&node_id={}", self.estate.handle.nodes()["edge-a"]);
        }
        let mut body = call["request"]
            .get("body")
            .filter(|b| !b.is_null())
            .cloned();
        if let Some(index) = body.as_mut().and_then(|b| b.get_mut("JobModifyIndex"))
            && let Some(ours) = self.ids.get(&index.to_string())
        {
            *index = ours.parse::<u64>().expect("a number").into();
        }
        let body = body.as_ref();
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut answer = self.estate.call(method, &path, body).await;
        for _ in 0..40 {
            let result = self.compare(call, &answer);
            if result.is_ok() || method != "GET" || answer.index() == 0 || path.contains("index=") {
                return result;
            }
            let later = format!("{path}{joint}index={}&wait=15s", answer.index());
            let next = self.estate.call(method, &later, None).await;
            if next.index() <= answer.index() {
                return result;
            }
            answer = next;
        }
        self.compare(call, &answer)
    }

    /// A recorded error text that ends in a job's modify index.
    fn with_our_index(&self, text: &str) -> String {
        match text.rsplit_once(": ") {
            Some((start, index)) => format!(
                "{start}: {}",
                self.ids.get(index).map_or(index, String::as_str)
            ),
            None => text.into(),
        }
    }

    fn compare(&mut self, call: &Value, ours: &Answer) -> Result<(), String> {
        let theirs = &call["response"];
        if theirs["status"] != ours.status {
            return Err(format!(
                "status {} and not {}: {}",
                ours.status, theirs["status"], ours.body
            ));
        }
        compare_headers(&theirs["headers"], ours)?;
        let path = text_at(call, "/request/path");
        if path.contains("prometheus") {
            return compare_prometheus(text_at(theirs, "/text"), &ours.body);
        }
        match theirs.get("json") {
            None if self.with_our_index(text_at(theirs, "/text")) == ours.body => Ok(()),
            None => Err(format!("{:?} and not {}", ours.body, theirs["text"])),
            Some(json) => {
                let mine: Value = serde_json::from_str(&ours.body).map_err(|e| e.to_string())?;
                let measured = ["/v1/client/", "/v1/metrics", "/v1/agent/"]
                    .iter()
                    .any(|p| path.starts_with(p));
                let mut ids = BTreeMap::new();
                same(json, &mine, "", !measured, &mut ids)?;
                self.ids.extend(ids);
                Ok(())
            }
        }
    }
}

fn compare_headers(theirs: &Value, ours: &Answer) -> Result<(), String> {
    for name in [
        "Content-Type",
        "X-Nomad-Index",
        "X-Nomad-Knownleader",
        "X-Nomad-Lastcontact",
    ] {
        let mine = ours.headers.get(name).and_then(|v| v.to_str().ok());
        let recorded = theirs.get(name).and_then(Value::as_str);
        let alike = if name == "X-Nomad-Index" {
            mine.is_some() == recorded.is_some()
        } else {
            mine == recorded
        };
        if !alike {
            return Err(format!("header {name} is {mine:?} and not {recorded:?}"));
        }
    }
    Ok(())
}

/// Every metric of Nomad's own, with the same labels. Those of the Go runtime have no meaning here.
fn compare_prometheus(theirs: &str, ours: &str) -> Result<(), String> {
    let families = |text: &str| -> BTreeSet<(String, Vec<String>)> {
        let lines = text
            .lines()
            .filter(|l| l.starts_with("nomad_"))
            .filter_map(|l| l.split_once('{'));
        lines
            .map(|(name, rest)| {
                let labels = rest
                    .split('}')
                    .next()
                    .unwrap_or("")
                    .split(',')
                    .filter_map(|l| Some(l.split_once('=')?.0.to_string()));
                (name.to_string(), labels.collect())
            })
            .collect()
    };
    let mine = families(ours);
    let missing: Vec<_> = families(theirs)
        .into_iter()
        .filter(|f| !mine.contains(f))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("missing {missing:?}"))
    }
}

/// Numbers and texts that no two runs share.
fn is_volatile(key: &str) -> bool {
    let ends = ["ID", "IDs", "Index", "Time", "Timestamp", "IndexS"];
    ends.iter().any(|e| key.ends_with(e))
        || [
            "StartedAt",
            "FinishedAt",
            "LastRestart",
            "RequireProgressBy",
            "StatusUpdatedAt",
            "ComputedClass",
            "BlockedEval",
            "PreviousEval",
            "AllocationTime",
        ]
        .contains(&key)
}

/// Keys, types and lengths alike; where `values` is set, values too, but for those that no two runs share.
fn same(
    theirs: &Value,
    ours: &Value,
    at: &str,
    values: bool,
    ids: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    let key = at
        .rsplit('.')
        .next()
        .and_then(|k| k.split('[').next())
        .unwrap_or("");
    let different = || Err(format!("{at}: {ours} and not {theirs}"));
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => same_maps(a, b, at, values, ids),
        (Value::Array(a), Value::Array(b)) => same_lists(a, b, at, values, ids),
        (Value::String(a), Value::String(b)) => {
            if a.len() == 36 && b.len() == 36 && (key.ends_with("ID") || key.ends_with("IDs")) {
                ids.insert(a.clone(), b.clone());
            }
            let leader = at.is_empty(); // `/v1/status/leader` is one address
            if a == b || !values || leader || (is_volatile(key) && a.is_empty() == b.is_empty()) {
                Ok(())
            } else {
                different()
            }
        }
        (Value::Number(a), Value::Number(b)) => {
            if key == "JobModifyIndex" {
                ids.insert(a.to_string(), b.to_string());
            }
            let near = a
                .as_f64()
                .zip(b.as_f64())
                .is_some_and(|(a, b)| (a - b).abs() < 1e-9);
            let dynamic_port =
                key == "Value" && a.as_i64() >= Some(14_000) && b.as_i64() >= Some(14_000);
            if near || !values || is_volatile(key) || dynamic_port {
                Ok(())
            } else {
                different()
            }
        }
        _ if theirs == ours => Ok(()),
        (Value::Bool(_), Value::Bool(_)) if !values => Ok(()),
        _ => different(),
    }
}

fn same_maps(
    a: &Map<String, Value>,
    b: &Map<String, Value>,
    at: &str,
    values: bool,
    ids: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    // Process numbers and class hashes are keys here.
    if at.ends_with(".Pids") || at.ends_with("ClassEligibility") {
        let (Some(a), Some(b)) = (a.values().next(), b.values().next()) else {
            return Err(format!("{at} is empty"));
        };
        return same(a, b, &format!("{at}.any"), values, ids);
    }
    let extra: Vec<&String> = b.keys().filter(|k| !a.contains_key(*k)).collect();
    if !extra.is_empty() {
        return Err(format!("{at} has {extra:?} too"));
    }
    for (key, theirs) in a {
        let Some(ours) = b.get(key) else {
            return Err(format!("{at} lacks {key}"));
        };
        same(theirs, ours, &format!("{at}.{key}"), values, ids)?;
    }
    Ok(())
}

fn same_lists(
    a: &[Value],
    b: &[Value],
    at: &str,
    values: bool,
    ids: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    if at.ends_with("Gauges") {
        return same_gauges(a, b);
    }
    if at.ends_with("Counters") || at.ends_with("Samples") {
        // Which of its inner workings a server times is its own affair; the shape is not.
        let (Some(a), Some(b)) = (a.first(), b.first()) else {
            return Err(format!("{at} is empty"));
        };
        return same(a, b, &format!("{at}[0"), false, ids);
    }
    if a.len() != b.len() {
        return Err(format!("{at} has {} items and not {}", b.len(), a.len()));
    }
    let (a, b) = (sorted(a), sorted(b));
    a.iter()
        .zip(&b)
        .enumerate()
        .try_for_each(|(i, (a, b))| same(a, b, &format!("{at}[{i}"), values, ids))
}

/// Every gauge of Nomad's own, with the same labels.
fn same_gauges(a: &[Value], b: &[Value]) -> Result<(), String> {
    let names = |gauges: &[Value]| -> BTreeSet<(String, Vec<String>)> {
        let keys = |g: &Value| {
            g["Labels"]
                .as_object()
                .map(|l| l.keys().cloned().collect())
                .unwrap_or_default()
        };
        let own = gauges
            .iter()
            .filter(|g| !text_at(g, "/Name").contains(".runtime."));
        own.map(|g| (text_at(g, "/Name").to_string(), keys(g)))
            .collect()
    };
    let mine = names(b);
    let missing: Vec<_> = names(a).into_iter().filter(|n| !mine.contains(n)).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(format!("gauges missing: {missing:?}"))
    }
}

/// Lists that are ordered by random IDs, put into the order of what they are about.
fn sorted(items: &[Value]) -> Vec<Value> {
    let mut items = items.to_vec();
    let random = |v: &Value| {
        v.get("ID")
            .is_some_and(|id| id.as_str().is_some_and(|id| id.len() == 36))
            || v.get("NodeID").is_some()
    };
    if items.iter().all(random) {
        items.sort_by_key(|v| {
            let name = text_at(v, "/Name").to_string();
            let node = if v.get("ID").is_none() {
                text_at(v, "/NodeID").to_string()
            } else {
                String::new()
            };
            (name, node, v["CreateIndex"].as_u64())
        });
    }
    items
}
