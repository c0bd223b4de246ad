//! `external`: entries in the catalog of the gateway's own datacenter, each on a node without an agent; consul-esm runs their
//! checks. Where an agent runs beside the instance, its anti-entropy would take them away.

use super::front::registration;
use super::{Case, Desk, Finding, OwnerError, Shares, Weigh};
use crate::act::entries::{self, Change, Entry, PREFIX, Present};
use crate::clients::consul::{HealthQuery, ServiceEntry};
use crate::clients::http::HttpError;
use crate::model::*;
use async_trait::async_trait;
use std::collections::BTreeMap;

/// The service that consul-esm registers for itself.
const ESM: &str = "consul-esm";
/// Marks nodes without an agent.
const META_EXTERNAL: &str = "external-node";

pub(super) struct External;

#[async_trait]
impl Weigh for External {
    async fn preflight(&self, desk: &Desk, case: &Case<'_>) -> Result<Vec<Finding>, HttpError> {
        let consul = &desk.gateway.consul;
        let passing = HealthQuery {
            passing: true,
            ..HealthQuery::default()
        };
        let esm = consul.health_service(ESM, passing).await?.value.len();
        let mut found = vec![match esm {
            0 => Finding::bad(
                "no consul-esm passes in this datacenter: nobody would run the checks of external entries, and none would ever serve; \
                 start consul-esm, or set owner = \"front\", whose checks the agent runs",
            ),
            n => Finding::good(format!("{n} consul-esm run the checks of external entries")),
        }];
        let listed = consul
            .health_service(case.service.as_str(), HealthQuery::default())
            .await?;
        let beside = listed.value.iter().find(|e| !is_external(e));
        found.push(match beside {
            None => Finding::good(format!("no agent registers {}", case.service)),
            Some(e) => Finding::bad(format!(
                "the agent {} registers {} itself; set owner = \"auto\", or take the service out of that agent",
                e.node.node, case.service
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
        let wanted = entries::entries(target, shares);
        let present = present(desk, &target.service).await?;
        for change in entries::changes(&wanted, &present, &target.service) {
            make(desk, change, &wanted, &present).await?;
        }
        Ok(weights(shares))
    }

    async fn undo(&self, desk: &Desk, service: &ServiceName) -> Result<(), OwnerError> {
        let present = present(desk, service).await?;
        for change in entries::changes(&[], &present, service) {
            make(desk, change, &[], &present).await?;
        }
        Ok(())
    }
}

fn is_external(entry: &ServiceEntry) -> bool {
    entry
        .node
        .meta
        .get(META_EXTERNAL)
        .is_some_and(|v| v == "true")
}

/// External entries of ours; each has a node of its own, which is called as it is.
async fn present(desk: &Desk, service: &ServiceName) -> Result<Vec<Present>, HttpError> {
    let consul = &desk.gateway.consul;
    let query = HealthQuery {
        consistent: true,
        ..HealthQuery::default()
    };
    let listed = consul.health_service(service.as_str(), query).await?;
    let ours = listed.value.into_iter().filter(|e| {
        is_external(e) && e.service.id.starts_with(PREFIX) && e.node.node == e.service.id
    });
    Ok(ours
        .map(|e| Present {
            maintenance: e.in_maintenance(),
            address: e.address().to_string(),
            id: e.service.id,
            service: e.service.name,
            port: e.service.port,
            weight: u32::from(e.service.weights.passing),
        })
        .collect())
}

async fn make(
    desk: &Desk,
    change: Change,
    wanted: &[Entry],
    present: &[Present],
) -> Result<(), HttpError> {
    let consul = &desk.gateway.consul;
    match change {
        Change::Register(entry) => {
            let mut whole = registration(desk, &entry);
            // What consul-esm found out about it stays.
            if present.iter().any(|p| p.id == entry.id) {
                whole.checks.clear();
            }
            consul
                .catalog_register(&entry.id, &entry.address, &whole, None)
                .await
                .map(drop)
        }
        Change::Maintenance { id, on } => {
            let address = wanted
                .iter()
                .find(|e| e.id == id)
                .map_or("", |e| &e.address);
            consul.catalog_maintenance(&id, address, &id, on).await
        }
        Change::Deregister { id } => consul.catalog_deregister(&id, None, None).await.map(drop),
    }
}
