//! `/v1/query` and what is under it.

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::super::acl::{Access, DENIED, Resource};
use super::super::go::Shape;
use super::super::near;
use super::super::prepared::PreparedQuery;
use super::super::records::CheckServiceNode;
use super::super::state::check_uuid;
use super::super::world::{AgentRef, Link, Route, RpcError};
use super::call::{Answer, Call, as_query, refuse};
use super::query;
use super::reply::{self, QueryMeta};

static FAILOVER: Shape = Shape::Fields(&[
    ("NearestN", "NearestN", Shape::Int),
    ("Datacenters", "Datacenters", Shape::Texts),
]);
static SERVICE: Shape = Shape::Fields(&[
    ("Service", "Service", Shape::Text),
    ("Failover", "Failover", Shape::Same(&FAILOVER)),
    ("OnlyPassing", "OnlyPassing", Shape::Bool),
    ("IgnoreCheckIDs", "IgnoreCheckIDs", Shape::Texts),
    ("Near", "Near", Shape::Text),
    ("Tags", "Tags", Shape::Texts),
    ("NodeMeta", "NodeMeta", Shape::MapOf(&Shape::Text)),
    ("ServiceMeta", "ServiceMeta", Shape::MapOf(&Shape::Text)),
    ("Connect", "Connect", Shape::Bool),
]);
static TEMPLATE: Shape = Shape::Fields(&[
    ("Type", "Type", Shape::Text),
    ("Regexp", "Regexp", Shape::Text),
    ("RemoveEmptyTags", "RemoveEmptyTags", Shape::Bool),
]);
static DNS: Shape = Shape::Fields(&[("TTL", "TTL", Shape::Text)]);
static QUERY: Shape = Shape::Fields(&[
    ("ID", "ID", Shape::Text),
    ("Name", "Name", Shape::Text),
    ("Session", "Session", Shape::Text),
    ("Token", "Token", Shape::Text),
    ("Template", "Template", Shape::Same(&TEMPLATE)),
    ("Service", "Service", Shape::Same(&SERVICE)),
    ("DNS", "DNS", Shape::Same(&DNS)),
    ("CreateIndex", "CreateIndex", Shape::Int),
    ("ModifyIndex", "ModifyIndex", Shape::Int),
]);

/// What executing a query gave.
pub(in super::super) struct Executed {
    pub query: PreparedQuery,
    pub nodes: Vec<CheckServiceNode>,
    pub datacenter: String,
    pub failovers: usize,
}

async fn route(call: &Call) -> Result<Route, Box<Response>> {
    let route = call.agent.route(call.datacenter()).await;
    route.map_err(|error| Box::new(reply::failed(&error)))
}

fn may(call: &Call, name: &str, wanted: Access) -> Result<(), Box<Response>> {
    match name.is_empty() || call.rights()?.may(Resource::Query, name, wanted) {
        true => Ok(()),
        false => Err(refuse(StatusCode::FORBIDDEN, DENIED)),
    }
}

/// `GET` and `POST /v1/query`
pub(super) async fn all(call: &Call) -> Answer {
    if call.method == Method::POST {
        return create(call).await;
    }
    let rights = call.rights_of_query()?.clone();
    query::discovery(call, |store| {
        let (index, mut found) = store.queries();
        found.retain(|query| rights.may(Resource::Query, &query.name, Access::Read));
        Ok((index, found))
    })
    .await
}

async fn create(call: &Call) -> Answer {
    let mut query: PreparedQuery = call.decode(&QUERY)?;
    may(call, &query.name, Access::Write)?;
    let route = route(call).await?;
    if !query.id.is_empty() {
        let text = "ID must be empty when creating a new prepared query";
        return Ok(reply::failed(&route.error(text)));
    }
    query.id = route.datacenter.new_uuid();
    let id = query.id.clone();
    store(&route, query)?;
    Ok(reply::json(&json!({"ID": id})))
}

