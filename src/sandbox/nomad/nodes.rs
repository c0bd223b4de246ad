//! What happens to nodes: heartbeats, eligibility, drains.

use super::client;
use super::json::*;
use super::state::node::Drain;
use super::state::records::Eval;
use super::state::{State, Wake, now, span};
use serde_json::Value;
use std::collections::BTreeSet;

impl State {
    /// The node's client begins or ceases to reach the server.
    pub fn set_beating(&mut self, id: &str, beating: bool) {
        let grace = self.config.heartbeat_grace;
        let Some(node) = self.nodes.get_mut(id).filter(|n| n.beating != beating) else {
            return;
        };
        node.beating = beating;
        node.beat += 1;
        if !beating {
            let wake = Wake::HeartbeatMissed {
                node: id.into(),
                beat: node.beat,
            };
            self.after(grace, wake);
            return;
        }
        self.back(id, "Node reregistered by heartbeat");
    }

    /// The client reaches the server again.
    fn back(&mut self, id: &str, message: &str) {
        if self.nodes.get(id).is_some_and(|n| n.status == "down") {
            self.set_status(id, "ready", message);
        }
        client::reconnect(self, id);
        self.unblock();
    }

    /// The node dies with all its tasks (the runtime kills them), or comes back empty.
    pub fn set_powered(&mut self, id: &str, powered: bool) {
        let Some(node) = self.nodes.get_mut(id).filter(|n| n.powered != powered) else {
            return;
        };
        node.powered = powered;
        if !powered {
            self.set_beating(id, false);
            return;
        }
        let was_beating = std::mem::replace(&mut node.beating, true);
        node.beat += u64::from(!was_beating);
        client::rise(self, id);
        self.back(id, "Node re-registered");
    }

    /// The grace after a missed heartbeat is over.
    pub fn heartbeat_missed(&mut self, id: &str, beat: u64) {
        if self
            .nodes
            .get(id)
            .is_some_and(|n| n.beat == beat && !n.beating && n.status != "down")
        {
            self.set_status(id, "down", "Node heartbeat missed");
        }
    }

    fn set_status(&mut self, id: &str, status: &'static str, message: &str) {
        let index = self.next_index();
        if let Some(node) = self.nodes.get_mut(id) {
            node.status = status;
            node.status_at = now() / SECOND;
            node.note(index, now(), "Cluster", message);
        }
        self.touch_node(id, "NodeStreamEvent");
        self.node_evals(id);
    }

    /// Evaluations of all jobs that have something on the node, and of system jobs that may want to.
    pub fn node_evals(&mut self, id: &str) -> Vec<String> {
        let Some(node) = self.nodes.get(id) else {
            return Vec::new();
        };
        let (datacenter, modify_index) = (node.config.datacenter.clone(), node.modify_index);
        let mut jobs: BTreeSet<String> = self
            .allocs
            .values()
            .filter(|a| a.node_id == id)
            .map(|a| a.job_id.clone())
            .collect();
        for (job_id, record) in &self.jobs {
            let job = record.current();
            if text(job, "Type") == "system"
                && list(job, "Datacenters")
                    .iter()
                    .any(|d| d.as_str() == Some(&datacenter))
            {
                jobs.insert(job_id.clone());
            }
        }
        jobs.retain(|j| self.jobs.contains_key(j));
        if jobs.is_empty() {
            return Vec::new();
        }
        self.next_index();
        jobs.into_iter()
            .map(|job| self.node_eval(&job, id, modify_index, "node-update", "EvaluationUpdated"))
            .collect()
    }

    fn node_eval(
        &mut self,
        job_id: &str,
        node: &str,
        modify_index: u64,
        why: &'static str,
        event: &str,
    ) -> String {
        let job = self.job(job_id).cloned().unwrap_or(Value::Null);
        let eval = Eval {
            id: self.uuid(),
            priority: int(&job, "Priority"),
            kind: text(&job, "Type").into(),
            triggered_by: why,
            job_id: job_id.into(),
            node_id: if why == "node-update" {
                node.into()
            } else {
                String::new()
            },
            node_modify_index: if why == "node-update" {
                modify_index
            } else {
                0
            },
            status: "pending",
            create_index: self.index,
            create_time: now(),
            ..Eval::default()
        };
        self.enqueue(eval, event)
    }

    /// Open or close the node for new allocations. Returns the evaluations this led to.
    pub fn set_eligible(&mut self, id: &str, eligible: bool) -> (u64, Vec<String>) {
        let index = self.next_index();
        let Some(node) = self.nodes.get_mut(id) else {
            return (index, Vec::new());
        };
        let opens = eligible && !node.eligible;
        node.eligible = eligible;
        let word = if eligible { "eligible" } else { "ineligible" };
        node.note(
            index,
            now(),
            "Cluster",
            &format!("Node marked as {word} for scheduling"),
        );
        self.touch_node(id, "NodeDrain");
        let evals = if opens {
            self.node_evals(id)
        } else {
            Vec::new()
        };
        if opens {
            self.unblock();
        }
        (index, evals)
    }

