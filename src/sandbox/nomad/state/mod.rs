//! The server's state: tables with one index, what is to be told, and what is to be done.

pub mod alloc;
pub mod namespaces;
pub mod node;
pub mod records;

use super::acl::Acl;
use super::json::*;
use super::runtime::{ServiceReg, TaskStart};
use alloc::Alloc;
use namespaces::{Namespace, SchedulerConfig};
use node::{Node, NodeConfig};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use records::{Deployment, Eval};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Which Nomad the estate's is, where foreshadow has to tell them apart: in what they do with the weights of services. All
/// else, `POST /v1/jobs/parse` included, is answered as 1.0.18 does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    V1_0_18,
    /// A `service` block may hold `Weights`, and clients compare their entries with Consul's every 30 s.
    V1_9_2,
}

impl Mood {
    pub fn version(self) -> &'static str {
        match self {
            Mood::V1_0_18 => "1.0.18",
            Mood::V1_9_2 => "1.9.2",
        }
    }
    pub fn keeps_weights(self) -> bool {
        self == Mood::V1_9_2
    }
}

/// How the estate's Nomad behaves.
#[derive(Clone, Debug)]
pub struct EstateConfig {
    /// Where the HTTP API listens; port 0 takes a free one.
    pub bind: std::net::SocketAddr,
    pub nodes: Vec<NodeConfig>,
    /// From a missed heartbeat to `down`.
    pub heartbeat_grace: Duration,
    /// From an evaluation's birth to its processing.
    pub eval_delay: Duration,
    /// Health changes within this time lead to one evaluation.
    pub deployment_batch: Duration,
    /// IDs, port numbers and ties between nodes.
    pub seed: u64,
    /// Whether requests need a token.
    pub acl: bool,
    pub mood: Mood,
    /// Between two comparisons of clients' entries with Consul's (`periodicInterval` of Nomad's `ServiceClient`).
    pub compare_every: Duration,
}

impl EstateConfig {
    pub fn new(bind: std::net::SocketAddr, nodes: Vec<NodeConfig>) -> EstateConfig {
        EstateConfig {
            bind,
            nodes,
            heartbeat_grace: Duration::from_secs(5),
            eval_delay: Duration::from_millis(2),
            deployment_batch: Duration::from_millis(250),
            seed: 0,
            acl: false,
            mood: Mood::default(),
            compare_every: Duration::from_secs(30),
        }
    }
}

/// A job with its older versions, newest first.
#[derive(Clone, Debug, Default)]
pub struct JobRecord {
    pub versions: Vec<Value>,
    /// By group, newest first.
    pub scaling: BTreeMap<String, Vec<Value>>,
    /// When one of its allocations last changed the counts.
    pub summary_index: u64,
}

impl JobRecord {
    pub fn current(&self) -> &Value {
        &self.versions[0]
    }
}

/// What the world has to do for the server.
#[derive(Debug)]
pub enum Effect {
    Start(Box<TaskStart>),
    Stop(String),
    Register {
        node: String,
        services: Vec<ServiceReg>,
    },
    Deregister {
        node: String,
        ids: Vec<String>,
    },
    /// Put right what Consul's agent has otherwise.
    Compare {
        node: String,
        services: Vec<ServiceReg>,
    },
    /// Ask whether these services pass, then come back with the answer.
    AskHealth {
        node: String,
        ids: Vec<String>,
        alloc: String,
        deployment: String,
    },
    After(Duration, Wake),
}

/// Why the server wakes up.
#[derive(Clone, Debug)]
pub enum Wake {
    Evals,
    /// Clients compare their entries with Consul's.
    Compare,
    HeartbeatMissed {
        node: String,
        beat: u64,
    },
    HealthDue {
        alloc: String,
        deployment: String,
    },
    HealthKnown {
        alloc: String,
        deployment: String,
        passing: bool,
    },
    DeploymentDue(String),
    ProgressDue(String),
    RestartTask {
        alloc: String,
        task: String,
        attempt: i64,
    },
    FollowUp(String),
    DrainDeadline {
        node: String,
        started: i64,
    },
}

/// Highest index of each table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tables {
    pub nodes: u64,
    pub jobs: u64,
    pub evals: u64,
    pub allocs: u64,
    pub deployments: u64,
    pub scaling: u64,
    pub summaries: u64,
    pub namespaces: u64,
    pub policies: u64,
}

