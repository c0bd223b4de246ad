//! Asks and standing standbys in the solver's terms: who may stand where, at what cost, over which links.

use super::distance::Ways;
use super::links::Links;
use super::places::{self, Ask, room};
use super::prospects::Homes;
use super::scene::Scene;
use crate::model::*;
use crate::placement::{self, Draw, Instance, Shared};
use std::collections::BTreeMap;

/// Prices and milliseconds become integers for the solver.
const SCALE: f64 = 1_000.0;
/// What a missing standby costs: more than any placement could.
const UNPLACED: i64 = 10_000_000;
/// What the solver is charged for a place of which nothing is known, in money an hour …
const NOTHING_KNOWN: f64 = 0.3;
/// … for one that carries nothing of what it should, and for one that takes the whole horizon to start.
const SHORT: f64 = 1.0;
const LATE: f64 = 0.1;
/// Flows beyond this, in kbit/s, count as this: 100 Gbit/s.
const LARGEST_FLOW: f64 = 1e8;
/// Bandwidth of a node that does not fingerprint it, in Mbit/s: more than anybody asks for.
const UNKEPT: f64 = 1e6;

/// What a place costs where a shadow failed its verdict: more than a move, less than no standby at all.
const SHUNNED: f64 = 30.0;

/// A standby that stands: it may move, which costs, or must not.
#[derive(Clone)]
pub struct Standing {
    pub job: JobId,
    pub node: NodeId,
    pub site: Site,
    /// Copies where it stands.
    pub size: usize,
    /// What one of them asks for.
    pub copy: Resources,
    /// It carries traffic, or is not needed any more: it stays until it goes.
    pub fixed: bool,
    /// It is on its way out already: what it holds will be free.
    pub leaving: bool,
    /// What all its copies hold, and where else they might stand.
    pub ask: Ask,
}

pub fn at(nodes: &[&Node], id: &NodeId) -> Option<usize> {
    nodes.iter().position(|n| &n.id == id)
}

pub fn sites<'a>(nodes: &[&'a Node]) -> Vec<&'a Site> {
    let mut sites: Vec<&Site> = nodes.iter().map(|n| &n.site).collect();
    sites.sort();
    sites.dedup();
    sites
}

/// What is free once everything that may move, or is about to go, is away.
pub fn freed(scene: &Scene, nodes: &[&Node], standing: &[Standing]) -> Vec<Resources> {
    let mut free = places::free(scene, nodes);
    for one in standing {
        if let Some(j) = at(nodes, &one.node) {
            free[j] = free[j].plus(one.ask.needs);
        }
    }
    free
}

/// Each limited link as capacities that the nodes at its two ends share, in kbit/s, one for the standbys of each end: they
/// take their part once the site that they stand for has failed, and the two sites do not fail at once.
pub fn shared(sites: &[&Site], asks: &[Ask], standing: &[Standing], links: &Links) -> Vec<Shared> {
    let kbit = |flow: Mbps| (flow.0 * 1000.0).clamp(0.0, LARGEST_FLOW);
    let over = |home: &Site, other: &Site| -> Vec<Draw> {
        let Some(domain) = sites.iter().position(|s| *s == other) else {
            return Vec::new();
        };
        let moving = standing.iter().map(|s| (&s.ask, Some(&s.site)));
        let all = asks.iter().map(|a| (a, None)).chain(moving).enumerate();
        // What stands over there is in the link's books already.
        let counts = |(_, (ask, now)): &(usize, (&Ask, Option<&Site>))| {
            ask.home.as_ref() == Some(home) && *now != Some(other)
        };
        all.filter(counts)
            .map(|(portion, (ask, _))| Draw {
                portion,
                node: None,
                domain: Some(domain),
                reserve: kbit(ask.flow).ceil() as i64,
                active: kbit(ask.flow).ceil() as i64,
            })
            .collect()
    };
    links
        .iter()
        .flat_map(|(a, b, left)| [(a, b, left), (b, a, left)])
        .map(|(home, other, left)| Shared {
            id: format!("link {home} – {other}"),
            unit: "kbit/s".into(),
            free: kbit(left).floor() as i64,
            draws: over(home, other),
        })
        .filter(|shared| !shared.draws.is_empty())
        .collect()
}

/// What goes within the horizon for sure.
pub fn certain<'a>(scene: &Scene<'a>) -> impl Iterator<Item = &'a Domain> + use<'a> {
    let hazards = scene.outlook.hazards.iter();
    hazards.filter(|h| h.within.0 >= 1.0).map(|h| &h.domain)
}

/// A node that goes within the horizon for sure: what stands there goes with it.
pub fn goes(scene: &Scene, node: &Node) -> bool {
    certain(scene).any(|d| d.holds(&node.id, &node.site))
}

