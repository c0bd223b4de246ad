//! Can a running allocation become the new version, or does it need a successor?

use super::super::json::*;
use super::super::state::alloc::Alloc;
use super::super::state::node::Node;
use super::feasible;
use serde_json::Value;
use std::collections::BTreeMap;

/// Whether a new version of the job cannot be given to an allocation while its tasks run on.
pub fn destroys(alloc: &Alloc, node: Option<&Node>, job: &Value, group: &Value) -> bool {
    let Some(node) = node else { return true };
    let here = list(job, "Datacenters")
        .iter()
        .any(|d| d.as_str() == Some(&node.config.datacenter));
    !here
        || differs((&alloc.job, alloc.group_json()), (job, group))
        || feasible::refusal(node, job, group).is_some()
}

type Version<'a> = (&'a Value, &'a Value);

/// Whether the tasks have to begin anew, or a better place may have to be looked for.
fn differs(old: Version, new: Version) -> bool {
    let (before, after) = (old.1, new.1);
    let keys = ["EphemeralDisk", "Networks"];
    if keys.iter().any(|k| before.get(k) != after.get(k)) {
        return true;
    }
    if ["Affinities", "Spreads"]
        .iter()
        .any(|k| combined(old, k) != combined(new, k))
    {
        return true;
    }
    let connects = |g: &Value| -> Vec<Option<Value>> {
        let services = list(g, "Services").iter();
        services.map(|s| s.get("Connect").cloned()).collect()
    };
    if connects(before) != connects(after) {
        return true;
    }
    let tasks = list(after, "Tasks");
    list(before, "Tasks").len() != tasks.len()
        || tasks.iter().any(|task| {
            let name = text(task, "Name");
            let twin = list(before, "Tasks")
                .iter()
                .find(|t| text(t, "Name") == name);
            twin.is_none_or(|t| task_differs(t, task) || meta(old, t) != meta(new, task))
        })
}

fn task_differs(old: &Value, new: &Value) -> bool {
    let keys = [
        "Driver",
        "User",
        "Config",
        "Env",
        "Artifacts",
        "Vault",
        "Templates",
    ];
    let resources = ["CPU", "MemoryMB", "Devices", "Networks"];
    keys.iter().any(|k| old.get(k) != new.get(k))
        || resources
            .iter()
            .any(|k| old["Resources"].get(k) != new["Resources"].get(k))
}

/// The terms of job, group and tasks together.
fn combined<'a>((job, group): Version<'a>, key: &'a str) -> Vec<&'a Value> {
    let tasks = list(group, "Tasks").iter().flat_map(|t| list(t, key));
    list(job, key)
        .iter()
        .chain(list(group, key))
        .chain(tasks)
        .collect()
}

/// A task's meta with that of its group and job.
fn meta<'a>((job, group): Version<'a>, task: &'a Value) -> BTreeMap<&'a str, &'a str> {
    [job, group, task]
        .into_iter()
        .flat_map(|owner| texts(owner, "Meta"))
        .collect()
}
