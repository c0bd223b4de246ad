//! The task beside a shadow's own that stands in for its upstreams. Pure.

use super::derive::{each_group, each_task};
use crate::model::*;
use serde_json::{Value, json};

/// Drivers that can run foreshadow's own binary, which is on the PATH of the Nomad client.
const DRIVERS: [&str; 2] = ["raw_exec", "exec"];

/// Gives each group of the shadow a task that stands in for the upstreams, a port for each of them, and its own tasks the
/// address of each in the variable that the policy names.
pub fn add(job: &mut JobSpec, upstreams: &[UpstreamPolicy]) -> Result<(), String> {
    let plan = serde_json::to_string(upstreams).map_err(|e| e.to_string())?;
    let mut wrong = None;
    each_group(job, |group| {
        let first = group.get("Tasks").and_then(|t| t.get(0));
        let driver = first.and_then(|t| t.get("Driver")?.as_str());
        let driver = driver.unwrap_or_default().to_string();
        if !DRIVERS.contains(&driver.as_str()) {
            wrong = Some(format!(
                "upstreams are stood in for by a task of {}, not of {driver}: leave the upstream blocks out",
                DRIVERS.join(" or ")
            ));
            return;
        }
        // It finds Consul's DNS as the tasks do.
        let mut env = first
            .and_then(|t| t.get("Env"))
            .cloned()
            .unwrap_or_default();
        if !env.is_object() {
            env = json!({});
        }
        env[UPSTREAMS_PLAN] = json!(plan);
        each_task(group, |task| {
            let env = task.entry("Env").or_insert_with(|| json!({}));
            if !env.is_object() {
                *env = json!({});
            }
            for (n, upstream) in upstreams.iter().enumerate() {
                let address = format!("${{NOMAD_ADDR_{}}}", UpstreamPolicy::label(n));
                env[&upstream.env] = json!(address);
            }
        });
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
            tasks.push(task(&driver, env));
        }
    })?;
    wrong.map_or(Ok(()), Err)
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
