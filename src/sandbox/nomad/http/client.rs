//! `/v1/client/…`: what a node's own agent answers.

use super::Request;
use super::ids::check_uuid;
use super::reply::Reply;
use crate::sandbox::nomad::acl::{Need, denied};
use crate::sandbox::nomad::client;
use crate::sandbox::nomad::jobs::Refusal;
use crate::sandbox::nomad::json::*;
use crate::sandbox::nomad::runtime::TaskUsage;
use crate::sandbox::nomad::state::node::Node;
use crate::sandbox::nomad::state::{State, now};
use axum::http::Method;
use serde_json::{Map, Value, json};

pub fn route(r: &Request<'_>, rest: &str) -> Result<Reply, Refusal> {
    match rest.split('/').collect::<Vec<_>>()[..] {
        ["stats"] => {
            r.only(&[Method::GET])?;
            r.may(Need::NodeRead)?;
            on_node(r, |s, n| Reply::json(host_stats(r, s, n)))
        }
        // What has ended takes no room on a node that runs nothing itself.
        ["gc"] => {
            r.may(Need::NodeWrite)?;
            on_node(r, |_, _| Reply::empty())
        }
        ["allocation", id, "stats"] => stats(r, id),
        ["allocation", id, "restart"] => restart(r, id),
        ["allocation", id, "signal"] => {
            on_alloc(r, id, "alloc-lifecycle")?;
            let why = "the sandbox's tasks are sent no signals: stop or restart the allocation";
            Err(Refusal::new(501, why))
        }
        ["allocation", ..] => Err(Refusal::new(404, "resource not found")),
        _ => Err(Refusal::new(404, "")),
    }
}

/// Answer for the node of `?node_id=`, if its client can be reached.
fn on_node(r: &Request<'_>, answer: impl FnOnce(&State, &Node) -> Reply) -> Result<Reply, Refusal> {
    let id = r.query.get("node_id").unwrap_or("");
    if id.is_empty() {
        let why = "No local Node and node_id not provided";
        return Err(Refusal::new(400, why));
    }
    check_uuid(id, "node")?;
    r.core.read(|s| match s.nodes.get(id) {
        Some(n) if n.beating => Ok(answer(s, n)),
        Some(_) => Err(Refusal::new(404, "No path to node")),
        None => Err(Refusal::new(404, format!("Unknown node {id}"))),
    })
}

/// Refused unless the allocation is there, the token allows it, and its node's client can be reached and knows it.
fn on_alloc(r: &Request<'_>, id: &str, capability: &str) -> Result<(), Refusal> {
    check_uuid(id, "alloc")?;
    let unknown = || Refusal::new(404, format!("Unknown allocation {id:?}"));
    if !r.core.read(|s| s.allocs.contains_key(id)) {
        return Err(unknown());
    }
    let rights = r.rights()?;
    r.core.read(|s| {
        let alloc = s.allocs.get(id).ok_or_else(unknown)?;
        if !rights.allow(Need::Any(alloc.namespace(), &[capability])) {
            return Err(denied());
        }
        if !s.nodes.get(&alloc.node_id).is_some_and(|n| n.beating) {
            return Err(Refusal::new(404, "No path to node"));
        }
        if alloc.view.received {
            Ok(())
        } else {
            Err(unknown())
        }
    })
}

fn stats(r: &Request<'_>, id: &str) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    on_alloc(r, id, "read-job")?;
    let usage = r.core.usage(id).unwrap_or_default();
    let pids = r
        .core
        .read(|s| s.allocs.get(id).map(|a| a.view.pids.clone()));
    Ok(Reply::json(alloc_stats(&usage, &pids.unwrap_or_default())))
}

fn restart(r: &Request<'_>, id: &str) -> Result<Reply, Refusal> {
    if !r.writes() {
        return Err(Refusal::new(405, "Invalid method"));
    }
    on_alloc(r, id, "alloc-lifecycle")?;
    let body = if r.body.is_empty() {
        Value::Null
    } else {
        r.json()?
    };
    r.core
        .write(|s| client::restart_on_request(s, id, text(&body, "TaskName")))?;
    Ok(Reply::json(json!({"Index": 0})))
}

fn usage_json(usage: &TaskUsage, devices: Value) -> Value {
    json!({"CpuStats": {"Measured": ["System Mode", "User Mode", "Percent"], "Percent": usage.cpu_percent, "SystemMode": 0.0,
            "ThrottledPeriods": 0, "ThrottledTime": 0, "TotalTicks": usage.cpu_ticks_mhz, "UserMode": usage.cpu_percent},
        "DeviceStats": devices,
        "MemoryStats": {"Cache": 0, "KernelMaxUsage": 0, "KernelUsage": 0, "MaxUsage": 0, "Measured": ["RSS", "Swap"], "RSS": usage.rss_bytes,
            "Swap": 0, "Usage": 0}})
}

fn alloc_stats(
    tasks: &std::collections::BTreeMap<String, TaskUsage>,
    pids: &std::collections::BTreeMap<String, u32>,
) -> Value {
    let mut sum = TaskUsage::default();
    let mut out = Map::new();
    for (name, usage) in tasks {
        sum.cpu_percent += usage.cpu_percent;
        sum.cpu_ticks_mhz += usage.cpu_ticks_mhz;
        sum.rss_bytes += usage.rss_bytes;
        sum.at_nanos = sum.at_nanos.max(usage.at_nanos);
        let pids: Map<String, Value> = pids
            .get(name)
            .map(|pid| (pid.to_string(), usage_json(usage, Value::Null)))
            .into_iter()
            .collect();
        out.insert(name.clone(), json!({"Pids": pids, "ResourceUsage": usage_json(usage, Value::Null), "Timestamp": usage.at_nanos}));
    }
    json!({"ResourceUsage": usage_json(&sum, json!([])), "Tasks": out, "Timestamp": sum.at_nanos})
}

/// What runs on the node, as if nothing else did.
fn host_stats(r: &Request<'_>, s: &State, node: &Node) -> Value {
    let running = s
        .allocs
        .values()
        .filter(|a| a.node_id == node.id && !a.view.finished);
    let usage: Vec<TaskUsage> = running
        .filter_map(|a| r.core.usage(&a.id))
        .flat_map(|u| u.into_values().collect::<Vec<_>>())
        .collect();
    let ticks: f64 = usage.iter().map(|u| u.cpu_ticks_mhz).sum();
    let used: u64 = usage.iter().map(|u| u.rss_bytes).sum();
    let busy = (ticks / (node.config.cpu_mhz as f64).max(1.0) * 100.0).min(100.0);
    let cpu = |name: &str| json!({"CPU": name, "Idle": 100.0 - busy, "System": 0.0, "Total": busy, "User": busy});
    let (total, disk) = (
        (node.config.memory_mb as u64) << 20,
        (node.config.disk_mb as u64) << 20,
    );
    let free = total.saturating_sub(used);
    let space = |device: &str, mountpoint: &str| json!({"Available": disk, "Device": device, "InodesUsedPercent": 1.0, "Mountpoint": mountpoint, "Size": disk, "Used": 0, "UsedPercent": 0.0});
    json!({"AllocDirStats": space("", ""), "CPU": [cpu("cpu0"), cpu("cpu1")], "CPUTicksConsumed": ticks, "DeviceStats": null,
        "DiskStats": [space(node.attributes.get("unique.storage.volume").map_or("/", String::as_str), "/")], "Memory": {"Available": free, "Free": free, "Total": total, "Used": used}, "Timestamp": now(),
        "Uptime": (now() - s.started) / SECOND})
}
