//! Service and batch jobs: how many of each group, and which.

use super::super::json::*;
use super::super::state::alloc::Alloc;
use super::super::state::now;
use super::super::state::records::{Deployment, GroupDeployment};
use super::reschedule::{Verdict, verdict};
use super::{
    LOST, NOT_NEEDED, Place, Plan, Updates, feasible, node_is_down, runs_version, tasks_differ,
};
use rand::rngs::StdRng;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A group's allocations that are meant to run, sorted by what has to happen to them.
#[derive(Default)]
struct Sorted<'a> {
    keep: Vec<&'a Alloc>,
    migrate: Vec<&'a Alloc>,
    lost: Vec<&'a Alloc>,
    /// Failed, to be replaced now; with the delay that was waited.
    replace: Vec<(&'a Alloc, i64)>,
    later: Vec<(i64, String)>,
    /// Batch allocations that are done.
    done: i64,
}

impl<'a> Plan<'a> {
    pub(super) fn service(&mut self, job: &Arc<Value>, rng: &mut StdRng) {
        let state = self.proposed.state;
        let id = text(job, "ID").to_string();
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
        let current = state
            .deployments
            .get(&self.deployment)
            .filter(|d| d.running());
        if let Some(d) =
            current.filter(|d| complete && d.groups.values().all(|g| g.healthy >= g.desired))
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
        let Some(d) = self.proposed.state.deployment_of(text(job, "ID")) else {
            return;
        };
        let same = d.job_version == int(job, "Version")
            && d.job_create_index == int(job, "CreateIndex") as u64;
        if same && d.status != "successful" {
            self.deployment = d.id.clone();
        } else if d.running() {
            self.deployment_news.push((
                d.id.clone(),
                "cancelled",
                "Cancelled due to newer version of job",
            ));
        }
    }

    /// Returns whether nothing is left to do for the group's deployment.
    fn group(&mut self, job: &Arc<Value>, group: &'_ Value, rng: &mut StdRng) -> bool {
        let name = text(group, "Name").to_string();
        self.queued.entry(name.clone()).or_insert(0);
        let mut sorted = self.sort(job, group);
        let count = (int(group, "Count") - sorted.done).max(0) as usize;
        let mut updates = Updates::default();
        self.stop_excess(&mut sorted, count, &mut updates);
        let (destructive, in_place, ignored) = self.updating(job, group, &sorted.keep);
        let missing = count.saturating_sub(sorted.keep.len() + sorted.migrate.len());
        updates.place = missing as i64;
        updates.migrate = sorted.migrate.len() as i64;
        updates.in_place = in_place.len() as i64;
        let limit = self.limit(group, &sorted.keep);
        let room = limit.saturating_sub(missing).min(destructive.len());
        updates.destructive = room as i64;
        updates.ignore = (ignored + destructive.len() - room) as i64;
        let changing = !destructive.is_empty() || !in_place.is_empty();
        self.found_deployment(job, group, changing, int(group, "Count"));
        self.updates.insert(name, updates);
        self.in_place.extend(in_place);
        let mut slots = FreeSlots::new(&sorted, count);
        for old in destructive.iter().take(room) {
            self.swap(
                job,
                group,
                old,
                "alloc is being updated due to job update",
                None,
                rng,
            );
        }
        for old in &sorted.migrate {
            self.swap(job, group, old, "alloc is being migrated", None, rng);
        }
        let mut left = missing;
        for (old, delay) in sorted.replace.iter().take(missing) {
            self.swap(
                job,
                group,
                old,
                "alloc was rescheduled because it failed",
                Some(*delay),
                rng,
            );
            left -= 1;
        }
        for _ in 0..left {
            let in_deployment = self.deploys(group);
            self.place(
                job,
                group,
                Place {
                    slot: slots.take(),
                    in_deployment,
                    ..Place::default()
                },
                rng,
            );
        }
        let waiting = !sorted.later.is_empty();
        for (at, alloc) in sorted.later {
            self.later.push((at, vec![alloc]));
        }
        missing == 0 && !changing && updates.migrate == 0 && !waiting
    }

