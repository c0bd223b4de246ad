//! `/v1/health/*`, and an agent's health of its own services.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::super::acl::DENIED;
use super::super::filter;
use super::super::near;
use super::super::records::{
    CRITICAL, HealthCheck, NodeService, PASSING, WARNING, aggregated_status,
};
use super::super::state::Store;
use super::call::{Answer, Call, parse_bool, refuse};
use super::catalog::{meta_filter, satisfies};
use super::{query, reply};

/// `/v1/health/service/:name`
pub(super) async fn service(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing service name"));
    }
    let (tags, wanted) = (call.all("tag"), meta_filter(call));
    let passing = match call.get("passing") {
        "" => Some(call.has("passing")),
        text => parse_bool(text),
    };
    query::options(call)?;
    let Some(passing) = passing else {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            "Invalid value for ?passing",
        ));
    };
    let (rights, near) = (call.rights_of_query()?, call.near());
    let filter = query::filter(call, filter::HEALTH);
    query::discovery(call, |store| {
        let (index, mut found) = store.check_service_nodes(&call.tail, &tags);
        found.retain(|found| satisfies(&found.node, &wanted) && rights.sees_instance(found));
        if passing {
            found.retain(|found| found.checks.iter().all(|check| check.status == PASSING));
        }
        let mut found = query::kept(&filter, found)?;
        near::sort(&mut found, near, store.coordinates().1, |found| {
            &found.node.node
        });
        for entry in &mut found {
            entry.service.tags.get_or_insert_default();
        }
        Ok((index, found))
    })
    .await
}

/// Checks of one list, as the request's rights, filter and order leave them.
async fn list(call: &Call, look: impl Fn(&Store) -> (u64, Vec<HealthCheck>)) -> Answer {
    let (rights, near, wanted) = (call.rights_of_query()?, call.near(), meta_filter(call));
    let filter = query::filter(call, filter::CHECK);
    query::discovery(call, |store| {
        let (index, mut found) = look(store);
        found.retain(|check| rights.sees_check(check));
        if !wanted.is_empty() {
            found.retain(|check| {
                let node = store.node_services(&check.node).1;
                node.is_some_and(|(node, _)| satisfies(&node, &wanted))
            });
        }
        let mut found = query::kept(&filter, found)?;
        near::sort(&mut found, near, store.coordinates().1, |check| &check.node);
        Ok((index, found))
    })
    .await
}

/// `/v1/health/node/:node`
pub(super) async fn node(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing node name"));
    }
    list(call, |store| store.node_checks(&call.tail)).await
}

/// `/v1/health/checks/:service`
pub(super) async fn checks(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing service name"));
    }
    list(call, |store| store.service_checks(&call.tail)).await
}

/// `/v1/health/state/:state`
pub(super) async fn state(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing check state"));
    }
    list(call, |store| store.checks_in_state(&call.tail)).await
}

/// One of the agent's own services with its checks; its status is also that of the answer.
fn own(call: &Call, service: &NodeService) -> (&'static str, Value) {
    let local = call.agent.local();
    let checks: Vec<Value> = local
        .checks
        .values()
        .map(|held| &held.check)
        .filter(|check| check.service_id.is_empty() || check.service_id == service.id)
        .map(own_check)
        .collect();
    let status = aggregated_status(
        local
            .checks
            .values()
            .map(|held| &held.check)
            .filter(|check| check.service_id.is_empty() || check.service_id == service.id),
    );
    let shown = json!({"AggregatedStatus": status, "Service": super::agent::agent_service(service), "Checks": checks});
    (status, shown)
}

/// Only here does Consul show a check's definition in full, no type, and none for an empty list of tags.
fn own_check(check: &HealthCheck) -> Value {
    let mut out = json!(check);
    out["Type"] = json!("");
    if check.service_tags.is_empty() {
        out["ServiceTags"] = Value::Null;
    }
    out["Definition"] = json!({
        "Interval": "0s", "Timeout": "0s", "DeregisterCriticalServiceAfter": "0s", "HTTP": "", "Header": null, "Method": "",
        "Body": "", "TLSSkipVerify": false, "TCP": "",
    });
    out
}

fn code(status: &str) -> StatusCode {
    match status {
        PASSING => StatusCode::OK,
        WARNING => StatusCode::TOO_MANY_REQUESTS,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn as_asked(call: &Call, code: StatusCode, status: &str, shown: &Value) -> Answer {
    if call.get("format") != "text" {
        return Ok(reply::json_with(code, shown));
    }
    let mut plain = reply::text(code, status);
    plain
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(plain)
}

/// `/v1/agent/health/service/id/:id`
pub(super) fn of_own_service(call: &Call) -> Answer {
    if call.tail.is_empty() {
        let text = "Bad request: Missing serviceID";
        return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    let rights = call.rights()?;
    let found = call
        .agent
        .local()
        .services
        .get(&call.tail)
        .map(|held| held.service.clone());
    let Some(service) = found else {
        if call.get("format") == "text" {
            let text = format!("ServiceId {} not found", call.tail);
            return Ok(reply::json_with(StatusCode::NOT_FOUND, &text));
        }
        let shown = json!({"AggregatedStatus": CRITICAL, "Service": null, "Checks": null});
        return Ok(reply::json_with(StatusCode::NOT_FOUND, &shown));
    };
    if !rights.sees_service(&service.service) {
        return Err(refuse(StatusCode::FORBIDDEN, DENIED));
    }
    let (status, shown) = own(call, &service);
    as_asked(call, code(status), status, &shown)
}

/// `/v1/agent/health/service/name/:name`: the worst of them is the answer's status.
pub(super) fn of_own_services(call: &Call) -> Answer {
    if call.tail.is_empty() {
        let text = "Bad request: Missing service Name";
        return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, text));
    }
    if !call.rights()?.sees_service(&call.tail) {
        return Err(refuse(StatusCode::FORBIDDEN, DENIED));
    }
    let named = call
        .agent
        .local()
        .services
        .values()
        .map(|held| held.service.clone())
        .collect::<Vec<_>>();
    let all: Vec<(&str, Value)> = named
        .iter()
        .filter(|service| service.service == call.tail)
        .map(|service| own(call, service))
        .collect();
    let worst = all.iter().max_by_key(|(status, _)| code(status).as_u16());
    let (status, code) = match worst {
        None => ("", StatusCode::NOT_FOUND),
        Some((status, _)) => (*status, code(status)),
    };
    let missing = format!("ServiceName {} Not Found", call.tail);
    let status = if all.is_empty() { &missing } else { status };
    let shown: Vec<&Value> = all.iter().map(|(_, shown)| shown).collect();
    as_asked(call, code, status, &json!(shown))
}
