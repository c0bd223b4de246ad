//! What a real Nomad 1.0.18's scheduler made of a row of jobs on the same four nodes, asked again of the sandbox's.
//!
//! `scheduled.ndjson` was written down from it: registrations with placements, scores and what was filtered or exhausted; plans with
//! annotations and differences; preemptions. Where it chose between equals, the row leaves out the node.

use crate::fake::Estate;
use foreshadow::sandbox::nomad::NodeConfig;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const ROWS: &str = include_str!("scheduled.ndjson");

struct Replay {
    estate: Estate,
    agree: usize,
    differ: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_placed_scored_planned_and_preempted_as_a_real_nomad_did() {
    let named = [
        ("edge-a", "edge"),
        ("edge-b", "edge"),
        ("prov-a", "provider"),
        ("prov-b", "provider"),
    ];
    let nodes = named
        .iter()
        .zip(1..)
        .map(|((name, site), i)| NodeConfig::new(name, site, &format!("127.0.79.{i}")));
    let mut replay = Replay {
        estate: Estate::start(nodes.collect(), |_| ()).await,
        agree: 0,
        differ: Vec::new(),
    };
    for row in ROWS.lines() {
        let row: Value = serde_json::from_str(row).expect("JSON");
        replay.row(&row).await;
    }
    println!(
        "scheduler's decisions that agree with a real Nomad's: {} of {}",
        replay.agree,
        replay.agree + replay.differ.len()
    );
    assert!(replay.differ.is_empty(), "{}", replay.differ.join("\n"));
}

impl Replay {
    async fn row(&mut self, row: &Value) {
        let (kind, what) = row
            .as_object()
            .and_then(|r| {
                let kinds = [
                    "register",
                    "plan",
                    "purge",
                    "settle",
                    "scheduler",
                    "allocations",
                    "evaluations",
                ];
                kinds.into_iter().find_map(|k| Some((k, r.get(k)?)))
            })
            .expect("a known kind of row");
        let id = what.as_str().or(what["ID"].as_str()).unwrap_or("");
        let found = match kind {
            "register" => self.register(what, row).await,
            "plan" => self.plan(what).await,
            "allocations" => self.outcome(id).await,
            "evaluations" => self.evaluations(id).await,
            "purge" => {
                let path = format!("/v1/job/{id}?purge=true");
                self.estate.call("DELETE", &path, None).await;
                return;
            }
            "scheduler" => {
                let path = "/v1/operator/scheduler/configuration";
                self.estate.post(path, what.clone()).await;
                return;
            }
            _ => return self.settle().await,
        };
        let wanted = plain(&row["answer"]);
        if plain(&found) == wanted {
            self.agree += 1;
        } else {
            self.differ
                .push(format!("{kind} {id}: {found}\n  and not {wanted}"));
        }
    }

    /// Nothing waits to be evaluated, and what has been stopped has ended.
    async fn settle(&self) {
        let done = |all: &Value, key: &str, busy: &[&str]| {
            let all = all.as_array().into_iter().flatten();
            all.clone()
                .all(|e| !busy.contains(&e[key].as_str().unwrap_or("")))
        };
        self.estate
            .until("/v1/evaluations", |all| done(all, "Status", &["pending"]))
            .await;
        self.estate
            .until("/v1/allocations", |all| {
                let stopped: Vec<Value> = all
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter(|a| a["DesiredStatus"] != "run")
                    .cloned()
                    .collect();
                done(&stopped.into(), "ClientStatus", &["pending", "running"])
            })
            .await;
    }

    async fn register(&self, job: &Value, row: &Value) -> Value {
        let answer = self.estate.post("/v1/jobs", json!({"Job": job})).await;
        let id = answer["EvalID"].as_str().expect("an ID").to_string();
        let eval = self
            .estate
            .until(&format!("/v1/evaluation/{id}"), |e| {
                e["Status"] == "complete"
            })
            .await;
        let all = self.estate.get("/v1/allocations").await;
        let mine = all.as_array().into_iter().flatten();
        let mut mine: Vec<&Value> = mine.filter(|a| a["EvalID"] == id.as_str()).collect();
        let text = |a: &Value, key: &str| a[key].as_str().unwrap_or("").to_string();
        mine.sort_by_key(|a| (text(a, "Name"), text(a, "NodeName")));
        let mut allocs = Vec::new();
        for row_of in &mine {
            let path = format!("/v1/allocation/{}", text(row_of, "ID"));
            let alloc = self.estate.get(&path).await;
            let node = if row["names"] == true {
                alloc["NodeName"].clone()
            } else {
                Value::Null
            };
            let preempted = alloc["PreemptedAllocations"].as_array().map_or(0, Vec::len);
            allocs.push(json!({"name": alloc["Name"], "node": node, "pre": preempted, "m": metrics(&alloc["Metrics"], &row["ignore"])}));
        }
        json!({"n": mine.len(), "queued": eval["QueuedAllocations"], "failed": failed(&eval["FailedTGAllocs"], &row["ignore"]), "allocs": allocs})
    }

