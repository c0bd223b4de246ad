//! Which shares a service should have, and the next legal step towards them.

use super::apart;
use super::book::{Book, Move, MoveKind, patience};
use super::contingency::{contingencies, much_alike};
use super::instances::{Copies, Copy, Role};
use super::owner::{level, owner};
use super::scene::{Draft, FRESH, Scene};
use super::shares::{between, distance, fine, split};
use super::trust::steady;
use crate::model::*;
use std::collections::BTreeMap;

/// Shares closer than this are the same.
const ALIKE: Share = Share(200);
/// A service's shares are written at most this often, emergencies excepted.
const COALESCE: Span = Span::millis(1000);

type Shares = BTreeMap<AllocId, Share>;

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
    surge(scene, book, portion, copies);
    let mut ideal = ideal(scene, book, portion, copies);
    if owner == Owner::Nomad {
        ideal = level(copies, ideal);
    }
    // Entries that serve already are not taken out for want of a reading.
    if ideal.is_empty() && (!current.is_empty() || owner.takes_nomads_entries()) {
        out.wait(what, "no instance is ready; weights stay as they are");
        // Entries of Nomad's are checked whether or not a target knows them.
        if !owner.takes_nomads_entries() {
            enter(scene, book, portion, copies, target.as_ref(), out);
        }
        return;
    }
    let next = choose(scene, book, portion, copies, &current, &ideal, out);
    let target = Pending {
        owner,
        before: target.as_ref(),
        next,
    };
    write(scene, book, portion, copies, target, out);
}

/// What is to be written, over what is there.
struct Pending<'a> {
    owner: Owner,
    before: Option<&'a Target>,
    /// Shares, cause, reason and whether it is a planned move; none when only the rest may have changed.
    next: Option<(Shares, Cause, String, bool)>,
}

