//! Service and batch jobs: how many of each group, and which.

use super::super::json::*;
use super::super::state::alloc::Alloc;
use super::super::state::node::Node;
use super::super::state::now;
use super::super::state::records::{Deployment, GroupDeployment};
use super::reschedule::{Verdict, verdict};
use super::sorted::{FreeSlots, Sorted, Wanted};
use super::{
    LOST, MIGRATING, NOT_NEEDED, Place, Plan, Updates, canaries, destroys, feasible, node_is_down,
    runs_version,
};
use rand::rngs::StdRng;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

impl<'a> Plan<'a> {
    pub(super) fn service(&mut self, job: &Arc<Value>, rng: &mut StdRng) {
        let state = self.proposed.state;
        let id = key_of(job);
        self.take_up_deployment(job);
        for alloc in state.allocs_of(&id).filter(|a| !a.terminal()) {
            if super::super::state::alloc::group_of(job, &alloc.group).is_null() {
                self.updates.entry(alloc.group.clone()).or_default().stop += 1;
                self.stop(&alloc.id, NOT_NEEDED, false);
            }
        }
        let mut complete = true;
        for group in list(job, "TaskGroups") {
            complete &= self.group(job, group, rng);
        }
        if let Some(new) = &mut self.new_deployment {
            new.why = new.running_words().into();
        }
        let current = state.deployments.get(&self.deployment);
        let healthy =
            |g: &GroupDeployment| g.healthy >= g.desired.max(g.desired_canaries) && !g.canarying();
        if let Some(d) =
            current.filter(|d| d.active() && complete && d.groups.values().all(healthy))
        {
            self.deployment_news.push((
                d.id.clone(),
                "successful",
                "Deployment completed successfully",
            ));
        }
    }

    /// Go on with the deployment of this version, cancel one of an older version.
    fn take_up_deployment(&mut self, job: &Value) {
        let Some(d) = self.proposed.state.deployment_of(&key_of(job)) else {
            return;
        };
        let same = d.job_version == int(job, "Version")
            && d.job_create_index == int(job, "CreateIndex") as u64;
        if same && d.status != "successful" {
            self.deployment = d.id.clone();
            return;
        }
        self.old_deployment = d.id.clone();
        if d.active() {
            self.deployment_news.push((
                d.id.clone(),
                "cancelled",
                "Cancelled due to newer version of job",
            ));
        }
    }

    /// Returns whether nothing is left to do for the group's deployment.
    fn group(&mut self, job: &Arc<Value>, group: &Value, rng: &mut StdRng) -> bool {
        let name = text(group, "Name").to_string();
        self.queued.entry(name.clone()).or_insert(0);
        let mut updates = Updates::default();
        let mut sorted = self.sort(job, group, &mut updates);
        let count = (int(group, "Count") - sorted.done).max(0) as usize;
        let current = self.proposed.state.deployments.get(&self.deployment);
        let frozen = current.is_some_and(|d| !d.running());
        let standing = current.and_then(|d| d.groups.get(&name)).cloned();
        let promoted = standing.as_ref().is_some_and(|g| g.promoted);
        let mut canarying = standing.as_ref().is_some_and(GroupDeployment::canarying);
        self.stop_excess(&mut sorted, count, canarying, &mut updates);
        let (destructive, in_place, ignored) = self.updating(job, group, &sorted.keep);
        let wanted_canaries = group.get("Update").map_or(0, |u| int(u, "Canary"));
        let require = !destructive.is_empty()
            && (sorted.canaries.len() as i64) < wanted_canaries
            && !promoted;
        canarying |= require;
        let staying = sorted.standing(canarying) + sorted.migrate.len();
        let missing = count.saturating_sub(staying);
        let changing = !destructive.is_empty() || !in_place.is_empty();
        let desired = (destructive.len() + in_place.len() + missing) as i64;
        let moving = destructive.len() + sorted.migrate.len() > 0;
        let limit = self.limit(group, &sorted.keep, moving, canarying, count);
        let slots = FreeSlots::new(&sorted, count);
        let mut want = self.wanted(
            &mut sorted,
            &destructive,
            (missing, limit),
            frozen,
            canarying,
        );
        if require && !frozen {
            let number = wanted_canaries as usize - sorted.canaries.len();
            let taken = sorted.canaries.iter().map(|a| a.slot).collect();
            want.canaries =
                canaries::slots(number, &taken, &destructive, &slots.left(), count as u32);
        }
        updates.canary = want.canaries.len() as i64;
        updates.place = (want.replace + want.fresh) as i64;
        updates.migrate = sorted.migrate.len() as i64;
        updates.in_place = in_place.len() as i64;
        updates.destructive = want.destructive.len() as i64;
        updates.ignore = (ignored + destructive.len() - want.destructive.len()) as i64;
        updates.stop += want.replace as i64;
        let canaries = if require { wanted_canaries } else { 0 };
        self.found_deployment(job, group, changing, (desired, canaries));
        self.updates.insert(name, updates);
        self.in_place.extend(in_place);
        self.place_all(job, group, (&sorted, &want, slots), rng);
        let waiting = !sorted.later.is_empty();
        let later = sorted.later.into_iter();
        self.later
            .extend(later.map(|(at, alloc)| (at, vec![alloc])));
        missing == 0 && !changing && updates.migrate == 0 && !waiting && !require
    }

