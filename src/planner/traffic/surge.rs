//! Whether standbys belong to a portion's pool.

use super::drain;
use crate::model::*;
use crate::planner::book::Book;
use crate::planner::instances::{Copies, Copy, Role};
use crate::planner::scene::Scene;

/// Decides whether standbys belong to the pool now.
pub(super) fn surge(scene: &Scene, book: &mut Book, portion: &PortionPolicy, copies: &Copies) {
    let factor = scene.appetite.load_factor;
    let stays = drain::stays(copies);
    let primaries: Vec<&Copy> = copies.standing().filter(|c| stays(c)).collect();
    let job = scene.world.job(&portion.job);
    let wanted = job.map_or(0, |j| j.count(&portion.groups[0]) as usize);
    let carries = Copies::capacity(primaries.iter().copied()).map(|c| c.0 * factor);
    let lead = scene.policy.ramp.soak.times(portion_lead(scene));
    let soon = scene.demand(&portion.id, lead);
    let later = scene.demand(&portion.id, lead.times(2));
    let now = scene.rate(&portion.id);
    let short_of = copies.standing().count() < wanted;
    let breach = scene.breach(portion);
    let settling = settling(scene, book, portion);
    let over = |demand: Option<Rps>, limit: f64| match (demand, carries) {
        (Some(d), Some(c)) => d.0 > c * limit,
        _ => false,
    };
    let leaves = copies.of(Role::Primary).filter(|c| !stays(c));
    let leaves = leaves.filter_map(drain::leaving).next();
    let unsure = primaries.is_empty() || carries.is_none();
    let why = if let Some(leaves) = leaves.filter(|_| unsure || over(now, 1.0)) {
        // What stays would not do alone.
        Some((leaves.cause(), leaves.why))
    } else if copies.standing().count() == 0 && wanted > 0 {
        Some((Cause::Reactive, "no primary is ready".to_string()))
    } else if let Some(breach) = breach.clone().filter(|_| !settling) {
        Some((Cause::Reactive, breach))
    } else if over(now, 1.0) {
        Some((Cause::Reactive, sentence("demand", now, carries)))
    } else if over(soon, 1.0) {
        Some((Cause::Predicted, sentence("forecast", soon, carries)))
    } else if short_of && carries.is_none() {
        let why = format!("{} of {wanted} primaries ready", primaries.len());
        Some((Cause::Reactive, why))
    } else {
        None
    };
    match why {
        Some(why) => {
            book.calm.remove(&portion.id);
            let worse = why.0 == Cause::Reactive && !settling;
            let known = book.surging.get(&portion.id).map(|(cause, _)| *cause);
            if known.is_none() || (known == Some(Cause::Predicted) && worse) {
                book.surging.insert(portion.id.clone(), why);
            }
        }
        // Without a reading of demand nobody can say that all is calm.
        None if over(later, 0.9) || short_of || breach.is_some() || now.is_none() => {
            book.calm.remove(&portion.id);
        }
        None => {
            let since = *book.calm.entry(portion.id.clone()).or_insert(scene.now);
            if scene.now.since(since) >= scene.policy.ramp.settle {
                book.surging.remove(&portion.id);
            }
        }
    }
}

/// Whether the portion's own planned move, or the retreat from it, may be what hurts: then nothing is concluded yet.
pub(super) fn settling(scene: &Scene, book: &Book, portion: &PortionPolicy) -> bool {
    portion.front.as_ref().is_some_and(|service| {
        let moving = book.moves.get(service);
        let retreat = book.retreats.get(service);
        moving.is_some_and(|m| m.done > 0 && m.cause != Cause::Reactive)
            || retreat.is_some_and(|(at, _)| scene.now.since(*at) < scene.policy.ramp.settle)
    })
}

/// How many soaks ahead a surge must begin: every portion's ramp, one after the other.
fn portion_lead(scene: &Scene) -> i64 {
    (scene.policy.ramp.steps.len() * (scene.policy.portions.len() + 1)) as i64
}

fn sentence(what: &str, demand: Option<Rps>, carries: Option<f64>) -> String {
    format!(
        "{what} {} > {} that the primaries carry",
        demand.unwrap_or_default(),
        Rps(carries.unwrap_or_default())
    )
}
