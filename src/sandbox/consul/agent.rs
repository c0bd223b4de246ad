//! What an agent does with its own services and checks: registration, removal, maintenance, status updates.

use tokio::time::Instant;

use super::check_types::{CheckType, ServiceDefinition};
use super::go;
use super::local::LocalCheck;
use super::records::{
    CRITICAL, HealthCheck, NODE_MAINTENANCE, SERVICE_MAINTENANCE, is_valid_status,
};
use super::world::AgentRef;

const DEFAULT_SERVICE_REASON: &str = "Maintenance mode is enabled for this service, but no reason was provided. This is a default message.";
const DEFAULT_NODE_REASON: &str = "Maintenance mode is enabled for this node, but no reason was provided. This is a default message.";
const SCRIPTS_DISABLED: &str = "Scripts are disabled on this agent from remote calls; to enable, configure 'enable_script_checks' to true";
/// Bytes of a check's output that are kept.
const OUTPUT_SIZE: usize = 4096;

/// An agent's refusal: a bad request (400) or a failure (500), with Consul's sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    BadRequest(String),
    NotFound(String),
    Failed(String),
}

impl AgentRef {
    /// Registers a service with all of its checks; with `replace` its other checks are dropped.
    pub(super) fn register_service(
        &self,
        definition: &ServiceDefinition,
        replace: bool,
    ) -> Result<(), Refusal> {
        let bad = |text: String| Err(Refusal::BadRequest(text));
        if definition.name.is_empty() {
            return bad("Missing service name".into());
        }
        if definition
            .address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_unspecified())
        {
            return bad("Invalid service address".into());
        }
        let service = definition.node_service();
        if let Some(Err(reason)) = definition.weights.map(|weights| weights.validate()) {
            return bad(format!("Invalid Weights: {reason}"));
        }
        if let Err(reason) = super::catalog::validate_meta(service.meta.as_ref()) {
            return bad(format!("Invalid Service Meta: {reason}"));
        }
        let types = match definition.check_types() {
            Ok(types) => types,
            Err(reason) => return bad(format!("Invalid check: {reason}")),
        };
        if types
            .iter()
            .any(|check| !check.status.is_empty() && !is_valid_status(&check.status))
        {
            return bad("Status for checks must 'passing', 'warning', 'critical'".into());
        }
        types.iter().try_for_each(runnable)?;
        self.put_service_and_checks(service, &types, replace);
        self.sync_changes();
        Ok(())
    }

    fn put_service_and_checks(
        &self,
        service: super::records::NodeService,
        types: &[CheckType],
        replace: bool,
    ) {
        let mut local = self.local();
        let others = local.checks_of(&service.id);
        let mut kept = Vec::new();
        let checks: Vec<HealthCheck> = types
            .iter()
            .enumerate()
            .map(|(at, kind)| self.check_of_service(&service, kind, at, types.len()))
            .collect();
        local.put_service(service);
        for (mut check, kind) in checks.into_iter().zip(types) {
            if let Some(known) = local.checks.get(&check.check_id) {
                check.status.clone_from(&known.check.status);
                check.output.clone_from(&known.check.output);
            }
            kept.push(check.check_id.clone());
            let held = self.started(check, kind);
            local.put_check(held);
        }
        if replace {
            others
                .iter()
                .filter(|id| !kept.contains(id))
                .for_each(|id| local.remove_check(id));
        }
    }

    fn check_of_service(
        &self,
        service: &super::records::NodeService,
        kind: &CheckType,
        at: usize,
        of: usize,
    ) -> HealthCheck {
        let mut check_id = kind.check_id.clone();
        if check_id.is_empty() {
            check_id = format!("service:{}", service.id);
            if of > 1 {
                check_id += &format!(":{}", at + 1);
            }
        }
        HealthCheck {
            node: self.node.clone(),
            check_id,
            name: if kind.name.is_empty() {
                format!("Service '{}' check", service.service)
            } else {
                kind.name.clone()
            },
            status: if kind.status.is_empty() {
                CRITICAL.into()
            } else {
                kind.status.clone()
            },
            notes: kind.notes.clone(),
            service_id: service.id.clone(),
            service_name: service.service.clone(),
            service_tags: service.tags.clone().unwrap_or_default(),
            kind: kind.kind().into(),
            ..HealthCheck::default()
        }
    }

    /// Registers a check of its own or of a known service.
    pub(super) fn register_check(&self, kind: &CheckType) -> Result<(), Refusal> {
        let bad = |text: &str| Err(Refusal::BadRequest(text.into()));
        if kind.name.is_empty() {
            return bad("Missing check name");
        }
        if !kind.status.is_empty() && !is_valid_status(&kind.status) {
            return bad("Bad check status");
        }
        if let Err(reason) = kind.validate() {
            return bad(&format!("Invalid check: {reason}"));
        }
        let mut check = HealthCheck {
            node: self.node.clone(),
            check_id: if kind.check_id.is_empty() {
                kind.name.clone()
            } else {
                kind.check_id.clone()
            },
            name: kind.name.clone(),
            status: if kind.status.is_empty() {
                CRITICAL.into()
            } else {
                kind.status.clone()
            },
            notes: kind.notes.clone(),
            service_id: kind.service_id.clone(),
            kind: kind.kind().into(),
            ..HealthCheck::default()
        };
        let mut local = self.local();
        if !check.service_id.is_empty() {
            let Some(held) = local.services.get(&check.service_id) else {
                return Err(Refusal::Failed(format!(
                    "ServiceID {:?} does not exist",
                    check.service_id
                )));
            };
            check.service_name.clone_from(&held.service.service);
            check.service_tags = held.service.tags.clone().unwrap_or_default();
        }
        runnable(kind)?;
        if let Some(known) = local.checks.get(&check.check_id) {
            check.status.clone_from(&known.check.status);
            check.output.clone_from(&known.check.output);
        }
        let held = self.started(check, kind);
        local.put_check(held);
        drop(local);
        self.sync_changes();
        Ok(())
    }

    fn started(&self, check: HealthCheck, kind: &CheckType) -> LocalCheck {
        let mut held = LocalCheck::new(check);
        if kind.deregister_critical_service_after > 0 {
            let after = go::duration(kind.deregister_critical_service_after);
            held.reap_after = Some(after.max(self.world.timing.deregister_min));
        }
        super::checks::start(self, &mut held, kind);
        held
    }

    /// Forgets a service and its checks; an unknown one is no error.
    pub(super) fn deregister_service(&self, id: &str) -> Result<(), Refusal> {
        if id.is_empty() {
            return Err(Refusal::Failed("ServiceID missing".into()));
        }
        self.local().remove_service(id);
        self.sync_changes();
        Ok(())
    }

    /// Forgets a check; an unknown one is no error.
    pub(super) fn deregister_check(&self, id: &str) -> Result<(), Refusal> {
        if id.is_empty() {
            return Err(Refusal::Failed("CheckID missing".into()));
        }
        self.local().remove_check(id);
        self.sync_changes();
        Ok(())
    }

    /// Puts a service into maintenance, or takes it out.
    pub(super) fn service_maintenance(
        &self,
        id: &str,
        enable: bool,
        reason: &str,
    ) -> Result<(), Refusal> {
        let mut local = self.local();
        let Some(service) = local.services.get(id).map(|held| held.service.clone()) else {
            return Err(Refusal::NotFound(format!(
                "No service registered with ID {id:?}"
            )));
        };
        let check_id = format!("{SERVICE_MAINTENANCE}{id}");
        if !enable {
            local.remove_check(&check_id);
        } else if !local.checks.contains_key(&check_id) {
            local.put_check(LocalCheck::new(HealthCheck {
                node: self.node.clone(),
                check_id,
                name: "Service Maintenance Mode".into(),
                status: CRITICAL.into(),
                notes: if reason.is_empty() {
                    DEFAULT_SERVICE_REASON
                } else {
                    reason
                }
                .into(),
                service_id: id.into(),
                service_name: service.service,
                service_tags: service.tags.unwrap_or_default(),
                kind: "maintenance".into(),
                ..HealthCheck::default()
            }));
        }
        drop(local);
        self.sync_changes();
        Ok(())
    }

    /// Puts the node into maintenance, or takes it out.
    pub(super) fn node_maintenance(&self, enable: bool, reason: &str) {
        let mut local = self.local();
        if !enable {
            local.remove_check(NODE_MAINTENANCE);
        } else if !local.checks.contains_key(NODE_MAINTENANCE) {
            local.put_check(LocalCheck::new(HealthCheck {
                node: self.node.clone(),
                check_id: NODE_MAINTENANCE.into(),
                name: "Node Maintenance Mode".into(),
                status: CRITICAL.into(),
                notes: if reason.is_empty() {
                    DEFAULT_NODE_REASON
                } else {
                    reason
                }
                .into(),
                kind: "maintenance".into(),
                ..HealthCheck::default()
            }));
        }
        drop(local);
        self.sync_changes();
    }

    /// Sets a TTL check's status and starts its clock anew.
    pub(super) fn update_ttl_check(
        &self,
        id: &str,
        status: &str,
        output: &str,
    ) -> Result<(), Refusal> {
        let mut output = output.to_owned();
        if output.len() > OUTPUT_SIZE {
            let total = output.len();
            let kept = (0..=OUTPUT_SIZE)
                .rev()
                .find(|at| output.is_char_boundary(*at))
                .unwrap_or(0);
            output.truncate(kept);
            output += &format!(" ... (captured {OUTPUT_SIZE} of {total} bytes)");
        }
        let mut local = self.local();
        let ttl = local.checks.get_mut(id).and_then(|held| held.ttl.as_mut());
        let Some(ttl) = ttl else {
            return Err(Refusal::Failed(format!(
                "CheckID {id:?} does not have associated TTL"
            )));
        };
        ttl.last_output.clone_from(&output);
        ttl.deadline = Some(Instant::now() + ttl.length);
        ttl.moved.notify_one();
        drop(local);
        self.update_check(id, status, output);
        Ok(())
    }

    /// Takes in what a check found: a new status goes to the catalog at once, a new output alone waits.
    pub(super) fn update_check(&self, id: &str, status: &str, output: String) {
        let now = Instant::now();
        let mut local = self.local();
        let Some(held) = local.checks.get_mut(id) else {
            return;
        };
        if status != CRITICAL {
            held.critical_since = None;
        } else {
            held.critical_since.get_or_insert(now);
        }
        if held.check.status == status && held.check.output == output {
            return;
        }
        held.check.output = output;
        if held.check.status == status {
            held.stale_output_since.get_or_insert(now);
            return;
        }
        held.check.status = status.into();
        held.in_sync = false;
        drop(local);
        self.sync_changes();
    }

    /// Deregisters services that have been critical for too long.
    pub(super) fn reap(&self) {
        let now = Instant::now();
        let overdue: Vec<String> = self
            .local()
            .checks
            .values()
            .filter(|held| match (held.reap_after, held.critical_since) {
                (Some(after), Some(since)) => now - since > after,
                _ => false,
            })
            .map(|held| held.check.service_id.clone())
            .filter(|service| !service.is_empty())
            .collect();
        for service in overdue {
            tracing::info!(
                service,
                node = self.node,
                "critical for too long; deregistered"
            );
            self.local().remove_service(&service);
        }
        self.sync_changes();
    }

    /// Lets outputs that changed long ago into the catalog.
    pub(super) fn sync_stale_outputs(&self) {
        let limit = self.world.timing.check_update;
        let now = Instant::now();
        for held in self.local().checks.values_mut() {
            if held
                .stale_output_since
                .is_some_and(|since| now - since >= limit)
            {
                held.in_sync = false;
            }
        }
        self.sync_changes();
    }
}

/// Checks that an agent without scripts, Docker and gRPC can run.
fn runnable(kind: &CheckType) -> Result<(), Refusal> {
    match kind.kind() {
        "http" | "tcp" | "ttl" => Ok(()),
        "script" | "docker" => Err(Refusal::Failed(SCRIPTS_DISABLED.into())),
        "" => Err(Refusal::Failed("Check type is not valid".into())),
        other => Err(Refusal::Failed(format!(
            "the sandbox's Consul runs no {other} checks; use an HTTP, TCP or TTL check, or a real Consul"
        ))),
    }
}
