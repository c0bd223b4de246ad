//! `agent`: the entries that Nomad made, registered again with another weight and everything else as it was.

use super::nomads_entries::{Own, flag, newcomers, own, settled, take_out};
use super::{Case, Desk, Finding, OwnerError, Shares, Weigh, refused, serves_somewhere};
use crate::clients::consul::{HealthQuery, Registration};
use crate::clients::http::HttpError;
use crate::model::*;
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The other gateways write at the same time.
const OTHERS: Duration = Duration::from_secs(1);
/// What Nomad's clients register while a job says nothing.
const PLAIN: u16 = 1;

pub(super) struct Agent;

#[async_trait]
impl Weigh for Agent {
    async fn preflight(&self, desk: &Desk, case: &Case<'_>) -> Result<Vec<Finding>, HttpError> {
        let mut found = vec![version(desk).await?];
        let service = case.service;
        match case.job.and_then(|job| own_block(job, service)) {
            Some(block) if in_mesh(block) => found.push(Finding::bad(format!(
                "{service} is in the mesh, where weights of entries do nothing; set owner = \"mesh\""
            ))),
            Some(_) => {}
            None => found.push(Finding::bad(format!(
                "no service block of job {} is called {service}; name one so, or set owner = \"front\"",
                case.portion.job
            ))),
        }
        let me = desk.gateway.consul.agent_self().await?;
        let listed = desk
            .gateway
            .consul
            .health_service(service.as_str(), HealthQuery::default())
            .await?;
        let nodes: BTreeSet<&str> = listed
            .value
            .iter()
            .filter(|e| alloc_of_entry(&e.service.id).is_some())
            .map(|e| e.node.node.as_str())
            .collect();
        let elsewhere: Vec<&str> = nodes
            .iter()
            .filter(|n| **n != me.node_name())
            .copied()
            .collect();
        found.push(match (nodes.is_empty(), elsewhere.is_empty()) {
            (true, _) => Finding::bad(format!(
                "Nomad has registered no instance of {service} here yet; start the job, and look at its clients' Consul address"
            )),
            (_, true) => Finding::good(format!("all entries of {service} are at {}", me.node_name())),
            (_, false) => Finding::good(format!(
                "entries of {service} are at {} too: each of these agents needs a foreshadow of its own as gateway",
                elsewhere.join(", ")
            )),
        });
        Ok(found)
    }

    async fn write(
        &self,
        desk: &Desk,
        target: &Target,
        shares: &Shares,
    ) -> Result<BTreeMap<AllocId, u32>, OwnerError> {
        serves_somewhere(Owner::Agent, target, shares)?;
        let wanted = weights(shares);
        let own = own(desk, &target.service).await?;
        let written = weigh(desk, target, &own, &wanted).await?;
        if newcomers(&own, shares) && !settled(desk, &target.service, &wanted, OTHERS).await? {
            let why = "other agents do not show their weights yet; whoever is to come in waits";
            return Err(refused(Owner::Agent, &target.service, why));
        }
        flag(desk, &own, shares).await?;
        Ok(written)
    }

    async fn undo(&self, desk: &Desk, service: &ServiceName) -> Result<(), OwnerError> {
        let consul = &desk.gateway.consul;
        for o in own(desk, service).await? {
            if let Some(plain) = Registration::reweighted(&o.entry, PLAIN)
                && o.entry.weights.passing != PLAIN
            {
                consul.register(&plain).await?;
            }
            if o.maintenance {
                consul.maintenance(&o.entry.id, false, "").await?;
            }
        }
        Ok(())
    }
}

/// Registers again what has another weight than wanted; gives the weights of those that are here.
async fn weigh(
    desk: &Desk,
    target: &Target,
    own: &[Own],
    wanted: &BTreeMap<AllocId, u32>,
) -> Result<BTreeMap<AllocId, u32>, OwnerError> {
    let mut written = BTreeMap::new();
    for o in own {
        let Some(weight) = wanted.get(&o.alloc) else {
            continue;
        };
        written.insert(o.alloc.clone(), *weight);
        let weight = u16::try_from(*weight).unwrap_or(PLAIN);
        if o.entry.weights.passing == weight {
            continue;
        }
        let again = Registration::reweighted(&o.entry, weight).ok_or_else(|| {
            let why = format!("{} is a proxy; set owner = \"mesh\"", o.entry.id);
            refused(Owner::Agent, &target.service, why)
        })?;
        desk.gateway.consul.register(&again).await?;
    }
    Ok(written)
}

/// Gives what Nomad registered anew (a restarted task: its check has not passed yet) its weight, and takes out what no target
/// knows. A passing entry whose weight is gone was reset by Nomad: that is told, and not fought over.
pub(super) async fn keep_up(
    desk: &Desk,
    target: &Target,
    shares: &Shares,
    all: Vec<Own>,
) -> Result<(), OwnerError> {
    serves_somewhere(Owner::Agent, target, shares)?;
    let (old, new): (Vec<Own>, Vec<Own>) = all.into_iter().partition(|o| o.passing);
    weigh(desk, target, &new, &weights(shares)).await?;
    take_out(desk, &new, shares).await?;
    Ok(take_out(desk, &old, shares).await?)
}

async fn version(desk: &Desk) -> Result<Finding, HttpError> {
    let Some(nomad) = &desk.nomad else {
        return Ok(Finding::bad(
            "Nomad's version is not known; give its address",
        ));
    };
    let agent = nomad.agent_self().await?;
    let version = agent.version_text();
    Ok(match agent.features().service_weights {
        false => Finding::good(format!(
            "Nomad {version} leaves weights of its entries alone"
        )),
        true => Finding::bad(format!(
            "Nomad {version} resets foreign weights: since 1.9.2 its clients compare their entries every 30 s; \
             set owner = \"nomad\", or \"front\" with another name in the job's service block"
        )),
    })
}
