//! What shadows taught of every place, worked out anew once it may have changed.

use super::state::{State, Workload};
use crate::learn;
use crate::model::*;
use crate::planner::risk;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Between two steps of the policy evidence fades so little that what is known is worked out anew so many times only.
const AGED: i64 = 5;

/// What shadows, aged and pooled, say of every place of every portion now.
pub fn know(state: &mut State, world: &World, now: Moment) {
    let nodes = world.nodes.value().into_iter().flatten();
    let places: BTreeSet<(&Site, &NodeClass)> = nodes.map(|n| (&n.site, &n.class)).collect();
    let (beliefs, workloads) = (&state.beliefs, &mut state.workloads);
    let common = mark(beliefs, &places);
    // Nothing is known of what was never measured.
    let measured: BTreeSet<&PortionId> = beliefs.profiles.iter().map(|p| &p.key.portion).collect();
    for workload in workloads {
        let mark = mark_of(workload, common);
        let every = workload.policy.step.0 / AGED;
        let fresh = |(at, from): (Moment, u64)| from == mark && now.since(at).0 < every;
        if workload.known_from.is_some_and(fresh) {
            continue;
        }
        workload.known_from = Some((now, mark));
        let appetite = risk::appetite(workload.policy.risk_tolerance, workload.policy.season);
        let reading = learn::Reading {
            now,
            half_life: appetite.half_life,
            sure: appetite.sure,
        };
        let portions = workload.portions.iter();
        let portions = portions.filter(|p| measured.contains(&p.id));
        let keys = portions.flat_map(|p| {
            places.iter().map(|(site, class)| ProfileKey {
                portion: p.id.clone(),
                release: p.release.clone(),
                site: (*site).clone(),
                class: (*class).clone(),
            })
        });
        workload.known = learn::known(beliefs, &keys.collect(), &reading);
    }
}

/// Differs once anything but time changes what is known.
fn mark(beliefs: &Beliefs, places: &BTreeSet<(&Site, &NodeClass)>) -> u64 {
    let mut mark = DefaultHasher::new();
    places.hash(&mut mark);
    for profile in &beliefs.profiles {
        (profile.at, profile.runs, profile.knee.0.to_bits()).hash(&mut mark);
    }
    for skill in beliefs.skill.values() {
        let of = &skill.calibration;
        for one in [of.startup, of.capacity, of.latency] {
            (one.bias.to_bits(), one.width.to_bits()).hash(&mut mark);
        }
    }
    mark.finish()
}

/// The same with what is the workload's own.
fn mark_of(workload: &Workload, common: u64) -> u64 {
    let mut mark = DefaultHasher::new();
    (common, workload.policy.risk_tolerance.to_bits()).hash(&mut mark);
    let portions = workload.portions.iter();
    portions.for_each(|p| (&p.id, &p.release).hash(&mut mark));
    mark.finish()
}
