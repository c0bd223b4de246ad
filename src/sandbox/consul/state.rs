//! The state of one datacenter: tables with Raft-like, ever growing indices. Pure but for the instants it is given.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde_json::Value;

use super::records::{DirEntry, HealthCheck, Node, NodeService, Session};

/// The highest index at which each table was changed.
#[derive(Clone, Debug, Default)]
pub(super) struct TableIndices {
    pub nodes: u64,
    pub services: u64,
    pub checks: u64,
    pub kvs: u64,
    pub tombstones: u64,
    pub sessions: u64,
    pub coordinates: u64,
}

/// Tables of a datacenter. Names are looked up without regard to case, KV keys exactly.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// Index of the last applied write.
    index: u64,
    pub(super) tables: TableIndices,
    pub(super) nodes: BTreeMap<String, Node>,
    /// By (node, service ID), in small letters.
    pub(super) services: BTreeMap<(String, String), NodeService>,
    /// By (node, check ID), in small letters.
    pub(super) checks: BTreeMap<(String, String), HealthCheck>,
    /// The highest index of each service name.
    pub(super) service_indices: HashMap<String, u64>,
    /// When a service name last vanished.
    pub(super) extinction: u64,
    pub(super) kv: BTreeMap<String, DirEntry>,
    pub(super) tombstones: BTreeMap<String, u64>,
    pub(super) sessions: BTreeMap<String, Session>,
    pub(super) lock_delays: HashMap<String, Instant>,
    pub(super) coordinates: Vec<(String, Value)>,
}

/// What a write could not do, in Consul's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StateError(pub String);

impl From<String> for StateError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for StateError {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Store {
    /// An empty store. Real servers have written some entries of their own by the time anyone asks, so the index starts at 10.
    pub fn new() -> Self {
        Self {
            index: 10,
            ..Self::default()
        }
    }

    /// Index of the last applied write.
    pub fn last_index(&self) -> u64 {
        self.index
    }

    /// Takes the next Raft index; every applied write takes one, even one that changes nothing.
    pub(super) fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    /// Sets the nodes' network coordinates, sorted by node.
    pub fn set_coordinates(&mut self, mut coordinates: Vec<(String, Value)>) {
        let index = self.next_index();
        coordinates.sort_by(|a, b| a.0.cmp(&b.0));
        self.coordinates = coordinates;
        self.tables.coordinates = index;
    }

    /// Coordinates by node, with their index.
    pub fn coordinates(&self) -> (u64, &[(String, Value)]) {
        (self.tables.coordinates, &self.coordinates)
    }
}

/// The key of a name in a table.
pub(super) fn key(name: &str) -> String {
    name.to_lowercase()
}

/// The key of a (node, ID) pair in a table.
pub(super) fn key_of(node: &str, id: &str) -> (String, String) {
    (key(node), key(id))
}
