//! Evaluations: born, processed, blocked, and woken again; a plan becomes state here and nowhere else.

use super::super::client;
use super::super::json::*;
use super::super::state::alloc::Alloc;
use super::super::state::records::{Deployment, Eval};
use super::super::state::{State, Wake, now, span};
use super::{Plan, Stop, plan};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Everything of a [`Plan`] that lives on when the state is no longer borrowed.
struct Decided {
    job: Option<Arc<Value>>,
    stops: Vec<Stop>,
    in_place: Vec<String>,
    preempted: Vec<(String, String)>,
    placed: Vec<Alloc>,
    new_deployment: Option<Deployment>,
    deployment_news: Vec<(String, &'static str, &'static str)>,
    deployment: String,
    later: Vec<(i64, Vec<String>)>,
    changes: bool,
    failed: BTreeMap<String, Value>,
    queued: BTreeMap<String, i64>,
    classes: BTreeMap<String, bool>,
    escaped: bool,
}

impl From<Plan<'_>> for Decided {
    fn from(plan: Plan<'_>) -> Decided {
        Decided {
            changes: plan.changes(),
            failed: plan
                .failed
                .iter()
                .map(|(k, m)| (k.clone(), m.json()))
                .collect(),
            classes: plan.classes(),
            job: plan.job,
            stops: plan.stops,
            in_place: plan.in_place,
            preempted: plan.preempted,
            placed: plan.proposed.placed,
            new_deployment: plan.new_deployment,
            deployment_news: plan.deployment_news,
            deployment: plan.deployment,
            later: plan.later,
            queued: plan.queued,
            escaped: plan.escaped,
        }
    }
}

impl State {
    /// A new evaluation of a job, at the current index, waiting to be processed.
    pub fn create_eval(
        &mut self,
        job_id: &str,
        job: &Value,
        why: &'static str,
        event: &str,
    ) -> String {
        let eval = Eval {
            id: self.uuid(),
            priority: int(job, "Priority").max(1),
            kind: text(job, "Type").to_string(),
            triggered_by: why,
            job_id: job_id.into(),
            status: "pending",
            create_index: self.index,
            create_time: now(),
            ..Eval::default()
        };
        self.enqueue(eval, event)
    }

    /// Store a pending evaluation at the current index and have it processed soon.
    pub fn enqueue(&mut self, eval: Eval, event: &str) -> String {
        let id = eval.id.clone();
        self.evals.insert(id.clone(), eval);
        self.touch_eval(&id, event);
        self.queue.push_back(id.clone());
        let delay = self.config.eval_delay;
        self.after(delay, Wake::Evals);
        id
    }

    /// Process all evaluations that wait.
    pub fn process_evals(&mut self) {
        while let Some(id) = self.next_eval() {
            if self.evals.get(&id).is_some_and(|e| e.status == "pending") {
                self.process(&id);
            }
        }
        self.drain_step();
    }

    /// The first of those with the highest priority.
    fn next_eval(&mut self) -> Option<String> {
        let priority = |id: &String| self.evals.get(id).map_or(0, |e| e.priority);
        let highest = self.queue.iter().map(priority).max()?;
        let at = self.queue.iter().position(|id| priority(id) == highest)?;
        self.queue.remove(at)
    }

    fn process(&mut self, id: &str) {
        let eval = self.evals[id].clone();
        let snapshot = self.index;
        let mut rng = self.rng.clone();
        let job = self.job(&eval.job_id).map(|j| Arc::new(j.clone()));
        let decided: Decided = plan(self, job, &eval, &mut rng).into();
        self.rng = rng;
        let blocked = if decided.failed.is_empty() {
            None
        } else {
            self.block(&eval, &decided)
        };
        let mut deployment = self.apply(&eval, &decided);
        if deployment.is_empty() {
            let latest = self.deployment_of(&eval.job_id);
            deployment = latest.map_or(String::new(), |d| d.id.clone());
        }
        if blocked.as_deref() == Some(id) {
            return;
        }
        self.next_index();
        if decided.failed.is_empty() {
            self.cancel_blocked(&eval.job_id, id);
        }
        if let Some(eval) = self.evals.get_mut(id) {
            eval.status = "complete";
            eval.snapshot = snapshot;
            eval.blocked = blocked.unwrap_or_default();
            eval.failed = decided.failed;
            eval.queued = decided.job.is_some().then_some(decided.queued);
            if !deployment.is_empty() {
                eval.deployment = deployment;
            }
        }
        let job_id = eval.job_id;
        self.touch_eval(id, "EvaluationUpdated");
        self.update_job_status(&job_id, "EvaluationUpdated");
        self.touch_summary(&job_id);
    }

