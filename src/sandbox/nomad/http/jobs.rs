//! `/v1/jobs` and `/v1/job/…`

use super::Request;
use super::blocking;
use super::reply::Reply;
use crate::sandbox::nomad::jobs::{Refusal, scale_status};
use crate::sandbox::nomad::jobspec::parse_job;
use crate::sandbox::nomad::json::*;
use crate::sandbox::nomad::state::{JobRecord, State, summary};
use crate::sandbox::nomad::{canonical, diff};
use axum::http::Method;
use serde_json::{Value, json};

pub async fn collection(r: &Request<'_>) -> Result<Reply, Refusal> {
    if r.writes() {
        let body = r.json()?;
        return r.core.write(|s| s.register(&body)).map(Reply::written);
    }
    r.only(&[Method::GET])?;
    blocking::read(r, |s| {
        let ours = r.query.default_namespace();
        let rows: Vec<Value> = s
            .jobs
            .iter()
            .filter(|(id, _)| ours && r.query.matches_prefix(id))
            .map(|(id, j)| stub(s, id, j))
            .collect();
        Reply::read(s.tables.jobs.max(1), rows.into())
    })
    .await
}

fn stub(s: &State, id: &str, record: &JobRecord) -> Value {
    let job = record.current();
    let mut row = json!({"JobSummary": summary(s, id), "ParameterizedJob": job["ParameterizedJob"].is_object(), "Periodic": job["Periodic"].is_object()});
    for key in [
        "CreateIndex",
        "Datacenters",
        "ID",
        "JobModifyIndex",
        "ModifyIndex",
        "Multiregion",
        "Name",
        "ParentID",
        "Priority",
        "Status",
        "StatusDescription",
        "Stop",
        "SubmitTime",
        "Type",
    ] {
        row[key] = job[key].clone();
    }
    row
}

pub fn parse(r: &Request<'_>) -> Result<Reply, Refusal> {
    if !r.writes() {
        return Err(Refusal::new(405, "Invalid method"));
    }
    let body = r.json()?;
    let source = text(&body, "JobHCL");
    if source.is_empty() {
        return Err(Refusal::new(400, "Job spec is empty"));
    }
    let mut job = parse_job(source).map_err(|e| Refusal::new(400, e.to_string()))?;
    canonical::canonical_request(&mut job);
    Ok(Reply::json(job))
}

const VERBS: [&str; 12] = [
    "summary",
    "allocations",
    "evaluations",
    "deployments",
    "deployment",
    "versions",
    "scale",
    "plan",
    "evaluate",
    "stable",
    "dispatch",
    "revert",
];

pub async fn route(r: &Request<'_>, rest: &str) -> Result<Reply, Refusal> {
    // Job IDs may hold slashes; only a known word at the end is a verb.
    let (id, verb) = match rest.rsplit_once('/') {
        Some((id, verb)) if VERBS.contains(&verb) => (id, verb),
        _ => (rest, ""),
    };
    match (verb, r.writes()) {
        ("", true) | ("plan" | "scale" | "evaluate", true) => write(r, id, verb),
        ("", false) if r.method == Method::DELETE => r
            .core
            .write(|s| s.deregister(id, r.query.truth("purge")))
            .map(Reply::written),
        ("plan" | "evaluate" | "dispatch" | "revert" | "stable", false) => {
            Err(Refusal::new(405, "Invalid method"))
        }
        ("dispatch" | "revert" | "stable", true) => Err(Refusal::new(
            501,
            format!("the sandbox's Nomad does not do {verb:?}; use a real Nomad for it"),
        )),
        (_, true) => Err(Refusal::new(405, "Invalid method")),
        _ => {
            r.only(&[Method::GET])?;
            blocking::read(r, |s| look(r, s, id, verb)).await
        }
    }
}

fn write(r: &Request<'_>, id: &str, verb: &str) -> Result<Reply, Refusal> {
    let body = if verb == "evaluate" && r.body.is_empty() {
        json!({})
    } else {
        r.json()?
    };
    match verb {
        "plan" => r.core.read(|s| s.dry_run(id, &body)).map(|v| Reply {
            index: Some(0),
            ..Reply::json(v)
        }),
        "scale" => r.core.write(|s| s.scale(id, &body)).map(Reply::written),
        "evaluate" => r.core.write(|s| s.evaluate(id)).map(Reply::written),
        _ if body.get("Job").is_some_and(|j| text(j, "ID") != id) => {
            Err(Refusal::new(400, "Job ID does not match name"))
        }
        _ => r.core.write(|s| s.register(&body)).map(Reply::written),
    }
}

fn look(r: &Request<'_>, s: &State, id: &str, verb: &str) -> Reply {
    let record = s.jobs.get(id);
    let missing = || Reply::missing(s.tables.jobs.max(1), "job not found");
    match verb {
        "summary" => record.map_or_else(missing, |j| Reply::read(j.summary_index, summary(s, id))),
        "allocations" => {
            let rows: Vec<Value> = s
                .allocs_of(id)
                .map(|a| a.stub(r.query.truth("resources")))
                .collect();
            Reply::read(s.tables.allocs.max(1), rows.into())
        }
        "evaluations" => {
            let rows: Vec<Value> = s
                .evals
                .values()
                .filter(|e| e.job_id == id)
                .map(|e| e.json())
                .collect();
            Reply::read(s.tables.evals.max(1), rows.into())
        }
        "deployments" => {
            let rows: Vec<Value> = s
                .deployments
                .values()
                .filter(|d| d.job_id == id)
                .map(|d| d.json())
                .collect();
            Reply::read(s.tables.deployments.max(1), rows.into())
        }
        "deployment" => Reply::read(
            s.tables.deployments.max(1),
            s.deployment_of(id).map_or(Value::Null, |d| d.json()),
        ),
        "versions" => record.map_or_else(
            || Reply::missing(s.tables.jobs.max(1), "job versions not found"),
            |j| versions(r, s, j),
        ),
        "scale" => scale_status(s, id).map_or_else(missing, |v| {
            let job = int(
                record.map_or(&Value::Null, JobRecord::current),
                "ModifyIndex",
            ) as u64;
            let allocs = s.allocs_of(id).map(|a| a.modify_index).max().unwrap_or(0);
            Reply::read(job.max(allocs), v)
        }),
        _ => record.map_or_else(missing, |j| {
            Reply::read(int(j.current(), "ModifyIndex") as u64, j.current().clone())
        }),
    }
}

fn versions(r: &Request<'_>, s: &State, record: &JobRecord) -> Reply {
    let index = record
        .versions
        .iter()
        .map(|v| int(v, "ModifyIndex") as u64)
        .max()
        .unwrap_or(s.tables.jobs);
    let mut diffs = Value::Null;
    if r.query.truth("diffs") {
        let pairs = record
            .versions
            .windows(2)
            .map(|w| diff::job(Some(&w[1]), Some(&w[0])));
        diffs = pairs.collect::<Vec<_>>().into();
    }
    Reply::read(
        index,
        json!({"Diffs": diffs, "Index": index, "KnownLeader": true, "LastContact": 0, "Versions": record.versions}),
    )
}
