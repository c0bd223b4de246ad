//! An immutable list of steps with reasons, and why the others must wait.

use super::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a step is taken.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Something is wrong now.
    Reactive,
    /// The outlook says that it will be needed.
    Predicted,
    /// Something must be learned.
    Learning,
    /// What has passed is put away, what drifted is put right.
    Upkeep,
}

impl Cause {
    pub fn word(self) -> &'static str {
        match self {
            Cause::Reactive => "reactive",
            Cause::Predicted => "predicted",
            Cause::Learning => "learning",
            Cause::Upkeep => "upkeep",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    /// Register a shadow's job.
    StartShadow {
        shadow: ShadowId,
        key: ProfileKey,
        job: JobSpec,
        deadline: Moment,
    },
    /// Register the job of a portion that a shadow calls, shadowed along with it.
    StartUpstream {
        shadow: ShadowId,
        portion: PortionId,
        job: JobSpec,
    },
    /// Register the job of a shadow's twin at the production site.
    StartTwin {
        shadow: ShadowId,
        job: JobSpec,
    },
    /// Drive load at a running shadow; the only step that takes long.
    MeasureShadow {
        shadow: ShadowId,
        key: ProfileKey,
        alloc: AllocId,
        url: String,
        health: String,
        loads: Vec<Rps>,
        /// How it is driven.
        #[serde(default)]
        load: Box<LoadPolicy>,
        #[serde(default)]
        upstreams: Vec<Upstream>,
        /// Health checks of what it calls, which must pass first.
        #[serde(default)]
        wait_for: Vec<String>,
        slo: Slo,
        /// When its job was registered: start-up is counted from there to the first passing check.
        registered: Moment,
        /// How it is to be judged.
        #[serde(default)]
        compare: Option<Box<Compare>>,
    },
    StopShadow {
        shadow: ShadowId,
        job: JobId,
    },
    /// Register a standby's job: compute, disk, ports and network are reserved in Nomad's books.
    PlaceStandby {
        portion: PortionId,
        site: Site,
        node: NodeId,
        job: JobSpec,
        needs: Resources,
    },
    ReleaseStandby {
        portion: PortionId,
        job: JobId,
    },
    /// Burst: change the count of a group.
    Scale {
        job: JobId,
        group: Group,
        from: u64,
        to: u64,
    },
    /// Write the shares of a service.
    SetTarget {
        target: Target,
        /// The shares before, for the way back.
        before: Option<Target>,
        /// A move that nothing forced: bound by the rules of planned moves.
        planned: bool,
    },
    /// Remove a job of ours that nobody knows any more.
    Reap {
        job: JobId,
    },
}

impl Action {
    pub fn verb(&self) -> &'static str {
        match self {
            Action::StartShadow { .. } => "start shadow",
            Action::StartUpstream { .. } => "start upstream",
            Action::StartTwin { .. } => "start twin",
            Action::MeasureShadow { .. } => "measure shadow",
            Action::StopShadow { .. } => "stop shadow",
            Action::PlaceStandby { .. } => "place standby",
            Action::ReleaseStandby { .. } => "release standby",
            Action::Scale { .. } => "scale",
            Action::SetTarget { .. } => "set shares",
            Action::Reap { .. } => "reap",
        }
    }
    /// Whether production traffic is touched.
    pub fn touches_traffic(&self) -> bool {
        matches!(self, Action::SetTarget { .. })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub id: StepId,
    pub plan: PlanId,
    pub portion: Option<PortionId>,
    pub cause: Cause,
    pub action: Action,
    /// One sentence with number and limit.
    pub why: String,
    pub waits_on: Vec<StepId>,
}

/// Something that is not done, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    pub what: String,
    pub why: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub id: PlanId,
    pub parent: Option<PlanId>,
    pub epoch: Epoch,
    pub at: Moment,
    pub steps: Vec<Step>,
    pub waiting: Vec<Shared<Waiting>>,
}

/// Where a step stands in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JournalState {
    Intended,
    Applied,
    Verified,
    Undoing,
    Undone,
    /// Given up: it needs a person.
    Stuck,
    /// Refused before any effect.
    Refused,
}

impl JournalState {
    pub fn is_final(self) -> bool {
        use JournalState::*;
        matches!(self, Verified | Undone | Stuck | Refused)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JournalEntry {
    pub step: Step,
    pub epoch: Epoch,
    pub state: JournalState,
    pub at: Moment,
    pub note: String,
}

impl JournalEntry {
    /// What another gateway needs to settle the step, and no more: a job's name without its body (which may hold secrets), shares
    /// without contingencies and without those before, a measurement without its load. A few hundred bytes, and some for each
    /// instance of a service.
    pub fn brief(&self) -> JournalEntry {
        let mut entry = self.clone();
        match &mut entry.step.action {
            Action::StartShadow { job, .. }
            | Action::StartUpstream { job, .. }
            | Action::StartTwin { job, .. }
            | Action::PlaceStandby { job, .. } => {
                *job = JobSpec::new(serde_json::json!({"ID": job.id().as_str()}));
            }
            Action::SetTarget { target, before, .. } => {
                target.contingencies.clear();
                *before = None;
            }
            Action::MeasureShadow {
                load,
                upstreams,
                wait_for,
                compare,
                ..
            } => {
                **load = LoadPolicy::default();
                upstreams.clear();
                wait_for.clear();
                *compare = None;
            }
            Action::StopShadow { .. }
            | Action::ReleaseStandby { .. }
            | Action::Scale { .. }
            | Action::Reap { .. } => {}
        }
        entry
    }
}
