//! Every step passes here, whoever asked for it.

use super::cleared::{Cleared, Held, Law};
use super::facts::{FRESH, Facts};
use super::traffic;
use crate::model::*;
use std::collections::BTreeMap;

/// Names that are never touched, whatever a policy says.
const NEVER: [&str; 5] = [
    "consul",
    "nomad",
    "nomad-client",
    "nomad-server",
    "foreshadow",
];

/// Lets the step pass, or says which law holds it and why.
pub fn clear(step: Step, facts: &Facts) -> Result<Cleared<Step>, Box<(Step, Held)>> {
    match check(&step, facts) {
        Ok(()) => Ok(Cleared::new(step)),
        Err(held) => Err(Box::new((step, held))),
    }
}

fn check(step: &Step, facts: &Facts) -> Result<(), Held> {
    may_act(step, facts)?;
    if facts.inflight.contains_key(&step.id) {
        return Err(Held::by(
            Law::JournalBeforeAct,
            "this step is already under way",
        ));
    }
    suspect_our_eyes(facts)?;
    rests(step, facts)?;
    match &step.action {
        Action::SetTarget {
            target,
            before,
            planned,
        } => {
            denied(target, facts)?;
            traffic::check(target, before.as_ref(), *planned, facts)
        }
        Action::ReleaseStandby { job, .. } => {
            ours(job)?;
            released(job, facts)
        }
        Action::StopShadow { job, .. } | Action::Reap { job } => ours(job),
        Action::PlaceStandby { job, .. } => ours(&job.id()),
        Action::StartShadow { job, .. }
        | Action::StartUpstream { job, .. }
        | Action::StartTwin { job, .. } => {
            ours(&job.id())?;
            isolated(job)
        }
        Action::Scale { job, from, to, .. } => {
            ours(job)?;
            // Which copy goes when a count shrinks is Nomad's choice: none of them may carry traffic.
            if to < from {
                released(job, facts)?;
            }
            Ok(())
        }
        Action::MeasureShadow { .. } => Ok(()),
    }
}

/// Acting was asked for, nobody holds it, and the lock is ours under the step's own epoch.
fn may_act(step: &Step, facts: &Facts) -> Result<(), Held> {
    if !facts.acting {
        return Err(Held::by(
            Law::ActingIsOptIn,
            "mode is observe: this is what would be done",
        ));
    }
    match facts.world.hold.fresh(facts.now, FRESH) {
        Some(false) => {}
        Some(true) => return Err(Held::by(Law::HoldKey, "foreshadow/hold is set")),
        None => {
            return Err(Held::by(
                Law::HoldKey,
                "foreshadow/hold cannot be read; it counts as set",
            ));
        }
    }
    match facts.epoch {
        None => Err(Held::by(
            Law::EpochFences,
            "we do not hold the leader's lock",
        )),
        Some(epoch) if epoch != epoch_of(step).unwrap_or(epoch) => Err(Held::by(
            Law::EpochFences,
            "the plan was made under another epoch",
        )),
        Some(_) => Ok(()),
    }
}

fn epoch_of(step: &Step) -> Option<Epoch> {
    match &step.action {
        Action::SetTarget { target, .. } => Some(target.epoch),
        _ => None,
    }
}

/// More than half of the failure domains bad at once: that is more likely our eyes than the world.
fn suspect_our_eyes(facts: &Facts) -> Result<(), Held> {
    let Some(nodes) = facts.world.nodes.fresh(facts.now, FRESH) else {
        return Err(Held::by(
            Law::NoDataNeverAdvances,
            "nodes cannot be read; unknown may only hold",
        ));
    };
    let mut sites: BTreeMap<&Site, (usize, usize)> = BTreeMap::new();
    for node in nodes {
        let (bad, all) = sites.entry(&node.site).or_default();
        *bad += usize::from(node.status != NodeStatus::Ready);
        *all += 1;
    }
    let bad_sites = sites.values().filter(|(bad, all)| bad == all).count();
    let bad_nodes: usize = sites.values().map(|(bad, _)| bad).sum();
    if nodes.is_empty() {
        return Err(Held::by(
            Law::HealthNonEmpty,
            "no node at all is seen; suspecting our eyes",
        ));
    }
    if bad_sites * 2 > sites.len() || bad_nodes * 2 > nodes.len() {
        let why = format!(
            "{bad_nodes} of {} and {bad_sites} of {} look bad at once; suspecting our eyes",
            counted(nodes.len(), "node"),
            counted(sites.len(), "site")
        );
        return Err(Held::by(Law::BlastRadius, why));
    }
    Ok(())
}

