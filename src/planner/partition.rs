//! Splits a workload into portions that can run on their own, with their dependencies and what binds them.

use super::together::Graph;
use super::{derive, egress, graph};
use crate::model::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
    /// Portions that it calls and that call it back, directly or through others, where they stay portions of their own.
    #[serde(default)]
    pub cycle: Vec<PortionId>,
    /// Why no shadow of it can run, if so.
    pub not_shadowable: Option<String>,
}

/// A portion in the making.
struct Set<'a> {
    id: PortionId,
    job: &'a JobSpec,
    groups: Vec<Group>,
    /// Portions that went into it, itself too.
    was: Vec<PortionId>,
    /// The policy names it: it stays a portion of its own unless storage binds it.
    named: bool,
    fused: Option<String>,
}

impl Set<'_> {
    fn take(&mut self, other: Set, why: String) {
        self.groups.extend(other.groups);
        self.was.extend(other.was);
        self.named |= other.named;
        self.fused = Some(why);
    }
}

/// The portions of one job; see [`workload`].
pub fn portions(job: &JobSpec, policy: Option<&Policy>) -> Vec<Portion> {
    workload(&[job], policy)
}

/// The portions of a workload's jobs: what the policy names (else each task group alone), fused where groups of a job share a
/// writable host volume or call each other in a cycle, with dependencies from the policy, Connect upstreams, and arguments,
/// environment or templates that name a service.
pub fn workload(jobs: &[&JobSpec], policy: Option<&Policy>) -> Vec<Portion> {
    let mut sets = declared(jobs, policy);
    by_volume(&mut sets);
    let mut calls = calls(&sets, policy);
    if by_cycle(&mut sets, &graph::cycles(&calls)) {
        calls = self::calls(&sets, policy);
    }
    let cycles = graph::cycles(&calls);
    let ids: Vec<PortionId> = sets.iter().map(|s| s.id.clone()).collect();
    let named = |at: &BTreeSet<usize>| at.iter().map(|j| ids[*j].clone()).collect::<Vec<_>>();
    let in_cycle = |i: usize| {
        let of = cycles.iter().find(|c| c.contains(&i)).into_iter().flatten();
        of.filter(|j| **j != i).map(|j| ids[*j].clone()).collect()
    };
    let known: BTreeSet<String> = sets.iter().flat_map(|s| provided(s, policy)).collect();
    let rows = sets.into_iter().enumerate();
    let mut found: Vec<Portion> = rows
        .map(|(i, set)| {
            let needs = set.groups.iter().map(|g| set.job.needs(g));
            let own = policy.and_then(|p| p.portion(&set.id));
            Portion {
                release: derive::release(set.job, &set.groups),
                needs: needs.fold(Resources::default(), Resources::plus),
                depends_on: named(&calls[i]),
                cycle: in_cycle(i),
                not_shadowable: obstacle(set.job, &set.groups, own)
                    .or_else(|| egress(&set, own, &known)),
                job: set.job.id(),
                id: set.id,
                groups: set.groups,
                fused: set.fused,
            }
        })
        .collect();
    if let Some(policy) = policy {
        along(&mut found, jobs, policy);
    }
    found
}

/// What is to be shadowed along with a portion and cannot be stands in its way too.
fn along(portions: &mut [Portion], jobs: &[&JobSpec], policy: &Policy) {
    let graph = Graph {
        portions: &*portions,
        policy,
        jobs: jobs.to_vec(),
    };
    let stand = |p: &Portion| graph.obstacle(&p.id);
    let found: Vec<Option<String>> = portions.iter().map(stand).collect();
    for (portion, obstacle) in portions.iter_mut().zip(found) {
        portion.not_shadowable = portion.not_shadowable.take().or(obstacle);
    }
}

