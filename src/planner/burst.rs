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

/// Of a standby's job: how many copies it has, on which node, and how many more fit there.
struct Stand<'a> {
    job: &'a JobSpec,
    node: &'a Node,
    has: usize,
    room: usize,
    /// Copies of the portion on the node, whatever job they are of, and those that it is given now.
    there: usize,
    more: usize,
}

/// What growth is wanted.
pub struct More<'a> {
    /// So many copies.
    pub missing: usize,
    /// So many could be placed elsewhere instead. As long as these suffice no node is given more copies than the others could do without.
    pub elsewhere: usize,
    /// Only of standbys at this site.
    pub within: Option<&'a Site>,
    pub cause: Cause,
    pub why: &'a str,
}

/// Drafts the growth of standbys that pass their check, as far as their nodes have room, where the fewest copies stand first; the number of copies
/// asked for. Nothing is asked twice: a job that is being scaled counts as it will be.
pub fn grow(
    scene: &Scene,
    book: &Book,
    portion: &PortionPolicy,
    copies: &Copies,
    more: More,
    out: &mut Draft,
) -> usize {
    let (missing, why) = (more.missing, more.why);
    let refused = book.refused.get(&key(&portion.id));
    if missing == 0 || refused.is_some_and(|until| scene.now < *until) {
        return 0;
    }
    let mut stands = stands(scene, book, portion, copies);
    stands.retain(|s| more.within.is_none_or(|site| &s.node.site == site));
    let all = copies.all.iter().filter(|c| c.alive).count() + missing;
    let (spare, here) = (spare(scene, all), missing.saturating_sub(more.elsewhere));
    let mut grown = 0;
    while grown < missing {
        let fits = |s: &&mut Stand| s.more < s.room && (grown < here || s.there + s.more < spare);
        let fewest = stands.iter_mut().filter(fits);
        let Some(stand) = fewest.min_by_key(|s| s.there + s.more) else {
            break;
        };
        stand.more += 1;
        grown += 1;
    }
    for s in stands.iter().filter(|s| s.more > 0) {
        let why = format!("{why}; {} has room for {} more", s.node.name, s.room);
        let to = s.has + s.more;
        scale(scene, portion, s.job, to, more.cause, &why, out);
    }
    grown
}

/// How many of `all` copies one node may hold so that the others, loaded to their limit instead of as planned, do its work should it die.
/// Two at least: with few copies nothing less would be a growth.
fn spare(scene: &Scene, all: usize) -> usize {
    let headroom = 1.0 - scene.appetite.load_factor;
    ((all as f64 * headroom) as usize).max(2)
}

/// The jobs of standbys that may grow, in the order of their allocations.
fn stands<'a>(
    scene: &'a Scene,
    book: &Book,
    portion: &PortionPolicy,
    copies: &Copies,
) -> Vec<Stand<'a>> {
    let mut stands: Vec<Stand> = Vec::new();
    for standby in copies.ready(Role::Standby) {
        let job = scene.world.job(&standby.job);
        let (Some(job), Some(node)) = (job, scene.world.node(standby.node())) else {
            continue;
        };
        // A second copy of the same job says nothing new.
        let known = stands.iter().any(|s| s.job.id() == standby.job);
        if known || book.working_on_job(&standby.job) {
            continue;
        }
        let needs = places::of_job(job, &portion.groups);
        let on_node = copies
            .all
            .iter()
            .filter(|c| c.alive && *c.node() == node.id);
        stands.push(Stand {
            job,
            node,
            has: size(job, portion),
            room: places::room(node, &places::free(scene, &[node])[0], &needs),
            there: on_node.count(),
            more: 0,
        });
    }
    stands
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
