//! What a shadow is compared with: a twin at the production site where the policy affords one, else production of late.

use super::book::{Book, ShadowRun, TwinRun};
use super::derive;
use super::instances::{Copies, Role};
use super::lint;
use super::places;
use super::scene::{Draft, Scene};
use super::shadows;
use super::together::{Graph, Held};
use super::worth;
use crate::model::*;

/// After each run that concluded nothing the next may take twice as long, but no more than so many times.
const MOST: u32 = 4;
/// Production has been seen once so many of its requests are known.
const ENOUGH: u64 = 30;
/// A shadow does not wait longer than this for its twin, or for word of production.
const PATIENCE: Span = Span::secs(12);
/// How much slower than production does not matter, as a part of the SLO's latency.
const MARGIN: f64 = 0.01;

/// How long the comparison of the next run there may take.
pub fn longest(scene: &Scene, key: &ProfileKey) -> Span {
    scene
        .policy
        .judging
        .longest
        .times(i64::from(more(scene, key)))
}

/// How many times the usual samples are wanted: what was inconclusive asks for more.
fn more(scene: &Scene, key: &ProfileKey) -> u32 {
    let verdict = scene.beliefs.verdict(key);
    let open = verdict.map_or(0, |v| v.undecided);
    (1u32 << open.min(8)).min(MOST)
}

/// Whether a run there is to be judged. The first of a release is not: all waits for what it carries, and there is no time to lose.
pub fn wanted(scene: &Scene, key: &ProfileKey) -> bool {
    let mut profiles = scene.beliefs.profiles.iter();
    profiles.any(|p| p.key.portion == key.portion && p.key.release == key.release)
}

/// Drafts the twin of a shadow that is being started. None where production is of the same kind already, where the policy
/// wants none, or where the budget or the room is for the shadow alone: production of late is the baseline then.
pub fn start(
    scene: &Scene,
    book: &mut Book,
    id: &ShadowId,
    key: &ProfileKey,
    copies: Option<&Copies>,
    out: &mut Draft,
) {
    let drafted = twin(scene, book, id, key, copies);
    let (job, site, node) = match drafted {
        Ok(Some(found)) => found,
        Ok(None) => return,
        Err(why) => return out.wait(format!("twin of {id}"), why),
    };
    if let Some(run) = book.shadows.get_mut(id) {
        run.twin = Some(TwinRun {
            job: job.id(),
            site: site.clone(),
        });
    }
    let action = Action::StartTwin {
        shadow: id.clone(),
        job,
    };
    let why = format!("what {id} is compared with, on {node} at {site}");
    out.step(scene, Some(&key.portion), Cause::Learning, action, why);
}

type Found = (JobSpec, Site, String);

fn twin(
    scene: &Scene,
    book: &Book,
    id: &ShadowId,
    key: &ProfileKey,
    copies: Option<&Copies>,
) -> Result<Option<Found>, String> {
    let (Some(portion), Some(copies)) = (scene.policy.portion(&key.portion), copies) else {
        return Ok(None);
    };
    let same = |site: &Site, class: &NodeClass| site == &key.site && class == &key.class;
    let primaries = || copies.of(Role::Primary).filter(|c| c.alive && c.ready);
    if !scene.policy.judging.twin
        || !wanted(scene, key)
        || primaries().any(|c| same(c.site(), c.class()))
    {
        return Ok(None);
    }
    // Shadows run where the policy lets them, twins too.
    let allowed = primaries().filter(|c| scene.policy.sites.contains(c.site()));
    let Some(home) = allowed.max_by_key(|c| c.share) else {
        return Ok(None);
    };
    // It would call production where the shadow calls shadows.
    if portion.upstreams == Upstreams::Shadow {
        return Ok(None);
    }
    let needs = places::needs(scene, portion).unwrap_or_default();
    // The twin doubles what the run costs: the budget must hold both.
    let cost = worth::cost(&needs) * 2.0;
    if let Some(left) = book.purse.short_of(cost) {
        return Err(format!(
            "budget: {left} left, a shadow and its twin would need {cost:.5} core-h"
        ));
    }
    let (Some(live), Some(nodes)) = (scene.world.job(&portion.job), scene.world.nodes.value())
    else {
        return Ok(None);
    };
    let there = ProfileKey {
        site: home.site().clone(),
        class: home.class().clone(),
        ..key.clone()
    };
    let (node, free) = shadows::room_at(scene, nodes, &there, portion, &Held::new())?;
    let name = ShadowId::new(format!("{id}-twin"));
    let deadline = book.shadows.get(id).map_or(scene.now, |r| r.deadline);
    let behind = Graph::of(scene).behind_doors(portion);
    let job = derive::shadow(live, &behind, node, &name, deadline)?;
    let fronts = scene.policy.portions.iter().filter_map(|p| p.front.clone());
    let found = lint::lint(&job, live, &fronts.collect::<Vec<_>>(), &free);
    match lint::sentence(&found) {
        Some(why) => Err(why),
        None => Ok(Some((job, home.site().clone(), node.name.to_string()))),
    }
}

/// What the running shadow is to be compared with; `None` while its twin may still come up, or too little is known yet of
/// production as it was without it.
pub fn compare(
    scene: &Scene,
    run: &ShadowRun,
    portion: &PortionPolicy,
    rate: Rps,
) -> Option<Compare> {
    let twin = run.twin.as_ref().and_then(|t| running(scene, t, portion));
    let production = production(scene, &portion.id);
    let waits = run.twin.is_some() && twin.is_none();
    let unseen = production.requests() < ENOUGH;
    if (waits || unseen) && scene.now.since(run.since) < PATIENCE {
        return None;
    }
    let judging = scene.policy.judging;
    let margin = Millis(portion.slo.latency.0 * MARGIN);
    Some(Compare {
        twin,
        production,
        rate,
        requests: judging.requests * u64::from(more(scene, &run.key)),
        longest: longest(scene, &run.key),
        margin: judging.margin.unwrap_or(margin),
    })
}

/// The guard over production needs to know how production did before load is driven; where there is little traffic nobody waits long.
pub fn production_is_known(scene: &Scene, run: &ShadowRun) -> bool {
    production(scene, &run.key.portion).requests() >= ENOUGH
        || scene.now.since(run.since) >= PATIENCE
}

/// Its latencies over the readings that are kept.
fn production(scene: &Scene, portion: &PortionId) -> Latencies {
    let mut all = Latencies::default();
    let readings = scene.world.readings.iter();
    readings
        .filter(|reading| &reading.portion == portion)
        .for_each(|reading| all.add(&reading.latencies));
    all
}

fn running(scene: &Scene, twin: &TwinRun, portion: &PortionPolicy) -> Option<Twin> {
    let alloc = scene.running(&twin.job)?;
    let (address, port) = alloc.ports.get(&portion.port)?;
    Some(Twin {
        site: twin.site.clone(),
        url: format!("http://{address}:{port}{}", portion.path),
        health: format!("http://{address}:{port}{}", portion.health),
    })
}
