//! The records that Consul keeps and shows, with its own field names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::go;

/// Free key-value pairs of nodes and services.
pub type Meta = BTreeMap<String, String>;

pub const PASSING: &str = "passing";
pub const WARNING: &str = "warning";
pub const CRITICAL: &str = "critical";
/// The check that gossip keeps on every node with an agent.
pub const SERF_CHECK: &str = "serfHealth";
pub const SERF_ALIVE: &str = "Agent alive and reachable";
pub const SERF_FAILED: &str = "Agent not live or unreachable";
pub const NODE_MAINTENANCE: &str = "_node_maintenance";
pub const SERVICE_MAINTENANCE: &str = "_service_maintenance:";

/// True for the three states that a check may be registered with.
pub fn is_valid_status(status: &str) -> bool {
    matches!(status, PASSING | WARNING | CRITICAL)
}

/// A node of the catalog.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    #[serde(rename = "ID")]
    pub id: String,
    pub node: String,
    pub address: String,
    pub datacenter: String,
    pub tagged_addresses: Option<Meta>,
    pub meta: Option<Meta>,
    pub create_index: u64,
    pub modify_index: u64,
}

/// An address a service is also known by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceAddress {
    pub address: String,
    pub port: i64,
}

/// DNS SRV weights of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Weights {
    pub passing: i64,
    pub warning: i64,
}

impl Weights {
    pub const ONE: Weights = Weights {
        passing: 1,
        warning: 1,
    };

    /// The agent's limits and their sentences, as in Consul's `ValidateWeights`.
    pub fn validate(&self) -> Result<(), String> {
        if self.passing < 1 {
            return Err("Passing must be greater than 0".into());
        }
        if self.warning < 0 {
            return Err("Warning must be greater or equal than 0".into());
        }
        if self.passing > 65535 || self.warning > 65535 {
            return Err("DNS Weight must be between 0 and 65535".into());
        }
        Ok(())
    }
}

/// A service instance on a node, as agents and the catalog keep it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeService {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(rename = "ID")]
    pub id: String,
    pub service: String,
    pub tags: Option<Vec<String>>,
    pub address: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    pub meta: Option<Meta>,
    pub port: i64,
    pub weights: Option<Weights>,
    pub enable_tag_override: bool,
    pub proxy: Value,
    pub connect: Value,
    pub create_index: u64,
    pub modify_index: u64,
}

impl Default for NodeService {
    fn default() -> Self {
        Self {
            kind: String::new(),
            id: String::new(),
            service: String::new(),
            tags: None,
            address: String::new(),
            tagged_addresses: BTreeMap::new(),
            meta: None,
            port: 0,
            weights: None,
            enable_tag_override: false,
            proxy: json!({"MeshGateway": {}, "Expose": {}}),
            connect: json!({}),
            create_index: 0,
            modify_index: 0,
        }
    }
}

impl NodeService {
    /// Same but for the indices; an unset list equals an empty one.
    pub fn is_same(&self, other: &NodeService) -> bool {
        let plain = |service: &NodeService| NodeService {
            create_index: 0,
            modify_index: 0,
            tags: service.tags.clone().filter(|tags| !tags.is_empty()),
            meta: service.meta.clone().filter(|meta| !meta.is_empty()),
            ..service.clone()
        };
        plain(self) == plain(other)
    }

    /// True when every tag in `tags` is there, in any case of letters.
    pub fn has_tags(&self, tags: &[String]) -> bool {
        let own = self.tags.as_deref().unwrap_or_default();
        tags.iter()
            .all(|tag| own.iter().any(|mine| mine.eq_ignore_ascii_case(tag)))
    }
}