fn denied(target: &Target, facts: &Facts) -> Result<(), Held> {
    let name = target.service.as_str();
    if NEVER.contains(&name) || facts.policy.deny.contains(&target.service) {
        return Err(Held::by(
            Law::BlastRadius,
            format!("{name} is on the deny-list"),
        ));
    }
    Ok(())
}

/// In a freeze or in quiet hours nothing is begun that nothing forces. What is wrong now is answered, and what ends a shadow or
/// keeps entries and contingencies true goes on.
fn rests(step: &Step, facts: &Facts) -> Result<(), Held> {
    let frozen = facts.policy.frozen(facts.now).is_some();
    let by_choice = match &step.action {
        Action::StartShadow { .. } | Action::StartUpstream { .. } | Action::StartTwin { .. } => {
            true
        }
        Action::SetTarget { planned, .. } => *planned,
        Action::PlaceStandby { .. } | Action::ReleaseStandby { .. } | Action::Scale { .. } => {
            frozen && step.cause != Cause::Reactive
        }
        Action::MeasureShadow { .. } | Action::StopShadow { .. } | Action::Reap { .. } => false,
    };
    match facts.policy.rest(facts.now) {
        Some(why) if by_choice => Err(Held::by(Law::Policy, why)),
        _ => Ok(()),
    }
}

/// Jobs are registered and removed under our own names alone: a wrong plan cannot replace or end a workload's own job.
fn ours(job: &JobId) -> Result<(), Held> {
    if job.as_str().starts_with("foreshadow-") {
        return Ok(());
    }
    let why = format!("{job} is not a job of foreshadow's own");
    Err(Held::by(Law::BlastRadius, why))
}

/// The old side stays: a standby that still carries a share in any target is not released.
/// Nothing of the job carries traffic: neither by a target nor in the eyes of clients, who may still be given what a target has just left out.
fn released(job: &JobId, facts: &Facts) -> Result<(), Held> {
    let Some(allocs) = facts.world.allocs.fresh(facts.now, FRESH) else {
        return Err(Held::by(
            Law::NoDataNeverAdvances,
            "allocations cannot be read",
        ));
    };
    let of_job: Vec<&AllocId> = allocs.of(job).map(|a| &a.id).collect();
    for front in facts.world.fronts.values() {
        let Some(target) = front
            .target
            .as_ref()
            .and_then(|t| t.fresh(facts.now, FRESH))
        else {
            return Err(Held::by(
                Law::NoDataNeverAdvances,
                "a target cannot be read",
            ));
        };
        let Some(target) = target else { continue };
        let carries = |a: &&&AllocId| target.share_of(a) > Share::NONE;
        if let Some(alloc) = of_job.iter().find(carries) {
            let why = format!("{job} still carries traffic ({alloc})");
            return Err(Held::by(Law::RetreatIsAPlan, why));
        }
        if let Some((gateway, alloc)) = given(front, target.owner, &of_job, facts.now) {
            let why = format!("{gateway} still gives clients {alloc} of {job}");
            return Err(Held::by(Law::RetreatIsAPlan, why));
        }
    }
    Ok(())
}

/// A gateway that can be heard whose clients are given one of the allocations. In the mesh entries say nothing of that.
fn given<'a>(
    front: &'a Front,
    owner: Owner,
    allocs: &[&AllocId],
    now: Moment,
) -> Option<(&'a GatewayId, &'a AllocId)> {
    let heard = front.entries.iter().filter(|_| owner != Owner::Mesh);
    heard
        .filter_map(|(gateway, entries)| Some((gateway, entries.fresh(now, FRESH)?)))
        .find_map(|(gateway, entries)| {
            let serves = |e: &&FrontEntry| e.serves() && allocs.contains(&&e.instance);
            Some((gateway, &entries.iter().find(serves)?.instance))
        })
}

/// The last look at a shadow before it is registered.
fn isolated(job: &JobSpec) -> Result<(), Held> {
    let priority = job.priority();
    if priority > 40 {
        return Err(Held::by(
            Law::Policy,
            format!("a shadow of priority {priority} could preempt production (limit 40)"),
        ));
    }
    if job.meta("foreshadow_shadow") != Some("true") {
        return Err(Held::by(
            Law::Policy,
            "a shadow without its reaper's mark would be orphaned",
        ));
    }
    Ok(())
}
