//! What the planner remembers between cycles: what is under way, and since when things are as they are.

use super::chances::Chances;
use super::contingency::Drills;
use crate::model::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Why traffic of a service is being moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoveKind {
    /// Standbys join the pool before or while demand outgrows the primaries.
    Surge,
    /// Traffic leaves instances whose node is about to go, before they are ended.
    Drain,
    /// Instances fell out; what is left takes over at once, as prepared.
    Emergency,
    /// Back to the primaries.
    Failback,
    /// A move that hurt goes back to where it began.
    Retreat,
    /// A person asked for it.
    Asked,
    /// An instance is kept for the clients of its own site, or no longer.
    Kept,
}

/// A planned way from one set of shares to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Move {
    pub kind: MoveKind,
    pub cause: Cause,
    pub why: String,
    pub from: BTreeMap<AllocId, Share>,
    pub to: BTreeMap<AllocId, Share>,
    /// How much of the way is gone after each step: the policy's ramp, made finer where a step would exceed the cap.
    pub steps: Vec<Share>,
    /// Steps of the ramp done and verified.
    pub done: usize,
    pub since: Moment,
    /// When the last step was verified.
    pub verified: Option<Moment>,
}

/// An instance or a node that fell while it carried traffic: it is trusted again only after it has been well for a while.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fall {
    pub times: u32,
    pub well_since: Option<Moment>,
}

/// `settle`, doubled with each time after the first, so that what flaps moves traffic less and less often.
pub fn patience(settle: Span, times: u32) -> Span {
    settle.times(1 << times.saturating_sub(1).min(5))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShadowState {
    /// What it calls is started first.
    Preparing,
    Starting,
    Measuring,
    Stopping,
    Done,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowRun {
    pub id: ShadowId,
    pub key: ProfileKey,
    pub job: JobId,
    pub state: ShadowState,
    pub since: Moment,
    pub deadline: Moment,
    pub verdict: Option<String>,
    /// The copy at the production site that it is compared with.
    #[serde(default)]
    pub twin: Option<TwinRun>,
    #[serde(default)]
    pub judged: Option<Judged>,
    /// What it calls, shadowed along with it, callees first.
    #[serde(default)]
    pub along: Vec<Along>,
}

/// A portion that is shadowed along with one that calls it: it goes when that one has been measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Along {
    pub portion: PortionId,
    pub job: JobId,
    /// Its job was asked for.
    pub asked: bool,
}

impl ShadowRun {
    /// Whether its jobs are to run: its own, its twin's and those of what it calls.
    pub fn lives(&self) -> bool {
        use ShadowState::{Measuring, Preparing, Starting};
        matches!(self.state, Preparing | Starting | Measuring)
    }
    /// Whether the job is one that goes with it.
    pub fn has_beside(&self, job: &JobId) -> bool {
        self.twin.as_ref().is_some_and(|t| &t.job == job)
            || self.along.iter().any(|a| &a.job == job)
    }
    pub fn starting(
        id: &ShadowId,
        key: &ProfileKey,
        job: JobId,
        since: Moment,
        deadline: Moment,
    ) -> ShadowRun {
        ShadowRun {
            id: id.clone(),
            key: key.clone(),
            job,
            state: ShadowState::Starting,
            since,
            deadline,
            verdict: None,
            twin: None,
            judged: None,
            along: Vec::new(),
        }
    }
}

/// A shadow's twin: it goes when its shadow has been measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TwinRun {
    pub job: JobId,
    pub site: Site,
}

/// Core-hours spent in the running season.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    pub season: i64,
    pub at: Moment,
    pub shadow: CoreHours,
    pub standby: CoreHours,
}

/// What may still be spent on shadows: a bucket that fills with the season's budget and holds no more than one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Purse {
    pub left: CoreHours,
    /// When it was last filled; `None` for one that is new, and full.
    pub at: Option<Moment>,
}

impl Purse {
    /// Fills it up to `now` with a season's `budget`, and takes out what was `spent` meanwhile. It may fall below nothing: a
    /// shadow that runs is not ended for it.
    pub fn turn(&mut self, budget: CoreHours, season: Span, spent: CoreHours, now: Moment) {
        let since = self.at.map(|at| now.since(at).0.max(0));
        let part = since.map_or(1.0, |ms| ms as f64 / season.0.max(1) as f64);
        let full = self.left.0 + budget.0 * part - spent.0;
        self.left = CoreHours(full.min(budget.0));
        self.at = Some(now);
    }

    /// What is left, if that does not pay so many core-hours; a purse that was never filled pays anything.
    pub fn short_of(&self, cost: f64) -> Option<CoreHours> {
        (self.at.is_some() && self.left.0 < cost).then_some(self.left)
    }
}