/// Whether a standby there had better stand elsewhere: the node is drained, closed or goes.
pub fn leaves(scene: &Scene, node: &NodeId) -> bool {
    let node = scene.world.node(node);
    node.is_some_and(|n| n.status == NodeStatus::Ready && (!n.usable() || goes(scene, n)))
}

/// Whether the node may be chosen.
pub fn takes(scene: &Scene, ask: &Ask, node: &Node, free: &Resources, links: &Links) -> bool {
    bars(scene, ask, node, free, links).is_none()
}

/// What stands in the way of a candidate; `None` for one that may be chosen.
fn bars(
    scene: &Scene,
    ask: &Ask,
    node: &Node,
    free: &Resources,
    links: &Links,
) -> Option<&'static str> {
    let home = ask.home.as_ref();
    if home == Some(&node.site) {
        Some("in its own failure domain")
    } else if ask.within.as_ref().is_some_and(|s| s != &node.site) {
        Some("away from the clients that it is for")
    } else if ask.taken.contains(&node.id) {
        Some("with a copy already")
    } else if matches!(&ask.data, Data::Stays(sites) if !sites.contains(&node.site)) {
        Some("where its data may not be")
    } else if !ask.volumes.is_subset(&node.host_volumes) {
        Some("without its host volumes")
    } else if !ask.wants.allow(node) {
        Some("against its constraints")
    } else if goes(scene, node) {
        Some("about to go")
    } else if room(node, free, &ask.needs) == 0 {
        Some("without room")
    } else if home.is_some_and(|h| !links.fits(h, &node.site, ask.flow)) {
        Some("behind a link without capacity left")
    } else {
        None
    }
}

/// Names what binds: how many nodes each reason rules out, or what the solver says where none does.
pub fn unplaced(
    scene: &Scene,
    ask: &Ask,
    placed: usize,
    (nodes, free): (&[&Node], &[Resources]),
    links: &Links,
    solver: Option<&str>,
) -> String {
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for (node, free) in nodes.iter().zip(free) {
        if let Some(bar) = bars(scene, ask, node, free, links) {
            *tally.entry(bar).or_default() += 1;
        }
    }
    let mut reasons: Vec<String> = tally.iter().map(|(bar, n)| format!("{n} {bar}")).collect();
    if reasons.is_empty() {
        reasons.push(solver.unwrap_or("others need them more").to_string());
    }
    format!(
        "{} of {} cannot be placed ({}, {}, {} to its clients): of {} {}",
        ask.k - placed,
        ask.k,
        ask.needs.cpu,
        ask.needs.memory,
        ask.flow,
        counted(nodes.len(), "node"),
        reasons.join(", ")
    )
}

/// The asks, then each standing standby as a portion of its own, so that any of them may stay where it is.
pub fn instance(
    scene: &Scene,
    nodes: &[&Node],
    asks: &[Ask],
    standing: &[Standing],
    homes: &Homes,
    links: &Links,
) -> Instance {
    let sites = sites(nodes);
    let free = freed(scene, nodes, standing);
    let ways = ways(scene);
    let domain = |site: &Site| sites.iter().position(|s| *s == site).unwrap_or(0);
    let names = sites.iter().map(|s| s.to_string()).chain(homes.names());
    let asked = asks.iter().enumerate().map(|(i, ask)| {
        let places = candidates((scene, &ways), nodes, &free, ask, links);
        portion(format!("{} {i}", ask.portion), ask.k, ask, homes, places)
    });
    let stands = standing.iter().map(|one| {
        let places = stays((scene, &ways), nodes, &free, one, links);
        let k = usize::from(!one.leaving);
        portion(one.job.to_string(), k, &one.ask, homes, places)
    });
    Instance {
        format: placement::FORMAT.into(),
        name: scene.plan.to_string(),
        resources: ["cpu_mhz", "mem_mb", "disk_mb", "net_mbit"]
            .map(String::from)
            .to_vec(),
        nodes: nodes
            .iter()
            .zip(&free)
            .map(|(n, free)| placement::Node {
                id: n.id.to_string(),
                domain: domain(&n.site),
                free: left(n, free),
                open_cost: (n.price.0 * SCALE / 20.0) as i64,
            })
            .collect(),
        portions: asked.chain(stands).collect(),
        domains: names
            .map(|id| placement::Domain {
                id,
                kind: String::new(),
            })
            .collect(),
    }
}

fn portion(
    id: String,
    k: usize,
    ask: &Ask,
    homes: &Homes,
    candidates: Vec<(usize, i64)>,
) -> placement::Portion {
    placement::Portion {
        id,
        k: k as i64,
        primary_node: None,
        primary_domain: homes.domain(&ask.portion),
        reserve: asked(&ask.needs),
        active: asked(&ask.needs),
        candidates,
        unplaced_penalty: UNPLACED,
    }
}

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

