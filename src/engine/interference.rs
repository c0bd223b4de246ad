//! Watches production while shadows run: on their nodes and downstream of their portions. What hurts ends.

use super::state::{State, Workload};
use super::view::LogKind;
use crate::learn::{self, Worse};
use crate::model::*;
use crate::planner::book::ShadowRun;
use crate::planner::{Portion, ShadowState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The last two readings are looked at, more where they hold too few requests.
const READINGS: usize = 2;
const MOST_READINGS: usize = 6;
const FEW: u64 = 20;
/// So much slower does not count as hurt, as a part of the SLO's latency.
const MARGIN: f64 = 0.02;
/// Each shadow that hurt makes the portion's shadows rarer by this factor, up to the most.
const RARER: f64 = 2.0;
const RAREST: f64 = 16.0;

/// Where a reading comes from.
type Source<'a> = (&'a PortionId, Option<&'a AllocId>);

/// Ends every shadow during which production became significantly worse than just before it, in its reach and nowhere else.
pub fn watch(state: &mut State, world: &World, now: Moment) {
    let mut workloads = std::mem::take(&mut state.workloads);
    let mut alive = BTreeSet::new();
    for workload in &mut workloads {
        let runs = workload.book.shadows.values();
        let running: Vec<ShadowRun> = runs.filter(|r| r.lives()).cloned().collect();
        for run in running {
            alive.insert(run.id.clone());
            // Until load is driven at it, it is "just before".
            let before = state.before.entry(run.id.clone()).or_default();
            if run.state != ShadowState::Measuring || before.is_empty() {
                before.clone_from(&world.readings);
                continue;
            }
            if let Some((found, Worse(why))) = hurt(workload, world, before, &run) {
                end(state, workload, &run, &format!("{found}: {why}"), now);
            }
        }
    }
    state.before.retain(|id, _| alive.contains(id));
    state.workloads = workloads;
}

/// What in the run's reach became worse, unless what is out of its reach did too.
fn hurt(
    workload: &Workload,
    world: &World,
    before: &[Arc<Reading>],
    run: &ShadowRun,
) -> Option<(String, Worse)> {
    let reach = Reach::of(workload, world, run);
    let mut sources: BTreeSet<Source> = BTreeSet::new();
    for reading in &world.readings {
        sources.insert((&reading.portion, reading.instance.as_ref()));
    }
    let worse = |of: &dyn Fn(&Source) -> bool, slo: &Slo| {
        let chosen: BTreeSet<&Source> = sources.iter().filter(|s| of(s)).collect();
        let in_it = |r: &Reading| chosen.contains(&(&r.portion, r.instance.as_ref()));
        let then = sum(before.iter().map(AsRef::as_ref).filter(|r| in_it(r)));
        let began = before.iter().map(|r| r.at).max().unwrap_or(run.since);
        let now = latest(&world.readings, began, in_it);
        learn::interference(&then, &now, Millis(slo.latency.0 * MARGIN))
    };
    for source in sources.iter().filter(|s| reach.touches(s)) {
        let Some(portion) = workload.policy.portion(source.0) else {
            continue;
        };
        let Some(found) = worse(&|s| s == source, &portion.slo) else {
            continue;
        };
        let elsewhere = |s: &Source| !reach.touches(s) && !reach.calls(s.0);
        if worse(&elsewhere, &portion.slo).is_some() {
            continue;
        }
        let place = match source.1 {
            Some(_) if reach.downstream.contains(source.0) => "downstream",
            Some(_) => "on its node",
            None => "to its clients",
        };
        return Some((format!("{} suffers {place}", source.0), found));
    }
    None
}

/// What a shadow can touch: instances on its node and its twin's, and every portion that its own calls.
struct Reach<'a> {
    instances: BTreeSet<&'a AllocId>,
    /// Portions that tell through their clients alone and have an instance on these nodes.
    portions: BTreeSet<&'a PortionId>,
    downstream: BTreeSet<&'a PortionId>,
    /// Portions that call any of these: they suffer with them.
    callers: BTreeSet<&'a PortionId>,
}

