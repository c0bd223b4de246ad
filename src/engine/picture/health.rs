//! How a portion is, in a word and in one sentence: what is wrong, or what is being done.

use crate::engine::state::Workload;
use crate::engine::view::Health;
use crate::model::*;
use crate::planner::{Copies, FRESH, Role};

pub fn health(
    workload: &Workload,
    policy: &PortionPolicy,
    copies: Option<&Copies>,
    seen: Option<&Seen<Traffic>>,
    path: Option<&DemandPath>,
    now: Moment,
) -> (Health, String) {
    let traffic = seen.and_then(|t| t.fresh(now, FRESH));
    let book = &workload.book;
    let mv = policy.front.as_ref().and_then(|f| book.moves.get(f));
    if let Some(t) = traffic.filter(|t| t.samples >= workload.policy.ramp.min_samples)
        && let Some(broken) = broken(&policy.slo, t)
    {
        let done = match mv {
            Some(_) => "traffic is being moved".into(),
            None => no_move(workload, policy),
        };
        return (Health::Breach, format!("{broken}: {done}"));
    }
    if let Some(m) = mv {
        let steps = counted(workload.policy.ramp.steps.len(), "step");
        return (Health::Moving, format!("{} of {steps}: {}", m.done, m.why));
    }
    let standbys = copies.map_or(0, |c| c.of(Role::Standby).filter(|c| c.ready).count());
    if let Some((_, why)) = book.surging.get(&policy.id) {
        let serve = match standbys {
            0 => "no standby is ready; wanted".to_string(),
            1 => "1 standby serves".to_string(),
            n => format!("{n} standbys serve"),
        };
        return (Health::Watch, format!("{serve}: {why}"));
    }
    if standbys > 0 {
        let stand = match standbys {
            1 => "1 standby stands ready".to_string(),
            n => format!("{n} standbys stand ready"),
        };
        let peak = path.and_then(|p| p.peak(0.9, now, now + workload.policy.horizon));
        let peak = peak.map_or_else(String::new, |p| format!(", up to {p} foreseen"));
        return (Health::Watch, format!("{stand}{peak}"));
    }
    match traffic {
        None if policy.front.is_some() => (Health::Unknown, unseen(seen)),
        None => (Health::Good, "no front: watched only".into()),
        Some(t) if t.samples == 0 => (Health::Good, "no request counted of late".into()),
        Some(t) => (Health::Good, format!("p99 {}", t.p99)),
    }
}

/// Why its traffic is not seen, as far as that is known: at first a second reading is all that is missing.
fn unseen(seen: Option<&Seen<Traffic>>) -> String {
    match seen {
        Some(Seen::Unknown { why }) => format!("traffic is not seen: {why}"),
        _ => "traffic is not seen".into(),
    }
}

/// What of the SLO is broken, with its limit.
fn broken(slo: &Slo, t: &Traffic) -> Option<String> {
    let lost = (t.success < slo.success).then(|| {
        // Rounded down, so that what is just below the limit does not read as the limit.
        let answered = (t.success * 10_000.0 + 1e-6).floor() / 100.0;
        let limit = (slo.success * 100_000.0).round() / 1_000.0;
        format!("{answered}% answered (limit {limit}%)")
    });
    let late = (t.at_slo > slo.latency).then(|| {
        let quantile = slo.quantile * 100.0;
        format!("p{quantile:.0} {} (limit {})", t.at_slo, slo.latency)
    });
    let all: Vec<String> = lost.into_iter().chain(late).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Why its traffic is not moved.
fn no_move(workload: &Workload, policy: &PortionPolicy) -> String {
    if !policy.standby {
        return "its policy allows no standby".into();
    }
    let what = format!("standby of {}", policy.id);
    let mut waiting = workload.plan.iter().flat_map(|p| &p.waiting);
    match waiting.find(|w| w.what == what) {
        Some(w) => format!("no room, {}", w.why),
        None => "looking for room".into(),
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
