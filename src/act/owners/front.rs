//! `front`: entries of foreshadow's own at the gateway's own agent, with a check that runs from there.

use super::{Case, Desk, Finding, OwnerError, Shares, Weigh};
use crate::act::entries::{self, Change, Entry, PREFIX, Present};
use crate::clients::consul::{CheckDefinition, Probe, Registration, Status};
use crate::clients::gateway::Gateway;
use crate::clients::http::HttpError;
use crate::model::*;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;

const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Consul takes nothing shorter.
const FORGET_AFTER: Duration = Duration::from_secs(60);

pub(super) struct Front;

#[async_trait]
impl Weigh for Front {
    async fn preflight(&self, _: &Desk, case: &Case<'_>) -> Result<Vec<Finding>, HttpError> {
        let service = case.service;
        let own = case.job.and_then(|job| own_block(job, service));
        Ok(vec![match own {
            None => Finding::good(format!("entries of {service} are foreshadow's alone")),
            Some(_) => Finding::bad(format!(
                "job {} registers {service} itself, so clients get its entries beside foreshadow's; name its service block \
                 {service}-origin, or set owner = \"auto\"",
                case.portion.job
            )),
        }])
    }

    async fn write(
        &self,
        desk: &Desk,
        target: &Target,
        shares: &Shares,
    ) -> Result<BTreeMap<AllocId, u32>, OwnerError> {
        let wanted = entries::entries(target, shares);
        let present = present(&desk.gateway, &target.service).await?;
        for change in entries::changes(&wanted, &present, &target.service) {
            make(desk, change).await?;
        }
        Ok(weights(shares))
    }

    async fn undo(&self, desk: &Desk, service: &ServiceName) -> Result<(), OwnerError> {
        let present = present(&desk.gateway, service).await?;
        for change in entries::changes(&[], &present, service) {
            make(desk, change).await?;
        }
        Ok(())
    }
}

async fn present(gateway: &Gateway, service: &ServiceName) -> Result<Vec<Present>, HttpError> {
    let entries = gateway.consul.agent_entries(service.as_str()).await?;
    let own = entries
        .into_iter()
        .filter(|e| e.service.id.starts_with(PREFIX));
    Ok(own
        .map(|e| Present {
            maintenance: e.in_maintenance(),
            id: e.service.id,
            service: e.service.service,
            address: e.service.address,
            port: e.service.port,
            weight: u32::from(e.service.weights.passing),
        })
        .collect())
}

async fn make(desk: &Desk, change: Change) -> Result<(), HttpError> {
    let consul = &desk.gateway.consul;
    match change {
        Change::Register(entry) => consul.register(&registration(desk, &entry)).await,
        Change::Maintenance { id, on } => consul.maintenance(&id, on, "foreshadow: share 0").await,
        Change::Deregister { id } => consul.deregister(&id).await.map(|_| ()),
    }
}

/// The whole definition of an entry, with its check.
pub(super) fn registration(desk: &Desk, entry: &Entry) -> Registration {
    let weight = u16::try_from(entry.weight.unwrap_or(1)).unwrap_or(100);
    Registration {
        id: entry.id.clone(),
        name: entry.service.to_string(),
        address: entry.address.to_string(),
        port: entry.port,
        meta: BTreeMap::from([(desk.meta_alloc.to_string(), entry.alloc.to_string())]),
        passing_weight: weight,
        warning_weight: 1,
        checks: vec![CheckDefinition {
            id: format!("{}-alive", entry.id),
            name: format!("{} can be reached from {}", entry.service, desk.gateway.id),
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
