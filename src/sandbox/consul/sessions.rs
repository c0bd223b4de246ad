//! The session table, and what ends with a session: its locks.

use std::time::{Duration, Instant};

use super::go;
use super::records::{CRITICAL, Session};
use super::state::{StateError, Store, check_uuid, key, key_of};

/// The longest lock-delay Consul honours.
const MAX_LOCK_DELAY: Duration = Duration::from_secs(60);

impl Store {
    /// Stores a session that has an ID already.
    ///
    /// # Errors
    /// Consul's sentence: an unknown node, a missing or critical check.
    pub fn create_session(&mut self, mut session: Session) -> Result<(), StateError> {
        let index = self.next_index();
        if !self.nodes.contains_key(&key(&session.node)) {
            return Err("Missing node registration".into());
        }
        for id in session.check_ids() {
            let check = self.checks.get(&key_of(&session.node, id));
            let check = check.ok_or_else(|| format!("Missing check '{id}' registration"))?;
            if check.status == CRITICAL {
                return Err(format!("Check '{id}' is in critical state").into());
            }
        }
        session.create_index = index;
        session.modify_index = index;
        self.sessions.insert(session.id.clone(), session);
        self.tables.sessions = index;
        Ok(())
    }

    /// Ends a session as one write; an unknown one is no error.
    ///
    /// # Errors
    /// Consul's sentence on an ID that is not a UUID.
    pub fn destroy_session(&mut self, id: &str, now: Instant) -> Result<(), StateError> {
        let index = self.next_index();
        check_session_id(id)?;
        self.delete_session(index, id, now);
        Ok(())
    }

    /// A session by its ID.
    ///
    /// # Errors
    /// Consul's sentence on an ID that is not a UUID.
    pub fn session(&self, id: &str) -> Result<Option<&Session>, StateError> {
        check_session_id(id)?;
        Ok(self.sessions.get(id))
    }

    /// The session table's index, and all sessions by ID.
    pub fn sessions(&self) -> (u64, Vec<Session>) {
        (
            self.tables.sessions,
            self.sessions.values().cloned().collect(),
        )
    }

    pub(super) fn delete_session(&mut self, index: u64, id: &str, now: Instant) {
        let Some(session) = self.sessions.remove(id) else {
            return;
        };
        self.tables.sessions = index;
        let bound = self.queries.len();
        self.queries.retain(|_, query| query.session != id);
        if self.queries.len() < bound {
            self.tables.queries = index;
        }
        let delay = go::duration(session.lock_delay).min(MAX_LOCK_DELAY);
        let held: Vec<String> = self
            .kv
            .values()
            .filter(|entry| entry.session == id)
            .map(|entry| entry.key.clone())
            .collect();
        for key in held {
            if session.behavior == "delete" {
                self.delete(index, &key);
            } else if let Some(mut entry) = self.kv.get(&key).cloned() {
                entry.session = String::new();
                self.set(index, entry, true);
            }
            if !delay.is_zero() {
                self.lock_delays.insert(key, now + delay);
            }
        }
    }

    pub(super) fn invalidate_sessions_of_check(
        &mut self,
        index: u64,
        node: &str,
        check: &str,
        now: Instant,
    ) {
        let watches = |session: &&Session| {
            key(&session.node) == key(node) && session.check_ids().any(|id| id == check)
        };
        let ids: Vec<String> = self
            .sessions
            .values()
            .filter(watches)
            .map(|session| session.id.clone())
            .collect();
        for id in ids {
            self.delete_session(index, &id, now);
        }
    }
}

fn check_session_id(id: &str) -> Result<(), StateError> {
    check_uuid(id).map_err(|why| format!("failed session lookup: {why}").into())
}
