//! `/v1/health/*`

use axum::http::StatusCode;

use super::super::records::PASSING;
use super::call::{Answer, Call, parse_bool, refuse};
use super::catalog::{meta_filter, satisfies};
use super::query;

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
    query::discovery(call, |store| {
        let (index, mut found) = store.check_service_nodes(&call.tail, &tags);
        found.retain(|found| satisfies(&found.node, &wanted));
        if passing {
            found.retain(|found| found.checks.iter().all(|check| check.status == PASSING));
        }
        for entry in &mut found {
            entry.service.tags.get_or_insert_default();
        }
        Ok((index, found))
    })
    .await
}

/// `/v1/health/node/:node`
pub(super) async fn node(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing node name"));
    }
    query::discovery(call, |store| Ok(store.node_checks(&call.tail))).await
}

/// `/v1/health/checks/:service`
pub(super) async fn checks(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing service name"));
    }
    query::discovery(call, |store| Ok(store.service_checks(&call.tail))).await
}

/// `/v1/health/state/:state`
pub(super) async fn state(call: &Call) -> Answer {
    if call.tail.is_empty() {
        return Err(refuse(StatusCode::BAD_REQUEST, "Missing check state"));
    }
    query::discovery(call, |store| Ok(store.checks_in_state(&call.tail))).await
}
