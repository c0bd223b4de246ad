//! A datacenter's servers: the store, those who wait for its changes, and the clocks of its sessions.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{RngCore, SeedableRng, rngs::StdRng};
use tokio::sync::watch;
use tokio::time::Instant;

use super::acl::AclConfig;
use super::go;
use super::records::Session;
use super::state::{StateError, Store};

/// TTLs are a lower bound: Consul waits twice as long before it ends a session.
const TTL_MULTIPLIER: u32 = 2;

/// One datacenter, shared by its agents.
#[derive(Debug)]
pub struct Datacenter {
    name: String,
    store: Mutex<Store>,
    changed: watch::Sender<u64>,
    expiries: Mutex<HashMap<String, Instant>>,
    rearmed: tokio::sync::Notify,
    dice: Mutex<StdRng>,
}

impl Datacenter {
    pub(super) fn new(name: &str, seed: u64) -> Self {
        Self {
            name: name.into(),
            store: Mutex::new(Store::new()),
            changed: watch::Sender::new(0),
            expiries: Mutex::default(),
            rearmed: tokio::sync::Notify::new(),
            dice: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Looks at the store.
    pub fn read<T>(&self, look: impl FnOnce(&Store) -> T) -> T {
        look(&locked(&self.store))
    }

    /// Changes the store and wakes all blocking queries.
    pub fn write<T>(&self, change: impl FnOnce(&mut Store, std::time::Instant) -> T) -> T {
        let mut store = locked(&self.store);
        let out = change(&mut store, Instant::now().into_std());
        let index = store.last_index();
        drop(store);
        self.changed.send_replace(index);
        out
    }

    /// Wakes on each write.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A random number below `bound` (for jitter), or 0.
    pub(super) fn dice(&self, bound: u64) -> u64 {
        locked(&self.dice)
            .next_u64()
            .checked_rem(bound)
            .unwrap_or(0)
    }

    pub(super) fn new_uuid(&self) -> String {
        let mut bytes = [0; 16];
        locked(&self.dice).fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes)
            .into_uuid()
            .to_string()
    }

    /// Writes the builtin policy and the first tokens.
    pub(super) fn bootstrap_acl(&self, config: &AclConfig) {
        let (accessor, now) = (self.new_uuid(), rfc3339(Duration::ZERO).0);
        self.write(|store, _| {
            let index = store.next_index();
            store.acl.bootstrap(config, accessor, index, &now);
        });
    }

    /// Stores a new session and starts its clock; gives its ID.
    ///
    /// # Errors
    /// Those of [`Store::create_session`].
    pub fn create_session(&self, mut session: Session) -> Result<String, StateError> {
        session.id = self.new_uuid();
        let (id, ttl) = (session.id.clone(), session.ttl_nanos());
        self.write(|store, _| store.create_session(session))?;
        self.arm(&id, ttl);
        Ok(id)
    }

    /// Starts a session's clock anew; `None` for an unknown session.
    ///
    /// # Errors
    /// Those of [`Store::session`].
    pub fn renew_session(&self, id: &str) -> Result<Option<Session>, StateError> {
        let session = self.read(|store| store.session(id).map(|found| found.cloned()))?;
        if let Some(session) = &session {
            self.arm(id, session.ttl_nanos());
        }
        Ok(session)
    }

    fn arm(&self, id: &str, ttl: i64) {
        if ttl > 0 {
            locked(&self.expiries).insert(
                id.into(),
                Instant::now() + go::duration(ttl) * TTL_MULTIPLIER,
            );
            self.rearmed.notify_one();
        }
    }

    /// Ends sessions whose time is up, for as long as it is polled.
    pub(super) async fn expire_sessions(&self) {
        loop {
            let next = locked(&self.expiries)
                .iter()
                .map(|(id, at)| (*at, id.clone()))
                .min();
            let Some((at, id)) = next else {
                self.rearmed.notified().await;
                continue;
            };
            tokio::select! {
                () = self.rearmed.notified() => {}
                () = tokio::time::sleep_until(at) => self.expire(&id, at),
            }
        }
    }

    fn expire(&self, id: &str, at: Instant) {
        let mut expiries = locked(&self.expiries);
        if expiries.get(id) != Some(&at) {
            return;
        }
        expiries.remove(id);
        drop(expiries);
        if self
            .write(|store, now| store.destroy_session(id, now))
            .is_ok()
        {
            tracing::debug!(session = id, datacenter = self.name, "session TTL expired");
        }
    }
}

/// Now and some time, as RFC 3339 and as seconds since 1970.
pub(super) fn rfc3339(later: Duration) -> (String, u64) {
    let at = std::time::SystemTime::now() + later;
    let since = at.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let text = jiff::Timestamp::try_from(at).map(|at| at.to_string());
    (text.unwrap_or_default(), since.as_secs())
}

/// A panicking holder leaves data that is still whole enough for a sandbox.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
