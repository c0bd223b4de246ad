//! `/v1/txn`

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::acl::{Access, DENIED, Resource, Rights};
use super::super::base64;
use super::super::go::{Shape, decode_body};
use super::super::records::DirEntry;
use super::super::txn::TxnOp;
use super::call::{Answer, Call, refuse};
use super::kv::{MAX_VALUE, may_write};
use super::query;
use super::reply;

const MAX_OPS: usize = 64;

static KV: Shape = Shape::Fields(&[
    ("Verb", "Verb", Shape::Text),
    ("Key", "Key", Shape::Text),
    ("Value", "Value", Shape::Text),
    ("Flags", "Flags", Shape::Int),
    ("Index", "Index", Shape::Int),
    ("Session", "Session", Shape::Text),
    ("Namespace", "Namespace", Shape::Text),
]);
static OPS: Shape = Shape::ListOf(&Shape::Fields(&[
    ("KV", "KV", Shape::Same(&KV)),
    ("Node", "Node", Shape::Any),
    ("Service", "Service", Shape::Any),
    ("Check", "Check", Shape::Any),
]));

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct KvFields {
    verb: String,
    key: String,
    value: String,
    flags: u64,
    index: u64,
    session: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OpFields {
    #[serde(rename = "KV")]
    kv: Option<KvFields>,
}

fn operations(call: &Call) -> Result<Vec<TxnOp>, Box<Response>> {
    let bad = |error: String| {
        refuse(
            StatusCode::BAD_REQUEST,
            format!("Failed to parse body: {error}"),
        )
    };
    let read = decode_body(&call.body, &OPS).map_err(bad)?;
    let fields: Vec<OpFields> =
        serde_json::from_value(read).map_err(|error| bad(error.to_string()))?;
    if fields.len() > MAX_OPS {
        let text = format!(
            "Transaction contains too many operations ({} > {MAX_OPS})",
            fields.len()
        );
        return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    let mut ops = Vec::new();
    for op in fields {
        let Some(kv) = op.kv else {
            let text = "Failed to parse body: the sandbox's Consul knows KV operations only; use a real Consul for others";
            return Err(refuse(StatusCode::BAD_REQUEST, text));
        };
        let value = base64::decode(&kv.value).map_err(bad)?;
        if value.len() > MAX_VALUE {
            let text = format!(
                "Value for key {:?} is too large ({} > {MAX_VALUE} bytes)",
                kv.key,
                value.len()
            );
            return Err(refuse(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        let (flags, session, modify_index) = (kv.flags, kv.session, kv.index);
        let entry = DirEntry {
            key: kv.key,
            value,
            flags,
            session,
            modify_index,
            ..DirEntry::default()
        };
        ops.push(TxnOp {
            verb: kv.verb,
            entry,
        });
    }
    Ok(ops)
}

/// Writes that the token does not allow; reads lose in the answer what it does not show.
fn refusals(rights: &Rights, ops: &[TxnOp]) -> Vec<Value> {
    let denied = |op: &TxnOp| {
        op.write()
            .is_some_and(|write| !may_write(rights, write, &op.entry.key))
    };
    let refused = ops.iter().enumerate().filter(|(_, op)| denied(op));
    refused
        .map(|(at, _)| json!({"OpIndex": at, "What": DENIED}))
        .collect()
}

pub(super) async fn serve(call: &Call) -> Answer {
    let ops = operations(call)?;
    let read_only = !ops.iter().any(TxnOp::is_write);
    if read_only {
        query::options(call)?;
    }
    let route = call
        .agent
        .route(call.datacenter())
        .await
        .map_err(|error| Box::new(reply::failed(&error)))?;
    let rights = call.rights()?;
    let mut outcome = match refusals(rights, &ops) {
        refused if refused.is_empty() => route
            .datacenter
            .write(|store, now| store.transaction(&ops, now)),
        refused => Err(refused),
    };
    if let Ok(results) = &mut outcome {
        results.retain(|result| {
            let key = result["KV"]["Key"].as_str();
            key.is_none_or(|key| rights.may(Resource::Key, key, Access::Read))
        });
    }
    let (status, results, errors) = match outcome {
        Ok(results) => (StatusCode::OK, Value::from(results), Value::Null),
        Err(errors) => (StatusCode::CONFLICT, Value::Null, Value::from(errors)),
    };
    let mut out = json!({"Results": results, "Errors": errors});
    if read_only {
        for (name, value) in [
            ("Index", json!(0)),
            ("LastContact", json!(0)),
            ("KnownLeader", json!(true)),
            ("ConsistencyLevel", json!("")),
        ] {
            out[name] = value;
        }
    }
    let mut response = reply::json_with(status, &out);
    if read_only {
        response = reply::with_meta(
            response,
            reply::QueryMeta {
                index: 0,
                known_leader: true,
                consistency: None,
            },
        );
        response.headers_mut().remove("x-consul-index");
    }
    Ok(response)
}
