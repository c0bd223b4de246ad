//! Puts the planner's wishes as an instance of the placement problem, and reads the solver's answer back as nodes.

use super::constraints::Wants;
use super::instances::Copies;
use super::links::Links;
use super::prospects::{self, Homes};
use super::scene::Scene;
use super::wishes::{self, Standing};
use crate::model::*;
use crate::placement::{self, Answer, Conditions, Options, Problem};
use std::collections::{BTreeMap, BTreeSet};

/// Annealing iterations for one plan: the instances are small, and the answer must not depend on the clock.
const ITERATIONS: u64 = 20_000;
/// What it costs to move a standby that stands, in the solver's units (a thousandth of money an hour): more than where it
/// stands could cost, less than one that has no place. It moves when it is in the way of another one, or heavily at risk.
const MOVE_COST: i64 = 20_000;

/// `k` standbys of a portion, outside of `home` (its failure domain) and not on the nodes it has `taken`.
#[derive(Clone)]
pub struct Ask {
    pub portion: PortionId,
    pub release: Release,
    pub k: usize,
    pub needs: Resources,
    /// What its job asks for: taken where `needs` finds no place.
    pub least: Resources,
    /// Host volumes that the node must offer.
    pub volumes: BTreeSet<String>,
    /// What the job wants of it besides.
    pub wants: Wants,
    /// What one of them puts on the link between home and where it stands.
    pub flow: Mbps,
    pub home: Option<Site>,
    /// Only there: it is for the clients of that site.
    pub within: Option<Site>,
    pub taken: BTreeSet<NodeId>,
    pub data: Data,
    pub latency: Millis,
    /// What one standby should carry of the demand.
    pub rate: Rps,
    /// Takes what is not known for as good as it may turn out: to ask where the portion would go if shadows found so.
    pub hopeful: bool,
}

/// Where they go, and one sentence for what cannot be placed.
#[derive(Clone, Debug, Default)]
pub struct Places<'a> {
    pub nodes: Vec<&'a Node>,
    pub needs: Resources,
    pub missing: Option<String>,
}

/// The solver's answer as the planner reads it.
#[derive(Default)]
pub struct Chosen<'a> {
    /// For each ask.
    pub asks: Vec<Places<'a>>,
    /// Standbys that had better stand elsewhere, by number, and where.
    pub moves: Vec<(usize, &'a Node)>,
    /// What goes unserved over the outlook's scenarios, in one sentence.
    pub unserved: Option<String>,
}

/// What a copy of the portion asks of Nomad; `None` while its job is unknown.
pub fn needs(scene: &Scene, portion: &PortionPolicy) -> Option<Resources> {
    let job = scene.world.job(&portion.job)?;
    Some(of_job(job, &portion.groups))
}

/// What one copy of these groups of a job asks for.
pub fn of_job(job: &JobSpec, groups: &[Group]) -> Resources {
    let needs = groups.iter().map(|g| job.needs(g));
    needs.fold(Resources::default(), Resources::plus)
}

/// Host volumes that a copy of the portion mounts.
pub fn volumes(scene: &Scene, portion: &PortionPolicy) -> BTreeSet<String> {
    let job = scene.world.job(&portion.job);
    let groups = portion.groups.iter();
    job.into_iter()
        .flat_map(|job| groups.clone().flat_map(|g| job.host_volumes(g)))
        .collect()
}

/// What its job's constraints and affinities ask of a node.
pub fn wants(scene: &Scene, portion: &PortionPolicy) -> Wants {
    let job = scene.world.job(&portion.job);
    job.map(|job| Wants::of(job, &portion.groups))
        .unwrap_or_default()
}

/// How many more copies of `needs` the node takes, of which `free` is left.
pub fn room(node: &Node, free: &Resources, needs: &Resources) -> usize {
    free.times_fits(needs, node.capacity.network.0 > 0.0)
}

