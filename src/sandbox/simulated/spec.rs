//! What the simulated estate is made of, from a policy and its jobs: portions as stations, nodes as machines.

use super::queue::Station;
use crate::load::shop;
use crate::model::*;
use crate::sandbox::block::Block;
use crate::sandbox::estate::{Estate, NodeSpec, SiteKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// CPU that a request takes of a job that does not say it with `--cpu-ms`, in milliseconds at the reference clock.
const CPU_MS: f64 = 2.0;
/// Portions for which three nodes a site are enough; beyond, a node more for every five.
const FEW: usize = 15;

/// A portion as the world runs it.
#[derive(Clone, Debug)]
pub struct Part {
    pub id: PortionId,
    pub policy: PortionPolicy,
    pub group: Group,
    pub service: ServiceName,
    pub needs: Resources,
    /// MHz·s of CPU a request.
    pub cost: f64,
    /// Portions it calls, by number, and whether it can do without.
    pub calls: Vec<(usize, bool)>,
    /// Clients call it; the others are called by portions.
    pub root: bool,
    /// Requests to it for each request of the trace.
    pub times: f64,
    pub volumes: BTreeSet<String>,
    pub sites: BTreeSet<Site>,
    /// From its placement until it can answer, on average.
    pub startup: f64,
}

impl Part {
    /// One instance with so many MHz on a core of that clock.
    pub fn station(&self, cpu: f64, clock: f64) -> Station {
        let servers = (cpu / clock.max(1.0)).floor().max(1.0);
        Station {
            servers,
            service: servers * self.cost / cpu.max(1.0),
        }
    }
}

pub struct Spec {
    pub policy: Policy,
    pub jobs: BTreeMap<JobId, JobSpec>,
    pub parts: Vec<Part>,
    /// Numbers of the parts, callers before what they call.
    pub order: Vec<usize>,
    pub nodes: Vec<Node>,
    pub links: Vec<Link>,
    pub edges: Vec<Site>,
}

impl Spec {
    /// `given` are the live jobs; a job of the policy that is not among them is made up: two instances a group.
    pub fn new(policy: Policy, given: Vec<JobSpec>) -> Spec {
        let mut jobs: BTreeMap<JobId, JobSpec> = given.into_iter().map(|j| (j.id(), j)).collect();
        let wanted: BTreeSet<JobId> = policy.portions.iter().map(|p| p.job.clone()).collect();
        for id in wanted {
            jobs.entry(id.clone())
                .or_insert_with(|| made_up(&policy, &id));
        }
        jobs.retain(|id, _| policy.portions.iter().any(|p| &p.job == id));
        let mut parts: Vec<Part> = policy.portions.iter().map(|p| part(p, &jobs)).collect();
        wire(&mut parts, &jobs);
        let order = order(&parts);
        for at in &order {
            let (times, calls) = (parts[*at].times, parts[*at].calls.clone());
            calls.iter().for_each(|(to, _)| parts[*to].times += times);
        }
        let estate = Estate::builtin(Block::default());
        let edges = estate.sites.iter().filter(|s| s.kind == SiteKind::Edge);
        Spec {
            edges: edges.map(|s| s.name.clone()).collect(),
            nodes: nodes(&estate, policy.portions.len()),
            links: links(&estate),
            policy,
            jobs,
            parts,
            order,
        }
    }

    /// Round trip between two sites, in seconds.
    pub fn way(&self, a: &Site, b: &Site) -> f64 {
        let joins = |l: &&Link| (&l.from, &l.to) == (a, b) || (&l.from, &l.to) == (b, a);
        let link = self.links.iter().find(joins);
        link.map_or(0.0005, |l| l.rtt.0 / 1000.0)
    }
}

fn part(policy: &PortionPolicy, jobs: &BTreeMap<JobId, JobSpec>) -> Part {
    let job = &jobs[&policy.job];
    let group = policy.groups.first().cloned();
    let group = group.unwrap_or_else(|| Group::new(policy.id.as_str()));
    let needs = policy.groups.iter().map(|g| job.needs(g));
    let args = args(job, &group);
    let ms = after(&args, "--cpu-ms").and_then(|v| v.parse().ok());
    let sites = list(&job.0, "Datacenters").filter_map(Json::as_str);
    // Fetching and warming up differ from program to program, not from run to run: the name decides.
    let draw = policy.id.as_str().bytes().fold(7u64, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    Part {
        id: policy.id.clone(),
        service: policy
            .front
            .clone()
            .unwrap_or_else(|| ServiceName::new(policy.id.as_str())),
        needs: needs.fold(Resources::default(), Resources::plus),
        cost: ms.unwrap_or(CPU_MS) / 1000.0 * shop::REFERENCE_MHZ,
        calls: Vec::new(),
        root: true,
        times: 0.0,
        volumes: job.host_volumes(&group),
        sites: sites.map(Site::from).collect(),
        startup: 8.0 + (draw % 1_000) as f64 / 1_000.0 * 12.0,
        policy: policy.clone(),
        group,
    }
}

fn args(job: &JobSpec, group: &Group) -> Vec<String> {
    let tasks = job.group(group).into_iter().flat_map(|g| list(g, "Tasks"));
    let args = tasks
        .filter_map(|t| t.get("Config"))
        .flat_map(|c| list(c, "args"));
    args.filter_map(Json::as_str).map(str::to_string).collect()
}

fn after<'a>(args: &'a [String], name: &str) -> Option<&'a str> {
    let at = args.iter().position(|a| a == name)?;
    args.get(at + 1).map(String::as_str)
}

