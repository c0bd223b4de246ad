//! What a placement costs to find: searches of fixed length, small news, and the bound, against bin packing as a scheduler does it.
//! The baseline is `best fit`: each standby, largest first, on the fullest node that still takes it. Its objective and the search's are
//! printed before the timings, as the ratio to the same bound.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use foreshadow::placement::{Instance, Options, Problem, check, lower_bound, search};
use std::hint::black_box;

#[path = "../tests/common/instances.rs"]
mod instances;

/// Portions, nodes, moves of each chain, and ascent steps of the bound.
const SIZES: [(usize, usize, u64, u64); 3] = [
    (20, 10, 20_000, 200),
    (200, 50, 200_000, 500),
    (2_000, 200, 1_000_000, 200),
];
const TIGHTNESS: f64 = 2.4;

/// What a node holds, as rule 3 of the format counts it.
struct Held {
    base: Vec<i64>,
    surge: Vec<Vec<i64>>,
}

/// Bin packing: the largest first, on the fullest node (by its scarcest resource) that survives every failure with it.
fn best_fit(instance: &Instance) -> Vec<Vec<usize>> {
    let resources = instance.resources.len();
    let mut held: Vec<Held> = instance
        .nodes
        .iter()
        .map(|_| Held {
            base: vec![0; resources],
            surge: vec![vec![0; resources]; instance.domains.len()],
        })
        .collect();
    let mut order: Vec<usize> = (0..instance.portions.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(instance.portions[i].active[0]));
    let mut standbys = vec![Vec::new(); instance.portions.len()];
    for i in order {
        let portion = &instance.portions[i];
        for _ in 0..portion.k {
            let taken = |node: usize| {
                let domain = instance.nodes[node].domain;
                let own: &Vec<usize> = &standbys[i];
                domain == portion.primary_domain
                    || own
                        .iter()
                        .any(|&other| instance.nodes[other].domain == domain)
            };
            let fill = |node: usize| fill(instance, &held[node], node, i);
            let open = portion.candidates.iter().map(|&(node, _)| node);
            let fullest = open
                .filter(|&node| !taken(node))
                .filter_map(|node| fill(node).map(|full| (full, node)))
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let Some((_, node)) = fullest else { continue };
            for r in 0..resources {
                held[node].base[r] += portion.reserve[r];
                held[node].surge[portion.primary_domain][r] +=
                    portion.active[r] - portion.reserve[r];
            }
            standbys[i].push(node);
        }
    }
    standbys
}

/// How full the node would be with one more standby of the portion; none if it would not survive every failure.
fn fill(instance: &Instance, held: &Held, node: usize, i: usize) -> Option<f64> {
    let portion = &instance.portions[i];
    let mut fullest: f64 = 0.0;
    for (r, &free) in instance.nodes[node].free.iter().enumerate() {
        let own = held.surge[portion.primary_domain][r] + portion.active[r] - portion.reserve[r];
        let worst = held.surge.iter().map(|surge| surge[r]).fold(own, i64::max);
        let need = held.base[r] + portion.reserve[r] + worst;
        if need > free {
            return None;
        }
        fullest = fullest.max(need as f64 / free.max(1) as f64);
    }
    Some(fullest)
}

fn options(moves: u64) -> Options<'static> {
    Options {
        iterations: Some(moves),
        seed: 1,
        ..Options::default()
    }
}

fn placements(c: &mut Criterion) {
    let mut group = c.benchmark_group("place");
    group.sample_size(10);
    // `cargo test` runs benches once, unoptimised, to see that they work: the smallest is enough for that.
    let measured = std::env::args().any(|a| a == "--bench");
    let sizes = if measured { &SIZES[..] } else { &SIZES[..1] };
    for &(portions, nodes, moves, rounds) in sizes {
        let instance = instances::made_up(portions, nodes, TIGHTNESS, 1);
        let problem = Problem::new(instance.clone()).expect("a made-up instance is valid");
        let found = search(&problem, &options(moves), &|| false);
        let bound = lower_bound(&problem, found.objective, 10 * rounds, &|| false).max(found.bound);
        let packed = check(&problem, &best_fit(&instance)).expect("best fit keeps the rules");
        let above = |objective: i64| (objective as f64 / bound as f64 - 1.0) * 100.0;
        println!(
            "{portions}x{nodes}: search {:.2} % above the bound, best fit {:.2} % ({} unplaced)",
            above(found.objective),
            above(packed.objective),
            packed.unplaced
        );
        let size = format!("{portions}x{nodes}");
        group.bench_function(BenchmarkId::new("best fit", &size), |b| {
            b.iter(|| best_fit(black_box(&instance)));
        });
        group.bench_function(BenchmarkId::new("search", &size), |b| {
            b.iter(|| search(black_box(&problem), &options(moves), &|| false));
        });
        group.bench_function(BenchmarkId::new("bound", &size), |b| {
            b.iter(|| lower_bound(black_box(&problem), found.objective, rounds, &|| false));
        });
        let news = Problem::new(changed(instance)).expect("news are valid");
        let repair = Options {
            warm: Some(&found.standbys),
            move_cost: 100,
            ..options(5_000)
        };
        group.bench_function(BenchmarkId::new("small news", &size), |b| {
            b.iter(|| search(black_box(&news), &repair, &|| false));
        });
    }
    group.finish();
}

/// One portion in a hundred, and at least one, wants a fifth more.
fn changed(mut instance: Instance) -> Instance {
    for portion in instance.portions.iter_mut().step_by(100) {
        let amounts = portion.reserve.iter_mut().chain(&mut portion.active);
        amounts.for_each(|amount| *amount = *amount * 6 / 5);
    }
    instance
}

criterion_group!(benches, placements);
criterion_main!(benches);
