//! `POST /v1/internal/acl/authorize`: what a token may do. Of intentions, meshes and peers nothing is known here.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::super::super::acl::{Access, Resource, Rights};
use super::super::super::go::{Shape, decode_body};
use super::super::call::{Answer, Call, refuse};
use super::super::reply;
use super::bad;

static WANTED: Shape = Shape::Fields(&[
    ("Resource", "Resource", Shape::Text),
    ("Access", "Access", Shape::Text),
    ("Segment", "Segment", Shape::Text),
]);
static LIST: Shape = Shape::ListOf(&WANTED);
const MOST: usize = 64;

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Wanted {
    resource: String,
    access: String,
    segment: String,
}

pub(in super::super) fn authorize(call: &Call) -> Answer {
    if call.agent.world.acl.is_none() {
        return Err(refuse(StatusCode::UNAUTHORIZED, "ACL support disabled"));
    }
    let wanted: Vec<Wanted> = decode_body(&call.body, &LIST)
        .and_then(|read| serde_json::from_value(read).map_err(|e| e.to_string()))
        .map_err(|e| bad(format!("Failed to decode request body: {e}")))?;
    if wanted.len() > MOST {
        return Err(bad(format!(
            "Refusing to process more than {MOST} authorizations at once"
        )));
    }
    let rights = call.rights()?;
    let mut all = Vec::new();
    for one in &wanted {
        let Wanted {
            resource,
            access,
            segment,
        } = one;
        let mut answer = json!({"Resource": resource, "Access": access, "Allow": may(rights, one).map_err(bad)?});
        if !segment.is_empty() {
            answer["Segment"] = json!(segment);
        }
        all.push(answer);
    }
    Ok(reply::json(&json!(all)))
}

fn may(rights: &Rights, wanted: &Wanted) -> Result<bool, String> {
    let (of, level) = (&wanted.resource, &wanted.access);
    let named = Resource::named(of);
    if named.is_none() && !["acl", "keyring", "operator"].contains(&of.as_str()) {
        return Err(format!("Invalid ACL resource requested: {of:?}"));
    }
    let access = match level.as_str() {
        "read" => Access::Read,
        "list" if named == Some(Resource::Key) => Access::List,
        "write" => Access::Write,
        _ => {
            return Err(format!("Invalid access level for {of} resource: {level}"));
        }
    };
    Ok(match named {
        Some(resource) => rights.may(resource, &wanted.segment, access),
        None => rights.may_whole(of, access),
    })
}
