//! What Nomad refuses to register, in Nomad's words.

use super::json::*;
use serde_json::Value;

/// All that is wrong with a job, each as one line of Nomad's nested error list; empty if it may be registered.
pub fn faults(job: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let id = text(job, "ID");
    if id.is_empty() {
        faults.push("Missing job ID".into());
    } else if id.contains(' ') {
        faults.push("Job ID contains a space".into());
    } else if id.contains('\0') {
        faults.push("Job ID contains a null character".into());
    }
    if text(job, "Name").is_empty() {
        faults.push("Missing job name".into());
    }
    let kind = text(job, "Type");
    if !["service", "system", "batch"].contains(&kind) {
        faults.push(format!("Invalid job type: {kind:?}"));
    }
    if !(1..=100).contains(&int(job, "Priority")) {
        faults.push("Job priority must be between [1, 100]".into());
    }
    if list(job, "Datacenters").is_empty() {
        faults.push("Missing job datacenters".into());
    }
    if list(job, "TaskGroups").is_empty() {
        faults.push("Missing job task groups".into());
    }
    constraint_faults(job, &mut faults);
    group_name_faults(job, &mut faults);
    for group in list(job, "TaskGroups") {
        let inner = group_faults(kind, group);
        if !inner.is_empty() {
            faults.push(format!(
                "Task group {} validation failed: {}",
                text(group, "Name"),
                listed(&inner)
            ));
        }
    }
    faults
}

/// Errors as hashicorp/go-multierror prints them.
pub fn listed(errors: &[String]) -> String {
    let plural = if errors.len() == 1 { "error" } else { "errors" };
    let points: Vec<String> = errors.iter().map(|e| format!("* {e}")).collect();
    format!(
        "{} {plural} occurred:\n\t{}\n\n",
        errors.len(),
        points.join("\n\t")
    )
}

fn group_name_faults(job: &Value, faults: &mut Vec<String>) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, group) in list(job, "TaskGroups").iter().enumerate() {
        let name = text(group, "Name");
        if name.is_empty() {
            faults.push(format!("Job task group {} missing name", i + 1));
        } else if let Some(first) = seen.iter().position(|n| *n == name) {
            faults.push(format!(
                "Job task group {} redefines {name:?} from group {}",
                i + 1,
                first + 1
            ));
        }
        if text(job, "Type") == "system" && int(group, "Count") > 1 {
            faults.push(format!(
                "Job task group {name} has count {}. Count cannot exceed 1 with system scheduler",
                int(group, "Count")
            ));
        }
        seen.push(name);
    }
}

fn group_faults(kind: &str, group: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    if text(group, "Name").is_empty() {
        faults.push("Missing task group name".into());
    }
    if int(group, "Count") < 0 {
        faults.push("Task group count can't be negative".into());
    }
    if list(group, "Tasks").is_empty() {
        faults.push("Missing tasks for task group".into());
    }
    constraint_faults(group, &mut faults);
    port_faults(group, &mut faults);
    let log = group.get("EphemeralDisk").map_or(0, |d| int(d, "SizeMB"));
    if kind == "batch" && group.get("Update").is_some_and(Value::is_object) {
        faults.push(format!("Job type {kind:?} does not allow update block"));
    }
    let scaling = scaling_faults(group);
    if !scaling.is_empty() {
        faults.push(format!(
            "Task group scaling policy validation failed: {}",
            listed(&scaling)
        ));
    }
    let mut names: Vec<&str> = Vec::new();
    for (i, task) in list(group, "Tasks").iter().enumerate() {
        let name = text(task, "Name");
        if name.is_empty() {
            faults.push(format!("Task {} missing name", i + 1));
        } else if names.contains(&name) {
            faults.push(format!(
                "Task {} redefines {name:?} from task {}",
                i + 1,
                names.iter().position(|n| *n == name).unwrap_or(0) + 1
            ));
        }
        names.push(name);
    }
    for task in list(group, "Tasks") {
        let inner = task_faults(task, log);
        if !inner.is_empty() {
            faults.push(format!(
                "Task {} validation failed: {}",
                text(task, "Name"),
                listed(&inner)
            ));
        }
    }
    faults
}

