//! What Consul answers, as types that take all that real agents send.

use crate::clients::{Version, null_default};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// A service instance with its node and checks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceEntry {
    pub node: CatalogNode,
    pub service: Service,
    #[serde(deserialize_with = "null_default")]
    pub checks: Vec<Check>,
}

impl ServiceEntry {
    /// Where clients reach it: the service's own address, or its node's.
    pub fn address(&self) -> &str {
        match self.service.address.is_empty() {
            true => &self.node.address,
            false => &self.service.address,
        }
    }
    /// The service or its whole node is in maintenance mode.
    pub fn in_maintenance(&self) -> bool {
        self.checks.iter().any(Check::is_maintenance)
    }
    /// Every check passes, maintenance left aside; the node's own (serfHealth) is among them.
    pub fn is_passing(&self) -> bool {
        let mut real = self.checks.iter().filter(|c| !c.is_maintenance());
        real.all(|c| c.status == "passing")
    }
    /// The agent is alive in its datacenter's eyes; `None` on a node without an agent.
    pub fn agent_alive(&self) -> Option<bool> {
        let gossip = self.checks.iter().find(|c| c.check_id == "serfHealth")?;
        Some(gossip.status == "passing")
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CatalogNode {
    #[serde(rename = "ID")]
    pub id: String,
    pub node: String,
    pub address: String,
    pub datacenter: String,
    #[serde(deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Service {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Service")]
    pub name: String,
    #[serde(deserialize_with = "null_default")]
    pub tags: Vec<String>,
    pub address: String,
    pub port: u16,
    #[serde(deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_default")]
    pub weights: Weights,
    pub create_index: u64,
    pub modify_index: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Weights {
    pub passing: u16,
    pub warning: u16,
}

impl Default for Weights {
    /// Consul's own.
    fn default() -> Self {
        Weights {
            passing: 1,
            warning: 1,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TaggedAddress {
    pub address: String,
    pub port: u16,
}

/// An entry of one agent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentService {
    /// Empty, or `connect-proxy`, `mesh-gateway`, …
    #[serde(deserialize_with = "null_default")]
    pub kind: String,
    #[serde(rename = "ID")]
    pub id: String,
    pub service: String,
    #[serde(deserialize_with = "null_default")]
    pub tags: Vec<String>,
    #[serde(deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    pub address: String,
    pub port: u16,
    #[serde(deserialize_with = "null_default")]
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
    #[serde(deserialize_with = "null_default")]
    pub weights: Weights,
    pub enable_tag_override: bool,
}

/// A check, of an agent or of a health reply.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Check {
    pub node: String,
    #[serde(rename = "CheckID")]
    pub check_id: String,
    pub name: String,
    /// `passing`, `warning` or `critical`.
    pub status: String,
    pub notes: String,
    pub output: String,
    /// Empty for a node's check.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    pub service_name: String,
    pub modify_index: u64,
}

impl Check {
    /// Maintenance mode is a check that is always critical.
    pub fn is_maintenance(&self) -> bool {
        self.check_id == "_node_maintenance" || self.check_id.starts_with("_service_maintenance:")
    }
}

/// An entry of one agent, with its checks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AgentEntry {
    pub service: AgentService,
    /// Its node's too.
    #[serde(deserialize_with = "null_default")]
    pub checks: Vec<Check>,
}

impl AgentEntry {
    fn own_checks(&self) -> impl Iterator<Item = &Check> {
        let all = self.checks.iter();
        all.filter(|c| c.service_id == self.service.id)
    }
    /// Whether the entry itself is in maintenance, not its node.
    pub fn in_maintenance(&self) -> bool {
        self.own_checks().any(Check::is_maintenance)
    }
    /// Whether its own checks all pass, maintenance aside.
    pub fn passes(&self) -> bool {
        let mut checks = self.own_checks().filter(|c| !c.is_maintenance());
        checks.all(|c| c.status == "passing")
    }
}

/// Whether a token may do what was asked about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Allowed {
    pub allow: bool,
}

/// A key and its value.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KvPair {
    pub key: String,
    #[serde(deserialize_with = "base64_bytes")]
    pub value: Vec<u8>,
    pub flags: u64,
    /// The holder of the lock.
    pub session: Option<String>,
    /// How often the lock was taken: the fencing epoch.
    pub lock_index: u64,
    pub create_index: u64,
    pub modify_index: u64,
}

fn base64_bytes<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
    let text = Option::<String>::deserialize(d)?.unwrap_or_default();
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Session {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub node: String,
    /// `release` or `delete`.
    pub behavior: String,
    /// As `15s`.
    #[serde(rename = "TTL")]
    pub ttl: String,
    /// Nanoseconds.
    pub lock_delay: u64,
}

/// The agent that answered.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Agent {
    config: AgentConfig,
    #[serde(deserialize_with = "null_default")]
    pub member: Member,
}

impl Agent {
    pub fn datacenter(&self) -> &str {
        &self.config.datacenter
    }
    pub fn node_name(&self) -> &str {
        &self.config.node_name
    }
    pub fn node_id(&self) -> &str {
        &self.config.node_id
    }
    pub fn is_server(&self) -> bool {
        self.config.server
    }
    pub fn version_text(&self) -> &str {
        &self.config.version
    }
    pub fn version(&self) -> Option<Version> {
        Version::parse(&self.config.version)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AgentConfig {
    datacenter: String,
    node_name: String,
    #[serde(rename = "NodeID")]
    node_id: String,
    server: bool,
    version: String,
}

/// A gossip member.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Member {
    /// In the WAN pool: `<node>.<datacenter>`.
    pub name: String,
    pub addr: String,
    pub port: u16,
    #[serde(deserialize_with = "null_default")]
    pub tags: BTreeMap<String, String>,
    status: u8,
}

/// What gossip says of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachability {
    Alive,
    Leaving,
    Left,
    Failed,
    Unknown,
}

impl Member {
    pub fn reachability(&self) -> Reachability {
        match self.status {
            1 => Reachability::Alive,
            2 => Reachability::Leaving,
            3 => Reachability::Left,
            4 => Reachability::Failed,
            _ => Reachability::Unknown,
        }
    }
    pub fn datacenter(&self) -> &str {
        self.tags.get("dc").map_or("", String::as_str)
    }
}

/// A point in the network's delay space, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Coordinate {
    #[serde(deserialize_with = "null_default")]
    pub vec: Vec<f64>,
    pub error: f64,
    pub adjustment: f64,
    pub height: f64,
}

impl Coordinate {
    /// Estimated round trip in seconds, as Consul computes it; `None` for points of different spaces.
    pub fn rtt_to(&self, other: &Coordinate) -> Option<f64> {
        if self.vec.len() != other.vec.len() || self.vec.is_empty() {
            return None;
        }
        let squares = self
            .vec
            .iter()
            .zip(&other.vec)
            .map(|(a, b)| (a - b).powi(2));
        let distance = squares.sum::<f64>().sqrt() + self.height + other.height;
        let adjusted = distance + self.adjustment + other.adjustment;
        let rtt = if adjusted > 0.0 { adjusted } else { distance };
        rtt.is_finite().then_some(rtt)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeCoordinate {
    pub node: String,
    /// Network segment (Enterprise); coordinates of different ones cannot be compared.
    pub segment: String,
    pub coord: Coordinate,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DatacenterCoordinates {
    pub datacenter: String,
    #[serde(rename = "AreaID")]
    pub area_id: String,
    #[serde(deserialize_with = "null_default")]
    pub coordinates: Vec<NodeCoordinate>,
}
