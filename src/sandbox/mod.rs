//! A pretend estate served as Nomad, Consul and DNS on loopback, with real processes, links and faults; it knows nothing of the scheduler.
#![allow(clippy::disallowed_methods)] // the sandbox is the outside world: it owns a clock and may sleep

pub mod block;
pub mod consul;
mod either_consul;
pub mod estate;
pub mod fault;
mod layout;
pub mod links;
pub mod nomad;
pub mod real_consul;
pub mod runtime;
pub mod scenario;
pub mod simulated;
pub mod world;
