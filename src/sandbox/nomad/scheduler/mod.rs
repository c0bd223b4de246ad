//! From a job and what runs of it to a plan: what to stop, to keep, to change in place and to put where.

pub mod apply;
mod canaries;
pub mod feasible;
mod preempt;
mod proposed;
mod reconcile;
mod reschedule;
mod score;
mod sorted;
pub mod stack;
mod system;
mod update;

use super::json::*;
use super::state::alloc::Alloc;
use super::state::records::{Deployment, Eval};
use super::state::{State, now, uuid_of};
use proposed::{Proposed, Wish};
use rand::rngs::StdRng;
use serde_json::{Value, json};
use stack::{Metrics, select};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use update::destroys;

/// Counts for `Annotations.DesiredTGUpdates`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Updates {
    pub canary: i64,
    pub place: i64,
    pub stop: i64,
    pub preemptions: i64,
    pub migrate: i64,
    pub in_place: i64,
    pub destructive: i64,
    pub ignore: i64,
}

impl Updates {
    pub fn json(&self) -> Value {
        json!({"Canary": self.canary, "DestructiveUpdate": self.destructive, "Ignore": self.ignore, "InPlaceUpdate": self.in_place,
            "Migrate": self.migrate, "Place": self.place, "Preemptions": self.preemptions, "Stop": self.stop})
    }
}

#[derive(Clone, Debug)]
pub struct Stop {
    pub alloc: String,
    pub why: &'static str,
    pub lost: bool,
}

/// What an evaluation wants done. Nothing of it has happened yet.
pub struct Plan<'a> {
    pub proposed: Proposed<'a>,
    pub job: Option<Arc<Value>>,
    pub stops: Vec<Stop>,
    pub in_place: Vec<String>,
    /// (for whom, who)
    pub preempted: Vec<(String, String)>,
    pub updates: BTreeMap<String, Updates>,
    pub failed: BTreeMap<String, Metrics>,
    pub queued: BTreeMap<String, i64>,
    pub new_deployment: Option<Deployment>,
    /// (deployment, status, description)
    pub deployment_news: Vec<(String, &'static str, &'static str)>,
    /// The deployment that placements belong to.
    pub deployment: String,
    /// (when, allocations) to be rescheduled later.
    pub later: Vec<(i64, Vec<String>)>,
    /// The deployment of an older version, or of this one if it is done.
    old_deployment: String,
    pub escaped: bool,
    /// What has been found out in this evaluation: group → class of nodes → whether it may run the group.
    known: BTreeMap<String, BTreeMap<String, bool>>,
    eval_id: String,
}

/// An allocation that is to be placed.
#[derive(Default)]
struct Place {
    slot: u32,
    previous: Option<String>,
    /// It replaces a failed one: carry the tracker on, and shun that node.
    rescheduled: Option<i64>,
    only: Option<String>,
    in_deployment: bool,
    canary: bool,
    /// It stands in for one of an older version while canaries are out: that version's job, not older than this.
    downgrade: Option<i64>,
}

/// Plan for a job's evaluation. `job` is the version wanted (`None`: the job is gone).
pub fn plan<'a>(
    state: &'a State,
    job: Option<Arc<Value>>,
    eval: &Eval,
    rng: &mut StdRng,
) -> Plan<'a> {
    let mut plan = Plan {
        proposed: Proposed {
            state,
            stopped: BTreeSet::new(),
            placed: Vec::new(),
        },
        job: job.clone(),
        stops: Vec::new(),
        in_place: Vec::new(),
        preempted: Vec::new(),
        updates: BTreeMap::new(),
        failed: BTreeMap::new(),
        queued: BTreeMap::new(),
        new_deployment: None,
        deployment_news: Vec::new(),
        deployment: String::new(),
        later: Vec::new(),
        old_deployment: String::new(),
        escaped: false,
        known: BTreeMap::new(),
        eval_id: eval.id.clone(),
    };
    plan.mark_stopping_lost(&eval.job_id);
    match job {
        Some(job) if !flag(&job, "Stop") && text(&job, "Type") == "system" => {
            plan.system(&job, rng)
        }
        Some(job) if !flag(&job, "Stop") => plan.service(&job, rng),
        _ => plan.stop_all(&eval.job_id),
    }
    plan
}

