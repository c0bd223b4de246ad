//! What clients do to jobs: register, plan, stop, scale.

use super::canonical::canonical_job;
use super::diff;
use super::json::*;
use super::scaling::keep_policies;
use super::scheduler;
use super::state::records::Eval;
use super::state::{Mood, State, now};
use super::validate::{faults, listed};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A kind of change that the event stream does not tell.
const UNTOLD: &str = "";
/// How many versions of a job are kept.
const VERSIONS: usize = 6;

/// A refusal as Nomad's HTTP API gives it.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{status}: {message}")]
pub struct Refusal {
    pub status: u16,
    pub message: String,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            message: message.into(),
        }
    }
}

impl Refusal {
    /// As the agent itself words a token it cannot look up.
    pub fn unresolved(self) -> Refusal {
        match self.status {
            500 => Refusal::new(
                500,
                format!("failed to resolve ACL token: {}", self.message),
            ),
            _ => self,
        }
    }
}

pub type Answer = Result<Value, Refusal>;

/// The job of a request body, as the server would keep it.
fn job_of(body: &Value, mood: Mood) -> Answer {
    match body.get("Job") {
        Some(job) if job.is_object() && job.get("ID").is_some_and(Value::is_string) => {
            let mut job = canonical_job(job.clone());
            weights(&mut job, mood);
            Ok(job)
        }
        Some(job) if job.is_object() => Err(Refusal::new(400, "Job ID hasn't been provided")),
        _ => Err(Refusal::new(400, "Job must be specified")),
    }
}

/// `Weights` of service blocks: unknown to older Nomads, which drop what they do not know; with 1 for what is left out since.
fn weights(job: &mut Value, mood: Mood) {
    let each = |owner: &mut Value| {
        for service in objects_mut(owner, "Services") {
            let Some(block) = service.as_object_mut() else {
                continue;
            };
            match mood.keeps_weights() {
                false => drop(block.remove("Weights")),
                true if block.get("Weights").is_some_and(Value::is_object) => {
                    fill_at(service, "Weights", json!({"Passing": 1, "Warning": 1}));
                }
                true => drop(block.insert("Weights".into(), Value::Null)),
            }
        }
    };
    for group in objects_mut(job, "TaskGroups") {
        each(group);
        objects_mut(group, "Tasks").for_each(each);
    }
}

/// What must not count as a change of a job.
pub fn spec(job: &Value) -> Value {
    let mut spec = job.clone();
    if let Some(map) = spec.as_object_mut() {
        for key in [
            "Status",
            "StatusDescription",
            "Stable",
            "Version",
            "CreateIndex",
            "ModifyIndex",
            "JobModifyIndex",
            "SubmitTime",
        ] {
            map.remove(key);
        }
    }
    for group in objects_mut(&mut spec, "TaskGroups") {
        if let Some(Value::Object(policy)) = group.get_mut("Scaling") {
            policy.retain(|k, _| !["ID", "CreateIndex", "ModifyIndex"].contains(&k.as_str()));
        }
    }
    spec
}

impl State {
    /// `POST /v1/jobs` and `POST /v1/job/:id`. Returns the answer; the index is its `Index`.
    pub fn register(&mut self, body: &Value) -> Answer {
        let job = job_of(body, self.config.mood)?;
        self.acceptable(&job)?;
        let id = key_of(&job);
        self.enforce_index(&id, body)?;
        let index = self.next_index();
        self.upsert_job(job, index, "JobRegistered");
        let job = self.job(&id).cloned().unwrap_or(Value::Null);
        let eval = self.job_eval(&id, &job, "job-register", "JobRegistered");
        Ok(
            json!({"EvalCreateIndex": index, "EvalID": eval, "Index": index, "JobModifyIndex": job["JobModifyIndex"], "KnownLeader": false,
            "LastContact": 0, "Warnings": ""}),
        )
    }

    /// Refused if there is something wrong with a job, or nowhere to put it.
    fn acceptable(&self, job: &Value) -> Result<(), Refusal> {
        let faults = faults(job);
        if !faults.is_empty() {
            return Err(Refusal::new(500, listed(&faults)));
        }
        let (id, namespace) = (text(job, "ID"), text(job, "Namespace"));
        if self.namespaces.contains_key(namespace) {
            return Ok(());
        }
        let why = format!("job {id:?} is in nonexistent namespace {namespace:?}");
        Err(Refusal::new(500, why))
    }

    fn enforce_index(&self, id: &str, body: &Value) -> Result<(), Refusal> {
        if !flag(body, "EnforceIndex") {
            return Ok(());
        }
        let wanted = int(body, "JobModifyIndex");
        let current = self.job(id).map(|j| int(j, "JobModifyIndex"));
        let clash = match current {
            None if wanted != 0 => {
                format!("Enforcing job modify index {wanted}: job does not exist")
            }
            Some(_) if wanted == 0 => {
                "Enforcing job modify index 0: job already exists".to_string()
            }
            Some(has) if has != wanted => format!(
                "Enforcing job modify index {wanted}: job exists with conflicting job modify index: {has}"
            ),
            _ => return Ok(()),
        };
        Err(Refusal::new(500, clash))
    }

