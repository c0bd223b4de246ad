//! Puts the planner's wishes as an instance of the placement problem, and reads the solver's answer back as nodes.

use super::scene::Scene;
use crate::model::*;
use crate::placement::{self, Instance, Options, Problem};
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

/// Candidates are usable nodes of allowed sites that have room; the cost of one is the price of what is reserved, more
/// where it is far or poorly known. The answer is the solver's; only its reading is ours.
pub fn choose<'a>(scene: &Scene<'a>, asks: &[Ask]) -> Vec<Places<'a>> {
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
    let instance = instance(scene, &nodes, asks);
    let problem = match Problem::new(instance) {
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
            missing: (chosen.len() < ask.k).then(|| {
                let short = ask.k - chosen.len();
                format!(
                    "{short} of {} cannot be placed: no other site has room for {} and {}",
                    ask.k, ask.needs.cpu, ask.needs.memory
                )
            }),
        })
        .collect()
}

fn instance(scene: &Scene, nodes: &[&Node], asks: &[Ask]) -> Instance {
    let mut sites: Vec<&Site> = nodes.iter().map(|n| &n.site).collect();
    sites.sort();
    sites.dedup();
    // A portion without a home that is up fails with a domain of its own, in which no node is.
    let nowhere = sites.len();
    let domain = |site: &Site| sites.iter().position(|s| *s == site);
    let free = free(scene, nodes);
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
        resources: ["cpu_mhz", "mem_mb", "disk_mb"].map(String::from).to_vec(),
        nodes: nodes
            .iter()
            .zip(&free)
            .map(|(n, free)| placement::Node {
                id: n.id.to_string(),
                domain: domain(&n.site).unwrap_or(nowhere),
                free: amounts(free),
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
                reserve: amounts(&ask.needs),
                active: amounts(&ask.needs),
                candidates: candidates(scene, nodes, &free, ask),
                unplaced_penalty: UNPLACED,
            })
            .collect(),
        domains,
    }
}

fn amounts(r: &Resources) -> Vec<i64> {
    [r.cpu.0, r.memory.0, r.disk.0]
        .map(|v| v.max(0.0) as i64)
        .to_vec()
}

/// Node resources − what Nomad has allocated − what our accepted, not yet placed steps asked for.
fn free(scene: &Scene, nodes: &[&Node]) -> Vec<Resources> {
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
        if let Action::PlaceStandby { node, needs, .. } = &step.action {
            let sum = held.entry(node).or_default();
            *sum = sum.plus(*needs);
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

fn candidates(scene: &Scene, nodes: &[&Node], free: &[Resources], ask: &Ask) -> Vec<(usize, i64)> {
    let stays = |site: &Site| match &ask.data {
        Data::Free => true,
        Data::Stays(sites) => sites.contains(site),
    };
    nodes
        .iter()
        .enumerate()
        .filter(|(j, n)| {
            free[*j].fits(&ask.needs)
                && !ask.taken.contains(&n.id)
                && ask.home.as_ref() != Some(&n.site)
                && stays(&n.site)
        })
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
