//! Of many workloads those in which nothing happens are not planned at each turn, and any news of one has it planned at once.

use crate::common::NOW;
use crate::run::{Cluster, TURN};
use foreshadow::engine::{Command, ask};
use foreshadow::model::*;

const USUAL: f64 = 20.0;
/// A still workload is planned anew after so long.
const LONGEST: i64 = 30_000;

/// A cluster that is planned as one of many, with half an hour of demand behind it, turned until it is still.
fn settled() -> Cluster {
    let mut c = Cluster::new();
    c.state.few = Some(0);
    c.state.forecasting = true;
    let policy = &mut c.state.workloads[0].policy;
    (policy.step, policy.season) = (Span::secs(60), Span::secs(3_600));
    let demand = Series {
        start: NOW + Span::secs(-60 * 120),
        step: Span::secs(60),
        values: vec![USUAL; 120],
    };
    c.state.history.demand.insert("web".into(), demand);
    for _ in 0..200 {
        c.turn(USUAL);
        if stays(&mut c) {
            return c;
        }
    }
    panic!("it is never still: {:?}", c.state.workloads[0].plan);
}

fn planned(c: &Cluster) -> Moment {
    c.state.workloads[0].plan.as_ref().expect("a plan").at
}

/// Whether one more turn leaves it as it was planned.
fn stays(c: &mut Cluster) -> bool {
    let before = planned(c);
    c.turn(USUAL);
    planned(c) == before
}

fn entries(c: &mut Cluster, change: impl Fn(&mut FrontEntry)) {
    let front = c.world.fronts.values_mut().next().expect("a front");
    for seen in front.entries.values_mut() {
        if let Seen::Known { value, .. } = seen {
            value.iter_mut().for_each(&change);
        }
    }
}

#[test]
fn what_is_still_keeps_its_plan_and_its_instances_for_half_a_minute_at_most() {
    let mut c = settled();
    let (mut kept, mut anew) = (0, 0);
    for _ in 0..LONGEST / TURN.0 {
        match stays(&mut c) {
            true => kept += 1,
            false => anew += 1,
        }
    }
    assert!(anew >= 1, "time alone has it planned anew");
    assert!(kept > 10 * anew, "{kept} turns kept it, {anew} did not");
}

#[test]
fn few_workloads_are_planned_at_each_turn() {
    let mut c = settled();
    c.state.few = None;
    assert!((0..10).all(|_| !stays(&mut c)));
}

#[test]
fn more_demand_than_was_foreseen_is_planned_for_at_once() {
    let mut c = settled();
    let before = planned(&c);
    c.turn(USUAL * 1.5);
    assert!(planned(&c) > before);
}

#[test]
fn a_node_or_an_instance_that_falls_is_planned_for_at_once() {
    let mut c = settled();
    let before = planned(&c);
    c.node("edge-a-1", NodeStatus::Down);
    c.turn(USUAL);
    assert!(planned(&c) > before);
    let mut c = settled();
    let before = planned(&c);
    c.fell(1, true);
    c.turn(USUAL);
    assert!(planned(&c) > before);
}

#[test]
fn a_reading_that_is_lost_or_a_command_is_looked_at_at_once() {
    let mut c = settled();
    let before = planned(&c);
    c.world.hold = Seen::unknown("Consul is away");
    c.turn(USUAL);
    assert!(planned(&c) > before);
    let mut c = settled();
    let before = planned(&c);
    let to = "provider-a".into();
    let command = Command::Switch {
        portion: "web".into(),
        to,
    };
    ask(&mut c.state, command, before);
    c.turn(USUAL);
    assert!(planned(&c) > before);
}

#[test]
fn what_nomad_cannot_place_is_planned_for_at_once() {
    let mut c = settled();
    let before = planned(&c);
    let blocked = Blocked {
        job: "shop".into(),
        groups: vec!["web".into()],
        why: "no node has room".into(),
    };
    c.world.blocked = Seen::known(vec![blocked], before);
    c.turn(USUAL);
    assert!(planned(&c) > before);
}

#[test]
fn the_same_seen_again_is_no_news() {
    let mut c = settled();
    // Lists that were read anew and say the same.
    entries(&mut c, |e| e.weight += 0);
    if let Seen::Known { value, .. } = &mut c.world.allocs {
        value.edit(|_| ());
    }
    assert!(stays(&mut c) || stays(&mut c));
}