/// What the policy names, and each other group alone.
fn declared<'a>(jobs: &[&'a JobSpec], policy: Option<&Policy>) -> Vec<Set<'a>> {
    let mut sets: Vec<Set> = Vec::new();
    for job in jobs {
        let own = policy.iter().flat_map(|p| &p.portions);
        for p in own.filter(|p| p.job == job.id()) {
            let why = (p.groups.len() > 1).then(|| "the policy couples its groups".to_string());
            sets.push(Set {
                id: p.id.clone(),
                job,
                groups: p.groups.clone(),
                was: vec![p.id.clone()],
                named: true,
                fused: why,
            });
        }
        for group in job.groups().map(|g| Group::new(text(g, "Name"))) {
            let here = |s: &Set| s.job.id() == job.id() && s.groups.contains(&group);
            if sets.iter().any(here) {
                continue;
            }
            let mut id = PortionId::new(group.as_str());
            if sets.iter().any(|s| s.id == id) {
                id = PortionId::new(format!("{}.{group}", job.id()));
            }
            sets.push(Set {
                was: vec![id.clone()],
                id,
                job,
                groups: vec![group],
                named: false,
                fused: None,
            });
        }
    }
    sets
}

fn text<'a>(v: &'a Json, key: &str) -> &'a str {
    v.get(key).and_then(Json::as_str).unwrap_or("")
}

/// Groups that write to the same host volume cannot part.
fn by_volume(sets: &mut Vec<Set>) {
    let mut i = 0;
    while i < sets.len() {
        let mine = writable(sets[i].job, &sets[i].groups);
        let shares = |s: &Set| {
            s.job.id() == sets[i].job.id() && !mine.is_disjoint(&writable(s.job, &s.groups))
        };
        match (i + 1..sets.len()).find(|j| shares(&sets[*j])) {
            Some(j) => {
                let gone = sets.remove(j);
                let theirs = writable(gone.job, &gone.groups);
                let shared: Vec<String> = mine.intersection(&theirs).cloned().collect();
                let why = format!(
                    "its groups write to the same host volume {}",
                    shared.join(", ")
                );
                sets[i].take(gone, why);
            }
            None => i += 1,
        }
    }
}

/// Groups of a job that call each other in a circle run and move together; portions that the policy names, or of several jobs,
/// stay apart. Whether anything was fused.
fn by_cycle(sets: &mut Vec<Set>, cycles: &[Vec<usize>]) -> bool {
    let mut gone: BTreeSet<usize> = BTreeSet::new();
    for cycle in cycles {
        for (at, i) in cycle.iter().enumerate() {
            let rest = cycle[at + 1..].iter().copied();
            let joins = |j: &usize| {
                let (a, b) = (&sets[*i], &sets[*j]);
                a.job.id() == b.job.id() && !(a.named && b.named) && !gone.contains(j)
            };
            let other = rest.filter(joins).collect::<Vec<_>>();
            if gone.contains(i) || other.is_empty() {
                continue;
            }
            // The one that the policy names gives the portion its name.
            let into = other.iter().copied().find(|j| sets[*j].named).unwrap_or(*i);
            for from in other.into_iter().chain([*i]).filter(|j| *j != into) {
                if sets[into].named && sets[from].named {
                    continue;
                }
                let taken = Set {
                    id: sets[from].id.clone(),
                    job: sets[from].job,
                    groups: std::mem::take(&mut sets[from].groups),
                    was: std::mem::take(&mut sets[from].was),
                    named: sets[from].named,
                    fused: None,
                };
                sets[into].take(taken, "its groups call each other in a circle".to_string());
                gone.insert(from);
            }
        }
    }
    let mut k = 0;
    sets.retain(|_| {
        k += 1;
        !gone.contains(&(k - 1))
    });
    !gone.is_empty()
}

/// For each set, those that it calls, by index.
fn calls(sets: &[Set], policy: Option<&Policy>) -> Vec<BTreeSet<usize>> {
    let provided: Vec<BTreeSet<String>> = sets.iter().map(|s| provided(s, policy)).collect();
    let one = |(i, set): (usize, &Set)| {
        let named = named(set);
        let declared: BTreeSet<&PortionId> = set
            .was
            .iter()
            .filter_map(|id| policy?.portion(id))
            .flat_map(|p| &p.depends_on)
            .collect();
        let calls = |j: &usize| {
            let asked = sets[*j].was.iter().any(|id| declared.contains(id));
            *j != i && (asked || !named.is_disjoint(&provided[*j]))
        };
        (0..sets.len()).filter(calls).collect()
    };
    sets.iter().enumerate().map(one).collect()
}

