//! `/v1/agent/*`: what an agent does without its servers.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::acl::{Access, DENIED, Resource, Rights};
use super::super::agent::Refusal;
use super::super::check_types::{
    CHECK_DEFINITION, CheckType, SERVICE_DEFINITION, ServiceDefinition,
};
use super::super::filter::{self, Filter};
use super::super::go::Shape;
use super::super::records::{HealthCheck, NodeService, Weights, is_valid_status};
use super::super::state::Store;
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
    if !call
        .rights()?
        .may(Resource::Agent, &agent.node, Access::Read)
    {
        return Err(denied());
    }
    let (services, checks, ttls) = {
        let local = call.agent.local();
        let ttls = local
            .checks
            .values()
            .filter(|held| held.ttl.is_some())
            .count();
        (local.services.len(), local.checks.len(), ttls)
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
        "Member": member(agent, Link::Up, call.agent.world.acl.is_some()),
        "Stats": {
            "agent": {
                "services": services.to_string(), "checks": checks.to_string(), "check_monitors": "0",
                "check_ttls": ttls.to_string(),
            },
            "build": {"version": "1.8.7", "revision": "", "prerelease": ""},
            "consul": consul_stats(call),
        },
        "Meta": {"consul-network-segment": ""},
    })))
}

/// What `consul info` shows under "consul"; clients know less than servers.
fn consul_stats(call: &Call) -> Value {
    let (agent, world) = (&*call.agent, &call.agent.world);
    let acl = if world.acl.is_some() {
        "enabled"
    } else {
        "disabled"
    };
    let leader = world.leader(agent.datacenter.name());
    if !agent.server {
        let servers = i32::from(call.agent.is_connected());
        return json!({"acl": acl, "known_servers": servers.to_string(), "server": "false"});
    }
    json!({
        "acl": acl, "server": "true", "known_datacenters": world.datacenters.len().to_string(),
        "leader": leader.is_some_and(|leader| leader.node == agent.node).to_string(),
        "leader_addr": leader.map(|leader| format!("{}:8300", leader.address)),
    })
}

fn denied() -> Box<Response> {
    refuse(StatusCode::FORBIDDEN, DENIED)
}