fn port_faults(group: &Value, faults: &mut Vec<String>) {
    let labels: Vec<&str> = list(group, "Networks")
        .iter()
        .flat_map(|n| {
            list(n, "DynamicPorts")
                .iter()
                .chain(list(n, "ReservedPorts"))
        })
        .map(|p| text(p, "Label"))
        .collect();
    for (i, label) in labels.iter().enumerate() {
        if labels[..i].contains(label) {
            faults.push(format!("Port label {label} already in use"));
        }
    }
}

/// A count must lie within the bounds of the group's `scaling` stanza.
fn scaling_faults(group: &Value) -> Vec<String> {
    let Some(policy) = group.get("Scaling").filter(|p| p.is_object()) else {
        return Vec::new();
    };
    let (count, min) = (int(group, "Count"), int(policy, "Min"));
    let max = policy.get("Max").and_then(Value::as_i64).unwrap_or(-1);
    let faults = [
        (max < 0, "maximum count must be specified and non-negative"),
        (
            max >= 0 && max < min,
            "maximum count must not be less than minimum count",
        ),
        (min < 0, "minimum count must be specified and non-negative"),
        (
            max < count,
            "task group count must not be greater than maximum count in scaling policy",
        ),
        (
            count < min,
            "task group count must not be less than minimum count in scaling policy",
        ),
    ];
    let found = faults.into_iter().filter(|(wrong, _)| *wrong);
    found
        .map(|(_, why)| format!("Scaling policy invalid: {why}"))
        .collect()
}

fn task_faults(task: &Value, disk_mb: i64) -> Vec<String> {
    let mut faults = Vec::new();
    if text(task, "Name").is_empty() {
        faults.push("Missing task name".into());
    }
    if text(task, "Driver").is_empty() {
        faults.push("Missing task driver".into());
    }
    if int(task, "KillTimeout") < 0 {
        faults.push("KillTimeout must be a positive value".into());
    }
    if let Some(resources) = task.get("Resources") {
        let mut low = Vec::new();
        if int(resources, "CPU") < 1 {
            low.push(format!(
                "minimum CPU value is 1; got {}",
                int(resources, "CPU")
            ));
        }
        if int(resources, "MemoryMB") < 10 {
            low.push(format!(
                "minimum MemoryMB value is 10; got {}",
                int(resources, "MemoryMB")
            ));
        }
        if !low.is_empty() {
            faults.push(listed(&[listed(&low)]));
        }
    }
    if let Some(log) = task.get("LogConfig") {
        let needs = int(log, "MaxFiles") * int(log, "MaxFileSizeMB");
        if disk_mb <= needs {
            faults.push(format!(
                "log storage ({needs} MB) must be less than requested disk capacity ({disk_mb} MB)"
            ));
        }
    }
    constraint_faults(task, &mut faults);
    faults
}

fn constraint_faults(owner: &Value, faults: &mut Vec<String>) {
    for (i, constraint) in list(owner, "Constraints").iter().enumerate() {
        let (operand, right) = (text(constraint, "Operand"), text(constraint, "RTarget"));
        let mut inner = Vec::new();
        match operand {
            "" => inner.push("Missing constraint operand".into()),
            "regexp" => {
                if let Err(e) = regex::Regex::new(right) {
                    inner.push(format!("Regular expression failed to compile: {e}"));
                }
            }
            "distinct_hosts" => {}
            "=" | "==" | "is" | "!=" | "not" | "<" | "<=" | ">" | ">=" if right.is_empty() => {
                inner.push(format!("Operator {operand:?} requires an RTarget"));
            }
            "=" | "==" | "is" | "!=" | "not" | "<" | "<=" | ">" | ">=" | "version" | "semver"
            | "set_contains" | "set_contains_all" | "set_contains_any" | "distinct_property"
            | "is_set" | "is_not_set" => {}
            other => inner.push(format!("Unknown constraint type {other:?}")),
        }
        if !inner.is_empty() {
            faults.push(format!(
                "Constraint {} validation failed: {}",
                i + 1,
                listed(&inner)
            ));
        }
    }
}