    async fn plan(&self, job: &Value) -> Value {
        let path = format!("/v1/job/{}/plan", job["ID"].as_str().expect("an ID"));
        let answer = self
            .estate
            .post(&path, json!({"Job": job, "Diff": true}))
            .await;
        let preempted = answer["Annotations"]["PreemptedAllocs"].as_array();
        json!({"Annotations": {"u": answer["Annotations"]["DesiredTGUpdates"], "p": preempted.map_or(0, Vec::len)}, "Diff": answer["Diff"],
            "ERR": null, "text": null, "failed": failed(&answer["FailedTGAllocs"], &json!([]))})
    }

    async fn outcome(&self, id: &str) -> Value {
        let all = self.estate.get(&format!("/v1/job/{id}/allocations")).await;
        sorted(&all, |a| {
            let why: String = a["DesiredDescription"].as_str()?.chars().take(22).collect();
            let by = !a["PreemptedByAllocation"].as_str()?.is_empty();
            Some(json!([a["Name"], a["DesiredStatus"], why, by]))
        })
    }

    async fn evaluations(&self, id: &str) -> Value {
        let all = self.estate.get(&format!("/v1/job/{id}/evaluations")).await;
        sorted(&all, |e| Some(json!([e["TriggeredBy"], e["Status"]])))
    }
}

fn sorted(all: &Value, each: impl Fn(&Value) -> Option<Value>) -> Value {
    let mut rows: Vec<Value> = all
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(each)
        .collect();
    rows.sort_by_key(ToString::to_string);
    rows.into()
}

fn failed(groups: &Value, ignore: &Value) -> Value {
    let each = |(name, m): (&String, &Value)| (name.clone(), metrics(m, ignore));
    let groups = groups.as_object().into_iter().flatten();
    groups.map(each).collect::<Map<_, _>>().into()
}

/// The parts of Nomad's metrics that do not depend on the moment or on who has which ID.
fn metrics(m: &Value, ignore: &Value) -> Value {
    let scores = m["ScoreMetaData"].as_array().into_iter().flatten();
    let scores: Vec<Value> = scores
        .map(|s| json!([s["Scores"].to_string(), s["NormScore"]]))
        .collect();
    let mut all = json!({"eval": m["NodesEvaluated"], "filt": m["NodesFiltered"], "exh": m["NodesExhausted"], "avail": m["NodesAvailable"],
        "con": m["ConstraintFiltered"], "dim": m["DimensionExhausted"], "scores": scores});
    for key in ignore.as_array().into_iter().flatten() {
        all.as_object_mut()
            .map(|all| all.remove(key.as_str().unwrap_or("")));
    }
    all
}

/// Scores to six places, in an order of their own.
fn plain(v: &Value) -> Value {
    let round = |n: &Value| (n.as_f64().unwrap_or(0.0) * 1e6).round() as i64;
    match v {
        Value::Object(map) => {
            let each = map.iter().map(|(key, value)| match value {
                Value::Array(scores) if key == "scores" => {
                    let mut scores: Vec<String> = scores
                        .iter()
                        .map(|pair| {
                            let parts: BTreeMap<String, Value> =
                                serde_json::from_str(pair[0].as_str().unwrap_or("{}"))
                                    .expect("scores by name");
                            let parts: BTreeMap<&String, i64> =
                                parts.iter().map(|(k, v)| (k, round(v))).collect();
                            format!("{parts:?} {}", round(&pair[1]))
                        })
                        .collect();
                    scores.sort();
                    (key.clone(), json!(scores))
                }
                other => (key.clone(), plain(other)),
            });
            each.collect::<Map<_, _>>().into()
        }
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}
