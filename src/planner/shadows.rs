//! Which shadow to run next, and the way of each from start to stop.

use super::book::{Along, Book, ShadowRun, ShadowState};
use super::instances::Copies;
use super::places;
use super::scene::{Draft, Scene};
use super::together::{self, Graph, Held, made};
use super::twins;
use super::worth::Candidate;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};

/// A shadow lives at most so long.
pub const LIFE: Span = Span::secs(45);

pub fn name(key: &ProfileKey) -> String {
    format!("{}/{}/{}", key.portion, key.site, key.class)
}

/// Drafts the next step of each running shadow, starts the best one that is due, and reaps what nobody knows.
pub fn plan(scene: &Scene, book: &mut Book, copies: &BTreeMap<PortionId, Copies>, out: &mut Draft) {
    let suffering = scene
        .policy
        .portions
        .iter()
        .find_map(|p| scene.breach(p).map(|b| format!("{}: {b}", p.id)));
    follow(scene, book, suffering.as_deref(), out);
    reap(scene, book, out);
    let running = book
        .shadows
        .values()
        .filter(|s| s.state != ShadowState::Done)
        .count();
    if running >= scene.policy.budget.max_shadows {
        return;
    }
    if let Some(why) = suffering {
        return out.wait("shadows", format!("production suffers ({why})"));
    }
    if let Some(why) = scene.policy.rest(scene.now) {
        return out.wait("shadows", why);
    }
    let busy: BTreeSet<PortionId> = book
        .shadows
        .values()
        .filter(|s| s.state != ShadowState::Done)
        .map(|s| s.key.portion.clone())
        .collect();
    let next = book.worth.iter().find(|c| {
        let asked = book
            .asked_shadows
            .contains(&(c.key.portion.clone(), c.key.site.clone()));
        let rests = resting(scene, &c.key.portion).is_some();
        let due = c.due_in.is_none() && c.after.is_none() && !rests;
        (asked || due) && !busy.contains(&c.key.portion)
    });
    for portion in &scene.policy.portions {
        if let Some(left) = resting(scene, &portion.id) {
            let left = left.as_secs_f64();
            let why = format!("one hurt production; the next in {left:.0} s");
            out.wait(format!("shadows of {}", portion.id), why);
        }
    }
    let Some(candidate) = next.cloned() else {
        return;
    };
    if let Some(left) = book.purse.short_of(candidate.cost) {
        let budget = scene.policy.budget.shadow;
        let why = format!(
            "budget: {left} left, and one costs {:.5}; {:.0} % of {budget} come in a season, and no more are kept",
            candidate.cost,
            100.0 * scene.appetite.shadow_part
        );
        return out.wait("shadows", why);
    }
    let of = copies.get(&candidate.key.portion);
    start(scene, book, candidate, of, out);
}

/// How much longer the portion is not shadowed anywhere after one of its shadows hurt production.
fn resting(scene: &Scene, portion: &PortionId) -> Option<Span> {
    let hurt = |v: &&Judged| &v.key.portion == portion && v.against == Against::Interference;
    let last = scene.beliefs.verdicts.iter().filter(hurt).map(|v| v.at);
    let caution = scene.beliefs.caution.get(portion).copied().unwrap_or(1.0);
    let rest = Span((scene.appetite.shadow_every.0 as f64 * caution) as i64);
    let left = Span(rest.0 - scene.now.since(last.max()?).0);
    (left.0 > 0).then_some(left)
}

