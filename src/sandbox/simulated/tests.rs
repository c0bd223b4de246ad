//! The simulated world by itself: what it loses, what it refuses, and that a seed is a world.

use super::faults::{Fault, Kind as Trouble, Level, drawn};
use super::gateways::Keeping;
use super::spec::Spec;
use super::world::{Setup, World};
use crate::model::*;

const FROM: Moment = Moment(1_700_006_400_000);

fn policy() -> Policy {
    let portion = |id: &str| PortionPolicy {
        id: id.into(),
        job: "shop".into(),
        groups: vec![id.into()],
        front: Some(ServiceName::new(format!("shop-{id}"))),
        owner: OwnerChoice::default(),
        port: "http".into(),
        path: "/".into(),
        health: "/health".into(),
        depends_on: if id == "web" {
            vec!["cart".into()]
        } else {
            Vec::new()
        },
        slo: Slo {
            quantile: 0.95,
            latency: Millis(400.0),
            success: 0.99,
        },
        data: Data::Free,
        upstreams: Upstreams::Stub,
        stand_ins: Vec::new(),
        metrics: Metrics {
            clients: Vec::new(),
            path: String::new(),
            requests: String::new(),
            duration: String::new(),
            failed: String::new(),
            only: Vec::new(),
        },
        shadow: true,
        standby: true,
        probe: true,
    };
    Policy {
        portions: ["web", "cart"].map(portion).to_vec().into(),
        season: Span::secs(86_400),
        step: Span::secs(300),
        ..Policy::default()
    }
}

fn world(plain: bool, faults: Vec<Fault>, rate: f64) -> World {
    World::new(Setup {
        spec: Spec::new(policy(), Vec::new()),
        trace: Series {
            start: FROM,
            step: Span::secs(300),
            values: vec![rate; 20],
        },
        from: FROM,
        faults,
        seed: 1,
        plain,
        keeping: Keeping {
            newer: |target, last| last.is_none_or(|last| (target.epoch, target.index) > last),
            contingency: |_, _| None,
            is_over: |_, _| false,
            calm: Span::secs(10),
        },
    })
}

fn pass(world: &mut World, seconds: i64) {
    let until = world.now() + Span::secs(seconds);
    while world.pass(until) < until {}
}

#[test]
fn requests_flow_to_what_passes_its_checks_and_those_that_are_called_get_as_many() {
    let mut world = world(true, Vec::new(), 10.0);
    pass(&mut world, 30);
    world.open_books();
    pass(&mut world, 100);
    let books = world.books();
    assert!((books.requests - 1_000.0).abs() < 1.0, "{}", books.requests);
    assert!(
        books.lost < 1.0 && books.violation_seconds() == 0.0,
        "{books:?}"
    );
    // Two portions, two instances each, a twentieth to a twenty-fourth of a core.
    assert!(books.held > 100.0 * 4.0 * 0.041 && books.held < 100.0 * 4.0 * 0.05);
    // Both take 4 MHz·s a request.
    assert!((books.used / books.held - 10.0 * 4.0 * 2.0 / 400.0).abs() < 0.05);
}

#[test]
fn a_dead_node_loses_requests_until_checks_and_caches_have_noticed_and_nomad_fills_its_place() {
    let first = world(true, Vec::new(), 10.0);
    let node = first.units.values().next().expect("a unit").node;
    let fault = Fault {
        at: FROM + Span::secs(60),
        lasts: Span::secs(600),
        kind: Trouble::NodeDies(node),
    };
    let mut world = world(true, vec![fault], 10.0);
    pass(&mut world, 59);
    world.open_books();
    pass(&mut world, 20);
    let lost = world.books().lost;
    assert!(lost > 2.0 && lost < 60.0, "{lost}");
    let reaction = world.books().reaction(0.5).expect("a reaction");
    assert!((1_000.0..4_100.0).contains(&reaction), "{reaction} ms");
    pass(&mut world, 60);
    assert_eq!(world.primaries(0).len(), 2, "a successor stands");
    world.open_books();
    pass(&mut world, 60);
    assert_eq!(world.books().lost, 0.0);
}

