//! Which shares a service should have, and the next legal step towards them.

mod drain;
mod moves;
mod surge;
mod went;
mod write;

use super::apart;
use super::book::{Book, Move, MoveKind};
use super::instances::{Copies, Copy, Role};
use super::owner::{level, owner};
use super::scene::{Draft, FRESH, Scene};
use super::shares::{distance, split};
use super::standbys::leaves_pool;
use super::trust::steady;
use crate::model::*;
use std::collections::BTreeMap;
use write::Pending;

pub use write::is_pace;

/// Shares closer than this are the same.
const ALIKE: Share = Share(200);

type Shares = BTreeMap<AllocId, Share>;

/// What a move stands on: whose shares they are, what they are, and where they should be when there is time for everything.
#[derive(Clone, Copy)]
struct Ground<'a> {
    scene: &'a Scene<'a>,
    portion: &'a PortionPolicy,
    copies: &'a Copies,
    current: &'a Shares,
    ideal: &'a Shares,
}

/// Shares that are to be written, and why.
struct Next {
    shares: Shares,
    cause: Cause,
    why: String,
    /// A move that nothing forces: bound by the rules of planned moves.
    planned: bool,
}

impl Next {
    fn forced(shares: Shares, cause: Cause, why: String) -> Next {
        Next {
            shares,
            cause,
            why,
            planned: false,
        }
    }
}

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
    let target = match in_force(scene, service) {
        Ok(target) => target,
        Err(why) => return out.wait(what, why),
    };
    if book.writing(service) {
        return out.wait(what, write::UNVERIFIED);
    }
    let job = scene.world.job(&portion.job);
    let owner = match owner(portion.owner, service, job, &scene.world.keeps_weights) {
        Ok(owner) => owner,
        Err(why) => return out.wait(what, why),
    };
    let current = target.as_ref().map(Target::shares).unwrap_or_default();
    let before = target.as_ref();
    let copies = &steady(scene, book, portion, copies, (before, &current));
    surge::surge(scene, book, portion, copies);
    let mut ideal = ideal(scene, book, portion, copies);
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
    let prepared = before.map_or(&[][..], |b| &b.contingencies[..]);
    let ground = Ground {
        scene,
        portion,
        copies,
        current: &current,
        ideal: &ideal,
    };
    let next = emergency(&ground, book, prepared)
        .map(|next| match owner {
            Owner::Nomad => Next {
                shares: level(copies, next.shares),
                ..next
            },
            _ => next,
        })
        .or_else(|| choose(&ground, book, out));
    let target = Pending {
        owner,
        before,
        next,
    };
    write::write(scene, book, portion, copies, target, out);
}

/// The target as Consul has it, if there is one; or why nobody can tell.
fn in_force<'a>(
    scene: &'a Scene,
    service: &ServiceName,
) -> Result<&'a Option<Target>, &'static str> {
    let front = scene.world.fronts.get(service);
    let seen = front.and_then(|f| f.target.as_ref());
    let seen = seen.ok_or("its front has not been read yet")?;
    let fresh = seen.fresh(scene.now, FRESH);
    fresh.ok_or("the target in Consul cannot be read; weights stay")
}

/// Where traffic should be when there is time for everything.
fn ideal(scene: &Scene, book: &Book, portion: &PortionPolicy, copies: &Copies) -> Shares {
    if let Some(site) = book.asked.get(&portion.id) {
        let there = copies
            .all
            .iter()
            .filter(|c| c.ready && c.alive && c.site() == site);
        let shares = split(there);
        if !shares.is_empty() {
            return shares;
        }
    }
    let stays = drain::stays(copies);
    let ready = |role| copies.ready(role).filter(|c| stays(c));
    let primaries: Vec<&Copy> = ready(Role::Primary).collect();
    if primaries.is_empty() || book.surging.contains_key(&portion.id) {
        let needed = ready(Role::Standby).filter(|c| !leaves_pool(scene, book, &c.job));
        let pool: Vec<&Copy> = primaries.into_iter().chain(needed).collect();
        match pool.is_empty() {
            true => split(ready(Role::Standby)),
            false => split(pool.into_iter()),
        }
    } else {
        apart::with_kept(scene, portion, copies, split(primaries.into_iter()))
    }
}

/// The next shares, with cause, reason and whether it is a planned move; `None` when all is as it should be.
fn choose(ground: &Ground, book: &mut Book, out: &mut Draft) -> Option<Next> {
    let Ground { current, ideal, .. } = *ground;
    let service = ground.portion.front.as_ref()?;
    let carried: u32 = current.values().map(|s| s.0).sum();
    if carried == 0 {
        let why = format!("first shares: {} ready", ideal.len());
        return (!ideal.is_empty()).then(|| Next::forced(ideal.clone(), Cause::Upkeep, why));
    }
    if distance(current, ideal) <= ALIKE {
        book.moves.remove(service);
        return None;
    }
    moves::ramp(ground, book, out)
}

/// Instances that carry traffic fell out: what was cleared for that beforehand is done, all at once, or else the ready ones
/// take over. No ramp, no soak, and no other move in its way: the write budget alone binds it.
fn emergency(ground: &Ground, book: &mut Book, prepared: &[Contingency]) -> Option<Next> {
    let Ground {
        scene,
        portion,
        copies,
        current,
        ideal,
    } = *ground;
    let service = portion.front.as_ref()?;
    let carrying = current.iter().filter(|(_, share)| **share > Share::NONE);
    let fallen: Vec<(&AllocId, &Share)> = carrying.filter(|(id, _)| !up(copies, id)).collect();
    if fallen.is_empty() {
        return None;
    }
    let names: Vec<String> = fallen
        .iter()
        .map(|(id, share)| format!("{} with {share}", short(id)))
        .collect();
    let answers = |c: &&Contingency| {
        let lost = |id: &AllocId| fallen.iter().any(|(f, _)| *f == id);
        c.lost.len() == fallen.len()
            && c.lost.iter().all(lost)
            && c.shares.iter().all(|(id, _)| up(copies, id))
    };
    let (to, who) = match prepared.iter().find(answers) {
        Some(c) => (
            c.shares.to_map(),
            format!("what is cleared for {} is done", scene.named(&c.domain)),
        ),
        None => (ideal.clone(), "the ready ones take over".to_string()),
    };
    let why = format!("{} fell out; {who}", names.join(", "));
    if !apart::small(copies, &to) {
        // They stay until all has been well for the settling time.
        book.calm.remove(&portion.id);
        let surging = (Cause::Reactive, String::new());
        let surging = book.surging.entry(portion.id.clone()).or_insert(surging);
        surging.1.clone_from(&why);
    }
    // Whatever move was under way is given up.
    let at_once = Move {
        kind: MoveKind::Emergency,
        cause: Cause::Reactive,
        why: why.clone(),
        from: current.clone(),
        to: to.clone(),
        steps: vec![Share::ALL],
        done: 0,
        since: scene.now,
        verified: None,
    };
    book.moves.insert(service.clone(), at_once);
    Some(Next::forced(to, Cause::Reactive, why))
}

fn up(copies: &Copies, id: &AllocId) -> bool {
    copies.get(id).is_some_and(|c| c.ready && c.alive)
}

fn short(id: &AllocId) -> &str {
    id.as_str().get(..8).unwrap_or(id.as_str())
}
