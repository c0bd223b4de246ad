//! The leader's lock: a Consul session that holds one key. Efficiency comes from it, safety from the epoch it gives.
//! Consul ends a session whose TTL is over at twice that TTL, but one whose check turns critical at once: so ours hangs on our own
//! entry's check, wherever that can be.

use super::presence::{LIFE, Presence};
use crate::clients::consul::{CatalogNode, Consul, SessionSpec};
use crate::clients::http::{HttpError, Wait};
use crate::guard::Lease;
use crate::model::*;
use backon::{ConstantBuilder, Retryable};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The shortest that Consul takes. It is a lower bound: by it alone Consul notices a death after twice as long.
pub const TTL: Duration = Duration::from_secs(10);
/// So long after its holder's session has ended nobody gets the lock: what the holder had on its way has come by then.
pub const LOCK_DELAY: Duration = Duration::from_secs(1);
/// A session is renewed this often.
const RENEW: Duration = Duration::from_secs(3);
/// The lease ends before Consul could give the lock away, by our silence or by the session's TTL.
const LEASE: Span = Span::secs(8);
const _: () = assert!(LEASE.0 < LIFE.as_millis() as i64 && LIFE.as_millis() < TTL.as_millis());
/// An entry that Consul refused is asked for again so much later.
const AGAIN: Span = Span::secs(30);

/// Leadership as the hands need it.
#[derive(Clone, Debug)]
pub struct Lead {
    pub lease: Arc<Lease>,
    pub session: String,
}

pub struct Leader {
    pub consul: Arc<Consul>,
    pub datacenter: Option<String>,
    /// Ours, for those who wait and for whoever looks for us.
    pub presence: Presence,
    pub clock: fn() -> Moment,
}

/// One session's life, and what is known of our entry meanwhile.
struct Term {
    session: String,
    entered: bool,
    /// When it was last asked for.
    asked: Moment,
    /// It came too late for this session.
    late: bool,
}

impl Leader {
    /// Seeks and keeps the lock until cancelled, then gives it back and takes our entry out.
    pub async fn keep(self, leads: watch::Sender<Option<Lead>>, cancel: CancellationToken) {
        let mut said = false;
        while !cancel.is_cancelled() {
            let term = self.term(&leads, &cancel, &mut said).await;
            leads.send_replace(None);
            if let Err(e) = term {
                tracing::warn!("leadership: {e}");
            }
            // Not at once again: Consul may be away.
            let _ = tokio::time::timeout(Duration::from_secs(1), cancel.cancelled()).await;
        }
        self.presence.leave(&self.consul).await;
    }

    /// From a session's opening to its end.
    async fn term(
        &self,
        leads: &watch::Sender<Option<Lead>>,
        cancel: &CancellationToken,
        said: &mut bool,
    ) -> Result<(), HttpError> {
        let asked = (self.clock)();
        let entry = self.presence.enter(&self.consul).await;
        let entered = entry.is_ok();
        let (session, alone) = self.open(entry).await?;
        *said &= alone.is_some();
        if let Some(why) = alone.filter(|_| !std::mem::replace(said, true)) {
            let longest = 2 * TTL + LOCK_DELAY;
            tracing::warn!(
                "the leader's lock hangs on its session's TTL alone, so another gateway leads some {longest:?} after this process was killed: {why}"
            );
        }
        let mut term = Term {
            session,
            entered,
            asked,
            late: false,
        };
        let held = self.hold_lock(&mut term, leads, cancel).await;
        leads.send_replace(None);
        let dc = self.datacenter.as_deref();
        if let Err(e) = self.consul.session_destroy(&term.session, dc).await {
            tracing::debug!("the session ends by its TTL: {e}");
        }
        held
    }

    /// Opens the session, and says why where it does not hang on our entry: not entered, not of this datacenter, or of an agent
    /// that is another one each time.
    async fn open(
        &self,
        entry: Result<(), HttpError>,
    ) -> Result<(String, Option<String>), HttpError> {
        let dc = self.datacenter.as_deref();
        let alone = SessionSpec {
            name: format!("foreshadow {}", self.presence.name),
            ttl: TTL,
            lock_delay: LOCK_DELAY,
            delete_keys: false,
            node: self.host().await?,
            check: None,
        };
        let why = match (entry, dc.filter(|_| alone.node.is_some())) {
            (Err(e), _) => e.to_string(),
            (_, Some(dc)) => format!("its keys are in datacenter {dc}, which is not our agent's"),
            _ => {
                let bound = SessionSpec {
                    check: Some(self.presence.life()),
                    ..alone.clone()
                };
                // The entry may have come to the agent and not yet to the servers.
                let create = || self.consul.session_create(&bound, dc);
                match create.retry(soon()).await {
                    Ok(session) => return Ok((session, None)),
                    Err(e) => e.to_string(),
                }
            }
        };
        let session = self.consul.session_create(&alone, dc).await?;
        Ok((session, Some(why)))
    }

