//! The agent's version and what it can do; evaluations and deployments.

use crate::clients::{Version, null_default};
use crate::model::counted;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// What a version can do that foreshadow asks about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Lists carry resources, and there is an event stream (1.0).
    pub event_stream: bool,
    /// Clients that lost touch are `disconnected`, and their allocations `unknown` (1.3).
    pub disconnected: bool,
    /// Nodes have pools (1.6).
    pub node_pools: bool,
    /// Workloads sign in to Consul with a JWT of their own instead of a token in the job (1.7).
    pub workload_jwt: bool,
    /// A job's `service` may hold `weights`, and the client resets foreign ones (1.9.2).
    pub service_weights: bool,
}

impl Features {
    /// Each feature's name, the first version that has it, and whether this one does.
    pub fn all(&self) -> [(&'static str, Version, bool); 5] {
        let since = Features::SINCE;
        [
            ("event stream", since[0], self.event_stream),
            ("disconnected clients", since[1], self.disconnected),
            ("node pools", since[2], self.node_pools),
            ("workload JWT", since[3], self.workload_jwt),
            ("service weights", since[4], self.service_weights),
        ]
    }

    const SINCE: [Version; 5] = [
        Version(1, 0, 0),
        Version(1, 3, 0),
        Version(1, 6, 0),
        Version(1, 7, 0),
        Version(1, 9, 2),
    ];
}

/// The agent that answered.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Agent {
    config: AgentConfig,
    #[serde(deserialize_with = "null_default")]
    member: Member,
}

impl Agent {
    /// The version as written.
    pub fn version_text(&self) -> &str {
        let configured = &self.config.version.version;
        match configured.is_empty() {
            true => self.member.tags.get("build").map_or("", String::as_str),
            false => configured,
        }
    }
    /// `None` when it gives none that can be read.
    pub fn version(&self) -> Option<Version> {
        Version::parse(self.version_text())
    }
    /// Nothing is assumed of a version that cannot be read.
    pub fn features(&self) -> Features {
        let has = Features::SINCE.map(|since| self.version().is_some_and(|own| own >= since));
        Features {
            event_stream: has[0],
            disconnected: has[1],
            node_pools: has[2],
            workload_jwt: has[3],
            service_weights: has[4],
        }
    }
    pub fn region(&self) -> &str {
        &self.config.region
    }
    pub fn datacenter(&self) -> &str {
        &self.config.datacenter
    }
    pub fn acl_enabled(&self) -> bool {
        self.config.acl.enabled
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AgentConfig {
    region: String,
    datacenter: String,
    #[serde(deserialize_with = "null_default")]
    version: AgentVersion,
    #[serde(rename = "ACL", deserialize_with = "null_default")]
    acl: Acl,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AgentVersion {
    version: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Acl {
    #[serde(deserialize_with = "null_default")]
    enabled: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Member {
    #[serde(deserialize_with = "null_default")]
    tags: BTreeMap<String, String>,
}

/// An evaluation: Nomad's work on one job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Evaluation {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "JobID")]
    pub job_id: String,
    pub triggered_by: String,
    /// `pending`, `complete`, `failed`, `canceled` or `blocked`.
    pub status: String,
    #[serde(deserialize_with = "null_default")]
    pub status_description: String,
    #[serde(rename = "DeploymentID", deserialize_with = "null_default")]
    pub deployment_id: String,
    /// The evaluation that waits for capacity, when this one could not place everything.
    #[serde(deserialize_with = "null_default")]
    pub blocked_eval: String,
    #[serde(deserialize_with = "null_default")]
    pub next_eval: String,
    /// Groups that could not be placed, and why.
    #[serde(rename = "FailedTGAllocs", deserialize_with = "null_default")]
    pub failed: BTreeMap<String, Placement>,
    /// By group: how many are still to be placed.
    #[serde(deserialize_with = "null_default")]
    pub queued_allocations: BTreeMap<String, u64>,
    pub create_index: u64,
    pub modify_index: u64,
}

/// Why a group could not be placed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Placement {
    pub nodes_evaluated: u64,
    /// Ruled out by constraints.
    pub nodes_filtered: u64,
    /// Without enough of something.
    pub nodes_exhausted: u64,
    /// Number of nodes by what they lack, such as `cpu` or `memory`.
    #[serde(deserialize_with = "null_default")]
    pub dimension_exhausted: BTreeMap<String, u64>,
    /// Number of nodes by the constraint that ruled them out.
    #[serde(deserialize_with = "null_default")]
    pub constraint_filtered: BTreeMap<String, u64>,
    #[serde(deserialize_with = "null_default")]
    pub nodes_available: BTreeMap<String, u64>,
    pub coalesced_failures: u64,
}

impl fmt::Display for Placement {
    /// One line: `2 nodes without enough cpu, 1 node ruled out by ${attr.kernel.name} = linux`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes = |n: u64| counted(n, "node");
        let lacks = self
            .dimension_exhausted
            .iter()
            .map(|(what, n)| format!("{} without enough {what}", nodes(*n)));
        let ruled_out = self
            .constraint_filtered
            .iter()
            .map(|(what, n)| format!("{} ruled out by {what}", nodes(*n)));
        let why: Vec<String> = lacks.chain(ruled_out).collect();
        match why.is_empty() {
            true => write!(f, "{} looked at, none suits", nodes(self.nodes_evaluated)),
            false => f.write_str(&why.join(", ")),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Deployment {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "JobID")]
    pub job_id: String,
    pub job_version: u64,
    /// `running`, `paused`, `failed`, `successful`, `cancelled`, …
    pub status: String,
    pub status_description: String,
    #[serde(deserialize_with = "null_default")]
    pub task_groups: BTreeMap<String, DeploymentGroup>,
    pub create_index: u64,
    pub modify_index: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeploymentGroup {
    pub desired_total: u64,
    pub placed_allocs: u64,
    pub healthy_allocs: u64,
    pub unhealthy_allocs: u64,
    pub promoted: bool,
}
