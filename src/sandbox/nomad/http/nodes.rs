//! `/v1/nodes` and `/v1/node/…`

use super::Request;
use super::blocking;
use super::ids::{check_prefix, check_uuid};
use super::reply::{Content, Reply};
use crate::sandbox::nomad::acl::Need;
use crate::sandbox::nomad::jobs::Refusal;
use crate::sandbox::nomad::json::*;
use crate::sandbox::nomad::state::node::Drain;
use crate::sandbox::nomad::state::{State, now};
use axum::http::Method;
use serde_json::{Value, json};

pub async fn list(r: &Request<'_>) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    r.may(Need::NodeRead)?;
    check_prefix(r, "node lookup failed: ")?;
    let resources = r.query.boolean("resources")?.unwrap_or(false);
    blocking::read(r, |s| {
        let rows: Vec<Value> = s
            .nodes
            .values()
            .filter(|n| r.query.matches_prefix(&n.id))
            .map(|n| n.stub(resources))
            .collect();
        Reply::read(s.tables.nodes, rows.into())
    })
    .await
}

pub async fn route(r: &Request<'_>, rest: &str) -> Result<Reply, Refusal> {
    let (id, verb) = rest.split_once('/').unwrap_or((rest, ""));
    match verb {
        "" => one(r, id).await,
        "allocations" => allocations(r, id).await,
        "eligibility" if r.writes() => eligibility(r, id),
        "drain" if r.writes() => drain(r, id),
        "evaluate" if r.writes() => {
            r.may(Need::NodeWrite)?;
            r.core.read(|s| known(s, id))?;
            let (index, evals, modified) = r.core.write(|s| {
                let evals = s.node_evals(id);
                (s.index, evals, s.nodes[id].modify_index)
            });
            let mut reply = written(index, modified, &evals, index);
            if let Content::Json(v) = &mut reply.content {
                let at = format!("{}:4647", r.core.address.ip());
                let server = json!({"Datacenter": "dc1", "RPCAdvertiseAddr": at, "RPCMajorVersion": 0, "RPCMinorVersion": 0});
                fill(
                    v,
                    json!({"Features": 0, "HeartbeatTTL": 0, "KnownLeader": false, "LastContact": 0, "LeaderRPCAddr": at,
                    "NumNodes": r.core.read(|s| s.nodes.len()), "Servers": [server]}),
                );
            }
            Ok(reply)
        }
        "eligibility" | "drain" | "evaluate" => Err(Refusal::new(405, "Invalid method")),
        _ => one(r, rest).await,
    }
}

async fn one(r: &Request<'_>, id: &str) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    r.may(Need::NodeRead)?;
    check_uuid(id, "node")?;
    blocking::read(r, |s| match s.nodes.get(id) {
        Some(node) => Reply::read(node.modify_index, node.full()),
        None => Reply::missing(s.tables.nodes, "node not found"),
    })
    .await
}

async fn allocations(r: &Request<'_>, id: &str) -> Result<Reply, Refusal> {
    r.only(&[Method::GET])?;
    r.may(Need::NodeRead)?;
    let rights = r.rights()?;
    blocking::read(r, |s| {
        let rows: Vec<Value> = s
            .allocs
            .values()
            .filter(|a| a.node_id == id && rights.allow(Need::Any(a.namespace(), &["read-job"])))
            .map(|a| a.detail())
            .collect();
        Reply::read(s.tables.allocs, rows.into())
    })
    .await
}

fn known(s: &State, id: &str) -> Result<(), Refusal> {
    check_uuid(id, "node")?;
    if s.nodes.contains_key(id) {
        Ok(())
    } else {
        Err(Refusal::new(500, "node not found"))
    }
}

fn eligibility(r: &Request<'_>, id: &str) -> Result<Reply, Refusal> {
    let body = r.json()?;
    r.may(Need::NodeWrite)?;
    let eligible = match text(&body, "Eligibility") {
        "eligible" => true,
        "ineligible" => false,
        other => {
            return Err(Refusal::new(
                500,
                format!("invalid scheduling eligibility {other:?}"),
            ));
        }
    };
    r.core.write(|s| {
        known(s, id)?;
        if eligible && s.nodes[id].drain.is_some() {
            return Err(Refusal::new(
                500,
                "can not set node's scheduling eligibility to eligible while it is draining",
            ));
        }
        let (index, evals) = s.set_eligible(id, eligible);
        Ok(written(index, 0, &evals, index + 1))
    })
}

fn drain(r: &Request<'_>, id: &str) -> Result<Reply, Refusal> {
    let body = r.json()?;
    r.may(Need::NodeWrite)?;
    let drain = body
        .get("DrainSpec")
        .filter(|d| d.is_object())
        .map(|d| Drain {
            deadline: int(d, "Deadline"),
            ignore_system: flag(d, "IgnoreSystemJobs"),
            started: now(),
        });
    r.core.write(|s| {
        known(s, id)?;
        let (index, evals) = s.set_drain(id, drain, flag(&body, "MarkEligible"));
        Ok(written(index, index, &evals, index + 1))
    })
}

fn written(index: u64, node_index: u64, evals: &[String], eval_index: u64) -> Reply {
    let ids = if evals.is_empty() {
        Value::Null
    } else {
        json!(evals)
    };
    let eval_index = if evals.is_empty() { 0 } else { eval_index };
    Reply::written(
        json!({"EvalCreateIndex": eval_index, "EvalIDs": ids, "Index": index, "NodeModifyIndex": node_index}),
    )
}
