//! `/v1/jobs` and `/v1/job/…`

use super::Request;
use super::blocking;
use super::reply::Reply;
use crate::sandbox::nomad::acl::{Need, denied};
use crate::sandbox::nomad::jobs::Refusal;
use crate::sandbox::nomad::jobspec::parse_job;
use crate::sandbox::nomad::json::*;
use crate::sandbox::nomad::scaling::scale_status;
use crate::sandbox::nomad::state::{JobRecord, State, summary};
use crate::sandbox::nomad::{canonical, diff};
use axum::http::Method;
use serde_json::{Value, json};

pub async fn collection(r: &Request<'_>) -> Result<Reply, Refusal> {
    if r.writes() {
        let body = r.json()?;
        return register(r, body);
    }
    r.only(&[Method::GET])?;
    let rights = r.rights()?;
    if r.query.namespace() != "*" {
        r.may_here(&["list-jobs"])?;
    }
    blocking::read(r, |s| {
        let shown = |key: &str| {
            let (namespace, id) = key_parts(key);
            r.query.in_namespace(namespace)
                && r.query.matches_prefix(id)
                && rights.allow(Need::Any(namespace, &["list-jobs"]))
        };
        let rows: Vec<Value> = s
            .jobs
            .iter()
            .filter(|(key, _)| shown(key))
            .map(|(key, j)| stub(s, key, j))
            .collect();
        Reply::read(s.tables.jobs.max(s.tables.summaries).max(1), rows.into())
    })
    .await
}

/// Put the request's namespace into the job, which has one of its own only if the request names none.
fn placed(r: &Request<'_>, body: &mut Value) {
    let wanted = [r.query.get("namespace"), body["Namespace"].as_str()];
    let wanted = wanted.into_iter().flatten().find(|n| !n.is_empty());
    if let (Some(wanted), Some(job)) = (wanted.map(ToString::to_string), body.get_mut("Job"))
        && job.is_object()
    {
        job["Namespace"] = wanted.into();
    }
}

fn register(r: &Request<'_>, mut body: Value) -> Result<Reply, Refusal> {
    placed(r, &mut body);
    may_submit(r, &body)?;
    if body["Job"].is_object() {
        body["Job"]["NomadTokenID"] = r.core.read(|s| {
            let acl = s.acl.as_ref();
            acl.map_or("", |acl| acl.accessor(&r.token)).into()
        });
    }
    r.core.write(|s| s.register(&body)).map(Reply::written)
}

/// A job's namespace must be open to its sender, and the volumes it mounts too.
fn may_submit(r: &Request<'_>, body: &Value) -> Result<(), Refusal> {
    let job = &body["Job"];
    let namespace = match text(job, "Namespace") {
        "" => "default",
        namespace => namespace,
    };
    r.may(Need::Any(namespace, &["submit-job"]))?;
    let rights = r.rights()?;
    let mut volumes = list(job, "TaskGroups")
        .iter()
        .flat_map(|g| entries(g, "Volumes"));
    let open = volumes.all(|(_, v)| {
        text(v, "Type") != "host" || rights.may_mount(text(v, "Source"), flag(v, "ReadOnly"))
    });
    if !open {
        return Err(denied());
    }
    if flag(body, "PolicyOverride") {
        r.may(Need::Any(namespace, &["sentinel-override"]))?;
    }
    Ok(())
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
    r.may_here(&["parse-job", "submit-job"])
        .map_err(Refusal::unresolved)?;
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
    let key = job_key(r.query.namespace(), id);
    let id = key.as_str();
    match (verb, r.writes()) {
        ("", true) | ("plan" | "scale" | "evaluate" | "revert" | "stable", true) => {
            write(r, id, verb)
        }
        ("", false) if r.method == Method::DELETE => {
            r.may_here(&["submit-job"])?;
            let purge = r.query.boolean("purge")?.unwrap_or(false);
            r.core
                .write(|s| s.deregister(id, purge))
                .map(Reply::written)
        }
        ("plan" | "evaluate" | "dispatch" | "revert" | "stable", false) => {
            Err(Refusal::new(405, "Invalid method"))
        }
        ("dispatch", true) => dispatch(r, id),
        (_, true) => Err(Refusal::new(405, "Invalid method")),
        _ => {
            r.only(&[Method::GET])?;
            r.query.boolean("diffs")?;
            match verb {
                "scale" => r.may_here(&["read-job", "read-job-scaling"])?,
                _ => r.may_here(&["read-job"])?,
            }
            blocking::read(r, |s| look(r, s, id, verb)).await
        }
    }
}

