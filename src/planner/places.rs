//! Puts the planner's wishes as an instance of the placement problem, and reads the solver's answer back as nodes.

use super::links::Links;
use super::scene::Scene;
use crate::model::*;
use crate::placement::{self, Conditions, Draw, Instance, Options, Problem, Shared};
use std::collections::{BTreeMap, BTreeSet};

/// Annealing iterations for one plan: the instances are small, and the answer must not depend on the clock.
const ITERATIONS: u64 = 20_000;
/// Prices and milliseconds become integers for the solver.
const SCALE: f64 = 1_000.0;
/// What a missing standby costs: more than any placement could.
const UNPLACED: i64 = 10_000_000;

/// `k` standbys of a portion, outside of `home` (its failure domain) and not on the nodes it has `taken`.
pub struct Ask {
    pub portion: PortionId,
    pub release: Release,
    pub k: usize,
    pub needs: Resources,
    /// Host volumes that the node must offer.
    pub volumes: BTreeSet<String>,
    /// What one of them puts on the link between home and where it stands.
    pub flow: Mbps,
    pub home: Option<Site>,
    pub taken: BTreeSet<NodeId>,
    pub data: Data,
    pub latency: Millis,
}

/// Where they go, and one sentence for what cannot be placed.
#[derive(Clone, Debug, Default)]
pub struct Places<'a> {
    pub nodes: Vec<&'a Node>,
    pub missing: Option<String>,
}

/// What a copy of the portion asks of Nomad; `None` while its job is unknown.
pub fn needs(scene: &Scene, portion: &PortionPolicy) -> Option<Resources> {
    let job = scene.world.job(&portion.job)?;
    let needs = portion.groups.iter().map(|g| job.needs(g));
    Some(needs.fold(Resources::default(), Resources::plus))
}

/// Host volumes that a copy of the portion mounts.
pub fn volumes(scene: &Scene, portion: &PortionPolicy) -> BTreeSet<String> {
    let job = scene.world.job(&portion.job);
    let groups = portion.groups.iter();
    job.into_iter()
        .flat_map(|job| groups.clone().flat_map(|g| job.host_volumes(g)))
        .collect()
}

/// How many more copies of `needs` the node takes, of which `free` is left.
pub fn room(node: &Node, free: &Resources, needs: &Resources) -> usize {
    free.times_fits(needs, node.capacity.network.0 > 0.0)
}

/// Candidates are usable nodes of allowed sites that have room, behind links that have some left; the cost of one is the
/// price of what is reserved, more where it is far or poorly known. The answer is the solver's; only its reading is ours.
pub fn choose<'a>(scene: &Scene<'a>, asks: &[Ask], links: &Links) -> Vec<Places<'a>> {
    let nodes: Vec<&Node> = scene
        .world
        .nodes
        .value()
        .into_iter()
        .flatten()
        .filter(|n| n.usable() && scene.policy.sites.contains(&n.site))
        .collect();
    let refuse = |why: &str| {
        let missing = Some(why.to_string());
        vec![
            Places {
                nodes: Vec::new(),
                missing,
            };
            asks.len()
        ]
    };
    if nodes.is_empty() {
        return refuse("no node of the allowed sites is usable");
    }
    let free = free(scene, &nodes);
    let instance = instance(scene, &nodes, &free, asks, links);
    let conditions = Conditions {
        shared: shared(&nodes, asks, links),
        ..Conditions::default()
    };
    let problem = match Problem::with(instance, conditions) {
        Ok(problem) => problem,
        Err(e) => return refuse(&e.to_string()),
    };
    let options = Options {
        iterations: Some(ITERATIONS),
        seed: scene.seed,
        ..Options::default()
    };
    let answer = placement::solve(&problem, &options, &|| false);
    asks.iter()
        .zip(&answer.standbys)
        .map(|(ask, chosen)| Places {
            nodes: chosen.iter().map(|j| nodes[*j]).collect(),
            missing: (chosen.len() < ask.k)
                .then(|| unplaced(ask, chosen.len(), &nodes, &free, links)),
        })
        .collect()
}