    pub fn job_eval(&mut self, id: &str, job: &Value, why: &'static str, event: &str) -> String {
        let modify_index = int(job, "JobModifyIndex") as u64;
        let eval = self.create_eval(id, job, why, event);
        if let Some(e) = self.evals.get_mut(&eval) {
            e.job_modify_index = modify_index;
        }
        eval
    }

    /// Store a version of a job at `index`; one that changes nothing is not stored.
    pub fn upsert_job(&mut self, mut job: Value, index: u64, event: &str) {
        let id = key_of(&job);
        let record = self.jobs.entry(id.clone()).or_default();
        let old = record.versions.first();
        if old.is_some_and(|old| spec(old) == spec(&job)) {
            return;
        }
        let (created, version, status) = match old {
            Some(old) => (
                old["CreateIndex"].clone(),
                int(old, "Version") + 1,
                text(old, "Status"),
            ),
            None => (index.into(), 0, "pending"),
        };
        let status = if status == "dead" { "pending" } else { status }.to_string();
        job["CreateIndex"] = created;
        job["Version"] = version.into();
        job["Status"] = status.into();
        job["JobModifyIndex"] = index.into();
        job["SubmitTime"] = now().into();
        if keep_policies(record.versions.first(), &mut job, index, &mut self.rng) {
            self.tables.policies = index;
        }
        record.versions.insert(0, job);
        record.versions.truncate(VERSIONS);
        self.touch_summary(&id);
        self.touch_job(&id, event);
    }

    /// `DELETE /v1/job/:id`
    pub fn deregister(&mut self, id: &str, purge: bool) -> Answer {
        let index = self.next_index();
        let job = self
            .job(id)
            .cloned()
            .unwrap_or_else(|| json!({"Priority": 50, "Type": "service"}));
        if purge {
            self.jobs.remove(id);
            self.tables.jobs = index;
        } else if self.jobs.contains_key(id) {
            let mut stopped = job.clone();
            stopped["Stop"] = true.into();
            self.upsert_job(stopped, index, "JobDeregistered");
            self.keep_stable(id, flag(&job, "Stable"));
        }
        let eval = self.create_eval(id, &job, "job-deregister", "JobDeregistered");
        if let Some(e) = self.evals.get_mut(&eval) {
            e.job_modify_index = index;
        }
        Ok(
            json!({"EvalCreateIndex": index, "EvalID": eval, "Index": index, "JobModifyIndex": index, "KnownLeader": false, "LastContact": 0,
            "VolumeEvalID": "", "VolumeEvalIndex": 0}),
        )
    }

    /// A version made by the server itself keeps the stability of the one before.
    pub fn keep_stable(&mut self, id: &str, stable: bool) {
        if let Some(record) = self.jobs.get_mut(id) {
            record.versions[0]["Stable"] = stable.into();
        }
    }

    /// `POST /v1/job/:id/revert`: register an older version anew.
    pub fn revert(&mut self, id: &str, body: &Value) -> Answer {
        let wanted = int(body, "JobVersion");
        let Some(current) = self.job(id) else {
            return Err(Refusal::new(
                500,
                format!("job {:?} not found", key_parts(id).1),
            ));
        };
        let has = int(current, "Version");
        if wanted == has {
            return Err(Refusal::new(500, "can't revert to current version"));
        }
        let enforced = body.get("EnforcePriorVersion").and_then(Value::as_i64);
        let modify_index = int(current, "JobModifyIndex");
        let older = self.version(id, wanted)?;
        if let Some(enforced) = enforced.filter(|e| *e != has) {
            let why = format!("Current job has version {has}; enforcing version {enforced}");
            return Err(Refusal::new(500, why));
        }
        self.register(&json!({"Job": older, "EnforceIndex": enforced.is_some(), "JobModifyIndex": modify_index}))
    }

    fn version(&self, id: &str, version: i64) -> Answer {
        let versions = self.jobs.get(id).map_or(&[][..], |r| &r.versions);
        let found = versions.iter().find(|v| int(v, "Version") == version);
        found.cloned().ok_or_else(|| {
            let why = format!(
                "job {:?} in namespace {:?} at version {version} not found",
                key_parts(id).1,
                key_parts(id).0
            );
            Refusal::new(500, why)
        })
    }

    /// `POST /v1/job/:id/stable`
    pub fn mark_stable(&mut self, id: &str, body: &Value) -> Answer {
        let version = int(body, "JobVersion");
        self.version(id, version)?;
        let index = self.next_index();
        self.set_stable(id, version, flag(body, "Stable"), UNTOLD);
        Ok(json!({"Index": index}))
    }