    /// Keep what could not be placed for later; the evaluation itself if it was blocked before.
    fn block(&mut self, eval: &Eval, decided: &Decided) -> Option<String> {
        self.next_index();
        let index = self.index;
        if eval.triggered_by == "queued-allocs" {
            let again = self.evals.get_mut(&eval.id)?;
            again.status = "blocked";
            again.queued = Some(decided.queued.clone());
            again.classes = decided.classes.clone();
            self.touch_eval(&eval.id, "EvaluationUpdated");
            return Some(eval.id.clone());
        }
        let duplicates: Vec<String> = (self.evals.values())
            .filter(|e| e.status == "blocked" && e.job_id == eval.job_id)
            .map(|e| e.id.clone())
            .collect();
        for id in duplicates {
            if let Some(old) = self.evals.get_mut(&id) {
                old.status = "canceled";
                old.why = format!(
                    "existing blocked evaluation exists for job {:?}",
                    key_parts(&eval.job_id).1
                );
            }
            self.touch_eval(&id, "EvaluationUpdated");
        }
        let blocked = Eval {
            id: self.uuid(),
            priority: eval.priority,
            kind: eval.kind.clone(),
            triggered_by: "queued-allocs",
            job_id: eval.job_id.clone(),
            job_modify_index: eval.job_modify_index,
            status: "blocked",
            why: "created to place remaining allocations".into(),
            previous: eval.id.clone(),
            classes: decided.classes.clone(),
            escaped: decided.escaped,
            create_index: index,
            create_time: now(),
            ..Eval::default()
        };
        let id = blocked.id.clone();
        self.evals.insert(id.clone(), blocked);
        self.touch_eval(&id, "EvaluationUpdated");
        Some(id)
    }

    fn cancel_blocked(&mut self, job: &str, by: &str) {
        let ids: Vec<String> = (self.evals.values())
            .filter(|e| e.status == "blocked" && e.job_id == job && e.id != by)
            .map(|e| e.id.clone())
            .collect();
        for id in ids {
            if let Some(eval) = self.evals.get_mut(&id) {
                eval.status = "canceled";
                eval.why = format!("evaluation {id:?} successful");
            }
            self.touch_eval(&id, "EvaluationUpdated");
        }
    }

    /// Capacity may have come free: try again what is blocked.
    pub fn unblock(&mut self) {
        let ids: Vec<String> = self
            .evals
            .values()
            .filter(|e| e.status == "blocked")
            .map(|e| e.id.clone())
            .collect();
        if ids.is_empty() {
            return;
        }
        self.next_index();
        for id in ids {
            if let Some(eval) = self.evals.get_mut(&id) {
                eval.status = "pending";
            }
            self.touch_eval(&id, "EvaluationUpdated");
            self.queue.push_back(id);
        }
        let delay = self.config.eval_delay;
        self.after(delay, Wake::Evals);
    }

    /// Write the plan into the tables; returns the deployment it belongs to.
    fn apply(&mut self, eval: &Eval, decided: &Decided) -> String {
        let mut deployment = decided.deployment.clone();
        if !decided.changes {
            return deployment;
        }
        let index = self.next_index();
        self.touch_eval(&eval.id, "PlanResult");
        if let Some(new) = &decided.new_deployment {
            deployment = self.begin_deployment(new.clone(), index);
        }
        for (id, status, why) in &decided.deployment_news {
            self.end_deployment(id, status, why, "PlanResult");
        }
        for stop in &decided.stops {
            self.apply_stop(stop);
        }
        for (by, victim) in &decided.preempted {
            self.apply_preemption(by, victim);
        }
        for (at, allocs) in &decided.later {
            self.follow_up(eval, *at, allocs);
        }
        self.apply_in_place(eval, decided, &deployment);
        for alloc in &decided.placed {
            self.apply_placed(
                alloc.clone(),
                index,
                &deployment,
                decided.new_deployment.is_some(),
            );
        }
        self.touch_counted(&deployment);
        self.evals_of_preempted(&decided.preempted);
        self.update_job_status(&eval.job_id, "PlanResult");
        let nodes: Vec<String> = self.nodes.keys().cloned().collect();
        nodes.iter().for_each(|node| client::pull(self, node));
        deployment
    }

    fn begin_deployment(&mut self, mut new: Deployment, index: u64) -> String {
        new.id = self.uuid();
        new.create_index = index;
        let id = new.id.clone();
        self.deployments.insert(id.clone(), new);
        id
    }

    /// Something of a deployment's group has been placed; with the first its progress deadline begins to run.
    fn count_placed(&mut self, deployment: &str, group: &str, canary: Option<&str>) -> bool {
        let deployment_of = self.deployments.get_mut(deployment);
        let Some(group) = deployment_of.and_then(|d| d.groups.get_mut(group)) else {
            return false;
        };
        group.placed += 1;
        group.placed_canaries.extend(canary.map(String::from));
        if group.progress_deadline > 0 && group.progress_by == 0 {
            group.progress_by = now() + group.progress_deadline;
            let wait = span(group.progress_deadline);
            self.after(wait, Wake::ProgressDue(deployment.into()));
        }
        true
    }

