//! Evaluations and deployments.

use super::super::json::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default)]
pub struct Eval {
    pub id: String,
    pub priority: i64,
    pub kind: String,
    pub triggered_by: &'static str,
    pub job_id: String,
    pub job_modify_index: u64,
    pub node_id: String,
    pub node_modify_index: u64,
    pub deployment: String,
    /// `pending`, `blocked`, `complete`, `failed` or `canceled`.
    pub status: &'static str,
    pub why: String,
    pub wait_until: i64,
    pub previous: String,
    pub blocked: String,
    /// By group.
    pub failed: BTreeMap<String, Value>,
    pub classes: BTreeMap<String, bool>,
    pub escaped: bool,
    pub queued: Option<BTreeMap<String, i64>>,
    pub snapshot: u64,
    pub create_index: u64,
    pub modify_index: u64,
    pub create_time: i64,
    pub modify_time: i64,
}

impl Eval {
    pub fn namespace(&self) -> &str {
        key_parts(&self.job_id).0
    }
    /// The job's ID as clients know it.
    pub fn shown_job(&self) -> &str {
        key_parts(&self.job_id).1
    }

    pub fn terminal(&self) -> bool {
        ["complete", "failed", "canceled"].contains(&self.status)
    }

    /// Every field, as the event stream gives it.
    pub fn full(&self) -> Value {
        let failed = or_null(self.failed.clone());
        let classes = or_null(self.classes.iter().map(|(k, v)| (k.clone(), (*v).into())));
        let queued = self.queued.as_ref().map_or(Value::Null, |q| json!(q));
        json!({"AnnotatePlan": false, "BlockedEval": self.blocked, "ClassEligibility": classes, "CreateIndex": self.create_index,
            "CreateTime": self.create_time, "DeploymentID": self.deployment, "EscapedComputedClass": self.escaped,
            "FailedTGAllocs": failed, "ID": self.id, "JobID": self.shown_job(), "JobModifyIndex": self.job_modify_index, "LeaderACL": "",
            "ModifyIndex": self.modify_index, "ModifyTime": self.modify_time, "Namespace": self.namespace(), "NextEval": "",
            "NodeID": self.node_id, "NodeModifyIndex": self.node_modify_index, "PreviousEval": self.previous,
            "Priority": self.priority, "QueuedAllocations": queued, "QuotaLimitReached": "", "SnapshotIndex": self.snapshot,
            "Status": self.status, "StatusDescription": self.why, "TriggeredBy": self.triggered_by, "Type": self.kind, "Wait": 0,
            "WaitUntil": time(self.wait_until)})
    }

    /// As the HTTP API gives it.
    pub fn json(&self) -> Value {
        without_empty(self.full())
    }
}

#[derive(Clone, Debug, Default)]
pub struct GroupDeployment {
    pub auto_promote: bool,
    pub auto_revert: bool,
    pub desired: i64,
    pub placed: i64,
    pub healthy: i64,
    pub unhealthy: i64,
    pub progress_deadline: i64,
    pub progress_by: i64,
    pub desired_canaries: i64,
    /// IDs, in the order of placement.
    pub placed_canaries: Vec<String>,
    pub promoted: bool,
}

impl GroupDeployment {
    /// Canaries are wanted and not yet taken over.
    pub fn canarying(&self) -> bool {
        self.desired_canaries > 0 && !self.promoted
    }

    /// How many have to be healthy before the group is done.
    pub fn needed(&self) -> i64 {
        if self.canarying() {
            self.desired_canaries
        } else {
            self.desired
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Deployment {
    pub id: String,
    pub job_id: String,
    pub job_version: i64,
    pub job_modify_index: u64,
    pub job_create_index: u64,
    /// `running`, `paused`, `successful`, `failed` or `cancelled`.
    pub status: &'static str,
    pub why: String,
    pub groups: BTreeMap<String, GroupDeployment>,
    pub create_index: u64,
    pub modify_index: u64,
    /// A look at it is already due.
    pub watched: bool,
}

impl Deployment {
    pub fn namespace(&self) -> &str {
        key_parts(&self.job_id).0
    }
    /// The job's ID as clients know it.
    pub fn shown_job(&self) -> &str {
        key_parts(&self.job_id).1
    }

    pub fn running(&self) -> bool {
        self.status == "running"
    }

    /// Not at an end.
    pub fn active(&self) -> bool {
        ["running", "paused"].contains(&self.status)
    }

    /// Running, and waiting for its canaries to be taken over.
    pub fn awaits_promotion(&self) -> bool {
        self.running() && self.groups.values().any(GroupDeployment::canarying)
    }

    /// What a running deployment says of itself.
    pub fn running_words(&self) -> &'static str {
        let by_itself = |g: &GroupDeployment| g.desired_canaries == 0 || g.auto_promote;
        match (self.awaits_promotion(), self.groups.values().all(by_itself)) {
            (false, _) => "Deployment is running",
            (true, true) => "Deployment is running pending automatic promotion",
            (true, false) => "Deployment is running but requires manual promotion",
        }
    }

    pub fn json(&self) -> Value {
        let groups = or_null(self.groups.iter().map(|(name, g)| {
            let canaries = if g.placed_canaries.is_empty() { Value::Null } else { json!(g.placed_canaries) };
            let state = json!({"AutoPromote": g.auto_promote, "AutoRevert": g.auto_revert, "DesiredCanaries": g.desired_canaries, "DesiredTotal": g.desired,
                "HealthyAllocs": g.healthy, "PlacedAllocs": g.placed, "PlacedCanaries": canaries, "ProgressDeadline": g.progress_deadline,
                "Promoted": g.promoted, "RequireProgressBy": time(g.progress_by), "UnhealthyAllocs": g.unhealthy});
            (name.clone(), state)
        }));
        json!({"CreateIndex": self.create_index, "ID": self.id, "IsMultiregion": false, "JobCreateIndex": self.job_create_index,
            "JobID": self.shown_job(), "JobModifyIndex": self.job_modify_index, "JobSpecModifyIndex": self.job_modify_index,
            "JobVersion": self.job_version, "ModifyIndex": self.modify_index, "Namespace": self.namespace(), "Status": self.status,
            "StatusDescription": self.why, "TaskGroups": groups})
    }
}
