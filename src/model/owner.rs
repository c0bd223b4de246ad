//! Who owns the weights of a service: whose entries clients are given, and by what means their weights are written.

use super::{JobSpec, Json, ServiceName, list};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The means by which a service's weights are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// Entries of foreshadow's own at its gateways' agents.
    #[default]
    Front,
    /// The entries that Nomad made, registered again with another weight.
    Agent,
    /// `weights` in the job's `service` block.
    Nomad,
    /// `service-splitter` and `service-resolver` of Consul's mesh.
    Mesh,
    /// Entries in Consul's catalog, on nodes without an agent.
    External,
}

impl Owner {
    pub const ALL: [Owner; 5] = [
        Owner::Front,
        Owner::Agent,
        Owner::Nomad,
        Owner::Mesh,
        Owner::External,
    ];

    /// As policies name it.
    pub fn name(self) -> &'static str {
        match self {
            Owner::Front => "front",
            Owner::Agent => "agent",
            Owner::Nomad => "nomad",
            Owner::Mesh => "mesh",
            Owner::External => "external",
        }
    }

    /// Whether instances are the entries that Nomad itself registers under the service's name.
    pub fn takes_nomads_entries(self) -> bool {
        matches!(self, Owner::Agent | Owner::Nomad | Owner::Mesh)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a policy asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OwnerChoice {
    This(Owner),
    /// By what the service is and what this Nomad can do.
    Auto,
}

impl Default for OwnerChoice {
    fn default() -> Self {
        OwnerChoice::This(Owner::Front)
    }
}

impl OwnerChoice {
    /// Whether only entries of foreshadow's own at its own agents count.
    pub fn is_front(self) -> bool {
        self == OwnerChoice::default()
    }
}

/// The `service` blocks of a job, of groups and of tasks.
pub fn services(job: &JobSpec) -> impl Iterator<Item = &Json> {
    job.groups().flat_map(services_of)
}

/// The `service` blocks of one group and of its tasks.
pub fn services_of(group: &Json) -> impl Iterator<Item = &Json> {
    let tasks = list(group, "Tasks").flat_map(|task| list(task, "Services"));
    list(group, "Services").chain(tasks)
}

/// The job's own block of this name, if it registers the service itself.
pub fn own_block<'a>(job: &'a JobSpec, service: &ServiceName) -> Option<&'a Json> {
    services(job).find(|s| s.get("Name").and_then(Json::as_str) == Some(service.as_str()))
}

/// Whether a `service` block joins Consul's mesh, with a sidecar or by itself.
pub fn in_mesh(block: &Json) -> bool {
    let connect = block.get("Connect").unwrap_or(&Json::Null);
    let sidecar = connect.get("SidecarService").is_some_and(|s| !s.is_null());
    sidecar || connect.get("Native").and_then(Json::as_bool) == Some(true)
}

/// How entries that Nomad's clients register for an allocation begin.
pub fn nomad_entry(alloc: &str) -> String {
    format!("{NOMAD_ENTRY}{alloc}-")
}

/// Nomad touches only entries whose ID begins so.
pub const NOMAD_ENTRY: &str = "_nomad-task-";

/// The allocation in the ID of an entry that Nomad made.
pub fn alloc_of_entry(id: &str) -> Option<&str> {
    let rest = id.strip_prefix(NOMAD_ENTRY)?;
    // A UUID, then a dash.
    let alloc = rest.get(..36)?;
    (rest.as_bytes().get(36) == Some(&b'-')).then_some(alloc)
}