/// Parameterized jobs are not done here; of others Nomad says so itself.
fn dispatch(r: &Request<'_>, id: &str) -> Result<Reply, Refusal> {
    r.may_here(&["dispatch-job"])?;
    Err(r.core.read(|s| match s.job(id) {
        None => Refusal::new(500, "parameterized job not found"),
        Some(job) if job["ParameterizedJob"].is_null() => {
            let why = format!(
                "Specified job {:?} is not a parameterized job",
                key_parts(id).1
            );
            Refusal::new(500, why)
        }
        Some(_) => Refusal::new(
            501,
            "the sandbox's Nomad does not dispatch jobs; use a real Nomad for it",
        ),
    }))
}

fn write(r: &Request<'_>, id: &str, verb: &str) -> Result<Reply, Refusal> {
    let mut body = if verb == "evaluate" && r.body.is_empty() {
        json!({})
    } else {
        r.json()?
    };
    match verb {
        "scale" => r.may_here(&["scale-job", "submit-job"])?,
        "evaluate" => r.may_here(&["read-job"])?,
        "revert" | "stable" => r.may_here(&["submit-job"])?,
        "plan" => {
            placed(r, &mut body);
            may_submit(r, &body)?;
        }
        _ => {}
    }
    match verb {
        "plan" => r.core.read(|s| s.dry_run(id, &body)).map(|v| Reply {
            index: Some(0),
            ..Reply::json(v)
        }),
        "scale" => r.core.write(|s| s.scale(id, &body)).map(Reply::written),
        "evaluate" if !r.body.is_empty() && text(&body, "JobID").is_empty() => {
            Err(Refusal::new(400, "Job ID must be specified"))
        }
        "evaluate" if !r.body.is_empty() && text(&body, "JobID") != key_parts(id).1 => {
            Err(Refusal::new(400, "JobID not same as job name"))
        }
        "evaluate" => r.core.write(|s| s.evaluate(id)).map(Reply::written),
        "revert" | "stable" if text(&body, "JobID").is_empty() => {
            Err(Refusal::new(400, "JobID must be specified"))
        }
        "revert" | "stable" if text(&body, "JobID") != key_parts(id).1 => {
            Err(Refusal::new(400, "Job ID does not match"))
        }
        "revert" => r.core.write(|s| s.revert(id, &body)).map(Reply::written),
        "stable" => r
            .core
            .write(|s| s.mark_stable(id, &body))
            .map(Reply::written),
        _ if body
            .get("Job")
            .is_some_and(|j| text(j, "ID") != key_parts(id).1) =>
        {
            Err(Refusal::new(400, "Job ID does not match name"))
        }
        _ => register(r, body),
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
            |j| versions(r.query.truth("diffs"), s, j),
        ),
        "scale" => scale_status(s, id).map_or_else(missing, |v| {
            let job = record.map_or(0, |j| {
                (int(j.current(), "ModifyIndex") as u64).max(j.summary_index)
            });
            Reply::read(job.max(s.tables.scaling), v)
        }),
        _ => record.map_or_else(missing, |j| {
            Reply::read(int(j.current(), "ModifyIndex") as u64, j.current().clone())
        }),
    }
}

fn versions(diffs: bool, s: &State, record: &JobRecord) -> Reply {
    let index = record
        .versions
        .iter()
        .map(|v| int(v, "ModifyIndex") as u64)
        .max()
        .unwrap_or(s.tables.jobs);
    let mut told = Value::Null;
    if diffs && record.versions.len() > 1 {
        let pairs = record
            .versions
            .windows(2)
            .map(|w| diff::job(Some(&w[1]), Some(&w[0])));
        told = pairs.collect::<Vec<_>>().into();
    }
    Reply::read(
        index,
        json!({"Diffs": told, "Index": index, "KnownLeader": true, "LastContact": 0, "Versions": record.versions}),
    )
}