pub struct State {
    pub config: EstateConfig,
    pub index: u64,
    pub tables: Tables,
    pub nodes: BTreeMap<String, Node>,
    pub jobs: BTreeMap<String, JobRecord>,
    pub evals: BTreeMap<String, Eval>,
    pub allocs: BTreeMap<String, Alloc>,
    pub deployments: BTreeMap<String, Deployment>,
    pub namespaces: BTreeMap<String, Namespace>,
    pub scheduler: SchedulerConfig,
    /// Where ACLs are on.
    pub acl: Option<Acl>,
    pub rng: StdRng,
    pub queue: VecDeque<String>,
    pub effects: Vec<Effect>,
    pub told: Vec<Value>,
    pub started: i64,
}

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as i64)
}

impl State {
    pub fn new(config: EstateConfig) -> State {
        let mut state = State {
            rng: StdRng::seed_from_u64(config.seed),
            index: 1,
            tables: Tables {
                namespaces: 1,
                ..Tables::default()
            },
            namespaces: BTreeMap::from([("default".into(), Namespace::default_one())]),
            scheduler: SchedulerConfig::default(),
            acl: config.acl.then(Acl::default),
            nodes: BTreeMap::new(),
            jobs: BTreeMap::new(),
            evals: BTreeMap::new(),
            allocs: BTreeMap::new(),
            deployments: BTreeMap::new(),
            queue: VecDeque::new(),
            effects: Vec::new(),
            told: Vec::new(),
            started: now(),
            config: config.clone(),
        };
        if config.mood.keeps_weights() {
            state.after(config.compare_every, Wake::Compare);
        }
        for mut node in config.nodes {
            let version = config.mood.version().to_string();
            node.attributes
                .entry("nomad.version".into())
                .or_insert(version);
            let id = node.id.clone().unwrap_or_else(|| state.uuid());
            let mut node = Node::new(id.clone(), node, now());
            let index = state.next_index();
            node.note(0, now(), "Cluster", "Node registered");
            (node.create_index, node.modify_index) = (index, index);
            state.nodes.insert(id.clone(), node);
            state.touch_node(&id, "NodeRegistration");
        }
        state
    }

    pub fn uuid(&mut self) -> String {
        uuid_of(&mut self.rng)
    }

    pub fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    pub fn node_named(&self, name: &str) -> Option<&Node> {
        self.nodes.values().find(|n| n.config.name == name)
    }

    pub fn job(&self, id: &str) -> Option<&Value> {
        self.jobs.get(id).map(JobRecord::current)
    }

    pub fn allocs_of<'a>(&'a self, job: &'a str) -> impl Iterator<Item = &'a Alloc> {
        self.allocs.values().filter(move |a| a.job_id == job)
    }

    /// The newest deployment of a job.
    pub fn deployment_of(&self, job: &str) -> Option<&Deployment> {
        self.deployments
            .values()
            .filter(|d| d.job_id == job)
            .max_by_key(|d| d.create_index)
    }

    pub fn tell(
        &mut self,
        topic: &str,
        kind: &str,
        key: &str,
        filter_keys: Value,
        mut payload: Value,
    ) {
        if kind.is_empty() {
            return;
        }
        go_times(&mut payload);
        let namespace = match topic {
            "Node" => "",
            _ => payload
                .get("Namespace")
                .and_then(Value::as_str)
                .unwrap_or(""),
        }
        .to_string();
        self.told.push(json!({"Topic": topic, "Type": kind, "Key": key, "Namespace": namespace, "FilterKeys": filter_keys,
            "Index": self.index, "Payload": {topic: payload}}));
    }

    /// The node has changed at the current index.
    pub fn touch_node(&mut self, id: &str, kind: &str) {
        let index = self.index;
        let Some(node) = self.nodes.get_mut(id) else {
            return;
        };
        node.modify_index = index;
        let payload = node.full();
        self.tables.nodes = index;
        self.tell("Node", kind, id, Value::Null, payload);
    }

    /// The job has changed at the current index.
    pub fn touch_job(&mut self, id: &str, kind: &str) {
        let index = self.index;
        let Some(record) = self.jobs.get_mut(id) else {
            return;
        };
        record.versions[0]["ModifyIndex"] = index.into();
        let payload = record.versions[0].clone();
        self.tables.jobs = index;
        self.tell("Job", kind, key_parts(id).1, Value::Null, payload);
    }

