//! What is registered with an agent: a service, its weights and the checks that the agent runs.

use super::reply::{AgentService, TaggedAddress};
use consulrs::api::catalog::requests::RegisterEntityRequest;
use consulrs::api::check::common::{AgentCheck, AgentServiceCheck, HealthCheckDefinition};
use consulrs::api::service;
use consulrs::api::service::common::AgentWeights;
use consulrs::api::service::requests::RegisterServiceRequest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// A service instance as it is to be; registering replaces what is there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    pub id: String,
    pub name: String,
    /// Empty: the agent's own.
    pub address: String,
    pub port: u16,
    pub tags: Vec<String>,
    pub meta: BTreeMap<String, String>,
    /// While its checks pass: 1 to 65535; Consul refuses others. foreshadow keeps to 1 to 100.
    pub passing_weight: u16,
    /// While one warns: 0 to 65535.
    pub warning_weight: u16,
    /// None: the checks that are there stay.
    pub checks: Vec<CheckDefinition>,
    pub enable_tag_override: bool,
    /// Such as `lan_ipv4`, `wan_ipv4`. Empty: Consul derives them from `address`.
    pub tagged_addresses: BTreeMap<String, TaggedAddress>,
}

impl Registration {
    /// An entry of the agent as it is, with other weights: for entries that someone else (Nomad) made. Its checks stay.
    /// `None` for proxies and gateways, whose definitions hold more than this.
    pub fn reweighted(entry: &AgentService, passing: u16) -> Option<Self> {
        entry.kind.is_empty().then(|| Registration {
            id: entry.id.clone(),
            name: entry.service.clone(),
            address: entry.address.clone(),
            port: entry.port,
            tags: entry.tags.clone(),
            meta: entry.meta.clone(),
            passing_weight: passing,
            warning_weight: entry.weights.warning,
            checks: Vec::new(),
            enable_tag_override: entry.enable_tag_override,
            tagged_addresses: entry.tagged_addresses.clone(),
        })
    }

    pub(super) fn request(&self) -> RegisterServiceRequest {
        let checks: Vec<_> = self.checks.iter().map(CheckDefinition::request).collect();
        RegisterServiceRequest {
            id: Some(self.id.clone()),
            name: Some(self.name.clone()),
            address: (!self.address.is_empty()).then(|| self.address.clone()),
            port: Some(u64::from(self.port)),
            tags: Some(self.tags.clone()),
            meta: Some(self.meta.clone().into_iter().collect()),
            weights: Some(self.weights()),
            checks: (!checks.is_empty()).then_some(checks),
            enable_tag_override: Some(self.enable_tag_override),
            ..Default::default()
        }
    }

    /// As an entry of the catalog.
    pub(super) fn external(&self, node: &str, address: &str) -> RegisterEntityRequest {
        let marks = [("external-node", "true"), ("external-probe", "true")];
        let checks = self.checks.iter().map(|c| c.external(node, &self.id));
        RegisterEntityRequest {
            node: node.to_string(),
            address: address.to_string(),
            node_meta: Some(marks.map(|(k, v)| (k.to_string(), v.to_string())).into()),
            service: Some(service::common::AgentService {
                id: Some(self.id.clone()),
                service: Some(self.name.clone()),
                address: Some(self.address.clone()),
                port: Some(u64::from(self.port)),
                tags: Some(self.tags.clone()),
                meta: Some(self.meta.clone().into_iter().collect()),
                weights: Some(self.weights()),
                ..Default::default()
            }),
            checks: (!self.checks.is_empty()).then(|| checks.collect()),
            ..Default::default()
        }
    }

    fn weights(&self) -> AgentWeights {
        AgentWeights {
            passing: Some(u64::from(self.passing_weight)),
            warning: Some(u64::from(self.warning_weight)),
        }
    }

    pub(super) fn tagged(&self) -> Value {
        let each = self.tagged_addresses.iter();
        each.map(|(tag, a)| {
            let at = serde_json::json!({"Address": a.address, "Port": a.port});
            (tag.clone(), at)
        })
        .collect()
    }
}

/// A check's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Passing,
    Warning,
    Critical,
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Status::Passing => "passing",
            Status::Warning => "warning",
            Status::Critical => "critical",
        }
    }
}

/// How the agent finds out.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// 2xx passes, 429 warns, all else is critical.
    Http { url: String },
    /// `host:port` accepts.
    Tcp { address: String },
    /// Not at all: it passes for so long after it was told so ([`Consul::check_pass`](super::Consul::check_pass)).
    Told { ttl: Duration },
}

impl Probe {
    /// As Consul's fields HTTP and TCP.
    fn parts(&self) -> (Option<String>, Option<String>) {
        match self {
            Probe::Http { url } => (Some(url.clone()), None),
            Probe::Tcp { address } => (None, Some(address.clone())),
            Probe::Told { .. } => (None, None),
        }
    }

    /// As Consul's field TTL, with which a check has neither interval nor timeout.
    fn ttl(&self) -> Option<Duration> {
        match self {
            Probe::Told { ttl } => Some(*ttl),
            Probe::Http { .. } | Probe::Tcp { .. } => None,
        }
    }
}

/// A check that the agent runs.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckDefinition {
    /// Unique on the agent; empty: `service:<id>`.
    pub id: String,
    pub name: String,
    pub probe: Probe,
    pub interval: Duration,
    pub timeout: Duration,
    /// Until it first runs; Consul's default is critical.
    pub initial: Option<Status>,
    /// Deregister the service after it has been critical this long; at least 1 min.
    pub deregister_after: Option<Duration>,
}

impl CheckDefinition {
    fn external(&self, node: &str, service: &str) -> AgentCheck {
        let (http, tcp) = self.probe.parts();
        AgentCheck {
            node: Some(node.to_string()),
            check_id: Some(match self.id.is_empty() {
                true => format!("service:{service}"),
                false => self.id.clone(),
            }),
            name: Some(self.name.clone()),
            service_id: Some(service.to_string()),
            status: Some(self.initial.unwrap_or(Status::Critical).text().to_string()),
            definition: Some(HealthCheckDefinition {
                http,
                tcp,
                interval_duration: Some(millis(self.interval)),
                timeout_duration: Some(millis(self.timeout)),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn request(&self) -> AgentServiceCheck {
        let (http, tcp) = self.probe.parts();
        let ttl = self.probe.ttl();
        let asked = |span| ttl.is_none().then(|| millis(span));
        AgentServiceCheck {
            check_id: (!self.id.is_empty()).then(|| self.id.clone()),
            name: Some(self.name.clone()),
            http,
            tcp,
            ttl: ttl.map(millis),
            interval: asked(self.interval),
            timeout: asked(self.timeout),
            status: self.initial.map(|s| s.text().to_string()),
            deregister_critical_service_after: self.deregister_after.map(millis),
            ..Default::default()
        }
    }
}

pub(super) fn millis(span: Duration) -> String {
    format!("{}ms", span.as_millis())
}
