//! `/v1/session/*`

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::acl::{Access, DENIED, Resource};
use super::super::go::{self, Shape};
use super::super::records::{SERF_CHECK, Session};
use super::super::state::Store;
use super::super::world::Route;
use super::call::{Answer, Call, refuse};
use super::query;
use super::reply::{self, QueryMeta};

const TTL_MIN: i64 = 10_000_000_000;
const TTL_MAX: i64 = 86_400_000_000_000;
const DEFAULT_LOCK_DELAY: i64 = 15_000_000_000;
/// Smaller numbers are seconds.
const SECONDS_BELOW: i64 = 1000;

static SHAPE: Shape = Shape::Fields(&[
    ("ID", "ID", Shape::Text),
    ("Name", "Name", Shape::Text),
    ("Node", "Node", Shape::Text),
    ("LockDelay", "LockDelay", Shape::Span),
    ("Behavior", "Behavior", Shape::Text),
    ("TTL", "TTL", Shape::Text),
    ("NodeChecks", "NodeChecks", Shape::Texts),
    ("ServiceChecks", "ServiceChecks", Shape::Any),
    ("Checks", "Checks", Shape::Texts),
    ("CreateIndex", "CreateIndex", Shape::Int),
    ("ModifyIndex", "ModifyIndex", Shape::Int),
]);

/// The session a request asks for, with Consul's defaults.
fn wanted(call: &Call) -> Result<Session, Box<axum::response::Response>> {
    let fields: Value = call.decode_or(&SHAPE)?;
    let mut session: Session = serde_json::from_value(if fields.is_null() {
        json!({})
    } else {
        fields.clone()
    })
    .map_err(|error| {
        refuse(
            StatusCode::BAD_REQUEST,
            format!("Request decode failed: {error}"),
        )
    })?;
    if session.node.is_empty() {
        session.node.clone_from(&call.agent.node);
    }
    session.lock_delay = match fields.get("LockDelay").and_then(Value::as_i64) {
        None => DEFAULT_LOCK_DELAY,
        Some(seconds) if seconds < SECONDS_BELOW => seconds * 1_000_000_000,
        Some(nanos) => nanos,
    };
    settle_checks(&mut session, fields.get("Checks").is_some());
    Ok(session)
}

/// The old field `Checks` and the newer `NodeChecks` say the same; gossip's check is watched unless one of them says otherwise.
fn settle_checks(session: &mut Session, has_checks: bool) {
    let default = vec![SERF_CHECK.to_owned()];
    let node_checks = session.node_checks.take();
    if !has_checks {
        session.checks = default.clone();
    }
    let node_checks = node_checks.unwrap_or(default.clone());
    if session.checks.is_empty() {
        session.node_checks = Some(Vec::new());
        return;
    }
    if session.checks == default || node_checks.is_empty() {
        session.checks = Vec::new();
    }
    session.node_checks = Some(node_checks);
}

fn problem(session: &Session) -> Option<String> {
    if !matches!(session.behavior.as_str(), "" | "release" | "delete") {
        return Some(format!("Invalid Behavior setting '{}'", session.behavior));
    }
    if session.ttl.is_empty() {
        return None;
    }
    match go::parse_duration(&session.ttl) {
        Err(error) => Some(format!("Session TTL '{}' invalid: {error}", session.ttl)),
        Ok(nanos) if nanos != 0 && !(TTL_MIN..=TTL_MAX).contains(&nanos) => Some(format!(
            "Invalid Session TTL '{nanos}', must be between [10s=24h0m0s]"
        )),
        Ok(_) => None,
    }
}

