//! Deployments: counting healthy allocations, and ending well or badly.

use super::json::*;
use super::state::alloc::Health;
use super::state::records::{Deployment, Eval};
use super::state::{State, Wake, now, span};

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
        let Some(record) = self.jobs.get_mut(&job).filter(|_| status == "successful") else {
            return;
        };
        let stable = record
            .versions
            .iter_mut()
            .find(|v| int(v, "Version") == version && !flag(v, "Stable"));
        if let Some(stable) = stable {
            stable["Stable"] = true.into();
            self.touch_job(&job, event);
        }
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
        if alloc.health.is_some() {
            return;
        }
        alloc.health = Some(Health { healthy, at, index });
        let (id, name) = (alloc.deployment.clone(), alloc.group.clone());
        let Some(deployment) = self.deployments.get_mut(&id).filter(|d| d.running()) else {
            return;
        };
        let Some(group) = deployment.groups.get_mut(&name) else {
            return;
        };
        if healthy {
            group.healthy += 1;
            group.progress_by = at + group.progress_deadline;
        } else {
            group.unhealthy += 1;
        }
        let (progress_by, first) = (group.progress_by, !deployment.watched);
        deployment.watched = true;
        self.touch_deployment(&id, "AllocationUpdated");
        self.after(span(progress_by - now()), Wake::ProgressDue(id.clone()));
        if first {
            let delay = self.config.deployment_batch;
            self.after(delay, Wake::DeploymentDue(id));
        }
    }

    /// Look at a deployment whose counts have changed: fail it, or let the scheduler go on with it.
    pub fn deployment_due(&mut self, id: &str) {
        let Some(deployment) = self.deployments.get_mut(id) else {
            return;
        };
        deployment.watched = false;
        if !deployment.running() {
            return;
        }
        let failed = deployment.groups.values().any(|g| g.unhealthy > 0);
        self.next_index();
        if failed {
            self.end_deployment(
                id,
                "failed",
                "Failed due to unhealthy allocations",
                "DeploymentStatusUpdate",
            );
        }
        self.deployment_eval(id);
    }

    /// A progress deadline has come; fail the deployment unless it has been pushed back or is done.
    pub fn progress_due(&mut self, id: &str) {
        let late = |d: &&Deployment| {
            d.running()
                && d.groups
                    .values()
                    .any(|g| g.progress_by <= now() && g.healthy < g.desired)
        };
        if self.deployments.get(id).filter(late).is_none() {
            return;
        }
        self.next_index();
        self.end_deployment(
            id,
            "failed",
            "Failed due to progress deadline",
            "DeploymentStatusUpdate",
        );
        self.deployment_eval(id);
    }

    fn deployment_eval(&mut self, id: &str) {
        let Some(deployment) = self.deployments.get(id) else {
            return;
        };
        let job_id = deployment.job_id.clone();
        let Some(job) = self.job(&job_id) else { return };
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
        self.enqueue(Eval { id, ..eval }, "AllocationUpdateDesiredStatus");
    }
}
