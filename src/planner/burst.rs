//! From warm to active size: a standby that must carry more than it can gets more copies where it stands, and loses them again.

use super::book::Book;
use super::instances::{Copies, Role};
use super::places;
use super::scene::{Draft, Scene};
use crate::model::*;

/// Copies that a standby's job has or has been asked for, by its first group.
pub fn size(job: &JobSpec, portion: &PortionPolicy) -> usize {
    portion.groups.first().map_or(0, |g| job.count(g) as usize)
}

/// Drafts the growth of standbys that pass their check by `missing` copies in all, as far as their nodes have room; the
/// number of copies asked for. Nothing is asked twice: a job that is being scaled counts as it will be.
pub fn grow(
    scene: &Scene,
    book: &Book,
    portion: &PortionPolicy,
    copies: &Copies,
    missing: usize,
    why: &str,
    out: &mut Draft,
) -> usize {
    let refused = book.refused.get(&key(&portion.id));
    if refused.is_some_and(|until| scene.now < *until) {
        return 0;
    }
    let mut grown = 0;
    for standby in copies.ready(Role::Standby) {
        let Some(job) = scene.world.job(&standby.job) else {
            continue;
        };
        let now = size(job, portion);
        // A second copy of the same job is seen here too: it says nothing new.
        let seen = copies.of(Role::Standby).filter(|c| c.job == standby.job);
        let first = seen.map(|c| &c.alloc).min() == Some(&standby.alloc);
        if !first || grown >= missing || book.working_on_job(&standby.job) {
            continue;
        }
        let Some(node) = scene.world.node(&standby.node) else {
            continue;
        };
        let needs = places::of_job(job, &portion.groups);
        let room = places::room(node, &places::free(scene, &[node])[0], &needs);
        let more = (missing - grown).min(room);
        if more > 0 {
            grown += more;
            let why = format!("{why}; {} has room for {room} more", node.name);
            scale(scene, portion, job, now + more, Cause::Reactive, &why, out);
        }
    }
    grown
}

/// Where the book remembers that Nomad refused growth.
pub fn key(portion: &PortionId) -> String {
    format!("burst of {portion}")
}

/// All groups of the portion grow and shrink together.
pub fn scale(
    scene: &Scene,
    portion: &PortionPolicy,
    job: &JobSpec,
    to: usize,
    cause: Cause,
    why: &str,
    out: &mut Draft,
) {
    for group in &portion.groups {
        let action = Action::Scale {
            job: job.id(),
            group: group.clone(),
            from: job.count(group),
            to: to as u64,
        };
        out.step(scene, Some(&portion.id), cause, action, why);
    }
}
