//! Splits a workload into portions that can run on their own, with their dependencies and what binds them.

use super::derive;
use crate::model::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Portion {
    pub id: PortionId,
    pub job: JobId,
    pub groups: Vec<Group>,
    pub release: Release,
    pub needs: Resources,
    pub depends_on: Vec<PortionId>,
    /// Why its groups cannot part, when it has more than one.
    pub fused: Option<String>,
    /// Why no shadow of it can run, if so.
    pub not_shadowable: Option<String>,
}

/// The portions of one job: what the policy names (else each task group alone), fused where groups share a writable host
/// volume, with dependencies from the policy, Connect upstreams and templates or environment that name a service.
pub fn portions(job: &JobSpec, policy: Option<&Policy>) -> Vec<Portion> {
    let mut sets: Vec<(PortionId, Vec<Group>, Option<String>)> = Vec::new();
    let mut named: BTreeSet<Group> = BTreeSet::new();
    for p in policy
        .iter()
        .flat_map(|p| &p.portions)
        .filter(|p| p.job == job.id())
    {
        let why = (p.groups.len() > 1).then(|| "the policy couples its groups".to_string());
        sets.push((p.id.clone(), p.groups.clone(), why));
        named.extend(p.groups.iter().cloned());
    }
    for group in job.groups() {
        let name = Group::new(text(group, "Name"));
        if !named.contains(&name) {
            sets.push((PortionId::new(name.as_str()), vec![name], None));
        }
    }
    let mut into = BTreeMap::new();
    fuse(job, &mut sets, &mut into);
    let services: Vec<(PortionId, BTreeSet<String>)> = sets
        .iter()
        .map(|(id, groups, _)| (id.clone(), provided(job, policy, id, groups)))
        .collect();
    sets.into_iter()
        .map(|(id, groups, fused)| {
            let declared = policy.and_then(|p| p.portion(&id));
            Portion {
                release: derive::release(job, &groups),
                needs: groups
                    .iter()
                    .map(|g| job.needs(g))
                    .fold(Resources::default(), Resources::plus),
                depends_on: depends(job, &groups, declared, &id, &services)
                    .into_iter()
                    .map(|on| into.get(&on).cloned().unwrap_or(on))
                    .filter(|on| on != &id)
                    .collect::<BTreeSet<_>>()
                    .into_iter()
                    .collect(),
                not_shadowable: obstacle(job, &groups, declared),
                job: job.id(),
                id,
                groups,
                fused,
            }
        })
        .collect()
}

fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v.get(key).and_then(Value::as_str).unwrap_or("")
}

/// Groups that write to the same host volume cannot part. `into` says where a portion that is no more went.
fn fuse(
    job: &JobSpec,
    sets: &mut Vec<(PortionId, Vec<Group>, Option<String>)>,
    into: &mut BTreeMap<PortionId, PortionId>,
) {
    let mut i = 0;
    while i < sets.len() {
        let mine = writable(job, &sets[i].1);
        let other = (i + 1..sets.len()).find(|j| !mine.is_disjoint(&writable(job, &sets[*j].1)));
        match other {
            Some(j) => {
                let (gone, groups, _) = sets.remove(j);
                into.values_mut()
                    .filter(|to| **to == gone)
                    .for_each(|to| *to = sets[i].0.clone());
                into.insert(gone, sets[i].0.clone());
                let shared: Vec<String> = mine
                    .intersection(&writable(job, &groups))
                    .cloned()
                    .collect();
                sets[i].1.extend(groups);
                sets[i].2 = Some(format!(
                    "its groups write to the same host volume {}",
                    shared.join(", ")
                ));
            }
            None => i += 1,
        }
    }
}

fn writable(job: &JobSpec, groups: &[Group]) -> BTreeSet<String> {
    groups.iter().flat_map(|g| job.written_volumes(g)).collect()
}

/// Why a shadow of it would touch what is production's.
fn obstacle(job: &JobSpec, groups: &[Group], declared: Option<&PortionPolicy>) -> Option<String> {
    if let Some(volume) = writable(job, groups).first() {
        return Some(format!(
            "it writes to the volume {volume}, which a shadow must not share"
        ));
    }
    for group in groups.iter().filter_map(|g| job.group(g)) {
        if group
            .pointer("/EphemeralDisk/Sticky")
            .and_then(Value::as_bool)
            == Some(true)
        {
            return Some("its ephemeral disk is sticky: the data goes where it goes".to_string());
        }
        let fixed = list(group, "Networks")
            .flat_map(|n| list(n, "ReservedPorts"))
            .next();
        if let Some(port) = fixed {
            return Some(format!(
                "its port {} is static: two copies would collide",
                text(port, "Label")
            ));
        }
    }
    match declared {
        Some(p) if !p.shadow => Some("the policy forbids shadows of it".to_string()),
        Some(p) => match &p.data {
            Data::Free => None,
            Data::Stays(sites) => Some(format!(
                "its data must stay at {}",
                sites
                    .iter()
                    .map(Site::as_str)
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
        },
        None => None,
    }
}

/// All objects of the groups' services (group and task level).
fn services<'a>(job: &'a JobSpec, groups: &'a [Group]) -> impl Iterator<Item = &'a Value> {
    groups
        .iter()
        .filter_map(|g| job.group(g))
        .flat_map(|g| list(g, "Services").chain(list(g, "Tasks").flat_map(|t| list(t, "Services"))))
}

fn provided(
    job: &JobSpec,
    policy: Option<&Policy>,
    id: &PortionId,
    groups: &[Group],
) -> BTreeSet<String> {
    let front = policy.and_then(|p| p.portion(id)?.front.clone());
    services(job, groups)
        .map(|s| text(s, "Name").to_string())
        .chain(front.map(|f| f.to_string()))
        .filter(|s| !s.is_empty())
        .collect()
}

fn depends(
    job: &JobSpec,
    groups: &[Group],
    declared: Option<&PortionPolicy>,
    me: &PortionId,
    all: &[(PortionId, BTreeSet<String>)],
) -> Vec<PortionId> {
    let upstreams: BTreeSet<String> = services(job, groups)
        .filter_map(|s| {
            s.pointer("/Connect/SidecarService/Proxy/Upstreams")?
                .as_array()
        })
        .flatten()
        .map(|u| text(u, "DestinationName").to_string())
        .collect();
    let words = words(job, groups);
    let mut found: BTreeSet<PortionId> =
        declared.iter().flat_map(|p| p.depends_on.clone()).collect();
    for (id, names) in all.iter().filter(|(id, _)| id != me) {
        if names
            .iter()
            .any(|n| upstreams.contains(n) || words.contains(n))
        {
            found.insert(id.clone());
        }
    }
    found.into_iter().collect()
}

/// Every word of the groups' arguments, environment and templates; a service named there is depended upon.
fn words(job: &JobSpec, groups: &[Group]) -> BTreeSet<String> {
    fn walk(v: &Value, into: &mut BTreeSet<String>) {
        match v {
            Value::String(s) => into.extend(
                s.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'))
                    .map(str::to_string),
            ),
            Value::Array(a) => a.iter().for_each(|v| walk(v, into)),
            Value::Object(o) => o.values().for_each(|v| walk(v, into)),
            _ => {}
        }
    }
    let mut into = BTreeSet::new();
    for task in groups
        .iter()
        .filter_map(|g| job.group(g))
        .flat_map(|g| list(g, "Tasks"))
    {
        for key in ["Config", "Env", "Templates"] {
            if let Some(v) = task.get(key) {
                walk(v, &mut into);
            }
        }
    }
    into
}
