//! The task beside a shadow's own that stands in for its upstreams. Pure.

use super::derive::{each_group, each_task};
use crate::model::*;
use serde_json::{Map, Value, json};

/// Drivers that can run foreshadow's own binary, which is on the PATH of the Nomad client.
const DRIVERS: [&str; 2] = ["raw_exec", "exec"];
/// Drivers of containers: foreshadow's binary runs beside them as a task of the first of the others.
const CONTAINERS: [&str; 2] = ["docker", "podman"];

/// Gives each group of the shadow a task that stands in for the upstreams, a port for each of them, and its own tasks the
/// address of each in the variable that the policy names. Where they name an upstream in a URL, that leads there too.
pub fn add(job: &mut Value, upstreams: &[UpstreamPolicy]) -> Result<(), String> {
    let plan = serde_json::to_string(upstreams).map_err(|e| e.to_string())?;
    let mut wrong = None;
    each_group(job, |group| {
        let driver = match driver(group) {
            Ok(driver) => driver,
            Err(why) => {
                wrong.get_or_insert(why);
                return;
            }
        };
        let first = group.get("Tasks").and_then(|t| t.get(0));
        // It finds Consul's DNS as the tasks do.
        let mut env = first
            .and_then(|t| t.get("Env"))
            .cloned()
            .unwrap_or_default();
        if !env.is_object() {
            env = json!({});
        }
        env[UPSTREAMS_PLAN] = json!(plan);
        each_task(group, |task| point(task, upstreams));
        let networks = group.entry("Networks").or_insert_with(|| json!([{}]));
        if networks.as_array().is_none_or(Vec::is_empty) {
            *networks = json!([{}]);
        }
        let ports = (0..upstreams.len()).map(|n| json!({"Label": UpstreamPolicy::label(n)}));
        match networks[0]
            .get_mut("DynamicPorts")
            .and_then(Value::as_array_mut)
        {
            Some(list) => list.extend(ports),
            None => networks[0]["DynamicPorts"] = ports.collect(),
        }
        if let Some(tasks) = group.get_mut("Tasks").and_then(Value::as_array_mut) {
            tasks.push(task(driver, env));
        }
    })?;
    wrong.map_or(Ok(()), Err)
}

/// The driver of the task that stands in, if the group's tasks can reach it: it listens at the node's own address.
fn driver(group: &Map<String, Value>) -> Result<&'static str, String> {
    let text = |v: Option<&Value>| v.and_then(Value::as_str).unwrap_or_default().to_string();
    let network = group.get("Networks").and_then(|n| n.get(0));
    let mode = text(network.and_then(|n| n.get("Mode")));
    if !matches!(mode.as_str(), "" | "host") {
        return Err(format!(
            "what stands in for upstreams listens at the node's own address, which a group in network mode {mode} does not reach: \
             leave the upstream blocks out, or let the group be in mode host"
        ));
    }
    let tasks = group.get("Tasks").and_then(Value::as_array);
    let mut chosen = DRIVERS[0];
    for (k, task) in tasks.into_iter().flatten().enumerate() {
        let driver = text(task.get("Driver"));
        let own = DRIVERS.iter().find(|d| **d == driver);
        let container = CONTAINERS.contains(&driver.as_str());
        if own.is_none() && !container {
            return Err(format!(
                "upstreams are stood in for beside tasks of {} or {}, not of {driver}: leave the upstream blocks out",
                DRIVERS.join(", "),
                CONTAINERS.join(" or ")
            ));
        }
        let config = task.get("Config").unwrap_or(&Value::Null);
        let network = text(config.get("network_mode"));
        if container && (network == "none" || network.starts_with("container:")) {
            return Err(format!(
                "task {} has the network {network}, from which what stands in for its upstreams cannot be reached: \
                 leave the upstream blocks out",
                text(task.get("Name"))
            ));
        }
        if let (0, Some(own)) = (k, own) {
            chosen = own;
        }
    }
    Ok(chosen)
}

/// Tells a task where the upstreams are.
fn point(task: &mut Map<String, Value>, upstreams: &[UpstreamPolicy]) {
    for (n, upstream) in upstreams.iter().enumerate() {
        let label = UpstreamPolicy::label(n);
        let address = format!("${{NOMAD_ADDR_{label}}}");
        let env = task.entry("Env").or_insert_with(|| json!({}));
        if !env.is_object() {
            *env = json!({});
        }
        rehost(env, &upstream.name, &address);
        env[&upstream.env] = json!(address);
        if let Some(config) = task.get_mut("Config") {
            rehost(config, &upstream.name, &address);
        }
        let rendered = format!("{{{{ env \"NOMAD_ADDR_{label}\" }}}}");
        if let Some(templates) = task.get_mut("Templates") {
            rehost(templates, &upstream.name, &rendered);
        }
    }
}

/// Puts `to` in the place of `name` as the host of `http` URLs, with whatever port it has there.
fn rehost(v: &mut Value, name: &str, to: &str) {
    match v {
        Value::String(text) => *text = rehosted(text, name, to),
        Value::Array(all) => all.iter_mut().for_each(|v| rehost(v, name, to)),
        Value::Object(all) => all.values_mut().for_each(|v| rehost(v, name, to)),
        _ => {}
    }
}

fn rehosted(text: &str, name: &str, to: &str) -> String {
    const SCHEME: &str = "http://";
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(SCHEME) {
        let (before, after) = rest.split_at(at + SCHEME.len());
        out += before;
        let end = after.find(|c: char| "/?#\"' ,;\n".contains(c));
        let (authority, next) = after.split_at(end.unwrap_or(after.len()));
        let host = authority.split(':').next().unwrap_or(authority);
        let in_consul = host.strip_prefix(name);
        let same = authority == name
            || in_consul.is_some_and(|more| more.is_empty() || more.starts_with(".service."));
        out += if same { to } else { authority };
        rest = next;
    }
    out + rest
}

fn task(driver: &str, env: Value) -> Value {
    json!({
        "Name": UPSTREAMS_TASK,
        "Driver": driver,
        "Config": {"command": "foreshadow", "args": ["upstreams"]},
        "Env": env,
        "Resources": {"CPU": 50, "MemoryMB": 32},
        "LogConfig": {"MaxFiles": 1, "MaxFileSizeMB": 2},
        "KillTimeout": 2_000_000_000u64,
    })
}
