//! The sandbox's Nomad: server state, scheduler and HTTP API, answering as Nomad 1.0.18 does; it runs no task itself (see [`Runtime`]) and knows nothing of foreshadow.
#![allow(clippy::disallowed_methods)] // a pretend cluster owns its clock

mod canonical;
mod json;
pub mod jobspec;
pub mod runtime;
mod validate;

pub use jobspec::{ParseError, parse_job};
pub use runtime::{
    CheckKind, CheckReg, NoConsul, Registrar, Runtime, ServiceReg, TaskEvent, TaskStart, TaskUsage,
};
