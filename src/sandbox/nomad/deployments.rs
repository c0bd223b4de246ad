//! Deployments: counting healthy allocations, taking over canaries, and ending well or badly.

use super::client;
use super::jobs::{Refusal, spec};
use super::json::*;
use super::state::alloc::Health;
use super::state::records::Eval;
use super::state::{State, Wake, now, span};
use super::validate::listed;
use serde_json::{Value, json};

const UPDATE: &str = "DeploymentStatusUpdate";

impl State {
    /// End a deployment at the current index; a successful one makes its job version stable.
    pub fn end_deployment(&mut self, id: &str, status: &'static str, why: &str, event: &str) {
        let Some(deployment) = self.deployments.get_mut(id) else {
            return;
        };
        deployment.status = status;
        deployment.why = why.into();
        let (job, version) = (deployment.job_id.clone(), deployment.job_version);
        self.touch_deployment(id, event);
        if status == "successful" {
            self.set_stable(&job, version, true, event);
        }
    }

    /// Mark a version of a job at the current index; false if there is no such version.
    pub fn set_stable(&mut self, job: &str, version: i64, stable: bool, event: &str) -> bool {
        let versions = self.jobs.get_mut(job).map(|r| &mut r.versions);
        let found = versions
            .into_iter()
            .flatten()
            .find(|v| int(v, "Version") == version);
        let Some(found) = found else { return false };
        if flag(found, "Stable") != stable {
            found["Stable"] = stable.into();
            self.touch_job(job, event);
        }
        true
    }

    /// The client has told an allocation's health, at the current index.
    pub fn take_health(&mut self, alloc_id: &str) {
        let index = self.index;
        let Some(alloc) = self.allocs.get_mut(alloc_id) else {
            return;
        };
        let Some((healthy, at)) = alloc.view.health else {
            return;
        };
        let before = alloc.health.as_ref().map(|h| h.healthy);
        if before.is_some_and(|b| !b || healthy) {
            return;
        }
        alloc.health = Some(Health { healthy, at, index });
        let (id, name) = (alloc.deployment.clone(), alloc.group.clone());
        let Some(deployment) = self.deployments.get_mut(&id) else {
            return;
        };
        let Some(group) = deployment.groups.get_mut(&name) else {
            return;
        };
        if healthy {
            group.healthy += 1;
            if group.progress_deadline > 0 {
                group.progress_by = group.progress_by.max(at + group.progress_deadline);
            }
        } else {
            group.unhealthy += 1;
            group.healthy -= i64::from(before == Some(true));
        }
        let (progress_by, active) = (group.progress_by, deployment.active());
        let first = active && !std::mem::replace(&mut deployment.watched, true);
        self.touch_deployment(&id, "AllocationUpdated");
        if active && progress_by > 0 {
            self.after(span(progress_by - now()), Wake::ProgressDue(id.clone()));
        }
        if first {
            let delay = self.config.deployment_batch;
            self.after(delay, Wake::DeploymentDue(id));
        }
    }

    /// Look at a deployment whose counts have changed: fail it, promote it, or let the scheduler go on with it.
    pub fn deployment_due(&mut self, id: &str) {
        let Some(deployment) = self.deployments.get_mut(id) else {
            return;
        };
        deployment.watched = false;
        if !deployment.active() {
            return;
        }
        let hopeless = deployment.groups.values();
        let hopeless: Vec<bool> = hopeless
            .filter(|g| g.unhealthy > 0 && g.progress_deadline == 0)
            .map(|g| g.auto_revert)
            .collect();
        if !hopeless.is_empty() {
            let revert = hopeless.into_iter().any(|r| r);
            self.fail_deployment(id, "Failed due to unhealthy allocations", revert);
            return;
        }
        if self.may_promote_by_itself(id) {
            // Refused only if a canary has fallen ill meanwhile, and then it waits for the next one.
            let _ = self.promote(id, None);
            return;
        }
        self.next_index();
        let unhealthy: Vec<String> = (self.allocs.values())
            .filter(|a| a.deployment == id && !a.replaceable)
            .filter(|a| a.health.as_ref().is_some_and(|h| !h.healthy))
            .map(|a| a.id.clone())
            .collect();
        for alloc in unhealthy {
            if let Some(alloc) = self.allocs.get_mut(&alloc) {
                alloc.replaceable = true;
            }
            self.touch_alloc(&alloc, "AllocationUpdateDesiredStatus", false);
        }
        self.deployment_eval(id);
    }

