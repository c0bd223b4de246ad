//! An agent's own services and checks, and how they get into the catalog: at each change, and by anti-entropy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::catalog::Registration;
use super::records::{
    CRITICAL, HealthCheck, Meta, Node, NodeService, PASSING, SERF_CHECK, Weights,
};
use super::world::{Agent, AgentRef};

/// A check of the agent and what runs it.
#[derive(Debug)]
pub(super) struct LocalCheck {
    pub check: HealthCheck,
    pub in_sync: bool,
    /// Ends what runs the check; dropped with it.
    pub runner: Option<tokio_util::sync::DropGuard>,
    /// Deadline of a TTL check, and whom to wake when it moves.
    pub ttl: Option<Ttl>,
    pub reap_after: Option<Duration>,
    pub critical_since: Option<Instant>,
    /// Since when only the output differs from the catalog's.
    pub stale_output_since: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Ttl {
    pub length: Duration,
    pub deadline: Option<Instant>,
    pub last_output: String,
    pub moved: std::sync::Arc<tokio::sync::Notify>,
}

#[derive(Debug)]
pub(super) struct LocalService {
    pub service: NodeService,
    pub in_sync: bool,
}

/// All an agent knows by itself.
#[derive(Debug, Default)]
pub(super) struct Local {
    pub services: BTreeMap<String, LocalService>,
    pub checks: BTreeMap<String, LocalCheck>,
    /// To be removed from the catalog.
    gone_services: BTreeSet<String>,
    gone_checks: BTreeSet<String>,
    node_in_sync: bool,
}

impl LocalCheck {
    pub fn new(check: HealthCheck) -> Self {
        Self {
            check,
            in_sync: false,
            runner: None,
            ttl: None,
            reap_after: None,
            critical_since: None,
            stale_output_since: None,
        }
    }

    pub fn guard(token: CancellationToken) -> Option<tokio_util::sync::DropGuard> {
        Some(token.drop_guard())
    }
}

impl Local {
    pub fn put_service(&mut self, service: NodeService) {
        self.gone_services.remove(&service.id);
        self.services.insert(
            service.id.clone(),
            LocalService {
                service,
                in_sync: false,
            },
        );
    }

    pub fn put_check(&mut self, check: LocalCheck) {
        self.gone_checks.remove(&check.check.check_id);
        self.checks.insert(check.check.check_id.clone(), check);
    }

    /// Forgets a service and its checks; false when there was none.
    pub fn remove_service(&mut self, id: &str) -> bool {
        if self.services.remove(id).is_none() {
            return false;
        }
        for check in self.checks_of(id) {
            self.remove_check(&check);
        }
        self.gone_services.insert(id.into());
        true
    }

    pub fn remove_check(&mut self, id: &str) {
        if self.checks.remove(id).is_some() {
            self.gone_checks.insert(id.into());
        }
    }

    pub fn checks_of(&self, service_id: &str) -> Vec<String> {
        self.checks
            .values()
            .filter(|held| held.check.service_id == service_id)
            .map(|held| held.check.check_id.clone())
            .collect()
    }
}

impl Agent {
    /// The node as this agent writes it into the catalog.
    pub(super) fn as_node(&self) -> Node {
        let address = self.address.to_string();
        let family = if self.address.is_ipv4() {
            "ipv4"
        } else {
            "ipv6"
        };
        let names = [
            "lan".to_owned(),
            format!("lan_{family}"),
            "wan".to_owned(),
            format!("wan_{family}"),
        ];
        Node {
            id: self.id.clone(),
            node: self.node.clone(),
            datacenter: self.datacenter.name().into(),
            tagged_addresses: Some(
                names
                    .into_iter()
                    .map(|name| (name, address.clone()))
                    .collect(),
            ),
            meta: Some(Meta::from([(
                "consul-network-segment".into(),
                String::new(),
            )])),
            address,
            ..Node::default()
        }
    }

