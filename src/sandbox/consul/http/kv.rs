//! `/v1/kv/*`

use axum::body::Body;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde_json::Value;

use super::super::acl::{Access, DENIED, Resource, Rights};
use super::super::kv::KvOp;
use super::super::records::DirEntry;
use super::super::world::RpcError;
use super::call::{Answer, Call, refuse};
use super::query::{self, Options};
use super::reply::{self, QueryMeta};

/// The largest value, as in Raft's suggestion.
pub(super) const MAX_VALUE: usize = 512 * 1024;

pub(super) async fn serve(call: &Call) -> Answer {
    let options = query::options(call)?;
    match call.method {
        Method::PUT => put(call).await,
        Method::DELETE => delete(call).await,
        _ if call.has("keys") => keys(call, options).await,
        _ => get(call, options).await,
    }
}

fn failed(error: RpcError) -> Box<Response> {
    Box::new(reply::failed(&error))
}

fn meta(index: u64) -> QueryMeta {
    QueryMeta {
        index,
        known_leader: true,
        consistency: None,
    }
}

fn not_found(index: u64) -> Response {
    reply::with_meta(reply::text(StatusCode::NOT_FOUND, ""), meta(index))
}

async fn get(call: &Call, options: Options) -> Answer {
    let recurse = call.has("recurse");
    if !recurse {
        need_key(call)?;
    }
    let rights = call.rights()?;
    if !recurse && !rights.may(Resource::Key, &call.tail, Access::Read) {
        return Err(refuse(StatusCode::FORBIDDEN, DENIED));
    }
    let (index, found) = query::ask(call, options, |store| {
        if recurse {
            let (index, mut entries) = store.kv_list(&call.tail);
            entries.retain(|entry| rights.may(Resource::Key, &entry.key, Access::Read));
            return Ok((index, entries.into_iter().cloned().collect::<Vec<_>>()));
        }
        let (index, entry) = store.kv_get(&call.tail);
        Ok((index, entry.cloned().into_iter().collect()))
    })
    .await
    .map_err(failed)?;
    let Some(first) = found.first() else {
        return Ok(not_found(index));
    };
    if call.has("raw") && !recurse {
        let mut raw = Response::new(Body::from(first.value.clone()));
        raw.headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        return Ok(reply::with_meta(raw, meta(index)));
    }
    let shown: Vec<Value> = found.iter().map(|entry| entry.to_json(false)).collect();
    Ok(reply::with_meta(reply::json(&shown), meta(index)))
}

async fn keys(call: &Call, options: Options) -> Answer {
    let separator = if call.has("separator") {
        call.get("separator")
    } else {
        call.get("seperator")
    };
    let rights = call.rights()?;
    let look = |store: &super::super::state::Store| {
        let (index, mut keys) = store.kv_keys(&call.tail, separator);
        keys.retain(|key| rights.may(Resource::Key, key, Access::Read));
        Ok((index, keys))
    };
    let (index, keys) = query::ask(call, options, look).await.map_err(failed)?;
    // The root is never missing.
    if keys.is_empty() && !call.tail.is_empty() {
        return Ok(not_found(index));
    }
    Ok(reply::with_meta(reply::json(&keys), meta(index)))
}

fn need_key(call: &Call) -> Result<(), Box<Response>> {
    match call.tail.is_empty() {
        true => Err(refuse(StatusCode::BAD_REQUEST, "Missing key name")),
        false => Ok(()),
    }
}

fn at_most_one(call: &Call, flags: &[&str]) -> Result<(), Box<Response>> {
    if flags.iter().filter(|flag| call.has(flag)).count() > 1 {
        return Err(refuse(
            StatusCode::BAD_REQUEST,
            format!("Conflicting flags: {}", call.encoded_query()),
        ));
    }
    Ok(())
}

async fn put(call: &Call) -> Answer {
    need_key(call)?;
    at_most_one(call, &["cas", "acquire", "release"])?;
    let mut entry = DirEntry {
        key: call.tail.clone(),
        ..DirEntry::default()
    };
    let mut op = KvOp::Set;
    if call.has("flags") {
        entry.flags = call.number("flags")?;
    }
    if call.has("cas") {
        entry.modify_index = call.number("cas")?;
        op = KvOp::Cas;
    }
    for (name, lock) in [("acquire", KvOp::Lock), ("release", KvOp::Unlock)] {
        if call.has(name) {
            entry.session = call.get(name).into();
            op = lock;
        }
    }
    if call.body.len() > MAX_VALUE {
        let text = format!(
            "Request body({} bytes) too large, max size: {MAX_VALUE} bytes. See https://www.consul.io/docs/agent/options.html#kv_max_value_size.",
            call.body.len()
        );
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    entry.value = call.body.to_vec();
    apply(call, op, entry).await
}

async fn delete(call: &Call) -> Answer {
    at_most_one(call, &["recurse", "cas"])?;
    let mut entry = DirEntry {
        key: call.tail.clone(),
        ..DirEntry::default()
    };
    let mut op = KvOp::Delete;
    if call.has("recurse") {
        op = KvOp::DeleteTree;
    } else {
        need_key(call)?;
    }
    if call.has("cas") {
        entry.modify_index = call.number("cas")?;
        op = KvOp::DeleteCas;
    }
    apply(call, op, entry).await
}

/// A tree may go only when nothing beneath is protected.
pub(super) fn may_write(rights: &Rights, op: KvOp, key: &str) -> bool {
    match op {
        KvOp::DeleteTree => rights.may_write_keys_under(key),
        _ => rights.may(Resource::Key, key, Access::Write),
    }
}

async fn apply(call: &Call, op: KvOp, entry: DirEntry) -> Answer {
    let route = call.agent.route(call.datacenter()).await.map_err(failed)?;
    if !may_write(call.rights()?, op, &entry.key) {
        return Err(failed(route.error(DENIED)));
    }
    let done = route
        .datacenter
        .write(|store, now| store.apply_kv(op, entry, now));
    let done = done.map_err(|error| failed(route.error(error)))?;
    Ok(reply::json(&done))
}
