//! How many standbys each portion should have, and which to place or release. Where they go is the solver's answer.

use super::apart;
use super::book::Book;
use super::burst;
use super::instances::{Copies, Copy, Role};
use super::own;
use super::placing::{self, Wishes};
use super::scene::{Draft, Scene};
use super::wishes::{self, Standing};
use crate::model::*;
use std::collections::BTreeMap;

/// A standby that was not needed for so many settling times is released.
const KEEP: i64 = 2;
/// One that serves leaves the pool when the others would have done for so many: demand comes back, and a move is no trifle.
const SPARE: i64 = 5;

/// What a portion needs, and why.
pub struct Need {
    pub count: usize,
    /// What the budget allows all portions together: no portion asks for more.
    pub most: usize,
    /// How many of them what is wrong *now* asks for: the budget does not bind those.
    pub urgent: usize,
    pub cause: Cause,
    pub why: String,
    /// The failure domain it must stand outside of.
    pub avoid: Option<Site>,
}

impl Need {
    pub fn none() -> Need {
        Need::within(0)
    }

    fn within(most: usize) -> Need {
        Need {
            count: 0,
            most,
            urgent: 0,
            cause: Cause::Upkeep,
            why: String::new(),
            avoid: None,
        }
    }
}

/// Drafts placements and releases for all portions of the workload.
pub fn plan(scene: &Scene, book: &mut Book, copies: &BTreeMap<PortionId, Copies>, out: &mut Draft) {
    let Some(jobs) = scene.world.jobs.value() else {
        return out.wait("standbys", "jobs cannot be read");
    };
    let ours: BTreeMap<&PortionId, Vec<JobId>> = scene
        .portions
        .iter()
        .map(|p| (&p.id, scene.census.standbys(&p.id)))
        .collect();
    let sizes = |portion: &PortionPolicy, of: &[JobId]| -> usize {
        of.iter()
            .filter_map(|j| jobs.get(j))
            .map(|j| burst::size(j, portion))
            .sum()
    };
    let mut running: usize = scene
        .policy
        .portions
        .iter()
        .filter_map(|p| Some(sizes(p, ours.get(&p.id)?)))
        .sum();
    running += under_way(book, jobs, None);
    book.leaving.retain(|j| jobs.contains_key(j));
    book.spare.retain(|j, _| jobs.contains_key(j));
    let mut asks = Vec::new();
    let mut standing = Vec::new();
    for portion in &scene.policy.portions {
        let (Some(mine), Some(set)) = (ours.get(&portion.id), copies.get(&portion.id)) else {
            continue;
        };
        // What died with its node does not stand for anything; it is kept last, should the node come back.
        let (alive, dead): (Vec<JobId>, Vec<JobId>) =
            mine.iter().cloned().partition(|j| stands(scene, j));
        let mut need = need(scene, book, portion, set, alive.len());
        // Those kept for a site's own clients are the last to go.
        let kept_for: Vec<&JobId> = apart::kept(scene, portion, set)
            .iter()
            .map(|c| &c.job)
            .collect();
        let (mut alive, others): (Vec<JobId>, Vec<JobId>) =
            alive.into_iter().partition(|j| kept_for.contains(&j));
        need.count = need.count.max(sizes(portion, &alive));
        alive.extend(others);
        let mut kept = 0;
        for job in &alive {
            let needed = kept < need.count;
            kept += sizes(portion, std::slice::from_ref(job));
            standing.extend(placing::stand(
                scene,
                book,
                portion,
                set,
                job,
                (&need, needed),
            ));
        }
        let (gives_way, stays): (Vec<JobId>, Vec<JobId>) =
            alive.into_iter().partition(|j| book.leaving.contains(j));
        let mut have = sizes(portion, &stays) + under_way(book, jobs, Some(&portion.id));
        // What is released first is last.
        let mine: Vec<JobId> = stays.into_iter().chain(gives_way).chain(dead).collect();
        release(scene, book, portion, set, &mine, need.count, out);
        if !portion.standby {
            continue;
        }
        let (own, grown) = own::sites(scene, book, portion, copies, running, out);
        running += own.len() + grown;
        have += own.len() + grown;
        asks.extend(own);
        if need.count <= have {
            continue;
        }
        // What is wrong now is answered where a standby already stands: nothing starts sooner.
        let missing = match grown {
            0 => need.urgent.saturating_sub(have),
            // Its jobs are being scaled by then: once a turn.
            _ => 0,
        };
        let missing = missing.min(scene.policy.budget.max_standbys.saturating_sub(running));
        let one = || placing::ask(scene, portion, set, 1, &need);
        let more = burst::More {
            missing,
            elsewhere: match missing {
                0 => 0,
                _ => placing::possible(scene, copies, &one()),
            },
            within: None,
            cause: Cause::Reactive,
            why: &need.why,
        };
        let grown = burst::grow(scene, book, portion, set, more, out);
        have += grown;
        running += grown;
        if need.count <= have {
            continue;
        }
        if let Some(until) = book.refused.get(portion.id.as_str())
            && scene.now < *until
        {
            out.wait(
                format!("standby of {}", portion.id),
                "Nomad refused the last one; trying again later",
            );
            continue;
        }
        let room = scene.policy.budget.max_standbys.saturating_sub(running);
        let spent = book.spent.standby.0 >= scene.policy.budget.standby.0;
        let affordable = if spent { need.urgent } else { need.count };
        if affordable <= have {
            let spent = format!(
                "budget: {} of {} spent",
                book.spent.standby, scene.policy.budget.standby
            );
            out.wait(format!("standby of {}", portion.id), spent);
            continue;
        }
        let k = (affordable - have).min(room);
        if k == 0 {
            let most = scene.policy.budget.max_standbys;
            out.wait(
                format!("standby of {}", portion.id),
                format!("budget: {running} of {} in use", counted(most, "standby")),
            );
            continue;
        }
        // What no node could take leaves its part of the budget to others; one is asked for in any case: the solver says what is in the way.
        let k = k.min(placing::possible(scene, copies, &one()).max(1));
        running += k;
        asks.push((placing::ask(scene, portion, set, k, &need), need));
    }
    let leaves = |s: &Standing| !s.leaving && !s.fixed && wishes::leaves(scene, &s.node);
    if !asks.is_empty() || standing.iter().any(leaves) {
        let room = scene.policy.budget.max_standbys.saturating_sub(running);
        let wishes = Wishes {
            asks,
            standing,
            room,
        };
        placing::place(scene, book, wishes, copies, out);
    }
}

