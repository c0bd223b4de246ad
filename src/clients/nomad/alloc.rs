//! Allocations: where they run, how they fare, what they hold and on which ports they listen.

use super::node::{Cpu, Network};
use crate::clients::null_default;
use serde::Deserialize;
use std::collections::BTreeMap;

/// An allocation, from a list or whole. What a list does not carry is empty or `None`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Alloc {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub namespace: String,
    #[serde(rename = "EvalID")]
    pub eval_id: String,
    #[serde(rename = "JobID")]
    pub job_id: String,
    /// Lists only; the whole allocation has its job instead.
    pub job_version: Option<u64>,
    pub task_group: String,
    #[serde(rename = "NodeID")]
    pub node_id: String,
    pub node_name: String,
    /// `run`, `stop` or `evict`.
    pub desired_status: String,
    pub desired_description: String,
    /// `pending`, `running`, `complete`, `failed`, `lost` or (since 1.3) `unknown`.
    pub client_status: String,
    pub client_description: String,
    pub deployment_status: Option<DeploymentStatus>,
    #[serde(deserialize_with = "null_default")]
    pub task_states: BTreeMap<String, TaskState>,
    /// `None` in a job's list.
    pub allocated_resources: Option<AllocatedResources>,
    /// The form before 0.9, which later Nomads fill as well in the whole allocation.
    #[serde(deserialize_with = "null_default")]
    task_resources: BTreeMap<String, OldTaskResources>,
    #[serde(deserialize_with = "null_default")]
    pub preempted_by_allocation: String,
    #[serde(deserialize_with = "null_default")]
    pub next_allocation: String,
    pub create_index: u64,
    pub modify_index: u64,
    /// The job it was made from; a whole allocation alone has it.
    pub job: Option<AllocJob>,
    /// Nanoseconds since the epoch.
    pub create_time: i64,
    /// Nanoseconds since the epoch.
    pub modify_time: i64,
}

/// What is read of an allocation's job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AllocJob {
    /// When this version of it was registered, in nanoseconds since the epoch, by the server's clock.
    pub submit_time: i64,
}

/// Where an allocation is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    pub label: String,
    pub ip: String,
    pub port: u16,
}

impl Alloc {
    /// Its addresses and ports, each label once: from `Shared.Ports` (0.12 and later), else the group's networks, else the tasks'.
    pub fn ports(&self) -> Vec<Port> {
        let mut found: Vec<Port> = Vec::new();
        let mut add = |port: Port| {
            if port.port != 0 && !found.iter().any(|p| p.label == port.label) {
                found.push(port);
            }
        };
        if let Some(held) = &self.allocated_resources {
            for p in &held.shared.ports {
                add(Port {
                    label: p.label.clone(),
                    ip: p.host_ip.clone(),
                    port: p.value,
                });
            }
            held.shared
                .networks
                .iter()
                .flat_map(ports_of)
                .for_each(&mut add);
            let tasks = held.tasks.values();
            tasks
                .flat_map(|t| &t.networks)
                .flat_map(ports_of)
                .for_each(&mut add);
        }
        let old = self.task_resources.values();
        old.flat_map(|t| &t.networks)
            .flat_map(ports_of)
            .for_each(&mut add);
        found
    }

    /// Whether it still is to run and has not ended.
    pub fn is_live(&self) -> bool {
        self.desired_status == "run" && matches!(self.client_status.as_str(), "pending" | "running")
    }
}

fn ports_of(network: &Network) -> impl Iterator<Item = Port> + '_ {
    let ports = network.dynamic_ports.iter().chain(&network.reserved_ports);
    ports.map(|p| Port {
        label: p.label.clone(),
        ip: network.ip.clone(),
        port: p.value,
    })
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeploymentStatus {
    /// `None` until Nomad has judged it.
    pub healthy: Option<bool>,
    #[serde(deserialize_with = "null_default")]
    pub canary: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskState {
    /// `pending`, `running` or `dead`.
    pub state: String,
    pub failed: bool,
    pub restarts: u64,
    /// RFC 3339; the year 1 or `None` means never.
    pub started_at: Option<String>,
    pub finished_at: Option<String>,
    /// Oldest first; the last ten (`max_events`).
    #[serde(deserialize_with = "null_default")]
    pub events: Vec<TaskEvent>,
}

/// One step in a task's life, as the node's agent tells it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskEvent {
    /// `Received`, `Task Setup`, `Downloading Artifacts`, `Driver`, `Started`, …
    #[serde(rename = "Type")]
    pub kind: String,
    /// Nanoseconds since the epoch, by the node's clock.
    pub time: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AllocatedResources {
    #[serde(deserialize_with = "null_default")]
    pub tasks: BTreeMap<String, TaskResources>,
    #[serde(deserialize_with = "null_default")]
    shared: Shared,
}

impl AllocatedResources {
    /// MHz over all tasks, as Nomad books it.
    pub fn cpu_mhz(&self) -> i64 {
        total(self.tasks.values().map(TaskResources::cpu_mhz))
    }
    pub fn memory_mb(&self) -> i64 {
        total(self.tasks.values().map(TaskResources::memory_mb))
    }
    pub fn disk_mb(&self) -> i64 {
        self.shared.disk_mb
    }
    /// Mbit/s asked for, where Nomad keeps a book of it.
    pub fn network_mbits(&self) -> i64 {
        let tasks = self.tasks.values().flat_map(|t| &t.networks);
        total(self.shared.networks.iter().chain(tasks).map(|n| n.mbits))
    }
}

/// The sum, or the most that can be told: an answer may say anything.
fn total(of: impl Iterator<Item = i64>) -> i64 {
    of.fold(0, i64::saturating_add)
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskResources {
    cpu: Cpu,
    memory: AllocatedMemory,
    #[serde(deserialize_with = "null_default")]
    pub networks: Vec<Network>,
}

impl TaskResources {
    pub fn cpu_mhz(&self) -> i64 {
        self.cpu.cpu_shares
    }
    pub fn memory_mb(&self) -> i64 {
        self.memory.memory_mb
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct AllocatedMemory {
    #[serde(rename = "MemoryMB")]
    memory_mb: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Shared {
    #[serde(rename = "DiskMB")]
    disk_mb: i64,
    #[serde(deserialize_with = "null_default")]
    networks: Vec<Network>,
    #[serde(deserialize_with = "null_default")]
    ports: Vec<SharedPort>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct SharedPort {
    label: String,
    value: u16,
    #[serde(rename = "HostIP")]
    host_ip: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct OldTaskResources {
    #[serde(deserialize_with = "null_default")]
    networks: Vec<Network>,
}
