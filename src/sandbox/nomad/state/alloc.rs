//! An allocation: what the server decided, what its client says, and Nomad's JSON of both.

use super::super::json::*;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A port given to an allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    pub label: String,
    pub value: u16,
    pub to: i64,
    pub fixed: bool,
}

/// What one allocation of a group takes from its node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    /// (task, MHz, MB)
    pub tasks: Vec<(String, i64, i64)>,
    pub disk_mb: i64,
    /// (label, the fixed port or 0, to)
    pub ports: Vec<(String, u16, i64)>,
    /// The first network's mode, if the group asks for a network.
    pub network: Option<String>,
}

impl Ask {
    /// Read from a group of a stored job.
    pub fn of(group: &Value) -> Ask {
        let tasks = list(group, "Tasks");
        let networks = list(group, "Networks").iter().chain(
            tasks
                .iter()
                .flat_map(|t| t.get("Resources").map_or(&[][..], |r| list(r, "Networks"))),
        );
        let mut ports = Vec::new();
        for network in networks {
            for (key, fixed) in [("ReservedPorts", true), ("DynamicPorts", false)] {
                for port in list(network, key) {
                    let value = if fixed { int(port, "Value") as u16 } else { 0 };
                    ports.push((text(port, "Label").to_string(), value, int(port, "To")));
                }
            }
        }
        let resources = |t: &Value, key| t.get("Resources").map_or(0, |r| int(r, key));
        Ask {
            tasks: tasks
                .iter()
                .map(|t| {
                    (
                        text(t, "Name").to_string(),
                        resources(t, "CPU"),
                        resources(t, "MemoryMB"),
                    )
                })
                .collect(),
            disk_mb: group.get("EphemeralDisk").map_or(0, |d| int(d, "SizeMB")),
            network: list(group, "Networks")
                .first()
                .map(|n| text(n, "Mode").to_string()),
            ports,
        }
    }
    pub fn cpu(&self) -> i64 {
        self.tasks.iter().map(|t| t.1).sum()
    }
    pub fn memory(&self) -> i64 {
        self.tasks.iter().map(|t| t.2).sum()
    }
}

/// A task as its client sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    /// `pending`, `running` or `dead`.
    pub state: &'static str,
    pub failed: bool,
    pub restarts: i64,
    /// Nanoseconds since the epoch; 0 for never.
    pub last_restart: i64,
    pub started: i64,
    pub finished: i64,
    pub events: Vec<Value>,
}

impl Default for TaskState {
    fn default() -> Self {
        TaskState {
            state: "pending",
            failed: false,
            restarts: 0,
            last_restart: 0,
            started: 0,
            finished: 0,
            events: Vec::new(),
        }
    }
}

impl TaskState {
    pub fn json(&self) -> Value {
        json!({"State": self.state, "Failed": self.failed, "Restarts": self.restarts, "LastRestart": time(self.last_restart),
            "StartedAt": time(self.started), "FinishedAt": time(self.finished), "Events": self.events})
    }
}

/// The client's side of an allocation; the server learns of it when the client can reach it.
#[derive(Clone, Debug, Default)]
pub struct ClientView {
    /// The client has taken the allocation on.
    pub received: bool,
    pub killing: bool,
    pub finished: bool,
    pub tasks: BTreeMap<String, TaskState>,
    pub pids: BTreeMap<String, u32>,
    /// IDs registered in Consul.
    pub registered: BTreeSet<String>,
    /// Restarts of a task within the restart policy's interval.
    pub restarts: BTreeMap<String, Vec<i64>>,
    /// (healthy, when), for the deployment the allocation belongs to.
    pub health: Option<(bool, i64)>,
    /// Tasks that someone has asked to be restarted, and that have not ended yet.
    pub restarting: BTreeSet<String>,
    /// What the server has not heard yet.
    pub dirty: bool,
}

#[derive(Clone, Debug)]
pub struct Health {
    pub healthy: bool,
    pub at: i64,
    pub index: u64,
}

#[derive(Clone, Debug)]
pub struct Alloc {
    pub id: String,
    pub name: String,
    pub slot: u32,
    pub eval_id: String,
    pub node_id: String,
    pub node_name: String,
    pub node_ip: String,
    pub job_id: String,
    pub job: Arc<Value>,
    pub group: String,
    pub ask: Ask,
    pub ports: Vec<Port>,
    pub desired: &'static str,
    pub desired_why: String,
    pub migrate: bool,
    /// Unhealthy in a deployment that goes on: it may be replaced.
    pub replaceable: bool,
    /// Those that had to go for it.
    pub preempted: Vec<String>,
    pub preempted_by: String,
    /// Placed beside those it may replace, until its deployment is promoted.
    pub canary: bool,
    pub client: &'static str,
    pub client_why: String,
    pub tasks: BTreeMap<String, TaskState>,
    pub previous: String,
    pub next: String,
    pub deployment: String,
    pub health: Option<Health>,
    /// (when, the allocation before, its node, delay)
    pub reschedules: Vec<(i64, String, String, i64)>,
    pub follow_up: String,
    pub metrics: Value,
    pub create_index: u64,
    pub modify_index: u64,
    /// Of the last change by the server.
    pub alloc_modify_index: u64,
    pub create_time: i64,
    pub modify_time: i64,
    pub view: ClientView,
}

