//! Allocations, evaluations, deployments, and what a node's client measures.

use super::Request;
use super::blocking;
use super::ids::{check_prefix, check_uuid};
use super::reply::Reply;
use crate::sandbox::nomad::acl::{Need, denied};
use crate::sandbox::nomad::jobs::Refusal;
use crate::sandbox::nomad::json::*;
use crate::sandbox::nomad::state::alloc::Alloc;
use crate::sandbox::nomad::state::records::{Deployment, Eval};
use axum::http::Method;
use serde_json::{Value, json};

/// Refused without `read-job` in the namespace asked for; with `*`, rows of namespaces without it are left out.
fn may_list(r: &Request<'_>) -> Result<impl Fn(&str) -> bool + use<>, Refusal> {
    let (rights, namespace) = (r.rights()?, r.query.namespace().to_string());
    if namespace != "*" {
        r.may_here(&["read-job"])?;
    }
    Ok(move |ns: &str| {
        let wanted = namespace == "*" || namespace == ns;
        wanted && rights.allow(Need::Any(ns, &["read-job"]))
    })
}

/// Nothing of the kind is ever there.
pub fn none(r: &Request<'_>, need: Need) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    if r.query.get("type") == Some("csi") {
        r.may(need)?;
        return Ok(Reply::read(1, json!([])));
    }
    Ok(Reply::json(json!([])))
}

pub async fn list(r: &Request<'_>) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    let here = may_list(r)?;
    check_prefix(r, "alloc lookup failed: ")?;
    let resources = r.query.boolean("resources")?.unwrap_or(false);
    let states = r.query.boolean("task_states")?.unwrap_or(true);
    let row = |a: &Alloc| {
        let mut row = a.stub(resources);
        if !states {
            row["TaskStates"] = Value::Null;
        }
        row
    };
    blocking::read(r, |s| {
        let rows: Vec<Value> = s
            .allocs
            .values()
            .filter(|a| here(a.namespace()) && r.query.matches_prefix(&a.id))
            .map(row)
            .collect();
        Reply::read(s.tables.allocs.max(1), rows.into())
    })
    .await
}

pub async fn one(r: &Request<'_>, rest: &str) -> Result<Reply, Refusal> {
    if let Some((id, "stop")) = rest.split_once('/') {
        return stop(r, id);
    }
    if rest.contains('/') {
        return Err(Refusal::new(404, "resource not found"));
    }
    r.only(&[Method::GET])?;
    check_uuid(rest, "alloc")?;
    let rights = r.rights()?;
    let hidden = |a: &Alloc| !rights.allow(Need::Any(a.namespace(), &["read-job"]));
    blocking::read(r, |s| match s.allocs.get(rest) {
        Some(alloc) if hidden(alloc) => {
            Reply::refused(Refusal::new(500, format!("Unknown allocation {rest:?}")))
        }
        Some(alloc) => Reply::read(alloc.modify_index, alloc.detail()),
        None => Reply::missing(s.tables.allocs.max(1), "alloc not found"),
    })
    .await
}

/// Stop one allocation; its job's next evaluation puts another in its place.
fn stop(r: &Request<'_>, id: &str) -> Result<Reply, Refusal> {
    if !r.writes() {
        return Err(Refusal::new(405, "Invalid method"));
    }
    if !r.core.read(|s| s.allocs.contains_key(id)) {
        return Err(Refusal::new(404, "allocation not found"));
    }
    let rights = r.rights()?;
    r.core.write(|s| {
        let Some(alloc) = s.allocs.get(id) else {
            return Err(Refusal::new(404, "allocation not found"));
        };
        if !rights.allow(Need::Any(alloc.namespace(), &["alloc-lifecycle"])) {
            return Err(denied());
        }
        let (job, node) = (alloc.job_id.clone(), alloc.node_id.clone());
        let index = s.next_index();
        if let Some(alloc) = s.allocs.get_mut(id) {
            alloc.desired = "stop";
            alloc.desired_why = "alloc stopped by user".into();
        }
        s.touch_alloc(id, "AllocationUpdateDesiredStatus", false);
        let of = s.job(&job).cloned().unwrap_or(Value::Null);
        let eval = s.create_eval(&job, &of, "alloc-stop", "AllocationUpdateDesiredStatus");
        crate::sandbox::nomad::client::pull(s, &node);
        Ok(Reply::written(json!({"EvalID": eval, "Index": index})))
    })
}

