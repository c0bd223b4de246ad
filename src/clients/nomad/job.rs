//! Jobs: the JSON as Nomad gives it, a typed view of what foreshadow looks at, and the replies to writes.

use super::cluster::Placement;
use super::node::Network;
use crate::clients::null_default;
use crate::model::JobSpec;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A row of the job list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobStub {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    #[serde(rename = "ParentID")]
    pub parent_id: String,
    /// `service`, `batch`, `system` or `sysbatch`.
    #[serde(rename = "Type")]
    pub kind: String,
    pub priority: i64,
    /// `pending`, `running` or `dead`.
    pub status: String,
    pub stop: bool,
    #[serde(deserialize_with = "null_default")]
    pub datacenters: Vec<String>,
    pub job_summary: Option<JobSummary>,
    pub create_index: u64,
    pub modify_index: u64,
    pub job_modify_index: u64,
    /// Nanoseconds since the epoch.
    pub submit_time: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobSummary {
    /// By group.
    #[serde(deserialize_with = "null_default")]
    pub summary: BTreeMap<String, GroupSummary>,
}

/// Numbers of allocations by state.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GroupSummary {
    pub queued: u64,
    pub complete: u64,
    pub failed: u64,
    pub running: u64,
    pub starting: u64,
    pub lost: u64,
    /// Since 1.3.
    pub unknown: u64,
}

/// A job. `spec` is whole and the one to send back; the rest is a view of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    pub spec: JobSpec,
    pub view: JobView,
}

impl Job {
    /// Errors when a field that is looked at has another type than Nomad gives it.
    pub fn from_spec(spec: JobSpec) -> Result<Self, serde_json::Error> {
        let view = serde_json::from_value(spec.value())?;
        Ok(Job { spec, view })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct JobView {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(deserialize_with = "null_default")]
    pub namespace: String,
    #[serde(deserialize_with = "null_default")]
    pub region: String,
    #[serde(rename = "Type", deserialize_with = "null_default")]
    pub kind: String,
    #[serde(deserialize_with = "null_default")]
    pub priority: i64,
    #[serde(deserialize_with = "null_default")]
    pub datacenters: Vec<String>,
    #[serde(deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_default")]
    pub status: String,
    #[serde(deserialize_with = "null_default")]
    pub stop: bool,
    #[serde(deserialize_with = "null_default")]
    pub stable: bool,
    #[serde(deserialize_with = "null_default")]
    pub version: u64,
    #[serde(deserialize_with = "null_default")]
    pub job_modify_index: u64,
    #[serde(deserialize_with = "null_default")]
    pub modify_index: u64,
    #[serde(deserialize_with = "null_default")]
    pub task_groups: Vec<TaskGroup>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaskGroup {
    pub name: String,
    #[serde(deserialize_with = "null_default")]
    pub count: u64,
    #[serde(deserialize_with = "null_default")]
    pub services: Vec<Service>,
    #[serde(deserialize_with = "null_default")]
    pub networks: Vec<Network>,
    #[serde(deserialize_with = "null_default")]
    pub volumes: BTreeMap<String, Volume>,
    #[serde(deserialize_with = "null_default")]
    pub tasks: Vec<Task>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    /// `host` or `csi`.
    #[serde(rename = "Type")]
    pub kind: String,
    pub source: String,
    pub read_only: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Task {
    pub name: String,
    pub driver: String,
    #[serde(deserialize_with = "null_default")]
    pub services: Vec<Service>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    pub name: String,
    pub port_label: String,
    /// `consul` or (since 1.3) `nomad`; empty before.
    #[serde(deserialize_with = "null_default")]
    pub provider: String,
    #[serde(deserialize_with = "null_default")]
    pub tags: Vec<String>,
    /// Since 1.9.2.
    pub weights: Option<Weights>,
    #[serde(deserialize_with = "null_default")]
    pub checks: Vec<Check>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Weights {
    pub passing: u32,
    pub warning: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Check {
    pub name: String,
    /// `http`, `tcp`, `grpc` or `script`.
    #[serde(rename = "Type")]
    pub kind: String,
    pub path: String,
    /// Nanoseconds.
    pub interval: i64,
    /// Nanoseconds.
    pub timeout: i64,
}

/// What a registration would do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PlanReply {
    /// Groups that could not be placed, and why; empty when all could.
    #[serde(rename = "FailedTGAllocs", deserialize_with = "null_default")]
    pub failed: BTreeMap<String, Placement>,
    #[serde(deserialize_with = "null_default")]
    pub warnings: String,
    /// `None` when nothing would change.
    annotations: Option<Annotations>,
    /// To register with, when nothing may have changed since.
    pub job_modify_index: u64,
}

impl PlanReply {
    /// By group: how many allocations would be placed, stopped, moved.
    pub fn updates(&self) -> BTreeMap<String, GroupUpdates> {
        self.annotations
            .as_ref()
            .map(|a| a.desired.clone())
            .unwrap_or_default()
    }
    /// Allocations that would be preempted.
    pub fn preempts(&self) -> usize {
        self.annotations.as_ref().map_or(0, |a| a.preempted.len())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "DesiredTGUpdates", deserialize_with = "null_default")]
    desired: BTreeMap<String, GroupUpdates>,
    #[serde(rename = "PreemptedAllocs", deserialize_with = "null_default")]
    preempted: Vec<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GroupUpdates {
    pub ignore: u64,
    pub place: u64,
    pub migrate: u64,
    pub stop: u64,
    pub in_place_update: u64,
    pub destructive_update: u64,
    pub canary: u64,
    pub preemptions: u64,
}

/// The reply to a registration, a stop or a scaling.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RegisterReply {
    /// Empty for periodic and parameterized jobs, which are not evaluated at once.
    #[serde(rename = "EvalID")]
    pub eval_id: String,
    pub eval_create_index: u64,
    pub job_modify_index: u64,
    #[serde(deserialize_with = "null_default")]
    pub warnings: String,
}
