//! What an outlook costs beside the forecasts in it: five portions that call each other, twelve nodes at four sites, a
//! reading more each time. Baseline: `forecasts alone`.

use criterion::{Criterion, criterion_group, criterion_main};
use foreshadow::forecast::scenarios::{MOST, Shock, scenarios};
use foreshadow::forecast::{Calls, Fit, Fits, outlook};
use foreshadow::model::*;
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::hint::black_box;

const SEASON: usize = 144;
const PAST: usize = 10 * SEASON;
const AHEAD: usize = 30;

fn load(scale: f64) -> Series {
    let value = |i: usize| {
        let noise = ((i * 7919) % 13) as f64 / 13.0 - 0.5;
        scale * (2.0 + (TAU * i as f64 / SEASON as f64).sin() + 0.3 * noise)
    };
    Series {
        start: Moment(0),
        step: Span::secs(1),
        values: (0..PAST).map(value).collect(),
    }
}

fn node(k: usize) -> Node {
    let site = ["edge-a", "edge-b", "provider-a", "provider-b"][k / 3];
    Node {
        id: NodeId::new(format!("id-{k}")),
        name: format!("{site}-{k}").into(),
        site: site.into(),
        class: "std".into(),
        status: NodeStatus::Ready,
        eligible: true,
        draining: false,
        capacity: Resources::default(),
        clock: Mhz(0.0),
        price: Price(0.0),
        host_volumes: Default::default(),
        meta: Shared::default(),
    }
}

fn whole(c: &mut Criterion) {
    let names = ["web", "cart", "search", "pricing", "ledger"];
    let demand: BTreeMap<PortionId, Series> = names
        .iter()
        .map(|n| (PortionId::from(*n), load(10.0)))
        .collect();
    let history = History {
        demand,
        ..History::default()
    };
    let now = Moment((PAST as i64 - 1) * 1000);
    let mut world = World::unknown(now, "not looked at");
    world.nodes = Seen::known((0..12).map(node).collect(), now);
    world.gateways = [("a".into(), "edge-a".into()), ("b".into(), "edge-b".into())].into();
    let policy = Policy {
        step: Span::secs(1),
        season: Span::secs(SEASON as i64),
        horizon: Span::secs(AHEAD as i64),
        ..Policy::default()
    };
    let calls = Calls::from([
        ("web".into(), vec!["cart".into(), "search".into()]),
        ("cart".into(), vec!["pricing".into(), "ledger".into()]),
    ]);
    let beliefs = Beliefs::default();
    let (_, fits) = outlook(
        &history,
        &world,
        &policy,
        &beliefs,
        &calls,
        &Fits::default(),
        now,
    );
    let alone: Vec<Fit> = history
        .demand
        .values()
        .map(|s| Fit::new(s, AHEAD, Some(&[SEASON]), None))
        .collect();
    let mut g = c.benchmark_group("5 portions, 12 nodes");
    g.bench_function("forecasts alone", |b| {
        b.iter(|| {
            let paths = alone.iter().map(|f| f.forecast(AHEAD, &LEVELS, 1.0));
            black_box(paths.collect::<Vec<_>>())
        });
    });
    g.bench_function("outlook", |b| {
        b.iter(|| {
            outlook(
                &history,
                &world,
                &policy,
                &beliefs,
                &calls,
                black_box(&fits),
                now,
            )
        });
    });
    g.finish();
}

fn reduced(c: &mut Criterion) {
    let shock = |k: usize| Shock {
        domain: Domain::Node(NodeId::new(format!("id-{k}"))),
        probability: 0.002 * (k + 1) as f64,
        part: 0.01,
    };
    let mut g = c.benchmark_group("futures kept of 256");
    for shocks in [12, 200] {
        let all: Vec<Shock> = (0..shocks).map(shock).collect();
        g.bench_function(format!("{shocks} domains"), |b| {
            b.iter(|| scenarios(black_box(&all), [1.0, 1.1, 1.2, 1.3], MOST));
        });
    }
    g.finish();
}

criterion_group!(benches, whole, reduced);
criterion_main!(benches);