fn member(agent: &Agent, link: Link, acls: bool) -> Value {
    let mut tags = BTreeMap::from([
        ("acls", if acls { "1" } else { "0" }),
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
    let rights = call.rights()?;
    let shown = |other: &&Agent| match wan {
        true => own.server && other.server,
        false => other.datacenter.name() == own.datacenter.name(),
    };
    let members: Vec<Value> = world
        .agents
        .iter()
        .filter(shown)
        .filter(|other| rights.sees_node(&other.node))
        .map(|other| {
            let link = world.link(&own.node, &other.node);
            member(other, link, world.acl.is_some())
        })
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

pub(super) fn agent_service(service: &NodeService) -> Value {
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

fn own_filter(call: &Call, fields: &[filter::Field]) -> Result<Option<Filter>, Box<Response>> {
    Filter::read(call.get("filter"), fields)
        .map_err(|why| refuse(StatusCode::INTERNAL_SERVER_ERROR, why))
}

/// `/v1/agent/services`
pub(super) fn services(call: &Call) -> Answer {
    let rights = call.rights()?;
    let filter = query::filter(call, filter::SERVICE)
        .map_err(|why| refuse(StatusCode::INTERNAL_SERVER_ERROR, why))?;
    let local = call.agent.local();
    let all: BTreeMap<&String, Value> = local
        .services
        .iter()
        .filter(|(_, held)| rights.sees_service(&held.service.service))
        .map(|(id, held)| (id, agent_service(&held.service)))
        .filter(|(_, shown)| filter.as_ref().is_none_or(|filter| filter.keeps(shown)))
        .collect();
    Ok(reply::json(&all))
}

/// `/v1/agent/service/:id`
pub(super) fn service(call: &Call) -> Answer {
    let id = &call.tail;
    let rights = call.rights()?;
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
    if !rights.sees_service(found["Service"].as_str().unwrap_or("")) {
        return Err(denied());
    }
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
    let filter = own_filter(call, filter::CHECK)?;
    let rights = call.rights()?;
    let local = call.agent.local();
    let all: BTreeMap<&String, _> = local
        .checks
        .iter()
        .filter(|(_, held)| sees(rights, &held.check))
        .filter(|(_, held)| {
            filter
                .as_ref()
                .is_none_or(|filter| filter.keeps(&held.check))
        })
        .map(|(id, held)| (id, &held.check))
        .collect();
    Ok(reply::json(&all))
}

/// An agent asks for the service's right alone, else for the node's.
fn sees(rights: &Rights, check: &HealthCheck) -> bool {
    match check.service_name.is_empty() {
        true => rights.sees_node(&check.node),
        false => rights.sees_service(&check.service_name),
    }
}

fn need(call: &Call, resource: Resource, name: &str) -> Result<(), Box<Response>> {
    if call.rights()?.may(resource, name, Access::Write) {
        return Ok(());
    }
    let kind = if resource == Resource::Service {
        "service"
    } else {
        "node"
    };
    let text = format!("{DENIED}: Missing {kind}:write on {name}");
    Err(refuse(StatusCode::FORBIDDEN, text))
}

/// The right to change a service that is there; with ACLs one that is not is an error.
fn need_known_service(call: &Call, id: &str) -> Result<(), Box<Response>> {
    if call.rights()?.is_off() {
        return Ok(());
    }
    let known = call
        .agent
        .local()
        .services
        .get(id)
        .map(|held| held.service.service.clone());
    match known {
        Some(name) => need(call, Resource::Service, &name),
        None => {
            let text = format!("Unknown service {{{id:?} {{}}}}");
            Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    }
}

fn need_known_check(call: &Call, id: &str) -> Result<(), Box<Response>> {
    if call.rights()?.is_off() {
        return Ok(());
    }
    let known = call
        .agent
        .local()
        .checks
        .get(id)
        .map(|held| held.check.service_name.clone());
    match known {
        Some(name) if name.is_empty() => need(call, Resource::Node, &call.agent.node),
        Some(name) => need(call, Resource::Service, &name),
        None => {
            let text = format!("Unknown check {id:?}");
            Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, text))
        }
    }
}

/// `PUT /v1/agent/service/register`
pub(super) fn register_service(call: &Call) -> Answer {
    let definition: ServiceDefinition = call.decode(&SERVICE_DEFINITION)?;
    if !definition.name.is_empty() {
        need(call, Resource::Service, &definition.name)?;
        let id = definition.node_service().id;
        let known = call
            .agent
            .local()
            .services
            .get(&id)
            .map(|held| held.service.service.clone());
        known.map_or(Ok(()), |name| need(call, Resource::Service, &name))?;
    }
    let replace = call.has("replace-existing-checks")
        && matches!(call.get("replace-existing-checks"), "" | "true");
    done(call.agent.register_service(&definition, replace))
}

/// `PUT /v1/agent/service/deregister/:id`
pub(super) fn deregister_service(call: &Call) -> Answer {
    need_known_service(call, &call.tail)?;
    done(call.agent.deregister_service(&call.tail))
}

/// `PUT /v1/agent/check/register`
pub(super) fn register_check(call: &Call) -> Answer {
    let kind: CheckType = call.decode(&CHECK_DEFINITION)?;
    let service = kind.service_id.as_str();
    let known = call
        .agent
        .local()
        .services
        .get(service)
        .map(|held| held.service.service.clone());
    match (service, known) {
        ("", _) => need(call, Resource::Node, &call.agent.node)?,
        (_, Some(name)) => need(call, Resource::Service, &name)?,
        (_, None) => {}
    }
    done(call.agent.register_check(&kind))
}

/// `PUT /v1/agent/check/deregister/:id`
pub(super) fn deregister_check(call: &Call) -> Answer {
    need_known_check(call, &call.tail)?;
    done(call.agent.deregister_check(&call.tail))
}

/// `PUT /v1/agent/service/maintenance/:id`
pub(super) fn service_maintenance(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing service ID"));
    }
    let enable = enable(call)?;
    need_known_service(call, &call.tail)?;
    done(
        call.agent
            .service_maintenance(&call.tail, enable, call.get("reason")),
    )
}

/// `PUT /v1/agent/maintenance`
pub(super) fn maintenance(call: &Call) -> Answer {
    let enable = enable(call)?;
    if !call
        .rights()?
        .may(Resource::Node, &call.agent.node, Access::Write)
    {
        return Err(denied());
    }
    call.agent.node_maintenance(enable, call.get("reason"));
    Ok(reply::empty())
}

/// `PUT /v1/agent/force-leave/:node`: an agent that runs refutes it, so that only a lost one leaves.
pub(super) fn force_leave(call: &Call) -> Answer {
    if !call.rights()?.may_whole("operator", Access::Write) {
        return Err(denied());
    }
    let world = &call.agent.world;
    let near = |other: &&Agent| other.datacenter.name() == call.agent.datacenter.name();
    let Some(member) = world
        .agents
        .iter()
        .filter(near)
        .find(|other| other.node == call.tail)
    else {
        let text = format!("agent: No node found with name '{}'", call.tail);
        return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, text));
    };
    if world.link(&call.agent.node, &member.node) == Link::Down {
        let gone = |store: &mut Store, now| store.deregister(&member.node, "", "", now);
        member.datacenter.write(gone);
    }
    Ok(reply::empty())
}

/// `PUT /v1/agent/reload`: nothing here comes from files.
pub(super) fn reload(call: &Call) -> Answer {
    match call
        .rights()?
        .may(Resource::Agent, &call.agent.node, Access::Write)
    {
        true => Ok(reply::empty()),
        false => Err(denied()),
    }
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
    need_known_check(call, &call.tail)?;
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
    need_known_check(call, &call.tail)?;
    done(
        call.agent
            .update_ttl_check(&call.tail, &update.status, &update.output),
    )
}
