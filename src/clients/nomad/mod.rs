//! Nomad's HTTP API, from 1.0 on: what foreshadow reads of it and the few things it writes.
//!
//! Reads tolerate fields they do not know and `null` for empty lists, so that older and newer Nomads decode alike.
//! Nomad answers a stale `JobModifyIndex` with 500 (see `HttpError::is_stale_index`), an unknown job with 404, and
//! registers a job that it cannot place with 200 and a blocked evaluation.

mod alloc;
mod cluster;
mod events;
mod job;
mod node;
pub mod picture;
mod stats;

pub use alloc::{
    Alloc, AllocJob, AllocatedResources, DeploymentStatus, Port, TaskEvent, TaskResources,
    TaskState,
};
pub use cluster::{Agent, Deployment, DeploymentGroup, Evaluation, Features, Placement};
pub use events::{Event, EventBatch, EventStream, Payload, Topic};
pub use job::{
    Check, GroupSummary, GroupUpdates, Job, JobStub, JobSummary, JobView, PlanReply, RegisterReply,
    Service, Task, TaskGroup, Volume, Weights,
};
pub use node::{
    Driver, HostVolume, Network, NetworkPort, Node, NodeResources, NodeStub, ReservedResources,
};
pub use stats::{
    AllocStats, CoreStats, CpuStats, DiskStats, HostMemory, HostStats, MemoryStats, ResourceUsage,
    TaskUsage,
};

use super::http::{Ask, HttpError, Indexed, Peer, Transport, Wait};
use crate::model::JobSpec;
use picture::Which;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::json;

/// The prefix of no ID that Nomad makes.
const NO_ID: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/// A Nomad agent's API, a server's or a client's.
#[derive(Debug)]
pub struct Nomad {
    http: Transport,
}

impl Nomad {
    /// Prepares the connection; nothing is sent yet.
    pub fn new(peer: &Peer) -> Result<Self, HttpError> {
        Ok(Nomad {
            http: Transport::new(peer)?,
        })
    }

    /// Who answers, and what that version can do. `GET /v1/agent/self` (ACL: agent:read).
    pub async fn agent_self(&self) -> Result<Agent, HttpError> {
        self.read("read Nomad's version", &["agent", "self"]).await
    }

    /// The leader's RPC address; empty while there is none. `GET /v1/status/leader`
    pub async fn leader(&self) -> Result<String, HttpError> {
        self.read("ask who leads Nomad", &["status", "leader"])
            .await
    }

    /// `GET /v1/regions`
    pub async fn regions(&self) -> Result<Vec<String>, HttpError> {
        self.read("list Nomad's regions", &["regions"]).await
    }

    /// All nodes with total and reserved resources. `GET /v1/nodes?resources=true` (1.0 and later)
    pub async fn nodes(&self, wait: Option<Wait>) -> Result<Indexed<Vec<NodeStub>>, HttpError> {
        let ask = Ask::get("list Nomad's nodes", &["v1", "nodes"]).query("resources", true);
        self.list(ask, wait).await
    }

    /// One node with attributes, meta, resources and host volumes. `GET /v1/node/:id`
    pub async fn node(&self, id: &str) -> Result<Node, HttpError> {
        self.read(format!("read node {id}"), &["node", id]).await
    }

    /// Jobs whose ID begins with `prefix` (all, when empty). `GET /v1/jobs`
    pub async fn jobs(
        &self,
        prefix: &str,
        wait: Option<Wait>,
    ) -> Result<Indexed<Vec<JobStub>>, HttpError> {
        let prefix = (!prefix.is_empty()).then_some(prefix);
        let ask = Ask::get("list Nomad's jobs", &["v1", "jobs"]).query_if("prefix", prefix);
        self.list(ask, wait).await
    }