/// Nodes that may hold standbys at all.
pub fn nodes<'a>(scene: &Scene<'a>) -> Vec<&'a Node> {
    let Some(all) = scene.world.nodes.value() else {
        return Vec::new();
    };
    let sites: BTreeSet<&Site> = scene.policy.sites.iter().collect();
    let nodes = sites.into_iter().flat_map(|site| all.of(site));
    let mut nodes: Vec<&Node> = nodes.filter(|n| n.usable()).collect();
    nodes.sort_by(|a, b| a.id.cmp(&b.id));
    nodes
}

/// Candidates are usable nodes of allowed sites that have room, behind links that have some left; the cost of one is the
/// price of what is reserved, more where it is far or poorly known, and over all what goes unserved in the outlook's
/// scenarios. What stands is where the search begins, and moving it costs. The answer is the solver's; only its reading is ours.
pub fn choose<'a>(
    scene: &Scene<'a>,
    asks: &[Ask],
    standing: &[Standing],
    copies: &BTreeMap<PortionId, Copies>,
    links: &Links,
) -> Chosen<'a> {
    let nodes = nodes(scene);
    let refuse = |why: &str| Chosen {
        asks: asks
            .iter()
            .map(|_| Places {
                missing: Some(why.to_string()),
                ..Places::default()
            })
            .collect(),
        ..Chosen::default()
    };
    if nodes.is_empty() {
        return refuse("no node of the allowed sites is usable");
    }
    let mut asks = asks.to_vec();
    let mut solved = match solve(scene, &nodes, &asks, standing, copies, links) {
        Ok(solved) => solved,
        Err(why) => return refuse(&why),
    };
    // What was measured to need more than its job asks for takes what there is rather than no place at all.
    let mut smaller = false;
    for (ask, chosen) in asks.iter_mut().zip(&solved.standbys) {
        if chosen.len() < ask.k && ask.needs != ask.least {
            ask.needs = ask.least;
            smaller = true;
        }
    }
    if smaller {
        solved = match solve(scene, &nodes, &asks, standing, copies, links) {
            Ok(solved) => solved,
            Err(why) => return refuse(&why),
        };
    }
    read(scene, &nodes, &asks, standing, links, &solved)
}

fn solve(
    scene: &Scene,
    nodes: &[&Node],
    asks: &[Ask],
    standing: &[Standing],
    copies: &BTreeMap<PortionId, Copies>,
    links: &Links,
) -> Result<Answer, String> {
    let mut count: BTreeMap<&PortionId, usize> = BTreeMap::new();
    for ask in asks {
        *count.entry(&ask.portion).or_default() += ask.k;
    }
    for one in standing {
        *count.entry(&one.ask.portion).or_default() += one.size;
    }
    let sites = wishes::sites(nodes);
    let homes = Homes::new(scene, &sites, copies, &count);
    let instance = wishes::instance(scene, nodes, asks, standing, &homes, links);
    let of: Vec<&PortionId> = asks
        .iter()
        .chain(standing.iter().map(|s| &s.ask))
        .map(|a| &a.portion)
        .collect();
    let conditions = Conditions {
        shared: wishes::shared(&sites, asks, standing, links),
        scenarios: homes.scenarios(&of),
        risk: prospects::risk(scene),
    };
    let warm: Vec<Vec<usize>> = asks
        .iter()
        .map(|_| Vec::new())
        .chain(
            standing
                .iter()
                .map(|s| wishes::at(nodes, &s.node).into_iter().collect()),
        )
        .collect();
    let problem = Problem::with(instance, conditions).map_err(|e| e.to_string())?;
    let options = Options {
        iterations: Some(ITERATIONS),
        seed: scene.seed,
        // A search that begins warm stays near; where nothing stands, there is nothing to stay near to.
        warm: (!standing.is_empty()).then_some(&warm),
        move_cost: MOVE_COST,
        ..Options::default()
    };
    Ok(placement::search(&problem, &options, &|| false))
}

