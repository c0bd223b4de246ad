//! What shadows taught of every place, worked out anew once it may have changed.

use super::state::{State, Workload};
use crate::learn;
use crate::model::*;
use crate::planner::risk;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Between two steps of the policy evidence fades so little that what is known is worked out anew so many times only.
const AGED: i64 = 5;

/// What shadows, aged and pooled, say of every place of every portion now.
pub fn know(state: &mut State, world: &World, now: Moment) {
    let nodes = world.nodes.value().into_iter().flatten();
    let places: BTreeSet<(&Site, &NodeClass)> = nodes.map(|n| (&n.site, &n.class)).collect();
    let (beliefs, workloads) = (&state.beliefs, &mut state.workloads);
    let marks = Marks::of(beliefs, &places);
    let mut measured = None;
    for workload in workloads {
        let mark = marks.of_workload(workload);
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
        // Nothing is known of what was never measured.
        let portions = portions.filter(|p| marks.profiles.contains_key(&p.id));
        let keys = portions.flat_map(|p| {
            places.iter().map(|(site, class)| ProfileKey {
                portion: p.id.clone(),
                release: p.release.clone(),
                site: (*site).clone(),
                class: (*class).clone(),
            })
        });
        let measured = measured.get_or_insert_with(|| learn::Measured::of(beliefs));
        workload.known = measured.known(&keys.collect(), &reading);
    }
}

/// What differs once anything but time changes what is known: of all places, and of each portion.
struct Marks<'a> {
    places: u64,
    profiles: BTreeMap<&'a PortionId, DefaultHasher>,
    beliefs: &'a Beliefs,
}

impl<'a> Marks<'a> {
    fn of(beliefs: &'a Beliefs, places: &BTreeSet<(&Site, &NodeClass)>) -> Marks<'a> {
        let mut mark = DefaultHasher::new();
        places.hash(&mut mark);
        let mut profiles: BTreeMap<&PortionId, DefaultHasher> = BTreeMap::new();
        for profile in &beliefs.profiles {
            let mark = profiles.entry(&profile.key.portion).or_default();
            (profile.at, profile.runs, profile.knee.0.to_bits()).hash(mark);
        }
        Marks {
            places: mark.finish(),
            profiles,
            beliefs,
        }
    }

    /// What is known of one portion is made of its own profiles, and of how these have done.
    fn of_workload(&self, workload: &Workload) -> u64 {
        let mut mark = DefaultHasher::new();
        (self.places, workload.policy.risk_tolerance.to_bits()).hash(&mut mark);
        for portion in &workload.portions {
            (&portion.id, &portion.release).hash(&mut mark);
            let profiles = self.profiles.get(&portion.id);
            profiles.map(Hasher::finish).hash(&mut mark);
            let skill = self.beliefs.skill.get(&portion.id).map(|s| &s.calibration);
            for one in skill
                .into_iter()
                .flat_map(|of| [of.startup, of.capacity, of.latency])
            {
                (one.bias.to_bits(), one.width.to_bits()).hash(&mut mark);
            }
        }
        mark.finish()
    }
}
