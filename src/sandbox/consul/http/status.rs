//! `/v1/status/*` and `/v1/coordinate/*`

use axum::response::Response;
use serde_json::{Value, json};

use super::super::world::RpcError;
use super::call::{Answer, Call};
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
    let options = query::options(call)?;
    let found = query::ask(call, options, |store| {
        let (index, all) = store.coordinates();
        let shown: Vec<Value> = all
            .iter()
            .map(|(node, coord)| json!({"Node": node, "Segment": "", "Coord": coord}))
            .collect();
        Ok((index, shown))
    })
    .await;
    Ok(match found {
        Err(error) => reply::with_meta(reply::failed(&error), QueryMeta::default()),
        Ok((index, shown)) => reply::with_meta(
            reply::json(&shown),
            QueryMeta {
                index,
                known_leader: true,
                consistency: None,
            },
        ),
    })
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
