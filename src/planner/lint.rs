//! The last look at a shadow's job before it is asked for: whatever made it, it may not touch production. Pure.

use super::instances::META_SHADOW;
use crate::model::*;
use std::collections::BTreeSet;
use std::fmt;

/// Preemption needs a gap of 10 from the default priority of 50.
const HIGHEST_PRIORITY: u64 = 40;
/// When the reaper ends it, in milliseconds since 1970.
pub const META_DEADLINE: &str = "foreshadow_deadline";

/// A rule that a derived job breaks, and where.
#[derive(Clone, Debug, PartialEq)]
pub enum Finding {
    /// Its ID is production's, or none of foreshadow's.
    Id(String),
    /// Production routes to a service of this name.
    ServiceName(String),
    /// Production's routers go by tags: this service has some.
    Tags(String),
    /// A canary or an update strategy of this group.
    Canary(String),
    /// A priority that could push production off a node.
    Priority(u64),
    /// It would be restarted or rescheduled: this group must end when it fails.
    ComesBack(String),
    /// A volume or a mount that production may write to, or that it could write to itself.
    Shared(String),
    /// The reaper would not know it, or not when to end it.
    Unmarked(&'static str),
    /// More than the node has left, as resource, asked and free.
    Room(&'static str, f64, f64),
    /// Log files of this task that do not fit in its group's ephemeral disk: Nomad would refuse it.
    Logs(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Id(id) => write!(f, "its ID {id:?} is not a shadow's own"),
            Finding::ServiceName(name) => write!(f, "production's service name {name}"),
            Finding::Tags(name) => write!(f, "tags on service {name}"),
            Finding::Canary(group) => write!(f, "a canary or update strategy in group {group}"),
            Finding::Priority(p) => {
                write!(f, "priority {p}, more than {HIGHEST_PRIORITY}")
            }
            Finding::ComesBack(group) => {
                write!(f, "group {group} would be restarted or rescheduled")
            }
            Finding::Shared(what) => write!(f, "shared writable storage: {what}"),
            Finding::Unmarked(meta) => write!(f, "no {meta} in its meta"),
            Finding::Room(what, asked, free) => {
                write!(f, "{asked:.0} of {what} where {free:.0} are free")
            }
            Finding::Logs(task) => {
                write!(f, "log files of task {task} as large as its disk")
            }
        }
    }
}

/// Every rule that the shadow's job breaks; `live` is the job it was derived from, `free` what its node has left.
pub fn lint(
    shadow: &JobSpec,
    live: &JobSpec,
    fronts: &[ServiceName],
    free: &Resources,
) -> Vec<Finding> {
    let mut found = Vec::new();
    let id = shadow.text("ID");
    if !id.starts_with("foreshadow-shadow-") || id == live.text("ID") {
        found.push(Finding::Id(id.to_string()));
    }
    let priority = shadow.0.get("Priority").and_then(Json::as_u64);
    if priority.is_none_or(|p| p > HIGHEST_PRIORITY) {
        found.push(Finding::Priority(priority.unwrap_or(50)));
    }
    if shadow.meta(META_SHADOW) != Some("true") {
        found.push(Finding::Unmarked(META_SHADOW));
    }
    let deadline = shadow
        .meta(META_DEADLINE)
        .and_then(|d| d.parse::<i64>().ok());
    if deadline.is_none_or(|d| d <= 0) {
        found.push(Finding::Unmarked(META_DEADLINE));
    }
    names(shadow, live, fronts, &mut found);
    if shadow.0.get("Update").is_some_and(|u| !u.is_null()) {
        found.push(Finding::Canary("of the whole job".into()));
    }
    for group in shadow.groups() {
        one(group, &mut found);
    }
    room(shadow, free, &mut found);
    found
}

/// One sentence of all findings; `None` for a job that keeps every rule.
pub fn sentence(found: &[Finding]) -> Option<String> {
    let all: Vec<String> = found.iter().map(Finding::to_string).collect();
    (!all.is_empty()).then(|| format!("its derived job is not isolated: {}", all.join("; ")))
}

fn text(v: &Json, key: &str) -> String {
    v.get(key)
        .and_then(Json::as_str)
        .unwrap_or_default()
        .to_string()
}

fn services(job: &JobSpec) -> impl Iterator<Item = &Json> {
    job.groups()
        .flat_map(|g| list(g, "Services").chain(list(g, "Tasks").flat_map(|t| list(t, "Services"))))
}

fn names(shadow: &JobSpec, live: &JobSpec, fronts: &[ServiceName], found: &mut Vec<Finding>) {
    let production: BTreeSet<String> = services(live)
        .map(|s| text(s, "Name"))
        .chain(fronts.iter().map(ServiceName::to_string))
        .collect();
    for service in services(shadow) {
        let name = text(service, "Name");
        // Nomad names a service without a name after job, group and task: the shadow's job has another one.
        if production.contains(&name) && !name.is_empty() {
            found.push(Finding::ServiceName(name.clone()));
        }
        let tagged = ["Tags", "CanaryTags"];
        if tagged.iter().any(|key| list(service, key).next().is_some()) {
            found.push(Finding::Tags(name));
        }
    }
}

fn one(group: &Json, found: &mut Vec<Finding>) {
    let name = text(group, "Name");
    if group.get("Update").is_some_and(|u| !u.is_null()) {
        found.push(Finding::Canary(name.clone()));
    }
    let never = |policy: &str| {
        let policy = group.get(policy);
        let at = |key: &str| policy.and_then(|p| p.get(key));
        at("Attempts").and_then(Json::as_u64) == Some(0)
            && at("Unlimited").and_then(Json::as_bool) != Some(true)
    };
    if !never("RestartPolicy") || !never("ReschedulePolicy") {
        found.push(Finding::ComesBack(name.clone()));
    }
    let flag = |v: &Json, key: &str| v.get(key).and_then(Json::as_bool) == Some(true);
    let volumes = group.get("Volumes").and_then(Json::as_object);
    for (label, volume) in volumes.into_iter().flat_map(Fields::iter) {
        if !flag(volume, "ReadOnly") {
            found.push(Finding::Shared(format!("volume {label} of group {name}")));
        }
    }
    let disk = group.get("EphemeralDisk");
    if disk.is_some_and(|d| flag(d, "Sticky") || flag(d, "Migrate")) {
        found.push(Finding::Shared(format!("the sticky disk of group {name}")));
    }
    let size = disk.and_then(|d| d.get("SizeMB")).and_then(Json::as_u64);
    for task in list(group, "Tasks") {
        let config = task.get("Config").unwrap_or(&Json::Null);
        for mount in host_mounts(config) {
            let what = format!("{mount} of task {}", text(task, "Name"));
            found.push(Finding::Shared(what));
        }
        let log = |key: &str| task.get("LogConfig")?.get(key)?.as_u64();
        let logs = log("MaxFiles").zip(log("MaxFileSizeMB"));
        if size.zip(logs).is_some_and(|(size, (n, mb))| n * mb >= size) {
            found.push(Finding::Logs(text(task, "Name")));
        }
    }
}

/// Paths of the host that a docker or podman task mounts and may write to.
fn host_mounts(config: &Json) -> Vec<String> {
    let volumes = list(config, "volumes").filter_map(Json::as_str);
    // `local/…` and other relative paths are within the allocation's own folder.
    let bound = volumes.filter(|v| v.starts_with('/') && !v.ends_with(":ro"));
    let mut out: Vec<String> = bound.map(str::to_string).collect();
    for key in ["mount", "mounts"] {
        for mount in list(config, key) {
            let read_only = mount.get("readonly").and_then(Json::as_bool) == Some(true);
            let kind = text(mount, "type");
            let source = text(mount, "source");
            let foreign = kind == "volume" || source.starts_with('/');
            if foreign && kind != "tmpfs" && !read_only {
                out.push(format!("{kind} {source}"));
            }
        }
    }
    out
}

fn room(shadow: &JobSpec, free: &Resources, found: &mut Vec<Finding>) {
    let groups: Vec<Group> = shadow
        .groups()
        .map(|g| Group::new(text(g, "Name")))
        .collect();
    let asked = groups.iter().fold(Resources::default(), |sum, g| {
        sum.plus(shadow.needs(g).times(shadow.count(g) as f64))
    });
    for (what, asked, free) in [
        ("MHz", asked.cpu.0, free.cpu.0),
        ("MiB of memory", asked.memory.0, free.memory.0),
        ("MiB of disk", asked.disk.0, free.disk.0),
    ] {
        if asked > free {
            found.push(Finding::Room(what, asked, free));
        }
    }
}