/// For each ask, the nodes where the solver puts it (0) or could put it, by how much more the whole would then cost.
pub fn alternatives(
    scene: &Scene,
    nodes: &[&Node],
    asks: &[Ask],
    copies: &BTreeMap<PortionId, Copies>,
    links: &Links,
) -> Vec<Vec<(usize, i64)>> {
    let count = asks.iter().map(|a| (&a.portion, 1)).collect();
    let sites = wishes::sites(nodes);
    let homes = Homes::new(scene, &sites, copies, &count);
    let instance = wishes::instance(scene, nodes, asks, &[], &homes, links);
    let nowhere = || asks.iter().map(|_| Vec::new()).collect();
    let Ok(problem) = Problem::with(instance, Conditions::default()) else {
        return nowhere();
    };
    // Nothing of it is placed: a short search from nothing is near enough, without prices to guide it.
    let nothing: Vec<Vec<usize>> = asks.iter().map(|_| Vec::new()).collect();
    let options = Options {
        iterations: Some(ITERATIONS / 400),
        seed: scene.seed,
        threads: 1,
        warm: Some(&nothing),
        ..Options::default()
    };
    let answer = placement::search(&problem, &options, &|| false);
    placement::near(&problem, &answer)
}

fn read<'a>(
    scene: &Scene<'a>,
    nodes: &[&'a Node],
    asks: &[Ask],
    standing: &[Standing],
    links: &Links,
    answer: &Answer,
) -> Chosen<'a> {
    let free = wishes::freed(scene, nodes, standing);
    let solver = |i: usize| {
        answer
            .why_unplaced
            .iter()
            .find(|w| w.0 == i)
            .map(|w| w.1.as_str())
    };
    let of_asks = asks.iter().zip(&answer.standbys).enumerate();
    let asked = of_asks.map(|(i, (ask, chosen))| Places {
        nodes: chosen.iter().map(|j| nodes[*j]).collect(),
        needs: ask.needs,
        missing: (chosen.len() < ask.k)
            .then(|| wishes::unplaced(scene, ask, chosen.len(), (nodes, &free), links, solver(i))),
    });
    let of_standing = standing
        .iter()
        .zip(&answer.standbys[asks.len()..])
        .enumerate();
    let moves = of_standing.filter_map(|(k, (one, chosen))| {
        let to = nodes[*chosen.first()?];
        (to.id != one.node).then_some((k, to))
    });
    let held: f64 = asks.iter().map(|a| a.needs.cpu.0 * a.k as f64).sum::<f64>()
        + standing.iter().map(|s| s.ask.needs.cpu.0).sum::<f64>();
    Chosen {
        asks: asked.collect(),
        moves: moves.collect(),
        unserved: answer
            .unserved
            .as_ref()
            .map(|u| prospects::sentence(scene, u, held)),
    }
}

/// Node resources − what Nomad has allocated − what our accepted, not yet placed steps asked for.
pub fn free(scene: &Scene, nodes: &[&Node]) -> Vec<Resources> {
    let mut asked: BTreeMap<&NodeId, Resources> = BTreeMap::new();
    for step in &scene.inflight {
        match &step.action {
            Action::PlaceStandby { node, needs, .. } => {
                let sum = asked.entry(node).or_default();
                *sum = sum.plus(*needs);
            }
            Action::Scale {
                job,
                group,
                from,
                to,
            } => {
                if let Some(on) = scene.allocs_of(job).find(|a| a.holds()) {
                    let needs = scene.world.job(job).map(|j| j.needs(group));
                    let more = needs
                        .unwrap_or_default()
                        .times(to.saturating_sub(*from) as f64);
                    let sum = asked.entry(&on.node).or_default();
                    *sum = sum.plus(more);
                }
            }
            _ => {}
        }
    }
    nodes
        .iter()
        .map(|n| {
            let asked = asked.get(&n.id).copied().unwrap_or_default();
            n.capacity.minus(scene.census.held(&n.id).plus(asked))
        })
        .collect()
}
