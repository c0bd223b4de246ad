//! The two doors out of the sandbox's Nomad: what runs a task, and what tells Consul that it runs.

use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;

/// One task to be started on a node, all `${…}` that the server side knows already put in.
///
/// `${NOMAD_TASK_DIR}`, `${NOMAD_ALLOC_DIR}` and `${NOMAD_SECRETS_DIR}` are left for the runtime, which makes the folders.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskStart {
    pub alloc_id: String,
    /// `<job>.<group>[<index>]`
    pub alloc_name: String,
    pub alloc_index: u32,
    pub job_id: String,
    pub job_name: String,
    pub group: String,
    pub task: String,
    /// The node's name.
    pub node: String,
    pub driver: String,
    pub command: String,
    pub args: Vec<String>,
    /// The job's `env` and meta, and the `NOMAD_*` that the server side knows.
    pub env: BTreeMap<String, String>,
    /// Port label → the port published on the node's outer address.
    pub ports: BTreeMap<String, u16>,
    pub cpu_mhz: u32,
    pub memory_mb: u32,
    /// From the interrupt to the kill.
    pub kill_timeout: Duration,
}

/// What a runtime saw of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskEvent {
    Started {
        alloc_id: String,
        task: String,
        pid: u32,
    },
    /// The task ended, asked to or not; `signal` is 0 when it exited by itself.
    Exited {
        alloc_id: String,
        task: String,
        code: i32,
        signal: i32,
    },
    FailedToStart {
        alloc_id: String,
        task: String,
        error: String,
    },
}

/// What a running task uses.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TaskUsage {
    /// Of one core.
    pub cpu_percent: f64,
    /// In MHz of the node.
    pub cpu_ticks_mhz: f64,
    pub rss_bytes: u64,
    /// Since the Unix epoch.
    pub at_nanos: u64,
}

/// Runs tasks. `start` and `stop` return as soon as they are under way; what came of them arrives in `events`.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// Start a task; answered by `Started` or `FailedToStart`.
    async fn start(&self, task: TaskStart);
    /// Interrupt all tasks of an allocation, kill them after their kill timeout; answered by an `Exited` for each.
    async fn stop(&self, alloc_id: &str);
    /// By task name; `None` if nothing of the allocation runs here.
    fn usage(&self, alloc_id: &str) -> Option<BTreeMap<String, TaskUsage>>;
    /// The stream of events. It is taken once; a second caller gets a stream that is closed.
    fn events(&self) -> mpsc::UnboundedReceiver<TaskEvent>;
}

/// A check of a service, as Nomad's client gives it to Consul.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckReg {
    /// `_nomad-check-<hash>`
    pub id: String,
    pub name: String,
    pub kind: CheckKind,
    pub interval: Duration,
    pub timeout: Duration,
    /// `passing`, `warning`, `critical`, or empty for Consul's default.
    pub initial_status: String,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CheckKind {
    Http { url: String, method: String },
    Tcp { address: String },
}

/// A service of a running allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceReg {
    /// `_nomad-task-<alloc>-<task, or group-GROUP>-<service>-<port label>`
    pub id: String,
    pub name: String,
    pub address: String,
    pub port: u16,
    /// The job's `canary_tags` in place of its `tags` while the allocation is a canary.
    pub tags: Vec<String>,
    pub meta: BTreeMap<String, String>,
    pub enable_tag_override: bool,
    pub checks: Vec<CheckReg>,
    /// While it passes and while it warns; older Nomads say nothing of them.
    pub weights: Option<(u16, u16)>,
}

/// Registers services with a node's Consul agent. Every call retries until it is done.
#[async_trait]
pub trait Registrar: Send + Sync {
    async fn register(&self, node: &str, services: Vec<ServiceReg>);
    async fn deregister(&self, node: &str, ids: Vec<String>);
    /// Registers again what the agent has otherwise, or not at all.
    async fn compare(&self, _node: &str, _services: Vec<ServiceReg>) {}
    /// Whether every one of these services has checks and all of them pass, as the node's agent sees it now.
    async fn passing(&self, _node: &str, _ids: &[String]) -> bool {
        true
    }
}

/// For an estate without Consul: every service counts as passing.
pub struct NoConsul;

#[async_trait]
impl Registrar for NoConsul {
    async fn register(&self, _node: &str, _services: Vec<ServiceReg>) {}
    async fn deregister(&self, _node: &str, _ids: Vec<String>) {}
}
