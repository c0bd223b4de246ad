//! The catalog's tables: nodes, services and checks, and what the catalog and health endpoints read from them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::records::{
    CRITICAL, CheckServiceNode, HealthCheck, Meta, Node, NodeService, SERF_CHECK, Weights,
};
use super::state::{StateError, Store, key, key_of};

/// A write to the catalog: a node, and with it a service and checks.
#[derive(Clone, Debug, Default)]
pub struct Registration {
    pub node: Node,
    pub service: Option<NodeService>,
    pub checks: Vec<HealthCheck>,
    /// Leave a known node as it is.
    pub skip_node_update: bool,
}

impl Store {
    /// Applies a registration as one write.
    ///
    /// # Errors
    /// Consul's sentences: a check of another node, of a missing service, reserved or malformed metadata.
    pub fn register(&mut self, registration: Registration, now: Instant) -> Result<(), StateError> {
        let index = self.next_index();
        let name = registration.node.node.clone();
        let known = self.nodes.get(&key(&name));
        if known.is_none_or(|known| {
            !registration.skip_node_update && differs(known, &registration.node)
        }) {
            self.put_node(index, registration.node);
        }
        if let Some(service) = registration.service {
            self.put_service(index, &name, service)
                .map_err(|error| format!("failed inserting service: {error}"))?;
        }
        for check in registration.checks {
            if check.node != name {
                return Err(
                    format!("check node {:?} does not match node {name:?}", check.node).into(),
                );
            }
            let node = check.node.clone();
            self.put_check(index, check, now)
                .map_err(|error| format!("failed inserting check: {error} on node {node:?}"))?;
        }
        Ok(())
    }

    /// Removes a service, or a check, or the whole node, as one write; what is not there is no error.
    pub fn deregister(&mut self, node: &str, service_id: &str, check_id: &str, now: Instant) {
        let index = self.next_index();
        if !service_id.is_empty() {
            self.remove_service(index, node, service_id, now);
        } else if !check_id.is_empty() {
            self.remove_check(index, node, check_id, now);
        } else {
            self.remove_node(index, node, now);
        }
    }

    fn put_node(&mut self, index: u64, mut node: Node) {
        node.create_index = self
            .nodes
            .get(&key(&node.node))
            .map_or(index, |known| known.create_index);
        node.modify_index = index;
        let name = node.node.clone();
        self.nodes.insert(key(&name), node);
        self.tables.nodes = index;
        self.touch_services_of(index, &name);
    }

    fn put_service(
        &mut self,
        index: u64,
        node: &str,
        mut service: NodeService,
    ) -> Result<(), StateError> {
        if let Err(reason) = validate_meta(service.meta.as_ref()) {
            let id = &service.id;
            return Err(format!(
                "Invalid Service Meta for node {node} and serviceID {id}: {reason}"
            )
            .into());
        }
        // The catalog silently falls back to 1/1 where the agent endpoint refuses.
        service.weights = Some(
            service
                .weights
                .filter(|weights| weights.validate().is_ok())
                .unwrap_or(Weights::ONE),
        );
        let at = key_of(node, &service.id);
        let known = self.services.get(&at);
        if known.is_some_and(|known| known.is_same(&service)) {
            return Ok(());
        }
        service.create_index = known.map_or(index, |known| known.create_index);
        service.modify_index = index;
        self.tables.services = index;
        self.service_indices.insert(key(&service.service), index);
        self.services.insert(at, service);
        Ok(())
    }

    fn put_check(
        &mut self,
        index: u64,
        mut check: HealthCheck,
        now: Instant,
    ) -> Result<(), StateError> {
        if check.status.is_empty() {
            check.status = CRITICAL.into();
        }
        if !self.nodes.contains_key(&key(&check.node)) {
            return Err("Missing node registration".into());
        }
        let at = key_of(&check.node, &check.check_id);
        if !check.service_id.is_empty() {
            let service = self.services.get(&key_of(&check.node, &check.service_id));
            let service = service.ok_or("Missing service registration")?;
            check.service_name = service.service.clone();
            check.service_tags = service.tags.clone().unwrap_or_default();
        }
        let known = self.checks.get(&at);
        let same = known.is_some_and(|known| known.is_same(&check));
        check.create_index = known.map_or(index, |known| known.create_index);
        check.modify_index = if same {
            known.map_or(index, |known| known.modify_index)
        } else {
            index
        };
        self.tables.checks = index;
        if !same {
            self.touch_checked(index, &check);
        }
        let critical = check.status == CRITICAL;
        let (node, id) = (check.node.clone(), check.check_id.clone());
        self.checks.insert(at, check);
        if critical {
            self.invalidate_sessions_of_check(index, &node, &id, now);
        }
        Ok(())
    }

