//! The laws for a write of shares.

use super::cleared::{Held, Law};
use super::facts::{FRESH, Facts};
use crate::model::*;

/// A side never gets more than this part of what it was measured to carry in a planned move.
const HEADROOM: f64 = 0.95;

pub(super) fn check(
    target: &Target,
    before: Option<&Target>,
    planned: bool,
    facts: &Facts,
) -> Result<(), Held> {
    if facts.writes_left == 0 {
        return Err(Held::by(
            Law::WriteBudget,
            "the write budget of this second is spent on what matters more",
        ));
    }
    let sum: u32 = target.instances.iter().map(|i| i.share.0).sum();
    let was: u32 = before.map_or(0, |b| b.instances.iter().map(|i| i.share.0).sum());
    if target.instances.is_empty() {
        return Err(Held::by(
            Law::HealthNonEmpty,
            format!("{} would have no instance", target.service),
        ));
    }
    if sum == 0 && was == 0 && !target.owner.takes_nomads_entries() {
        // Only entries in maintenance: they are checked, and get nothing.
        return Ok(());
    }
    if sum != Share::ALL.0 {
        return Err(Held::by(
            Law::HealthNonEmpty,
            format!("shares of {} sum to {} of 10000", target.service, sum),
        ));
    }
    single_writer(target, facts)?;
    ready(target, before, facts)?;
    if planned {
        planned_move(target, before, facts)?;
        enough(target, before, facts)?;
    }
    Ok(())
}

fn single_writer(target: &Target, facts: &Facts) -> Result<(), Held> {
    let busy = facts.inflight.values().any(
        |s| matches!(&s.action, Action::SetTarget { target: t, .. } if t.service == target.service),
    );
    if busy {
        return Err(Held::by(
            Law::OneEffectThenVerify,
            format!("the last write of {} is not verified yet", target.service),
        ));
    }
    Ok(())
}

/// Who gets more must be observed ready by most of the gateways that can be heard.
fn ready(target: &Target, before: Option<&Target>, facts: &Facts) -> Result<(), Held> {
    let front = facts.world.fronts.get(&target.service);
    for instance in &target.instances {
        let had = before.map_or(Share::NONE, |b| b.share_of(&instance.alloc));
        if instance.share <= had {
            continue;
        }
        let heard: Vec<bool> = front
            .into_iter()
            .flat_map(|f| f.entries.values())
            .filter_map(|seen| seen.fresh(facts.now, FRESH))
            .flat_map(|entries| entries.iter())
            .filter(|e| e.instance == instance.alloc && e.agent_alive)
            .map(|e| e.passing)
            .collect();
        if heard.is_empty() {
            return Err(Held::by(
                Law::NoDataNeverAdvances,
                format!(
                    "no gateway has seen {} of {} yet",
                    instance.alloc, target.service
                ),
            ));
        }
        // One gateway that cannot reach it, or has just come back, outvotes nobody.
        let passing = heard.iter().filter(|p| **p).count();
        if passing * 2 <= heard.len() {
            return Err(Held::by(
                Law::CapacityBeforeWeight,
                format!(
                    "{} of {} is not ready for {}",
                    instance.alloc, target.service, instance.share
                ),
            ));
        }
    }
    Ok(())
}

fn planned_move(target: &Target, before: Option<&Target>, facts: &Facts) -> Result<(), Held> {
    let under_way = |s: &Step| match &s.action {
        Action::SetTarget {
            target,
            planned: true,
            ..
        } => Some(target.service.clone()),
        _ => None,
    };
    let other = facts.inflight.values().find_map(under_way);
    if let Some(other) = other
        .as_ref()
        .or(facts.moving)
        .filter(|m| *m != &target.service)
    {
        return Err(Held::by(
            Law::BlastRadius,
            format!("{other} is being moved; one service at once"),
        ));
    }
    let moved: u32 = target
        .instances
        .iter()
        .map(|i| {
            i.share
                .0
                .saturating_sub(before.map_or(Share::NONE, |b| b.share_of(&i.alloc)).0)
        })
        .sum();
    if Share(moved) > facts.max_step {
        return Err(Held::by(
            Law::BlastRadius,
            format!(
                "{} would move at once, limit {}",
                Share(moved),
                facts.max_step
            ),
        ));
    }
    Ok(())
}

/// Capacity before weight, in numbers: demand × share within what each instance on the receiving side carries (a side that
/// is relieved may be over its limit: that is why it is relieved). What was never measured in this
/// release is evidence of nothing, so a planned move does not build on it.
fn enough(target: &Target, before: Option<&Target>, facts: &Facts) -> Result<(), Held> {
    let Some(portion) = facts.policy.by_front(&target.service) else {
        return Err(Held::by(
            Law::Policy,
            format!("no portion of the policy owns {}", target.service),
        ));
    };
    let traffic = facts
        .world
        .traffic
        .get(&portion.id)
        .and_then(|t| t.fresh(facts.now, FRESH));
    let Some(traffic) = traffic else {
        return Err(Held::by(
            Law::NoDataNeverAdvances,
            format!("traffic of {} cannot be read", portion.id),
        ));
    };
    let receives = |i: &&Instance| i.share > before.map_or(Share::NONE, |b| b.share_of(&i.alloc));
    for instance in target.instances.iter().filter(receives) {
        let Some(carries) = facts.capacity.get(&instance.alloc) else {
            return Err(Held::by(
                Law::EvidencePerRelease,
                format!(
                    "{} of {} was never measured in this release",
                    instance.alloc, portion.id
                ),
            ));
        };
        let gets = Rps(traffic.rate.0 * instance.share.fraction());
        if gets.0 > carries.0 * HEADROOM {
            return Err(Held::by(
                Law::CapacityBeforeWeight,
                format!("{} would get {gets}, and carries {carries}", instance.alloc),
            ));
        }
    }
    Ok(())
}