/// Decides whether standbys belong to the pool now.
fn surge(scene: &Scene, book: &mut Book, portion: &PortionPolicy, copies: &Copies) {
    let factor = scene.appetite.load_factor;
    let primaries: Vec<&Copy> = copies.standing().collect();
    let wanted = scene
        .world
        .job(&portion.job)
        .map_or(0, |j| j.count(&portion.groups[0]) as usize);
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
    let why = if copies.standing().count() == 0 && wanted > 0 {
        Some((Cause::Reactive, "no primary is ready".to_string()))
    } else if let Some(breach) = breach.clone().filter(|_| !settling) {
        Some((Cause::Reactive, breach))
    } else if over(now, 1.0) {
        Some((Cause::Reactive, sentence("demand", now, carries)))
    } else if over(soon, 1.0) {
        Some((Cause::Predicted, sentence("forecast", soon, carries)))
    } else if short_of && carries.is_none() {
        let have = primaries.len();
        Some((
            Cause::Reactive,
            format!("{have} of {wanted} primaries ready"),
        ))
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
fn settling(scene: &Scene, book: &Book, portion: &PortionPolicy) -> bool {
    portion.front.as_ref().is_some_and(|service| {
        let moving = book.moves.get(service);
        let retreat = book.retreats.get(service);
        moving.is_some_and(|m| m.done > 0 && m.cause != Cause::Reactive)
            || retreat.is_some_and(|(at, _)| scene.now.since(*at) < scene.policy.ramp.settle)
    })
}

/// How much longer no planned move of the service is tried again after a retreat.
fn retreated(scene: &Scene, book: &Book, service: &ServiceName) -> Option<Span> {
    let (at, times) = book.retreats.get(service)?;
    let left = patience(scene.policy.ramp.settle, *times).0 - scene.now.since(*at).0;
    (left > 0).then_some(Span(left))
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

/// Where traffic should be when there is time for everything.
fn ideal(scene: &Scene, book: &Book, portion: &PortionPolicy, copies: &Copies) -> Shares {
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
        apart::with_kept(scene, copies, split(primaries.into_iter()))
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
) -> Option<(Shares, Cause, String, bool)> {
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
    ramp(scene, book, portion, copies, current, ideal, out)
}

fn up(copies: &Copies, id: &AllocId) -> bool {
    copies.get(id).is_some_and(|c| c.ready && c.alive)
}

fn short(id: &AllocId) -> &str {
    id.as_str().get(..8).unwrap_or(id.as_str())
}

/// The next step of a planned move, or why it waits.
fn ramp(
    scene: &Scene,
    book: &mut Book,
    portion: &PortionPolicy,
    copies: &Copies,
    current: &Shares,
    ideal: &Shares,
    out: &mut Draft,
) -> Option<(Shares, Cause, String, bool)> {
    let service = portion.front.as_ref()?;
    let what = format!("move of {service}");
    let lost = |shares: &Shares| {
        let mut ids = shares.iter().filter(|(_, s)| **s > Share::NONE);
        ids.any(|(id, _)| !up(copies, id))
    };
    let changed = book
        .moves
        .get(service)
        .is_none_or(|m| distance(&m.to, ideal) > Share(500) || lost(&m.to) || lost(&m.from));
    if changed {
        let begun = begin(scene, book, portion, copies, current, ideal);
        book.moves.insert(service.clone(), begun);
    }
    let mv = book.moves.get(service)?;
    let urgent = mv.cause == Cause::Reactive;
    if let Some(other) = other_move(book, service).filter(|_| !urgent) {
        out.wait(what, format!("{other} is being moved; one service at once"));
        return None;
    }
    if let Some(left) = retreated(scene, book, service).filter(|_| !urgent) {
        let why = format!("it had to retreat; tried again in {} ms", left.0);
        out.wait(what, why);
        return None;
    }
    if let Some(at) = mv.verified {
        let soaked = scene.now.since(at);
        if soaked < scene.policy.ramp.soak {
            out.wait(
                what,
                format!("soaking for {} ms", scene.policy.ramp.soak.0 - soaked.0),
            );
            return None;
        }
        if let Some(breach) = scene.breach(portion).filter(|_| !urgent && mv.done > 0) {
            return Some(retreat(scene, book, service, ideal, copies, breach));
        }
        let seen = scene.traffic(&portion.id).map_or(0, |t| t.samples);
        if !urgent && seen < scene.policy.ramp.min_samples {
            let need = scene.policy.ramp.min_samples;
            out.wait(
                what,
                format!("{seen} of {need} requests seen; no data never advances"),
            );
            return None;
        }
    }
    if !urgent && scene.quiet() {
        out.wait(what, "quiet hours");
        return None;
    }
    let share = mv.steps.get(mv.done).copied().unwrap_or(Share::ALL);
    let next = between(&mv.from, &mv.to, share);
    let (step, steps) = (mv.done + 1, mv.steps.len());
    let why = format!("{}: step {step} of {steps} ({share})", mv.why);
    Some((next, mv.cause, why, !urgent))
}

/// Another service whose ramp has begun.
fn other_move(book: &Book, service: &ServiceName) -> Option<ServiceName> {
    let begun = |(s, m): &(&ServiceName, &Move)| *s != service && m.done > 0;
    book.moves.iter().find(begun).map(|(s, _)| s.clone())
}

fn begin(
    scene: &Scene,
    book: &Book,
    portion: &PortionPolicy,
    copies: &Copies,
    current: &Shares,
    ideal: &Shares,
) -> Move {
    let standby_share = |shares: &Shares| -> u32 {
        copies
            .of(Role::Standby)
            .map(|c| shares.get(&c.alloc).map_or(0, |s| s.0))
            .sum()
    };
    let surging = book.surging.get(&portion.id);
    let (kind, cause, why) = if book.asked.contains_key(&portion.id) {
        (
            MoveKind::Asked,
            Cause::Upkeep,
            "asked for by the operator".to_string(),
        )
    } else if alone(copies, current, ideal) && surging.is_none() {
        let why = "each site keeps an instance for its own clients".to_string();
        (MoveKind::Kept, Cause::Upkeep, why)
    } else if standby_share(ideal) < standby_share(current) {
        let calm = "primaries carry the forecast again; traffic goes back".to_string();
        (MoveKind::Failback, Cause::Upkeep, calm)
    } else if let Some((cause, why)) = surging {
        (MoveKind::Surge, *cause, why.clone())
    } else {
        let why = "a primary is ready again; shares follow capacity".to_string();
        (MoveKind::Failback, Cause::Upkeep, why)
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

/// Whether all that changes for standbys is who is kept for its own site.
fn alone(copies: &Copies, current: &Shares, ideal: &Shares) -> bool {
    let of = |shares: &Shares| -> Vec<Share> {
        let share = |c: &Copy| shares.get(&c.alloc).copied().unwrap_or_default();
        copies.of(Role::Standby).map(share).collect()
    };
    of(current) != of(ideal) && apart::small(copies, current) && apart::small(copies, ideal)
}

/// Retreat is a plan too: back to where the move began, as far as it is still ready.
fn retreat(
    scene: &Scene,
    book: &mut Book,
    service: &ServiceName,
    ideal: &Shares,
    copies: &Copies,
    breach: String,
) -> (Shares, Cause, String, bool) {
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
    (back, Cause::Reactive, why, false)
}

/// Drafts the write when anything differs: shares, the set of instances, or what is prepared for failures.
fn write(
    scene: &Scene,
    book: &mut Book,
    portion: &PortionPolicy,
    copies: &Copies,
    Pending {
        owner,
        before,
        next,
    }: Pending,
    out: &mut Draft,
) {
    let Some(service) = portion.front.clone() else {
        return;
    };
    let moved = next.is_some();
    let current = before.map(Target::shares).unwrap_or_default();
    let (shares, cause, why, planned) = next.unwrap_or_else(|| {
        let why = "entries follow the allocations, contingencies the readings".to_string();
        (current, Cause::Upkeep, why, false)
    });
    let mut target = target(scene, portion, copies, before, &shares);
    target.owner = owner;
    if target.instances.is_empty() {
        return out.wait(
            format!("shares of {service}"),
            "the portion has no running instance",
        );
    }
    let same = before.is_some_and(|b| {
        b.owner == owner
            && b.instances == target.instances
            && much_alike(&b.contingencies, &target.contingencies)
    });
    if !moved && same {
        return;
    }
    let urgent = cause == Cause::Reactive && !planned;
    let last = book.written.get(&service);
    if !urgent && last.is_some_and(|at| scene.now.since(*at) < COALESCE) {
        return out.wait(format!("shares of {service}"), "at most one write a second");
    }
    book.written.insert(service, scene.now);
    let action = Action::SetTarget {
        target,
        before: before.cloned(),
        planned,
    };
    out.step(scene, Some(&portion.id), cause, action, why);
}

/// While nothing is ready, what Nomad has placed since is entered, so that gateways check it: nobody else would ever find it
/// ready. All shares stay, those of what has gone too.
fn enter(
    scene: &Scene,
    book: &mut Book,
    portion: &PortionPolicy,
    copies: &Copies,
    before: Option<&Target>,
    out: &mut Draft,
) {
    let Some(before) = before else {
        return;
    };
    let known = |id: &AllocId| before.instances.iter().any(|i| &i.alloc == id);
    let last = book.written.get(&before.service);
    let soon = last.is_some_and(|at| scene.now.since(*at) < COALESCE);
    if soon || copies.all.iter().all(|c| known(&c.alloc)) {
        return;
    }
    let mut next = target(scene, portion, copies, Some(before), &before.shares());
    next.owner = before.owner;
    let gone = |i: &&Instance| i.share > Share::NONE && copies.get(&i.alloc).is_none();
    next.instances
        .extend(before.instances.iter().filter(gone).cloned());
    book.written.insert(before.service.clone(), scene.now);
    let action = Action::SetTarget {
        target: next,
        before: Some(before.clone()),
        planned: false,
    };
    let why = "nothing is ready; what has come since is entered, to be checked";
    out.step(scene, Some(&portion.id), Cause::Upkeep, action, why);
}

/// The whole document: every live instance with its share, dead ones that still have one dropped, contingencies anew.
fn target(
    scene: &Scene,
    portion: &PortionPolicy,
    copies: &Copies,
    before: Option<&Target>,
    shares: &Shares,
) -> Target {
    let instances = copies
        .all
        .iter()
        .map(|c| Instance {
            alloc: c.alloc.clone(),
            address: c.address.clone(),
            port: c.port,
            node: c.node.clone(),
            site: c.site.clone(),
            health: portion.health.clone(),
            share: shares.get(&c.alloc).copied().unwrap_or_default(),
        })
        .collect();
    let mut target = Target {
        service: portion.front.clone().unwrap_or_else(|| "".into()),
        plan: scene.plan.clone(),
        parent: before.map(|b| b.plan.clone()),
        epoch: scene.epoch,
        owner: Owner::default(),
        instances,
        contingencies: Vec::new(),
        index: before.map_or(0, |b| b.index),
    };
    let demand = scene.rate(&portion.id).unwrap_or_default();
    target.contingencies = contingencies(copies, &target, demand);
    target
}