    fn touch_checked(&mut self, index: u64, check: &HealthCheck) {
        if check.service_id.is_empty() {
            self.touch_services_of(index, &check.node);
        } else {
            self.service_indices.insert(key(&check.service_name), index);
        }
    }

    fn touch_services_of(&mut self, index: u64, node: &str) {
        let node = key(node);
        let names: Vec<String> = self
            .services
            .iter()
            .filter(|((on, _), _)| *on == node)
            .map(|(_, service)| key(&service.service))
            .collect();
        for name in names {
            self.service_indices.insert(name, index);
        }
    }

    fn remove_node(&mut self, index: u64, node: &str, now: Instant) {
        let at = key(node);
        if !self.nodes.contains_key(&at) {
            return;
        }
        let services: Vec<String> = self
            .services
            .keys()
            .filter(|(on, _)| *on == at)
            .map(|(_, id)| id.clone())
            .collect();
        for id in services {
            self.remove_service(index, node, &id, now);
        }
        let checks: Vec<String> = self
            .checks
            .keys()
            .filter(|(on, _)| *on == at)
            .map(|(_, id)| id.clone())
            .collect();
        for id in checks {
            self.remove_check(index, node, &id, now);
        }
        self.nodes.remove(&at);
        self.tables.nodes = index;
        let sessions: Vec<String> = self
            .sessions
            .values()
            .filter(|session| key(&session.node) == at)
            .map(|session| session.id.clone())
            .collect();
        for id in sessions {
            self.delete_session(index, &id, now);
        }
    }

    fn remove_service(&mut self, index: u64, node: &str, id: &str, now: Instant) {
        let at = key_of(node, id);
        let Some(service) = self.services.get(&at).cloned() else {
            return;
        };
        let checks: Vec<String> = self
            .checks
            .values()
            .filter(|check| key(&check.node) == at.0 && key(&check.service_id) == at.1)
            .map(|check| check.check_id.clone())
            .collect();
        for check in checks {
            self.remove_check(index, node, &check, now);
        }
        self.tables.checks = index;
        self.services.remove(&at);
        self.tables.services = index;
        let name = key(&service.service);
        if self
            .services
            .values()
            .any(|other| key(&other.service) == name)
        {
            self.service_indices.insert(name, index);
        } else {
            self.service_indices.remove(&name);
            self.extinction = index;
        }
    }

    fn remove_check(&mut self, index: u64, node: &str, id: &str, now: Instant) {
        let at = key_of(node, id);
        let Some(check) = self.checks.remove(&at) else {
            return;
        };
        self.touch_checked(index, &check);
        self.tables.checks = index;
        self.invalidate_sessions_of_check(index, node, id, now);
    }

    /// All nodes by name, and the table's index.
    pub fn nodes(&self) -> (u64, Vec<Node>) {
        (self.tables.nodes, self.nodes.values().cloned().collect())
    }

    /// Each service name on wanted nodes, with the tags its instances there have.
    pub fn services(
        &self,
        wanted: impl Fn(&Node) -> bool,
    ) -> (u64, BTreeMap<String, BTreeSet<String>>) {
        let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for ((node, _), service) in &self.services {
            if !self.nodes.get(node).is_some_and(&wanted) {
                continue;
            }
            names
                .entry(service.service.clone())
                .or_default()
                .extend(service.tags.iter().flatten().cloned());
        }
        (self.tables.services, names)
    }

    /// A node with its services by ID; `None` for an unknown node.
    pub fn node_services(&self, node: &str) -> (u64, Option<(Node, Vec<NodeService>)>) {
        let at = key(node);
        let Some(found) = self.nodes.get(&at) else {
            return (0, None);
        };
        let services: Vec<NodeService> = self
            .services
            .iter()
            .filter(|((on, _), _)| *on == at)
            .map(|(_, service)| service.clone())
            .collect();
        let index = self.tables.nodes.max(self.tables.services);
        (index, Some((found.clone(), services)))
    }