impl Plan<'_> {
    /// Whether applying it changes anything.
    pub fn changes(&self) -> bool {
        !(self.stops.is_empty()
            && self.in_place.is_empty()
            && self.proposed.placed.is_empty()
            && self.later.is_empty())
            || self.new_deployment.is_some()
            || !self.deployment_news.is_empty()
    }

    /// Classes seen while placing failed, for a blocked evaluation.
    pub fn classes(&self) -> BTreeMap<String, bool> {
        let failed = self.failed.keys().filter_map(|group| self.known.get(group));
        failed.flatten().map(|(c, may)| (c.clone(), *may)).collect()
    }

    fn stop(&mut self, alloc: &str, why: &'static str, lost: bool) {
        self.proposed.stopped.insert(alloc.into());
        self.stops.push(Stop {
            alloc: alloc.into(),
            why,
            lost,
        });
    }

    /// Allocations told to stop whose node went down before it could: nobody will report their end.
    fn mark_stopping_lost(&mut self, job: &str) {
        let state = self.proposed.state;
        for alloc in state
            .allocs_of(job)
            .filter(|a| a.server_terminal() && !a.client_terminal())
        {
            if node_is_down(state, alloc) {
                self.stop(&alloc.id, LOST, true);
            }
        }
    }

    fn stop_all(&mut self, job: &str) {
        let state = self.proposed.state;
        for alloc in state.allocs_of(job).filter(|a| !a.server_terminal()) {
            let lost = node_is_down(state, alloc) && !alloc.client_terminal();
            if !alloc.client_terminal() || lost {
                self.updates.entry(alloc.group.clone()).or_default().stop += 1;
                self.stop(&alloc.id, if lost { LOST } else { NOT_NEEDED }, lost);
            }
        }
        for group in self.job.as_ref().map_or(&[][..], |j| list(j, "TaskGroups")) {
            self.updates.entry(text(group, "Name").into()).or_default();
            self.queued.insert(text(group, "Name").into(), 0);
        }
        if let Some(d) = state.deployment_of(job).filter(|d| d.active()) {
            self.deployment_news.push((
                d.id.clone(),
                "cancelled",
                "Cancelled because job is stopped",
            ));
        }
    }

    /// Place one allocation; false if no node takes it, which is counted then.
    fn place(&mut self, job: &Arc<Value>, group: &Value, place: Place, rng: &mut StdRng) -> bool {
        let state = self.proposed.state;
        let name = text(group, "Name");
        let older = place
            .downgrade
            .and_then(|min| canaries::version_to_keep(state, job, name, min));
        let job = older.as_ref().map_or(job, |(_, job)| job);
        let group = older
            .as_ref()
            .map_or(group, |(_, job)| super::state::alloc::group_of(job, name));
        if let Some(failed) = self.failed.get_mut(name).filter(|_| place.only.is_none()) {
            failed.coalesced += 1;
            *self.queued.entry(name.into()).or_default() += 1;
            return false;
        }
        let started = now();
        let previous = place.previous.as_ref().and_then(|id| state.allocs.get(id));
        let penalty = shunned(previous);
        let ask = super::state::alloc::Ask::of(group);
        let wish = Wish {
            job,
            group,
            ask: &ask,
            penalty: &penalty,
            only: place.only.as_deref(),
            slot: place.slot,
        };
        let (found, mut metrics) = self.search(&wish, rng);
        metrics.nanos = now() - started;
        let Some(found) = found else {
            if place.only.is_some() && metrics.exhausted == 0 {
                return false;
            }
            self.failed.insert(name.into(), metrics);
            *self.queued.entry(name.into()).or_default() += 1;
            return false;
        };
        let node = &state.nodes[&found.node];
        let mut alloc = new_alloc(uuid_of(rng), job, group, &place, ask);
        alloc.eval_id = self.eval_id.clone();
        alloc.node_id = node.id.clone();
        alloc.node_name = node.config.name.clone();
        alloc.node_ip = node.config.network_ip().to_string();
        alloc.ports = found.ports;
        alloc.metrics = metrics.json();
        if let (Some(delay), Some(previous)) = (place.rescheduled, previous) {
            alloc.reschedules = previous.reschedules.clone();
            alloc
                .reschedules
                .push((now(), previous.id.clone(), previous.node_id.clone(), delay));
        }
        if let Some((deployment, _)) = &older {
            alloc.deployment = deployment.clone();
        } else if place.in_deployment {
            alloc.deployment = self.deployment.clone();
        }
        self.preempt(&mut alloc, found.preempted);
        self.proposed.placed.push(alloc);
        true
    }

    /// The best node; one where others have to go only if there is no other.
    fn search(&mut self, wish: &Wish, rng: &mut StdRng) -> (Option<stack::Place>, Metrics) {
        let name = text(wish.group, "Name");
        self.escaped |= feasible::escapes_classes(wish.job, wish.group);
        let kind = text(wish.job, "Type");
        let may_preempt = self.proposed.state.scheduler.preempts(kind);
        let already: Vec<String> = self.preempted.iter().map(|(_, a)| a.clone()).collect();
        let preempt = may_preempt.then_some(already.as_slice());
        let at_once = preempt.filter(|_| wish.only.is_some());
        let known = self.known.entry(name.into()).or_default();
        let first = select(&self.proposed, wish, at_once, known, rng);
        if first.0.is_some() || preempt.is_none() || at_once.is_some() {
            return first;
        }
        select(&self.proposed, wish, preempt, known, rng)
    }

    fn preempt(&mut self, alloc: &mut Alloc, victims: Vec<String>) {
        let updates = self.updates.entry(alloc.group.clone()).or_default();
        updates.preemptions += victims.len() as i64;
        for victim in victims {
            self.proposed.stopped.insert(victim.clone());
            alloc.preempted.push(victim.clone());
            self.preempted.push((alloc.id.clone(), victim));
        }
    }
}

