//! `/v1/config`

use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::super::acl::{Access, DENIED, Resource, Rights};
use super::super::config;
use super::call::{Answer, Call, refuse};
use super::query;
use super::reply::{self, QueryMeta};

fn may(rights: &Rights, kind: &str, name: &str, wanted: Access) -> bool {
    match (kind, wanted) {
        ("proxy-defaults", Access::Write) => rights.may_whole("operator", wanted),
        ("proxy-defaults", _) => true,
        _ => rights.may(Resource::Service, name, wanted),
    }
}

fn denied() -> Box<Response> {
    refuse(StatusCode::FORBIDDEN, DENIED)
}

/// `PUT /v1/config`
pub(super) async fn put(call: &Call) -> Answer {
    let entry = config::read(&call.body).map_err(|why| {
        let text = format!("Bad request: Request decoding failed: {why}");
        refuse(StatusCode::BAD_REQUEST, text)
    })?;
    let cas = match call.has("cas") {
        true => Some(call.number("cas")?),
        false => None,
    };
    let route = call.agent.route(call.datacenter()).await;
    let route = route.map_err(|error| Box::new(reply::failed(&error)))?;
    let field = |name: &str| entry[name].as_str().unwrap_or("").to_owned();
    if !may(
        call.rights()?,
        &field("Kind"),
        &field("Name"),
        Access::Write,
    ) {
        return Err(denied());
    }
    let done = route
        .datacenter
        .write(|store, _| store.put_config(entry, cas));
    match done {
        Ok(done) => Ok(reply::json(&done)),
        Err(error) => Ok(reply::failed(&route.error(error))),
    }
}

/// `/v1/config/:kind` and `/v1/config/:kind/:name`
pub(super) async fn serve(call: &Call) -> Answer {
    let (kind, name) = call.tail.split_once('/').unwrap_or((&call.tail, ""));
    if call.method == Method::DELETE {
        return delete(call, kind, name).await;
    }
    let options = query::options(call)?;
    if let Err(why) = config::check_kind(kind)
        && !kind.is_empty()
    {
        return Err(refuse(StatusCode::INTERNAL_SERVER_ERROR, why));
    }
    let rights = call.rights()?;
    if !name.is_empty() && !may(rights, kind, name, Access::Read) {
        return Err(denied());
    }
    let asked = query::ask(call, options, |store| {
        if !name.is_empty() {
            let (index, found) = store.config_entry(kind, name);
            return Ok((index, found.unwrap_or(Value::Null)));
        }
        let (index, mut all) = store.config_entries(kind);
        let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or("").to_owned();
        all.retain(|entry| {
            may(
                rights,
                &text(entry, "Kind"),
                &text(entry, "Name"),
                Access::Read,
            )
        });
        Ok((index, Value::from(all)))
    })
    .await;
    let (index, found) = asked.map_err(|error| Box::new(reply::failed(&error)))?;
    let meta = QueryMeta {
        index,
        known_leader: true,
        consistency: None,
    };
    let answer = match found {
        Value::Null => {
            let text = format!("Config entry not found for {kind:?} / {name:?}");
            reply::text(StatusCode::NOT_FOUND, text)
        }
        found => reply::json(&found),
    };
    Ok(reply::with_meta(answer, meta))
}

async fn delete(call: &Call, kind: &str, name: &str) -> Answer {
    if name.is_empty() {
        return Err(refuse(
            StatusCode::NOT_FOUND,
            "Must provide both a kind and name to delete",
        ));
    }
    config::check_kind(kind).map_err(|why| refuse(StatusCode::BAD_REQUEST, why))?;
    let route = call.agent.route(call.datacenter()).await;
    let route = route.map_err(|error| Box::new(reply::failed(&error)))?;
    if !may(call.rights()?, kind, name, Access::Write) {
        return Err(denied());
    }
    match route
        .datacenter
        .write(|store, _| store.remove_config(kind, name))
    {
        Ok(()) => Ok(reply::json(&json!({}))),
        Err(error) => Ok(reply::failed(&route.error(error))),
    }
}
