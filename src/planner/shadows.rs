//! Which shadow to run next, and the way of each from start to stop.

use super::book::{Book, ShadowRun, ShadowState};
use super::derive;
use super::instances::{Copies, META_SHADOW, Role};
use super::lint;
use super::places;
use super::scene::{Draft, Scene};
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};

/// A shadow lives at most so long.
pub const LIFE: Span = Span::secs(45);

/// A place where a portion could be shadowed, and what that is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub key: ProfileKey,
    /// How likely the plan would ever use it, 0…1.
    pub use_probability: f64,
    /// What is unknown about it, 0…1: all without a profile; else its age and the spread of its knee.
    pub unknown: f64,
    /// Core-hours of one run.
    pub cost: f64,
    pub value: f64,
    /// When it is due again; `None` when it is due now.
    pub due_in: Option<Span>,
}

/// Value of a shadow: (probability of use × what is unknown) / cost. Best first.
pub fn candidates(
    scene: &Scene,
    book: &Book,
    copies: &BTreeMap<PortionId, Copies>,
) -> Vec<Candidate> {
    let Some(nodes) = scene.world.nodes.value() else {
        return Vec::new();
    };
    let places: BTreeSet<(&Site, &NodeClass)> = nodes
        .iter()
        .filter(|n| n.usable() && scene.policy.sites.contains(&n.site))
        .map(|n| (&n.site, &n.class))
        .collect();
    let mut all = Vec::new();
    for portion in scene.portions.iter().filter(|p| p.not_shadowable.is_none()) {
        let Some(set) = copies.get(&portion.id) else {
            continue;
        };
        for (site, class) in &places {
            let key = ProfileKey {
                portion: portion.id.clone(),
                release: portion.release.clone(),
                site: (*site).clone(),
                class: (*class).clone(),
            };
            all.push(weigh(scene, book, portion.needs, set, key));
        }
    }
    all.sort_by(|a, b| b.value.total_cmp(&a.value).then(a.key.cmp(&b.key)));
    all
}

fn weigh(
    scene: &Scene,
    book: &Book,
    needs: Resources,
    copies: &Copies,
    key: ProfileKey,
) -> Candidate {
    let home = copies.of(Role::Primary).any(|c| c.class == key.class);
    let trouble: f64 = scene
        .outlook
        .hazards
        .iter()
        .filter(|h| {
            let mut primaries = copies.of(Role::Primary);
            primaries.any(|c| h.domain.holds(&c.node, &c.site))
        })
        .map(|h| h.within.0)
        .fold(0.0, |p, q| 1.0 - (1.0 - p) * (1.0 - q));
    // The class that runs production is used for sure; another site as soon as something fails there.
    let use_probability: f64 = if home { 1.0 } else { (0.3 + trouble).min(1.0) };
    let cadence = scene.appetite.shadow_every.0 as f64
        * scene
            .beliefs
            .caution
            .get(&key.portion)
            .copied()
            .unwrap_or(1.0);
    let same_class = scene.beliefs.profiles.iter().any(|p| {
        p.key.portion == key.portion && p.key.release == key.release && p.key.class == key.class
    });
    let (unknown, due_in) = match scene.beliefs.profile(&key) {
        // Known on the same class elsewhere: less is to be learned.
        None => (if same_class { 0.5 } else { 1.0 }, None),
        Some(p) => {
            let age = scene.now.since(p.at).0 as f64;
            let spread = (p.knee_spread.0 / p.knee.0.max(0.1)).clamp(0.0, 1.0);
            // What is uncertain is looked at sooner.
            let every = cadence * (1.0 - 0.7 * spread);
            let left = Span((every - age) as i64);
            (
                (age / every).min(1.0) * (0.3 + 0.7 * spread),
                (left.0 > 0).then_some(left),
            )
        }
    };
    let failed = book.shadowed.get(&name(&key));
    let due_in = match failed {
        Some((at, n)) if *n > 0 => {
            let left = Span(LIFE.0 << (*n).min(6)).0 - scene.now.since(*at).0;
            if left > 0 { Some(Span(left)) } else { due_in }
        }
        _ => due_in,
    };
    let cores = needs.cpu.0 / 2500.0;
    let cost = (cores * LIFE.as_secs_f64() / 3600.0).max(1e-6);
    Candidate {
        value: use_probability * unknown / cost,
        key,
        use_probability,
        unknown,
        cost,
        due_in,
    }
}

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
    if scene.quiet() {
        return out.wait("shadows", "quiet hours");
    }
    if book.spent.shadow.0 >= scene.policy.budget.shadow.0 {
        let why = format!(
            "budget: {} of {} spent today",
            book.spent.shadow, scene.policy.budget.shadow
        );
        return out.wait("shadows", why);
    }
    let busy: BTreeSet<PortionId> = book
        .shadows
        .values()
        .filter(|s| s.state != ShadowState::Done)
        .map(|s| s.key.portion.clone())
        .collect();
    let next = candidates(scene, book, copies).into_iter().find(|c| {
        let asked = book
            .asked_shadows
            .contains(&(c.key.portion.clone(), c.key.site.clone()));
        (asked || c.due_in.is_none()) && !busy.contains(&c.key.portion)
    });
    if let Some(candidate) = next {
        start(scene, book, candidate, out);
    }
}

