//! Where the hands write a step down before they act: the gateway's own store, and Consul's KV for whoever leads next.

use super::leader::Lead;
use crate::clients::consul::{Consul, KvPair, KvQuery, TxnOp, TxnOutcome};
use crate::model::*;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Deletions that go along with one write; Consul takes 64 operations at once.
const ALONG: usize = 32;

/// Keeps journal entries; when `write` returns, the entry is kept.
pub trait Journal: Send + Sync {
    fn write<'a>(&'a self, entry: &'a JournalEntry) -> Later<'a, Result<(), String>>;
}

/// The open steps in Consul's KV (`foreshadow/journal/<epoch>/<step>`), written by whoever holds the leader's lock, alone.
/// A step that ends is deleted: its whole way stays in the store of the gateway that did it.
pub struct SharedJournal {
    consul: Arc<Consul>,
    datacenter: Option<String>,
    leads: watch::Receiver<Option<Lead>>,
    /// Keys of steps that have ended and may still be there, because Consul's answer never came.
    ended: Mutex<BTreeSet<String>>,
}

/// What a leader found of those before it.
#[derive(Debug, Default)]
pub struct Left {
    pub open: Vec<JournalEntry>,
    /// Keys that hold no entry of this version.
    pub unread: Vec<String>,
}

impl SharedJournal {
    pub fn new(
        consul: Arc<Consul>,
        datacenter: Option<String>,
        leads: watch::Receiver<Option<Lead>>,
    ) -> Self {
        SharedJournal {
            consul,
            datacenter,
            leads,
            ended: Mutex::default(),
        }
    }

    /// The steps that were begun under earlier epochs and never ended. Consul's leader answers: nothing written is missed.
    pub async fn left(&self, epoch: Epoch) -> Result<Left, String> {
        // What ended here is known: it need not be found out from the world.
        self.commit(None, Vec::new()).await?;
        let query = KvQuery {
            dc: self.datacenter.as_deref(),
            consistent: true,
            wait: None,
        };
        let found = self.consul.kv_list(keys::JOURNAL, query).await;
        let found = found.map_err(|e| e.to_string())?.value;
        let mut left = Left::default();
        for KvPair { key, value, .. } in found {
            match serde_json::from_slice::<JournalEntry>(&value) {
                Ok(entry) if entry.epoch < epoch => left.open.push(entry),
                Ok(_) => {}
                Err(_) => left.unread.push(key),
            }
        }
        Ok(left)
    }

    /// Ends steps of earlier leaders, once it is known what became of them.
    pub async fn close(&self, settled: &[JournalEntry]) -> Result<(), String> {
        self.end(settled);
        self.commit(None, Vec::new()).await
    }

    async fn note(&self, entry: &JournalEntry) -> Result<(), String> {
        match entry.state {
            JournalState::Intended => {
                let key = keys::journal(entry.epoch, &entry.step.id);
                let value = serde_json::to_vec(&entry.brief()).map_err(|e| e.to_string())?;
                let written = self
                    .commit(Some(entry.epoch), vec![TxnOp::Set { key, value }])
                    .await;
                if written.is_err() {
                    // It may be there all the same.
                    self.end(std::slice::from_ref(entry));
                }
                written
            }
            state if state.is_final() => self.close(std::slice::from_ref(entry)).await,
            // Whoever settles it looks at the world: how far it came is of no use there.
            _ => Ok(()),
        }
    }

    fn end(&self, entries: &[JournalEntry]) {
        let keys = entries.iter().map(|e| keys::journal(e.epoch, &e.step.id));
        self.ended().extend(keys);
    }

    fn ended(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // Whole keys go in and out.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writes, and the deletion of what has ended, if the lock is still ours (and since the same time, where that matters).
    async fn commit(&self, since: Option<Epoch>, mut writes: Vec<TxnOp>) -> Result<(), String> {
        loop {
            let gone: Vec<String> = self.ended().iter().take(ALONG).cloned().collect();
            if writes.is_empty() && gone.is_empty() {
                return Ok(());
            }
            let lead = self.leads.borrow().clone();
            let lead = lead.filter(|l| since.is_none_or(|epoch| l.lease.epoch() == epoch));
            let session = lead.ok_or("the lock is no longer ours")?.session;
            let mut ops = vec![TxnOp::CheckSession {
                key: keys::LEADER.into(),
                session,
            }];
            ops.append(&mut writes);
            ops.extend(gone.iter().map(|key| TxnOp::Delete { key: key.clone() }));
            let done = self.consul.txn(&ops, self.datacenter.as_deref()).await;
            match done.map_err(|e| e.to_string())? {
                TxnOutcome::Done(_) => self.ended().retain(|key| !gone.contains(key)),
                TxnOutcome::Refused(why) => {
                    let why: Vec<String> = why.into_iter().map(|r| r.what).collect();
                    return Err(format!("Consul refused the write: {}", why.join("; ")));
                }
            }
            if gone.len() < ALONG {
                return Ok(());
            }
        }
    }
}

impl Journal for SharedJournal {
    fn write<'a>(&'a self, entry: &'a JournalEntry) -> Later<'a, Result<(), String>> {
        Box::pin(self.note(entry))
    }
}
