//! `/v1/operator/*`: the servers among themselves. Each datacenter here has one that counts.

use axum::http::StatusCode;
use serde_json::json;

use super::super::acl::{Access, DENIED};
use super::call::{Answer, Call, refuse};
use super::reply;

/// `/v1/operator/raft/configuration`
pub(super) async fn raft_configuration(call: &Call) -> Answer {
    if !call.rights()?.may_whole("operator", Access::Read) {
        return Err(refuse(StatusCode::FORBIDDEN, DENIED));
    }
    let route = call.agent.route(call.datacenter()).await;
    let route = route.map_err(|error| Box::new(reply::failed(&error)))?;
    let leader = call.agent.world.leader(route.datacenter.name());
    let leader =
        leader.ok_or_else(|| refuse(StatusCode::INTERNAL_SERVER_ERROR, "No cluster leader"))?;
    Ok(reply::json(&json!({
        "Servers": [{"ID": leader.id, "Node": leader.node, "Address": format!("{}:8300", leader.address), "Leader": true, "ProtocolVersion": "3", "Voter": true}],
        "Index": 0,
    })))
}
