//! The embedded Consul: agents and servers in this process, whose HTTP API and DNS a client cannot tell from those of Consul 1.8.7.
//! It knows catalog, health, filters, KV, sessions, transactions, configuration entries, prepared queries and ACLs by tokens and policies;
//! it has no Connect certificates and intentions, no roles and auth methods, no events and no snapshots.
//! The real program is the judge: `tests/consul_contract` asks both the same.
#![allow(clippy::disallowed_methods)] // TTLs, checks and cuts run on real time here.

mod acl;
mod agent;
mod base64;
mod catalog;
mod check_types;
mod checks;
mod config;
mod coordinates;
mod datacenter;
mod dns;
mod estate;
mod filter;
mod go;
mod granting;
mod http;
mod kv;
mod local;
mod near;
mod prepared;
mod records;
mod sessions;
mod state;
mod txn;
mod world;

use acl::ANONYMOUS;

pub use acl::AclConfig;
pub use estate::{AgentAddresses, AgentConfig, ConsulError, ConsulEstate, EstateConfig, Handle};
pub use granting::{GrantError, Secrets, grant};
pub use world::Timing;
