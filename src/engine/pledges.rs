//! What profiles said when a standby was placed or traffic moved, held against what came.

use super::state::State;
use crate::learn::calibration;
use crate::model::*;
use crate::planner::distance::Ways;
use crate::planner::instances::Copy;
use crate::planner::{self, Copies};
use std::collections::BTreeMap;

/// What has not come after so long will not be scored: Nomad could not place it, or traffic cannot be read.
const GIVE_UP: Span = Span::secs(300);

/// A prediction that waits for what comes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pledge {
    pub portion: PortionId,
    pub at: Moment,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Milliseconds from the standby's register to its first passing check at the front, as it was said then.
    Start {
        job: JobId,
        node: NodeId,
        said: Option<Estimate>,
    },
    /// Latency and capacity once traffic has settled where it was moved to.
    Load { due: Moment },
}

/// A standby was registered.
pub fn of_start(state: &mut State, portion: &PortionId, (job, node): (JobId, &NodeId), at: Moment) {
    state.pledges.push(Pledge {
        portion: portion.clone(),
        at,
        what: What::Start {
            job,
            node: node.clone(),
            said: None,
        },
    });
}

/// Traffic has come where it was moved to.
pub fn of_move(state: &mut State, policy: &Policy, portion: &PortionId, at: Moment) {
    let due = at + policy.ramp.settle;
    let waits = |p: &Pledge| &p.portion == portion && matches!(p.what, What::Load { .. });
    state.pledges.retain(|p| !waits(p));
    state.pledges.push(Pledge {
        portion: portion.clone(),
        at,
        what: What::Load { due },
    });
}

/// Scores what has come; the rest waits on.
pub fn settle(state: &mut State, world: &World, copies: &BTreeMap<PortionId, Copies>, now: Moment) {
    for mut pledge in std::mem::take(&mut state.pledges) {
        let waits = match &mut pledge.what {
            What::Start { job, node, said } => {
                *said = said.or_else(|| said_of_start(state, world, &pledge.portion, node));
                let came = copies.get(&pledge.portion).and_then(|set| {
                    let mut all = set.all.iter();
                    all.find(|c| &c.job == job && c.ready)
                });
                match (said, came) {
                    (Some(said), Some(_)) => {
                        let said = *said;
                        started(state, &pledge.portion, said, now.since(pledge.at), now);
                        false
                    }
                    // Without a word there is nothing to hold it against.
                    (said, _) => said.is_some(),
                }
            }
            What::Load { due } => now < *due || !loaded(state, world, copies, &pledge.portion, now),
        };
        if waits && now.since(pledge.at) < GIVE_UP {
            state.pledges.push(pledge);
        }
    }
}

fn known<'a>(state: &'a State, key: &ProfileKey) -> Option<&'a Known> {
    state.workloads.iter().find_map(|w| w.known.get(key))
}

fn said_of_start(
    state: &State,
    world: &World,
    portion: &PortionId,
    node: &NodeId,
) -> Option<Estimate> {
    let node = world.node(node)?;
    let mut portions = state.workloads.iter().flat_map(|w| &w.portions);
    let key = ProfileKey {
        portion: portion.clone(),
        release: portions.find(|p| &p.id == portion)?.release.clone(),
        site: node.site.clone(),
        class: node.class.clone(),
    };
    let there = known(state, &key)?;
    (there.startup.middle > 0.0).then(|| there.startup.of_one(there.one_start))
}

/// Keeps what was scored, and tells it.
fn keep(
    state: &mut State,
    portion: &PortionId,
    calibration: Calibration,
    text: String,
    now: Moment,
) {
    let skill = state.beliefs.skill.entry(portion.clone()).or_default();
    skill.calibration = calibration;
    let skill = skill.clone();
    state.memos.push(Memo::Skill {
        portion: portion.clone(),
        skill,
    });
    state.learn(now, Some(portion), text);
}

fn calibration_of(state: &State, portion: &PortionId) -> Calibration {
    let skill = state.beliefs.skill.get(portion);
    skill.map(|s| s.calibration).unwrap_or_default()
}

fn started(state: &mut State, portion: &PortionId, said: Estimate, took: Span, now: Moment) {
    let mut kept = calibration_of(state, portion);
    let Some(hit) = calibration::score(&mut kept.startup, &said, took.0 as f64) else {
        return;
    };
    let text = format!(
        "a standby of {portion} served after {} ms, foreseen {:.0}: {}; {} of {} within their band, spread × {:.2}",
        took.0,
        said.middle,
        word(hit),
        kept.startup.covered,
        kept.startup.scored,
        kept.startup.width
    );
    keep(state, portion, kept, text, now);
}

fn word(hit: bool) -> &'static str {
    if hit {
        "as foreseen"
    } else {
        "not as foreseen"
    }
}

