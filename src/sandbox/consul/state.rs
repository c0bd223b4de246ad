//! The state of one datacenter: tables with Raft-like, ever growing indices. Pure but for the instants it is given.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use serde_json::Value;

use super::acl::AclTables;
use super::prepared::PreparedQuery;
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
    pub config: u64,
    pub queries: u64,
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
    /// By kind and name.
    pub(super) config: BTreeMap<(String, String), Value>,
    /// By ID.
    pub(super) queries: BTreeMap<String, PreparedQuery>,
    pub(super) acl: AclTables,
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

    /// Sets one node's coordinate; a node that is not there is ignored, as Consul does.
    pub fn set_coordinate(&mut self, node: &str, coordinate: Value) {
        if !self.nodes.contains_key(&key(node)) {
            return;
        }
        let mut all = std::mem::take(&mut self.coordinates);
        all.retain(|(known, _)| known != node);
        all.push((node.into(), coordinate));
        self.set_coordinates(all);
    }

    /// Coordinates by node, with their index.
    pub fn coordinates(&self) -> (u64, &[(String, Value)]) {
        (self.tables.coordinates, &self.coordinates)
    }
}

/// Consul keeps some tables by UUID and says so when it is asked for anything else.
pub(super) fn check_uuid(id: &str) -> Result<(), String> {
    if id.len() != 36 {
        return Err("index error: UUID must be 36 characters".into());
    }
    match uuid::Uuid::try_parse(id) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("index error: Invalid UUID: {id}")),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::catalog::Registration;
    use super::super::kv::KvOp;
    use super::super::records::{CRITICAL, DirEntry, Node, NodeService, PASSING, Session};
    use super::super::txn::TxnOp;
    use super::*;

    const KEYS: [&str; 4] = ["a", "a/b", "a/c", "d"];
    const SERVICES: [&str; 3] = ["web", "cart", "ledger"];

    fn entry(key: &str) -> DirEntry {
        DirEntry {
            key: key.into(),
            ..DirEntry::default()
        }
    }

    fn registration(service: &str, port: u8, status: &str) -> Registration {
        let node = Node {
            node: "n".into(),
            address: "10.0.0.1".into(),
            ..Node::default()
        };
        let service = NodeService {
            id: service.into(),
            service: service.into(),
            port: port.into(),
            ..NodeService::default()
        };
        let check = HealthCheck {
            node: "n".into(),
            check_id: format!("check:{}", service.id),
            service_id: service.id.clone(),
            status: status.into(),
            ..HealthCheck::default()
        };
        Registration {
            node,
            service: Some(service),
            checks: vec![check],
            skip_node_update: false,
        }
    }

    fn step(store: &mut Store, what: u8, which: usize, value: u8, now: Instant) {
        let key = KEYS[which % KEYS.len()];
        let service = SERVICES[which % SERVICES.len()];
        let status = if value.is_multiple_of(2) {
            PASSING
        } else {
            CRITICAL
        };
        match what {
            0 => drop(store.apply_kv(
                KvOp::Set,
                DirEntry {
                    value: vec![value],
                    ..entry(key)
                },
                now,
            )),
            1 => drop(store.apply_kv(KvOp::Delete, entry(key), now)),
            2 => drop(store.apply_kv(KvOp::DeleteTree, entry("a/"), now)),
            3 => drop(store.apply_kv(KvOp::DeleteTree, entry(""), now)),
            4 => drop(store.register(registration(service, value, status), now)),
            5 => store.deregister("n", service, "", now),
            6 => store.deregister("n", "", &format!("check:{service}"), now),
            _ => store.deregister("n", "", "", now),
        }
    }

    fn indices(store: &Store) -> Vec<u64> {
        let of_keys = KEYS.iter().map(|key| store.kv_get(key).0);
        let of_trees = ["", "a", "a/", "d"]
            .iter()
            .map(|prefix| store.kv_list(prefix).0);
        let of_services = SERVICES
            .iter()
            .map(|name| store.check_service_nodes(name, &[]).0);
        let of_catalog = SERVICES
            .iter()
            .map(|name| store.catalog_service_nodes(name, &[]).0);
        let of_tables = [
            store.nodes().0,
            store.services(|_| true).0,
            store.checks_in_state("any").0,
            store.sessions().0,
        ];
        of_keys
            .chain(of_trees)
            .chain(of_services)
            .chain(of_catalog)
            .chain(of_tables)
            .collect()
    }

    proptest! {
        #[test]
        fn no_index_of_any_query_ever_goes_backwards(steps in prop::collection::vec((0_u8..8, 0_usize..4, 0_u8..4), 1..60)) {
            let (mut store, now) = (Store::new(), Instant::now());
            let mut before = indices(&store);
            for (what, which, value) in steps {
                step(&mut store, what, which, value, now);
                let after = indices(&store);
                for (at, (old, new)) in before.iter().zip(&after).enumerate() {
                    prop_assert!(new >= old, "index {at} went from {old} to {new} at step {what} {which} {value}");
                }
                before = after;
            }
        }

        #[test]
        fn a_transaction_that_fails_leaves_nothing_behind(steps in prop::collection::vec((0_u8..8, 0_usize..4, 0_u8..4), 0..20)) {
            let (mut store, now) = (Store::new(), Instant::now());
            for (what, which, value) in steps {
                step(&mut store, what, which, value, now);
            }
            let before = store.kv.clone();
            let op = |verb: &str, key: &str| TxnOp { verb: verb.into(), entry: entry(key) };
            let ops = [op("set", "a"), op("delete-tree", "a/"), op("set", "new"), op("get", "missing")];
            prop_assert!(store.transaction(&ops, now).is_err());
            prop_assert_eq!(&store.kv, &before);
        }
    }

    fn session(store: &mut Store, number: u128) -> String {
        let id = uuid::Uuid::from_u128(number).to_string();
        let (node, behavior) = ("n".into(), "release".into());
        store
            .create_session(Session {
                id: id.clone(),
                node,
                behavior,
                ..Session::default()
            })
            .unwrap();
        id
    }

    fn lock(session: &str) -> DirEntry {
        DirEntry {
            session: session.into(),
            ..entry("lock")
        }
    }

    #[test]
    fn a_fence_lets_only_the_holder_of_the_lock_write() {
        let (mut store, now) = (Store::new(), Instant::now());
        store
            .register(registration("web", 1, PASSING), now)
            .unwrap();
        let (one, two) = (session(&mut store, 1), session(&mut store, 2));
        assert_eq!(store.apply_kv(KvOp::Lock, lock(&one), now), Ok(true));
        assert_eq!(store.apply_kv(KvOp::Lock, lock(&two), now), Ok(false));
        let fenced = |session: &str| {
            let value = session.as_bytes().to_vec();
            let check = TxnOp {
                verb: "check-session".into(),
                entry: lock(session),
            };
            [
                check,
                TxnOp {
                    verb: "set".into(),
                    entry: DirEntry {
                        value,
                        ..entry("target")
                    },
                },
            ]
        };
        assert!(store.transaction(&fenced(&two), now).is_err());
        assert!(store.transaction(&fenced(&one), now).is_ok());
        let written = store.kv_get("target").1.map(|entry| entry.value.clone());
        assert_eq!(written, Some(one.into_bytes()));
    }

    #[test]
    fn a_node_that_goes_takes_its_sessions_and_their_locks_along() {
        let (mut store, now) = (Store::new(), Instant::now());
        store
            .register(registration("web", 1, PASSING), now)
            .unwrap();
        let id = session(&mut store, 1);
        store.apply_kv(KvOp::Lock, lock(&id), now).unwrap();
        store.deregister("n", "", "", now);
        assert!(store.sessions().1.is_empty());
        let left = store
            .kv_get("lock")
            .1
            .map(|entry| (entry.session.as_str(), entry.lock_index));
        assert_eq!(left, Some(("", 1)));
    }
}
