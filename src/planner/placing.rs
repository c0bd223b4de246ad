//! From what is wanted to jobs on nodes: the solver is asked, and its answer is drafted as placements and moves.

use super::apart;
use super::book::Book;
use super::burst;
use super::derive;
use super::instances::{Copies, Role};
use super::links::{self, Links};
use super::places::{self, Ask};
use super::scene::{Draft, Scene};
use super::size;
use super::standbys::Need;
use super::wishes::{self, Standing};
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};

/// A placement that Nomad refused is not asked for again for so long.
const BACK_OFF: Span = Span::secs(10);

pub fn ask(scene: &Scene, portion: &PortionPolicy, copies: &Copies, k: usize, need: &Need) -> Ask {
    let least = places::needs(scene, portion).unwrap_or_default();
    let home = need.avoid.clone().or_else(|| links::home(copies).cloned());
    let taken: BTreeSet<NodeId> = copies.all.iter().map(|c| c.node().clone()).collect();
    Ask {
        portion: portion.id.clone(),
        release: scene.release(&portion.id),
        k,
        needs: size::standby(scene, portion, links::rate(scene, &portion.id)).0,
        least,
        volumes: places::volumes(scene, portion),
        wants: places::wants(scene, portion),
        flow: links::flow(scene, &portion.id),
        home,
        within: None,
        taken,
        data: portion.data.clone(),
        latency: portion.slo.latency,
        rate: links::rate(scene, &portion.id),
        hopeful: false,
    }
}

/// How many copies could be placed for what is asked for: one a site (the failure domain), on a node without a copy of the portion.
pub fn possible(scene: &Scene, copies: &BTreeMap<PortionId, Copies>, ask: &Ask) -> usize {
    let (nodes, links) = (places::nodes(scene), Links::of(scene, copies));
    let free = nodes.iter().zip(places::free(scene, &nodes));
    let sites = free.filter(|(node, free)| wishes::takes(scene, ask, node, free, &links));
    let sites: BTreeSet<&Site> = sites.map(|(node, _)| &node.site).collect();
    sites.len()
}

/// One for the clients of a site, while that is cut off.
pub fn ask_within(scene: &Scene, portion: &PortionPolicy, copies: &Copies, site: &Site) -> Ask {
    let demand = scene.demand(&portion.id, scene.policy.horizon);
    let rate = apart::part(scene, demand.unwrap_or_default());
    let need = Need::none();
    let one = ask(scene, portion, copies, 1, &need);
    Ask {
        needs: size::standby(scene, portion, rate).0,
        home: one.home.clone().filter(|home| home != site),
        within: Some(site.clone()),
        rate,
        ..one
    }
}

/// A standby that has an allocation, as the solver is told of it.
pub fn stand(
    scene: &Scene,
    book: &Book,
    portion: &PortionPolicy,
    copies: &Copies,
    job: &JobId,
    (need, needed): (&Need, bool),
) -> Option<Standing> {
    let spec = scene.world.job(job)?;
    let allocs = scene.world.allocs.value()?;
    let on = &allocs.of(job).find(|a| a.holds())?.node;
    let size = burst::size(spec, portion).max(1);
    let copy = places::of_job(spec, &portion.groups);
    let holds = copy.times(size as f64);
    let mut serving = copies.of(Role::Standby);
    Some(Standing {
        job: job.clone(),
        node: on.clone(),
        site: scene.world.site_of(on)?.clone(),
        size,
        copy,
        fixed: !needed || serving.any(|c| &c.job == job && c.share > Share::NONE),
        leaving: book.leaving.contains(job),
        ask: Ask {
            needs: holds,
            least: holds,
            // What is kept for a site's own clients stays there.
            within: (apart::kept(scene, portion, copies).iter())
                .find(|c| &c.job == job)
                .map(|c| c.site().clone()),
            ..ask(scene, portion, copies, 1, need)
        },
    })
}

/// What is asked for, what stands, and how many more may run at once.
pub struct Wishes {
    pub asks: Vec<(Ask, Need)>,
    pub standing: Vec<Standing>,
    pub room: usize,
}

