//! Transactions: several key operations that happen together or not at all.

use super::reply::KvPair;
use crate::clients::null_default;
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

/// Consul's own limit.
pub(super) const MOST_OPS: usize = 64;

/// One operation of a transaction. Each is a condition, too: when one cannot be done, none is.
#[derive(Clone, Debug, PartialEq)]
pub enum TxnOp {
    Get {
        key: String,
    },
    Set {
        key: String,
        value: Vec<u8>,
    },
    /// Only if its ModifyIndex still is `index` (0: if there is none).
    Cas {
        key: String,
        value: Vec<u8>,
        index: u64,
    },
    Delete {
        key: String,
    },
    DeleteCas {
        key: String,
        index: u64,
    },
    /// Only if `session` holds the lock on `key`: the fence of a leader.
    CheckSession {
        key: String,
        session: String,
    },
    CheckIndex {
        key: String,
        index: u64,
    },
    CheckNotExists {
        key: String,
    },
    /// Takes the lock, and fails when another holds it.
    Lock {
        key: String,
        value: Vec<u8>,
        session: String,
    },
    Unlock {
        key: String,
        value: Vec<u8>,
        session: String,
    },
}

impl TxnOp {
    pub(super) fn json(&self) -> Value {
        let kv = match self {
            TxnOp::Get { key } => json!({"Verb": "get", "Key": key}),
            TxnOp::Set { key, value } => {
                json!({"Verb": "set", "Key": key, "Value": text(value)})
            }
            TxnOp::Cas { key, value, index } => {
                json!({"Verb": "cas", "Key": key, "Value": text(value), "Index": index})
            }
            TxnOp::Delete { key } => json!({"Verb": "delete", "Key": key}),
            TxnOp::DeleteCas { key, index } => {
                json!({"Verb": "delete-cas", "Key": key, "Index": index})
            }
            TxnOp::CheckSession { key, session } => {
                json!({"Verb": "check-session", "Key": key, "Session": session})
            }
            TxnOp::CheckIndex { key, index } => {
                json!({"Verb": "check-index", "Key": key, "Index": index})
            }
            TxnOp::CheckNotExists { key } => json!({"Verb": "check-not-exists", "Key": key}),
            TxnOp::Lock {
                key,
                value,
                session,
            } => {
                json!({"Verb": "lock", "Key": key, "Value": text(value), "Session": session})
            }
            TxnOp::Unlock {
                key,
                value,
                session,
            } => {
                json!({"Verb": "unlock", "Key": key, "Value": text(value), "Session": session})
            }
        };
        json!({ "KV": kv })
    }
}

fn text(value: &[u8]) -> String {
    STANDARD.encode(value)
}

#[derive(Clone, Debug, PartialEq)]
pub enum TxnOutcome {
    /// All were done; a pair for each operation that has one (not for deletions), values only for reads.
    Done(Vec<KvPair>),
    /// Nothing was done.
    Refused(Vec<TxnRefusal>),
}

impl TxnOutcome {
    pub fn is_done(&self) -> bool {
        matches!(self, TxnOutcome::Done(_))
    }
}

/// Why an operation could not be done.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TxnRefusal {
    /// Which operation, counted from 0.
    pub op_index: usize,
    pub what: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Reply {
    #[serde(default, deserialize_with = "null_default")]
    results: Vec<Result>,
    #[serde(default, deserialize_with = "null_default")]
    errors: Vec<TxnRefusal>,
}

#[derive(Deserialize)]
struct Result {
    #[serde(rename = "KV")]
    kv: Option<KvPair>,
}

impl Reply {
    pub(super) fn outcome(self) -> TxnOutcome {
        if self.errors.is_empty() {
            TxnOutcome::Done(self.results.into_iter().filter_map(|r| r.kv).collect())
        } else {
            TxnOutcome::Refused(self.errors)
        }
    }
}
