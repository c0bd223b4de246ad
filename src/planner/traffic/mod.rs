//! Which shares a service should have, and the next legal step towards them.

mod moves;
mod surge;
mod write;

use super::book::Book;
use super::instances::{Copies, Copy, Role};
use super::owner::{level, owner};
use super::scene::{Draft, FRESH, Scene};
use super::shares::{distance, split};
use super::trust::steady;
use crate::model::*;
use std::collections::BTreeMap;
use write::Pending;

/// Shares closer than this are the same.
const ALIKE: Share = Share(200);

type Shares = BTreeMap<AllocId, Share>;

/// What is to be written: shares, cause, reason and whether it is a planned move.
type Next = (Shares, Cause, String, bool);

/// Drafts at most one write of this portion's shares.
pub fn plan(
    scene: &Scene,
    book: &mut Book,
    portion: &PortionPolicy,
    copies: &Copies,
    out: &mut Draft,
) {
    let Some(service) = &portion.front else {
        return;
    };
    let what = format!("shares of {service}");
    let Some(target) = scene
        .world
        .fronts
        .get(service)
        .and_then(|f| f.target.as_ref())
    else {
        return out.wait(what, "its front has not been read yet");
    };
    let Some(target) = target.fresh(scene.now, FRESH) else {
        return out.wait(what, "the target in Consul cannot be read; weights stay");
    };
    if book.writing(service) {
        return out.wait(what, "the last write is not verified yet");
    }
    let job = scene.world.job(&portion.job);
    let owner = match owner(portion.owner, service, job, &scene.world.keeps_weights) {
        Ok(owner) => owner,
        Err(why) => return out.wait(what, why),
    };
    let current = target.as_ref().map(Target::shares).unwrap_or_default();
    let copies = &steady(scene, book, copies, &current);
    surge::surge(scene, book, portion, copies);
    let mut ideal = ideal(book, portion, copies);
    if owner == Owner::Nomad {
        ideal = level(copies, ideal);
    }
    // Entries that serve already are not taken out for want of a reading.
    if ideal.is_empty() && (!current.is_empty() || owner.takes_nomads_entries()) {
        out.wait(what, "no instance is ready; weights stay as they are");
        // Entries of Nomad's are checked whether or not a target knows them.
        if !owner.takes_nomads_entries() {
            write::enter(scene, book, portion, copies, target.as_ref(), out);
        }
        return;
    }
    let next = choose(scene, book, portion, copies, &current, &ideal, out);
    let target = Pending {
        owner,
        before: target.as_ref(),
        next,
    };
    write::write(scene, book, portion, copies, target, out);
}

/// Where traffic should be when there is time for everything.
fn ideal(book: &Book, portion: &PortionPolicy, copies: &Copies) -> Shares {
    if let Some(site) = book.asked.get(&portion.id) {
        let there = copies
            .all
            .iter()
            .filter(|c| c.ready && c.alive && &c.site == site);
        let shares = split(there);
        if !shares.is_empty() {
            return shares;
        }
    }
    let primaries: Vec<&Copy> = copies.ready(Role::Primary).collect();
    let standbys = copies.ready(Role::Standby);
    if primaries.is_empty() || book.surging.contains_key(&portion.id) {
        split(primaries.into_iter().chain(standbys))
    } else {
        split(primaries.into_iter())
    }
}

/// The next shares, with cause, reason and whether it is a planned move; `None` when all is as it should be.
fn choose(
    scene: &Scene,
    book: &mut Book,
    portion: &PortionPolicy,
    copies: &Copies,
    current: &Shares,
    ideal: &Shares,
    out: &mut Draft,
) -> Option<Next> {
    let service = portion.front.as_ref()?;
    let carried: u32 = current.values().map(|s| s.0).sum();
    if carried == 0 {
        let why = format!("first shares: {} ready", ideal.len());
        return (!ideal.is_empty()).then(|| (ideal.clone(), Cause::Upkeep, why, false));
    }
    let fallen: Vec<String> = current
        .iter()
        .filter(|(id, share)| **share > Share::NONE && !up(copies, id))
        .map(|(id, share)| format!("{} with {share}", short(id)))
        .collect();
    if !fallen.is_empty() {
        // The way is given up: the rest takes over at once.
        book.moves.remove(service);
        let why = format!("{} fell out; the ready ones take over", fallen.join(", "));
        return Some((ideal.clone(), Cause::Reactive, why, false));
    }
    if distance(current, ideal) <= ALIKE {
        book.moves.remove(service);
        return None;
    }
    moves::ramp(scene, book, portion, copies, current, ideal, out)
}

fn up(copies: &Copies, id: &AllocId) -> bool {
    copies.get(id).is_some_and(|c| c.ready && c.alive)
}

fn short(id: &AllocId) -> &str {
    id.as_str().get(..8).unwrap_or(id.as_str())
}