    /// What of that which lacks may be placed now.
    fn wanted(
        &self,
        sorted: &mut Sorted<'a>,
        destructive: &[&'a Alloc],
        (missing, limit): (usize, usize),
        frozen: bool,
        canarying: bool,
    ) -> Wanted<'a> {
        let mut want = Wanted {
            canaries: Vec::new(),
            replace: missing.min(sorted.replace.len()),
            fresh: 0,
            destructive: Vec::new(),
            canarying,
        };
        if !frozen && !canarying {
            want.fresh = missing - want.replace;
            let room = limit.saturating_sub(missing).min(destructive.len());
            want.destructive = destructive[..room].to_vec();
            return want;
        }
        // Nothing new, but what was lost or failed by itself is made good.
        want.fresh = sorted.lost.len().min(missing).saturating_sub(want.replace);
        let current = self.proposed.state.deployments.get(&self.deployment);
        if current.is_some_and(|d| d.status == "failed") {
            let own = &self.deployment;
            sorted.replace.retain(|(a, _)| &a.deployment != own);
            want.replace = want.replace.min(sorted.replace.len());
        }
        want
    }

    /// Successors first, then canaries, then what is missing, then what moves.
    fn place_all(
        &mut self,
        job: &Arc<Value>,
        group: &Value,
        (sorted, want, mut slots): (&Sorted<'a>, &Wanted<'a>, FreeSlots),
        rng: &mut StdRng,
    ) {
        let keeps = |old: &Alloc| (want.canarying && !old.canary).then(|| int(&old.job, "Version"));
        for old in &want.destructive {
            let why = "alloc is being updated due to job update";
            self.swap(job, group, (old, why, None, None), rng);
        }
        for slot in &want.canaries {
            slots.drop(*slot);
            let place = Place {
                slot: *slot,
                in_deployment: true,
                canary: true,
                ..Place::default()
            };
            self.place(job, group, place, rng);
        }
        for (old, delay) in &sorted.replace[..want.replace] {
            let why = "alloc was rescheduled because it failed";
            self.swap(job, group, (old, why, Some(*delay), keeps(old)), rng);
        }
        for _ in 0..want.fresh {
            let place = Place {
                slot: slots.take(),
                in_deployment: self.deploys(group),
                downgrade: want.canarying.then_some(0),
                ..Place::default()
            };
            self.place(job, group, place, rng);
        }
        for old in &sorted.migrate {
            self.swap(job, group, (old, MIGRATING, None, keeps(old)), rng);
        }
    }

