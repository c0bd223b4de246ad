//! A gateway's own part: it watches targets and checks, and keeps the front entries of its own agent, nobody else's.

use super::entries::{self, Change, Entry, PREFIX, Present};
use crate::clients::consul::{CheckDefinition, KvQuery, Probe, Registration, Status};
use crate::clients::gateway::Gateway;
use crate::clients::http::{HttpError, Wait};
use crate::model::*;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// One blocking query; also how long a gateway takes to look again when nothing changed.
const LOOK: Duration = Duration::from_secs(20);
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Consul takes nothing shorter.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// After an error.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps one gateway's entries as the targets say.
pub struct Keeper {
    pub gateway: Gateway,
    pub kv_datacenter: Option<String>,
    pub meta_alloc: &'static str,
    pub clock: fn() -> Moment,
    /// Whoever plans should look now.
    pub wake: mpsc::Sender<()>,
}

/// What is in force at the gateway.
#[derive(Default)]
struct Force {
    targets: BTreeMap<ServiceName, Target>,
    applied: BTreeMap<ServiceName, (Epoch, u64)>,
    contingency: BTreeMap<ServiceName, Domain>,
}

impl Force {
    /// An index that went back tells of a store that was restored: what was applied under the old ones says nothing of its age.
    fn began_anew(&mut self, before: u64, now: u64) {
        if now < before {
            self.applied.clear();
        }
    }
}

impl Keeper {
    /// Watches until cancelled. Entries stay as they are then: fail static.
    pub async fn keep(self, cancel: CancellationToken) {
        let mut force = Force::default();
        let mut targets_at = 0;
        let mut checks_at = 0;
        while !cancel.is_cancelled() {
            let turned = tokio::select! {
                () = cancel.cancelled() => return,
                read = self.targets(targets_at) => match read {
                    Ok((targets, index)) => {
                        force.began_anew(targets_at, index);
                        targets_at = index;
                        self.follow(&mut force, targets).await
                    }
                    Err(e) => Err(e),
                },
                read = self.failing(checks_at) => match read {
                    Ok((failing, index)) => {
                        checks_at = index;
                        self.switch(&mut force, &failing).await
                    }
                    Err(e) => Err(e),
                },
            };
            if let Err(e) = turned {
                tracing::debug!("gateway {}: {e}", self.gateway.id);
                let _ = tokio::time::timeout(PAUSE, cancel.cancelled()).await;
            }
        }
    }

    async fn targets(&self, index: u64) -> Result<(Vec<Target>, u64), HttpError> {
        let query = KvQuery {
            dc: self.kv_datacenter.as_deref(),
            wait: (index > 0).then_some(Wait {
                index,
                longest: LOOK,
            }),
            ..KvQuery::default()
        };
        let found = self.gateway.consul.kv_list(keys::TARGETS, query).await?;
        let targets = found
            .value
            .iter()
            .filter_map(|pair| {
                let mut target: Target = serde_json::from_slice(&pair.value).ok()?;
                target.index = pair.modify_index;
                Some(target)
            })
            .collect();
        Ok((targets, found.index))
    }

    /// IDs of our own entries whose checks are critical, maintenance aside.
    async fn failing(&self, index: u64) -> Result<(Vec<String>, u64), HttpError> {
        let wait = (index > 0).then_some(Wait {
            index,
            longest: LOOK,
        });
        let found = self
            .gateway
            .consul
            .checks_in_state("critical", None, wait)
            .await?;
        let failing = found
            .value
            .iter()
            .filter(|c| !c.is_maintenance() && c.service_id.starts_with(PREFIX))
            .map(|c| c.service_id.clone())
            .collect();
        Ok((failing, found.index))
    }

    /// Applies every target that is newer than what was applied last.
    async fn follow(&self, force: &mut Force, targets: Vec<Target>) -> Result<(), HttpError> {
        for target in targets {
            let last = force.applied.get(&target.service).copied();
            if !entries::newer(&target, last) || self.held().await {
                continue;
            }
            self.apply(&target, &target.shares()).await?;
            force
                .applied
                .insert(target.service.clone(), (target.epoch, target.index));
            force.contingency.remove(&target.service);
            self.report(&target, &target.shares(), None, None).await?;
            force.targets.insert(target.service.clone(), target);
        }
        Ok(())
    }

    /// A check turned critical: what was prepared and cleared for that failure is done at once.
    async fn switch(&self, force: &mut Force, failing: &[String]) -> Result<(), HttpError> {
        let began = (self.clock)();
        // A full queue means that a look is due anyway.
        let _ = self.wake.try_send(());
        if blind(force, failing) {
            tracing::debug!(
                "gateway {}: most sites look bad at once; suspecting our eyes",
                self.gateway.id
            );
            return Ok(());
        }
        let services: Vec<ServiceName> = force.targets.keys().cloned().collect();
        for service in services {
            let Some(target) = force.targets.get(&service) else {
                continue;
            };
            let bad: Vec<AllocId> = target
                .instances
                .iter()
                .filter(|i| failing.contains(&entries::entry_id(&service, &i.alloc, i.port)))
                .map(|i| i.alloc.clone())
                .collect();
            let Some(contingency) = entries::contingency(target, &bad) else {
                continue;
            };
            if force.contingency.get(&service) == Some(&contingency.domain) || self.held().await {
                continue;
            }
            self.apply(target, &contingency.shares).await?;
            let took = (self.clock)().since(began);
            self.report(
                target,
                &contingency.shares,
                Some(&contingency.domain),
                Some(took),
            )
            .await?;
            force
                .contingency
                .insert(service, contingency.domain.clone());
        }
        Ok(())
    }

