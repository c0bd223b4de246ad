//! The leader's lock: a Consul session that holds one key. Efficiency comes from it, safety from the epoch it gives.

use crate::clients::consul::{CatalogNode, Consul, SessionSpec};
use crate::clients::http::{HttpError, Wait};
use crate::guard::Lease;
use crate::model::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The shortest that Consul takes. It is a lower bound: Consul may notice a death only after twice as long.
pub const TTL: Duration = Duration::from_secs(10);
/// So long after its holder's session has ended nobody gets the lock: what the holder had on its way has come by then.
pub const LOCK_DELAY: Duration = Duration::from_secs(1);
/// A session is renewed this often.
const RENEW: Duration = Duration::from_secs(3);
/// The lease ends before Consul could give the lock away.
const LEASE: Span = Span::secs(8);

/// Leadership as the hands need it.
#[derive(Clone, Debug)]
pub struct Lead {
    pub lease: Arc<Lease>,
    pub session: String,
}

pub struct Leader {
    pub consul: Arc<Consul>,
    pub datacenter: Option<String>,
    /// Who we are, for those who wait.
    pub name: String,
    pub clock: fn() -> Moment,
}

impl Leader {
    /// Seeks and keeps the lock until cancelled, then gives it back.
    pub async fn keep(self, leads: watch::Sender<Option<Lead>>, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let term = self.term(&leads, &cancel).await;
            leads.send_replace(None);
            if let Err(e) = term {
                tracing::warn!("leadership: {e}");
            }
            // Not at once again: Consul may be away.
            let _ = tokio::time::timeout(Duration::from_secs(1), cancel.cancelled()).await;
        }
    }

    /// One session's life.
    async fn term(
        &self,
        leads: &watch::Sender<Option<Lead>>,
        cancel: &CancellationToken,
    ) -> Result<(), HttpError> {
        let dc = self.datacenter.as_deref();
        let spec = SessionSpec {
            name: format!("foreshadow {}", self.name),
            ttl: TTL,
            lock_delay: LOCK_DELAY,
            delete_keys: false,
            node: self.host().await?,
        };
        let session = self.consul.session_create(&spec, dc).await?;
        let held = self.hold_lock(&session, leads, cancel).await;
        leads.send_replace(None);
        if let Err(e) = self.consul.session_destroy(&session, dc).await {
            tracing::debug!("the session ends by its TTL: {e}");
        }
        held
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

    async fn hold_lock(
        &self,
        session: &str,
        leads: &watch::Sender<Option<Lead>>,
        cancel: &CancellationToken,
    ) -> Result<(), HttpError> {
        let dc = self.datacenter.as_deref();
        let (mut index, mut free) = (0, false);
        while !cancel.is_cancelled() {
            // The lease counts from before the renewal was asked for.
            let asked = (self.clock)();
            if self.consul.session_renew(session, dc).await?.is_none() {
                return Ok(());
            }
            let got = self
                .consul
                .kv_acquire(keys::LEADER, self.name.as_bytes(), session, dc)
                .await?;
            if !got {
                leads.send_replace(None);
                // A lock that is free and yet not given waits for its delay alone.
                let longest = if free { LOCK_DELAY } else { RENEW };
                (index, free) = self.changed(Wait { index, longest }, cancel).await?;
                continue;
            }
            let lock = self.consul.kv_get(keys::LEADER, dc, true, None).await?;
            let ours = lock.value.filter(|l| l.session.as_deref() == Some(session));
            let Some(lock) = ours else {
                continue;
            };
            leads.send_replace(Some(Lead {
                lease: Arc::new(Lease::new(Epoch(lock.lock_index), asked + LEASE)),
                session: session.to_string(),
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