    fn sort(&mut self, job: &Arc<Value>, group: &Value) -> Sorted<'a> {
        let state = self.proposed.state;
        let mut sorted = Sorted::default();
        let (id, name) = (text(job, "ID"), text(group, "Name"));
        let mut allocs: Vec<&Alloc> = state
            .allocs
            .values()
            .filter(|a| a.job_id == id && a.group == name && !a.server_terminal())
            .collect();
        allocs.sort_by_key(|a| (a.slot, a.create_index));
        for alloc in allocs {
            let draining = state
                .nodes
                .get(&alloc.node_id)
                .is_some_and(|n| n.drain.is_some() || !n.eligible);
            match alloc.client {
                "lost" => {}
                "complete" => sorted.done += i64::from(text(job, "Type") == "batch"),
                "failed" => match verdict(alloc, group, now()) {
                    Verdict::Now(delay) => sorted.replace.push((alloc, delay)),
                    Verdict::Later(at) if alloc.follow_up.is_empty() => {
                        sorted.later.push((at, alloc.id.clone()));
                        sorted.keep.push(alloc);
                    }
                    _ => sorted.keep.push(alloc),
                },
                _ if node_is_down(state, alloc) => sorted.lost.push(alloc),
                _ if alloc.migrate && draining => sorted.migrate.push(alloc),
                _ => sorted.keep.push(alloc),
            }
        }
        sorted
    }

    fn stop_excess(&mut self, sorted: &mut Sorted<'a>, count: usize, updates: &mut Updates) {
        for alloc in &sorted.lost {
            updates.stop += 1;
            self.stop(&alloc.id, LOST, true);
        }
        let mut excess = (sorted.keep.len() + sorted.migrate.len()).saturating_sub(count);
        while excess > 0 {
            // Those that would have to move go first, then the highest numbers.
            let Some(alloc) = sorted.migrate.pop().or_else(|| sorted.keep.pop()) else {
                break;
            };
            updates.stop += 1;
            self.stop(&alloc.id, NOT_NEEDED, false);
            excess -= 1;
        }
    }

    /// Those to be replaced and those to be changed in place for a new version, and how many need neither.
    fn updating(
        &self,
        job: &Value,
        group: &Value,
        keep: &[&'a Alloc],
    ) -> (Vec<&'a Alloc>, Vec<String>, usize) {
        let (mut destructive, mut in_place, mut ignored) = (Vec::new(), Vec::new(), 0);
        for alloc in keep {
            let node = self.proposed.state.nodes.get(&alloc.node_id);
            if runs_version(alloc, job) || alloc.client == "failed" {
                ignored += 1;
            } else if tasks_differ(alloc.group_json(), group)
                || node.is_none_or(|n| feasible::refusal(n, job, group).is_some())
            {
                destructive.push(*alloc);
            } else {
                in_place.push(alloc.id.clone());
            }
        }
        (destructive, in_place, ignored)
    }

    /// How many more may be replaced now.
    fn limit(&self, group: &Value, keep: &[&Alloc]) -> usize {
        let parallel = group.get("Update").map_or(0, |u| int(u, "MaxParallel"));
        if parallel == 0 {
            return usize::MAX;
        }
        let Some(d) = self.proposed.state.deployments.get(&self.deployment) else {
            return parallel as usize;
        };
        if !d.running()
            || keep
                .iter()
                .any(|a| a.deployment == d.id && a.health.as_ref().is_some_and(|h| !h.healthy))
        {
            return 0;
        }
        let unproven = keep
            .iter()
            .filter(|a| a.deployment == d.id && a.health.is_none())
            .count();
        (parallel as usize).saturating_sub(unproven)
    }

    /// Begin a deployment where this version of the group has none yet.
    fn found_deployment(&mut self, job: &Value, group: &Value, changing: bool, desired: i64) {
        let state = self.proposed.state;
        let update = &group["Update"];
        let name = text(group, "Name");
        let had_running = state.allocs_of(text(job, "ID")).any(|a| {
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
            job_id: text(job, "ID").into(),
            job_version: int(job, "Version"),
            job_modify_index: int(job, "JobModifyIndex") as u64,
            job_create_index: int(job, "CreateIndex") as u64,
            status: "running",
            why: "Deployment is running".into(),
            ..Deployment::default()
        });
        let deadline = int(update, "ProgressDeadline");
        deployment.groups.insert(
            name.into(),
            GroupDeployment {
                auto_promote: flag(update, "AutoPromote"),
                auto_revert: flag(update, "AutoRevert"),
                desired,
                progress_deadline: deadline,
                ..GroupDeployment::default()
            },
        );
    }

    /// Whether placements of the group belong to a deployment.
    fn deploys(&self, group: &Value) -> bool {
        let name = text(group, "Name");
        let has = |d: &Deployment| d.running() && d.groups.contains_key(name);
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
        old: &Alloc,
        why: &'static str,
        rescheduled: Option<i64>,
        rng: &mut StdRng,
    ) {
        self.proposed.stopped.insert(old.id.clone());
        let place = Place {
            slot: old.slot,
            previous: Some(old.id.clone()),
            rescheduled,
            only: None,
            in_deployment: self.deploys(group),
        };
        if self.place(job, group, place, rng) || old.migrate {
            self.stop(&old.id, why, false);
        } else {
            self.proposed.stopped.remove(&old.id);
        }
    }
}

/// The lowest numbers that no allocation of the group has.
struct FreeSlots {
    free: std::vec::IntoIter<u32>,
    next: u32,
}

impl FreeSlots {
    fn new(sorted: &Sorted, count: usize) -> FreeSlots {
        let replaced = sorted.replace.iter().map(|(a, _)| a.slot);
        let taken: BTreeSet<u32> = sorted
            .keep
            .iter()
            .chain(&sorted.migrate)
            .map(|a| a.slot)
            .chain(replaced)
            .collect();
        let count = count as u32;
        let free: Vec<u32> = (0..count).filter(|s| !taken.contains(s)).collect();
        FreeSlots {
            free: free.into_iter(),
            next: count,
        }
    }
    fn take(&mut self) -> u32 {
        self.free.next().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }
}