impl<'a> Reach<'a> {
    fn of(workload: &'a Workload, world: &'a World, run: &ShadowRun) -> Reach<'a> {
        let allocs = || world.allocs.value().into_iter().flatten();
        let ours = |a: &&Alloc| a.holds() && (a.job == run.job || run.has_beside(&a.job));
        let nodes: BTreeSet<&NodeId> = allocs().filter(ours).map(|a| &a.node).collect();
        let beside: Vec<&Alloc> = allocs()
            .filter(|a| nodes.contains(&a.node) && !ours(a))
            .collect();
        let portions = workload.policy.portions.iter();
        let on_node = portions.filter(|p| {
            let of = |a: &&Alloc| a.job == p.job && p.groups.contains(&a.group);
            beside.iter().any(of)
        });
        let on_node: BTreeSet<&PortionId> = on_node.map(|p| &p.id).collect();
        let own = workload.policy.portion(&run.key.portion);
        // A shadow with stubs calls nobody; of those that run together only some door may lead to production.
        let along = run
            .along
            .iter()
            .filter_map(|a| workload.policy.portion(&a.portion));
        let calls = own.is_some_and(PortionPolicy::calls_production)
            || along.into_iter().any(PortionPolicy::has_door);
        let downstream = match calls {
            true => called(&workload.portions, &run.key.portion),
            false => BTreeSet::new(),
        };
        let touched: BTreeSet<&PortionId> = on_node.union(&downstream).copied().collect();
        let callers = workload.portions.iter().map(|p| &p.id).filter(|id| {
            let calls = called(&workload.portions, id);
            calls.iter().any(|c| touched.contains(c))
        });
        Reach {
            instances: beside.iter().map(|a| &a.id).collect(),
            callers: callers.collect(),
            portions: on_node,
            downstream,
        }
    }

    fn touches(&self, source: &Source) -> bool {
        match source.1 {
            Some(instance) => {
                self.instances.contains(instance) || self.downstream.contains(source.0)
            }
            None => self.portions.contains(source.0) || self.downstream.contains(source.0),
        }
    }

    fn calls(&self, portion: &PortionId) -> bool {
        self.callers.contains(portion)
    }
}

/// Every portion that this one calls, directly or through others.
fn called<'a>(portions: &'a [Portion], from: &PortionId) -> BTreeSet<&'a PortionId> {
    let next = |at: &PortionId| {
        let found = portions.iter().find(|p| &p.id == at);
        found.into_iter().flat_map(|p| &p.depends_on)
    };
    let mut found: BTreeSet<&PortionId> = BTreeSet::new();
    let mut open: Vec<&PortionId> = next(from).collect();
    while let Some(at) = open.pop() {
        if at != from && found.insert(at) {
            open.extend(next(at));
        }
    }
    found
}

fn sum<'a>(readings: impl Iterator<Item = &'a Reading>) -> Latencies {
    readings.fold(Latencies::default(), |mut all, r| {
        all.add(&r.latencies);
        all
    })
}

/// The last readings of each source that lie within the shadow's time: two, or as many as hold enough requests.
fn latest(all: &[Arc<Reading>], since: Moment, of: impl Fn(&Reading) -> bool) -> Latencies {
    let mut by_source: BTreeMap<Source, Vec<&Reading>> = BTreeMap::new();
    let all = all.iter().map(AsRef::as_ref);
    for r in all.filter(|r: &&Reading| r.from >= since && of(r)) {
        let source = (&r.portion, r.instance.as_ref());
        by_source.entry(source).or_default().push(r);
    }
    let take = |n: usize| {
        let last = by_source.values().flat_map(|v| v.iter().rev().take(n));
        sum(last.copied())
    };
    (READINGS..=MOST_READINGS)
        .map(take)
        .find(|found| found.requests() >= FEW)
        .unwrap_or_default()
}

/// The shadow is to stop, its place has failed, and the portion is shadowed less often.
fn end(state: &mut State, workload: &mut Workload, run: &ShadowRun, why: &str, now: Moment) {
    let judged = Judged {
        key: run.key.clone(),
        at: now,
        ruling: Ruling::Fail,
        because: why.to_string(),
        against: Against::Interference,
        rate: Rps(0.0),
        baseline: 0,
        shadow: 0,
        times: 1,
        undecided: 0,
    };
    let sentence = judged.sentence();
    let judged = state.settle_verdict(judged, false);
    if let Some(r) = workload.book.shadows.get_mut(&run.id) {
        r.state = ShadowState::Stopping;
        r.verdict = Some(sentence.clone());
        r.judged = Some(judged);
    }
    let factor = state.caution(&run.key.portion, RARER, RAREST);
    let portion = &run.key.portion;
    state.say(
        now,
        LogKind::Verdict,
        Some(Cause::Learning),
        Some(portion),
        format!(
            "shadow at {} ({}): {sentence}",
            run.key.site,
            run.key.class.shown()
        ),
    );
    let text = format!(
        "shadow {} of {portion} at {} ended: {why}; its shadows are {factor:.0} times as rare now",
        run.id, run.key.site
    );
    state.learn(now, Some(portion), text);
}

#[cfg(test)]
#[path = "interference_tests.rs"]
mod tests;
