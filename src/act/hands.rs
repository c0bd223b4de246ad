//! The hands on a real cluster: journal, one effect, verify.

use super::leader::Lead;
use super::owners::Desk;
use super::{jobs, target};
use crate::clients::consul::Consul;
use crate::clients::nomad::Nomad;
use crate::guard::{Cleared, Hands, Lease};
use crate::model::*;
use std::sync::Arc;
use tokio::sync::watch;

/// Keeps journal entries; when `write` returns, the entry is on disk.
pub trait Journal: Send + Sync {
    fn write(&self, entry: &JournalEntry) -> Result<(), String>;
}

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
    pub journal: Arc<dyn Journal>,
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
        let effect = if lease.left(started).is_none() {
            Err(refused("the lease has ended"))
        } else {
            // Journal before act: what cannot be written down is not done.
            match self.note(&step, lease, JournalState::Intended, "") {
                Err(why) => Err(refused(format!("the journal cannot be written ({why})"))),
                Ok(()) => self.effect(&step, lease).await,
            }
        };
        let (verdict, measured) = self.close(&step, lease, effect);
        Outcome {
            step,
            started,
            at: (self.clock)(),
            verdict,
            measured,
        }
    }

    async fn effect(&self, step: &Step, lease: &Lease) -> Effect {
        let applied = || {
            if let Err(why) = self.note(step, lease, JournalState::Applied, "") {
                tracing::warn!("the journal cannot be written: {why}");
            }
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
    fn close(&self, step: &Step, lease: &Lease, effect: Effect) -> (Verdict, Option<Measurement>) {
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
        if let Err(why) = self.note(step, lease, state, &note) {
            tracing::warn!("the journal cannot be written: {why}");
        }
        (verdict, measured)
    }

    fn note(
        &self,
        step: &Step,
        lease: &Lease,
        state: JournalState,
        note: &str,
    ) -> Result<(), String> {
        self.journal.write(&JournalEntry {
            step: step.clone(),
            epoch: lease.epoch(),
            state,
            at: (self.clock)(),
            note: note.to_string(),
        })
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