fn store(route: &Route, query: PreparedQuery) -> Result<(), Box<Response>> {
    let fail = |why: String| Box::new(reply::failed(&route.error(why)));
    query.validate().map_err(fail)?;
    let done = route.datacenter.write(|store, _| store.put_query(query));
    done.map_err(|error| fail(error.to_string()))
}

/// `/v1/query/:id` and its `execute` and `explain`
pub(super) async fn one(call: &Call) -> Answer {
    if call.method == Method::GET {
        if let Some(name) = call.tail.strip_suffix("/execute") {
            return execute(call, name).await;
        }
        if let Some(name) = call.tail.strip_suffix("/explain") {
            return explain(call, name).await;
        }
        return show(call).await;
    }
    let changed: Option<PreparedQuery> = match call.method {
        Method::PUT => Some(call.decode(&QUERY)?),
        _ => None,
    };
    let route = route(call).await?;
    let id = &call.tail;
    let fail = |why: String| Box::new(reply::failed(&route.error(why)));
    check_uuid(id).map_err(|why| {
        fail(format!(
            "Prepared Query lookup failed: failed prepared query lookup: {why}"
        ))
    })?;
    let known = route
        .datacenter
        .read(|store| store.queries().1.into_iter().find(|query| query.id == *id));
    let known =
        known.ok_or_else(|| fail(format!("Cannot modify non-existent prepared query: '{id}'")))?;
    may(call, &known.name, Access::Write)?;
    match changed {
        None => route.datacenter.write(|store, _| store.remove_query(id)),
        Some(mut query) => {
            may(call, &query.name, Access::Write)?;
            query.id.clone_from(id);
            store(&route, query)?;
        }
    }
    Ok(reply::empty())
}

fn not_found() -> Box<Response> {
    refuse(StatusCode::NOT_FOUND, "Query not found")
}

async fn show(call: &Call) -> Answer {
    let rights = call.rights_of_query()?.clone();
    let options = query::options(call)?;
    let found = query::ask(call, options, |store| {
        check_uuid(&call.tail).map_err(|why| format!("failed prepared query lookup: {why}"))?;
        let (index, all) = store.queries();
        Ok((index, all.into_iter().find(|query| query.id == call.tail)))
    })
    .await;
    let meta = |index, consistency| QueryMeta {
        index,
        known_leader: true,
        consistency,
    };
    match found {
        Err(error) => Ok(reply::with_meta(
            reply::failed(&error),
            QueryMeta::default(),
        )),
        Ok((_, None)) => Err(not_found()),
        Ok((_, Some(query))) if !rights.may(Resource::Query, &query.name, Access::Read) => {
            Err(as_query(refuse(StatusCode::FORBIDDEN, DENIED)))
        }
        Ok((index, Some(query))) => {
            let meta = meta(index, Some(options.consistency));
            Ok(reply::with_meta(reply::json(&[query]), meta))
        }
    }
}

async fn explain(call: &Call, name: &str) -> Answer {
    let options = query::options(call)?;
    let route = route(call).await?;
    let found = route.datacenter.read(|store| store.resolve_query(name));
    let found = found.map_err(|why| Box::new(reply::failed(&route.error(why))))?;
    let query = found.ok_or_else(not_found)?;
    may(call, &query.name, Access::Read).map_err(as_query)?;
    Ok(answered(json!({"Query": query}), options))
}

fn answered(mut out: Value, options: query::Options) -> Response {
    for (name, value) in [
        ("Index", json!(0)),
        ("LastContact", json!(0)),
        ("KnownLeader", json!(true)),
        ("ConsistencyLevel", json!(options.consistency)),
    ] {
        out[name] = value;
    }
    let meta = QueryMeta {
        index: 0,
        known_leader: true,
        consistency: Some(options.consistency),
    };
    reply::with_meta(reply::json(&out), meta)
}

