//! Access control: tokens, policies, and what a request may do. Roles, auth methods and legacy tokens are not here.

mod rules;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

pub use rules::{Access, Resource, Rules};
pub use tables::{ANONYMOUS, AclTables, GLOBAL_MANAGEMENT, Policy, PolicyLink, Token};

use super::datacenter::rfc3339;
use super::records::{CheckServiceNode, HealthCheck};
use super::world::AgentRef;

pub const DENIED: &str = "Permission denied";
pub const NOT_FOUND: &str = "ACL not found";

/// Access control of an estate that has it; the default is to deny.
#[derive(Clone, Debug)]
pub struct AclConfig {
    /// Secret of the token that may do everything; a UUID.
    pub master: String,
}

impl AclConfig {
    /// The master token of an estate's seed.
    pub fn seeded(seed: u64) -> AclConfig {
        let id = uuid::Builder::from_random_bytes(StdRng::seed_from_u64(seed).random());
        AclConfig {
            master: id.into_uuid().to_string(),
        }
    }
}

/// What a request may do.
#[derive(Clone, Debug)]
pub enum Rights {
    /// There is no access control.
    Off,
    /// Global management.
    All,
    Ruled(Arc<Rules>),
}

impl Rights {
    /// The rights of a token's secret in this agent's estate.
    ///
    /// # Errors
    /// Consul's sentence for a secret that is not known.
    pub(super) fn of(agent: &AgentRef, secret: &str) -> Result<Rights, &'static str> {
        if agent.world.acl.is_none() {
            return Ok(Rights::Off);
        }
        let Some(primary) = agent.world.primary() else {
            return Ok(Rights::Off);
        };
        let now = rfc3339(Duration::ZERO).1;
        primary
            .read(|store| store.acl.rights(secret, now))
            .ok_or(NOT_FOUND)
    }

    pub fn is_off(&self) -> bool {
        matches!(self, Rights::Off)
    }

    pub fn may(&self, resource: Resource, name: &str, wanted: Access) -> bool {
        match self {
            Rights::Off | Rights::All => true,
            Rights::Ruled(rules) => rules.may(resource, name, wanted),
        }
    }

    pub fn may_whole(&self, name: &str, wanted: Access) -> bool {
        match self {
            Rights::Off | Rights::All => true,
            Rights::Ruled(rules) => rules.may_whole(name, wanted),
        }
    }

    pub fn may_write_keys_under(&self, prefix: &str) -> bool {
        match self {
            Rights::Off | Rights::All => true,
            Rights::Ruled(rules) => rules.may_write_keys_under(prefix),
        }
    }

    pub fn sees_node(&self, node: &str) -> bool {
        self.may(Resource::Node, node, Access::Read)
    }

    /// Checks of a node have no service, which needs no rule.
    pub fn sees_service(&self, name: &str) -> bool {
        name.is_empty() || self.may(Resource::Service, name, Access::Read)
    }

    pub fn sees_check(&self, check: &HealthCheck) -> bool {
        self.sees_node(&check.node) && self.sees_service(&check.service_name)
    }

    pub fn sees_instance(&self, entry: &CheckServiceNode) -> bool {
        self.sees_node(&entry.node.node) && self.sees_service(&entry.service.service)
    }
}