impl Alloc {
    pub fn namespace(&self) -> &str {
        key_parts(&self.job_id).0
    }
    /// The job's ID as clients know it.
    pub fn shown_job(&self) -> &str {
        key_parts(&self.job_id).1
    }
    pub fn server_terminal(&self) -> bool {
        self.desired != "run"
    }
    pub fn client_terminal(&self) -> bool {
        ["complete", "failed", "lost"].contains(&self.client)
    }
    pub fn terminal(&self) -> bool {
        self.server_terminal() || self.client_terminal()
    }
    pub fn group_json(&self) -> &Value {
        group_of(&self.job, &self.group)
    }
    /// Whether its node still sets its resources aside: until the client has ended it.
    pub fn holds_resources(&self) -> bool {
        !self.client_terminal()
    }

    fn networks(&self) -> Value {
        let Some(mode) = &self.ask.network else {
            return Value::Null;
        };
        let ports = |fixed: bool| {
            let ports: Vec<Value> = self
                .ports
                .iter()
                .filter(|p| p.fixed == fixed)
                .map(|p| json!({"HostNetwork": "default", "Label": p.label, "To": p.to, "Value": p.value}))
                .collect();
            if ports.is_empty() {
                Value::Null
            } else {
                ports.into()
            }
        };
        json!([{"CIDR": "", "DNS": null, "Device": "", "DynamicPorts": ports(false), "IP": self.node_ip, "MBits": 0, "Mode": mode,
            "ReservedPorts": ports(true)}])
    }

    pub fn allocated(&self) -> Value {
        let tasks: Map<String, Value> = (self.ask.tasks.iter())
            .map(|(name, cpu, memory)| {
                (name.clone(), json!({"Cpu": {"CpuShares": cpu}, "Devices": null, "Memory": {"MemoryMB": memory}, "Networks": null}))
            })
            .collect();
        let lifecycles: Map<String, Value> = list(self.group_json(), "Tasks")
            .iter()
            .map(|t| {
                (
                    text(t, "Name").to_string(),
                    t.get("Lifecycle").cloned().unwrap_or(Value::Null),
                )
            })
            .collect();
        let ports: Vec<Value> = (self.ports.iter())
            .map(
                |p| json!({"HostIP": self.node_ip, "Label": p.label, "To": p.to, "Value": p.value}),
            )
            .collect();
        let ports = if ports.is_empty() {
            Value::Null
        } else {
            ports.into()
        };
        json!({"Shared": {"DiskMB": self.ask.disk_mb, "Networks": self.networks(), "Ports": ports}, "TaskLifecycles": lifecycles, "Tasks": tasks})
    }

    fn resources(&self, cpu: i64, memory: i64) -> Value {
        json!({"CPU": cpu, "Devices": null, "DiskMB": self.ask.disk_mb, "IOPS": 0, "MemoryMB": memory, "Networks": self.networks()})
    }

    fn health_json(&self) -> Value {
        match &self.health {
            Some(h) => {
                json!({"Canary": self.canary, "Healthy": h.healthy, "ModifyIndex": h.index, "Timestamp": time(h.at)})
            }
            None if self.canary => {
                json!({"Canary": true, "Healthy": null, "ModifyIndex": self.create_index, "Timestamp": null})
            }
            None => Value::Null,
        }
    }

    fn transition(&self) -> Value {
        let told = |told: bool| if told { Value::Bool(true) } else { Value::Null };
        json!({"ForceReschedule": null, "Migrate": told(self.migrate), "Reschedule": told(self.replaceable)})
    }

    fn preempted_json(&self) -> Value {
        if self.preempted.is_empty() {
            Value::Null
        } else {
            json!(self.preempted)
        }
    }

    fn tracker(&self) -> Value {
        if self.reschedules.is_empty() {
            return Value::Null;
        }
        let events: Vec<Value> = (self.reschedules.iter())
            .map(|(at, alloc, node, delay)| json!({"Delay": delay, "PrevAllocID": alloc, "PrevNodeID": node, "RescheduleTime": at}))
            .collect();
        json!({"Events": events})
    }