fn candidates(
    (scene, ways): (&Scene, &Ways),
    nodes: &[&Node],
    free: &[Resources],
    ask: &Ask,
    links: &Links,
) -> Vec<(usize, i64)> {
    nodes
        .iter()
        .enumerate()
        .filter(|(j, n)| bars(scene, ask, n, &free[*j], links).is_none())
        .map(|(j, n)| (j, cost(scene, ways, ask, n)))
        .collect()
}

/// Where a standing standby may be: where it is, unless that goes for sure, and elsewhere if it carries nothing.
fn stays(
    (scene, ways): (&Scene, &Ways),
    nodes: &[&Node],
    free: &[Resources],
    one: &Standing,
    links: &Links,
) -> Vec<(usize, i64)> {
    let mut out = match one.fixed {
        true => Vec::new(),
        false => candidates((scene, ways), nodes, free, &one.ask, links),
    };
    if let Some(j) = at(nodes, &one.node)
        && !out.iter().any(|c| c.0 == j)
        && (one.fixed || !goes(scene, nodes[j]))
    {
        out.push((j, cost(scene, ways, &one.ask, nodes[j])));
    }
    out
}

fn ways<'a>(scene: &Scene<'a>) -> Ways<'a> {
    Ways::new(scene.world, scene.policy, scene.portions)
}

fn cost(scene: &Scene, ways: &Ways, ask: &Ask, node: &Node) -> i64 {
    let part = ask.needs.cpu.0 / node.capacity.cpu.0.max(1.0);
    let price = node.price.0 * part;
    let rtt = ask
        .home
        .as_ref()
        .and_then(|home| scene.world.rtt(home, &node.site))
        .unwrap_or_default();
    // A millisecond of a tight SLO weighs more than one of a loose one.
    let far = (rtt.0 + ways.unmeasured(&ask.portion, &node.site).0) / ask.latency.0.max(1.0);
    let charge = charge(scene, ask, node);
    let hazards = scene.outlook.hazards.iter();
    let hazard = hazards
        .filter(|h| h.domain.holds(&node.id, &node.site))
        .map(|h| h.within.0)
        .sum::<f64>();
    let verdict = scene.verdict(&place(ask, node));
    let failed = verdict.is_some_and(|v| v.ruling == Ruling::Fail);
    let shunned = if failed { SHUNNED } else { 0.0 };
    // What an affinity is worth at most: as much as what is not known of a place.
    let disliked = 0.3 * (1.0 - ask.wants.liking(node)) / 2.0;
    ((price + far + charge + hazard + disliked + shunned) * SCALE) as i64
}

fn place(ask: &Ask, node: &Node) -> ProfileKey {
    ProfileKey {
        portion: ask.portion.clone(),
        release: ask.release.clone(),
        site: node.site.clone(),
        class: node.class.clone(),
    }
}

/// What a place is charged for what shadows know of it: for the part of the load that it cannot be counted on to carry
/// there, for what is unknown besides, and for the part of the horizon that it may take to start.
fn charge(scene: &Scene, ask: &Ask, node: &Node) -> f64 {
    let Some(known) = scene.known.get(&place(ask, node)) else {
        return if ask.hopeful { 0.0 } else { NOTHING_KNOWN };
    };
    let (carries, starts, unsure) = match ask.hopeful {
        true => (known.knee.high, known.startup.low, 0.0),
        false => (known.knee.low, known.startup.high, known.knee.unsure()),
    };
    let asked = ask.rate.0 / scene.appetite.load_factor;
    let short = (1.0 - carries / asked.max(0.1)).clamp(0.0, 1.0);
    let late = (starts / scene.policy.horizon.0.max(1) as f64).clamp(0.0, 1.0);
    SHORT * short + NOTHING_KNOWN * unsure + LATE * late
}

/// What the plan counts on there, in words: `; counts on 24.1 rps there of 28.0 believed (…)`.
pub fn trust(scene: &Scene, portion: &PortionId, node: &Node) -> String {
    let calls = ways(scene).unmeasured(portion, &node.site);
    let calls = match calls.0 >= 0.05 {
        true => format!("; {calls} to what it calls"),
        false => String::new(),
    };
    let Some(known) = scene.known_at(portion, &node.site, &node.class) else {
        return format!("; nothing is known of it on any node yet{calls}");
    };
    format!(
        "; counts on {} there of {} believed and {:.1} s to start of {:.1} ({}){calls}",
        Rps(known.knee.low),
        Rps(known.knee.middle),
        known.startup.high / 1000.0,
        known.startup.middle / 1000.0,
        known.source()
    )
}