    /// A job, typed and as JSON; `None` when Nomad has none of this ID. `GET /v1/job/:id`
    pub async fn job(
        &self,
        id: &str,
        wait: Option<Wait>,
    ) -> Result<Indexed<Option<Job>>, HttpError> {
        let ask = Ask::get(format!("read job {id:?}"), &["v1", "job", id]);
        let asked = wait;
        match self.http.read_indexed::<JobSpec>(ask.clone(), wait).await {
            Ok(found) => {
                let job = Job::from_spec(found.value.clone())
                    .map_err(|e| self.undecodable(&ask, &found.value, e))?;
                Ok(found.map(|_| Some(job)))
            }
            // Nomad's own 404 has an index; any other server's is no proof that the job is absent.
            Err(HttpError::NotFound {
                index: Some(index), ..
            }) => Ok(Indexed::new(None, Some(index), asked)),
            Err(e) => Err(e),
        }
    }

    /// What registering would do, and what could not be placed; changes nothing. `POST /v1/job/:id/plan`
    pub async fn plan(&self, job: &JobSpec) -> Result<PlanReply, HttpError> {
        let id = job.id();
        let ask = Ask::post(
            format!("plan job {id:?}"),
            &["v1", "job", id.as_str(), "plan"],
        )
        .json(&json!({ "Job": job, "Diff": false }));
        self.http.read(&ask).await
    }

    /// Registers a job. With `enforce`, only if its JobModifyIndex still is this one (0: only if it is new). `POST /v1/jobs`
    pub async fn register(
        &self,
        job: &JobSpec,
        enforce: Option<u64>,
    ) -> Result<RegisterReply, HttpError> {
        let mut body = json!({ "Job": job });
        if let Some(index) = enforce {
            body["EnforceIndex"] = json!(true);
            body["JobModifyIndex"] = json!(index);
        }
        let ask = Ask::post(format!("register job {:?}", job.id()), &["v1", "jobs"]).json(&body);
        self.http.read(&ask).await
    }

    /// Stops a job; with `purge` it is forgotten at once. Stopping an unknown job is not an error in Nomad. `DELETE /v1/job/:id`
    pub async fn deregister(&self, id: &str, purge: bool) -> Result<RegisterReply, HttpError> {
        let ask = Ask::delete(format!("stop job {id:?}"), &["v1", "job", id]).query("purge", purge);
        self.http.read(&ask).await
    }

    /// Sets a group's count. `message` shows up among the job's scaling events. `POST /v1/job/:id/scale`
    pub async fn scale(
        &self,
        id: &str,
        group: &str,
        count: u64,
        message: &str,
    ) -> Result<RegisterReply, HttpError> {
        let what = format!("scale group {group:?} of job {id:?} to {count}");
        let ask = Ask::post(what, &["v1", "job", id, "scale"]).json(&json!({
            "Count": count,
            "Target": { "Group": group },
            "Message": message,
        }));
        self.http.read(&ask).await
    }

    /// HCL to JSON, by Nomad's own parser; a syntax error is a 400 with line and column. `POST /v1/jobs/parse`
    pub async fn parse(&self, hcl: &str) -> Result<JobSpec, HttpError> {
        let ask = Ask::post("parse a job file", &["v1", "jobs", "parse"])
            .json(&json!({ "JobHCL": hcl, "Canonicalize": true }));
        self.http.read(&ask).await
    }

    /// All allocations with resources (ports among them) and without task states, which would double the list. `GET /v1/allocations?resources=true`
    pub async fn allocations(&self, wait: Option<Wait>) -> Result<Indexed<Vec<Alloc>>, HttpError> {
        let ask = Ask::get("list Nomad's allocations", &["v1", "allocations"])
            .query("resources", true)
            .query("task_states", false);
        self.list(ask, wait).await
    }

    /// A job's allocations. No Nomad gives resources or ports here: see `allocations` or `allocation`. `GET /v1/job/:id/allocations`
    pub async fn job_allocations(
        &self,
        id: &str,
        wait: Option<Wait>,
    ) -> Result<Indexed<Vec<Alloc>>, HttpError> {
        let what = format!("list the allocations of job {id:?}");
        self.list(Ask::get(what, &["v1", "job", id, "allocations"]), wait)
            .await
    }

    /// One allocation whole. `GET /v1/allocation/:id`
    pub async fn allocation(&self, id: &str) -> Result<Alloc, HttpError> {
        self.read(format!("read allocation {id}"), &["allocation", id])
            .await
    }