    /// Whose the session is where the keys are in another datacenter than our agent: a session needs a node there. The server that
    /// leads Consul there lasts longest.
    async fn host(&self) -> Result<Option<String>, HttpError> {
        let dc = self.datacenter.as_deref();
        if dc.is_none() || self.consul.agent_self().await?.datacenter() == dc.unwrap_or_default() {
            return Ok(None);
        }
        let server = self.consul.leader(dc).await?;
        let nodes = self.consul.catalog_nodes(dc).await?;
        let leads = |n: &&CatalogNode| server.rsplit_once(':').is_some_and(|s| s.0 == n.address);
        let node = nodes.iter().find(leads).or(nodes.first());
        Ok(node.map(|n| n.node.clone()))
    }

    /// Renews the session and says that we live; whether there still is a session.
    async fn renew(&self, term: &mut Term, now: Moment) -> Result<bool, HttpError> {
        let dc = self.datacenter.as_deref();
        let renewed = self.consul.session_renew(&term.session, dc).await?;
        if term.entered {
            self.presence.live(&self.consul).await?;
        } else if now > term.asked + AGAIN {
            term.asked = now;
            term.entered = self.presence.enter(&self.consul).await.is_ok();
            term.late = term.entered;
        }
        Ok(renewed.is_some())
    }

    async fn hold_lock(
        &self,
        term: &mut Term,
        leads: &watch::Sender<Option<Lead>>,
        cancel: &CancellationToken,
    ) -> Result<(), HttpError> {
        let dc = self.datacenter.as_deref();
        let (mut index, mut free) = (0, false);
        while !cancel.is_cancelled() {
            // The lease counts from before the renewal was asked for.
            let asked = (self.clock)();
            if !self.renew(term, asked).await? {
                return Ok(());
            }
            let (session, name) = (&term.session, self.presence.name.as_bytes());
            let got = self
                .consul
                .kv_acquire(keys::LEADER, name, session, dc)
                .await?;
            if !got {
                leads.send_replace(None);
                if term.late {
                    // The next session hangs on the entry; a leader goes on without.
                    return Ok(());
                }
                // A lock that is free and yet not given waits for its delay alone.
                let longest = if free { LOCK_DELAY } else { RENEW };
                (index, free) = self.changed(Wait { index, longest }, cancel).await?;
                continue;
            }
            let lock = self.consul.kv_get(keys::LEADER, dc, true, None).await?;
            let ours = lock.value.filter(|l| l.session.as_ref() == Some(session));
            let Some(lock) = ours else {
                continue;
            };
            leads.send_replace(Some(Lead {
                lease: Arc::new(Lease::new(Epoch(lock.lock_index), asked + LEASE)),
                session: session.clone(),
            }));
            let _ = tokio::time::timeout(RENEW, cancel.cancelled()).await;
        }
        Ok(())
    }

    /// Waits for the lock's key to change, `wait` at most; its index then, and whether nobody holds it.
    async fn changed(
        &self,
        wait: Wait,
        cancel: &CancellationToken,
    ) -> Result<(u64, bool), HttpError> {
        let dc = self.datacenter.as_deref();
        tokio::select! {
            () = cancel.cancelled() => Ok((0, false)),
            found = self.consul.kv_get(keys::LEADER, dc, false, Some(wait)) => {
                let found = found?;
                Ok((found.index, found.value.is_none_or(|lock| lock.session.is_none())))
            }
        }
    }
}

/// A few times within a second.
fn soon() -> ConstantBuilder {
    let each = Duration::from_millis(300);
    ConstantBuilder::default()
        .with_delay(each)
        .with_max_times(3)
}

/// Sets or clears the operator's stop.
pub async fn hold(consul: &Consul, datacenter: Option<&str>, on: bool) -> Result<(), HttpError> {
    if on {
        consul
            .kv_put(keys::HOLD, b"on", datacenter)
            .await
            .map(|_| ())
    } else {
        consul
            .kv_delete(keys::HOLD, None, datacenter)
            .await
            .map(|_| ())
    }
}
