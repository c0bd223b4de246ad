//! Consul's HTTP API, 1.8 to 1.2x, through one agent.
//!
//! Calls that consulrs knows are made of its request types (`carried.rs`); calls that it lacks go over the same
//! transport (`beyond.rs`, `config.rs`). The README beside says which and why. Replies are our own types, because consulrs'
//! do not parse all that real agents send.

mod beyond;
mod carried;
mod config;
mod reply;
mod service;
mod txn;

pub use beyond::{HealthQuery, KvQuery};
pub use carried::SessionSpec;
pub use config::{ConfigEntry, DiscoveryChain};
pub use reply::{
    Agent, AgentEntry, AgentService, CatalogNode, Check, Coordinate, DatacenterCoordinates, KvPair,
    Member, NodeCoordinate, Reachability, Service, ServiceEntry, Session, TaggedAddress, Weights,
};
pub use service::{CheckDefinition, Probe, Registration, Status};
pub use txn::{TxnOp, TxnOutcome, TxnRefusal};

use super::http::{Ask, HttpError, Peer, Transport};

/// A Consul agent's API. `dc` arguments name another federated datacenter; `None` is the default one of the client.
#[derive(Debug)]
pub struct Consul {
    http: Transport,
    /// The base of consulrs' paths.
    v1: String,
    dc: Option<String>,
}

impl Consul {
    /// Prepares the connection; nothing is sent yet.
    pub fn new(peer: &Peer) -> Result<Self, HttpError> {
        let http = Transport::new(peer)?;
        let mut base = http.base().clone();
        if let Ok(mut segments) = base.path_segments_mut() {
            segments.pop_if_empty().push("v1");
        }
        Ok(Consul {
            http,
            v1: base.to_string(),
            dc: None,
        })
    }

    /// Asks this datacenter when a call names none; without it, the agent's own.
    pub fn in_datacenter(mut self, dc: Option<String>) -> Self {
        self.dc = dc;
        self
    }

    fn with_dc(&self, ask: Ask, dc: Option<&str>) -> Ask {
        ask.query_if("dc", dc.or(self.dc.as_deref()))
    }
}
