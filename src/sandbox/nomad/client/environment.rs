//! What a task is started with: Nomad's environment, and `${…}` put in.

use super::super::json::*;
use super::super::runtime::TaskStart;
use super::super::state::State;
use super::super::state::alloc::Alloc;
use super::super::state::node::Node;
use super::super::state::span;
use serde_json::Value;
use std::collections::BTreeMap;

/// Left for the runtime, which makes these folders.
const FOLDERS: [&str; 3] = ["NOMAD_TASK_DIR", "NOMAD_ALLOC_DIR", "NOMAD_SECRETS_DIR"];

pub fn task_start(state: &State, id: &str, name: &str) -> Option<TaskStart> {
    let alloc = state.allocs.get(id)?;
    let node = state.nodes.get(&alloc.node_id)?;
    let task = list(alloc.group_json(), "Tasks")
        .iter()
        .find(|t| text(t, "Name") == name)?;
    let env = environment(alloc, node, task);
    let config = &task["Config"];
    let (cpu, memory) = alloc
        .ask
        .tasks
        .iter()
        .find(|t| t.0 == name)
        .map_or((0, 0), |t| (t.1, t.2));
    Some(TaskStart {
        alloc_id: alloc.id.clone(),
        alloc_name: alloc.name.clone(),
        alloc_index: alloc.slot,
        job_id: alloc.shown_job().into(),
        job_name: text(&alloc.job, "Name").into(),
        group: alloc.group.clone(),
        task: name.into(),
        node: alloc.node_name.clone(),
        driver: text(task, "Driver").into(),
        command: interpolate(text(config, "command"), &env, node),
        args: list(config, "args")
            .iter()
            .filter_map(Value::as_str)
            .map(|a| interpolate(a, &env, node))
            .collect(),
        ports: alloc
            .ports
            .iter()
            .map(|p| (p.label.clone(), p.value))
            .collect(),
        cpu_mhz: u32::try_from(cpu).unwrap_or(0),
        memory_mb: u32::try_from(memory).unwrap_or(0),
        kill_timeout: span(int(task, "KillTimeout")),
        env,
    })
}

/// Nomad's variables, meta and the task's own `env`.
pub fn environment(alloc: &Alloc, node: &Node, task: &Value) -> BTreeMap<String, String> {
    let mut env = nomad_variables(alloc, node, task);
    for owner in [&*alloc.job, alloc.group_json(), task] {
        for (key, value) in texts(owner, "Meta") {
            let clean: String = key
                .chars()
                .map(|c| if c.is_alphanumeric() { c } else { '_' })
                .collect();
            env.insert(format!("NOMAD_META_{}", clean.to_uppercase()), value.into());
            env.insert(format!("NOMAD_META_{clean}"), value.into());
        }
    }
    let own: Vec<(String, String)> = texts(task, "Env")
        .map(|(k, v)| (k.to_string(), interpolate(v, &env, node)))
        .collect();
    env.extend(own);
    env
}

fn nomad_variables(alloc: &Alloc, node: &Node, task: &Value) -> BTreeMap<String, String> {
    let resources = &task["Resources"];
    let plain = [
        ("NOMAD_ALLOC_ID", alloc.id.clone()),
        ("NOMAD_ALLOC_NAME", alloc.name.clone()),
        ("NOMAD_ALLOC_INDEX", alloc.slot.to_string()),
        ("NOMAD_GROUP_NAME", alloc.group.clone()),
        ("NOMAD_TASK_NAME", text(task, "Name").into()),
        ("NOMAD_JOB_NAME", text(&alloc.job, "Name").into()),
        ("NOMAD_JOB_ID", alloc.shown_job().into()),
        ("NOMAD_DC", node.config.datacenter.clone()),
        ("NOMAD_REGION", "global".into()),
        ("NOMAD_NAMESPACE", alloc.namespace().into()),
        ("NOMAD_CPU_LIMIT", int(resources, "CPU").to_string()),
        ("NOMAD_MEMORY_LIMIT", int(resources, "MemoryMB").to_string()),
    ];
    let mut env: BTreeMap<String, String> = plain.map(|(k, v)| (k.to_string(), v)).into();
    let (inner, outer) = (node.config.task_ip(), node.config.network_ip());
    for port in &alloc.ports {
        let inside = if port.to > 0 {
            port.to
        } else {
            i64::from(port.value)
        };
        for (kind, value) in [
            ("IP", inner.to_string()),
            ("PORT", inside.to_string()),
            ("ADDR", format!("{inner}:{inside}")),
            ("HOST_IP", outer.to_string()),
            ("HOST_PORT", port.value.to_string()),
            ("HOST_ADDR", format!("{outer}:{}", port.value)),
        ] {
            env.insert(format!("NOMAD_{kind}_{}", port.label), value);
        }
    }
    env
}

/// Put in what is known; the rest of `${…}` stays.
pub fn interpolate(input: &str, env: &BTreeMap<String, String>, node: &Node) -> String {
    let mut out = String::new();
    let mut rest = input;
    while let Some(start) = rest.find("${") {
        let Some(length) = rest[start..].find('}') else {
            break;
        };
        let whole = &rest[start..=start + length];
        let name = whole[2..whole.len() - 1].trim();
        let key = name
            .strip_prefix("env[\"")
            .and_then(|n| n.strip_suffix("\"]"))
            .unwrap_or(name);
        out.push_str(&rest[..start]);
        let value = if FOLDERS.contains(&key) {
            None
        } else {
            env.get(key).cloned()
        };
        let value = value.or_else(|| {
            name.contains('.')
                .then(|| node.resolve(&format!("${{{name}}}")))
                .flatten()
        });
        out.push_str(value.as_deref().unwrap_or(whole));
        rest = &rest[start + length + 1..];
    }
    out + rest
}
