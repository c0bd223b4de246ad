//! A node: what it is, how it is doing, and Nomad's JSON of it.

use super::super::json::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A folder on a node that jobs may mount.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostVolume {
    pub path: String,
    pub read_only: bool,
}

/// A node as it registers with the server.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// A UUID; made from the seed if missing.
    pub id: Option<String>,
    pub name: String,
    pub datacenter: String,
    /// Where its agent would listen: `Address` and, with port 4646, `HTTPAddr`.
    pub address: String,
    /// Where its allocations' ports are published; `address` if missing.
    pub network_ip: Option<String>,
    /// What tasks bind to (`NOMAD_IP_*`); `network_ip` if missing.
    pub task_ip: Option<String>,
    pub class: String,
    pub meta: BTreeMap<String, String>,
    /// Added to, and over, what every node has.
    pub attributes: BTreeMap<String, String>,
    pub links: BTreeMap<String, String>,
    /// Healthy drivers with their attributes.
    pub drivers: BTreeMap<String, BTreeMap<String, String>>,
    pub cpu_mhz: i64,
    pub memory_mb: i64,
    pub disk_mb: i64,
    pub network_mbits: i64,
    pub reserved_cpu_mhz: i64,
    pub reserved_memory_mb: i64,
    pub reserved_disk_mb: i64,
    /// Such as `22,8000-8100`.
    pub reserved_ports: String,
    pub host_volumes: BTreeMap<String, HostVolume>,
    /// Base URL of the Consul agent that its services register with.
    pub consul: Option<String>,
}

impl NodeConfig {
    /// A Linux node with `raw_exec` and room for a few tasks.
    pub fn new(name: &str, datacenter: &str, address: &str) -> NodeConfig {
        let drivers = ["exec", "raw_exec"].map(|d| {
            (
                d.to_string(),
                [(format!("driver.{d}"), "true".to_string())].into(),
            )
        });
        NodeConfig {
            id: None,
            name: name.into(),
            datacenter: datacenter.into(),
            address: address.into(),
            network_ip: None,
            task_ip: None,
            class: String::new(),
            meta: BTreeMap::new(),
            attributes: BTreeMap::new(),
            links: BTreeMap::new(),
            drivers: drivers.into(),
            cpu_mhz: 4000,
            memory_mb: 4096,
            disk_mb: 75_000,
            network_mbits: 1000,
            reserved_cpu_mhz: 0,
            reserved_memory_mb: 0,
            reserved_disk_mb: 0,
            reserved_ports: String::new(),
            host_volumes: BTreeMap::new(),
            consul: None,
        }
    }
    pub fn network_ip(&self) -> &str {
        self.network_ip.as_deref().unwrap_or(&self.address)
    }
    pub fn task_ip(&self) -> &str {
        self.task_ip.as_deref().unwrap_or(self.network_ip())
    }
    /// The ports of `reserved_ports`.
    pub fn reserved_port_list(&self) -> Vec<u16> {
        let mut ports = Vec::new();
        for part in self
            .reserved_ports
            .split(',')
            .map(str::trim)
            .filter(|p| !p.is_empty())
        {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            if let (Ok(from), Ok(to)) = (from.trim().parse::<u16>(), to.trim().parse::<u16>()) {
                ports.extend(from..=to);
            }
        }
        ports
    }
}

#[derive(Clone, Debug)]
pub struct Drain {
    pub deadline: i64,
    pub ignore_system: bool,
    pub started: i64,
}

#[derive(Clone, Debug)]
pub struct Node {
    pub id: String,
    pub config: NodeConfig,
    pub attributes: BTreeMap<String, String>,
    pub class_hash: String,
    /// `initializing`, `ready` or `down`.
    pub status: &'static str,
    pub status_at: i64,
    pub eligible: bool,
    pub drain: Option<Drain>,
    pub events: Vec<Value>,
    pub create_index: u64,
    pub modify_index: u64,
    pub registered: i64,
    /// Its client reaches the server.
    pub beating: bool,
    /// Its client and tasks are alive.
    pub powered: bool,
    /// Counts changes of `beating`, so that an old timer can be told.
    pub beat: u64,
}

impl Node {
    pub fn ready(&self) -> bool {
        self.status == "ready" && self.drain.is_none() && self.eligible
    }

