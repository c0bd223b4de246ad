//! A running allocation's services, as Nomad's client registers them in Consul.

use super::super::json::*;
use super::super::runtime::{CheckKind, CheckReg, ServiceReg};
use super::super::state::alloc::Alloc;
use super::super::state::node::{Node, fnv};
use super::super::state::{State, span};
use super::environment::{environment, interpolate};
use serde_json::Value;
use std::collections::BTreeMap;

pub fn of(state: &State, id: &str) -> Vec<ServiceReg> {
    let Some(alloc) = state.allocs.get(id) else {
        return Vec::new();
    };
    let Some(node) = state.nodes.get(&alloc.node_id) else {
        return Vec::new();
    };
    let group = alloc.group_json();
    let mut out = Vec::new();
    let weighed = state.config.mood.keeps_weights();
    let first = list(group, "Tasks").first().unwrap_or(&Value::Null);
    let owner = format!("group-{}", alloc.group);
    for service in list(group, "Services") {
        let env = environment(alloc, node, first);
        out.push(ServiceReg {
            weights: weighed.then(|| weights(service)),
            ..service_reg(alloc, node, service, &owner, &env)
        });
    }
    for task in list(group, "Tasks") {
        for service in list(task, "Services") {
            let env = environment(alloc, node, task);
            out.push(ServiceReg {
                weights: weighed.then(|| weights(service)),
                ..service_reg(alloc, node, service, text(task, "Name"), &env)
            });
        }
    }
    out
}

fn service_reg(
    alloc: &Alloc,
    node: &Node,
    service: &Value,
    owner: &str,
    env: &BTreeMap<String, String>,
) -> ServiceReg {
    let fill_in = |t: &str| interpolate(t, env, node);
    let name = fill_in(text(service, "Name"));
    let label = text(service, "PortLabel");
    let id = format!("_nomad-task-{}-{owner}-{name}-{label}", alloc.id);
    let address = node.config.network_ip().to_string();
    let on_trial = alloc.canary && entries(service, "CanaryMeta").next().is_some();
    let meta = if on_trial { "CanaryMeta" } else { "Meta" };
    let mut meta: BTreeMap<String, String> = texts(service, meta)
        .map(|(k, v)| (k.to_string(), fill_in(v)))
        .collect();
    meta.insert("external-source".into(), "nomad".into());
    ServiceReg {
        weights: None,
        port: port(alloc, label),
        tags: tags(alloc, service)
            .iter()
            .filter_map(Value::as_str)
            .map(fill_in)
            .collect(),
        enable_tag_override: flag(service, "EnableTagOverride"),
        checks: list(service, "Checks")
            .iter()
            .filter_map(|c| check_reg(alloc, c, &id, label, &address))
            .collect(),
        id,
        name,
        address,
        meta,
    }
}

/// 1 and 1 for a block without weights, as Consul itself has it.
fn weights(service: &Value) -> (u16, u16) {
    let weights = &service["Weights"];
    let of = |key: &str| {
        weights[key]
            .as_u64()
            .and_then(|w| w.try_into().ok())
            .unwrap_or(1)
    };
    (of("Passing"), of("Warning"))
}

/// A canary has its own tags, if the job names any.
fn tags<'a>(alloc: &Alloc, service: &'a Value) -> &'a [Value] {
    let own = list(service, "CanaryTags");
    if alloc.canary && !own.is_empty() {
        own
    } else {
        list(service, "Tags")
    }
}

/// The port behind a label; a label that is a number is the port.
fn port(alloc: &Alloc, label: &str) -> u16 {
    let named = alloc
        .ports
        .iter()
        .find(|p| p.label == label)
        .map(|p| p.value);
    named.or_else(|| label.parse().ok()).unwrap_or(0)
}

fn check_reg(
    alloc: &Alloc,
    check: &Value,
    service_id: &str,
    label: &str,
    address: &str,
) -> Option<CheckReg> {
    let own = text(check, "PortLabel");
    let port = port(alloc, if own.is_empty() { label } else { own });
    let kind = match text(check, "Type") {
        "http" => {
            let (scheme, path) = (text(check, "Protocol"), text(check, "Path"));
            let scheme = if scheme.is_empty() { "http" } else { scheme };
            let method = text(check, "Method");
            CheckKind::Http {
                url: format!(
                    "{scheme}://{address}:{port}/{}",
                    path.trim_start_matches('/')
                ),
                method: if method.is_empty() { "GET" } else { method }.into(),
            }
        }
        "tcp" => CheckKind::Tcp {
            address: format!("{address}:{port}"),
        },
        _ => return None, // Script checks would run inside a task; there is nothing to run them here.
    };
    let text_of_all = format!("{service_id}|{check}");
    Some(CheckReg {
        id: format!(
            "_nomad-check-{:016x}{:016x}",
            fnv(text_of_all.as_bytes()),
            fnv(service_id.as_bytes())
        ),
        name: text(check, "Name").into(),
        kind,
        interval: span(int(check, "Interval")),
        timeout: span(int(check, "Timeout")),
        initial_status: text(check, "InitialStatus").into(),
    })
}
