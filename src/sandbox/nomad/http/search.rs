//! `/v1/search`: what begins like this?

use super::Request;
use super::reply::Reply;
use crate::sandbox::nomad::acl::{Need, Rights, denied};
use crate::sandbox::nomad::jobs::Refusal;
use crate::sandbox::nomad::json::*;
use crate::sandbox::nomad::state::State;
use serde_json::{Map, Value, json};

const CONTEXTS: [&str; 9] = [
    "allocs",
    "jobs",
    "nodes",
    "evals",
    "deployment",
    "plugins",
    "volumes",
    "scaling_policy",
    "namespaces",
];
/// Matches given of each kind.
const LIMIT: usize = 20;

pub fn answer(r: &Request<'_>) -> Result<Reply, Refusal> {
    if !r.writes() {
        return Err(Refusal::new(405, "Invalid method"));
    }
    let body = r.json()?;
    let (prefix, context) = (text(&body, "Prefix"), text(&body, "Context"));
    let rights = r.rights()?;
    let namespace = r.query.namespace();
    if !searchable(&rights, namespace, context) {
        return Err(denied());
    }
    if context != "all" && !CONTEXTS.contains(&context) {
        let why = format!(
            "context must be one of {CONTEXTS:?} or 'all' for all contexts; got {context:?}"
        );
        return Err(Refusal::new(
            500,
            why.replace("\", \"", " ")
                .replace("[\"", "[")
                .replace("\"]", "]"),
        ));
    }
    r.core.read(|s| {
        let (mut matches, mut truncations, mut index) = (Map::new(), Map::new(), 0);
        let wanted = CONTEXTS
            .into_iter()
            .filter(|c| context == "all" || *c == context)
            .filter(|c| shown(&rights, namespace, c));
        for kind in wanted {
            let (table, ids) = ids(s, kind, namespace);
            index = index.max(table);
            let by_uuid = ["allocs", "nodes", "evals", "deployment"].contains(&kind);
            if by_uuid && context == "all" && !may_be_uuid(prefix) {
                continue;
            }
            let mut found: Vec<String> =
                ids.into_iter().filter(|id| id.starts_with(prefix)).collect();
            truncations.insert(kind.into(), (found.len() > LIMIT).into());
            found.truncate(LIMIT);
            let found = if found.is_empty() {
                Value::Null
            } else {
                json!(found)
            };
            matches.insert(kind.into(), found);
        }
        Ok(Reply::read(
            index,
            json!({"Index": index, "KnownLeader": true, "LastContact": 0, "Matches": matches, "Truncations": truncations}),
        ))
    })
}

/// What cannot begin an ID is not looked for among them.
fn may_be_uuid(prefix: &str) -> bool {
    prefix.len() <= 36 && prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

fn ids(s: &State, kind: &str, namespace: &str) -> (u64, Vec<String>) {
    let here = |ns: &str| namespace == "*" || ns == namespace;
    match kind {
        "allocs" => {
            let all = s.allocs.values().filter(|a| here(a.namespace()));
            (s.tables.allocs, all.map(|a| a.id.clone()).collect())
        }
        "jobs" => {
            let all = s.jobs.values().map(|j| j.current());
            let all = all.filter(|j| here(text(j, "Namespace")));
            (s.tables.jobs, all.map(|j| text(j, "ID").into()).collect())
        }
        "nodes" => (s.tables.nodes, s.nodes.keys().cloned().collect()),
        "evals" => {
            let all = s.evals.values().filter(|e| here(e.namespace()));
            (s.tables.evals, all.map(|e| e.id.clone()).collect())
        }
        "deployment" => {
            let all = s.deployments.values().filter(|d| here(d.namespace()));
            (s.tables.deployments, all.map(|d| d.id.clone()).collect())
        }
        "scaling_policy" => {
            let all = s.scaling_policies();
            let all = all
                .into_iter()
                .filter(|p| here(text(&p["Target"], "Namespace")));
            (s.tables.jobs, all.map(|p| text(&p, "ID").into()).collect())
        }
        "namespaces" => (s.tables.namespaces, s.namespaces.keys().cloned().collect()),
        _ => (0, Vec::new()),
    }
}

fn searchable(rights: &Rights, namespace: &str, context: &str) -> bool {
    let node = rights.allow(Need::NodeRead);
    let job = rights.allow(Need::Any(namespace, &["read-job"]));
    let some = rights.allow(Need::Something(namespace));
    match context {
        "nodes" => node,
        "allocs" | "deployment" | "evals" | "jobs" => job,
        "namespaces" => some,
        _ => node || job || some,
    }
}

fn shown(rights: &Rights, namespace: &str, context: &str) -> bool {
    let any = |capabilities| rights.allow(Need::Any(namespace, capabilities));
    match context {
        "nodes" => rights.allow(Need::NodeRead),
        "namespaces" => rights.allow(Need::Something(namespace)),
        "scaling_policy" => any(&["read-job", "list-scaling-policies"]),
        "volumes" => any(&[
            "read-job",
            "list-jobs",
            "csi-list-volume",
            "csi-read-volume",
        ]),
        "plugins" => rights.is_management(),
        _ => any(&["read-job"]),
    }
}