/// Each limited link as a capacity that the nodes at its two ends share, in kbit/s: a standby takes its part once the site
/// that it stands for has failed.
fn shared(nodes: &[&Node], asks: &[Ask], links: &Links) -> Vec<Shared> {
    let sites = sites(nodes);
    let kbit = |flow: Mbps| (flow.0 * 1000.0).clamp(0.0, LARGEST_FLOW);
    let over = |a: &Site, b: &Site| -> Vec<Draw> {
        let asked = asks.iter().enumerate();
        asked
            .filter_map(|(portion, ask)| {
                let home = ask.home.as_ref()?;
                let other = if home == a {
                    b
                } else if home == b {
                    a
                } else {
                    return None;
                };
                Some(Draw {
                    portion,
                    node: None,
                    domain: Some(sites.iter().position(|s| *s == other)?),
                    reserve: 0,
                    active: kbit(ask.flow).ceil() as i64,
                })
            })
            .collect()
    };
    links
        .iter()
        .map(|(a, b, left)| Shared {
            id: format!("link {a} – {b}"),
            unit: "kbit/s".into(),
            free: kbit(left).floor() as i64,
            draws: over(a, b),
        })
        .filter(|shared| !shared.draws.is_empty())
        .collect()
}

/// Flows beyond this, in kbit/s, count as this: 100 Gbit/s.
const LARGEST_FLOW: f64 = 1e8;

fn sites<'a>(nodes: &[&'a Node]) -> Vec<&'a Site> {
    let mut sites: Vec<&Site> = nodes.iter().map(|n| &n.site).collect();
    sites.sort();
    sites.dedup();
    sites
}

/// What stands in the way of a candidate; `None` for one that may be chosen.
fn bars(ask: &Ask, node: &Node, free: &Resources, links: &Links) -> Option<&'static str> {
    let home = ask.home.as_ref();
    if home == Some(&node.site) {
        Some("in its own failure domain")
    } else if ask.taken.contains(&node.id) {
        Some("with a copy already")
    } else if matches!(&ask.data, Data::Stays(sites) if !sites.contains(&node.site)) {
        Some("where its data may not be")
    } else if !ask.volumes.is_subset(&node.host_volumes) {
        Some("without its host volumes")
    } else if room(node, free, &ask.needs) == 0 {
        Some("without room")
    } else if home.is_some_and(|h| !links.fits(h, &node.site, ask.flow)) {
        Some("behind a link without capacity left")
    } else {
        None
    }
}

/// Names what binds: how many nodes each reason rules out.
fn unplaced(
    ask: &Ask,
    placed: usize,
    nodes: &[&Node],
    free: &[Resources],
    links: &Links,
) -> String {
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for (node, free) in nodes.iter().zip(free) {
        if let Some(bar) = bars(ask, node, free, links) {
            *tally.entry(bar).or_default() += 1;
        }
    }
    let reasons: Vec<String> = tally.iter().map(|(bar, n)| format!("{n} {bar}")).collect();
    let reasons = if reasons.is_empty() {
        "others need them more".to_string()
    } else {
        reasons.join(", ")
    };
    format!(
        "{} of {} cannot be placed ({}, {}, {} to its clients): of {} nodes {reasons}",
        ask.k - placed,
        ask.k,
        ask.needs.cpu,
        ask.needs.memory,
        ask.flow,
        nodes.len()
    )
}

fn instance(
    scene: &Scene,
    nodes: &[&Node],
    free: &[Resources],
    asks: &[Ask],
    links: &Links,
) -> Instance {
    let sites = sites(nodes);
    // A portion without a home that is up fails with a domain of its own, in which no node is.
    let nowhere = sites.len();
    let domain = |site: &Site| sites.iter().position(|s| *s == site);
    let mut domains: Vec<placement::Domain> = sites
        .iter()
        .map(|s| placement::Domain {
            id: s.to_string(),
            kind: String::new(),
        })
        .collect();
    domains.push(placement::Domain {
        id: "nowhere".into(),
        kind: String::new(),
    });
    Instance {
        format: placement::FORMAT.into(),
        name: scene.plan.to_string(),
        resources: ["cpu_mhz", "mem_mb", "disk_mb", "net_mbit"]
            .map(String::from)
            .to_vec(),
        nodes: nodes
            .iter()
            .zip(free)
            .map(|(n, free)| placement::Node {
                id: n.id.to_string(),
                domain: domain(&n.site).unwrap_or(nowhere),
                free: left(n, free),
                open_cost: (n.price.0 * SCALE / 20.0) as i64,
            })
            .collect(),
        portions: asks
            .iter()
            .map(|ask| placement::Portion {
                id: ask.portion.to_string(),
                k: ask.k as i64,
                primary_node: None,
                primary_domain: ask.home.as_ref().and_then(domain).unwrap_or(nowhere),
                reserve: asked(&ask.needs),
                active: asked(&ask.needs),
                candidates: candidates(scene, nodes, free, ask, links),
                unplaced_penalty: UNPLACED,
            })
            .collect(),
        domains,
    }
}