    /// Checks of one node.
    pub fn node_checks(&self, node: &str) -> (u64, Vec<HealthCheck>) {
        let at = key(node);
        (
            self.tables.checks,
            self.checks
                .iter()
                .filter(|((on, _), _)| *on == at)
                .map(|(_, check)| check.clone())
                .collect(),
        )
    }

    /// Checks of one service name.
    pub fn service_checks(&self, name: &str) -> (u64, Vec<HealthCheck>) {
        let name = key(name);
        let found: Vec<HealthCheck> = self
            .checks
            .values()
            .filter(|check| key(&check.service_name) == name)
            .cloned()
            .collect();
        (self.service_index(&name, !found.is_empty(), true), found)
    }

    /// Checks in one state, or in `any`.
    pub fn checks_in_state(&self, state: &str) -> (u64, Vec<HealthCheck>) {
        let wanted = |check: &&HealthCheck| state == "any" || check.status == state;
        (
            self.tables.checks,
            self.checks.values().filter(wanted).cloned().collect(),
        )
    }

    /// Instances of a service with node and checks, all that have every tag of `tags`.
    pub fn check_service_nodes(&self, name: &str, tags: &[String]) -> (u64, Vec<CheckServiceNode>) {
        let name = key(name);
        let mut exists = false;
        let mut found = Vec::new();
        for ((node, _), service) in &self.services {
            if key(&service.service) != name {
                continue;
            }
            exists = true;
            if let Some(known) = self.nodes.get(node)
                && service.has_tags(tags)
            {
                let checks = self.checks_of(node, &service.id);
                found.push(CheckServiceNode {
                    node: known.clone(),
                    service: service.clone(),
                    checks,
                });
            }
        }
        (self.service_index(&name, exists, true), found)
    }

    /// Index of the catalog's view of a service (its checks do not count).
    pub fn catalog_service_nodes(
        &self,
        name: &str,
        tags: &[String],
    ) -> (u64, Vec<CheckServiceNode>) {
        let (_, found) = self.check_service_nodes(name, tags);
        let exists = self
            .services
            .values()
            .any(|service| key(&service.service) == key(name));
        (self.service_index(&key(name), exists, false), found)
    }

    fn checks_of(&self, node: &str, service_id: &str) -> Vec<HealthCheck> {
        let on_node = || {
            self.checks
                .iter()
                .filter(|((on, _), _)| on == node)
                .map(|(_, check)| check)
        };
        let of_node = on_node().filter(|check| check.service_id.is_empty());
        let of_service = on_node().filter(|check| {
            !check.service_id.is_empty() && key(&check.service_id) == key(service_id)
        });
        of_node.chain(of_service).cloned().collect()
    }

    fn service_index(&self, name: &str, exists: bool, checks: bool) -> u64 {
        if !exists && self.extinction > 0 {
            return self.extinction;
        }
        if let Some(index) = self.service_indices.get(name) {
            return *index;
        }
        let catalog = self.tables.nodes.max(self.tables.services);
        if checks {
            catalog.max(self.tables.checks)
        } else {
            catalog
        }
    }

    /// Whether gossip's check of `node` has this status.
    pub fn serf_check_is(&self, node: &str, status: &str) -> bool {
        self.checks
            .get(&key_of(node, SERF_CHECK))
            .is_some_and(|check| check.status == status)
    }
}

fn differs(known: &Node, new: &Node) -> bool {
    let plain = |node: &Node| Node {
        create_index: 0,
        modify_index: 0,
        ..node.clone()
    };
    plain(known) != plain(new)
}

/// Consul's rules for service metadata.
///
/// # Errors
/// Consul's sentence on the first pair that breaks one.
pub fn validate_meta(meta: Option<&Meta>) -> Result<(), String> {
    let Some(meta) = meta else { return Ok(()) };
    if meta.len() > 64 {
        return Err("Node metadata cannot contain more than 64 key/value pairs".into());
    }
    for (name, value) in meta {
        let problem = if name.is_empty() {
            "Key cannot be blank"
        } else if !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        {
            "Key contains invalid characters"
        } else if name.len() > 128 {
            "Key is too long (limit: 128 characters)"
        } else if name.starts_with("consul-") {
            "Key prefix 'consul-' is reserved for internal use"
        } else if value.len() > 512 {
            "Value is too long (limit: 512 characters)"
        } else {
            continue;
        };
        return Err(format!(
            "Couldn't load metadata pair ('{name}', '{value}'): {problem}"
        ));
    }
    Ok(())
}
