//! `/v1/scaling/…`: the `scaling` stanzas of the registered jobs.

use super::Request;
use super::blocking;
use super::reply::Reply;
use crate::sandbox::nomad::acl::{Need, denied};
use crate::sandbox::nomad::jobs::Refusal;
use crate::sandbox::nomad::json::*;
use axum::http::Method;
use serde_json::{Value, json};

pub async fn route(r: &Request<'_>, path: &str) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    let rights = r.rights()?;
    let may = |namespace: &str, own: &[&str]| {
        let both = ["list-jobs", "read-job"];
        rights.allow(Need::Any(namespace, own))
            || both
                .iter()
                .all(|c| rights.allow(Need::Any(namespace, &[c])))
    };
    let namespace = r.query.namespace();
    match path.split_once('/') {
        None if path == "policies" => {
            let listing = ["list-scaling-policies"];
            if namespace != "*" && !may(namespace, &listing) {
                return Err(denied());
            }
            blocking::read(r, |s| {
                let wanted = |p: &Value| {
                    let target = &p["Target"];
                    let (job, kind) = (r.query.get("job"), r.query.get("type"));
                    r.query.in_namespace(text(target, "Namespace"))
                        && may(text(target, "Namespace"), &listing)
                        && job.is_none_or(|j| j.is_empty() || j == text(target, "Job"))
                        && kind.is_none_or(|k| k.is_empty() || k == text(p, "Type"))
                };
                let rows: Vec<Value> = s
                    .scaling_policies()
                    .iter()
                    .filter(|p| wanted(p))
                    .map(stub)
                    .collect();
                Reply::read(s.tables.policies.max(1), rows.into())
            })
            .await
        }
        Some(("policy", id)) if !id.is_empty() => {
            if !may(namespace, &["read-scaling-policy"]) {
                return Err(denied());
            }
            blocking::read(r, |s| {
                let found = s.scaling_policies();
                match found.into_iter().find(|p| text(p, "ID") == id) {
                    Some(policy) => Reply::read(int(&policy, "ModifyIndex") as u64, policy),
                    None => Reply::missing(s.tables.policies.max(1), "policy not found"),
                }
            })
            .await
        }
        _ => Err(Refusal::new(404, "")),
    }
}

/// A row of the list.
fn stub(p: &Value) -> Value {
    json!({"CreateIndex": p["CreateIndex"], "Enabled": p["Enabled"], "ID": p["ID"], "ModifyIndex": p["ModifyIndex"], "Target": p["Target"],
        "Type": p["Type"]})
}
