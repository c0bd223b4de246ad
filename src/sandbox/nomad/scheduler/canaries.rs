//! Canaries: which are no longer wanted, which numbers new ones get, and what runs beside them.

use super::super::json::*;
use super::super::state::State;
use super::super::state::alloc::{Alloc, group_of};
use super::super::state::records::Deployment;
use super::{LOST, MIGRATING, NOT_NEEDED, Plan, Updates, node_is_down};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

impl<'a> Plan<'a> {
    /// Stop the group's canaries of a deployment that failed or was overtaken before they were taken over.
    pub(super) fn stop_old_canaries(
        &mut self,
        job: &str,
        group: &str,
        updates: &mut Updates,
    ) -> BTreeSet<String> {
        let state = self.proposed.state;
        let failed = state
            .deployments
            .get(&self.deployment)
            .filter(|d| d.status == "failed");
        let over = state.deployments.get(&self.old_deployment).into_iter();
        let unwanted: BTreeSet<String> = over
            .chain(failed)
            .flat_map(|d| d.groups.values().filter(|g| !g.promoted))
            .flat_map(|g| g.placed_canaries.iter().cloned())
            .collect();
        let here = state
            .allocs_of(job)
            .filter(|a| a.group == group && !a.server_terminal() && unwanted.contains(&a.id));
        for alloc in here {
            updates.stop += 1;
            self.stop(&alloc.id, NOT_NEEDED, false);
        }
        unwanted
    }

    /// The canaries of the deployment under way.
    pub(super) fn canary_ids(&self) -> BTreeSet<&'a str> {
        let current = self.proposed.state.deployments.get(&self.deployment);
        current
            .into_iter()
            .flat_map(|d| d.groups.values())
            .flat_map(|g| g.placed_canaries.iter().map(String::as_str))
            .collect()
    }

    /// A canary whose node goes is not moved but stopped; the next look puts another in its place.
    pub(super) fn stop_tainted_canary(&mut self, alloc: &Alloc) {
        if node_is_down(self.proposed.state, alloc) {
            self.stop(&alloc.id, LOST, true);
        } else {
            self.stop(&alloc.id, MIGRATING, false);
        }
    }
}

/// Numbers for new canaries: first those they are to replace, then free ones, then some beyond the count.
pub(super) fn slots(
    number: usize,
    existing: &BTreeSet<u32>,
    destructive: &[&Alloc],
    free: &[u32],
    count: u32,
) -> Vec<u32> {
    let replaced: BTreeSet<u32> = destructive
        .iter()
        .map(|a| a.slot)
        .filter(|s| *s < count)
        .collect();
    let first = replaced.iter().chain(free).copied();
    first
        .filter(|s| !existing.contains(s))
        .chain(count..)
        .take(number)
        .collect()
}

/// The version that a group's other allocations keep to while canaries are out, with the deployment that brought it.
pub(super) fn version_to_keep(
    state: &State,
    job: &Value,
    group: &str,
    at_least: i64,
) -> Option<(String, Arc<Value>)> {
    let id = key_of(job);
    let versions = &state.jobs.get(&id)?.versions;
    let version = |n: i64| versions.iter().find(|v| int(v, "Version") == n);
    let mut deployments: Vec<&Deployment> = state
        .deployments
        .values()
        .filter(|d| d.job_id == id)
        .collect();
    deployments.sort_by_key(|d| std::cmp::Reverse(d.job_version));
    let settled = deployments.into_iter().find(|d| {
        d.groups
            .get(group)
            .is_some_and(|g| g.promoted || g.desired_canaries == 0)
    });
    let (deployment, kept) = match settled {
        Some(d) => (d.id.clone(), version(d.job_version)?),
        None => (
            String::new(),
            version(at_least).filter(|v| int(&v["Update"], "MaxParallel") == 0)?,
        ),
    };
    let fits = int(kept, "Version") >= at_least && !group_of(kept, group).is_null();
    fits.then(|| (deployment, Arc::new(kept.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_take_the_numbers_of_those_they_replace_then_free_ones_then_new_ones() {
        let existing = BTreeSet::from([0]);
        assert_eq!(slots(3, &existing, &[], &[1], 2), [1, 2, 3]);
        assert_eq!(slots(1, &BTreeSet::new(), &[], &[], 4), [4]);
    }
}