    /// A progress deadline has come; fail the deployment unless it has been pushed back or is done.
    pub fn progress_due(&mut self, id: &str) {
        let Some(deployment) = self.deployments.get(id).filter(|d| d.active()) else {
            return;
        };
        let short = || {
            deployment
                .groups
                .values()
                .filter(|g| g.healthy < g.needed())
        };
        let due = |at: i64| at > 0 && at <= now();
        if !short().any(|g| due(g.progress_by)) {
            return;
        }
        let revert = short().any(|g| g.auto_revert);
        self.fail_deployment(id, "Failed due to progress deadline", revert);
    }

    /// Fail a deployment and, if wanted, go back to the last stable version. Returns evaluation, index and that version.
    fn fail_deployment(&mut self, id: &str, why: &str, revert: bool) -> (String, u64, Option<i64>) {
        let index = self.next_index();
        let (mut why, mut back) = (why.to_string(), None);
        if revert && let Some(d) = self.deployments.get(id) {
            let versions = &self.jobs.get(&d.job_id).map(|r| r.versions.clone());
            let versions = versions.as_deref().unwrap_or(&[]);
            let failed = versions.iter().find(|v| int(v, "Version") == d.job_version);
            match versions.iter().find(|v| flag(v, "Stable")) {
                None => why += " - no stable job version to auto revert to",
                Some(stable) if failed.is_some_and(|f| spec(f) == spec(stable)) => {
                    why += &format!(
                        " - not rolling back to stable job version {} as current job has same specification",
                        int(stable, "Version")
                    );
                }
                Some(stable) => {
                    why += &format!(" - rolling back to job version {}", int(stable, "Version"));
                    back = Some(stable.clone());
                }
            }
        }
        self.end_deployment(id, "failed", &why, UPDATE);
        let version = back.as_ref().map(|b| int(b, "Version"));
        if let Some(job) = back {
            self.upsert_job(job, index, UPDATE);
        }
        (self.deployment_eval(id), index, version)
    }

    fn may_promote_by_itself(&self, id: &str) -> bool {
        let Some(d) = self.deployments.get(id).filter(|d| d.awaits_promotion()) else {
            return false;
        };
        let healthy = |id: &String| {
            let alloc = self.allocs.get(id);
            alloc.is_some_and(|a| a.health.as_ref().is_some_and(|h| h.healthy))
        };
        d.groups.values().all(|g| {
            g.auto_promote
                && g.placed_canaries.len() as i64 == g.desired_canaries
                && g.placed_canaries.iter().all(healthy)
        })
    }

    /// Take the healthy canaries of these groups (`None`: all) over. Errors when too few are healthy.
    fn promote(&mut self, id: &str, groups: Option<&[Value]>) -> Result<(String, u64), Refusal> {
        let wanted = |name: &String| groups.is_none_or(|g| g.iter().any(|g| g == name.as_str()));
        let Some(d) = self.deployments.get(id) else {
            return Err(Refusal::new(500, "deployment not found"));
        };
        let (mut healthy, mut short) = (Vec::new(), Vec::new());
        for (name, g) in d.groups.iter().filter(|(name, _)| wanted(name)) {
            let fit = |c: &&String| {
                let alloc = self.allocs.get(*c).filter(|a| !a.terminal());
                alloc.is_some_and(|a| a.health.as_ref().is_some_and(|h| h.healthy))
            };
            let fit: Vec<String> = g.placed_canaries.iter().filter(fit).cloned().collect();
            if (fit.len() as i64) < g.desired_canaries {
                let (have, need) = (fit.len(), g.desired_canaries);
                short.push(format!(
                    "Task group {name:?} has {have}/{need} healthy allocations"
                ));
            }
            healthy.extend(fit);
        }
        if !short.is_empty() {
            return Err(Refusal::new(500, listed(&short)));
        }
        let index = self.next_index();
        if let Some(d) = self.deployments.get_mut(id) {
            for (_, g) in d.groups.iter_mut().filter(|(name, _)| wanted(name)) {
                if g.progress_deadline > 0 && g.progress_by > 0 {
                    g.progress_by = now() + g.progress_deadline;
                }
                g.promoted = true;
            }
            if d.running() && !d.awaits_promotion() {
                d.why = "Deployment is running".into();
            }
        }
        self.touch_deployment(id, "DeploymentPromotion");
        for alloc in healthy {
            if let Some(alloc) = self.allocs.get_mut(&alloc) {
                alloc.canary = false;
                if let Some(health) = &mut alloc.health {
                    health.index = index;
                }
            }
            self.touch_alloc(&alloc, "DeploymentPromotion", false);
            client::changed_in_place(self, &alloc);
        }
        let eval = self.deployment_eval(id);
        Ok((eval, index))
    }

