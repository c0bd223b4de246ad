//! Scaling: counts changed by request, and the policies that bound them.

use super::jobs::{Answer, Refusal, spec};
use super::json::*;
use super::state::alloc::group_of;
use super::state::{JobRecord, State, now};
use rand::rngs::StdRng;
use serde_json::{Map, Value, json};

/// What a scaling request asks for.
struct Scaling {
    group: String,
    count: Option<i64>,
    error: bool,
}

impl Scaling {
    fn of(body: &Value) -> Result<Scaling, Refusal> {
        let group = body
            .get("Target")
            .map_or("", |t| text(t, "Group"))
            .to_string();
        let count = body
            .get("Count")
            .filter(|c| !c.is_null())
            .map(|_| int(body, "Count"));
        let error = flag(body, "Error");
        let why = match count {
            _ if group.is_empty() => "missing task group name for scaling action",
            Some(_) if error => "scaling action should not contain count if error is true",
            Some(c) if c < 0 => "scaling action count can't be negative",
            _ => {
                return Ok(Scaling {
                    group,
                    count,
                    error,
                });
            }
        };
        Err(Refusal::new(400, why))
    }
}

/// A count must keep to the bounds of the group's `scaling` stanza.
fn within_bounds(group: &Value, count: i64) -> Result<(), Refusal> {
    let Some(policy) = group.get("Scaling").filter(|s| s.is_object()) else {
        return Ok(());
    };
    let (min, max) = (
        int(policy, "Min"),
        policy
            .get("Max")
            .and_then(Value::as_i64)
            .unwrap_or(i64::MAX),
    );
    let why = if count < min {
        format!("group count was less than scaling policy minimum: {count} < {min}")
    } else if count > max {
        format!("group count was greater than scaling policy maximum: {count} > {max}")
    } else {
        return Ok(());
    };
    Err(Refusal::new(400, why))
}

impl State {
    /// `POST /v1/job/:id/scale`
    pub fn scale(&mut self, id: &str, body: &Value) -> Answer {
        let wish = Scaling::of(body)?;
        let Some(job) = self.job(id).cloned() else {
            return Err(Refusal::new(
                404,
                format!("job {:?} not found", key_parts(id).1),
            ));
        };
        let found = list(&job, "TaskGroups")
            .iter()
            .find(|g| text(g, "Name") == wish.group);
        let Some(group) = found else {
            let why = format!(
                "task group {:?} specified for scaling does not exist in job",
                wish.group
            );
            return Err(Refusal::new(400, why));
        };
        let before = int(group, "Count");
        let mut eval = (String::new(), 0);
        if let Some(count) = wish.count {
            within_bounds(group, count)?;
            self.may_scale(&job, body)?;
            eval = self.scale_to(id, job, &wish.group, count);
        }
        let index = self.next_index();
        let event = json!({"Count": wish.count, "CreateIndex": index, "Error": wish.error, "EvalID": eval.0,
            "Message": text(body, "Message"), "Meta": body.get("Meta").cloned().unwrap_or(Value::Null), "PreviousCount": before,
            "Time": now()});
        self.tables.scaling = index;
        let record = self.jobs.entry(id.to_string()).or_default();
        record
            .scaling
            .entry(wish.group)
            .or_default()
            .insert(0, event);
        let modify_index = record
            .versions
            .first()
            .map_or(Value::Null, |j| j["JobModifyIndex"].clone());
        Ok(
            json!({"EvalCreateIndex": eval.1, "EvalID": eval.0, "Index": index, "JobModifyIndex": modify_index, "KnownLeader": true,
            "LastContact": 0, "Warnings": ""}),
        )
    }

    fn may_scale(&self, job: &Value, body: &Value) -> Result<(), Refusal> {
        let created = int(job, "CreateIndex") as u64;
        let busy = self
            .deployment_of(&key_of(job))
            .is_some_and(|d| d.active() && d.job_create_index == created);
        if busy {
            return Err(Refusal::new(
                400,
                "job scaling blocked due to active deployment",
            ));
        }
        let (wanted, has) = (int(body, "JobModifyIndex"), int(job, "JobModifyIndex"));
        if wanted > 0 && wanted != has {
            let why = format!(
                "Enforcing job modify index {wanted}: job exists with conflicting job modify index: {has}"
            );
            return Err(Refusal::new(500, why));
        }
        Ok(())
    }

    fn scale_to(&mut self, id: &str, mut job: Value, group: &str, count: i64) -> (String, u64) {
        let stable = flag(&job, "Stable");
        let older = job.clone();
        set_count(&mut job, group, count);
        if spec(&older) != spec(&job) {
            let index = self.next_index();
            self.upsert_job(job, index, "JobRegistered");
            self.keep_stable(id, stable);
            // Nomad 1.0.18 writes the count into the version before as well.
            if let Some(before) = self.jobs.get_mut(id).and_then(|r| r.versions.get_mut(1)) {
                set_count(before, group, count);
            }
        }
        let current = self.job(id).cloned().unwrap_or(Value::Null);
        let index = self.next_index();
        (
            self.job_eval(id, &current, "job-scaling", "EvaluationUpdated"),
            index,
        )
    }

    /// The `scaling` stanzas of all jobs that are not stopped.
    pub fn scaling_policies(&self) -> Vec<Value> {
        let jobs = self.jobs.values().map(JobRecord::current);
        let running = jobs.filter(|j| !flag(j, "Stop"));
        running
            .flat_map(|j| list(j, "TaskGroups"))
            .filter_map(|g| g.get("Scaling").filter(|s| s.is_object()).cloned())
            .collect()
    }
}

/// A scaling policy keeps its ID from version to version. Returns whether one is new or has changed.
pub fn keep_policies(old: Option<&Value>, job: &mut Value, index: u64, rng: &mut StdRng) -> bool {
    let mut changed = false;
    for group in objects_mut(job, "TaskGroups") {
        let before = old.map(|o| &group_of(o, text(group, "Name"))["Scaling"]);
        let before = before.filter(|b| b.is_object()).cloned();
        let Some(policy) = group.get_mut("Scaling").filter(|p| p.is_object()) else {
            continue;
        };
        let (id, created) = match &before {
            Some(b) => (b["ID"].clone(), b["CreateIndex"].clone()),
            None => (super::state::uuid_of(rng).into(), index.into()),
        };
        policy["ID"] = id;
        policy["CreateIndex"] = created;
        let same = |b: &&Value| {
            ["Min", "Max", "Policy", "Enabled", "Type"]
                .iter()
                .all(|k| b.get(k) == policy.get(k))
        };
        let at = before
            .as_ref()
            .filter(same)
            .map(|b| b["ModifyIndex"].clone());
        changed |= at.is_none();
        policy["ModifyIndex"] = at.unwrap_or_else(|| index.into());
    }
    changed
}

fn set_count(job: &mut Value, group: &str, count: i64) {
    for g in objects_mut(job, "TaskGroups") {
        if text(g, "Name") == group {
            g["Count"] = count.into();
        }
    }
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
        json!({"JobCreateIndex": job["CreateIndex"], "JobID": job["ID"], "JobModifyIndex": job["ModifyIndex"], "JobStopped": job["Stop"],
        "Namespace": job["Namespace"], "TaskGroups": groups}),
    )
}
