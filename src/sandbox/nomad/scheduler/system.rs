//! System jobs: one of each group on every node that may run it.

use super::super::json::*;
use super::{LOST, NOT_NEEDED, Place, Plan, destroys, node_is_down, runs_version};
use rand::rngs::StdRng;
use serde_json::Value;
use std::sync::Arc;

const TAINTED: &str = "alloc not needed as node is tainted";

impl Plan<'_> {
    pub(super) fn system(&mut self, job: &Arc<Value>, rng: &mut StdRng) {
        let state = self.proposed.state;
        for group in list(job, "TaskGroups") {
            let name = text(group, "Name").to_string();
            self.queued.entry(name.clone()).or_insert(0);
            self.updates.entry(name).or_default();
            for node in state.nodes.values() {
                self.system_on(job, group, &node.id, rng);
            }
        }
        for alloc in state.allocs_of(&key_of(job)).filter(|a| !a.terminal()) {
            if super::super::state::alloc::group_of(job, &alloc.group).is_null() {
                self.stop(&alloc.id, NOT_NEEDED, false);
            }
        }
    }

    fn system_on(&mut self, job: &Arc<Value>, group: &Value, node_id: &str, rng: &mut StdRng) {
        let state = self.proposed.state;
        let node = &state.nodes[node_id];
        let (id, name) = (&key_of(job), text(group, "Name"));
        let wanted = list(job, "Datacenters")
            .iter()
            .any(|d| d.as_str() == Some(&node.config.datacenter));
        let here = state.allocs_of(id).find(|a| {
            a.group == name
                && a.node_id == node_id
                && !a.server_terminal()
                && a.client != "lost"
                && a.client != "complete"
        });
        let updates = self.updates.entry(name.into()).or_default();
        let place = |previous: Option<String>| Place {
            previous,
            only: Some(node_id.into()),
            ..Place::default()
        };
        match here {
            Some(alloc) if node_is_down(state, alloc) => {
                updates.stop += 1;
                self.stop(&alloc.id, LOST, true);
            }
            Some(alloc) if alloc.migrate => {
                updates.stop += 1;
                self.stop(&alloc.id, TAINTED, false);
            }
            Some(alloc) if !wanted => {
                updates.stop += 1;
                self.stop(&alloc.id, NOT_NEEDED, false);
            }
            Some(alloc) if alloc.client == "failed" || runs_version(alloc, job) => {
                updates.ignore += 1
            }
            Some(alloc) if !destroys(alloc, Some(node), job, group) => {
                updates.in_place += 1;
                self.in_place.push(alloc.id.clone());
            }
            Some(alloc) => {
                updates.destructive += 1;
                self.stop(&alloc.id, "alloc is being updated due to job update", false);
                self.place(job, group, place(Some(alloc.id.clone())), rng);
            }
            None if wanted && node.ready() => {
                let asked =
                    self.place(job, group, place(None), rng) || self.failed.contains_key(name);
                self.updates.entry(name.into()).or_default().place += i64::from(asked);
            }
            None => {}
        }
    }
}