    /// The evaluation has changed at the current index.
    pub fn touch_eval(&mut self, id: &str, kind: &str) {
        let index = self.index;
        let Some(eval) = self.evals.get_mut(id) else {
            return;
        };
        eval.modify_index = index;
        eval.modify_time = now();
        let (payload, keys) = (eval.full(), json!([eval.shown_job(), eval.deployment]));
        self.tables.evals = index;
        self.tell("Evaluation", kind, id, keys, payload);
    }

    /// The server (or, with `by_client`, the client) has changed the allocation at the current index.
    pub fn touch_alloc(&mut self, id: &str, kind: &str, by_client: bool) {
        let index = self.index;
        let Some(alloc) = self.allocs.get_mut(id) else {
            return;
        };
        alloc.modify_index = index;
        if !by_client {
            alloc.alloc_modify_index = index;
        }
        let (payload, keys, job) = (
            alloc.full(),
            json!([alloc.shown_job(), alloc.deployment]),
            alloc.job_id.clone(),
        );
        self.tables.allocs = index;
        self.touch_summary(&job);
        self.tell("Allocation", kind, id, keys, payload);
    }

    /// The counts of a job's allocations may have changed at the current index.
    pub fn touch_summary(&mut self, job: &str) {
        if let Some(record) = self.jobs.get_mut(job) {
            record.summary_index = self.index;
            self.tables.summaries = self.index;
        }
    }

    /// The deployment has changed at the current index.
    pub fn touch_deployment(&mut self, id: &str, kind: &str) {
        let index = self.index;
        let Some(deployment) = self.deployments.get_mut(id) else {
            return;
        };
        deployment.modify_index = index;
        let (payload, keys) = (deployment.json(), json!([deployment.shown_job()]));
        self.tables.deployments = index;
        self.tell("Deployment", kind, id, keys, payload);
    }

    pub fn after(&mut self, delay: Duration, wake: Wake) {
        self.effects.push(Effect::After(delay, wake));
    }
}

/// A random UUID.
pub fn uuid_of(rng: &mut StdRng) -> String {
    let mut bytes = [0u8; 16];
    rng.fill_bytes(&mut bytes);
    uuid::Uuid::from_bytes(bytes).to_string()
}

/// In events a time that never was is Go's zero time, not `null`.
fn go_times(v: &mut Value) {
    match v {
        Value::Object(map) => {
            for (key, value) in map {
                let is_time = [
                    "FinishedAt",
                    "StartedAt",
                    "LastRestart",
                    "RequireProgressBy",
                    "WaitUntil",
                ]
                .contains(&key.as_str());
                if is_time && value.is_null() {
                    *value = "0001-01-01T00:00:00Z".into();
                } else {
                    go_times(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(go_times),
        _ => {}
    }
}

/// Whole nanoseconds as a `Duration`; negative ones are none.
pub fn span(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// The counts of `GET /v1/job/:id/summary`.
pub fn summary(state: &State, id: &str) -> Value {
    let Some(record) = state.jobs.get(id) else {
        return Value::Null;
    };
    let job = record.current();
    let queued = state
        .evals
        .values()
        .filter(|e| e.job_id == id && e.queued.is_some())
        .max_by_key(|e| (e.modify_index, e.create_index))
        .and_then(|e| e.queued.clone())
        .unwrap_or_default();
    let mut groups = serde_json::Map::new();
    for group in list(job, "TaskGroups") {
        let name = text(group, "Name");
        let count = |client: &str| {
            state
                .allocs_of(id)
                .filter(|a| a.group == name && a.client == client)
                .count()
        };
        groups.insert(
            name.into(),
            json!({"Complete": count("complete"), "Failed": count("failed"), "Lost": count("lost"),
                "Queued": queued.get(name).copied().unwrap_or(0), "Running": count("running"), "Starting": count("pending")}),
        );
    }
    json!({"Children": {"Dead": 0, "Pending": 0, "Running": 0}, "CreateIndex": job["CreateIndex"], "JobID": job["ID"],
        "ModifyIndex": record.summary_index, "Namespace": job["Namespace"], "Summary": groups})
}
