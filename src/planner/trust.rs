//! Which instances may be given traffic again after they fell: what flaps moves traffic less and less often.

use super::book::{Book, patience};
use super::instances::Copies;
use super::scene::Scene;
use crate::model::*;
use std::collections::BTreeMap;

/// The instances as far as they are trusted: one that fell while it carried traffic does not count as ready before it has
/// been well for the settling time, longer each time it falls. When nothing else is left, it counts.
pub fn steady(
    scene: &Scene,
    book: &mut Book,
    copies: &Copies,
    current: &BTreeMap<AllocId, Share>,
) -> Copies {
    let mut trusted = copies.clone();
    for copy in &mut trusted.all {
        let well = copy.ready && copy.alive;
        let carries = current.get(&copy.alloc).is_some_and(|s| *s > Share::NONE);
        match book.falls.get_mut(&copy.alloc) {
            None if well || !carries => {}
            None => {
                book.falls.entry(copy.alloc.clone()).or_default().times = 1;
            }
            Some(fall) if !well => {
                fall.times += u32::from(carries && fall.well_since.is_some());
                fall.well_since = None;
            }
            Some(fall) => {
                let since = *fall.well_since.get_or_insert(scene.now);
                let wait = patience(scene.policy.ramp.settle, fall.times);
                let stood = scene.now.since(since);
                copy.ready = carries || stood >= wait;
                if stood >= wait.times(4) {
                    book.falls.remove(&copy.alloc);
                }
            }
        }
    }
    let known = scene.world.allocs.value();
    book.falls
        .retain(|id, _| known.is_none_or(|all| all.iter().any(|a| &a.id == id)));
    let any = |set: &Copies| set.all.iter().any(|c| c.ready && c.alive);
    if any(&trusted) {
        trusted
    } else {
        copies.clone()
    }
}
