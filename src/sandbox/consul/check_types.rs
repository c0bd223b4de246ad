//! Definitions of checks and services as the agent's registration endpoints take them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::go::Shape;
use super::records::{Meta, NodeService, ServiceAddress, Weights};

/// How a check is run; durations in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CheckType {
    #[serde(rename = "CheckID")]
    pub check_id: String,
    pub name: String,
    pub status: String,
    pub notes: String,
    pub script_args: Vec<String>,
    #[serde(rename = "HTTP")]
    pub http: String,
    pub header: BTreeMap<String, Vec<String>>,
    pub method: String,
    pub body: String,
    #[serde(rename = "TCP")]
    pub tcp: String,
    pub interval: i64,
    pub alias_node: String,
    pub alias_service: String,
    #[serde(rename = "GRPC")]
    pub grpc: String,
    #[serde(rename = "DockerContainerID")]
    pub docker_container_id: String,
    #[serde(rename = "TLSSkipVerify")]
    pub tls_skip_verify: bool,
    pub timeout: i64,
    #[serde(rename = "TTL")]
    pub ttl: i64,
    pub success_before_passing: i64,
    pub failures_before_critical: i64,
    pub deregister_critical_service_after: i64,
    pub output_max_size: i64,
    /// Only in the definition of a check of its own.
    #[serde(rename = "ServiceID")]
    pub service_id: String,
}

impl CheckType {
    fn is_alias(&self) -> bool {
        !self.alias_node.is_empty() || !self.alias_service.is_empty()
    }

    /// Consul's rules of which fields go together.
    ///
    /// # Errors
    /// Consul's sentence.
    pub fn validate(&self) -> Result<(), &'static str> {
        let of_interval = !self.script_args.is_empty()
            || !self.http.is_empty()
            || !self.tcp.is_empty()
            || !self.grpc.is_empty();
        if self.interval > 0 && self.ttl > 0 {
            return Err("Interval and TTL cannot both be specified");
        }
        if of_interval && self.interval <= 0 {
            return Err("Interval must be > 0 for Script, HTTP, or TCP checks");
        }
        if of_interval && self.is_alias() {
            return Err("Interval cannot be set for Alias checks");
        }
        if self.is_alias() && self.ttl > 0 {
            return Err("TTL must be not be set for Alias checks");
        }
        if !of_interval && !self.is_alias() && self.ttl <= 0 {
            return Err("TTL must be > 0 for TTL checks");
        }
        if self.output_max_size < 0 {
            return Err("MaxOutputMaxSize must be positive");
        }
        Ok(())
    }

    /// Consul's name of the kind of check, empty when it is none.
    pub fn kind(&self) -> &'static str {
        let every = self.interval > 0;
        match () {
            () if !self.grpc.is_empty() && every => "grpc",
            () if !self.http.is_empty() && every => "http",
            () if self.ttl > 0 => "ttl",
            () if !self.tcp.is_empty() && every => "tcp",
            () if self.is_alias() => "alias",
            () if !self.script_args.is_empty() && !self.docker_container_id.is_empty() && every => {
                "docker"
            }
            () if !self.script_args.is_empty() => "script",
            () => "",
        }
    }
}

/// A service as it is registered with an agent.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ServiceDefinition {
    pub kind: String,
    #[serde(rename = "ID")]
    pub id: String,
    pub name: String,
    pub tags: Option<Vec<String>>,
    pub address: String,
    pub tagged_addresses: BTreeMap<String, ServiceAddress>,
    pub meta: Option<Meta>,
    pub port: i64,
    pub check: Option<CheckType>,
    pub checks: Vec<CheckType>,
    pub weights: Option<Weights>,
    pub enable_tag_override: bool,
    pub proxy: Option<Value>,
    pub connect: Option<Value>,
}

impl ServiceDefinition {
    /// All checks, validated.
    ///
    /// # Errors
    /// Consul's sentence on the first bad one.
    pub fn check_types(&self) -> Result<Vec<CheckType>, &'static str> {
        let single = self
            .check
            .iter()
            .filter(|check| **check != CheckType::default());
        let all: Vec<CheckType> = single.chain(&self.checks).cloned().collect();
        all.iter().try_for_each(CheckType::validate)?;
        Ok(all)
    }

    /// The instance as agent and catalog keep it, with the addresses Consul adds by itself.
    pub fn node_service(&self) -> NodeService {
        let plain = NodeService::default();
        let mut tagged_addresses = self.tagged_addresses.clone();
        if let Ok(address) = self.address.parse::<std::net::IpAddr>() {
            let family = if address.is_ipv4() { "ipv4" } else { "ipv6" };
            for side in ["lan", "wan"] {
                let own = ServiceAddress {
                    address: self.address.clone(),
                    port: self.port,
                };
                tagged_addresses
                    .entry(format!("{side}_{family}"))
                    .or_insert(own);
            }
        }
        NodeService {
            kind: self.kind.clone(),
            id: if self.id.is_empty() {
                self.name.clone()
            } else {
                self.id.clone()
            },
            service: self.name.clone(),
            tags: self.tags.clone(),
            address: self.address.clone(),
            tagged_addresses,
            meta: self.meta.clone(),
            port: self.port,
            weights: Some(self.weights.unwrap_or(Weights::ONE)),
            enable_tag_override: self.enable_tag_override,
            proxy: self.proxy.clone().unwrap_or(plain.proxy),
            connect: self.connect.clone().unwrap_or(plain.connect),
            ..NodeService::default()
        }
    }
}