/// Asks the solver, and drafts what it answers: moves first, since others may need the room.
pub fn place(
    scene: &Scene,
    book: &mut Book,
    wishes: Wishes,
    copies: &BTreeMap<PortionId, Copies>,
    out: &mut Draft,
) {
    let (asks, needs): (Vec<Ask>, Vec<Need>) = wishes.asks.into_iter().unzip();
    let links = Links::of(scene, copies);
    let answer = places::choose(scene, &asks, &wishes.standing, copies, &links);
    let nodes = places::nodes(scene);
    let mut free = places::free(scene, &nodes);
    let risk = answer
        .unserved
        .map(|u| format!("; {u}"))
        .unwrap_or_default();
    let mut room = wishes.room;
    for (k, to) in answer.moves {
        let one = &wishes.standing[k];
        if relocate(scene, book, one, to, room, &risk, out) {
            room -= 1;
            take(&nodes, &mut free, to, &one.copy);
        }
    }
    for ((ask, need), answer) in asks.iter().zip(&needs).zip(answer.asks) {
        let what = format!("standby of {}", ask.portion);
        if let Some(why) = answer.missing {
            out.wait(&what, why);
        }
        for node in answer.nodes {
            if !take(&nodes, &mut free, node, &answer.needs) {
                let why = format!(
                    "room on {} is being made: another standby moves away first",
                    node.name
                );
                out.wait(&what, why);
                continue;
            }
            let sized = scene.policy.portion(&ask.portion).and_then(|p| {
                let raised = answer.needs != ask.least;
                size::standby(scene, p, links::rate(scene, &p.id))
                    .1
                    .filter(|_| raised)
            });
            let sized = sized.map(|s| format!("; {s}")).unwrap_or_default();
            let there = wishes::trust(scene, &ask.portion, node);
            let why = format!(
                "{} → {} at {}{there}{risk}{sized}",
                need.why, node.name, node.site
            );
            draft(
                scene,
                book,
                &ask.portion,
                node,
                answer.needs,
                (need.cause, why),
                out,
            );
        }
    }
}

/// Drafts the copy that a standby gives way to; whether it did.
fn relocate(
    scene: &Scene,
    book: &mut Book,
    one: &Standing,
    to: &Node,
    room: usize,
    risk: &str,
    out: &mut Draft,
) -> bool {
    let portion = &one.ask.portion;
    let what = format!("move of a standby of {portion}");
    if room == 0 {
        let most = scene.policy.budget.max_standbys;
        let why = format!(
            "budget: {} at most, and the new one stands before the old one goes",
            counted(most, "standby")
        );
        out.wait(what, why);
        return false;
    }
    let refused = book.refused.get(portion.as_str());
    if refused.is_some_and(|until| scene.now < *until) {
        out.wait(what, "Nomad refused the last one; trying again later");
        return false;
    }
    let why = if wishes::leaves(scene, &one.node) {
        "the node that it stands on is about to go"
    } else {
        "others need the room, or it is at risk there"
    };
    let why = format!(
        "{} moves, {why} → {} at {}{}{risk}",
        one.job,
        to.name,
        to.site,
        wishes::trust(scene, portion, to)
    );
    let drafted = draft(
        scene,
        book,
        portion,
        to,
        one.copy,
        (Cause::Predicted, why),
        out,
    );
    if drafted {
        book.leaving.insert(one.job.clone());
    }
    drafted
}

/// Takes what is needed of a node's free resources, if it is there.
fn take(nodes: &[&Node], free: &mut [Resources], node: &Node, needs: &Resources) -> bool {
    let Some(j) = wishes::at(nodes, &node.id) else {
        return false;
    };
    let fits = places::room(node, &free[j], needs) > 0;
    if fits {
        free[j] = free[j].minus(*needs);
    }
    fits
}

/// Drafts one placement; says why where no job can be derived.
fn draft(
    scene: &Scene,
    book: &mut Book,
    portion: &PortionId,
    node: &Node,
    needs: Resources,
    (cause, why): (Cause, String),
    out: &mut Draft,
) -> bool {
    let Some(policy) = scene.policy.portion(portion) else {
        return false;
    };
    let Some(live) = scene.world.job(&policy.job) else {
        return false;
    };
    let serial = book.number();
    match derive::standby(live, policy, node, serial) {
        Err(why) => {
            book.refused
                .insert(portion.to_string(), scene.now + BACK_OFF);
            out.wait(format!("standby of {portion}"), why);
            false
        }
        Ok(mut job) => {
            size::resize(&mut job, &places::of_job(live, &policy.groups), &needs);
            let action = Action::PlaceStandby {
                portion: portion.clone(),
                site: node.site.clone(),
                node: node.id.clone(),
                job,
                needs,
            };
            out.step(scene, Some(portion), cause, action, why);
            true
        }
    }
}
