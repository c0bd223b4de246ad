//! When each workload's outlook is made anew, in turns where there are many.

use super::notice;
use super::state::{State, Workload};
use crate::forecast;
use crate::model::*;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Outlooks that one cycle may always make; of more, so many as time has come for.
const ALWAYS: usize = 16;

/// Hazards of everything that is seen, as they were told last.
#[derive(Clone, Debug)]
pub struct Told {
    season: Span,
    horizon: Span,
    maintenance: Vec<Maintenance>,
    at: Moment,
    mark: u64,
    dangers: Arc<forecast::Dangers>,
}

pub fn foresee(state: &mut State, world: &World, now: Moment) {
    if !state.forecasting {
        let all = state.workloads.iter_mut();
        return all.for_each(|w| w.outlook = Outlook::default());
    }
    let mut workloads = std::mem::take(&mut state.workloads);
    let due = due(&workloads, now.since(state.foreseen), now);
    state.foreseen = now;
    let mark = (!due.is_empty()).then(|| mark(state, world));
    for k in due {
        let workload = &mut workloads[k];
        let dangers = dangers(state, world, &workload.policy, (mark, now));
        let portions = workload.portions.iter();
        let calls: forecast::Calls = portions
            .map(|p| (p.id.clone(), p.depends_on.clone()))
            .collect();
        let (history, policy) = (&state.history, &workload.policy);
        let known = (&state.beliefs, &calls, &workload.fits);
        let made = forecast::outlook_among(&dangers, history, world, policy, known, now);
        (workload.outlook, workload.fits) = made;
        state.tally.forecasts += 1;
    }
    state.workloads = workloads;
    notice::promise(state, now);
}

/// Workloads whose outlook is a step old, the oldest first and no more than their part of the time since the last cycle: what
/// came due at once is spread over a step, and stays so.
fn due(workloads: &[Workload], since: Span, now: Moment) -> Vec<usize> {
    let age = |w: &Workload| match w.outlook.demand.is_empty() {
        true => Span(i64::MAX),
        false => now.since(w.outlook.at),
    };
    let all = workloads.iter().enumerate();
    let mut due: Vec<(Span, usize)> = all
        .filter(|(_, w)| age(w) >= w.policy.step)
        .map(|(k, w)| (age(w), k))
        .collect();
    if due.len() > ALWAYS {
        due.sort_by_key(|(age, k)| (std::cmp::Reverse(*age), *k));
        let step = workloads.iter().map(|w| w.policy.step.0).min();
        let turns = step.unwrap_or_default().max(1) / since.0.clamp(1, i64::MAX) + 1;
        due.truncate(ALWAYS.max(workloads.len().div_ceil(turns.max(1) as usize)));
    }
    let mut due: Vec<usize> = due.into_iter().map(|(_, k)| k).collect();
    due.sort_unstable();
    due
}

/// Differs once anything but time changes what may fail.
fn mark(state: &State, world: &World) -> u64 {
    let mut mark = DefaultHasher::new();
    (
        state.history.availability.len(),
        state.history.watched_since,
    )
        .hash(&mut mark);
    for node in world.nodes.value().into_iter().flatten() {
        (&node.id, &node.site, node.draining).hash(&mut mark);
    }
    for site in world.gateways.values() {
        site.hash(&mut mark);
    }
    mark.finish()
}

/// Told once a step for all workloads that look as far ahead.
fn dangers(
    state: &mut State,
    world: &World,
    policy: &Policy,
    (mark, now): (Option<u64>, Moment),
) -> Arc<forecast::Dangers> {
    let mark = mark.unwrap_or_default();
    state
        .dangers
        .retain(|t| t.mark == mark && now.since(t.at) < policy.step);
    let alike = |t: &&Told| {
        (t.season, t.horizon) == (policy.season, policy.horizon)
            && t.maintenance == policy.maintenance
    };
    if let Some(told) = state.dangers.iter().find(alike) {
        return told.dangers.clone();
    }
    let told = Told {
        season: policy.season,
        horizon: policy.horizon,
        maintenance: policy.maintenance.clone(),
        at: now,
        mark,
        dangers: Arc::new(forecast::Dangers::of(&state.history, world, policy, now)),
    };
    state.dangers.push(told.clone());
    told.dangers
}