/// Placements under way that Nomad does not show yet, of one portion or of all.
fn under_way(book: &Book, jobs: &BTreeMap<JobId, JobSpec>, of: Option<&PortionId>) -> usize {
    let counts = |s: &&Step| match &s.action {
        Action::PlaceStandby { portion, job, .. } => {
            of.is_none_or(|id| id == portion) && !jobs.contains_key(&job.id())
        }
        _ => false,
    };
    book.inflight.values().filter(counts).count()
}

/// Whether the job has an allocation on a live node, or none yet.
fn stands(scene: &Scene, job: &JobId) -> bool {
    let ready = |n: &NodeId| {
        scene
            .world
            .node(n)
            .is_some_and(|n| n.status == NodeStatus::Ready)
    };
    let allocs = scene.world.allocs.value().into_iter();
    let mut of_job = allocs.flat_map(|all| all.of(job)).peekable();
    of_job.peek().is_none() || of_job.any(|a| a.holds() && ready(&a.node))
}

/// The most that any one reason asks for: demand, a probable failure, or what is missing now.
fn need(scene: &Scene, book: &Book, portion: &PortionPolicy, copies: &Copies, have: usize) -> Need {
    let mut need = Need::within(scene.policy.budget.max_standbys);
    let load = Load::of(scene, portion, copies);
    need.raise(load.missing, load.cause, load.why(scene), None);
    let wanted = scene
        .world
        .job(&portion.job)
        .map_or(0, |j| j.count(&portion.groups[0]) as usize);
    let lost = wanted.saturating_sub(copies.standing().count());
    if lost > 0 {
        let why = format!("not ready: {lost} of {}", counted(wanted, "primary"));
        need.raise(lost, Cause::Reactive, why, None);
    }
    let known = load.each.is_some();
    if let Some((count, why)) = breached(scene, book, portion, copies, (have, known)) {
        need.raise(count, Cause::Reactive, why, None);
    }
    if let Some(blocked) = blocked(scene, portion) {
        need.raise(1, Cause::Reactive, blocked, None);
    }
    for hazard in probable(scene).filter(|_| scene.forecasting) {
        if let Some((count, why, site)) = load.after(scene, hazard) {
            need.raise(count, Cause::Predicted, why, site);
        }
    }
    need
}