/// Bandwidth of a node that does not fingerprint it, in Mbit/s: more than anybody asks for.
const UNKEPT: f64 = 1e6;

fn left(node: &Node, free: &Resources) -> Vec<i64> {
    let network = if node.capacity.network.0 > 0.0 {
        free.network.0
    } else {
        UNKEPT
    };
    [free.cpu.0, free.memory.0, free.disk.0, network]
        .map(|v| v.max(0.0).floor() as i64)
        .to_vec()
}

fn asked(r: &Resources) -> Vec<i64> {
    [r.cpu.0, r.memory.0, r.disk.0, r.network.0]
        .map(|v| v.max(0.0).ceil() as i64)
        .to_vec()
}

/// Node resources − what Nomad has allocated − what our accepted, not yet placed steps asked for.
pub fn free(scene: &Scene, nodes: &[&Node]) -> Vec<Resources> {
    let mut held: BTreeMap<&NodeId, Resources> = BTreeMap::new();
    for alloc in scene
        .world
        .allocs
        .value()
        .into_iter()
        .flatten()
        .filter(|a| a.holds())
    {
        let sum = held.entry(&alloc.node).or_default();
        *sum = sum.plus(alloc.resources);
    }
    for step in &scene.inflight {
        match &step.action {
            Action::PlaceStandby { node, needs, .. } => {
                let sum = held.entry(node).or_default();
                *sum = sum.plus(*needs);
            }
            Action::Scale {
                job,
                group,
                from,
                to,
            } => {
                let allocs = scene.world.allocs.value().into_iter().flatten();
                if let Some(on) = allocs.into_iter().find(|a| &a.job == job && a.holds()) {
                    let needs = scene.world.job(job).map(|j| j.needs(group));
                    let more = needs
                        .unwrap_or_default()
                        .times(to.saturating_sub(*from) as f64);
                    let sum = held.entry(&on.node).or_default();
                    *sum = sum.plus(more);
                }
            }
            _ => {}
        }
    }
    nodes
        .iter()
        .map(|n| {
            n.capacity
                .minus(held.get(&n.id).copied().unwrap_or_default())
        })
        .collect()
}

fn candidates(
    scene: &Scene,
    nodes: &[&Node],
    free: &[Resources],
    ask: &Ask,
    links: &Links,
) -> Vec<(usize, i64)> {
    nodes
        .iter()
        .enumerate()
        .filter(|(j, n)| bars(ask, n, &free[*j], links).is_none())
        .map(|(j, n)| (j, cost(scene, ask, n)))
        .collect()
}

fn cost(scene: &Scene, ask: &Ask, node: &Node) -> i64 {
    let part = ask.needs.cpu.0 / node.capacity.cpu.0.max(1.0);
    let price = node.price.0 * part;
    let rtt = ask
        .home
        .as_ref()
        .and_then(|home| scene.world.rtt(home, &node.site))
        .unwrap_or_default();
    // A millisecond of a tight SLO weighs more than one of a loose one.
    let far = rtt.0 / ask.latency.0.max(1.0);
    let key = ProfileKey {
        portion: ask.portion.clone(),
        release: ask.release.clone(),
        site: node.site.clone(),
        class: node.class.clone(),
    };
    let unknown = match scene.beliefs.profile(&key) {
        None => 0.3,
        Some(p) => 0.3 * (p.knee_spread.0 / p.knee.0.max(0.1)).min(1.0),
    };
    let hazard = scene
        .outlook
        .hazards
        .iter()
        .filter(|h| {
            h.domain == Domain::Node(node.id.clone()) || h.domain == Domain::Site(node.site.clone())
        })
        .map(|h| h.within.0)
        .sum::<f64>();
    ((price + far + unknown + hazard) * SCALE) as i64
}