/// A health check as the catalog keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HealthCheck {
    pub node: String,
    #[serde(rename = "CheckID")]
    pub check_id: String,
    pub name: String,
    pub status: String,
    pub notes: String,
    pub output: String,
    #[serde(rename = "ServiceID")]
    pub service_id: String,
    pub service_name: String,
    pub service_tags: Vec<String>,
    #[serde(rename = "Type")]
    pub kind: String,
    pub definition: Value,
    pub create_index: u64,
    pub modify_index: u64,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            node: String::new(),
            check_id: String::new(),
            name: String::new(),
            status: String::new(),
            notes: String::new(),
            output: String::new(),
            service_id: String::new(),
            service_name: String::new(),
            service_tags: Vec::new(),
            kind: String::new(),
            definition: json!({}),
            create_index: 0,
            modify_index: 0,
        }
    }
}

impl HealthCheck {
    /// Same but for the indices and the type, as Consul compares them.
    pub fn is_same(&self, other: &HealthCheck) -> bool {
        let plain = |check: &HealthCheck| HealthCheck {
            create_index: 0,
            modify_index: 0,
            kind: String::new(),
            ..check.clone()
        };
        plain(self) == plain(other)
    }

    /// The gossip check of `node`.
    pub fn serf(node: &str, alive: bool) -> HealthCheck {
        HealthCheck {
            node: node.into(),
            check_id: SERF_CHECK.into(),
            name: "Serf Health Status".into(),
            status: if alive { PASSING } else { CRITICAL }.into(),
            output: if alive { SERF_ALIVE } else { SERF_FAILED }.into(),
            ..HealthCheck::default()
        }
    }

    pub fn is_maintenance(&self) -> bool {
        self.check_id == NODE_MAINTENANCE || self.check_id.starts_with(SERVICE_MAINTENANCE)
    }
}

/// The worst of some checks: maintenance, critical, warning, passing (also when there are none).
pub fn aggregated_status<'a>(checks: impl IntoIterator<Item = &'a HealthCheck>) -> &'static str {
    let mut rank = 0;
    for check in checks {
        rank = rank.max(match check.status.as_str() {
            _ if check.is_maintenance() => 3,
            CRITICAL => 2,
            WARNING => 1,
            PASSING => 0,
            _ => return "",
        });
    }
    [PASSING, WARNING, CRITICAL, "maintenance"][rank]
}

/// An instance with its node and all checks that speak of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct CheckServiceNode {
    pub node: Node,
    pub service: NodeService,
    pub checks: Vec<HealthCheck>,
}

/// A key of the KV store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirEntry {
    pub lock_index: u64,
    pub key: String,
    pub flags: u64,
    pub value: Vec<u8>,
    pub session: String,
    pub create_index: u64,
    pub modify_index: u64,
}

impl DirEntry {
    /// Consul's JSON of the entry; an empty value is shown as null, as is one that is `hidden`.
    pub fn to_json(&self, hidden: bool) -> Value {
        let value = match hidden || self.value.is_empty() {
            true => Value::Null,
            false => Value::from(super::base64::encode(&self.value)),
        };
        let mut out = json!({
            "LockIndex": self.lock_index, "Key": self.key, "Flags": self.flags, "Value": value,
            "CreateIndex": self.create_index, "ModifyIndex": self.modify_index,
        });
        if !self.session.is_empty() {
            out["Session"] = Value::from(self.session.clone());
        }
        out
    }
}

/// A service's check that a session watches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceCheck {
    #[serde(rename = "ID")]
    pub id: String,
    pub namespace: String,
}

/// A session; `lock_delay` in nanoseconds, as in JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Session {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub node: String,
    pub lock_delay: i64,
    pub behavior: String,
    #[serde(rename = "TTL")]
    pub ttl: String,
    pub node_checks: Option<Vec<String>>,
    pub service_checks: Option<Vec<ServiceCheck>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    pub create_index: u64,
    pub modify_index: u64,
}

impl Session {
    /// The time-to-live in nanoseconds; zero when there is none.
    pub fn ttl_nanos(&self) -> i64 {
        go::parse_duration(&self.ttl).unwrap_or(0)
    }

    /// The checks it watches, however they were named.
    pub fn check_ids(&self) -> impl Iterator<Item = &String> {
        let of_services = self.service_checks.iter().flatten().map(|check| &check.id);
        let of_the_node = self.node_checks.iter().flatten();
        of_the_node.chain(of_services).chain(&self.checks)
    }
}