    /// What the servers do when gossip sees this agent alive or lost.
    pub(super) fn mark_member(&self, alive: bool) {
        let status = if alive { PASSING } else { CRITICAL };
        let known = self
            .datacenter
            .read(|store| store.serf_check_is(&self.node, status));
        if known {
            return;
        }
        let service = (alive && self.server).then(consul_service);
        let checks = vec![HealthCheck::serf(&self.node, alive)];
        let node = Node {
            id: self.id.clone(),
            ..self.as_node()
        };
        let registration = Registration {
            node,
            service,
            checks,
            skip_node_update: true,
        };
        if let Err(error) = self
            .datacenter
            .write(|store, now| store.register(registration, now))
        {
            tracing::error!(%error, node = self.node, "cannot mark a member in the catalog");
        }
    }
}

fn consul_service() -> NodeService {
    let meta = [
        ("non_voter", "false"),
        ("raft_version", "3"),
        ("serf_protocol_current", "2"),
        ("serf_protocol_max", "5"),
        ("serf_protocol_min", "1"),
        ("version", "1.8.7"),
    ];
    NodeService {
        id: "consul".into(),
        service: "consul".into(),
        port: 8300,
        weights: Some(Weights::ONE),
        meta: Some(
            meta.into_iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        ),
        ..NodeService::default()
    }
}

impl AgentRef {
    /// Writes what has changed here into the catalog; without servers it stays to be done.
    pub(super) fn sync_changes(&self) {
        if !self.is_connected() {
            return;
        }
        let mut local = self.local();
        for id in std::mem::take(&mut local.gone_services) {
            self.datacenter
                .write(|store, now| store.deregister(&self.node, &id, "", now));
        }
        for id in std::mem::take(&mut local.gone_checks) {
            self.datacenter
                .write(|store, now| store.deregister(&self.node, "", &id, now));
        }
        self.sync_services(&mut local);
        self.sync_checks(&mut local);
        if !local.node_in_sync {
            self.push(&mut local, None, Vec::new());
        }
    }

    fn sync_services(&self, local: &mut Local) {
        let ids: Vec<String> = local
            .services
            .iter()
            .filter(|(_, held)| !held.in_sync)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            let checks: Vec<HealthCheck> = local
                .checks
                .values()
                .filter(|held| !held.in_sync && held.check.service_id == id)
                .map(|held| held.check.clone())
                .collect();
            let Some(service) = local.services.get(&id).map(|held| held.service.clone()) else {
                continue;
            };
            let carried: Vec<String> = checks.iter().map(|check| check.check_id.clone()).collect();
            if self.push(local, Some(service), checks) {
                if let Some(held) = local.services.get_mut(&id) {
                    held.in_sync = true;
                }
                carried.iter().for_each(|check| settle(local, check));
            }
        }
    }

    fn sync_checks(&self, local: &mut Local) {
        let ids: Vec<String> = local
            .checks
            .iter()
            .filter(|(_, held)| !held.in_sync)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            let Some(check) = local.checks.get(&id).map(|held| held.check.clone()) else {
                continue;
            };
            let service = local
                .services
                .get(&check.service_id)
                .map(|held| held.service.clone());
            if self.push(local, service, vec![check]) {
                settle(local, &id);
            }
        }
    }

    fn push(
        &self,
        local: &mut Local,
        service: Option<NodeService>,
        checks: Vec<HealthCheck>,
    ) -> bool {
        let registration = Registration {
            node: self.as_node(),
            service,
            checks,
            skip_node_update: local.node_in_sync,
        };
        let done = self
            .datacenter
            .write(|store, now| store.register(registration, now));
        if let Err(error) = &done {
            tracing::warn!(%error, node = self.node, "syncing with the catalog failed");
        }
        local.node_in_sync |= done.is_ok();
        done.is_ok()
    }

    /// Compares everything with the catalog: what is foreign there goes, what is missing or different is written.
    pub(super) fn sync_full(&self) {
        if !self.is_connected() {
            return;
        }
        let (node, services, checks) = self.datacenter.read(|store| {
            let (node, services) = store
                .node_services(&self.node)
                .1
                .map_or((None, Vec::new()), |(node, found)| (Some(node), found));
            (node, services, store.node_checks(&self.node).1)
        });
        let mut local = self.local();
        let own = self.as_node();
        local.node_in_sync = node.is_some_and(|node| {
            node.tagged_addresses == own.tagged_addresses
                && node.meta == own.meta
                && node.id == own.id
        });
        for held in local.services.values_mut() {
            held.in_sync = services.iter().any(|found| found.is_same(&held.service));
        }
        for held in local.checks.values_mut() {
            held.in_sync = checks
                .iter()
                .any(|found| same_but_for_deferred(found, held));
        }
        for found in services {
            if found.id != "consul" && !local.services.contains_key(&found.id) {
                local.gone_services.insert(found.id);
            }
        }
        for found in checks {
            if found.check_id != SERF_CHECK && !local.checks.contains_key(&found.check_id) {
                local.gone_checks.insert(found.check_id);
            }
        }
        drop(local);
        self.sync_changes();
    }
}

fn same_but_for_deferred(found: &HealthCheck, held: &LocalCheck) -> bool {
    let mut own = held.check.clone();
    if held.stale_output_since.is_some() {
        own.output = found.output.clone();
    }
    found.is_same(&own)
}

fn settle(local: &mut Local, check: &str) {
    if let Some(held) = local.checks.get_mut(check) {
        held.in_sync = true;
        held.stale_output_since = None;
    }
}
