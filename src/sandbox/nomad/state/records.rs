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
            "FailedTGAllocs": failed, "ID": self.id, "JobID": self.job_id, "JobModifyIndex": self.job_modify_index, "LeaderACL": "",
            "ModifyIndex": self.modify_index, "ModifyTime": self.modify_time, "Namespace": "default", "NextEval": "",
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
}

#[derive(Clone, Debug, Default)]
pub struct Deployment {
    pub id: String,
    pub job_id: String,
    pub job_version: i64,
    pub job_modify_index: u64,
    pub job_create_index: u64,
    /// `running`, `successful`, `failed` or `cancelled`.
    pub status: &'static str,
    pub why: String,
    pub groups: BTreeMap<String, GroupDeployment>,
    pub create_index: u64,
    pub modify_index: u64,
    /// A look at it is already due.
    pub watched: bool,
}

impl Deployment {
    pub fn running(&self) -> bool {
        self.status == "running"
    }

    pub fn json(&self) -> Value {
        let groups = or_null(self.groups.iter().map(|(name, g)| {
            let state = json!({"AutoPromote": g.auto_promote, "AutoRevert": g.auto_revert, "DesiredCanaries": 0, "DesiredTotal": g.desired,
                "HealthyAllocs": g.healthy, "PlacedAllocs": g.placed, "PlacedCanaries": null, "ProgressDeadline": g.progress_deadline,
                "Promoted": false, "RequireProgressBy": time(g.progress_by), "UnhealthyAllocs": g.unhealthy});
            (name.clone(), state)
        }));
        json!({"CreateIndex": self.create_index, "ID": self.id, "IsMultiregion": false, "JobCreateIndex": self.job_create_index,
            "JobID": self.job_id, "JobModifyIndex": self.job_modify_index, "JobSpecModifyIndex": self.job_modify_index,
            "JobVersion": self.job_version, "ModifyIndex": self.modify_index, "Namespace": "default", "Status": self.status,
            "StatusDescription": self.why, "TaskGroups": groups})
    }
}