    pub fn new(id: String, config: NodeConfig, at: i64) -> Node {
        let mut attributes = default_attributes(&config);
        attributes.extend(config.attributes.clone());
        let class_hash = class_hash(&config, &attributes);
        Node {
            id,
            attributes,
            class_hash,
            config,
            status: "ready",
            status_at: at / SECOND,
            eligible: true,
            drain: None,
            events: Vec::new(),
            create_index: 0,
            modify_index: 0,
            registered: at,
            beating: true,
            powered: true,
            beat: 0,
        }
    }

    pub fn note(&mut self, index: u64, at: i64, subsystem: &str, message: &str) {
        self.events.push(json!({"CreateIndex": index, "Details": null, "Message": message, "Subsystem": subsystem, "Timestamp": time(at)}));
        if self.events.len() > 10 {
            self.events.remove(0);
        }
    }

    /// What a `${…}` target names on this node; `None` if the node has no such thing.
    pub fn resolve(&self, target: &str) -> Option<String> {
        let Some(name) = target.strip_prefix("${").and_then(|t| t.strip_suffix('}')) else {
            return Some(target.to_string());
        };
        match name {
            "node.unique.id" => Some(self.id.clone()),
            "node.unique.name" => Some(self.config.name.clone()),
            "node.datacenter" => Some(self.config.datacenter.clone()),
            "node.class" => Some(self.config.class.clone()),
            _ => match name.split_once('.') {
                Some(("attr", key)) => self.attributes.get(key).cloned(),
                Some(("meta", key)) => self.config.meta.get(key).cloned(),
                _ => None,
            },
        }
    }

    fn drivers(&self) -> Value {
        let mut all: BTreeMap<&str, Value> = ["docker", "exec", "java", "qemu", "raw_exec"]
            .map(|d| (d, Value::Null))
            .into();
        for (name, attributes) in &self.config.drivers {
            all.insert(name, json!({"Attributes": attributes, "Detected": true, "HealthDescription": "Healthy", "Healthy": true, "UpdateTime": time(self.registered)}));
        }
        for (name, driver) in &mut all {
            let why = if *name == "docker" {
                "Failed to connect to docker daemon"
            } else {
                ""
            };
            if driver.is_null() {
                *driver = json!({"Attributes": null, "Detected": false, "HealthDescription": why, "Healthy": false, "UpdateTime": time(self.registered)});
            }
        }
        json!(all)
    }

    fn host_volumes(&self) -> Value {
        or_null(self.config.host_volumes.iter().map(|(name, v)| {
            (
                name.clone(),
                json!({"Name": name, "Path": v.path, "ReadOnly": v.read_only}),
            )
        }))
    }

    fn networks(&self) -> Value {
        let network = |cidr: String, ip: &str| json!({"CIDR": cidr, "DNS": null, "Device": "lo", "DynamicPorts": null, "IP": ip, "MBits": self.config.network_mbits, "Mode": "host", "ReservedPorts": null});
        json!([
            network(
                format!("{}/32", self.config.network_ip()),
                self.config.network_ip()
            ),
            network("::1/128".into(), "::1")
        ])
    }

    fn node_resources(&self) -> Value {
        let c = &self.config;
        let address = |ip: &str, family: &str| json!({"Address": ip, "Alias": "default", "Family": family, "Gateway": "", "ReservedPorts": c.reserved_ports});
        json!({"Cpu": {"CpuShares": c.cpu_mhz}, "Devices": null, "Disk": {"DiskMB": c.disk_mb}, "Memory": {"MemoryMB": c.memory_mb},
            "Networks": self.networks(),
            "NodeNetworks": [{"Addresses": [address(c.network_ip(), "ipv4"), address("::1", "ipv6")], "Device": "lo", "MacAddress": "",
                "Mode": "host", "Speed": c.network_mbits}]})
    }

    fn reserved(&self) -> Value {
        let c = &self.config;
        json!({"Cpu": {"CpuShares": c.reserved_cpu_mhz}, "Disk": {"DiskMB": c.reserved_disk_mb}, "Memory": {"MemoryMB": c.reserved_memory_mb},
            "Networks": {"ReservedHostPorts": c.reserved_ports}})
    }