fn writable(job: &JobSpec, groups: &[Group]) -> BTreeSet<String> {
    groups.iter().flat_map(|g| job.written_volumes(g)).collect()
}

/// Why a shadow of it would touch what is production's.
fn obstacle(job: &JobSpec, groups: &[Group], declared: Option<&PortionPolicy>) -> Option<String> {
    for group in groups {
        if let Some(volume) = job.written_volumes(group).first() {
            let kind = job.volume_type(group, volume);
            return Some(format!(
                "it writes to the {kind} volume {volume}, which a shadow must not share"
            ));
        }
    }
    for group in groups.iter().filter_map(|g| job.group(g)) {
        if group
            .at(&["EphemeralDisk", "Sticky"])
            .and_then(Json::as_bool)
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

/// What it calls that nobody said anything about.
fn egress(set: &Set, own: Option<&PortionPolicy>, known: &BTreeSet<String>) -> Option<String> {
    let found = egress::undeclared(set.job, &set.groups, own?, known);
    let first = found.first()?;
    Some(format!(
        "it calls {}, which the policy does not declare; add upstream \"{first}\" {{ … }} to the portion",
        found.join(", ")
    ))
}

/// All objects of the groups' services (group and task level).
fn services<'a>(job: &'a JobSpec, groups: &'a [Group]) -> impl Iterator<Item = &'a Json> {
    groups
        .iter()
        .filter_map(|g| job.group(g))
        .flat_map(|g| list(g, "Services").chain(list(g, "Tasks").flat_map(|t| list(t, "Services"))))
}

/// Names under which clients find the set.
fn provided(set: &Set, policy: Option<&Policy>) -> BTreeSet<String> {
    let own = set.was.iter().filter_map(|id| policy?.portion(id));
    let fronts = own.filter_map(|p| Some(p.front.as_ref()?.to_string()));
    service_names(set.job, &set.groups)
        .into_iter()
        .chain(fronts)
        .collect()
}

/// Names of the groups' own services.
pub(super) fn service_names(job: &JobSpec, groups: &[Group]) -> BTreeSet<String> {
    let names = services(job, groups).map(|s| text(s, "Name").to_string());
    names.filter(|s| !s.is_empty()).collect()
}

/// The name of the groups' service at a port, or of their first.
pub(super) fn service_at(job: &JobSpec, groups: &[Group], port: &str) -> Option<String> {
    let named = || services(job, groups).filter(|s| !text(s, "Name").is_empty());
    let mut there = named().filter(|s| text(s, "PortLabel") == port);
    let found = there.next().or_else(|| named().next())?;
    Some(text(found, "Name").to_string())
}

fn named(set: &Set) -> BTreeSet<String> {
    called_names(set.job, &set.groups)
}

/// Connect upstreams, and every word in which a service may be named.
pub(super) fn called_names(job: &JobSpec, groups: &[Group]) -> BTreeSet<String> {
    let upstreams = services(job, groups)
        .filter_map(|s| {
            s.at(&["Connect", "SidecarService", "Proxy", "Upstreams"])?
                .as_array()
        })
        .flatten()
        .map(|u| text(u, "DestinationName").to_string());
    upstreams.chain(words(job, groups)).collect()
}

/// Every word of the groups' arguments, environment and templates; a service named there is depended upon.
fn words(job: &JobSpec, groups: &[Group]) -> BTreeSet<String> {
    fn walk(v: &Json, into: &mut BTreeSet<String>) {
        match v {
            Json::Text(s) => into.extend(
                s.split(|c: char| !(c.is_alphanumeric() || c == '-' || c == '_'))
                    .map(str::to_string),
            ),
            Json::List(a) => a.iter().for_each(|v| walk(v, into)),
            Json::Object(o) => o.values().for_each(|v| walk(v, into)),
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