/// Nodes on which it, or those before it, failed.
fn shunned(previous: Option<&Alloc>) -> BTreeSet<String> {
    let failed = previous.filter(|a| a.client == "failed");
    let before = previous.into_iter().flat_map(|a| &a.reschedules);
    let nodes = failed.map(|a| a.node_id.clone()).into_iter();
    nodes.chain(before.map(|r| r.2.clone())).collect()
}

const LOST: &str = "alloc is lost since its node is down";
const MIGRATING: &str = "alloc is being migrated";
const NOT_NEEDED: &str = "alloc not needed due to job update";

fn node_is_down(state: &State, alloc: &Alloc) -> bool {
    state
        .nodes
        .get(&alloc.node_id)
        .is_none_or(|n| n.status == "down")
}

fn new_alloc(
    id: String,
    job: &Arc<Value>,
    group: &Value,
    place: &Place,
    ask: super::state::alloc::Ask,
) -> Alloc {
    let (job_id, name) = (text(job, "ID"), text(group, "Name"));
    Alloc {
        id,
        name: format!("{job_id}.{name}[{}]", place.slot),
        slot: place.slot,
        eval_id: String::new(),
        node_id: String::new(),
        node_name: String::new(),
        node_ip: String::new(),
        job_id: key_of(job),
        job: job.clone(),
        group: name.into(),
        ask,
        ports: Vec::new(),
        desired: "run",
        desired_why: String::new(),
        migrate: false,
        replaceable: false,
        preempted: Vec::new(),
        preempted_by: String::new(),
        canary: place.canary,
        client: "pending",
        client_why: String::new(),
        tasks: BTreeMap::new(),
        previous: place.previous.clone().unwrap_or_default(),
        next: String::new(),
        deployment: String::new(),
        health: None,
        reschedules: Vec::new(),
        follow_up: String::new(),
        metrics: Value::Null,
        create_index: 0,
        modify_index: 0,
        alloc_modify_index: 0,
        create_time: now(),
        modify_time: now(),
        view: Default::default(),
    }
}

/// Whether the allocation runs this very version of the job.
fn runs_version(alloc: &Alloc, job: &Value) -> bool {
    ["Version", "CreateIndex", "JobModifyIndex"]
        .iter()
        .all(|k| alloc.job.get(k) == job.get(k))
}
