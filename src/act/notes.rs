//! What a leader leaves in Consul's KV for those who follow it and for whoever leads next. Nothing is done by it: it is told.

use super::leader::Lead;
use crate::clients::consul::{Consul, TxnOp, TxnOutcome};
use crate::model::{Epoch, keys};
use std::sync::Arc;
use tokio::sync::watch;

/// A note's largest size in bytes: in Base64 it fits into one transaction, of which Consul takes 512 KiB.
pub const LARGEST: usize = 320 * 1024;

/// Notes of the leader, written by whoever holds its lock, alone.
#[derive(Clone)]
pub struct Notes {
    pub consul: Arc<Consul>,
    pub datacenter: Option<String>,
    pub leads: watch::Receiver<Option<Lead>>,
}

/// A note as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub bytes: Vec<u8>,
    /// Consul's ModifyIndex: it grows with each write.
    pub index: u64,
}

impl Notes {
    /// The epoch under which we lead, if we do.
    pub fn epoch(&self) -> Option<Epoch> {
        self.leads.borrow().as_ref().map(|l| l.lease.epoch())
    }

    /// Writes a note, if the lock is ours under that epoch.
    ///
    /// # Errors
    /// Why it was not written, or may not have been.
    pub async fn post(&self, epoch: Epoch, key: &str, value: Vec<u8>) -> Result<(), String> {
        if value.len() > LARGEST {
            let size = value.len() / 1024;
            let most = LARGEST / 1024;
            return Err(format!("{key} has {size} KiB packed, more than {most}"));
        }
        let lead = self.leads.borrow().clone();
        let lead = lead.filter(|l| l.lease.epoch() == epoch);
        let session = lead.ok_or("the lock is no longer ours")?.session;
        let ops = [
            TxnOp::CheckSession {
                key: keys::LEADER.into(),
                session,
            },
            TxnOp::Set {
                key: key.into(),
                value,
            },
        ];
        let done = self.consul.txn(&ops, self.datacenter.as_deref()).await;
        match done.map_err(|e| e.to_string())? {
            TxnOutcome::Done(_) => Ok(()),
            TxnOutcome::Refused(why) => {
                let why: Vec<String> = why.into_iter().map(|r| r.what).collect();
                Err(format!("Consul refused {key}: {}", why.join("; ")))
            }
        }
    }

    /// A note as it is now; `None` when nobody wrote it.
    ///
    /// # Errors
    /// Why it could not be read.
    pub async fn read(&self, key: &str) -> Result<Option<Note>, String> {
        let dc = self.datacenter.as_deref();
        let found = self.consul.kv_get(key, dc, false, None).await;
        let pair = found.map_err(|e| e.to_string())?.value;
        Ok(pair.map(|pair| Note {
            bytes: pair.value,
            index: pair.modify_index,
        }))
    }
}