const ADDRESS: Shape = Shape::Fields(&[
    ("Address", "Address", Shape::Text),
    ("Port", "Port", Shape::Int),
]);
const WEIGHTS: Shape = Shape::Fields(&[
    ("Passing", "Passing", Shape::Int),
    ("Warning", "Warning", Shape::Int),
]);

/// What a check is, wherever it is written.
static ANY_CHECK: Shape = Shape::Fields(&[
    ("Name", "Name", Shape::Text),
    ("Status", "Status", Shape::Text),
    ("Notes", "Notes", Shape::Text),
    ("ScriptArgs", "ScriptArgs", Shape::Texts),
    ("args", "ScriptArgs", Shape::Texts),
    ("script_args", "ScriptArgs", Shape::Texts),
    ("HTTP", "HTTP", Shape::Text),
    ("Header", "Header", Shape::MapOf(&Shape::Texts)),
    ("Method", "Method", Shape::Text),
    ("Body", "Body", Shape::Text),
    ("TCP", "TCP", Shape::Text),
    ("Interval", "Interval", Shape::Span),
    ("AliasNode", "AliasNode", Shape::Text),
    ("AliasService", "AliasService", Shape::Text),
    ("DockerContainerID", "DockerContainerID", Shape::Text),
    ("docker_container_id", "DockerContainerID", Shape::Text),
    ("Shell", "Shell", Shape::Text),
    ("GRPC", "GRPC", Shape::Text),
    ("GRPCUseTLS", "GRPCUseTLS", Shape::Bool),
    ("TLSSkipVerify", "TLSSkipVerify", Shape::Bool),
    ("tls_skip_verify", "TLSSkipVerify", Shape::Bool),
    ("Timeout", "Timeout", Shape::Span),
    ("TTL", "TTL", Shape::Span),
    ("SuccessBeforePassing", "SuccessBeforePassing", Shape::Int),
    (
        "FailuresBeforeCritical",
        "FailuresBeforeCritical",
        Shape::Int,
    ),
    (
        "DeregisterCriticalServiceAfter",
        "DeregisterCriticalServiceAfter",
        Shape::Span,
    ),
    (
        "deregister_critical_service_after",
        "DeregisterCriticalServiceAfter",
        Shape::Span,
    ),
    ("OutputMaxSize", "OutputMaxSize", Shape::Int),
]);

/// Go's view of a check inside a service definition; its service is accepted and ignored, as Consul does.
pub static CHECK: Shape = Shape::More(
    &ANY_CHECK,
    &[
        ("CheckID", "CheckID", Shape::Text),
        ("ProxyHTTP", "ProxyHTTP", Shape::Text),
        ("ProxyGRPC", "ProxyGRPC", Shape::Text),
        ("ServiceID", "IgnoredServiceID", Shape::Text),
        ("service_id", "IgnoredServiceID", Shape::Text),
    ],
);

/// Go's view of a check registered by itself.
pub static CHECK_DEFINITION: Shape = Shape::More(
    &ANY_CHECK,
    &[
        ("ID", "CheckID", Shape::Text),
        ("Token", "Token", Shape::Text),
        ("ServiceID", "ServiceID", Shape::Text),
        ("service_id", "ServiceID", Shape::Text),
    ],
);

/// What an instance is, wherever it is written.
static ANY_SERVICE: Shape = Shape::Fields(&[
    ("Kind", "Kind", Shape::Text),
    ("ID", "ID", Shape::Text),
    ("Tags", "Tags", Shape::Texts),
    ("Address", "Address", Shape::Text),
    ("TaggedAddresses", "TaggedAddresses", Shape::MapOf(&ADDRESS)),
    ("Meta", "Meta", Shape::MapOf(&Shape::Text)),
    ("Port", "Port", Shape::Int),
    ("Weights", "Weights", WEIGHTS),
    ("EnableTagOverride", "EnableTagOverride", Shape::Bool),
    ("Proxy", "Proxy", Shape::Any),
    ("Connect", "Connect", Shape::Any),
]);

/// Go's view of a service definition.
pub static SERVICE_DEFINITION: Shape = Shape::More(
    &ANY_SERVICE,
    &[
        ("Name", "Name", Shape::Text),
        (
            "tagged_addresses",
            "TaggedAddresses",
            Shape::MapOf(&ADDRESS),
        ),
        ("Check", "Check", Shape::Same(&CHECK)),
        ("Checks", "Checks", Shape::ListOf(&CHECK)),
        ("Token", "Token", Shape::Text),
        ("enable_tag_override", "EnableTagOverride", Shape::Bool),
    ],
);

/// Go's view of a service in a catalog registration.
pub static NODE_SERVICE: Shape = Shape::More(
    &ANY_SERVICE,
    &[
        ("Service", "Service", Shape::Text),
        ("CreateIndex", "CreateIndex", Shape::Int),
        ("ModifyIndex", "ModifyIndex", Shape::Int),
    ],
);