    /// `POST /v1/job/:id/evaluate`
    pub fn evaluate(&mut self, id: &str) -> Answer {
        let Some(job) = self.job(id).cloned() else {
            return Err(Refusal::new(500, "job not found"));
        };
        let index = self.next_index();
        let eval = self.job_eval(id, &job, "job-register", "EvaluationUpdated");
        Ok(
            json!({"EvalCreateIndex": index, "EvalID": eval, "Index": index, "JobModifyIndex": job["JobModifyIndex"], "KnownLeader": false,
            "LastContact": 0, "Warnings": ""}),
        )
    }

    /// `POST /v1/job/:id/plan`: what a registration would lead to. Changes nothing.
    pub fn dry_run(&self, id: &str, body: &Value) -> Answer {
        let mut job = job_of(body, self.config.mood)?;
        if text(&job, "ID") != key_parts(id).1 {
            return Err(Refusal::new(400, "Job ID does not match"));
        }
        self.acceptable(&job)?;
        let old = self.job(id);
        let modify_index = old.map_or(0, |o| int(o, "JobModifyIndex"));
        if let Some(old) = old {
            let changed = spec(old) != spec(&job);
            for key in ["CreateIndex", "JobModifyIndex"] {
                job[key] = old[key].clone();
            }
            job["Version"] = (int(old, "Version") + i64::from(changed)).into();
        }
        let mut rng = self.rng.clone();
        let mut eval = Eval {
            id: super::state::uuid_of(&mut rng),
            job_id: id.into(),
            ..Eval::default()
        };
        let job = Arc::new(job);
        let plan = scheduler::plan(self, Some(job.clone()), &eval, &mut rng);
        let updates: Map<String, Value> = plan
            .updates
            .iter()
            .map(|(name, u)| (name.clone(), u.json()))
            .collect();
        let preempted: Vec<Value> = (plan.preempted.iter())
            .filter_map(|(_, victim)| Some(self.allocs.get(victim)?.stub(false)))
            .collect();
        let preempted = Some(preempted).filter(|p| !p.is_empty());
        let failed = or_null(plan.failed.iter().map(|(name, m)| (name.clone(), m.json())));
        let mut created = Value::Null;
        if !plan.failed.is_empty() {
            eval.previous = std::mem::replace(&mut eval.id, super::state::uuid_of(&mut rng));
            let blocked = Eval {
                priority: int(&job, "Priority"),
                kind: text(&job, "Type").into(),
                triggered_by: "queued-allocs",
                status: "blocked",
                why: "created to place remaining allocations".into(),
                classes: plan.classes(),
                escaped: plan.escaped,
                create_time: now(),
                modify_time: now(),
                ..eval
            };
            created = json!([blocked.json()]);
        }
        let diff = if flag(body, "Diff") {
            diff::annotated(diff::job(old, Some(&job)), &plan.updates)
        } else {
            Value::Null
        };
        Ok(
            json!({"Annotations": {"DesiredTGUpdates": updates, "PreemptedAllocs": preempted}, "CreatedEvals": created, "Diff": diff,
            "FailedTGAllocs": failed, "Index": 0, "JobModifyIndex": modify_index, "NextPeriodicLaunch": null, "Warnings": ""}),
        )
    }

    /// `POST /v1/system/gc`: forget what has ended.
    pub fn collect_garbage(&mut self) {
        let ended = |s: &State, job: &str| {
            s.job(job)
                .is_none_or(|j| flag(j, "Stop") && text(j, "Status") == "dead")
        };
        let gone: Vec<String> = (self.allocs.values())
            .filter(|a| {
                a.terminal()
                    && a.client_terminal()
                    && (a.view.finished || !a.view.received)
                    && (a.next.is_empty() || ended(self, &a.job_id))
            })
            .filter(|a| a.server_terminal() || ended(self, &a.job_id))
            .map(|a| a.id.clone())
            .collect();
        let jobs: Vec<String> = self
            .jobs
            .keys()
            .filter(|j| ended(self, j))
            .cloned()
            .collect();
        let index = self.next_index();
        gone.iter().for_each(|id| drop(self.allocs.remove(id)));
        self.evals.retain(|_, e| !e.terminal());
        self.deployments.retain(|_, d| d.running());
        jobs.iter()
            .filter(|j| !self.allocs.values().any(|a| &a.job_id == *j))
            .for_each(|j| drop(self.jobs.remove(j)));
        self.tables = super::state::Tables {
            nodes: self.tables.nodes,
            jobs: index,
            evals: index,
            allocs: index,
            deployments: index,
            ..self.tables
        };
    }
}

/// `POST /v1/validate/job`
pub fn validate(body: &Value) -> Answer {
    let job = job_of(body, Mood::default())?;
    let faults = faults(&job);
    let (error, all) = if faults.is_empty() {
        (String::new(), Value::Null)
    } else {
        (listed(&faults), json!(faults))
    };
    Ok(
        json!({"DriverConfigValidated": true, "Error": error, "ValidationErrors": all, "Warnings": ""}),
    )
}
