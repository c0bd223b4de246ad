//! What the operator knows and no history tells: demand in an event is a multiple of what it would be, and maintenance is sure.

use super::hierarchy::Called;
use super::series::Samples;
use crate::model::{
    Availability, DemandEvent, DemandPath, Domain, Hazard, Moment, Node, Policy, PortionId,
    Probability, Rps, Span, SubjectKind,
};
use std::collections::BTreeMap;

/// How many times the usual demand the portion has then.
fn factor(events: &[&DemandEvent], at: Moment) -> f64 {
    let now = events.iter().filter(|e| e.window.holds(at));
    now.map(|e| e.factor).product()
}

fn concerning<'a>(policy: &'a Policy, portion: &PortionId) -> Vec<&'a DemandEvent> {
    let events = policy.events.iter();
    events.filter(|e| e.concerns(portion)).collect()
}

/// The series as it would have been without the events that lie in it, so that none is learnt as a season or a shift of
/// the level; `None` where there was none.
pub fn without(series: &Samples, policy: &Policy, portion: &PortionId) -> Option<Samples> {
    let events = concerning(policy, portion);
    let at = |i: usize| series.start + series.step.times(i as i64);
    let end = at(series.values.len().saturating_sub(1));
    if !events.iter().any(|e| e.window.meets(series.start, end)) {
        return None;
    }
    let mut plain = series.clone();
    for (i, v) in plain.values.iter_mut().enumerate() {
        // In a window in which nothing is asked for, nothing can be learnt.
        let f = factor(&events, at(i));
        *v = if f > 0.0 { *v / f } else { f64::NAN };
    }
    Some(plain)
}

/// Multiplies the paths where an event holds, and says so. What is called by a portion with an event gets what follows from
/// the event, unless one of its own is known. `called` lists every portion after its caller.
pub fn apply(
    demand: &mut BTreeMap<PortionId, DemandPath>,
    called: &[Called],
    policy: &Policy,
    now: Moment,
) {
    if policy.events.is_empty() {
        return;
    }
    let mut more: BTreeMap<PortionId, Vec<f64>> = BTreeMap::new();
    for (id, path) in demand.iter_mut() {
        let events = concerning(policy, id);
        if !events.is_empty() {
            more.insert(id.clone(), raise(path, &events, now));
        }
    }
    for (id, caller, ratio) in called
        .iter()
        .filter(|c| concerning(policy, &c.0).is_empty())
    {
        let (Some(extra), Some(path)) = (more.get(caller).cloned(), demand.get_mut(id)) else {
            continue;
        };
        let extra: Vec<f64> = extra.into_iter().map(|v| v * ratio).collect();
        if extra.iter().any(|v| *v != 0.0) {
            let because = &mut path.because;
            *because = format!("{because}; what {caller} has more in its event is added").into();
        }
        for (p, more) in path.points.iter_mut().zip(&extra) {
            p.mean = Rps((p.mean.0 + more).max(0.0));
            p.quantiles
                .iter_mut()
                .for_each(|q| q.0 = (q.0 + more).max(0.0));
        }
        path.components.event = extra.first().copied().unwrap_or(0.0);
        more.insert(id.clone(), extra);
    }
}

/// Multiplies one path; what that adds to each point.
fn raise(path: &mut DemandPath, events: &[&DemandEvent], now: Moment) -> Vec<f64> {
    let mut more = Vec::with_capacity(path.points.len());
    for p in &mut path.points {
        let f = factor(events, p.at);
        more.push(p.mean.0 * (f - 1.0));
        p.mean = Rps(p.mean.0 * f);
        p.quantiles.iter_mut().for_each(|q| q.0 *= f);
    }
    path.components.event = more.first().copied().unwrap_or(0.0);
    let Some(last) = path.points.last().map(|p| p.at) else {
        return more;
    };
    for event in events.iter().filter(|e| e.window.meets(now, last)) {
        let when = when(now, event.window.from, event.window.to);
        let because = &mut path.because;
        *because = format!(
            "{because}; event {}: {} times that, {when}",
            event.name, event.factor
        )
        .into();
    }
    more
}

/// Since when or from when, and until when, counted from now.
fn when(now: Moment, from: Moment, to: Moment) -> String {
    let secs = |s: Span| format!("{:.0} s", s.as_secs_f64());
    let until = secs(to.since(now));
    if from <= now {
        format!("for another {until}")
    } else {
        format!("from in {} until in {until}", secs(from.since(now)))
    }
}

/// Failures that were none: what fell in its own or its site's maintenance was taken down.
pub fn unplanned(events: &[Availability], policy: &Policy, nodes: &[&Node]) -> Vec<Availability> {
    let planned = |e: &Availability| {
        policy.maintenance.iter().any(|m| {
            let site = |name: &str| m.sites.iter().any(|s| s.as_str() == name);
            m.window.holds(e.at)
                && match e.kind {
                    SubjectKind::Site => site(&e.subject),
                    SubjectKind::Node => {
                        let home = nodes.iter().find(|n| *n.name == *e.subject);
                        m.nodes.contains(&e.subject) || home.is_some_and(|n| site(n.site.as_str()))
                    }
                    SubjectKind::Link => e.subject.split(" – ").any(site),
                }
        })
    };
    let kept = events.iter().filter(|e| e.up || !planned(e));
    kept.cloned().collect()
}

/// What is taken down within the horizon goes for sure.
pub fn maintain(hazards: &mut [Hazard], policy: &Policy, now: Moment) {
    let soon = policy
        .maintenance
        .iter()
        .filter(|m| m.window.meets(now, now + policy.horizon));
    for m in soon {
        for hazard in hazards.iter_mut() {
            let goes = match &hazard.domain {
                Domain::Node(_) => m.nodes.contains(&hazard.name),
                Domain::Site(site) => m.sites.contains(site),
                Domain::Link(..) => false,
            };
            if goes {
                hazard.within = Probability(1.0);
                let when = when(now, m.window.from, m.window.to);
                hazard.why = format!("maintenance {}, {when}; {}", m.name, hazard.why);
            }
        }
    }
}
