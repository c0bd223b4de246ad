//! The document that is written: every live instance with its share, and what is prepared for failures.

use super::{Next, Shares};
use crate::model::*;
use crate::planner::book::Book;
use crate::planner::contingency::{Stakes, much_alike};
use crate::planner::instances::{Copies, Copy};
use crate::planner::scene::{Draft, Scene};

/// Why a write waits that comes too soon after the last one …
const PACED: &str = "at most one write a second";
/// … and while that is not verified.
pub(super) const UNVERIFIED: &str = "the last write is not verified yet";

/// Whether that is how every write waits for the one before: nothing to tell anybody.
pub fn is_pace(why: &str) -> bool {
    why == PACED || why == UNVERIFIED
}

/// A service's shares are written at most this often, emergencies excepted.
const COALESCE: Span = Span::millis(1000);

/// What is to be written, over what is there.
pub(super) struct Pending<'a> {
    pub owner: Owner,
    pub before: Option<&'a Target>,
    /// Shares, cause, reason and whether it is a planned move; none when only the rest may have changed.
    pub next: Option<Next>,
}

/// Drafts the write when anything differs: shares, the set of instances, or what is prepared for failures.
pub(super) fn write(
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
    let next = next.unwrap_or_else(|| {
        let why = "entries follow the allocations, contingencies the readings".to_string();
        Next::forced(current, Cause::Upkeep, why)
    });
    let Next {
        shares,
        cause,
        why,
        planned,
    } = next;
    let mut target = target(scene, book, portion, copies, (before, &shares));
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
        return out.wait(format!("shares of {service}"), PACED);
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
pub(super) fn enter(
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
    let mut next = target(
        scene,
        book,
        portion,
        copies,
        (Some(before), &before.shares()),
    );
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

/// The whole document: every live instance with its share, dead ones that still have one dropped, contingencies as they are wanted.
fn target(
    scene: &Scene,
    book: &mut Book,
    portion: &PortionPolicy,
    copies: &Copies,
    (before, shares): (Option<&Target>, &Shares),
) -> Target {
    let service: ServiceName = portion.front.clone().unwrap_or_else(|| "".into());
    let stakes = Stakes {
        demand: scene.rate(&portion.id),
        importance: scene.world.importance(&portion.job),
    };
    let instances = instances(portion, copies, before, shares);
    let drills = book.drills.entry(service.clone()).or_default();
    Target {
        contingencies: drills.contingencies(copies, &instances, stakes),
        service,
        plan: scene.plan.clone(),
        parent: before.map(|b| b.plan.clone()),
        epoch: scene.epoch,
        owner: Owner::default(),
        instances,
        index: before.map_or(0, |b| b.index),
    }
}

/// Live instances with their shares: those of the target before, where they are the same.
fn instances(
    portion: &PortionPolicy,
    copies: &Copies,
    before: Option<&Target>,
    shares: &Shares,
) -> SharedList<Instance> {
    let share = |c: &Copy| shares.get(&c.alloc).copied().unwrap_or_default();
    let is = |c: &Copy, i: &Instance| {
        (&c.alloc, &c.address, c.port) == (&i.alloc, &i.address, i.port)
            && (c.node(), c.site()) == (&i.node, &i.site)
            && (&portion.health, share(c)) == (&i.health, i.share)
    };
    let same = |b: &&SharedList<Instance>| {
        let pairs = || copies.all.iter().zip(b.iter());
        b.len() == copies.all.len() && pairs().all(|(c, i)| is(c, i))
    };
    if let Some(before) = before.map(|b| &b.instances).filter(same) {
        return before.clone();
    }
    let instance = |c: &Copy| Instance {
        alloc: c.alloc.clone(),
        address: c.address.clone(),
        port: c.port,
        node: c.node().clone(),
        site: c.site().clone(),
        health: portion.health.clone(),
        share: share(c),
    };
    copies.all.iter().map(instance).collect()
}