    fn sort(&mut self, job: &Arc<Value>, group: &Value, updates: &mut Updates) -> Sorted<'a> {
        let state = self.proposed.state;
        let mut sorted = Sorted::default();
        let (id, name) = (&key_of(job), text(group, "Name"));
        let unwanted = self.stop_old_canaries(id, name, updates);
        let on_trial = self.canary_ids();
        let mut allocs: Vec<&Alloc> = state
            .allocs
            .values()
            .filter(|a| a.job_id == *id && a.group == name && !a.server_terminal())
            .filter(|a| !unwanted.contains(&a.id))
            .collect();
        allocs.sort_by_key(|a| (a.slot, a.create_index));
        for alloc in allocs {
            let draining = state
                .nodes
                .get(&alloc.node_id)
                .is_some_and(|n| n.drain.is_some() || !n.eligible);
            let moves = alloc.migrate && draining;
            let canary = on_trial.contains(alloc.id.as_str());
            if canary && !alloc.client_terminal() && (moves || node_is_down(state, alloc)) {
                self.stop_tainted_canary(alloc);
                continue;
            }
            match alloc.client {
                "lost" => {}
                "complete" => sorted.done += i64::from(text(job, "Type") == "batch"),
                "failed" => match self.verdict(alloc, group) {
                    Verdict::Now(delay) => sorted.replace.push((alloc, delay)),
                    Verdict::Later(at) if alloc.follow_up.is_empty() => {
                        sorted.later.push((at, alloc.id.clone()));
                        sorted.keep.push(alloc);
                    }
                    _ => sorted.keep.push(alloc),
                },
                _ if node_is_down(state, alloc) => sorted.lost.push(alloc),
                _ if moves => sorted.migrate.push(alloc),
                _ => sorted.keep.push(alloc),
            }
            if canary && sorted.keep.last().is_some_and(|a| a.id == alloc.id) {
                sorted.canaries.push(alloc);
            }
        }
        sorted
    }

    /// In a deployment under way only what the deployment has given up may be replaced.
    fn verdict(&self, alloc: &Alloc, group: &Value) -> Verdict {
        let current = self.proposed.state.deployments.get(&self.deployment);
        let watched = current.is_some_and(|d| d.active() && d.id == alloc.deployment);
        if watched && !alloc.replaceable {
            return Verdict::Never;
        }
        verdict(alloc, group, now())
    }

    fn stop_excess(
        &mut self,
        sorted: &mut Sorted<'a>,
        count: usize,
        canarying: bool,
        updates: &mut Updates,
    ) {
        for alloc in &sorted.lost {
            updates.stop += 1;
            self.stop(&alloc.id, LOST, true);
        }
        let mut excess = (sorted.standing(canarying) + sorted.migrate.len()).saturating_sub(count);
        let canaries: BTreeSet<&str> = sorted.canaries.iter().map(|a| a.id.as_str()).collect();
        let on_trial = |a: &Alloc| canaries.contains(a.id.as_str());
        let names: BTreeSet<u32> = sorted.canaries.iter().map(|a| a.slot).collect();
        while excess > 0 {
            // Those whose place a canary takes go first, then those that would have to move, then the highest numbers.
            let overtaken = sorted.keep.iter().rposition(|a| {
                !canarying && !on_trial(a) && !a.client_terminal() && names.contains(&a.slot)
            });
            let highest = || {
                let spared = |a: &Alloc| a.client_terminal() || (canarying && on_trial(a));
                let stoppable = |a: &&Alloc| !spared(a);
                sorted.keep.iter().rposition(stoppable)
            };
            let alloc = match overtaken {
                Some(i) => sorted.keep.remove(i),
                None => match sorted.migrate.pop() {
                    Some(alloc) => alloc,
                    None => match highest() {
                        Some(i) => sorted.keep.remove(i),
                        None => break,
                    },
                },
            };
            updates.stop += 1;
            self.stop(&alloc.id, NOT_NEEDED, false);
            excess -= 1;
        }
    }

    /// Those to be replaced and those to be changed in place for a new version, and how many need neither.
    fn updating(
        &mut self,
        job: &Value,
        group: &Value,
        keep: &[&'a Alloc],
    ) -> (Vec<&'a Alloc>, Vec<String>, usize) {
        let (mut destructive, mut in_place, mut ignored) = (Vec::new(), Vec::new(), 0);
        for alloc in keep {
            let node = self.proposed.state.nodes.get(&alloc.node_id);
            if runs_version(alloc, job) || alloc.client == "failed" {
                ignored += 1;
            } else if destroys(alloc, node, job, group) {
                self.learn_class(node, job, group);
                destructive.push(*alloc);
            } else {
                in_place.push(alloc.id.clone());
            }
        }
        (destructive, in_place, ignored)
    }

    /// A node that may no longer run the group tells of all of its class.
    fn learn_class(&mut self, node: Option<&Node>, job: &Value, group: &Value) {
        let refused = node.filter(|n| feasible::refusal(n, job, group).is_some());
        if let Some(node) = refused.filter(|_| !feasible::escapes_classes(job, group)) {
            let known = self.known.entry(text(group, "Name").into()).or_default();
            known.insert(node.class_hash.clone(), false);
        }
    }

    /// How many may be placed or replaced now.
    fn limit(
        &self,
        group: &Value,
        keep: &[&Alloc],
        moving: bool,
        canarying: bool,
        count: usize,
    ) -> usize {
        let parallel = group.get("Update").map_or(0, |u| int(u, "MaxParallel"));
        if parallel == 0 || !moving {
            return count;
        }
        let Some(d) = self.proposed.state.deployments.get(&self.deployment) else {
            return if canarying { 0 } else { parallel as usize };
        };
        let part = || keep.iter().filter(|a| a.deployment == d.id);
        if !d.running()
            || canarying
            || part().any(|a| a.health.as_ref().is_some_and(|h| !h.healthy))
        {
            return 0;
        }
        (parallel as usize).saturating_sub(part().filter(|a| a.health.is_none()).count())
    }

    /// Begin a deployment where this version of the group has none yet.
    fn found_deployment(
        &mut self,
        job: &Value,
        group: &Value,
        changing: bool,
        (desired, canaries): (i64, i64),
    ) {
        let state = self.proposed.state;
        let update = &group["Update"];
        let name = text(group, "Name");
        let had_running = state.allocs_of(&key_of(job)).any(|a| {
            a.group == name
                && ["Version", "CreateIndex"]
                    .iter()
                    .all(|k| a.job.get(k) == job.get(k))
        });
        let existing = state.deployments.get(&self.deployment);
        if existing.is_some()
            || int(update, "MaxParallel") == 0
            || desired == 0
            || (had_running && !changing)
        {
            return;
        }
        let deployment = self.new_deployment.get_or_insert_with(|| Deployment {
            job_id: key_of(job),
            job_version: int(job, "Version"),
            job_modify_index: int(job, "JobModifyIndex") as u64,
            job_create_index: int(job, "CreateIndex") as u64,
            status: "running",
            ..Deployment::default()
        });
        deployment.groups.insert(
            name.into(),
            GroupDeployment {
                auto_promote: flag(update, "AutoPromote"),
                auto_revert: flag(update, "AutoRevert"),
                desired,
                desired_canaries: canaries,
                progress_deadline: int(update, "ProgressDeadline"),
                ..GroupDeployment::default()
            },
        );
    }

    /// Whether placements of the group belong to a deployment.
    fn deploys(&self, group: &Value) -> bool {
        let name = text(group, "Name");
        let has = |d: &Deployment| d.active() && d.groups.contains_key(name);
        self.new_deployment.as_ref().is_some_and(has)
            || self
                .proposed
                .state
                .deployments
                .get(&self.deployment)
                .is_some_and(has)
    }

    /// Stop one and place its successor; the old one stays if there is no place.
    fn swap(
        &mut self,
        job: &Arc<Value>,
        group: &Value,
        (old, why, rescheduled, downgrade): (&Alloc, &'static str, Option<i64>, Option<i64>),
        rng: &mut StdRng,
    ) {
        self.proposed.stopped.insert(old.id.clone());
        let place = Place {
            slot: old.slot,
            previous: Some(old.id.clone()),
            rescheduled,
            in_deployment: self.deploys(group),
            canary: rescheduled.is_some() && old.canary,
            downgrade,
            ..Place::default()
        };
        if self.place(job, group, place, rng) || old.migrate {
            self.stop(&old.id, why, false);
        } else {
            self.proposed.stopped.remove(&old.id);
        }
    }
}