    pub fn task_states(&self) -> Value {
        or_null(self.tasks.iter().map(|(name, t)| (name.clone(), t.json())))
    }

    /// Every field, as the event stream gives it; `job` is `null` there.
    pub fn full(&self) -> Value {
        let tasks: Map<String, Value> = (self.ask.tasks.iter())
            .map(|(name, cpu, memory)| {
                (name.clone(), json!({"CPU": cpu, "Devices": null, "DiskMB": 0, "IOPS": 0, "MemoryMB": memory, "Networks": null}))
            })
            .collect();
        let network = if self.tasks.is_empty() {
            Value::Null
        } else {
            json!({"Address": "", "DNS": null, "InterfaceName": ""})
        };
        let mut all = json!({"AllocModifyIndex": self.alloc_modify_index, "AllocStates": null, "AllocatedResources": self.allocated(),
            "ClientDescription": self.client_why, "ClientStatus": self.client, "CreateIndex": self.create_index,
            "CreateTime": self.create_time, "DeploymentID": self.deployment, "DeploymentStatus": self.health_json(),
            "DesiredDescription": self.desired_why, "DesiredStatus": self.desired, "DesiredTransition": self.transition(),
            "EvalID": self.eval_id, "FollowupEvalID": self.follow_up, "ID": self.id, "Job": null, "JobID": self.shown_job()});
        let rest = json!({"Metrics": self.metrics, "ModifyIndex": self.modify_index, "ModifyTime": self.modify_time, "Name": self.name,
            "Namespace": self.namespace(), "NetworkStatus": network, "NextAllocation": self.next, "NodeID": self.node_id,
            "NodeName": self.node_name, "PreemptedAllocations": self.preempted_json(), "PreemptedByAllocation": self.preempted_by, "PreviousAllocation": self.previous,
            "RescheduleTracker": self.tracker(), "Resources": self.resources(self.ask.cpu(), self.ask.memory()),
            "SharedResources": self.resources(0, 0), "TaskGroup": self.group, "TaskResources": tasks, "TaskStates": self.task_states()});
        fill(&mut all, rest);
        all
    }

    /// The answer to `GET /v1/allocation/:id`.
    pub fn detail(&self) -> Value {
        let mut all = self.full();
        all["Job"] = (*self.job).clone();
        if !self.migrate && !self.replaceable {
            all["DesiredTransition"] = Value::Null;
        }
        without_empty(all)
    }

    /// A row of the allocation lists.
    pub fn stub(&self, resources: bool) -> Value {
        let mut row = json!({"ClientDescription": self.client_why, "ClientStatus": self.client, "CreateIndex": self.create_index,
            "CreateTime": self.create_time, "DeploymentStatus": self.health_json(), "DesiredDescription": self.desired_why,
            "DesiredStatus": self.desired, "DesiredTransition": self.transition(), "EvalID": self.eval_id,
            "FollowupEvalID": self.follow_up, "ID": self.id, "JobID": self.shown_job(), "JobType": text(&self.job, "Type"),
            "JobVersion": int(&self.job, "Version"), "ModifyIndex": self.modify_index, "ModifyTime": self.modify_time});
        fill(
            &mut row,
            json!({"Name": self.name, "Namespace": self.namespace(), "NodeID": self.node_id, "NodeName": self.node_name,
            "PreemptedAllocations": self.preempted_json(), "PreemptedByAllocation": self.preempted_by, "RescheduleTracker": self.tracker(), "TaskGroup": self.group,
            "TaskStates": self.task_states()}),
        );
        if resources {
            row["AllocatedResources"] = self.allocated();
        }
        row
    }
}

/// The group of that name, or `null`.
pub fn group_of<'a>(job: &'a Value, name: &str) -> &'a Value {
    list(job, "TaskGroups")
        .iter()
        .find(|g| text(g, "Name") == name)
        .unwrap_or(&Value::Null)
}

/// A task event with its type, message and details; the rest as Go's zero values.
pub fn task_event(kind: &str, at: i64, display: &str, details: Value, more: Value) -> Value {
    let mut event = more;
    fill(
        &mut event,
        json!({"Details": details, "DiskLimit": 0, "DisplayMessage": display, "DownloadError": "", "DriverError": "", "DriverMessage": "",
        "ExitCode": 0, "FailedSibling": "", "FailsTask": false, "GenericSource": "", "KillError": "", "KillReason": "", "KillTimeout": 0,
        "Message": "", "RestartReason": "", "SetupError": "", "Signal": 0, "StartDelay": 0, "TaskSignal": "", "TaskSignalReason": "",
        "Time": at, "Type": kind, "ValidationError": "", "VaultError": ""}),
    );
    event
}
