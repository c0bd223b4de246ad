//! The KV table: sets, compare-and-set, locks, and the tombstones that keep indices growing past deletions.

use std::collections::BTreeMap;
use std::time::Instant;

use super::records::DirEntry;
use super::state::{StateError, Store};

/// What a KV write does; the names are those of `/v1/txn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvOp {
    Set,
    Cas,
    Lock,
    Unlock,
    Delete,
    DeleteCas,
    DeleteTree,
}

impl Store {
    /// Applies one KV write; false when the comparison failed or the lock is held or delayed.
    ///
    /// # Errors
    /// Consul's sentence: no key, no session or an unknown one.
    pub fn apply_kv(
        &mut self,
        op: KvOp,
        entry: DirEntry,
        now: Instant,
    ) -> Result<bool, StateError> {
        if !self.may_apply_kv(op, &entry.key, now)? {
            return Ok(false);
        }
        let index = self.next_index();
        Ok(self.write_kv(index, op, entry)?.is_some())
    }

    /// What Consul checks before a KV write is given to Raft; false while the key's lock-delay runs.
    pub(super) fn may_apply_kv(
        &self,
        op: KvOp,
        key: &str,
        now: Instant,
    ) -> Result<bool, StateError> {
        if key.is_empty() && op != KvOp::DeleteTree {
            return Err("Must provide key".into());
        }
        Ok(op != KvOp::Lock || self.lock_delays.get(key).is_none_or(|until| *until <= now))
    }

    /// The write itself; `Some` with the entry as it now is (or was, when deleted), `None` when it was not done.
    pub(super) fn write_kv(
        &mut self,
        index: u64,
        op: KvOp,
        entry: DirEntry,
    ) -> Result<Option<DirEntry>, StateError> {
        match op {
            KvOp::Set => Ok(Some(self.set(index, entry, false))),
            KvOp::Cas => {
                let known = self
                    .kv
                    .get(&entry.key)
                    .map_or(0, |known| known.modify_index);
                Ok((known == entry.modify_index).then(|| self.set(index, entry, false)))
            }
            KvOp::Lock => self.lock(index, entry),
            KvOp::Unlock => self.unlock(index, entry),
            KvOp::Delete => {
                self.delete(index, &entry.key);
                Ok(Some(entry))
            }
            KvOp::DeleteCas => {
                let Some(known) = self.kv.get(&entry.key) else {
                    return Ok(Some(entry));
                };
                if known.modify_index != entry.modify_index {
                    return Ok(None);
                }
                self.delete(index, &entry.key);
                Ok(Some(entry))
            }
            KvOp::DeleteTree => {
                self.delete_tree(index, &entry.key);
                Ok(Some(entry))
            }
        }
    }

    /// Stores an entry; one that changes nothing keeps its index. A plain set keeps the session, yet starts `LockIndex` anew, as Consul does.
    pub(super) fn set(
        &mut self,
        index: u64,
        mut entry: DirEntry,
        update_session: bool,
    ) -> DirEntry {
        let known = self.kv.get(&entry.key);
        entry.create_index = known.map_or(index, |known| known.create_index);
        if !update_session {
            entry.session = known.map(|known| known.session.clone()).unwrap_or_default();
            entry.lock_index = 0;
        }
        entry.modify_index = known.map_or(index, |known| known.modify_index);
        if known == Some(&entry) {
            return entry;
        }
        entry.modify_index = index;
        self.kv.insert(entry.key.clone(), entry.clone());
        self.tables.kvs = index;
        entry
    }

    fn lock(&mut self, index: u64, mut entry: DirEntry) -> Result<Option<DirEntry>, StateError> {
        if entry.session.is_empty() {
            return Err("missing session".into());
        }
        if self.session(&entry.session)?.is_none() {
            return Err(format!("invalid session {:?}", entry.session).into());
        }
        entry.lock_index = match self.kv.get(&entry.key) {
            Some(known) if known.session == entry.session => known.lock_index,
            Some(known) if !known.session.is_empty() => return Ok(None),
            Some(known) => known.lock_index + 1,
            None => 1,
        };
        Ok(Some(self.set(index, entry, true)))
    }

    fn unlock(&mut self, index: u64, mut entry: DirEntry) -> Result<Option<DirEntry>, StateError> {
        if entry.session.is_empty() {
            return Err("missing session".into());
        }
        let Some(known) = self
            .kv
            .get(&entry.key)
            .filter(|known| known.session == entry.session)
        else {
            return Ok(None);
        };
        entry.lock_index = known.lock_index;
        entry.session = String::new();
        Ok(Some(self.set(index, entry, true)))
    }

    pub(super) fn delete(&mut self, index: u64, key: &str) {
        if self.kv.remove(key).is_some() {
            self.tombstones.insert(key.into(), index);
            self.tables.tombstones = index;
            self.tables.kvs = index;
        }
    }

    fn delete_tree(&mut self, index: u64, prefix: &str) {
        let before = self.kv.len();
        self.kv.retain(|key, _| !key.starts_with(prefix));
        if self.kv.len() == before {
            return;
        }
        if !prefix.is_empty() {
            self.tombstones.insert(prefix.into(), index);
            self.tables.tombstones = index;
        }
        self.tables.kvs = index;
    }

    fn kv_index(&self) -> u64 {
        self.tables.kvs.max(self.tables.tombstones).max(1)
    }

    /// One entry: its own index, or the table's when it is missing.
    pub fn kv_get(&self, key: &str) -> (u64, Option<&DirEntry>) {
        let entry = self.kv.get(key);
        (
            entry.map_or_else(|| self.kv_index(), |entry| entry.modify_index),
            entry,
        )
    }

    /// All entries under a prefix, and the highest index of them and of what was deleted there.
    pub fn kv_list(&self, prefix: &str) -> (u64, Vec<&DirEntry>) {
        let entries: Vec<&DirEntry> = under(&self.kv, prefix).map(|(_, entry)| entry).collect();
        if prefix.is_empty() {
            return (self.kv_index(), entries);
        }
        let newest = entries
            .iter()
            .map(|entry| entry.modify_index)
            .max()
            .unwrap_or(0);
        let buried = under(&self.tombstones, prefix)
            .map(|(_, index)| *index)
            .max()
            .unwrap_or(0);
        let index = newest.max(buried);
        (if index == 0 { self.kv_index() } else { index }, entries)
    }

    /// Keys under a prefix, cut after the first `separator` beyond it.
    pub fn kv_keys(&self, prefix: &str, separator: &str) -> (u64, Vec<String>) {
        let (index, entries) = self.kv_list(prefix);
        let mut keys: Vec<String> = Vec::new();
        for entry in entries {
            let after = &entry.key[prefix.len()..];
            let key = match (!separator.is_empty())
                .then(|| after.find(separator))
                .flatten()
            {
                Some(at) => entry.key[..prefix.len() + at + separator.len()].to_owned(),
                None => entry.key.clone(),
            };
            if keys.last() != Some(&key) {
                keys.push(key);
            }
        }
        (index, keys)
    }
}

fn under<'a, 'p, T>(
    map: &'a BTreeMap<String, T>,
    prefix: &'p str,
) -> impl Iterator<Item = (&'a String, &'a T)> + use<'a, 'p, T> {
    map.range(prefix.to_owned()..)
        .take_while(move |(key, _)| key.starts_with(prefix))
}
