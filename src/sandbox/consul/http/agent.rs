//! `/v1/agent/*`: what an agent does without its servers.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::agent::Refusal;
use super::super::check_types::{
    CHECK_DEFINITION, CheckType, SERVICE_DEFINITION, ServiceDefinition,
};
use super::super::go::Shape;
use super::super::records::{NodeService, Weights, is_valid_status};
use super::super::world::{Agent, Link};
use super::call::{Answer, Call, parse_bool, refuse};
use super::{query, reply};

/// Turns an agent's outcome into an answer.
pub(super) fn done(outcome: Result<(), Refusal>) -> Answer {
    Ok(match outcome {
        Ok(()) => reply::empty(),
        Err(Refusal::BadRequest(text)) => reply::text(StatusCode::BAD_REQUEST, text),
        Err(Refusal::NotFound(text)) => reply::text(StatusCode::NOT_FOUND, text),
        Err(Refusal::Failed(text)) => reply::text(StatusCode::INTERNAL_SERVER_ERROR, text),
    })
}

/// `/v1/agent/self`
pub(super) fn about(call: &Call) -> Answer {
    let agent = &*call.agent;
    let (services, checks) = {
        let local = call.agent.local();
        (local.services.len(), local.checks.len())
    };
    let coordinates = agent
        .datacenter
        .read(|store| store.coordinates().1.to_vec());
    let coordinate = coordinates
        .into_iter()
        .find(|(node, _)| *node == agent.node)
        .map(|(_, found)| found);
    Ok(reply::json(&json!({
        "Config": {
            "Datacenter": agent.datacenter.name(), "NodeName": agent.node, "NodeID": agent.id,
            "Revision": "", "Server": agent.server, "Version": "1.8.7",
        },
        "DebugConfig": {
            "Datacenter": agent.datacenter.name(), "NodeName": agent.node, "ServerMode": agent.server,
            "BindAddr": agent.address.to_string(), "DevMode": false,
        },
        "Coord": coordinate,
        "Member": member(agent, Link::Up),
        "Stats": {
            "agent": {"services": services.to_string(), "checks": checks.to_string()},
            "build": {"version": "1.8.7", "revision": "", "prerelease": ""},
            "consul": {"server": agent.server.to_string(), "known_datacenters": call.agent.world.datacenters.len().to_string()},
        },
        "Meta": {"consul-network-segment": ""},
    })))
}

fn member(agent: &Agent, link: Link) -> Value {
    let mut tags = BTreeMap::from([
        ("acls", "0"),
        ("build", "1.8.7:"),
        ("dc", agent.datacenter.name()),
        ("id", &agent.id),
        ("role", if agent.server { "consul" } else { "node" }),
        ("segment", ""),
        ("vsn", "2"),
        ("vsn_max", "3"),
        ("vsn_min", "2"),
    ]);
    if agent.server {
        tags.extend([
            ("ft_fs", "1"),
            ("port", "8300"),
            ("raft_vsn", "3"),
            ("wan_join_port", "8302"),
        ]);
    }
    json!({
        "Name": agent.node, "Addr": agent.address.to_string(), "Port": 8301, "Tags": tags,
        "Status": if link == Link::Down { 4 } else { 1 },
        "ProtocolMin": 1, "ProtocolMax": 5, "ProtocolCur": 2,
        "DelegateMin": 2, "DelegateMax": 5, "DelegateCur": 4,
    })
}

/// `/v1/agent/members`: the datacenter's agents, or with `?wan=1` all servers.
pub(super) fn members(call: &Call) -> Answer {
    let (world, own) = (&call.agent.world, &*call.agent);
    let wan = !call.get("wan").is_empty();
    let shown = |other: &&Agent| match wan {
        true => own.server && other.server,
        false => other.datacenter.name() == own.datacenter.name(),
    };
    let members: Vec<Value> = world
        .agents
        .iter()
        .filter(shown)
        .map(|other| member(other, world.link(&own.node, &other.node)))
        .map(|mut member| {
            if let (true, Some(name), Some(dc)) =
                (wan, member["Name"].as_str(), member["Tags"]["dc"].as_str())
            {
                member["Name"] = Value::from(format!("{name}.{dc}"));
                member["Port"] = Value::from(8302);
            }
            member
        })
        .collect();
    Ok(reply::json(&members))
}

