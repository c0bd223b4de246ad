//! `/v1/acl/*`: tokens and policies.

mod policies;
mod rights;
mod tokens;

use axum::http::StatusCode;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::acl::{Access, DENIED, NOT_FOUND};
use super::super::datacenter::{Datacenter, rfc3339};
use super::super::go::{Shape, decode_body};
use super::super::state::check_uuid;
use super::call::{Answer, Call, as_query, refuse};
use super::reply::{self, QueryMeta};

pub(super) use policies::{policies, policy};
pub(super) use rights::authorize;
pub(super) use tokens::{own_token, token, tokens};

fn failed(text: impl Into<String>) -> Box<Response> {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, text)
}

fn bad(text: impl std::fmt::Display) -> Box<Response> {
    refuse(StatusCode::BAD_REQUEST, format!("Bad request: {text}"))
}

fn primary(call: &Call, wanted: Access) -> Result<&Datacenter, Box<Response>> {
    let world = &call.agent.world;
    let (Some(_), Some(primary)) = (&world.acl, world.primary()) else {
        return Err(refuse(StatusCode::UNAUTHORIZED, "ACL support disabled"));
    };
    if !call.rights()?.may_whole("acl", wanted) {
        return Err(refuse(StatusCode::FORBIDDEN, DENIED));
    }
    primary.write(|store, _| store.acl.expire(rfc3339(std::time::Duration::ZERO).1));
    Ok(primary)
}

fn meta(index: u64) -> QueryMeta {
    QueryMeta {
        index,
        known_leader: true,
        consistency: None,
    }
}

fn shown(index: u64, value: &Value) -> Answer {
    Ok(reply::with_meta(reply::json(value), meta(index)))
}

fn not_there(index: u64) -> Box<Response> {
    let text = reply::text(StatusCode::FORBIDDEN, NOT_FOUND);
    Box::new(reply::with_meta(text, meta(index)))
}

/// A read that was refused has the headers of one that found nothing.
fn as_read(refused: Box<Response>) -> Box<Response> {
    match refused.status() {
        StatusCode::UNAUTHORIZED => refused,
        _ => as_query(refused),
    }
}

fn decode<T: DeserializeOwned>(call: &Call, shape: &Shape, what: &str) -> Result<T, Box<Response>> {
    decode_body(&call.body, shape)
        .and_then(|read| serde_json::from_value(read).map_err(|error| error.to_string()))
        .map_err(|error| bad(format!("{what} decoding failed: {error}")))
}

fn looked_up(id: &str, what: &str) -> Result<(), Box<Response>> {
    check_uuid(id).map_err(|why| failed(format!("failed acl {what} lookup: {why}")))
}

/// Whether ACLs are there at all, for lists that are always empty here.
pub(super) fn nothing(call: &Call) -> Answer {
    primary(call, Access::Read).map_err(as_read)?;
    shown(1, &json!([]))
}

/// `/v1/acl/replication`: the primary replicates from no one.
pub(super) fn replication(call: &Call) -> Answer {
    if call.agent.world.acl.is_none() {
        return Err(refuse(StatusCode::UNAUTHORIZED, "ACL support disabled"));
    }
    Ok(reply::json(&json!({
        "Enabled": false, "Running": false, "SourceDatacenter": "", "ReplicationType": "", "ReplicatedIndex": 0,
        "ReplicatedRoleIndex": 0, "ReplicatedTokenIndex": 0, "LastSuccess": "0001-01-01T00:00:00Z", "LastError": "0001-01-01T00:00:00Z",
    })))
}

/// `PUT /v1/acl/bootstrap`: the master token was made when the servers started.
pub(super) fn bootstrap(call: &Call) -> Answer {
    let world = &call.agent.world;
    let (Some(_), Some(primary)) = (&world.acl, world.primary()) else {
        return Err(refuse(StatusCode::UNAUTHORIZED, "ACL support disabled"));
    };
    let first = primary.read(|store| {
        let made = store.acl.tokens.values();
        made.map(|token| token.create_index).min().unwrap_or(0)
    });
    let text = format!("{DENIED}: ACL bootstrap no longer allowed (reset index: {first})");
    Err(refuse(StatusCode::FORBIDDEN, text))
}