    /// The deployment's counts have changed with the plan.
    fn touch_counted(&mut self, id: &str) {
        if self.deployments.get(id).is_some_and(Deployment::active) {
            self.touch_deployment(id, "PlanResult");
        }
    }

    fn apply_stop(&mut self, stop: &Stop) {
        let Some(alloc) = self.allocs.get_mut(&stop.alloc) else {
            return;
        };
        if alloc.desired != "stop" {
            alloc.desired = "stop";
            alloc.desired_why = stop.why.into();
        }
        if stop.lost {
            alloc.client = "lost";
        }
        self.touch_alloc(&stop.alloc, "PlanResult", false);
    }

    fn apply_preemption(&mut self, by: &str, victim: &str) {
        let Some(alloc) = self.allocs.get_mut(victim) else {
            return;
        };
        alloc.desired = "evict";
        alloc.desired_why = format!("Preempted by alloc ID {by}");
        alloc.preempted_by = by.into();
        self.touch_alloc(victim, "PlanResult", false);
    }

    /// The jobs that lost something look for another place.
    fn evals_of_preempted(&mut self, preempted: &[(String, String)]) {
        let jobs: BTreeSet<String> = preempted
            .iter()
            .filter_map(|(_, victim)| Some(self.allocs.get(victim)?.job_id.clone()))
            .collect();
        for id in jobs {
            if let Some(job) = self.job(&id).cloned() {
                self.create_eval(&id, &job, "preemption", "PlanResult");
            }
        }
    }

    fn apply_in_place(&mut self, eval: &Eval, decided: &Decided, deployment: &str) {
        let Some(job) = &decided.job else { return };
        for id in &decided.in_place {
            let Some(alloc) = self.allocs.get_mut(id) else {
                continue;
            };
            alloc.job = job.clone();
            alloc.eval_id = eval.id.clone();
            alloc.deployment = String::new();
            alloc.canary = false;
            alloc.health = None;
            alloc.view.health = None;
            let group = alloc.group.clone();
            if self.count_placed(deployment, &group, None)
                && let Some(alloc) = self.allocs.get_mut(id)
            {
                alloc.deployment = deployment.into();
            }
            self.touch_alloc(id, "PlanResult", false);
            client::changed_in_place(self, id);
        }
    }

    fn apply_placed(&mut self, mut alloc: Alloc, index: u64, deployment: &str, fresh: bool) {
        if fresh && alloc.deployment.is_empty() {
            alloc.deployment = deployment.into();
        }
        let canary = alloc.canary.then_some(alloc.id.as_str());
        if !self.count_placed(&alloc.deployment, &alloc.group, canary) {
            alloc.deployment = String::new();
        }
        alloc.create_index = index;
        let id = alloc.id.clone();
        if let Some(old) = self.allocs.get_mut(&alloc.previous) {
            old.next = id.clone();
        }
        self.allocs.insert(id.clone(), alloc);
        self.touch_alloc(&id, "PlanResult", false);
    }

    /// An evaluation that waits until a failed allocation may be rescheduled.
    fn follow_up(&mut self, eval: &Eval, at: i64, allocs: &[String]) {
        let follow_up = Eval {
            id: self.uuid(),
            priority: eval.priority,
            kind: eval.kind.clone(),
            triggered_by: "alloc-failure",
            job_id: eval.job_id.clone(),
            job_modify_index: eval.job_modify_index,
            status: "pending",
            why: "created for delayed rescheduling".into(),
            wait_until: at,
            previous: eval.id.clone(),
            create_index: self.index,
            create_time: now(),
            ..Eval::default()
        };
        let id = follow_up.id.clone();
        self.evals.insert(id.clone(), follow_up);
        self.touch_eval(&id, "PlanResult");
        for alloc in allocs {
            if let Some(alloc) = self.allocs.get_mut(alloc) {
                alloc.follow_up = id.clone();
            }
            self.touch_alloc(alloc, "PlanResult", false);
        }
        self.after(span(at - now()), Wake::FollowUp(id));
    }

    /// A delayed rescheduling is due.
    pub fn follow_up_due(&mut self, id: &str) {
        for alloc in self.allocs.values_mut().filter(|a| a.follow_up == id) {
            alloc.follow_up = String::new();
        }
        self.queue.push_back(id.into());
        self.process_evals();
    }

    /// Work out a job's status anew at the current index.
    pub fn update_job_status(&mut self, id: &str, event: &str) {
        let Some(job) = self.job(id) else { return };
        let active = self.allocs_of(id).any(|a| !a.terminal());
        let pending = self.evals.values().any(|e| e.job_id == id && !e.terminal());
        let status = match (text(job, "Type"), flag(job, "Stop")) {
            ("system", true) => "dead",
            ("system", false) => "running",
            _ if active => "running",
            _ if pending => "pending",
            _ => "dead",
        };
        if text(job, "Status") != status {
            if let Some(record) = self.jobs.get_mut(id) {
                record.versions[0]["Status"] = status.into();
            }
            self.touch_job(id, event);
        }
    }
}