/// Who calls whom, as the policy says; a call that its caller's `--soft-upstream` names may fail.
fn wire(parts: &mut [Part], jobs: &BTreeMap<JobId, JobSpec>) {
    let number: BTreeMap<PortionId, usize> = parts
        .iter()
        .enumerate()
        .map(|(n, p)| (p.id.clone(), n))
        .collect();
    for at in 0..parts.len() {
        let args = args(&jobs[&parts[at].policy.job], &parts[at].group);
        let soft = |service: &ServiceName| {
            args.windows(2)
                .any(|w| w[0] == "--soft-upstream" && w[1] == service.as_str())
        };
        let called = parts[at]
            .policy
            .depends_on
            .iter()
            .filter_map(|d| number.get(d));
        let calls: Vec<(usize, bool)> = called.map(|n| (*n, soft(&parts[*n].service))).collect();
        calls.iter().for_each(|(n, _)| parts[*n].root = false);
        parts[at].calls = calls;
    }
    for part in parts.iter_mut() {
        part.times = if part.root { 1.0 } else { 0.0 };
    }
}

/// Callers first. Of a circle of calls, the one that is met first.
fn order(parts: &[Part]) -> Vec<usize> {
    fn visit(at: usize, parts: &[Part], seen: &mut [bool], out: &mut Vec<usize>) {
        if std::mem::replace(&mut seen[at], true) {
            return;
        }
        parts[at]
            .calls
            .iter()
            .for_each(|(to, _)| visit(*to, parts, seen, out));
        out.push(at);
    }
    let (mut seen, mut out) = (vec![false; parts.len()], Vec::new());
    (0..parts.len()).for_each(|at| visit(at, parts, &mut seen, &mut out));
    out.reverse();
    out
}

fn made_up(policy: &Policy, id: &JobId) -> JobSpec {
    let ours = policy.portions.iter().filter(|p| &p.job == id);
    let groups = ours.flat_map(|p| p.groups.iter().map(move |g| (p, g)));
    let groups: Vec<Value> = groups
        .map(|(p, group)| {
            json!({
                "Name": group.as_str(), "Count": 2,
                "EphemeralDisk": {"SizeMB": 50},
                "Networks": [{"DynamicPorts": [{"Label": p.port}]}],
                "Tasks": [{
                    "Name": group.as_str(), "Driver": "raw_exec",
                    "Config": {"command": "foreshadow", "args": ["shop-service", "--name", group.as_str()]},
                    "Resources": {"CPU": 100, "MemoryMB": 32},
                }],
            })
        })
        .collect();
    JobSpec::new(json!({
        "ID": id.as_str(), "Name": id.as_str(), "Type": "service",
        "Datacenters": ["edge-a", "edge-b"], "Meta": {"release": "1"}, "TaskGroups": groups,
    }))
}

/// The built-in estate's nodes, and as many more of the same kind at each site as so many portions need.
fn nodes(estate: &Estate, portions: usize) -> Vec<Node> {
    let each = if portions <= FEW {
        3
    } else {
        portions.div_ceil(5)
    };
    let mut out = Vec::new();
    for site in &estate.sites {
        for n in 0..each {
            let spec = &site.nodes[n % site.nodes.len()];
            out.push(node(spec, site.kind, n + 1));
        }
    }
    out
}

fn node(spec: &NodeSpec, kind: SiteKind, number: usize) -> Node {
    let name = format!("{}-{number}", spec.site);
    let volumes = if number <= 3 {
        spec.host_volumes.clone()
    } else {
        BTreeSet::new()
    };
    Node {
        id: NodeId::new(format!("{:08x}-{name}", number * 0x0001_0001)),
        name: name.into(),
        site: spec.site.clone(),
        class: spec.class.clone(),
        status: NodeStatus::Ready,
        eligible: true,
        draining: false,
        capacity: Resources {
            cpu: Mhz(spec.clock.0 * f64::from(spec.cores)),
            memory: spec.memory,
            disk: spec.disk,
            network: spec.network,
        },
        clock: spec.clock,
        price: spec.price,
        host_volumes: volumes,
        meta: Shared::new(BTreeMap::from([
            ("kind".into(), kind.as_str().into()),
            ("price".into(), spec.price.0.to_string()),
        ])),
    }
}

fn links(estate: &Estate) -> Vec<Link> {
    let mut out = Vec::new();
    for a in &estate.sites {
        for b in estate.sites.iter().filter(|b| a.number < b.number) {
            out.push(Link {
                from: a.name.clone(),
                to: b.name.clone(),
                rtt: Millis(estate.round_trip(a.number, b.number).0 as f64),
            });
        }
    }
    out
}
