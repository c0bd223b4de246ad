//! `/v1/txn` on the store: KV operations that all happen or none.

use std::time::Instant;

use serde_json::{Value, json};

use super::kv::KvOp;
use super::records::DirEntry;
use super::state::{StateError, Store};

/// One KV operation of a transaction; `entry.modify_index` is the index to compare with.
#[derive(Clone, Debug)]
pub struct TxnOp {
    pub verb: String,
    pub entry: DirEntry,
}

impl TxnOp {
    pub(super) fn write(&self) -> Option<KvOp> {
        Some(match self.verb.as_str() {
            "set" => KvOp::Set,
            "cas" => KvOp::Cas,
            "lock" => KvOp::Lock,
            "unlock" => KvOp::Unlock,
            "delete" => KvOp::Delete,
            "delete-cas" => KvOp::DeleteCas,
            "delete-tree" => KvOp::DeleteTree,
            _ => return None,
        })
    }

    /// True for an operation that goes through Raft.
    pub fn is_write(&self) -> bool {
        self.write().is_some()
    }
}

/// Results of a transaction in Consul's JSON, or the errors that undid it, as `OpIndex` and `What`.
pub type TxnOutcome = Result<Vec<Value>, Vec<Value>>;

impl Store {
    /// Runs the operations in order; any error rolls everything back.
    pub fn transaction(&mut self, ops: &[TxnOp], now: Instant) -> TxnOutcome {
        let refused: Vec<Value> = ops
            .iter()
            .enumerate()
            .filter_map(|(at, op)| self.refusal(op, now).map(|what| failure(at, &what)))
            .collect();
        if !refused.is_empty() {
            return Err(refused);
        }
        let before = ops.iter().any(TxnOp::is_write).then(|| {
            let index = self.next_index();
            (index, self.clone())
        });
        let index = self.last_index();
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for (at, op) in ops.iter().enumerate() {
            match self.run(index, op) {
                Ok(found) => results.extend(found),
                Err(StateError(what)) => errors.push(failure(at, &what)),
            }
        }
        if errors.is_empty() {
            return Ok(results);
        }
        if let Some((_, before)) = before {
            *self = before;
        }
        Err(errors)
    }

    fn refusal(&self, op: &TxnOp, now: Instant) -> Option<String> {
        let key = &op.entry.key;
        // Reads are checked for a key like a plain set is.
        match self.may_apply_kv(op.write().unwrap_or(KvOp::Set), key, now) {
            Ok(true) => None,
            Ok(false) => Some(format!("failed to lock key {key:?} due to lock delay")),
            Err(StateError(what)) => Some(what),
        }
    }

    fn run(&mut self, index: u64, op: &TxnOp) -> Result<Vec<Value>, StateError> {
        if let Some(write) = op.write() {
            return self.run_write(index, write, op);
        }
        let (key, wanted) = (&op.entry.key, &op.entry);
        let found = self.kv_get(key).1;
        match op.verb.as_str() {
            "get" => match found {
                Some(entry) => Ok(vec![json!({"KV": entry.to_json(false)})]),
                None => Err(format!("key {key:?} doesn't exist").into()),
            },
            "get-tree" => Ok(self
                .kv_list(key)
                .1
                .into_iter()
                .map(|entry| json!({"KV": entry.to_json(false)}))
                .collect()),
            "check-session" => {
                let entry = found
                    .ok_or_else(|| format!("failed to check session, key {key:?} doesn't exist"))?;
                if entry.session != wanted.session {
                    let (is, want) = (&entry.session, &wanted.session);
                    return Err(format!(
                        "failed session check for key {key:?}, current session {is:?} != {want:?}"
                    )
                    .into());
                }
                Ok(vec![json!({"KV": entry.to_json(true)})])
            }
            "check-index" => {
                let entry = found
                    .ok_or_else(|| format!("failed to check index, key {key:?} doesn't exist"))?;
                if entry.modify_index != wanted.modify_index {
                    let (is, want) = (entry.modify_index, wanted.modify_index);
                    return Err(format!(
                        "failed index check for key {key:?}, current modify index {is} != {want}"
                    )
                    .into());
                }
                Ok(vec![json!({"KV": entry.to_json(true)})])
            }
            "check-not-exists" => match found {
                Some(_) => Err(format!("key {key:?} exists").into()),
                None => Ok(Vec::new()),
            },
            other => Err(format!("unknown KV verb {other:?}").into()),
        }
    }

    fn run_write(&mut self, index: u64, write: KvOp, op: &TxnOp) -> Result<Vec<Value>, StateError> {
        let key = &op.entry.key;
        let Some(entry) = self.write_kv(index, write, op.entry.clone())? else {
            return Err(match write {
                KvOp::Cas => format!("failed to set key {key:?}, index is stale"),
                KvOp::DeleteCas => format!("failed to delete key {key:?}, index is stale"),
                KvOp::Lock => format!("failed to lock key {key:?}, lock is already held"),
                _ => format!(
                    "failed to unlock key {key:?}, lock isn't held, or is held by another session"
                ),
            }
            .into());
        };
        match write {
            KvOp::Delete | KvOp::DeleteCas | KvOp::DeleteTree => Ok(Vec::new()),
            _ => Ok(vec![json!({"KV": entry.to_json(true)})]),
        }
    }
}

fn failure(at: usize, what: &str) -> Value {
    json!({"OpIndex": at, "What": what})
}