impl Need {
    /// Takes a reason that asks for more than the others.
    fn raise(&mut self, count: usize, cause: Cause, why: String, avoid: Option<Site>) {
        let count = count.min(self.most);
        if cause == Cause::Reactive {
            self.urgent = self.urgent.max(count);
        }
        if count > self.count {
            *self = Need {
                count,
                most: self.most,
                urgent: self.urgent,
                cause,
                why,
                avoid,
            };
        }
    }
}

/// The demand to be covered, and what the primaries carry of it.
struct Load<'a> {
    primaries: Vec<&'a Copy>,
    /// What one instance carries, if that is known of any.
    each: Option<Rps>,
    demand: Rps,
    /// What starts slowly, or starts nobody knows how, is asked for earlier.
    lead: Span,
    factor: f64,
    carried: Rps,
    /// Standbys that would carry what the primaries do not.
    missing: usize,
    cause: Cause,
}

impl<'a> Load<'a> {
    fn of(scene: &Scene, portion: &PortionPolicy, copies: &'a Copies) -> Load<'a> {
        let factor = scene.appetite.load_factor;
        let primaries: Vec<&Copy> = copies.standing().collect();
        let known = copies.all.iter().filter_map(|c| c.capacity);
        let lead = scene.lead(&portion.id);
        let ahead = scene.policy.horizon.max(lead);
        let carried = Copies::capacity(primaries.iter().copied()).unwrap_or_default();
        let now = scene.rate(&portion.id).unwrap_or_default();
        let mut load = Load {
            each: known.reduce(Rps::min),
            demand: scene.demand(&portion.id, ahead).unwrap_or_default(),
            lead,
            factor,
            carried,
            missing: 0,
            cause: match now.0 > carried.0 * factor {
                true => Cause::Reactive,
                false => Cause::Predicted,
            },
            primaries,
        };
        load.missing = load.short(&load.primaries);
        load
    }

    /// How many instances these lack to carry the demand; none where nobody knows.
    fn short(&self, left: &[&Copy]) -> usize {
        match (self.each, Copies::capacity(left.iter().copied())) {
            (Some(each), Some(carried)) if each.0 > 0.0 => {
                let lacks = self.demand.0 - carried.0 * self.factor;
                (lacks / (each.0 * self.factor)).ceil().max(0.0) as usize
            }
            _ => 0,
        }
    }

    fn why(&self, scene: &Scene) -> String {
        let ahead = match self.lead > scene.policy.horizon {
            true => format!(
                ", {:.0} s ahead: so long may a standby take to start",
                self.lead.as_secs_f64()
            ),
            false => String::new(),
        };
        format!(
            "demand {} (level {:.2}) > {} × {:.2} that {} counted on to carry{ahead}",
            self.demand,
            scene.appetite.demand_level,
            self.carried,
            self.factor,
            match self.primaries.len() {
                1 => "1 primary is".to_string(),
                n => format!("{n} primaries are"),
            },
        )
    }

    /// What is lacking once the domain has failed, why, and the site that standbys must not stand at; `None` if it takes no primary.
    fn after(&self, scene: &Scene, hazard: &Hazard) -> Option<(usize, String, Option<Site>)> {
        let loses = |c: &&Copy| scene.loses(&hazard.domain, c.node(), c.site());
        let (gone, left): (Vec<&Copy>, Vec<&Copy>) =
            self.primaries.iter().copied().partition(loses);
        let site = gone.first()?.site().clone();
        let lost = gone.len();
        let count = match self.each {
            Some(_) => self.short(&left).max(usize::from(left.is_empty())),
            None => lost,
        };
        let why = format!(
            "{} fails within {} s with probability {:.2}: {} would be lost",
            hazard.name,
            scene.outlook.horizon.0 / 1000,
            hazard.within.0,
            counted(lost, "primary")
        );
        Some((count, why, Some(site)))
    }
}

/// What a breach asks for: a first standby; and where nobody knows what one carries, one more each time that all of them have served
/// for a while and it still breaks the SLO. No shadow runs while production suffers, so nobody would ever come to know.
fn breached(
    scene: &Scene,
    book: &Book,
    portion: &PortionPolicy,
    copies: &Copies,
    (have, known): (usize, bool),
) -> Option<(usize, String)> {
    let breach = scene.breach(portion)?;
    if have == 0 {
        return Some((1, breach));
    }
    let last = portion.front.as_ref().and_then(|f| book.written.get(f));
    let settled = last.is_none_or(|at| scene.now.since(*at) >= scene.policy.ramp.settle);
    let serving = |c: &&Copy| c.ready && c.share > Share::NONE;
    let serve = copies.of(Role::Standby).filter(serving).count();
    let all = copies.of(Role::Standby).count().max(have);
    let more = !known && settled && serve >= all;
    more.then(|| {
        (
            serve + 1,
            format!("{breach}, with {} serving", counted(serve, "standby")),
        )
    })
}

fn probable<'a>(scene: &'a Scene) -> impl Iterator<Item = &'a Hazard> {
    scene
        .outlook
        .hazards
        .iter()
        .map(AsRef::as_ref)
        .filter(|h| h.within.0 >= scene.appetite.disruption_above.0)
}