pub async fn evaluations(r: &Request<'_>) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    let here = may_list(r)?;
    check_prefix(r, "eval lookup failed: ")?;
    blocking::read(r, |s| {
        let wanted = |key: &str, has: &str| r.query.get(key).is_none_or(|w| w == has);
        let rows = s.evals.values().filter(|e| {
            here(e.namespace())
                && r.query.matches_prefix(&e.id)
                && wanted("job", e.shown_job())
                && wanted("status", e.status)
        });
        Reply::read(
            s.tables.evals.max(1),
            rows.map(|e| e.json()).collect::<Vec<_>>().into(),
        )
    })
    .await
}

pub async fn evaluation(r: &Request<'_>, rest: &str) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    let (id, verb) = rest.split_once('/').unwrap_or((rest, ""));
    r.may_here(&["read-job"])?;
    check_uuid(id, "eval")?;
    let rights = r.rights()?;
    let shown = |e: &&Eval| rights.allow(Need::Any(e.namespace(), &["read-job"]));
    blocking::read(r, |s| match (s.evals.get(id).filter(shown), verb) {
        (_, "allocations") => {
            let rows: Vec<Value> = s
                .allocs
                .values()
                .filter(|a| {
                    a.eval_id == id && rights.allow(Need::Any(a.namespace(), &["read-job"]))
                })
                .map(|a| a.stub(false))
                .collect();
            Reply::read(s.tables.allocs.max(1), rows.into())
        }
        (Some(eval), _) => Reply::read(eval.modify_index, eval.json()),
        (None, _) => Reply::missing(s.tables.evals.max(1), "eval not found"),
    })
    .await
}

pub async fn deployments(r: &Request<'_>) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    let here = may_list(r)?;
    check_prefix(r, "")?;
    blocking::read(r, |s| {
        let rows: Vec<Value> = s
            .deployments
            .values()
            .filter(|d| here(d.namespace()) && r.query.matches_prefix(&d.id))
            .map(|d| d.json())
            .collect();
        Reply::read(s.tables.deployments.max(1), rows.into())
    })
    .await
}

pub async fn deployment(r: &Request<'_>, rest: &str) -> Result<Reply, Refusal> {
    if let Some((order @ ("fail" | "pause" | "promote" | "allocation-health"), id)) =
        rest.split_once('/')
    {
        return order_deployment(r, order, id);
    }
    r.only(&[Method::GET])?;
    let allocations = rest.strip_prefix("allocations/");
    let id = allocations.unwrap_or(rest);
    r.may_here(&["read-job"])?;
    check_uuid(id, "deployment")?;
    let rights = r.rights()?;
    let shown = |d: &&Deployment| rights.allow(Need::Any(d.namespace(), &["read-job"]));
    blocking::read(r, |s| {
        if allocations.is_some() {
            let rows: Vec<Value> = s
                .allocs
                .values()
                .filter(|a| a.deployment == id)
                .map(|a| a.stub(false))
                .collect();
            return Reply::read(s.tables.allocs.max(1), rows.into());
        }
        s.deployments.get(id).filter(shown).map_or_else(
            || Reply::missing(s.tables.deployments.max(1), "deployment not found"),
            |d| Reply::read(d.modify_index, d.json()),
        )
    })
    .await
}

/// Fail, pause, promote a deployment, or say how its allocations do.
fn order_deployment(r: &Request<'_>, order: &str, id: &str) -> Result<Reply, Refusal> {
    if !r.writes() {
        return Err(Refusal::new(405, "Invalid method"));
    }
    let body = if order == "fail" {
        Value::Null
    } else {
        r.json()?
    };
    match text(&body, "DeploymentID") {
        _ if order == "fail" => {}
        "" => return Err(Refusal::new(400, "DeploymentID must be specified")),
        other if other != id => return Err(Refusal::new(400, "Deployment ID does not match")),
        _ => {}
    }
    check_uuid(id, "deployment")?;
    let namespace = r.core.read(|s| {
        let found = s.deployments.get(id);
        found.map(|d| d.namespace().to_string())
    });
    if let Some(namespace) = namespace {
        r.may(Need::Any(&namespace, &["submit-job"]))?;
    }
    r.core
        .write(|s| s.deployment_order(id, order, &body))
        .map(Reply::written)
}