async fn execute(call: &Call, name: &str) -> Answer {
    let options = query::options(call)?;
    let limit = match call.get("limit") {
        "" => 0,
        text => text.parse::<usize>().map_err(|_| {
            let why = format!("Bad limit: strconv.Atoi: parsing {text:?}: invalid syntax");
            refuse(StatusCode::INTERNAL_SERVER_ERROR, why)
        })?,
    };
    let rights = call.rights()?;
    let done = run(&call.agent, call.datacenter(), name, call.get("near")).await;
    let mut done = done
        .map_err(|error| Box::new(reply::failed(&error)))?
        .ok_or_else(not_found)?;
    done.nodes.retain(|entry| rights.sees_instance(entry));
    if limit > 0 {
        done.nodes.truncate(limit);
    }
    let mut nodes = json!(done.nodes);
    for check in nodes
        .as_array_mut()
        .into_iter()
        .flatten()
        .flat_map(|entry| entry["Checks"].as_array_mut().into_iter().flatten())
    {
        // Only here does Consul show a list that is empty as none.
        if check["ServiceTags"] == json!([]) {
            check["ServiceTags"] = Value::Null;
        }
    }
    let out = json!({
        "Service": done.query.service.service, "Nodes": nodes, "DNS": done.query.dns,
        "Datacenter": done.datacenter, "Failovers": done.failovers,
    });
    Ok(answered(out, options))
}

/// Executes a query in a datacenter, and where it says so in others until one has instances; `None` for an unknown query.
pub(in super::super) async fn run(
    agent: &AgentRef,
    datacenter: &str,
    name: &str,
    near: &str,
) -> Result<Option<Executed>, RpcError> {
    let route = agent.route(datacenter).await?;
    let found = route.datacenter.read(|store| store.resolve_query(name));
    let Some(query) = found.map_err(|why| route.error(why))? else {
        return Ok(None);
    };
    let look = |route: &Route| {
        let named = &query.service.service;
        let found = route
            .datacenter
            .read(|store| store.check_service_nodes(named, &[]).1);
        query.select(found)
    };
    let mut done = Executed {
        nodes: look(&route),
        datacenter: datacenter.to_owned(),
        failovers: 0,
        query: query.clone(),
    };
    if done.nodes.is_empty() {
        for other in others(agent, datacenter, &query) {
            let Ok(far) = agent.route(&other).await else {
                continue;
            };
            done.failovers += 1;
            done.nodes = look(&far);
            done.datacenter = other;
            if !done.nodes.is_empty() {
                break;
            }
        }
    }
    for last in (1..done.nodes.len()).rev() {
        done.nodes
            .swap(last, agent.datacenter.dice(last as u64 + 1) as usize);
    }
    let near = if near.is_empty() {
        &query.service.near
    } else {
        near
    };
    if done.datacenter == datacenter {
        let near = if near == "_agent" { &agent.node } else { near };
        let coordinates = route
            .datacenter
            .read(|store| store.coordinates().1.to_vec());
        near::sort(&mut done.nodes, near, &coordinates, |entry| {
            &entry.node.node
        });
    }
    Ok(Some(done))
}

/// The datacenters to fail over to: the nearest ones first, then the named ones; each once.
fn others(agent: &AgentRef, own: &str, query: &PreparedQuery) -> Vec<String> {
    let world = &agent.world;
    let reached = |name: &str| {
        let (Some(near), Some(far)) = (world.leader(own), world.leader(name)) else {
            return false;
        };
        world.link(&near.node, &far.node) == Link::Up
    };
    let failover = &query.service.failover;
    let nearest = world
        .datacenters
        .keys()
        .filter(|name| *name != own && reached(name));
    let count = usize::try_from(failover.nearest_n).unwrap_or(0);
    let mut all: Vec<String> = nearest.take(count).cloned().collect();
    for name in failover.datacenters.iter().flatten() {
        if name != own && !all.contains(name) && world.datacenters.contains_key(name) {
            all.push(name.clone());
        }
    }
    all
}