fn blocked(scene: &Scene, portion: &PortionPolicy) -> Option<String> {
    scene.world.blocked.value()?.iter().find_map(|b| {
        (b.job == portion.job && b.groups.iter().any(|g| portion.groups.contains(g)))
            .then(|| format!("Nomad cannot place it: {}", b.why))
    })
}

/// Whether the pool may shrink: it is known what one carries, and all is well.
fn shrinks(scene: &Scene, portion: &PortionPolicy, copies: &Copies) -> bool {
    copies.all.iter().any(|c| c.capacity.is_some()) && scene.breach(portion).is_none()
}

/// How long what is not needed stays as it is.
fn keep(scene: &Scene) -> Span {
    scene.policy.ramp.settle.max(scene.policy.ramp.warm)
}

/// Whether a standby that may serve leaves the pool: the others have long been enough.
pub fn leaves_pool(scene: &Scene, book: &Book, job: &JobId) -> bool {
    let since = book.spare.get(job);
    since.is_some_and(|since| scene.now.since(*since) >= keep(scene).times(SPARE))
}

/// Standbys beyond what is needed go, once they carry nothing and were not needed for a while; those that serve leave the pool before.
fn release(
    scene: &Scene,
    book: &mut Book,
    portion: &PortionPolicy,
    copies: &Copies,
    jobs: &[JobId],
    needed: usize,
    out: &mut Draft,
) {
    let serving = |job: &JobId| {
        copies
            .of(Role::Standby)
            .any(|c| &c.job == job && c.share > Share::NONE)
    };
    let surging = book.surging.contains_key(&portion.id);
    // No data never shrinks: without a reading of demand nobody can say that it is not needed.
    let unread = portion.front.is_some() && scene.rate(&portion.id).is_none();
    let shrinks = shrinks(scene, portion, copies);
    let mut kept = 0;
    for id in jobs {
        let Some(job) = scene.world.job(id) else {
            continue;
        };
        let (size, keep_here) = (burst::size(job, portion), needed.saturating_sub(kept));
        kept += size;
        let pooled = serving(id) || surging;
        if size <= keep_here || unread || (pooled && (keep_here > 0 || !shrinks)) {
            book.needed.insert(id.clone(), scene.now);
            book.spare.remove(id);
            continue;
        }
        if pooled {
            book.spare.entry(id.clone()).or_insert(scene.now);
        } else {
            book.spare.remove(id);
        }
        // Law 4: it stays warm for a while after the last of its clients has been told of others.
        let waits = serving(id) || (surging && !leaves_pool(scene, book, id));
        if waits {
            book.needed.insert(id.clone(), scene.now);
        }
        let since = *book.needed.entry(id.clone()).or_insert(scene.now);
        let keep = keep(scene).times(KEEP);
        if scene.now.since(since) < keep || book.working_on_job(id) {
            continue;
        }
        let why = format!("not needed for {} s", keep.0 / 1000);
        if keep_here > 0 {
            let why = format!("{why}; back to {keep_here} of {size} copies");
            burst::scale(scene, portion, job, keep_here, Cause::Upkeep, &why, out);
            continue;
        }
        let action = Action::ReleaseStandby {
            portion: portion.id.clone(),
            job: id.clone(),
        };
        out.step(scene, Some(&portion.id), Cause::Upkeep, action, why);
    }
}
