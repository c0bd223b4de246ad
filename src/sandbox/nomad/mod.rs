//! The sandbox's Nomad: server state, scheduler and HTTP API, answering as Nomad 1.0.18 does (or, with the weights of services, as 1.9.2: see [`Mood`]); it runs no task itself (see [`Runtime`]) and knows nothing of foreshadow.
#![allow(clippy::disallowed_methods)] // a pretend cluster owns its clock

mod acl;
mod canonical;
mod client;
mod deployments;
mod diff;
mod estate;
mod http;
mod jobs;
pub mod jobspec;
mod json;
mod nodes;
mod registering;
mod registrar;
pub mod runtime;
mod scaling;
mod scheduler;
mod state;
mod validate;

pub use estate::{Handle, NomadError, NomadEstate};
pub use jobspec::{ParseError, parse_job};
pub use registering::{RegisterError, Secrets, register};
pub use registrar::HttpRegistrar;
pub use runtime::{
    CheckKind, CheckReg, NoConsul, Registrar, Runtime, ServiceReg, TaskEvent, TaskStart, TaskUsage,
};
pub use state::node::{HostVolume, NodeConfig};
pub use state::{EstateConfig, Mood};