/// The planner's memory. It is data: it can be saved, compared and made up in a test.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    pub shadows: BTreeMap<ShadowId, ShadowRun>,
    /// When a (portion, site, class) was last shadowed, and how often it failed since the last success.
    pub shadowed: BTreeMap<String, (Moment, u32)>,
    pub moves: BTreeMap<ServiceName, Move>,
    /// Planned moves that had to retreat: when, and how often in a row.
    pub retreats: BTreeMap<ServiceName, (Moment, u32)>,
    /// Instances that fell while they carried traffic.
    pub falls: BTreeMap<AllocId, Fall>,
    /// Nodes that went away under traffic, whatever Nomad has placed on them since.
    #[serde(default)]
    pub node_falls: BTreeMap<NodeId, Fall>,
    /// When a standby was last needed or served, by its job.
    pub needed: BTreeMap<JobId, Moment>,
    /// Standbys that are given up for one elsewhere: they go once that one stands.
    #[serde(default)]
    pub leaving: BTreeSet<JobId>,
    /// Since when the others would have done without a standby of the pool, by its job.
    #[serde(default)]
    pub spare: BTreeMap<JobId, Moment>,
    /// Since when each portion's primaries suffice and traffic is well.
    pub calm: BTreeMap<PortionId, Moment>,
    /// Portions whose standbys are part of the pool, and why.
    pub surging: BTreeMap<PortionId, (Cause, String)>,
    /// Steps handed to the hands, without an outcome yet.
    pub inflight: BTreeMap<StepId, Step>,
    /// Jobs that Nomad refused, until when they are not asked for again.
    pub refused: BTreeMap<String, Moment>,
    /// When the shares of a service were last written.
    pub written: BTreeMap<ServiceName, Moment>,
    /// Sites asked for by a person.
    pub asked: BTreeMap<PortionId, Site>,
    /// Shadows asked for by a person.
    pub asked_shadows: BTreeSet<(PortionId, Site)>,
    /// Core-hours spent since the season began.
    pub spent: Spent,
    /// What is left for shadows.
    #[serde(default)]
    pub purse: Purse,
    /// How likely each place would be used, as last asked of outlook and solver, and when that was.
    #[serde(default)]
    pub chances: Chances,
    /// What a shadow of each place is worth now, the best first.
    #[serde(default)]
    pub worth: Vec<super::worth::Candidate>,
    /// What is prepared for failures, as last worked out for each service.
    #[serde(skip)]
    pub drills: BTreeMap<ServiceName, Drills>,
    /// Grows with every name that is made from it.
    pub serial: u64,
}

impl Book {
    pub fn number(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
    /// Whether a step on this service's shares has no outcome yet.
    pub fn writing(&self, service: &ServiceName) -> bool {
        self.inflight.values().any(
            |s| matches!(&s.action, Action::SetTarget { target, .. } if &target.service == service),
        )
    }
    pub fn working_on_job(&self, job: &JobId) -> bool {
        self.inflight.values().any(|s| match &s.action {
            Action::StartShadow { job: j, .. }
            | Action::StartTwin { job: j, .. }
            | Action::StartUpstream { job: j, .. }
            | Action::PlaceStandby { job: j, .. } => &j.id() == job,
            Action::StopShadow { job: j, .. }
            | Action::ReleaseStandby { job: j, .. }
            | Action::Scale { job: j, .. }
            | Action::Reap { job: j } => j == job,
            Action::MeasureShadow { .. } | Action::SetTarget { .. } => false,
        })
    }
    /// A step that was held leaves no trace: what was entered for it is taken back.
    pub fn forget(&mut self, step: &Step) {
        match &step.action {
            Action::StartShadow { shadow, .. } => {
                self.shadows.remove(shadow);
            }
            Action::StartUpstream {
                shadow, portion, ..
            } => {
                if let Some(run) = self.shadows.get_mut(shadow) {
                    for one in run.along.iter_mut().filter(|a| &a.portion == portion) {
                        one.asked = false;
                    }
                    if run.along.iter().all(|a| !a.asked) {
                        self.shadows.remove(shadow);
                    }
                }
            }
            Action::StartTwin { shadow, .. } => {
                if let Some(run) = self.shadows.get_mut(shadow) {
                    run.twin = None;
                }
            }
            Action::MeasureShadow { shadow, .. } => {
                if let Some(run) = self.shadows.get_mut(shadow) {
                    run.state = ShadowState::Starting;
                }
            }
            Action::SetTarget { target, .. } => {
                self.written.remove(&target.service);
            }
            _ => {}
        }
    }
    /// Forgets what was worked out for services that no portion of the policy has any more.
    pub fn keep_fronts(&mut self, policy: &Policy) {
        let fronts = policy.portions.iter().filter_map(|p| p.front.as_ref());
        let fronts: BTreeSet<&ServiceName> = fronts.collect();
        self.drills.retain(|service, _| fronts.contains(service));
    }
    /// Finished shadows are kept for a while for faces to show, the oldest go first.
    pub fn tidy(&mut self) {
        while self.shadows.len() > 24 {
            let oldest = self
                .shadows
                .values()
                .filter(|s| s.state == ShadowState::Done)
                .min_by_key(|s| s.since)
                .map(|s| s.id.clone());
            match oldest {
                Some(id) => self.shadows.remove(&id),
                None => return,
            };
        }
    }
}