#[test]
fn a_target_under_an_old_epoch_or_over_an_old_index_is_refused() {
    let mut world = world(false, Vec::new(), 10.0);
    let (old, _) = world.lead().expect("the lock");
    world.lose();
    let (epoch, _) = world.lead().expect("the lock again");
    assert!(epoch > old);
    let alloc = world.units.values().next().expect("a unit").clone();
    let target = |epoch: Epoch, index: u64| Target {
        service: "shop-web".into(),
        plan: "p".into(),
        parent: None,
        epoch,
        owner: Owner::Front,
        instances: vec![Instance {
            alloc: alloc.id.clone(),
            address: "127.9.0.1".into(),
            port: alloc.port,
            node: "n".into(),
            site: "edge-a".into(),
            health: "/health".into(),
            share: Share::NONE,
        }]
        .into(),
        contingencies: Vec::new().into(),
        index,
    };
    let write = |world: &mut World, t: &Target| world.write(0, t, None, false, t.epoch);
    let refused = |v: Verdict| matches!(v, Verdict::Refused { .. });
    assert!(refused(write(&mut world, &target(old, 0))));
    assert!(!refused(write(&mut world, &target(epoch, 0))));
    assert!(
        refused(write(&mut world, &target(epoch, 0))),
        "somebody wrote meanwhile"
    );
    pass(&mut world, 1);
    assert!(
        world.gateways.iter().all(|g| g.fronts[0].report.is_some()),
        "both heard of it"
    );
    assert!(world.broken().is_empty());
    let mut wrong = target(epoch, world.targets[0].as_ref().expect("a target").index);
    wrong.instances[0].share = Share::percent(50);
    write(&mut world, &wrong);
    assert_eq!(world.broken()[0].law, "anytime_shares_sum");
}

#[test]
fn the_journal_keeps_what_is_open_and_what_explains_a_target_that_stands() {
    let mut world = world(false, Vec::new(), 10.0);
    let (epoch, _) = world.lead().expect("the lock");
    for n in 0..50 {
        let target = Target {
            service: "shop-web".into(),
            plan: PlanId::new(format!("p{n}")),
            parent: None,
            epoch,
            owner: Owner::Front,
            instances: Vec::new().into(),
            contingencies: Vec::new().into(),
            index: world.targets[0].as_ref().map_or(0, |t| t.index),
        };
        let step = Step {
            id: StepId::new(format!("p{n}.1")),
            plan: target.plan.clone(),
            portion: None,
            cause: Cause::Upkeep,
            action: Action::SetTarget {
                target: target.clone(),
                before: None,
                planned: false,
            },
            why: "by hand".into(),
            waits_on: Vec::new(),
        };
        world.note(&step, epoch, JournalState::Intended);
        assert_eq!(world.open_steps().len(), 1);
        let verdict = world.write(0, &target, None, false, epoch);
        assert_eq!(verdict, Verdict::Verified);
        world.note(&step, epoch, JournalState::Verified);
    }
    assert_eq!(world.journal.len(), 1, "one target stands");
    world.check_explained();
    assert!(world.broken().is_empty(), "{:?}", world.broken());
}

#[test]
fn faults_are_drawn_from_the_seed_alone_and_a_heavier_day_has_more_of_every_kind() {
    let spec = Spec::new(policy(), Vec::new());
    let day = |level, seed| drawn(level, &spec, FROM, FROM + Span::secs(86_400), seed);
    assert_eq!(day(Level::Heavy, 5), day(Level::Heavy, 5));
    assert_ne!(day(Level::Heavy, 5), day(Level::Heavy, 6));
    assert!(day(Level::None, 5).is_empty());
    let all: Vec<Fault> = (0..30).flat_map(|seed| day(Level::Heavy, seed)).collect();
    let kinds: std::collections::HashSet<_> = all
        .iter()
        .map(|f| std::mem::discriminant(&f.kind))
        .collect();
    assert_eq!(kinds.len(), super::faults::KINDS.len());
}