    /// Begin a drain, or (`None`) end one. Returns the index and the evaluations this led to.
    pub fn set_drain(
        &mut self,
        id: &str,
        drain: Option<Drain>,
        mark_eligible: bool,
    ) -> (u64, Vec<String>) {
        let index = self.next_index();
        let Some(node) = self.nodes.get_mut(id) else {
            return (index, Vec::new());
        };
        let opens = drain.is_none() && mark_eligible && !node.eligible;
        let message = match (&drain, &node.drain) {
            (Some(_), None) => Some("Node drain strategy set"),
            (Some(_), Some(_)) => Some("Node drain strategy updated"),
            (None, Some(_)) => Some("Node drain strategy unset"),
            (None, None) => None,
        };
        if let Some(message) = message {
            node.note(index, now(), "Drain", message);
        }
        let deadline = drain
            .as_ref()
            .filter(|d| d.deadline > 0)
            .map(|d| (d.deadline, d.started));
        node.eligible = if drain.is_some() {
            false
        } else {
            node.eligible || mark_eligible
        };
        node.drain = drain;
        self.touch_node(id, "NodeDrain");
        if let Some((deadline, started)) = deadline {
            self.after(
                span(deadline),
                Wake::DrainDeadline {
                    node: id.into(),
                    started,
                },
            );
        }
        let evals = if opens {
            self.node_evals(id)
        } else {
            Vec::new()
        };
        if opens {
            self.unblock();
        }
        self.drain_step();
        (index, evals)
    }

    /// The drain's deadline has come: all that is left moves now.
    pub fn drain_deadline(&mut self, id: &str, started: i64) {
        if let Some(drain) = self
            .nodes
            .get_mut(id)
            .and_then(|n| n.drain.as_mut())
            .filter(|d| d.started == started)
        {
            drain.deadline = -1;
            self.drain_step();
        }
    }

    /// Move as many allocations off draining nodes as their jobs' `migrate` allows, and end drains that are done.
    pub fn drain_step(&mut self) {
        let draining: Vec<String> = self
            .nodes
            .values()
            .filter(|n| n.drain.is_some())
            .map(|n| n.id.clone())
            .collect();
        for id in draining {
            let Some(drain) = self.nodes[&id].drain.clone() else {
                continue;
            };
            let is_system = |job: &Value| text(job, "Type") == "system";
            let left: Vec<(String, bool)> = (self.allocs.values())
                .filter(|a| {
                    a.node_id == id && !a.terminal() && !(drain.ignore_system && is_system(&a.job))
                })
                .map(|a| (a.id.clone(), is_system(&a.job)))
                .collect();
            if left.is_empty() {
                self.drain_complete(&id);
                continue;
            }
            let only_system = left.iter().all(|(_, system)| *system);
            let movable: Vec<String> = (left.into_iter())
                .filter(|(alloc, system)| {
                    only_system || (!system && (drain.deadline < 0 || self.may_move(alloc)))
                })
                .map(|(alloc, _)| alloc)
                .filter(|alloc| !self.allocs[alloc].migrate)
                .collect();
            self.mark_migrating(&id, movable);
        }
    }

    /// Whether its group has enough others running to let one go.
    fn may_move(&self, id: &str) -> bool {
        let alloc = &self.allocs[id];
        let group = alloc.group_json();
        let parallel = group
            .get("Migrate")
            .map_or(1, |m| int(m, "MaxParallel"))
            .max(1);
        let settled = self
            .allocs_of(&alloc.job_id)
            .filter(|a| a.group == alloc.group && !a.terminal() && a.client == "running");
        let (staying, going): (Vec<_>, Vec<_>) = settled.partition(|a| !a.migrate);
        let ahead = staying
            .iter()
            .filter(|a| a.node_id == alloc.node_id && a.id < alloc.id)
            .count() as i64;
        going.len() as i64 + ahead < parallel
            && staying.len() as i64 > int(group, "Count") - parallel
    }

    fn mark_migrating(&mut self, node: &str, allocs: Vec<String>) {
        if allocs.is_empty() {
            return;
        }
        self.next_index();
        let mut jobs = BTreeSet::new();
        for id in allocs {
            if let Some(alloc) = self.allocs.get_mut(&id) {
                alloc.migrate = true;
                jobs.insert(alloc.job_id.clone());
            }
            self.touch_alloc(&id, "AllocationUpdateDesiredStatus", true);
        }
        for job in jobs {
            self.node_eval(&job, node, 0, "node-drain", "AllocationUpdateDesiredStatus");
        }
    }

    fn drain_complete(&mut self, id: &str) {
        let index = self.next_index();
        if let Some(node) = self.nodes.get_mut(id) {
            node.drain = None;
            node.status_at = now() / SECOND;
            node.note(index, now(), "Drain", "Node drain complete");
        }
        self.touch_node(id, "NodeDrain");
    }
}
