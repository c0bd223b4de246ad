//! What the solver promises, on made-up instances; the shared ones are in `tests/placement.rs` of the crate.

mod books;
mod conditions;
mod exact;
mod promises;
mod sharp;
mod words;

use proptest::prelude::*;

use super::*;

/// Options for a short, reproducible search.
fn quick(seed: u64) -> Options<'static> {
    Options {
        iterations: Some(4_000),
        seed,
        threads: 1,
        bound_rounds: 200,
        ..Options::default()
    }
}

fn never() -> bool {
    false
}

fn node(number: usize, domain: usize, free: &[i64], open_cost: i64) -> Node {
    Node {
        id: format!("n{number}"),
        domain,
        free: free.to_vec(),
        open_cost,
    }
}

fn portion(number: usize, k: i64, primary_domain: usize, active: &[i64]) -> Portion {
    Portion {
        id: format!("p{number}"),
        k,
        primary_node: None,
        primary_domain,
        reserve: active.iter().map(|a| a / 2).collect(),
        active: active.to_vec(),
        candidates: Vec::new(),
        unplaced_penalty: 10_000,
    }
}

fn instance(domains: usize, nodes: Vec<Node>, portions: Vec<Portion>) -> Instance {
    let domain = |d| Domain {
        id: format!("d{d}"),
        kind: "edge".to_owned(),
    };
    let resources = nodes.first().map_or(1, |node| node.free.len());
    Instance {
        format: FORMAT.to_owned(),
        name: "made up".to_owned(),
        resources: ["cpu_mhz", "mem_mb", "net_mbps", "disk_mb"][..resources]
            .iter()
            .map(|&name| name.to_owned())
            .collect(),
        domains: (0..domains).map(domain).collect(),
        nodes,
        portions,
    }
}

/// Three domains with one node each; one portion at home in the first that may stand on all three.
fn small() -> Instance {
    let nodes = (0..3).map(|n| node(n, n, &[100, 100], 5)).collect();
    let mut only = portion(0, 1, 0, &[10, 20]);
    only.candidates = vec![(0, 1), (1, 7), (2, 9)];
    instance(3, nodes, vec![only])
}

/// Any instance of at most so many portions and nodes, often too tight for all standbys.
fn instances(portions: usize, nodes: usize, k: i64) -> impl Strategy<Value = Instance> {
    let sizes = (2..5_usize, 1..=nodes, 0..=portions, 1..=MAX_RESOURCES);
    sizes.prop_flat_map(move |(domains, nodes, portions, resources)| {
        let free = prop::collection::vec(0..120_i64, resources);
        let place = (0..domains, free, 0..60_i64);
        let amounts = prop::collection::vec((0..25_i64, 0..25_i64), resources);
        let candidates = prop::collection::vec(prop::option::weighted(0.8, 1..90_i64), nodes);
        let want = (0..=k, 0..domains, amounts, candidates, 0..400_i64);
        let all = (
            prop::collection::vec(place, nodes),
            prop::collection::vec(want, portions),
        );
        all.prop_map(move |(nodes, portions)| {
            let nodes = nodes
                .iter()
                .enumerate()
                .map(|(n, (domain, free, open))| node(n, *domain, free, *open));
            let portions =
                portions
                    .iter()
                    .enumerate()
                    .map(|(i, (k, home, amounts, candidates, penalty))| Portion {
                        id: format!("p{i}"),
                        k: *k,
                        primary_node: None,
                        primary_domain: *home,
                        reserve: amounts.iter().map(|(reserve, _)| *reserve).collect(),
                        active: amounts
                            .iter()
                            .map(|(reserve, surge)| reserve + surge)
                            .collect(),
                        candidates: candidates
                            .iter()
                            .enumerate()
                            .filter_map(|(n, cost)| cost.map(|cost| (n, cost)))
                            .collect(),
                        unplaced_penalty: *penalty,
                    });
            instance(domains, nodes.collect(), portions.collect())
        })
    })
}

/// An instance with shared capacities and scenarios, often binding.
fn problems(portions: usize, nodes: usize, k: i64) -> impl Strategy<Value = Problem> {
    instances(portions, nodes, k).prop_flat_map(|instance| {
        let (portions, domains) = (instance.portions.len(), instance.domains.len());
        let nodes = instance.nodes.len();
        let draw = (
            0..portions.max(1),
            0..=nodes,
            0..=domains,
            0..20_i64,
            0..20_i64,
        );
        let shared = (10..90_i64, prop::collection::vec(draw, 0..12));
        let failed = prop::collection::vec(0..domains, 0..3);
        let scenario = (
            0..5_i64,
            failed,
            prop::collection::vec(0..250_i64, portions),
        );
        let all = (
            prop::collection::vec(shared, 0..3),
            prop::collection::vec(scenario, 0..5),
            (0..5_000_i64, 0..5_000_i64, 0..10_000_i64),
        );
        all.prop_map(move |(shared, scenarios, risk)| {
            let draw =
                |&(portion, node, domain, reserve, more): &(usize, usize, usize, i64, i64)| Draw {
                    portion,
                    node: (node < nodes).then_some(node),
                    domain: (domain < domains).then_some(domain),
                    reserve,
                    active: reserve + more,
                };
            let shared = shared
                .iter()
                .enumerate()
                .map(|(number, (free, draws))| Shared {
                    id: format!("s{number}"),
                    unit: "mbps".to_owned(),
                    free: *free,
                    draws: draws.iter().filter(|d| d.0 < portions).map(draw).collect(),
                });
            let scenarios = scenarios
                .into_iter()
                .map(|(weight, failed, demand_pct)| Scenario {
                    id: String::new(),
                    weight,
                    failed,
                    demand_pct,
                });
            let conditions = Conditions {
                shared: shared.collect(),
                scenarios: scenarios.collect(),
                risk: Risk {
                    expected_milli: risk.0,
                    cvar_milli: risk.1,
                    level_bp: risk.2,
                },
            };
            Problem::with(instance.clone(), conditions)
                .expect("the strategy makes valid conditions")
        })
    })
}