fn start(scene: &Scene, book: &mut Book, candidate: Candidate, out: &mut Draft) {
    let key = candidate.key;
    let (Some(portion), Some(nodes)) = (
        scene.policy.portion(&key.portion),
        scene.world.nodes.value(),
    ) else {
        return;
    };
    let Some(live) = scene.world.job(&portion.job) else {
        return;
    };
    book.asked_shadows
        .remove(&(key.portion.clone(), key.site.clone()));
    let id = ShadowId::new(format!("{}-{}", key.portion, book.number()));
    let deadline = scene.now + LIFE;
    let job = room_at(scene, nodes, &key, portion).and_then(|(node, free)| {
        let job = derive::shadow(live, portion, node, &id, deadline)?;
        let fronts = scene.policy.portions.iter().filter_map(|p| p.front.clone());
        let found = lint::lint(&job, live, &fronts.collect::<Vec<_>>(), &free);
        lint::sentence(&found).map_or(Ok(job), Err)
    });
    let job = match job {
        Ok(job) => job,
        Err(why) => {
            book.shadowed.insert(name(&key), (scene.now, 1));
            return out.wait(format!("shadow of {} at {}", key.portion, key.site), why);
        }
    };
    let why = format!(
        "value {:.0} = use {:.2} × unknown {:.2} / {:.5} core-h",
        candidate.value, candidate.use_probability, candidate.unknown, candidate.cost
    );
    book.shadows.insert(
        id.clone(),
        ShadowRun {
            id: id.clone(),
            key: key.clone(),
            job: job.id(),
            state: ShadowState::Starting,
            since: scene.now,
            deadline,
            verdict: None,
        },
    );
    let portion = key.portion.clone();
    let action = Action::StartShadow {
        shadow: id,
        key,
        job,
        deadline,
    };
    out.step(scene, Some(&portion), Cause::Learning, action, why);
}

/// The node of the wanted kind with the most room for it, and what is free there.
fn room_at<'a>(
    scene: &Scene,
    nodes: &'a Table<Node>,
    key: &ProfileKey,
    portion: &PortionPolicy,
) -> Result<(&'a Node, Resources), String> {
    let kind = |n: &&Node| n.usable() && n.site == key.site && n.class == key.class;
    let all: Vec<&Node> = nodes.iter().filter(kind).collect();
    let needs = places::needs(scene, portion).unwrap_or_default();
    let free = places::free(scene, &all);
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
            (ShadowState::Starting | ShadowState::Measuring, Some(why)) => {
                Some(format!("production suffers ({why})"))
            }
            (ShadowState::Starting | ShadowState::Measuring, None) if scene.now > run.deadline => {
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
        }
    }
}

/// Once its allocation runs, load is driven at it.
fn measure(scene: &Scene, book: &mut Book, run: &ShadowRun, out: &mut Draft) {
    let (Some(allocs), Some(portion)) = (
        scene.world.allocs.value(),
        scene.policy.portion(&run.key.portion),
    ) else {
        return;
    };
    let Some(alloc) = allocs
        .iter()
        .find(|a| a.job == run.job && a.holds() && a.status == AllocStatus::Running)
    else {
        return;
    };
    let Some((address, port)) = alloc.ports.get(&portion.port) else {
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
        loads: loads(scene, portion),
        load: Box::new(scene.policy.loads.get(&portion.id).cloned().unwrap_or_default()),
        upstreams: upstreams(scene, portion, &run.key.site),
        slo: portion.slo,
        registered: run.since,
    };
    let why = format!("running on {}", alloc.node_name);
    out.step(scene, Some(&portion.id), Cause::Learning, action, why);
}

/// The portions it calls, where their instances run, and how far that is from a site.
fn upstreams(scene: &Scene, portion: &PortionPolicy, from: &Site) -> Vec<Upstream> {
    let allocs = scene.world.allocs.value();
    let running = |id: &PortionId| {
        let (policy, allocs) = (scene.policy.portion(id)?, allocs?);
        let ours = |a: &&Alloc| a.job == policy.job && policy.groups.contains(&a.group);
        let node = allocs.iter().filter(|a| a.holds()).find(ours)?;
        Some(scene.world.node(&node.node)?.site.clone())
    };
    let rtt = |to: &Site| {
        let links = scene.world.links.value()?;
        let joins = |l: &&Link| {
            (&l.from, &l.to) == (from, to) || (&l.from, &l.to) == (to, from)
        };
        links.iter().find(joins).map(|l| l.rtt)
    };
    let known = portion.depends_on.iter().filter_map(|id| {
        let site = running(id)?;
        let rtt = rtt(&site);
        Some(Upstream { portion: id.clone(), site, rtt })
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
    let seen = scene.highest.get(&portion.id).copied();
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
    let Some(jobs) = scene.world.jobs.value() else {
        return;
    };
    for job in jobs
        .values()
        .filter(|j| !j.stopped() && j.meta(META_SHADOW) == Some("true"))
    {
        let known = book
            .shadows
            .values()
            .any(|s| s.job == job.id() && s.state != ShadowState::Done);
        if !known && !book.working_on_job(&job.id()) {
            let action = Action::Reap { job: job.id() };
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
