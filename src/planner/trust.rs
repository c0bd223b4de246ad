//! Which instances may be given traffic again after they fell: what flaps moves traffic less and less often.

use super::book::{Book, Fall, patience};
use super::instances::{Copies, Copy};
use super::scene::Scene;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};

/// The instances as far as they are trusted: one that fell while it carried traffic does not count as ready before it has
/// been well for the settling time, longer each time it falls. Where the others do not carry the demand, it counts: too much work may be
/// all that ails it, and the less of them there are the more each has.
pub fn steady(
    scene: &Scene,
    book: &mut Book,
    portion: &PortionPolicy,
    copies: &Copies,
    (before, current): (Option<&Target>, &BTreeMap<AllocId, Share>),
) -> Copies {
    let shaky = shaky(scene, book, before);
    let carries = |copy: &Copy| current.get(&copy.alloc).is_some_and(|s| *s > Share::NONE);
    let mut trusted = copies.clone();
    for (k, copy) in copies.all.iter().enumerate() {
        let carries = carries(copy);
        // What Nomad has placed there since is new, the node is not.
        let ready = stood(scene, book, copy, carries) && (carries || !shaky.contains(copy.node()));
        if ready != copy.ready {
            trusted.all[k].ready = ready;
        }
    }
    let world = scene.world;
    let known = world.allocs.value().is_some();
    book.falls
        .retain(|id, _| !known || world.alloc(id).is_some());
    if enough(scene, portion, &trusted) {
        trusted
    } else {
        copies.clone()
    }
}

/// Whether the instance counts as ready once what is known of its falls is.
fn stood(scene: &Scene, book: &mut Book, copy: &Copy, carries: bool) -> bool {
    let well = copy.ready && copy.alive;
    match book.falls.get_mut(&copy.alloc) {
        None if well || !carries => copy.ready,
        None => {
            book.falls.entry(copy.alloc.clone()).or_default().times = 1;
            copy.ready
        }
        Some(fall) if !well => {
            fall.times += u32::from(carries && fall.well_since.is_some());
            fall.well_since = None;
            copy.ready
        }
        Some(fall) => {
            let since = *fall.well_since.get_or_insert(scene.now);
            let wait = patience(scene.policy.ramp.settle, fall.times);
            let stood = scene.now.since(since);
            if stood >= wait.times(4) {
                book.falls.remove(&copy.alloc);
            }
            carries || stood >= wait
        }
    }
}

/// Whether some are ready, and carry the demand as far as one knows.
fn enough(scene: &Scene, portion: &PortionPolicy, copies: &Copies) -> bool {
    let ready = || copies.all.iter().filter(|c| c.ready && c.alive);
    let carried = Copies::capacity(ready());
    let short = matches!((scene.rate(&portion.id), carried), (Some(now), Some(c)) if now > c);
    ready().next().is_some() && !short
}

/// Nodes that went away under traffic and have not been back for long enough, longer each time.
fn shaky(scene: &Scene, book: &mut Book, before: Option<&Target>) -> BTreeSet<NodeId> {
    let down = |id: &NodeId| {
        let node = scene.census.node(id);
        node.is_none_or(|n| n.status != NodeStatus::Ready)
    };
    let instances = before.map_or(&[][..], |b| &b.instances[..]);
    for i in instances
        .iter()
        .filter(|i| i.share > Share::NONE && down(&i.node))
    {
        let first = Fall {
            times: 1,
            well_since: None,
        };
        book.node_falls.entry(i.node.clone()).or_insert(first);
    }
    let settle = scene.policy.ramp.settle;
    let mut shaky = BTreeSet::new();
    book.node_falls.retain(|id, fall| {
        if down(id) {
            fall.times += u32::from(fall.well_since.is_some());
            fall.well_since = None;
            return scene.census.node(id).is_some();
        }
        let stood = scene.now.since(*fall.well_since.get_or_insert(scene.now));
        let wait = patience(settle, fall.times);
        if stood < wait {
            shaky.insert(id.clone());
        }
        stood < wait.times(4)
    });
    shaky
}