fn start(
    scene: &Scene,
    book: &mut Book,
    candidate: Candidate,
    copies: Option<&Copies>,
    out: &mut Draft,
) {
    let key = candidate.key;
    book.asked_shadows
        .remove(&(key.portion.clone(), key.site.clone()));
    let id = ShadowId::new(format!("{}-{}", key.portion, book.number()));
    let graph = Graph::of(scene);
    let along = graph.members(&key.portion);
    // What it calls has a time of its own to start.
    let lives = if along.is_empty() {
        LIFE
    } else {
        LIFE.times(2)
    };
    let deadline = scene.now + lives + twins::longest(scene, &key);
    let mut held = Held::new();
    let mut make = |of: &PortionId| made(scene, &graph, &key, &id, of, deadline, &mut held);
    // There must be room for all of them before the first is started.
    let jobs: Result<Vec<JobSpec>, String> = along.iter().map(|p| make(&p.id)).collect();
    let jobs = jobs.and_then(|jobs| Ok((jobs, make(&key.portion)?)));
    let (beside, job) = match jobs {
        Ok(found) => found,
        Err(why) => {
            book.shadowed.insert(name(&key), (scene.now, 1));
            return out.wait(format!("shadow of {} at {}", key.portion, key.site), why);
        }
    };
    let why = format!(
        "value {:.0} = use {:.2} × unknown {:.2} / {:.5} core-h",
        candidate.value, candidate.use_probability, candidate.unknown, candidate.cost
    );
    let mut run = ShadowRun::starting(&id, &key, job.id(), scene.now, deadline);
    if !along.is_empty() {
        run.state = ShadowState::Preparing;
        let all = along.iter().zip(&beside);
        run.along = all
            .map(|(portion, job)| Along {
                portion: portion.id.clone(),
                job: job.id(),
                asked: false,
            })
            .collect();
        book.shadows.insert(id.clone(), run.clone());
        return together::proceed(scene, book, &run, out);
    }
    book.shadows.insert(id.clone(), run);
    let action = Action::StartShadow {
        shadow: id.clone(),
        key: key.clone(),
        job,
        deadline,
    };
    out.step(scene, Some(&key.portion), Cause::Learning, action, why);
    twins::start(scene, book, &id, &key, copies, out);
}

/// The node of the wanted kind with the most room for it, and what is free there.
pub fn room_at<'a>(
    scene: &Scene,
    nodes: &'a Table<Node>,
    key: &ProfileKey,
    portion: &PortionPolicy,
    held: &Held,
) -> Result<(&'a Node, Resources), String> {
    let kind = |n: &&Node| n.usable() && n.class == key.class;
    let all: Vec<&Node> = nodes.of(&key.site).filter(kind).collect();
    let needs = places::needs(scene, portion).unwrap_or_default();
    let free = places::free(scene, &all).into_iter().zip(&all);
    let free = free.map(|(free, node)| free.minus(held.get(&node.id).copied().unwrap_or_default()));
    let best = all
        .iter()
        .zip(free)
        .max_by_key(|(node, free)| places::room(node, free, &needs));
    let (class, site) = (key.class.shown(), &key.site);
    match best {
        None => Err(format!("no usable node of {class} at {site}")),
        Some((node, free)) if places::room(node, &free, &needs) > 0 => Ok((node, free)),
        Some(_) => Err(format!(
            "no node of {class} at {site} has {} and {} free",
            needs.cpu, needs.memory
        )),
    }
}

/// What each running shadow needs next.
fn follow(scene: &Scene, book: &mut Book, suffering: Option<&str>, out: &mut Draft) {
    let ids: Vec<ShadowId> = book.shadows.keys().cloned().collect();
    for id in ids {
        let Some(run) = book.shadows.get(&id).cloned() else {
            continue;
        };
        if run.state == ShadowState::Done || book.working_on_job(&run.job) {
            continue;
        }
        let stop = match (&run.state, suffering) {
            (_, Some(why)) if run.lives() => Some(format!("production suffers ({why})")),
            (_, None) if run.lives() && scene.now > run.deadline => {
                Some("its deadline has passed".to_string())
            }
            (ShadowState::Stopping, _) => Some(
                run.verdict
                    .clone()
                    .unwrap_or_else(|| "measured".to_string()),
            ),
            _ => None,
        };
        if let Some(why) = stop {
            if run.lives() {
                // Its measurement may be back much later: it is not begun anew before.
                let tried = book.shadowed.entry(name(&run.key)).or_default();
                *tried = (scene.now, tried.1 + 1);
            }
            if let Some(r) = book.shadows.get_mut(&id) {
                r.state = ShadowState::Stopping;
                r.verdict.get_or_insert_with(|| why.clone());
            }
            let action = Action::StopShadow {
                shadow: id,
                job: run.job,
            };
            out.step(scene, Some(&run.key.portion), Cause::Upkeep, action, why);
        } else if run.state == ShadowState::Starting {
            measure(scene, book, &run, out);
        } else if run.state == ShadowState::Preparing {
            together::proceed(scene, book, &run, out);
        }
    }
}