    fn eligibility(&self) -> &'static str {
        if self.eligible {
            "eligible"
        } else {
            "ineligible"
        }
    }

    /// A row of `GET /v1/nodes`.
    pub fn stub(&self, resources: bool) -> Value {
        let c = &self.config;
        let mut row = json!({"Address": c.address, "CreateIndex": self.create_index, "Datacenter": c.datacenter, "Drain": self.drain.is_some(),
            "Drivers": self.drivers(), "HostVolumes": self.host_volumes(), "ID": self.id, "ModifyIndex": self.modify_index,
            "Name": c.name, "NodeClass": c.class, "SchedulingEligibility": self.eligibility(), "Status": self.status,
            "StatusDescription": "", "Version": self.attributes.get("nomad.version")});
        if resources {
            row["NodeResources"] = self.node_resources();
            row["ReservedResources"] = self.reserved();
        }
        row
    }

    /// The answer to `GET /v1/node/:id`.
    pub fn full(&self) -> Value {
        let c = &self.config;
        let drain = self.drain.as_ref().map_or(Value::Null, |d| {
            let force = if d.deadline > 0 { time(d.started + d.deadline) } else { Value::Null };
            json!({"Deadline": d.deadline, "ForceDeadline": force, "IgnoreSystemJobs": d.ignore_system, "StartedAt": time(d.started)})
        });
        let mut node = self.stub(true);
        if let Some(map) = node.as_object_mut() {
            map.remove("Address");
            map.remove("Version");
        }
        fill(
            &mut node,
            json!({"Attributes": self.attributes, "CSIControllerPlugins": null, "CSINodePlugins": null, "ComputedClass": self.class_hash,
            "DrainStrategy": drain, "Events": self.events, "HTTPAddr": format!("{}:4646", c.address), "Links": c.links, "Meta": c.meta,
            "Reserved": {"CPU": c.reserved_cpu_mhz, "Devices": null, "DiskMB": c.reserved_disk_mb, "IOPS": 0, "MemoryMB": c.reserved_memory_mb, "Networks": null},
            "Resources": {"CPU": c.cpu_mhz, "Devices": null, "DiskMB": c.disk_mb, "IOPS": 0, "MemoryMB": c.memory_mb, "Networks": self.networks()},
            "SecretID": "", "StatusUpdatedAt": self.status_at, "TLSEnabled": false}),
        );
        node
    }
}

fn default_attributes(config: &NodeConfig) -> BTreeMap<String, String> {
    let mut attributes: BTreeMap<String, String> = [
        ("consul.version", "1.8.7"),
        ("cpu.arch", "amd64"),
        ("cpu.numcores", "2"),
        ("kernel.name", "linux"),
        ("nomad.version", "1.0.18"),
        ("os.name", "debian"),
        ("os.version", "12"),
        (
            "os.signals",
            "SIGTERM,SIGINT,SIGKILL,SIGHUP,SIGUSR1,SIGUSR2,SIGQUIT",
        ),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()))
    .into();
    attributes.extend(
        config
            .drivers
            .keys()
            .map(|d| (format!("driver.{d}"), "1".to_string())),
    );
    attributes.extend([
        ("cpu.totalcompute".to_string(), config.cpu_mhz.to_string()),
        (
            "memory.totalbytes".to_string(),
            (config.memory_mb << 20).to_string(),
        ),
        (
            "nomad.advertise.address".to_string(),
            format!("{}:4646", config.address),
        ),
        ("unique.hostname".to_string(), config.name.clone()),
        ("unique.consul.name".to_string(), config.name.clone()),
        (
            "unique.network.ip-address".to_string(),
            config.network_ip().to_string(),
        ),
        (
            "unique.storage.bytesfree".to_string(),
            (config.disk_mb << 20).to_string(),
        ),
        ("unique.storage.volume".to_string(), "/".to_string()),
    ]);
    attributes
}

/// Nodes that agree in all that is not unique share a class.
fn class_hash(config: &NodeConfig, attributes: &BTreeMap<String, String>) -> String {
    let shared = |m: &BTreeMap<String, String>| {
        m.iter()
            .filter(|(k, _)| !k.starts_with("unique."))
            .map(|(k, v)| format!("{k}={v};"))
            .collect::<String>()
    };
    let devices: String = config
        .host_volumes
        .keys()
        .map(|v| format!("volume {v};"))
        .collect();
    let all = format!(
        "{}|{}|{}|{}|{devices}",
        config.datacenter,
        config.class,
        shared(attributes),
        shared(&config.meta)
    );
    format!("v1:{}", fnv(all.as_bytes()))
}

pub fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, b| {
        (hash ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    })
}