    fn deployment_eval(&mut self, id: &str) -> String {
        let Some(deployment) = self.deployments.get(id) else {
            return String::new();
        };
        let job_id = deployment.job_id.clone();
        let Some(job) = self.job(&job_id) else {
            return String::new();
        };
        let eval = Eval {
            priority: int(job, "Priority"),
            kind: text(job, "Type").into(),
            triggered_by: "deployment-watcher",
            job_id,
            deployment: id.into(),
            status: "pending",
            create_index: self.index,
            create_time: now(),
            ..Eval::default()
        };
        let id = self.uuid();
        self.enqueue(Eval { id, ..eval }, "AllocationUpdateDesiredStatus")
    }

    /// `POST /v1/deployment/{fail,pause,promote,allocation-health}/:id`. The body's `DeploymentID` is checked by the caller.
    pub fn deployment_order(
        &mut self,
        id: &str,
        order: &str,
        body: &Value,
    ) -> Result<Value, Refusal> {
        let Some(d) = self.deployments.get(id) else {
            return Err(Refusal::new(500, "deployment not found"));
        };
        let verb = match order {
            "pause" if flag(body, "Pause") => "pause",
            "pause" => "resume",
            "allocation-health" => "set health of allocations for a",
            other => other,
        };
        if !d.active() {
            return Err(Refusal::new(
                500,
                format!("can't {verb} terminal deployment"),
            ));
        }
        let answer = |index: u64, eval: String, version: Option<i64>| {
            let made = if eval.is_empty() { 0 } else { index };
            Ok(
                json!({"DeploymentModifyIndex": index, "EvalCreateIndex": made, "EvalID": eval, "Index": index, "RevertedJobVersion": version}),
            )
        };
        match order {
            "fail" => {
                let revert = d.groups.values().any(|g| g.auto_revert);
                let (eval, index, back) =
                    self.fail_deployment(id, "Deployment marked as failed", revert);
                answer(index, eval, back)
            }
            "pause" => {
                let (eval, index) = self.pause(id, flag(body, "Pause"));
                answer(index, eval, None)
            }
            "promote" => {
                let groups = (!flag(body, "All")).then(|| list(body, "Groups"));
                let (eval, index) = self.promote(id, groups)?;
                answer(index, eval, None)
            }
            _ => {
                let (index, eval, back) = self.order_health(id, body)?;
                answer(index, eval, back)
            }
        }
    }

    /// Hold a deployment, or go on with it.
    fn pause(&mut self, id: &str, paused: bool) -> (String, u64) {
        let index = self.next_index();
        if paused {
            self.end_deployment(id, "paused", "Deployment is paused", UPDATE);
            return (String::new(), index);
        }
        self.end_deployment(id, "running", "Deployment is running", UPDATE);
        (self.deployment_eval(id), index)
    }

    /// Someone else than the client says which allocations are healthy.
    fn order_health(
        &mut self,
        id: &str,
        body: &Value,
    ) -> Result<(u64, String, Option<i64>), Refusal> {
        let named = |key| list(body, key).iter().filter_map(Value::as_str);
        let all: Vec<(String, bool)> = named("HealthyAllocationIDs")
            .map(|a| (a.to_string(), true))
            .chain(named("UnhealthyAllocationIDs").map(|a| (a.to_string(), false)))
            .collect();
        if all.is_empty() {
            return Err(Refusal::new(
                500,
                "must specify at least one healthy/unhealthy allocation ID",
            ));
        }
        for (alloc, _) in &all {
            let part = self.allocs.get(alloc).map(|a| a.deployment == id);
            let why = match part {
                None => format!("unknown alloc {alloc:?}"),
                Some(false) => format!("alloc {alloc:?} is not part of deployment {id:?}"),
                Some(true) => continue,
            };
            return Err(Refusal::new(500, why));
        }
        let mut index = self.next_index();
        for (alloc, healthy) in &all {
            if let Some(alloc) = self.allocs.get_mut(alloc) {
                alloc.view.health = Some((*healthy, now()));
            }
            self.take_health(alloc);
            self.touch_alloc(alloc, "DeploymentAllocHealth", false);
        }
        if all.iter().all(|(_, healthy)| *healthy) {
            return Ok((index, self.deployment_eval(id), None));
        }
        let groups = self.deployments.get(id).map(|d| d.groups.clone());
        let revert = all.iter().filter(|(_, h)| !h).any(|(alloc, _)| {
            let group = self.allocs.get(alloc).map(|a| &a.group);
            group
                .zip(groups.as_ref())
                .and_then(|(g, all)| all.get(g))
                .is_some_and(|g| g.auto_revert)
        });
        let eval;
        let back;
        (eval, index, back) =
            self.fail_deployment(id, "Failed due to unhealthy allocations", revert);
        Ok((index, eval, back))
    }
}
