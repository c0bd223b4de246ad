//! `/v1/namespaces` and `/v1/namespace/…`

use super::Request;
use super::blocking;
use super::reply::Reply;
use crate::sandbox::nomad::acl::Need;
use crate::sandbox::nomad::jobs::Refusal;
use crate::sandbox::nomad::json::*;
use axum::http::Method;
use serde_json::Value;

pub async fn list(r: &Request<'_>) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    let rights = r.rights()?;
    blocking::read(r, |s| {
        let rows = s
            .namespaces
            .values()
            .filter(|n| r.query.matches_prefix(&n.name) && rights.allow(Need::Something(&n.name)));
        let rows: Vec<Value> = rows.map(|n| n.json()).collect();
        Reply::read(s.tables.namespaces, rows.into())
    })
    .await
}

pub async fn route(r: &Request<'_>, name: &str) -> Result<Reply, Refusal> {
    if r.writes() {
        return put(r, name);
    }
    if name.is_empty() {
        return Err(Refusal::new(405, "Invalid method"));
    }
    if r.method == Method::DELETE {
        r.may(Need::Management)?;
        let index = r.core.write(|s| s.delete_namespace(name))?;
        return Ok(written(index));
    }
    r.only(&[Method::GET])?;
    r.may(Need::Something(name))?;
    blocking::read(r, |s| match s.namespaces.get(name) {
        Some(namespace) => Reply::read(namespace.modify_index, namespace.json()),
        None => Reply::missing(s.tables.namespaces, "Namespace not found"),
    })
    .await
}

fn put(r: &Request<'_>, name: &str) -> Result<Reply, Refusal> {
    let body = r.json()?;
    if !name.is_empty() && text(&body, "Name") != name {
        let why = "Namespace name does not match request path";
        return Err(Refusal::new(400, why));
    }
    r.may(Need::Management)?;
    let index = r.core.write(|s| s.put_namespace(&body))?;
    Ok(written(index))
}

fn written(index: u64) -> Reply {
    Reply {
        index: Some(index),
        ..Reply::empty()
    }
}