/// Once its allocation runs, load is driven at it.
fn measure(scene: &Scene, book: &mut Book, run: &ShadowRun, out: &mut Draft) {
    let Some(portion) = scene.policy.portion(&run.key.portion) else {
        return;
    };
    let Some(alloc) = scene.running(&run.job) else {
        return;
    };
    let Some((address, port)) = alloc.ports.get(&portion.port) else {
        return;
    };
    let loads = loads(scene, portion);
    // Half of what one primary may have to carry: both sides can take it where production does.
    let rate = loads.first().copied().unwrap_or(Rps(1.0));
    let compare = if twins::wanted(scene, &run.key) {
        let Some(compare) = twins::compare(scene, run, portion, rate) else {
            return;
        };
        Some(Box::new(compare))
    } else if twins::production_is_known(scene, run) {
        None
    } else {
        return;
    };
    if let Some(r) = book.shadows.get_mut(&run.id) {
        r.state = ShadowState::Measuring;
    }
    let action = Action::MeasureShadow {
        shadow: run.id.clone(),
        key: run.key.clone(),
        alloc: alloc.id.clone(),
        url: format!("http://{address}:{port}{}", portion.path),
        health: format!("http://{address}:{port}{}", portion.health),
        loads,
        load: Box::new(
            scene
                .policy
                .loads
                .get(&portion.id)
                .cloned()
                .unwrap_or_default(),
        ),
        upstreams: upstreams(scene, portion, run),
        wait_for: together::checks(scene, &run.along),
        slo: portion.slo,
        registered: run.since,
        compare,
    };
    let why = format!("running on {}", alloc.node_name);
    out.step(scene, Some(&portion.id), Cause::Learning, action, why);
}

/// The portions it calls, where their instances run, and how far that is from a site.
fn upstreams(scene: &Scene, portion: &PortionPolicy, run: &ShadowRun) -> Vec<Upstream> {
    let from = &run.key.site;
    let allocs = scene.world.allocs.value();
    let running = |id: &PortionId| {
        if run.along.iter().any(|a| &a.portion == id) {
            return Some(from.clone());
        }
        let (policy, allocs) = (scene.policy.portion(id)?, allocs?);
        let ours = |a: &&Alloc| a.holds() && policy.groups.contains(&a.group);
        let node = allocs.of(&policy.job).find(ours)?;
        Some(scene.world.node(&node.node)?.site.clone())
    };
    let known = portion.depends_on.iter().filter_map(|id| {
        let site = running(id)?;
        let rtt = scene.world.rtt(from, &site);
        Some(Upstream {
            portion: id.clone(),
            site,
            rtt,
        })
    });
    known.collect()
}

/// Loads around what one primary may have to carry: from half to twice its part of the highest demand seen or in sight.
fn loads(scene: &Scene, portion: &PortionPolicy) -> Vec<Rps> {
    let wanted = scene
        .world
        .job(&portion.job)
        .map_or(1, |j| j.count(&portion.groups[0]).max(1));
    let foreseen = scene
        .outlook
        .demand
        .get(&portion.id)
        .and_then(|p| p.points.iter().map(|p| p.at_level(0.9)).reduce(Rps::max));
    let seen = scene.highest(&portion.id);
    let peak = [foreseen, seen, scene.rate(&portion.id)]
        .into_iter()
        .flatten()
        .reduce(Rps::max)
        .unwrap_or(Rps(10.0));
    let each = (peak.0 / wanted as f64).max(4.0);
    [0.5, 0.9, 1.3, 2.0]
        .iter()
        .map(|f| Rps((each * f).round()))
        .collect()
}

/// Shadow jobs that nobody knows (another leader's, from before a crash) are removed.
fn reap(scene: &Scene, book: &Book, out: &mut Draft) {
    for id in scene.census.shadows(scene.policy) {
        let runs = |s: &ShadowRun| s.lives() && s.has_beside(id);
        let known = book
            .shadows
            .values()
            .any(|s| runs(s) || (&s.job == id && s.state != ShadowState::Done));
        if !known && !book.working_on_job(id) {
            let action = Action::Reap { job: id.clone() };
            out.step(
                scene,
                None,
                Cause::Upkeep,
                action,
                "a shadow that nobody runs",
            );
        }
    }
}