    /// What an allocation's tasks use now; comes from the node's agent by way of the server. `GET /v1/client/allocation/:id/stats`
    pub async fn alloc_stats(&self, id: &str) -> Result<AllocStats, HttpError> {
        let what = format!("read what allocation {id} uses");
        self.read(what, &["client", "allocation", id, "stats"])
            .await
    }

    /// What a node's machine uses now. `GET /v1/client/stats?node_id=`
    pub async fn node_stats(&self, node: &str) -> Result<HostStats, HttpError> {
        let what = format!("read what node {node} uses");
        let ask = Ask::get(what, &["v1", "client", "stats"]).query("node_id", node);
        self.http.read(&ask).await
    }

    /// `GET /v1/evaluation/:id`
    pub async fn evaluation(&self, id: &str) -> Result<Evaluation, HttpError> {
        self.read(format!("read evaluation {id}"), &["evaluation", id])
            .await
    }

    /// Evaluations of one status (`blocked`: could not place everything). `GET /v1/evaluations?status=`
    ///
    /// Nomad 1.0 does not know the parameter and gives all, so the answer is filtered here too.
    pub async fn evaluations(
        &self,
        status: &str,
        wait: Option<Wait>,
    ) -> Result<Indexed<Vec<Evaluation>>, HttpError> {
        let all = self.all_evaluations(Some(status), wait).await?;
        Ok(all.map(|list| list.into_iter().filter(|e| e.status == status).collect()))
    }

    /// `GET /v1/deployments`
    pub async fn deployments(
        &self,
        wait: Option<Wait>,
    ) -> Result<Indexed<Vec<Deployment>>, HttpError> {
        self.list(
            Ask::get("list Nomad's deployments", &["v1", "deployments"]),
            wait,
        )
        .await
    }

    /// Follows what happens after `index` (0: from now on). Ends when the server ends it: the caller opens it again,
    /// and reads the lists anew, since events in between may be gone. `GET /v1/event/stream`
    pub async fn event_stream(
        &self,
        topics: &[Topic],
        index: u64,
    ) -> Result<EventStream, HttpError> {
        let mut ask = Ask::get("follow Nomad's events", &["v1", "event", "stream"]);
        for topic in topics {
            ask = ask.query("topic", topic);
        }
        if index > 0 {
            ask = ask.query("index", index);
        }
        Ok(EventStream::new(self.http.stream(&ask).await?))
    }

    /// The index of the last write to a table (0 when the server gives none), whatever it holds: a list that nothing matches.
    /// `GET /v1/nodes?prefix=` and its like
    pub async fn table_index(&self, which: Which) -> Result<u64, HttpError> {
        let what = format!("ask for the index of Nomad's {}", which.path());
        let ask = Ask::get(what, &["v1", which.path()]).query("prefix", NO_ID);
        let found: Indexed<Vec<IgnoredAny>> = self.list(ask, None).await?;
        Ok(found.index)
    }

    /// Evaluations of every status. `GET /v1/evaluations`
    async fn all_evaluations(
        &self,
        status: Option<&str>,
        wait: Option<Wait>,
    ) -> Result<Indexed<Vec<Evaluation>>, HttpError> {
        let what = format!("list Nomad's {} evaluations", status.unwrap_or("recent"));
        let ask = Ask::get(what, &["v1", "evaluations"]).query_if("status", status);
        self.list(ask, wait).await
    }

    async fn read<T: DeserializeOwned>(
        &self,
        what: impl Into<String>,
        path: &[&str],
    ) -> Result<T, HttpError> {
        let path: Vec<&str> = std::iter::once("v1").chain(path.iter().copied()).collect();
        self.http.read(&Ask::get(what, &path)).await
    }

    /// A list that may be `null`.
    async fn list<T: DeserializeOwned + Send + 'static>(
        &self,
        ask: Ask,
        wait: Option<Wait>,
    ) -> Result<Indexed<Vec<T>>, HttpError> {
        let found: Indexed<Option<Vec<T>>> = self.http.read_indexed(ask, wait).await?;
        Ok(found.map(Option::unwrap_or_default))
    }

    fn undecodable(&self, ask: &Ask, value: &JobSpec, source: serde_json::Error) -> HttpError {
        let bytes = value.0.to_string().len();
        self.http.undecodable(ask, bytes, source)
    }
}
