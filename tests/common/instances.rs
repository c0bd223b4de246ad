//! Placement instances of any size made from a seed: edge and provider sites on a map, portions beside their clients, and capacity
//! that is so many times what surviving any one site takes.
#![allow(dead_code)] // each binary that includes it uses a part

use foreshadow::placement::{Domain, FORMAT, Instance, Node, Portion};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// Cheapest candidates of a portion that are kept, besides the two cheapest of each site.
const CANDIDATES: usize = 40;

struct Site {
    edge: bool,
    at: (f64, f64),
}

/// What a portion wants before its candidates are known.
struct Wish {
    portion: Portion,
    at: (f64, f64),
    slo_ms: f64,
}

/// An instance of so many portions and nodes; the lower `tightness` (2.4 is roomy, 1.8 is tight), the less capacity.
pub fn made_up(portions: usize, nodes: usize, tightness: f64, seed: u64) -> Instance {
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(seed);
    let count = (nodes / 10).max(5);
    let edges = count * 2 / 5;
    let sites: Vec<Site> = (0..count)
        .map(|site| Site {
            edge: site < edges,
            at: (dice.random(), dice.random()),
        })
        .collect();
    let wishes: Vec<Wish> = (0..portions)
        .map(|number| wish(number, &sites, edges, &mut dice))
        .collect();
    let prices: Vec<f64> = (0..nodes)
        .map(|node| if sites[node % count].edge { 2.2 } else { 1.0 } * dice.random_range(0.8..1.25))
        .collect();
    let nodes = capacities(nodes, &sites, &wishes, tightness, &mut dice);
    let name = format!("made-up {portions}x{} seed {seed}", nodes.len());
    let placed = wishes
        .into_iter()
        .map(|wish| with_candidates(wish, &sites, &nodes, &prices));
    let portions = placed.collect();
    Instance {
        format: FORMAT.to_owned(),
        name,
        resources: ["cpu_mhz", "mem_mb", "net_mbps"]
            .map(str::to_owned)
            .to_vec(),
        domains: (0..count)
            .map(|site| Domain {
                id: format!("site-{site}"),
                kind: if sites[site].edge { "edge" } else { "provider" }.to_owned(),
            })
            .collect(),
        nodes,
        portions,
    }
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

fn latency(site: &Site, from: (f64, f64)) -> f64 {
    1.0 + 60.0 * distance(site.at, from) + if site.edge { 0.0 } else { 3.0 }
}

fn wish(number: usize, sites: &[Site], edges: usize, dice: &mut Xoshiro256PlusPlus) -> Wish {
    let near = &sites[dice.random_range(0..edges)];
    let mut beside = |x: f64| (x + dice.random_range(-0.15..0.15)).clamp(0.0, 1.0);
    let at = (beside(near.at.0), beside(near.at.1));
    let slo_ms = [25.0, 40.0, 40.0, 80.0, 80.0, 200.0][dice.random_range(0..6)];
    let cpu = (dice.random_range(5.4..8.2_f64)).exp().min(4_000.0);
    let mem = (cpu * f64::from(dice.random_range(1..5_u8)) * 0.9).min(12_000.0);
    let net = (5.0 - 50.0 * dice.random::<f64>().max(1e-6).ln()).min(250.0);
    let k = if dice.random_bool(0.3) { 2 } else { 1 };
    let warm = [0.1, 0.2, 0.3][dice.random_range(0..3)];
    let reserve = [cpu * warm, mem * (0.4 + warm), net * 0.1].map(|held| held.max(1.0) as i64);
    let grown = [1.5, 1.15, 1.6].map(|most: f64| dice.random_range(1.1..most));
    let active = (0..3).map(|r| {
        let wanted = [cpu, mem, net][r] * grown[r] / k as f64;
        (wanted.ceil() as i64).max(reserve[r])
    });
    let home =
        (0..sites.len()).min_by(|&a, &b| latency(&sites[a], at).total_cmp(&latency(&sites[b], at)));
    let portion = Portion {
        id: format!("p{number}"),
        k,
        primary_node: None,
        primary_domain: home.unwrap_or(0),
        reserve: reserve.to_vec(),
        active: active.collect(),
        candidates: Vec::new(),
        unplaced_penalty: 8_000 + 2 * cpu as i64,
    };
    Wish {
        portion,
        at,
        slo_ms,
    }
}

/// Nodes that together have `tightness` times what all standbys take when a typical site has failed.
fn capacities(
    count: usize,
    sites: &[Site],
    wishes: &[Wish],
    tightness: f64,
    dice: &mut Xoshiro256PlusPlus,
) -> Vec<Node> {
    let need: Vec<f64> = (0..3)
        .map(|r| {
            let of = |wish: &Wish| {
                let (held, active) = (
                    wish.portion.reserve[r] as f64,
                    wish.portion.active[r] as f64,
                );
                wish.portion.k as f64 * (held + (active - held) * 1.6 / sites.len() as f64)
            };
            wishes.iter().map(of).sum()
        })
        .collect();
    let largest = |r: usize| {
        wishes
            .iter()
            .map(|wish| wish.portion.active[r])
            .max()
            .unwrap_or(0)
    };
    let least: Vec<f64> = (0..3).map(|r| largest(r) as f64).collect();
    let sizes: Vec<f64> = (0..count)
        .map(|node| {
            let shapes: &[f64] = if sites[node % sites.len()].edge {
                &[1.0, 1.5]
            } else {
                &[2.0, 4.0, 6.0]
            };
            shapes[dice.random_range(0..shapes.len())]
        })
        .collect();
    let whole: f64 = sizes.iter().sum();
    (0..count)
        .map(|number| {
            let domain = number % sites.len();
            let edge = sites[domain].edge;
            let free = (0..3).map(|r| {
                let share =
                    tightness * need[r] * sizes[number] / whole * dice.random_range(0.7..1.3);
                share.max(least[r] * if edge { 0.5 } else { 1.05 }) as i64
            });
            Node {
                id: format!("n{number}"),
                domain,
                free: free.collect(),
                open_cost: (if edge { 250.0 } else { 450.0 } * dice.random_range(0.8..1.2)) as i64,
            }
        })
        .collect()
}

/// The portion with the nodes within its latency that could hold a standby; the latency is loosened until there are enough sites.
fn with_candidates(wish: Wish, sites: &[Site], nodes: &[Node], prices: &[f64]) -> Portion {
    let Wish {
        mut portion,
        at,
        mut slo_ms,
    } = wish;
    let mut fitting: Vec<(i64, usize, f64)> = nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.domain != portion.primary_domain)
        .filter(|(_, node)| {
            node.free
                .iter()
                .zip(&portion.active)
                .all(|(free, active)| free >= active)
        })
        .map(|(number, node)| {
            let ms = latency(&sites[node.domain], at);
            let held = portion.reserve[0] as f64 / 1_000.0 + portion.reserve[1] as f64 / 8_192.0;
            let cost = 1_000.0 * prices[number] * held + 20.0 * (ms - 10.0).max(0.0);
            (cost as i64, number, ms)
        })
        .collect();
    fitting.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)));
    loop {
        let mut seen = vec![0; sites.len()];
        portion.candidates.clear();
        for &(cost, number, ms) in &fitting {
            let there = &mut seen[nodes[number].domain];
            if ms <= slo_ms && (*there < 2 || portion.candidates.len() < CANDIDATES) {
                *there += 1;
                portion.candidates.push((number, cost));
            }
        }
        let reached = seen.iter().filter(|&&count| count > 0).count() as i64;
        if reached > portion.k || slo_ms > 1e4 {
            return portion;
        }
        slo_ms *= 1.3;
    }
}