/// `PUT /v1/session/create`
pub(super) async fn create(call: &Call) -> Answer {
    let mut session = wanted(call)?;
    let route = call
        .agent
        .route(call.datacenter())
        .await
        .map_err(|error| Box::new(reply::failed(&error)))?;
    if let Some(text) = problem(&session) {
        return Ok(reply::failed(&route.error(text)));
    }
    if !call
        .rights()?
        .may(Resource::Session, &session.node, Access::Write)
    {
        return Ok(reply::failed(&route.error(DENIED)));
    }
    if session.behavior.is_empty() {
        session.behavior = "release".into();
    }
    match route.datacenter.create_session(session) {
        Ok(id) => Ok(reply::json(&json!({"ID": id}))),
        Err(error) => Ok(reply::failed(&route.error(error))),
    }
}

fn need_id(call: &Call) -> Result<(), Box<axum::response::Response>> {
    match call.tail.is_empty() {
        true => Err(refuse(StatusCode::BAD_REQUEST, "Missing session")),
        false => Ok(()),
    }
}

/// The right to the session's node; one that is not there needs none.
fn may_change(call: &Call, route: &Route) -> Result<bool, Box<axum::response::Response>> {
    let rights = call.rights()?;
    let known = route.datacenter.read(|store| {
        let found = store.session(&call.tail).ok().flatten();
        found.map(|session| session.node.clone())
    });
    Ok(known.is_none_or(|node| rights.may(Resource::Session, &node, Access::Write)))
}

/// `PUT /v1/session/destroy/:id`
pub(super) async fn destroy(call: &Call) -> Answer {
    need_id(call)?;
    let route = call
        .agent
        .route(call.datacenter())
        .await
        .map_err(|error| Box::new(reply::failed(&error)))?;
    if !may_change(call, &route)? {
        return Ok(reply::failed(&route.error(DENIED)));
    }
    match route
        .datacenter
        .write(|store, now| store.destroy_session(&call.tail, now))
    {
        Ok(()) => Ok(reply::json(&true)),
        Err(error) => Ok(reply::failed(&route.error(error))),
    }
}

/// `PUT /v1/session/renew/:id`
pub(super) async fn renew(call: &Call) -> Answer {
    query::options(call)?;
    need_id(call)?;
    let route = call
        .agent
        .route(call.datacenter())
        .await
        .map_err(|error| Box::new(reply::failed(&error)))?;
    if !may_change(call, &route)? {
        return Ok(reply::failed(&route.error(DENIED)));
    }
    Ok(match route.datacenter.renew_session(&call.tail) {
        Ok(Some(session)) => reply::json(&[session]),
        Ok(None) => reply::text(
            StatusCode::NOT_FOUND,
            format!("Session id '{}' not found", call.tail),
        ),
        Err(error) => reply::failed(&route.error(error)),
    })
}

async fn show(call: &Call, look: impl Fn(&Store) -> Result<(u64, Vec<Session>), String>) -> Answer {
    let options = query::options(call)?;
    let rights = call.rights_of_query()?;
    let seen = |store: &Store| {
        let (index, mut found) = look(store)?;
        found.retain(|session| rights.may(Resource::Session, &session.node, Access::Read));
        Ok((index, found))
    };
    Ok(match query::ask(call, options, seen).await {
        Err(error) => reply::with_meta(reply::failed(&error), QueryMeta::default()),
        Ok((index, found)) => reply::with_meta(
            reply::json(&found),
            QueryMeta {
                index,
                known_leader: true,
                consistency: None,
            },
        ),
    })
}

/// `/v1/session/info/:id`
pub(super) async fn info(call: &Call) -> Answer {
    need_id(call)?;
    show(call, |store| {
        let found = store
            .session(&call.tail)
            .map_err(|error| error.to_string())?;
        Ok((store.sessions().0, found.cloned().into_iter().collect()))
    })
    .await
}

/// `/v1/session/list`
pub(super) async fn list(call: &Call) -> Answer {
    show(call, |store| Ok(store.sessions())).await
}

/// `/v1/session/node/:node`
pub(super) async fn of_node(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing node name"));
    }
    show(call, |store| {
        let (index, mut sessions) = store.sessions();
        sessions.retain(|session| session.node == call.tail);
        Ok((index, sessions))
    })
    .await
}