fn agent_service(service: &NodeService) -> Value {
    let mut out = serde_json::to_value(service).unwrap_or_default();
    if let Value::Object(fields) = &mut out {
        fields.retain(|name, _| {
            !matches!(
                name.as_str(),
                "Proxy" | "Connect" | "CreateIndex" | "ModifyIndex"
            )
        });
    }
    let weights = service.weights.unwrap_or(Weights::ONE);
    out["Tags"] = json!(service.tags.as_deref().unwrap_or_default());
    out["Meta"] = json!(service.meta.clone().unwrap_or_default());
    out["Weights"] = json!({"Passing": if weights.passing > 0 { weights.passing } else { 1 }, "Warning": weights.warning});
    if !service.kind.is_empty() {
        out["Proxy"] = service.proxy.clone();
    }
    out
}

/// `/v1/agent/services`
pub(super) fn services(call: &Call) -> Answer {
    query::no_filter(call)?;
    let local = call.agent.local();
    let all: BTreeMap<&String, Value> = local
        .services
        .iter()
        .map(|(id, held)| (id, agent_service(&held.service)))
        .collect();
    Ok(reply::json(&all))
}

/// `/v1/agent/service/:id`
pub(super) fn service(call: &Call) -> Answer {
    let id = &call.tail;
    let Some(mut found) = call
        .agent
        .local()
        .services
        .get(id)
        .map(|held| agent_service(&held.service))
    else {
        return Err(refuse(
            StatusCode::NOT_FOUND,
            format!("unknown service ID: {id}"),
        ));
    };
    let hash = content_hash(&found);
    found["ContentHash"] = Value::from(hash.clone());
    let mut response = reply::json(&found);
    if let Ok(hash) = hash.parse() {
        response.headers_mut().insert("x-consul-contenthash", hash);
    }
    Ok(response)
}

/// FNV-1a: equal content, equal hash; no client may expect more.
fn content_hash(value: &Value) -> String {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!(
        "{:x}",
        value.to_string().bytes().fold(0xcbf2_9ce4_8422_2325, fold)
    )
}

/// `/v1/agent/checks`
pub(super) fn checks(call: &Call) -> Answer {
    query::no_filter(call)?;
    let local = call.agent.local();
    let all: BTreeMap<&String, _> = local
        .checks
        .iter()
        .map(|(id, held)| (id, &held.check))
        .collect();
    Ok(reply::json(&all))
}

/// `PUT /v1/agent/service/register`
pub(super) fn register_service(call: &Call) -> Answer {
    let definition: ServiceDefinition = call.decode(&SERVICE_DEFINITION)?;
    let replace = call.has("replace-existing-checks")
        && matches!(call.get("replace-existing-checks"), "" | "true");
    done(call.agent.register_service(&definition, replace))
}

/// `PUT /v1/agent/check/register`
pub(super) fn register_check(call: &Call) -> Answer {
    let kind: CheckType = call.decode(&CHECK_DEFINITION)?;
    done(call.agent.register_check(&kind))
}

/// `PUT /v1/agent/service/maintenance/:id`
pub(super) fn service_maintenance(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing service ID"));
    }
    let enable = enable(call)?;
    done(
        call.agent
            .service_maintenance(&call.tail, enable, call.get("reason")),
    )
}

/// `PUT /v1/agent/maintenance`
pub(super) fn maintenance(call: &Call) -> Answer {
    let enable = enable(call)?;
    call.agent.node_maintenance(enable, call.get("reason"));
    Ok(reply::empty())
}

fn enable(call: &Call) -> Result<bool, Box<Response>> {
    if !call.has("enable") {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing value for enable"));
    }
    let raw = call.get("enable");
    parse_bool(raw).ok_or_else(|| {
        refuse(
            StatusCode::BAD_REQUEST,
            format!("Invalid value for enable: {raw:?}"),
        )
    })
}

/// `PUT /v1/agent/check/pass|warn|fail/:id`
pub(super) fn set_ttl(call: &Call, status: &str) -> Answer {
    done(
        call.agent
            .update_ttl_check(&call.tail, status, call.get("note")),
    )
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct CheckUpdate {
    status: String,
    output: String,
}

/// `PUT /v1/agent/check/update/:id`
pub(super) fn update_ttl(call: &Call) -> Answer {
    static SHAPE: Shape = Shape::Fields(&[
        ("Status", "Status", Shape::Text),
        ("Output", "Output", Shape::Text),
    ]);
    let update: CheckUpdate = call.decode(&SHAPE)?;
    if !is_valid_status(&update.status) {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            format!("Invalid check status: '{}'", update.status),
        ));
    }
    done(
        call.agent
            .update_ttl_check(&call.tail, &update.status, &update.output),
    )
}
