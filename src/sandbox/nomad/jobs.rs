//! What clients do to jobs: register, plan, stop, scale.

use super::canonical::canonical_job;
use super::diff;
use super::json::*;
use super::scheduler;
use super::state::records::Eval;
use super::state::{JobRecord, State, now};
use super::validate::{faults, listed};
use serde_json::{Map, Value, json};
use std::sync::Arc;

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

type Answer = Result<Value, Refusal>;

/// The job of a request body, as the server would keep it.
fn job_of(body: &Value) -> Answer {
    match body.get("Job") {
        Some(job) if job.is_object() && !text(job, "ID").is_empty() => {
            Ok(canonical_job(job.clone()))
        }
        Some(job) if job.is_object() => Err(Refusal::new(400, "Job ID hasn't been provided")),
        _ => Err(Refusal::new(400, "Job must be specified")),
    }
}

/// What must not count as a change of a job.
fn spec(job: &Value) -> Value {
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
    spec
}

impl State {
    /// `POST /v1/jobs` and `POST /v1/job/:id`. Returns the answer; the index is its `Index`.
    pub fn register(&mut self, body: &Value) -> Answer {
        let job = job_of(body)?;
        let faults = faults(&job);
        if !faults.is_empty() {
            return Err(Refusal::new(500, listed(&faults)));
        }
        let id = text(&job, "ID").to_string();
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
                format!("Enforcing job modify index 0: job already exists")
            }
            Some(has) if has != wanted => format!(
                "Enforcing job modify index {wanted}: job exists with conflicting job modify index: {has}"
            ),
            _ => return Ok(()),
        };
        Err(Refusal::new(500, clash))
    }

    fn job_eval(&mut self, id: &str, job: &Value, why: &'static str, event: &str) -> String {
        let modify_index = int(job, "JobModifyIndex") as u64;
        let eval = self.create_eval(id, job, why, event);
        if let Some(e) = self.evals.get_mut(&eval) {
            e.job_modify_index = modify_index;
        }
        eval
    }

    /// Store a version of a job at `index`; one that changes nothing keeps its version.
    fn upsert_job(&mut self, mut job: Value, index: u64, event: &str) {
        let id = text(&job, "ID").to_string();
        let record = self.jobs.entry(id.clone()).or_default();
        let old = record
            .versions
            .first()
            .filter(|_| !record.versions.is_empty());
        let changed = old.is_none_or(|old| spec(old) != spec(&job));
        let (created, version, status) = match old {
            Some(old) => (
                old["CreateIndex"].clone(),
                int(old, "Version") + i64::from(changed),
                text(old, "Status"),
            ),
            None => (index.into(), 0, "pending"),
        };
        let status = if status == "dead" { "pending" } else { status }.to_string();
        job["CreateIndex"] = created;
        job["Version"] = version.into();
        job["Status"] = status.into();
        job["ModifyIndex"] = index.into();
        job["JobModifyIndex"] = if changed {
            index.into()
        } else {
            old.map_or(index.into(), |o| o["JobModifyIndex"].clone())
        };
        job["SubmitTime"] = now().into();
        if changed {
            record.versions.insert(0, job);
            record.versions.truncate(VERSIONS);
        } else {
            record.versions[0] = job;
        }
        record.summary_index = index;
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
    fn keep_stable(&mut self, id: &str, stable: bool) {
        if let Some(record) = self.jobs.get_mut(id) {
            record.versions[0]["Stable"] = stable.into();
        }
    }

    /// `POST /v1/job/:id/scale`
    pub fn scale(&mut self, id: &str, body: &Value) -> Answer {
        let group = body
            .get("Target")
            .map_or("", |t| text(t, "Group"))
            .to_string();
        if group.is_empty() {
            return Err(Refusal::new(
                400,
                "missing task group name for scaling action",
            ));
        }
        let message = text(body, "Message");
        let error = flag(body, "Error");
        let count = body
            .get("Count")
            .filter(|c| !c.is_null())
            .map(|_| int(body, "Count"));
        if error && count.is_some() {
            return Err(Refusal::new(
                400,
                "scaling action should not contain count if error is true",
            ));
        }
        if count.is_some_and(|c| c < 0) {
            return Err(Refusal::new(400, "scaling action count can't be negative"));
        }
        let Some(job) = self.job(id).cloned() else {
            return Err(Refusal::new(404, format!("job {id:?} not found")));
        };
        let found = list(&job, "TaskGroups")
            .iter()
            .find(|g| text(g, "Name") == group);
        let Some(before) = found.map(|g| int(g, "Count")) else {
            return Err(Refusal::new(
                400,
                format!("task group {group:?} specified for scaling does not exist in job"),
            ));
        };
        let mut eval = (String::new(), 0);
        if let Some(count) = count {
            eval = self.scale_to(id, job, &group, count)?;
        }
        let index = self.next_index();
        let event = json!({"Count": count, "CreateIndex": index, "Error": error, "EvalID": eval.0, "Message": message,
            "Meta": body.get("Meta").cloned().unwrap_or(Value::Null), "PreviousCount": before, "Time": now()});
        self.tables.scaling = index;
        let record = self.jobs.entry(id.to_string()).or_default();
        record.scaling.entry(group).or_default().insert(0, event);
        let modify_index = record
            .versions
            .first()
            .map_or(Value::Null, |j| j["JobModifyIndex"].clone());
        Ok(
            json!({"EvalCreateIndex": eval.1, "EvalID": eval.0, "Index": index, "JobModifyIndex": modify_index, "KnownLeader": true,
            "LastContact": 0, "Warnings": ""}),
        )
    }

    fn scale_to(
        &mut self,
        id: &str,
        mut job: Value,
        group: &str,
        count: i64,
    ) -> Result<(String, u64), Refusal> {
        if self.deployment_of(id).is_some_and(|d| d.running()) && !flag(&job, "Stop") {
            return Err(Refusal::new(
                400,
                "job scaling blocked due to active deployment",
            ));
        }
        let stable = flag(&job, "Stable");
        set_count(&mut job, group, count);
        // Nomad 1.0.18 writes the count into the version before as well.
        if let Some(current) = self
            .jobs
            .get_mut(id)
            .and_then(|r| r.versions.first_mut())
            .filter(|c| spec(c) != spec(&job))
        {
            let older = current.clone();
            let index = self.next_index();
            self.upsert_job(job, index, "JobRegistered");
            self.keep_stable(id, stable);
            if let Some(before) = self.jobs.get_mut(id).and_then(|r| r.versions.get_mut(1)) {
                *before = older;
                set_count(before, group, count);
            }
        }
        let current = self.job(id).cloned().unwrap_or(Value::Null);
        let index = self.next_index();
        Ok((
            self.job_eval(id, &current, "job-scaling", "EvaluationUpdated"),
            index,
        ))
    }

    /// `POST /v1/job/:id/evaluate`
    pub fn evaluate(&mut self, id: &str) -> Answer {
        let Some(job) = self.job(id).cloned() else {
            return Err(Refusal::new(404, "job not found"));
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
        let mut job = job_of(body)?;
        if text(&job, "ID") != id {
            return Err(Refusal::new(400, "Job ID does not match"));
        }
        let faults = faults(&job);
        if !faults.is_empty() {
            return Err(Refusal::new(500, listed(&faults)));
        }
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
            json!({"Annotations": {"DesiredTGUpdates": updates, "PreemptedAllocs": null}, "CreatedEvals": created, "Diff": diff,
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

fn set_count(job: &mut Value, group: &str, count: i64) {
    for g in objects_mut(job, "TaskGroups") {
        if text(g, "Name") == group {
            g["Count"] = count.into();
        }
    }
}

/// `POST /v1/validate/job`
pub fn validate(body: &Value) -> Answer {
    let job = job_of(body)?;
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

/// `GET /v1/job/:id/scale`
pub fn scale_status(state: &State, id: &str) -> Option<Value> {
    let record: &JobRecord = state.jobs.get(id)?;
    let job = record.current();
    let mut groups = Map::new();
    for group in list(job, "TaskGroups") {
        let name = text(group, "Name");
        let live: Vec<_> = state
            .allocs_of(id)
            .filter(|a| a.group == name && !a.terminal())
            .collect();
        let health = |wanted: bool| {
            live.iter()
                .filter(|a| a.health.as_ref().is_some_and(|h| h.healthy == wanted))
                .count()
        };
        let events = record.scaling.get(name).map_or(Value::Null, |e| json!(e));
        groups.insert(
            name.into(),
            json!({"Desired": group["Count"], "Events": events, "Healthy": health(true), "Placed": live.len(),
                "Running": live.iter().filter(|a| a.client == "running").count(), "Unhealthy": health(false)}),
        );
    }
    Some(
        json!({"JobCreateIndex": job["CreateIndex"], "JobID": id, "JobModifyIndex": job["ModifyIndex"], "JobStopped": job["Stop"],
        "Namespace": "default", "TaskGroups": groups}),
    )
}
