//! `/v1/status/*` and `/v1/coordinate/*`

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::super::acl::{Access, DENIED, Resource};
use super::super::coordinates::DIMENSIONS;
use super::super::go::Shape;
use super::super::world::RpcError;
use super::call::{Answer, Call, refuse};
use super::query;
use super::reply::{self, QueryMeta};

async fn leader_address(call: &Call) -> Result<String, Box<Response>> {
    query::options(call)?;
    let route = call
        .agent
        .route(call.datacenter())
        .await
        .map_err(|error: RpcError| Box::new(reply::failed(&error)))?;
    let leader = call.agent.world.leader(route.datacenter.name());
    Ok(leader
        .map(|leader| format!("{}:8300", leader.address))
        .unwrap_or_default())
}

/// `/v1/status/leader`
pub(super) async fn leader(call: &Call) -> Answer {
    Ok(reply::json(&leader_address(call).await?))
}

/// `/v1/status/peers`
pub(super) async fn peers(call: &Call) -> Answer {
    Ok(reply::json(&[leader_address(call).await?]))
}

/// `/v1/coordinate/nodes`
pub(super) async fn coordinates(call: &Call) -> Answer {
    shown(call, |_| true).await
}

/// `/v1/coordinate/node/:node`
pub(super) async fn coordinate_of_node(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::NOT_FOUND, ""));
    }
    shown(call, |node| node == call.tail).await
}

async fn shown(call: &Call, wanted: impl Fn(&str) -> bool) -> Answer {
    let options = query::options(call)?;
    let rights = call.rights()?;
    let found = query::ask(call, options, |store| {
        let (index, all) = store.coordinates();
        let shown: Vec<Value> = all
            .iter()
            .filter(|(node, _)| wanted(node) && rights.sees_node(node))
            .map(|(node, coord)| json!({"Node": node, "Segment": "", "Coord": coord}))
            .collect();
        Ok((index, shown))
    })
    .await;
    Ok(match found {
        Err(error) => reply::with_meta(reply::failed(&error), QueryMeta::default()),
        Ok((index, shown)) => {
            let meta = QueryMeta {
                index,
                known_leader: true,
                consistency: None,
            };
            match shown.is_empty() && !call.tail.is_empty() {
                true => reply::text(StatusCode::NOT_FOUND, ""),
                false => reply::with_meta(reply::json(&shown), meta),
            }
        }
    })
}

static COORDINATE: Shape = Shape::Fields(&[
    ("Vec", "Vec", Shape::Any),
    ("Error", "Error", Shape::Any),
    ("Adjustment", "Adjustment", Shape::Any),
    ("Height", "Height", Shape::Any),
]);
static UPDATE: Shape = Shape::Fields(&[
    ("Datacenter", "Datacenter", Shape::Text),
    ("Node", "Node", Shape::Text),
    ("Segment", "Segment", Shape::Text),
    ("Coord", "Coord", Shape::Same(&COORDINATE)),
]);

/// `PUT /v1/coordinate/update`
pub(super) async fn update_coordinate(call: &Call) -> Answer {
    let update: Value = call.decode(&UPDATE)?;
    let node = update["Node"].as_str().unwrap_or("");
    if !call.rights()?.may(Resource::Node, node, Access::Write) {
        return Err(refuse(StatusCode::FORBIDDEN, DENIED));
    }
    let route = call.agent.route(call.datacenter()).await;
    let route = route.map_err(|error| Box::new(reply::failed(&error)))?;
    let Some(given) = update.get("Coord").filter(|given| given.is_object()) else {
        return Ok(reply::empty());
    };
    let vector = given["Vec"].as_array().cloned().unwrap_or_default();
    if vector.len() != DIMENSIONS {
        return Ok(reply::failed(&route.error("incompatible coordinate")));
    }
    let number = |field: &str| given.get(field).cloned().unwrap_or(json!(0));
    let coordinate = json!({
        "Vec": vector, "Error": number("Error"), "Adjustment": number("Adjustment"), "Height": number("Height"),
    });
    route
        .datacenter
        .write(|store, _| store.set_coordinate(node, coordinate));
    Ok(reply::empty())
}

/// `/v1/coordinate/datacenters`: the servers of each.
pub(super) async fn datacenter_coordinates(call: &Call) -> Answer {
    let agent = &call.agent;
    agent
        .route(agent.datacenter.name())
        .await
        .map_err(|error| Box::new(reply::failed(&error)))?;
    let mut out = Vec::new();
    for (name, datacenter) in &agent.world.datacenters {
        let leader = agent.world.leader(name).map(|leader| leader.node.clone());
        let shown: Vec<Value> = datacenter.read(|store| {
            let of_servers = store
                .coordinates()
                .1
                .iter()
                .filter(|(node, _)| Some(node) == leader.as_ref());
            of_servers
                .map(|(node, coord)| json!({"Node": node, "Segment": "", "Coord": coord}))
                .collect()
        });
        out.push(json!({"Datacenter": name, "AreaID": "wan", "Coordinates": shown}));
    }
    Ok(reply::json(&out))
}