/// Latency and capacity of those that have traffic against what their profiles say of the load that came; `false` while it
/// cannot be read.
fn loaded(
    state: &mut State,
    world: &World,
    copies: &BTreeMap<PortionId, Copies>,
    portion: &PortionId,
    now: Moment,
) -> bool {
    let policy = state.workloads.iter().find_map(|w| {
        let found = w.policy.portion(portion)?;
        Some((found.slo, w.policy.ramp.min_samples))
    });
    let (Some((slo, least)), Some(set)) = (policy, copies.get(portion)) else {
        return false;
    };
    let traffic = world.traffic.get(portion);
    let Some(traffic) = traffic.and_then(|t| t.fresh(now, planner::FRESH)).copied() else {
        return false;
    };
    if traffic.samples < least {
        return false;
    }
    let serving: Vec<&Copy> = set.all.iter().filter(|c| c.share > Share::NONE).collect();
    let mut kept = calibration_of(state, portion);
    let held = traffic.success >= slo.success && traffic.at_slo <= slo.latency;
    let capacity = capacity(state, portion, &serving);
    let carried = capacity.and_then(|said| {
        let hit = calibration::score_capacity(&mut kept.capacity, &said, traffic.rate, held)?;
        let verb = if held { "held" } else { "not held" };
        Some(format!(
            "{} {verb} where {} are believed to be carried, {}",
            traffic.rate,
            Rps(said.middle),
            word(hit)
        ))
    });
    let latency = latency(state, world, portion, &serving, traffic.rate);
    let late = latency.and_then(|said| {
        let hit = calibration::score(&mut kept.latency, &said, traffic.at_slo.0)?;
        let (q, came) = (100.0 * slo.quantile, traffic.at_slo);
        Some(format!(
            "p{q:.0} {came}, foreseen {}, {}",
            Millis(said.middle),
            word(hit)
        ))
    });
    let told: Vec<String> = carried.into_iter().chain(late).collect();
    if !told.is_empty() {
        let width = kept.capacity.width.max(kept.latency.width);
        let text = format!(
            "after traffic of {portion} moved: {}; spread × {width:.2}",
            told.join("; ")
        );
        keep(state, portion, kept, text, now);
    }
    true
}

fn key_of(portion: &PortionId, copy: &Copy) -> ProfileKey {
    ProfileKey {
        portion: portion.clone(),
        release: copy.release.clone(),
        site: copy.site().clone(),
        class: copy.class().clone(),
    }
}

/// The rate at which the first of them comes to its knee, as traffic is shared now.
fn capacity(state: &State, portion: &PortionId, serving: &[&Copy]) -> Option<Estimate> {
    let each = serving.iter().map(|c| {
        let there = known(state, &key_of(portion, c))?;
        let knee = there.knee.of_one(there.one_run);
        let share = c.share.fraction();
        Some(Estimate {
            middle: knee.middle / share,
            low: knee.low / share,
            high: knee.high / share,
            spread: knee.spread,
        })
    });
    let each: Option<Vec<Estimate>> = each.collect();
    each?
        .into_iter()
        .min_by(|a, b| a.middle.total_cmp(&b.middle))
}

/// What of the ways to what the portion calls is in no curve of its shadows.
fn unmeasured(state: &State, world: &World, portion: &PortionId, from: &Site) -> Millis {
    let mut all = state.workloads.iter();
    let own = all.find(|w| w.policy.portion(portion).is_some());
    own.map_or(Millis(0.0), |w| {
        Ways::new(world, &w.policy, &w.portions).unmeasured(portion, from)
    })
}

/// Latency at the SLO's quantile that their curves say, with the ways to what they call, each by its share; `None` where one has no curve.
fn latency(
    state: &State,
    world: &World,
    portion: &PortionId,
    serving: &[&Copy],
    rate: Rps,
) -> Option<Estimate> {
    let bias = calibration_of(state, portion).latency.bias;
    let (mut sum, mut shares, mut spread) = (0.0, 0.0, 0.0f64);
    for copy in serving {
        let key = key_of(portion, copy);
        let share = copy.share.fraction();
        let profile = state.beliefs.profile(&key)?;
        let load = Rps(rate.0 * share);
        // Below the lowest load that was tried a curve says no more than "at most".
        let lowest = profile.answered().first()?.0;
        let measured = profile.latency_at(load).filter(|_| load >= lowest)?;
        sum += share * (measured.0 + unmeasured(state, world, portion, copy.site()).0);
        shares += share;
        let there = known(state, &key)?;
        spread = spread.max(there.knee.of_one(there.one_run).spread);
    }
    let middle = sum / shares * bias.exp();
    (middle.is_finite() && middle > 0.0).then_some(Estimate {
        middle,
        low: middle,
        high: middle,
        spread,
    })
}
