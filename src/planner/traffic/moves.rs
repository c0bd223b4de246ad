//! The steps of a move: what it is, when the next one is due, and when it turns back.

use super::surge::settling;
use super::went::{Went, went};
use super::{ALIKE, Ground, Next, Shares, drain, up};
use crate::model::*;
use crate::planner::apart;
use crate::planner::book::{Book, Move, MoveKind, patience};
use crate::planner::instances::{Copies, Copy, Role};
use crate::planner::scene::{Draft, Scene};
use crate::planner::shares::{between, distance, fine};

/// The next step of a planned move, or why it waits.
pub(super) fn ramp(ground: &Ground, book: &mut Book, out: &mut Draft) -> Option<Next> {
    let Ground {
        scene,
        portion,
        copies,
        current,
        ideal,
    } = *ground;
    let service = portion.front.as_ref()?;
    let what = format!("move of {service}");
    let lost = |shares: &Shares| {
        let mut ids = shares.iter().filter(|(_, s)| **s > Share::NONE);
        ids.any(|(id, _)| !up(copies, id))
    };
    if let Some(back) = returning(book, service, current, &lost) {
        return Some(back);
    }
    let changed = book.moves.get(service).is_none_or(|m| {
        m.kind == MoveKind::Emergency
            || distance(&m.to, ideal) > Share(500)
            || lost(&m.to)
            || lost(&m.from)
            || waits_in_pain(scene, book, portion, m)
    });
    if changed {
        let begun = begin(ground, book);
        book.moves.insert(service.clone(), begun);
    }
    let mv = book.moves.get(service)?;
    let urgent = mv.cause == Cause::Reactive;
    if let Some(why) = blocked(scene, book, service, mv) {
        out.wait(what, why);
        return None;
    }
    let judged = !urgent && mv.verified.is_some();
    let last = mv.verified.filter(|_| judged && mv.done > 0);
    let split = last.map_or(Went::Untold, |at| went(ground, at));
    let breach = last.and_then(|at| scene.breach(portion).or_else(|| astray(scene, &split, at)));
    if let Some(breach) = breach {
        return Some(retreat(ground, book, service, breach));
    }
    if let Some(why) = unproven(scene, portion, judged, &split).filter(|_| !urgent) {
        out.wait(what, why);
        return None;
    }
    let share = mv.steps.get(mv.done).copied().unwrap_or(Share::ALL);
    let next = between(&mv.from, &mv.to, share);
    let (step, steps) = (mv.done + 1, mv.steps.len());
    let told = match split {
        Went::AsShared(told) => format!("; since the last step {told}"),
        _ => String::new(),
    };
    let why = format!("{}: step {step} of {steps} ({share}){told}", mv.why);
    Some(Next {
        shares: next,
        cause: mv.cause,
        why,
        planned: !urgent,
    })
}

/// A move that has not begun while what it would leave breaks the SLO: after a retreat, say, to shares that turn out to hurt as well.
/// It is begun anew, as what must be done now.
fn waits_in_pain(scene: &Scene, book: &Book, portion: &PortionPolicy, mv: &Move) -> bool {
    let waits = mv.done == 0 && mv.kind != MoveKind::Asked && mv.cause != Cause::Reactive;
    waits && !settling(scene, book, portion) && scene.breach(portion).is_some()
}

/// Why the next step has to wait, whatever the last one has shown: another service, the last retreat, the soak.
fn blocked(scene: &Scene, book: &Book, service: &ServiceName, mv: &Move) -> Option<String> {
    let urgent = mv.cause == Cause::Reactive;
    if let Some(other) = other_move(book, service).filter(|_| !urgent) {
        return Some(format!("{other} is being moved; one service at once"));
    }
    if let Some(left) = retreated(scene, book, service).filter(|_| !urgent) {
        return Some(format!("it had to retreat; tried again in {} ms", left.0));
    }
    let soak = scene.policy.ramp.soak;
    let soaked = scene.now.since(mv.verified?);
    (soaked < soak).then(|| format!("soaking for {} ms", soak.0 - soaked.0))
}

/// Why a step that nothing forces is not taken yet: too little was seen of the last one, or it is no time for it.
fn unproven(scene: &Scene, portion: &PortionPolicy, judged: bool, split: &Went) -> Option<String> {
    let seen = scene.traffic(&portion.id).map_or(0, |t| t.samples);
    let need = scene.policy.ramp.min_samples;
    if judged && seen < need {
        return Some(format!(
            "{seen} of {need} requests seen; no data never advances"
        ));
    }
    match split {
        Went::NotYet(counted) => Some(format!(
            "instances count {counted} of {need} requests since the last step: where they go is not known yet"
        )),
        Went::Otherwise(why) => Some(why.clone()),
        Went::Untold | Went::AsShared(_) => scene.policy.rest(scene.now),
    }
}

/// Requests that still go elsewhere after the soak and the settling time: a move that stands still would keep all others waiting.
fn astray(scene: &Scene, split: &Went, verified: Moment) -> Option<String> {
    let Went::Otherwise(why) = split else {
        return None;
    };
    let ramp = &scene.policy.ramp;
    (scene.now >= verified + ramp.soak + ramp.settle).then(|| why.clone())
}

