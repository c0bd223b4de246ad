//! The entries that Nomad's clients made at the gateway's own agent: their weights and maintenance flags. Nothing else of
//! them is ever changed.

use super::{Desk, Shares};
use crate::clients::consul::{AgentEntry, AgentService, Check, HealthQuery, ServiceEntry};
use crate::clients::http::{HttpError, Wait};
use crate::model::*;
use std::collections::BTreeMap;
use std::time::Duration;

/// One blocking query.
const LOOK: Duration = Duration::from_millis(500);
/// Of more services than this, everything that the agent has is read: that takes it longer than one of them, whoever's it is.
const FEW: usize = 8;

/// One entry of the gateway's own agent.
pub(in crate::act) struct Own {
    pub alloc: AllocId,
    pub entry: AgentService,
    pub maintenance: bool,
    /// Its own checks all pass, maintenance aside; one that was just registered has none that does.
    pub passing: bool,
}

impl Own {
    /// Nothing for what Nomad did not make.
    fn of(e: AgentEntry) -> Option<Own> {
        Some(Own {
            alloc: AllocId::new(alloc_of_entry(&e.service.id)?),
            maintenance: e.in_maintenance(),
            passing: e.passes(),
            entry: e.service,
        })
    }
}

/// The agent's entries of the service that Nomad made; proxies have a name of their own.
pub(super) async fn own(desk: &Desk, service: &ServiceName) -> Result<Vec<Own>, HttpError> {
    let consul = &desk.gateway.consul;
    let entries = consul.agent_entries(service.as_str()).await?;
    Ok(entries.into_iter().filter_map(Own::of).collect())
}

/// The same of several services: of few one by one, of many by two requests, however many there are.
pub(in crate::act) async fn of_all(
    desk: &Desk,
    wanted: &[&Target],
) -> Result<BTreeMap<ServiceName, Vec<Own>>, HttpError> {
    if wanted.len() > FEW {
        return all(desk).await;
    }
    let mut few = BTreeMap::new();
    for target in wanted {
        let service = &target.service;
        few.insert(service.clone(), own(desk, service).await?);
    }
    Ok(few)
}

async fn all(desk: &Desk) -> Result<BTreeMap<ServiceName, Vec<Own>>, HttpError> {
    let consul = &desk.gateway.consul;
    let services = consul.agent_services().await?;
    // Read after them: an entry and its checks are registered together.
    let mut checks: BTreeMap<String, Vec<Check>> = BTreeMap::new();
    for check in consul.agent_checks().await?.into_values() {
        checks
            .entry(check.service_id.clone())
            .or_default()
            .push(check);
    }
    let mut all: BTreeMap<ServiceName, Vec<Own>> = BTreeMap::new();
    for (id, service) in services {
        let checks = checks.remove(&id).unwrap_or_default();
        if let Some(own) = Own::of(AgentEntry { service, checks }) {
            let name = own.entry.service.as_str().into();
            all.entry(name).or_default().push(own);
        }
    }
    Ok(all)
}

fn serves(own: &Own, shares: &Shares) -> bool {
    shares.get(&own.alloc).is_some_and(|s| *s > Share::NONE)
}

/// Lets those with a share serve, then takes the others out.
pub(super) async fn flag(desk: &Desk, own: &[Own], shares: &Shares) -> Result<(), HttpError> {
    for o in own.iter().filter(|o| serves(o, shares) && o.maintenance) {
        desk.gateway
            .consul
            .maintenance(&o.entry.id, false, "")
            .await?;
    }
    take_out(desk, own, shares).await
}

/// 0 % is maintenance, and so is what no target knows yet.
pub(super) async fn take_out(desk: &Desk, own: &[Own], shares: &Shares) -> Result<(), HttpError> {
    for o in own.iter().filter(|o| !serves(o, shares) && !o.maintenance) {
        let reason = "foreshadow: share 0";
        desk.gateway
            .consul
            .maintenance(&o.entry.id, true, reason)
            .await?;
    }
    Ok(())
}

/// Whether any entry here waits to be let in.
pub(super) fn newcomers(own: &[Own], shares: &Shares) -> bool {
    own.iter().any(|o| serves(o, shares) && o.maintenance)
}

/// Waits until every entry of this datacenter that serves has its weight; `false` after `patience`. Whoever comes in beside
/// entries with old weights would get another share than asked.
pub(super) async fn settled(
    desk: &Desk,
    service: &ServiceName,
    wanted: &BTreeMap<AllocId, u32>,
    patience: Duration,
) -> Result<bool, HttpError> {
    let followed = async {
        let mut query = HealthQuery::default();
        loop {
            let found = desk
                .gateway
                .consul
                .health_service(service.as_str(), query)
                .await?;
            if found.value.iter().all(|e| weighs(e, wanted)) {
                return Ok(());
            }
            query.wait = Some(Wait {
                index: found.index.max(1),
                longest: LOOK,
            });
        }
    };
    match tokio::time::timeout(patience, followed).await {
        Ok(done) => done.map(|()| true),
        Err(_) => Ok(false),
    }
}

/// It has its weight, or none is asked of it, or it does not serve.
fn weighs(entry: &ServiceEntry, wanted: &BTreeMap<AllocId, u32>) -> bool {
    let weight = alloc_of_entry(&entry.service.id).and_then(|a| wanted.get(&AllocId::new(a)));
    entry.in_maintenance() || weight.is_none_or(|w| *w == u32::from(entry.service.weights.passing))
}