    /// `foreshadow/hold`; unreadable counts as set.
    async fn held(&self) -> bool {
        let dc = self.kv_datacenter.as_deref();
        match self
            .gateway
            .consul
            .kv_get(keys::HOLD, dc, false, None)
            .await
        {
            Ok(found) => found.value.is_some_and(|p| p.value != b"off"),
            Err(_) => true,
        }
    }

    /// Makes the agent's entries of the service as the shares say: what gains first, all together, then what loses.
    async fn apply(
        &self,
        target: &Target,
        shares: &BTreeMap<AllocId, Share>,
    ) -> Result<(), HttpError> {
        let wanted = entries::entries(target, shares);
        let present = self.present(&target.service).await?;
        for change in entries::changes(&wanted, &present, &target.service) {
            self.make(change).await?;
        }
        Ok(())
    }

    async fn present(&self, service: &ServiceName) -> Result<Vec<Present>, HttpError> {
        let (services, checks) = futures::join!(
            self.gateway.consul.agent_services(),
            self.gateway.consul.agent_checks()
        );
        let (services, checks) = (services?, checks?);
        Ok(services
            .into_values()
            .filter(|s| s.service == service.as_str() && s.id.starts_with(PREFIX))
            .map(|s| Present {
                maintenance: checks
                    .values()
                    .any(|c| c.is_maintenance() && c.service_id == s.id),
                id: s.id,
                service: s.service,
                address: s.address,
                port: s.port,
                weight: u32::from(s.weights.passing),
            })
            .collect())
    }

    async fn make(&self, change: Change) -> Result<(), HttpError> {
        let consul = &self.gateway.consul;
        match change {
            Change::Register(entry) => consul.register(&self.registration(&entry)).await,
            Change::Maintenance { id, on } => {
                consul.maintenance(&id, on, "foreshadow: share 0").await
            }
            Change::Deregister { id } => consul.deregister(&id).await.map(|_| ()),
        }
    }

    fn registration(&self, entry: &Entry) -> Registration {
        let weight = u16::try_from(entry.weight.unwrap_or(1)).unwrap_or(100);
        Registration {
            id: entry.id.clone(),
            name: entry.service.to_string(),
            address: entry.address.clone(),
            port: entry.port,
            meta: BTreeMap::from([(self.meta_alloc.to_string(), entry.alloc.to_string())]),
            passing_weight: weight,
            warning_weight: 1,
            checks: vec![CheckDefinition {
                id: format!("{}-alive", entry.id),
                name: format!("{} can be reached from {}", entry.service, self.gateway.id),
                probe: Probe::Http {
                    url: format!("http://{}:{}{}", entry.address, entry.port, entry.health),
                },
                interval: CHECK_EVERY,
                timeout: CHECK_EVERY,
                initial: Some(Status::Critical),
                deregister_after: Some(FORGET_AFTER),
            }],
            ..Registration::default()
        }
    }

    async fn report(
        &self,
        target: &Target,
        shares: &BTreeMap<AllocId, Share>,
        contingency: Option<&Domain>,
        reaction: Option<Span>,
    ) -> Result<(), HttpError> {
        let applied = Applied {
            gateway: self.gateway.id.clone(),
            service: target.service.clone(),
            plan: target.plan.clone(),
            epoch: target.epoch,
            index: target.index,
            weights: weights(shares),
            contingency: contingency.cloned(),
            at: (self.clock)(),
            reaction,
        };
        let key = keys::applied(&self.gateway.id, &target.service);
        // Serialising plain data cannot fail; an empty report would be read as none.
        let value = serde_json::to_vec(&applied).unwrap_or_default();
        let dc = self.kv_datacenter.as_deref();
        self.gateway
            .consul
            .kv_put(&key, &value, dc)
            .await
            .map(|_| ())
    }
}

/// More than half of the sites failing at once, seen from here: it is more likely we who are cut off.
fn blind(force: &Force, failing: &[String]) -> bool {
    let mut sites: BTreeMap<&Site, bool> = BTreeMap::new();
    for (service, target) in &force.targets {
        for i in &target.instances {
            let bad = failing.contains(&entries::entry_id(service, &i.alloc, i.port));
            *sites.entry(&i.site).or_default() |= bad;
        }
    }
    let bad = sites.values().filter(|bad| **bad).count();
    bad * 2 > sites.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_restored_is_followed_under_its_lower_indices() {
        let target = Target {
            service: ServiceName::new("web"),
            plan: PlanId::new("p"),
            parent: None,
            epoch: Epoch(2),
            instances: Vec::new(),
            contingencies: Vec::new(),
            index: 41,
        };
        let last = (Epoch(9), 700);
        let mut force = Force::default();
        force.applied.insert(target.service.clone(), last);
        let newer =
            |force: &Force| entries::newer(&target, force.applied.get(&target.service).copied());
        force.began_anew(700, 701);
        assert!(!newer(&force), "an old leader's target stays refused");
        force.began_anew(701, 60);
        assert!(newer(&force));
    }
}
