//! The hands on a real cluster: journal, one effect, verify.

use super::journal::Journal;
use super::leader::Lead;
use super::owners::Desk;
use super::{jobs, target};
use crate::clients::consul::Consul;
use crate::clients::nomad::Nomad;
use crate::guard::{Cleared, Hands, Lease};
use crate::model::*;
use std::sync::Arc;
use tokio::sync::watch;

/// Drives load at a shadow and says what it did.
pub trait Measurer: Send + Sync {
    fn measure<'a>(&'a self, action: &'a Action) -> Later<'a, Result<Measurement, String>>;
}

pub struct ClusterHands {
    pub nomad: Arc<Nomad>,
    /// The agent through which targets are written, and the datacenter that holds them.
    pub consul: Arc<Consul>,
    pub kv_datacenter: Option<String>,
    /// One for each gateway.
    pub desks: Vec<Desk>,
    pub leads: watch::Receiver<Option<Lead>>,
    /// Of this gateway.
    pub journal: Arc<dyn Journal>,
    /// Of all gateways: what is open there is settled by whoever leads next.
    pub shared: Arc<dyn Journal>,
    pub measurer: Arc<dyn Measurer>,
    pub clock: fn() -> Moment,
}

/// How an effect ended, before it is written down.
pub(super) type Effect = Result<Done, Verdict>;

/// What a good effect leaves to be said.
#[derive(Default)]
pub(super) struct Done {
    pub note: String,
    pub verified: bool,
    pub measured: Option<Measurement>,
}

impl Done {
    pub(super) fn applied(note: impl Into<String>) -> Done {
        Done {
            note: note.into(),
            ..Done::default()
        }
    }
    pub(super) fn verified(note: impl Into<String>) -> Done {
        Done {
            note: note.into(),
            verified: true,
            measured: None,
        }
    }
}

pub(super) fn refused(why: impl Into<String>) -> Verdict {
    Verdict::Refused { why: why.into() }
}

impl Hands for ClusterHands {
    fn apply<'a>(&'a self, step: Cleared<Step>, lease: &'a Lease) -> Later<'a, Outcome> {
        Box::pin(self.carry_out(step, lease))
    }
}

impl ClusterHands {
    async fn carry_out(&self, step: Cleared<Step>, lease: &Lease) -> Outcome {
        let started = (self.clock)();
        let step = step.into_inner();
        let both: [&dyn Journal; 2] = [&*self.journal, &*self.shared];
        let (verdict, measured) = match self.intend(&step, lease, started).await {
            Ok(()) => {
                let effect = match lease.left((self.clock)()) {
                    Some(_) => self.effect(&step, lease).await,
                    None => Err(refused("the lease ended while the journal was written")),
                };
                self.close(&step, lease, effect, &both).await
            }
            // Other gateways have never heard of it.
            Err(refusal) => self.close(&step, lease, Err(refusal), &both[..1]).await,
        };
        Outcome {
            step,
            started,
            at: (self.clock)(),
            verdict,
            measured,
        }
    }

    /// Journal before act: what cannot be written down, here and for whoever leads next, is not done.
    async fn intend(&self, step: &Step, lease: &Lease, now: Moment) -> Result<(), Verdict> {
        if lease.left(now).is_none() {
            return Err(refused("the lease has ended"));
        }
        if self.session(lease).is_none() {
            return Err(refused("the lock is no longer ours"));
        }
        let entry = self.entry(step, lease, JournalState::Intended, "");
        let unwritten = |why| refused(format!("the journal cannot be written ({why})"));
        self.journal.write(&entry).await.map_err(unwritten)?;
        let unshared = |why| refused(format!("the journal in Consul cannot be written ({why})"));
        self.shared.write(&entry).await.map_err(unshared)
    }

    async fn effect(&self, step: &Step, lease: &Lease) -> Effect {
        let applied = || -> Later<'_, ()> {
            let entry = self.entry(step, lease, JournalState::Applied, "");
            Box::pin(async move { record(&[&*self.journal, &*self.shared], &entry).await })
        };
        match &step.action {
            Action::SetTarget {
                target, planned, ..
            } => target::set(self, target, *planned, lease, &applied).await,
            Action::StartShadow { job, .. } => jobs::start(self, job, false, &applied).await,
            Action::StartTwin { job, .. } | Action::StartUpstream { job, .. } => {
                jobs::start(self, job, false, &applied).await
            }
            Action::PlaceStandby { job, .. } => jobs::start(self, job, true, &applied).await,
            Action::StopShadow { job, .. }
            | Action::ReleaseStandby { job, .. }
            | Action::Reap { job } => jobs::stop(self, job).await,
            Action::Scale { job, group, to, .. } => jobs::scale(self, job, group, *to).await,
            Action::MeasureShadow { .. } => match self.measurer.measure(&step.action).await {
                Ok(m) => Ok(Done {
                    verified: true,
                    measured: Some(m),
                    ..Done::default()
                }),
                Err(why) => Err(Verdict::Undone { why }),
            },
        }
    }

    /// The last entry of the step.
    async fn close(
        &self,
        step: &Step,
        lease: &Lease,
        effect: Effect,
        journals: &[&dyn Journal],
    ) -> (Verdict, Option<Measurement>) {
        let (state, note, verdict, measured) = match effect {
            Ok(done) if done.verified => (
                JournalState::Verified,
                done.note,
                Verdict::Verified,
                done.measured,
            ),
            // Nomad and the next looks have the last word; for the journal the step has come to its end.
            Ok(done) => (
                JournalState::Verified,
                done.note,
                Verdict::Applied,
                done.measured,
            ),
            Err(verdict) => {
                let (state, note) = match &verdict {
                    Verdict::Refused { why } => (JournalState::Refused, why.clone()),
                    Verdict::Undone { why } => (JournalState::Undone, why.clone()),
                    Verdict::Unsure { why } => (JournalState::Stuck, why.clone()),
                    Verdict::Verified | Verdict::Applied => (JournalState::Verified, String::new()),
                };
                (state, note, verdict, None)
            }
        };
        record(journals, &self.entry(step, lease, state, &note)).await;
        (verdict, measured)
    }

    fn entry(&self, step: &Step, lease: &Lease, state: JournalState, note: &str) -> JournalEntry {
        JournalEntry {
            step: step.clone(),
            epoch: lease.epoch(),
            state,
            at: (self.clock)(),
            note: note.to_string(),
        }
    }

    /// Our session, if the lock is still ours under this epoch.
    pub(super) fn session(&self, lease: &Lease) -> Option<String> {
        self.leads
            .borrow()
            .as_ref()
            .filter(|l| l.lease.epoch() == lease.epoch())
            .map(|l| l.session.clone())
    }
}

/// What has happened is written wherever it can be; what stays open is settled at the next start, or by the next leader.
async fn record(journals: &[&dyn Journal], entry: &JournalEntry) {
    for journal in journals {
        if let Err(why) = journal.write(entry).await {
            tracing::warn!("the journal cannot be written: {why}");
        }
    }
}