/// A retreat that was begun and not verified yet is asked for until it is, whoever held it up, as far as it still leads
/// to what is ready.
fn returning(
    book: &mut Book,
    service: &ServiceName,
    current: &Shares,
    lost: &dyn Fn(&Shares) -> bool,
) -> Option<Next> {
    let mv = book.moves.get(service)?;
    if mv.kind != MoveKind::Retreat {
        return None;
    }
    if lost(&mv.to) || distance(current, &mv.to) <= ALIKE {
        book.moves.remove(service);
        return None;
    }
    Some(Next::forced(mv.to.clone(), mv.cause, mv.why.clone()))
}

/// Another service whose ramp has begun.
fn other_move(book: &Book, service: &ServiceName) -> Option<ServiceName> {
    let begun = |(s, m): &(&ServiceName, &Move)| *s != service && m.done > 0;
    book.moves.iter().find(begun).map(|(s, _)| s.clone())
}

fn begin(ground: &Ground, book: &Book) -> Move {
    let Ground {
        scene,
        portion,
        copies,
        current,
        ideal,
    } = *ground;
    let (kind, cause, why) = reason(ground, book);
    // From what hurts there is no way back to be kept open: a retreat would end in it again.
    let concluded = kind != MoveKind::Asked && !settling(scene, book, portion);
    let hurts = scene.breach(portion).filter(|_| concluded);
    let (cause, why) = match hurts {
        Some(breach) if cause != Cause::Reactive => (Cause::Reactive, format!("{breach}: {why}")),
        _ => (cause, why),
    };
    let ramp = &scene.policy.ramp.steps;
    let steps = match cause {
        Cause::Reactive => ramp.clone(),
        // Less than any step that a ramp could have.
        _ if kind == MoveKind::Kept => vec![Share::ALL],
        _ => fine(
            ramp,
            distance(current, ideal),
            scene.appetite.max_step,
            copies.all.len(),
        ),
    };
    Move {
        kind,
        steps,
        cause,
        why,
        from: current.clone(),
        to: ideal.clone(),
        done: 0,
        since: scene.now,
        verified: None,
    }
}

/// What kind of move it is, and why.
fn reason(ground: &Ground, book: &Book) -> (MoveKind, Cause, String) {
    let Ground {
        portion,
        copies,
        current,
        ideal,
        ..
    } = *ground;
    let standby_share = |shares: &Shares| -> u32 {
        copies
            .of(Role::Standby)
            .map(|c| shares.get(&c.alloc).map_or(0, |s| s.0))
            .sum()
    };
    let surging = book.surging.get(&portion.id);
    if book.asked.contains_key(&portion.id) {
        (
            MoveKind::Asked,
            Cause::Upkeep,
            "asked for by the operator".to_string(),
        )
    } else if let Some(leaving) = drain::first(copies, current) {
        let why = format!("traffic leaves: {}", leaving.why);
        (MoveKind::Drain, leaving.cause(), why)
    } else if surging.is_none() && only_kept(copies, current, ideal) {
        let why = "each site keeps an instance for its own clients".to_string();
        (MoveKind::Kept, Cause::Upkeep, why)
    } else if standby_share(ideal) < standby_share(current) {
        let calm = match surging {
            Some(_) => "fewer standbys carry the forecast; traffic leaves the others",
            None => "primaries carry the forecast again; traffic goes back",
        };
        (MoveKind::Failback, Cause::Upkeep, calm.to_string())
    } else if let Some((cause, why)) = surging {
        (MoveKind::Surge, *cause, why.clone())
    } else {
        let why = "a primary is ready again; shares follow capacity".to_string();
        (MoveKind::Failback, Cause::Upkeep, why)
    }
}

/// Whether all that changes for standbys is who is kept for its own site.
fn only_kept(copies: &Copies, current: &Shares, ideal: &Shares) -> bool {
    let of = |shares: &Shares| -> Vec<Share> {
        let share = |c: &Copy| shares.get(&c.alloc).copied().unwrap_or_default();
        copies.of(Role::Standby).map(share).collect()
    };
    of(current) != of(ideal) && apart::small(copies, current) && apart::small(copies, ideal)
}

/// Retreat is a plan too: back to where the move began, as far as it is still ready.
fn retreat(ground: &Ground, book: &mut Book, service: &ServiceName, breach: String) -> Next {
    let Ground {
        scene,
        copies,
        current,
        ideal,
        ..
    } = *ground;
    let back = book
        .moves
        .remove(service)
        .map(|m| m.from)
        .filter(|from| {
            from.iter()
                .all(|(id, s)| *s == Share::NONE || up(copies, id))
        })
        .unwrap_or_else(|| ideal.clone());
    let entry = book.retreats.entry(service.clone()).or_default();
    *entry = (scene.now, entry.1 + 1);
    let why = format!("retreat: {breach} during the move");
    let way = Move {
        kind: MoveKind::Retreat,
        cause: Cause::Reactive,
        why: why.clone(),
        from: current.clone(),
        to: back.clone(),
        steps: vec![Share::ALL],
        done: 0,
        since: scene.now,
        verified: None,
    };
    book.moves.insert(service.clone(), way);
    Next::forced(back, Cause::Reactive, why)
}

/// How much longer no planned move of the service is tried again after a retreat.
fn retreated(scene: &Scene, book: &Book, service: &ServiceName) -> Option<Span> {
    let (at, times) = book.retreats.get(service)?;
    let left = patience(scene.policy.ramp.settle, *times).0 - scene.now.since(*at).0;
    (left > 0).then_some(Span(left))
}
