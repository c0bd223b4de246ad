//! Nodes: what there is, what is reserved, what state it is in.

use crate::clients::null_default;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A row of the node list.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeStub {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub address: String,
    pub datacenter: String,
    pub node_class: String,
    /// Since 1.6; empty before.
    pub node_pool: String,
    pub version: String,
    pub drain: bool,
    /// `eligible` or `ineligible`.
    pub scheduling_eligibility: String,
    /// `ready`, `initializing`, `down` or (since 1.3) `disconnected`.
    pub status: String,
    pub status_description: String,
    #[serde(deserialize_with = "null_default")]
    pub drivers: BTreeMap<String, Driver>,
    #[serde(deserialize_with = "null_default")]
    pub host_volumes: BTreeMap<String, HostVolume>,
    /// `None` before 1.0, where the list does not carry it: read the node.
    pub node_resources: Option<NodeResources>,
    pub reserved_resources: Option<ReservedResources>,
    pub create_index: u64,
    pub modify_index: u64,
}

impl From<NodeStub> for Node {
    /// Without attributes and meta, which the list does not carry.
    fn from(stub: NodeStub) -> Node {
        Node {
            id: stub.id,
            name: stub.name,
            http_addr: String::new(),
            datacenter: stub.datacenter,
            node_class: stub.node_class,
            node_pool: stub.node_pool,
            drain: stub.drain,
            scheduling_eligibility: stub.scheduling_eligibility,
            status: stub.status,
            status_description: stub.status_description,
            attributes: BTreeMap::new(),
            meta: BTreeMap::new(),
            drivers: stub.drivers,
            host_volumes: stub.host_volumes,
            node_resources: stub.node_resources,
            reserved_resources: stub.reserved_resources,
            modify_index: stub.modify_index,
        }
    }
}

/// A node whole. Its SecretID is left out on purpose.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Node {
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    #[serde(rename = "HTTPAddr")]
    pub http_addr: String,
    pub datacenter: String,
    pub node_class: String,
    pub node_pool: String,
    pub drain: bool,
    pub scheduling_eligibility: String,
    pub status: String,
    pub status_description: String,
    /// Fingerprints, such as `cpu.frequency` (MHz of one core), `cpu.numcores`, `cpu.totalcompute`, `nomad.version`.
    #[serde(deserialize_with = "null_default")]
    pub attributes: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_default")]
    pub meta: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_default")]
    pub drivers: BTreeMap<String, Driver>,
    #[serde(deserialize_with = "null_default")]
    pub host_volumes: BTreeMap<String, HostVolume>,
    pub node_resources: Option<NodeResources>,
    pub reserved_resources: Option<ReservedResources>,
    pub modify_index: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Driver {
    pub detected: bool,
    pub healthy: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HostVolume {
    pub name: String,
    pub path: String,
    pub read_only: bool,
}

/// Totals. Newer Nomads (1.7 and later) add `Processors` and still fill `Cpu`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NodeResources {
    cpu: Cpu,
    memory: Memory,
    disk: Disk,
    #[serde(deserialize_with = "null_default")]
    pub networks: Vec<Network>,
}

impl NodeResources {
    /// MHz over all cores.
    pub fn cpu_mhz(&self) -> i64 {
        self.cpu.cpu_shares
    }
    pub fn memory_mb(&self) -> i64 {
        self.memory.memory_mb
    }
    pub fn disk_mb(&self) -> i64 {
        self.disk.disk_mb
    }
    /// Mbit/s of the fastest interface that Nomad fingerprinted; `None` when it did none.
    pub fn network_mbits(&self) -> Option<i64> {
        self.networks
            .iter()
            .map(|n| n.mbits)
            .filter(|m| *m > 0)
            .max()
    }
}

/// What the operator holds back from jobs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReservedResources {
    cpu: Cpu,
    memory: Memory,
    disk: Disk,
    #[serde(deserialize_with = "null_default")]
    networks: ReservedPorts,
}

impl ReservedResources {
    pub fn cpu_mhz(&self) -> i64 {
        self.cpu.cpu_shares
    }
    pub fn memory_mb(&self) -> i64 {
        self.memory.memory_mb
    }
    pub fn disk_mb(&self) -> i64 {
        self.disk.disk_mb
    }
    /// As Nomad writes them: `22,80,8500-8600`.
    pub fn host_ports(&self) -> &str {
        &self.networks.reserved_host_ports
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ReservedPorts {
    reserved_host_ports: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Cpu {
    pub cpu_shares: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Memory {
    #[serde(rename = "MemoryMB")]
    pub memory_mb: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Disk {
    #[serde(rename = "DiskMB")]
    pub disk_mb: i64,
}

/// A network of a node, an allocation or a job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Network {
    pub mode: String,
    pub device: String,
    #[serde(rename = "IP")]
    pub ip: String,
    #[serde(rename = "MBits", deserialize_with = "null_default")]
    pub mbits: i64,
    #[serde(deserialize_with = "null_default")]
    pub dynamic_ports: Vec<NetworkPort>,
    #[serde(deserialize_with = "null_default")]
    pub reserved_ports: Vec<NetworkPort>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkPort {
    pub label: String,
    /// On the host; 0 in a job, before it is placed.
    pub value: u16,
    /// Inside the network namespace; negative when it equals `value`.
    pub to: i32,
}
