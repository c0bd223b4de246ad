//! By what means the weights of a service are written: one owner a file, all behind one small trait. Each writes through the
//! gateway's own local agent (and `nomad` through Nomad); every one of them can be run twice.

mod agent;
mod external;
mod front;
mod mesh;
mod nomad;
mod nomads_entries;

pub(super) use nomads_entries::{Own, of_all};

use super::{entries, verify};
use crate::clients::consul::{HealthQuery, ServiceEntry};
use crate::clients::gateway::Gateway;
use crate::clients::http::HttpError;
use crate::clients::nomad::Nomad;
use crate::model::*;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where a gateway writes: its own agent, and Nomad for what only Nomad can do.
#[derive(Clone)]
pub struct Desk {
    pub gateway: Gateway,
    pub nomad: Option<Arc<Nomad>>,
    pub kv_datacenter: Option<String>,
    pub meta_alloc: &'static str,
}

/// The service whose owner is looked at, and its job as Nomad has it.
pub struct Case<'a> {
    pub service: &'a ServiceName,
    pub portion: &'a PortionPolicy,
    pub job: Option<&'a JobSpec>,
}

/// One thing that was looked at: fit, or what is wrong and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub good: bool,
    pub text: String,
}

impl Finding {
    fn good(text: impl Into<String>) -> Finding {
        Finding {
            good: true,
            text: text.into(),
        }
    }
    fn bad(text: impl Into<String>) -> Finding {
        Finding {
            good: false,
            text: text.into(),
        }
    }
}

/// Why weights were not written.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the weights of {service} are not written by owner \"{owner}\": {why}")]
    Refused {
        service: ServiceName,
        owner: Owner,
        why: String,
    },
}

type Shares = BTreeMap<AllocId, Share>;

#[async_trait]
pub(super) trait Weigh: Send + Sync {
    /// Whether this owner fits the service, Nomad and Consul as they are; changes nothing.
    async fn preflight(&self, desk: &Desk, case: &Case<'_>) -> Result<Vec<Finding>, HttpError>;

    /// Makes what this gateway writes as the shares say: what gains first, what loses last, and nothing that is so already.
    /// Gives the weights that it stands for.
    async fn write(
        &self,
        desk: &Desk,
        target: &Target,
        shares: &Shares,
    ) -> Result<BTreeMap<AllocId, u32>, OwnerError>;

    /// Waits until it is so where clients look; the caller says for how long.
    async fn verify(&self, desk: &Desk, target: &Target) {
        verify::shown(&desk.gateway, target).await;
    }

    /// Leaves the service as if this owner had never written.
    async fn undo(&self, desk: &Desk, service: &ServiceName) -> Result<(), OwnerError>;
}

pub(super) fn of(owner: Owner) -> &'static dyn Weigh {
    match owner {
        Owner::Front => &front::Front,
        Owner::Agent => &agent::Agent,
        Owner::Nomad => &nomad::NomadJob,
        Owner::Mesh => &mesh::Mesh,
        Owner::External => &external::External,
    }
}

/// New entries of Nomad's get no traffic before a target knows them, and with `agent` those of restarted tasks have their
/// weight again. `own` is what the agent has of the service.
pub(super) async fn keep_up(
    desk: &Desk,
    target: &Target,
    shares: &Shares,
    own: Vec<Own>,
) -> Result<(), OwnerError> {
    match target.owner {
        Owner::Agent => agent::keep_up(desk, target, shares, own).await,
        Owner::Nomad => {
            serves_somewhere(Owner::Nomad, target, shares)?;
            Ok(nomads_entries::take_out(desk, &own, shares).await?)
        }
        Owner::Front | Owner::Mesh | Owner::External => Ok(()),
    }
}

/// What stands in the way of an owner at one gateway, and what is fit; changes nothing.
pub async fn preflight(
    owner: Owner,
    desk: &Desk,
    case: &Case<'_>,
) -> Result<Vec<Finding>, HttpError> {
    of(owner).preflight(desk, case).await
}

/// Refuses while an instance with a share is not given to clients by an entry of the target's own owner: what another owner
/// wrote stays until then.
pub(super) async fn serves(
    desk: &Desk,
    target: &Target,
    shares: &Shares,
) -> Result<(), OwnerError> {
    let query = HealthQuery {
        passing: true,
        ..HealthQuery::default()
    };
    let (service, owner) = (&target.service, target.owner);
    let found = desk
        .gateway
        .consul
        .health_service(service.as_str(), query)
        .await?
        .value;
    let is_of = |e: &ServiceEntry, i: &Instance| match owner {
        Owner::Agent | Owner::Nomad | Owner::Mesh => {
            e.service.id.starts_with(&nomad_entry(i.alloc.as_str()))
        }
        Owner::Front | Owner::External => {
            let external = e.agent_alive().is_none();
            e.service.id == entries::entry_id(service, &i.alloc, i.port)
                && external == (owner == Owner::External)
        }
    };
    let missing = target.instances.iter().find(|i| {
        shares.get(&i.alloc).is_some_and(|s| *s > Share::NONE) && !found.iter().any(|e| is_of(e, i))
    });
    match missing {
        None => Ok(()),
        Some(i) => {
            let why = format!(
                "its entry of {} does not pass yet; those of the owner before stay",
                i.alloc
            );
            Err(refused(owner, service, why))
        }
    }
}

/// Some instance must be left to serve: clients are never left with none by a write.
fn serves_somewhere(owner: Owner, target: &Target, shares: &Shares) -> Result<(), OwnerError> {
    if shares.values().any(|s| *s > Share::NONE) {
        return Ok(());
    }
    Err(refused(owner, &target.service, "no instance would be left"))
}

fn refused(owner: Owner, service: &ServiceName, why: impl Into<String>) -> OwnerError {
    OwnerError::Refused {
        service: service.clone(),
        owner,
        why: why.into(),
    }
}
