//! One newtype for each kind of name, so that a node can never be passed where a site is meant. Names are copied all the time, so
//! copies share their text.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

macro_rules! name {
    ($(#[$doc:meta])* $id:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $id(pub Arc<str>);

        /// By their text; what shares its text is not looked at.
        impl Ord for $id {
            fn cmp(&self, other: &Self) -> Ordering {
                match Arc::ptr_eq(&self.0, &other.0) {
                    true => Ordering::Equal,
                    false => self.0.cmp(&other.0),
                }
            }
        }
        impl PartialOrd for $id {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $id {
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into().into())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
        impl From<&str> for $id {
            fn from(name: &str) -> Self {
                Self(name.into())
            }
        }
    };
}

name!(/// A Nomad job ID.
    JobId);
name!(/// A Nomad task group's name within its job.
    Group);
name!(/// A Nomad node ID (UUID).
    NodeId);
name!(/// A Nomad node's class (`node_class`), a kind of hardware.
    NodeClass);
name!(/// A Nomad allocation ID (UUID); a service instance is named by its allocation.
    AllocId);
name!(/// A site: a Nomad datacenter and a failure domain.
    Site);
name!(/// A Consul service name.
    ServiceName);
name!(/// A portion of a workload: one or more task groups that run and move together.
    PortionId);
name!(/// What is running: a digest of the group's spec; evidence belongs to (portion, release).
    Release);
name!(/// A plan's id.
    PlanId);
name!(/// A step's id, unique over plans, the key of its journal entries.
    StepId);
name!(/// A shadow run.
    ShadowId);
name!(/// A gateway: where a foreshadow runs beside a Consul agent of its own.
    GatewayId);

/// The fencing epoch: the Consul `LockIndex` under which the leader holds its lock.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);
