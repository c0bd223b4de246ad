//! The embedded Consul: agents and servers in this process, whose HTTP API and DNS a client cannot tell from those of Consul 1.8.7.
//! It knows catalog, health, KV, sessions and transactions on KV; it has no ACLs, no Connect, no configuration entries and no `?filter=`.
//! The real program is the judge: `tests/consul_contract.rs` asks both the same.
#![allow(clippy::disallowed_methods)] // TTLs, checks and cuts run on real time here.

mod agent;
mod base64;
mod catalog;
mod check_types;
mod checks;
mod coordinates;
mod datacenter;
mod dns;
mod estate;
mod go;
mod http;
mod kv;
mod local;
mod records;
mod sessions;
mod state;
mod txn;
mod world;

pub use estate::{AgentAddresses, AgentConfig, ConsulError, ConsulEstate, EstateConfig, Handle};
pub use world::Timing;
