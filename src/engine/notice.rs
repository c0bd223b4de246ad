//! What each look adds to history, and how past forecasts did against it.

use super::state::{Promise, State};
use super::still::Moved;
use super::view::{LogKind, PastPoint};
use super::{fights, links, pledges};
use crate::learn;
use crate::model::*;
use crate::planner::{self, risk};

/// A forecast is scored this many steps after it was made.
const SCORE_AHEAD: i64 = 10;

pub fn notice(state: &mut State, world: &World, moved: &Moved, now: Moment) {
    portions(state, world, now);
    availability(state, world, moved, now);
    links::notice(state, world, moved, now);
    demand(state, world, now);
    reactions(state, world, now);
    fights::notice(state, world, now);
    spending(state, world, now);
}

/// Portions are found anew when the live job changes.
fn portions(state: &mut State, world: &World, now: Moment) {
    let mut workloads = std::mem::take(&mut state.workloads);
    for workload in &mut workloads {
        let jobs: std::collections::BTreeSet<&JobId> =
            workload.policy.portions.iter().map(|p| &p.job).collect();
        let jobs: Vec<&JobSpec> = jobs.into_iter().filter_map(|j| world.job(j)).collect();
        let (of, declared) = &workload.found_in;
        let same = jobs.iter().copied().eq(of.iter()) && *declared == workload.policy.portions;
        if same && !workload.portions.is_empty() {
            continue;
        }
        let found = planner::workload(&jobs, Some(&workload.policy));
        workload.found_in = (
            jobs.into_iter().cloned().collect(),
            workload.policy.portions.clone(),
        );
        if found.is_empty() || found == workload.portions {
            continue;
        }
        for p in &found {
            let needs = p
                .depends_on
                .iter()
                .map(PortionId::as_str)
                .collect::<Vec<_>>()
                .join(", ");
            let needs = if needs.is_empty() {
                String::new()
            } else {
                format!(", calls {needs}")
            };
            let can = p.not_shadowable.as_ref().map_or_else(
                || "can be shadowed".to_string(),
                |why| format!("cannot be shadowed: {why}"),
            );
            let text = format!("{} (release {}): {}{needs}", p.id, p.release, can);
            if state.say_once(
                &format!("portion {}", p.id),
                now,
                LogKind::Portion,
                Some(&p.id),
                text,
            ) {
                state.tally.portions = found.len() as u64;
            }
        }
        workload.portions = found;
    }
    state.workloads = workloads;
}

/// Nodes and sites that fell or came back since the last look.
fn availability(state: &mut State, world: &World, moved: &Moved, now: Moment) {
    let Some(nodes) = world.nodes.value() else {
        return;
    };
    let ready = |n: &Node| n.status == NodeStatus::Ready;
    let (differ, sites) = moved.ground(nodes);
    for node in differ {
        let up = ready(node);
        let was = match state.nodes_up.get_mut(&*node.name) {
            Some(known) => Some(std::mem::replace(known, (node.site.clone(), up))),
            None => {
                let seen = (node.site.clone(), up);
                state.nodes_up.insert(node.name.to_string(), seen)
            }
        };
        if was.is_some_and(|(_, was)| was != up) {
            let word = if up { "is back" } else { "is down" };
            state.say(
                now,
                news(up),
                None,
                None,
                format!("node {} {word}", node.name),
            );
            event(state, now, &node.name, SubjectKind::Node, up);
        }
    }
    for site in sites {
        let up = nodes.of(&site).any(ready);
        let was = state.sites_up.insert(site.clone(), up);
        if was.is_some_and(|was| was != up) {
            let word = if up {
                "is back"
            } else {
                "is lost: none of its nodes is heard"
            };
            state.say(now, news(up), None, None, format!("site {site} {word}"));
            event(state, now, site.as_str(), SubjectKind::Site, up);
        }
    }
}

/// What falls is a fault, and what comes back is none.
pub(super) fn news(up: bool) -> LogKind {
    match up {
        true => LogKind::Notice,
        false => LogKind::Fault,
    }
}

pub(super) fn event(state: &mut State, at: Moment, subject: &str, kind: SubjectKind, up: bool) {
    let event = Availability {
        at,
        subject: subject.to_string(),
        kind,
        up,
    };
    state.memos.push(Memo::Availability(event.clone()));
    state.history.availability.push(event);
}

/// One sample a step and portion; a step without a reading stays a gap.
fn demand(state: &mut State, world: &World, now: Moment) {
    let workloads = std::mem::take(&mut state.workloads);
    for policy in workloads.iter().map(|w| &w.policy) {
        for portion in &policy.portions {
            let Some(traffic) = world
                .traffic
                .get(&portion.id)
                .and_then(|t| t.fresh(now, planner::FRESH))
            else {
                continue;
            };
            let series = state
                .history
                .demand
                .entry(portion.id.clone())
                .or_insert_with(|| Series {
                    start: now,
                    step: policy.step,
                    values: Vec::new(),
                });
            let slot = (now.since(series.start).0 / series.step.0.max(1)).max(0) as usize;
            if slot < series.values.len() {
                continue;
            }
            series.values.resize(slot, f64::NAN);
            series.values.push(traffic.rate.0);
            let keep = (policy.season.0 / policy.step.0.max(1)).max(1) as usize * 28;
            if series.values.len() > keep * 2 {
                let drop = series.values.len() - keep;
                series.values.drain(..drop);
                series.start = series.start + series.step.times(drop as i64);
            }
            let traffic = *traffic;
            state.memos.push(Memo::Sample {
                portion: portion.id.clone(),
                at: now,
                rate: traffic.rate,
            });
            let forecast = score(state, &portion.id, traffic.rate, policy.step, now);
            state.remember_point(
                &portion.id,
                PastPoint {
                    at: now,
                    rate: traffic.rate.0,
                    p99: traffic.p99.0,
                    success: traffic.success,
                    forecast,
                },
            );
        }
    }
    state.workloads = workloads;
}

/// Compares the promise made for this moment with what came.
fn score(
    state: &mut State,
    portion: &PortionId,
    actual: Rps,
    step: Span,
    now: Moment,
) -> Option<(f64, f64, f64)> {
    let queue = state.promises.get_mut(portion)?;
    let mut due = None;
    while queue.front().is_some_and(|p| p.at.0 <= now.0 + step.0 / 2) {
        due = queue.pop_front();
    }
    let p = due.filter(|p| now.since(p.at) <= step.times(2))?;
    let skill = state.beliefs.skill.entry(portion.clone()).or_default();
    let lesson = learn::score(skill, Rps(p.low), Rps(p.mid), Rps(p.high), actual);
    let skill = skill.clone();
    state.memos.push(Memo::Skill {
        portion: portion.clone(),
        skill,
    });
    if let Some(text) = lesson {
        state.learn(now, Some(portion), text);
    }
    Some((p.low, p.mid, p.high))
}

/// Notes what the fresh outlook says of the moment at which it will be scored.
pub fn promise(state: &mut State, now: Moment) {
    let paths = state.workloads.iter().flat_map(|w| &w.outlook.demand);
    for (id, path) in paths {
        let at = now + path.step.times(SCORE_AHEAD);
        let queue = state.promises.entry(id.clone()).or_default();
        if queue.back().is_some_and(|p| at.since(p.at) < path.step) {
            continue;
        }
        let Some(point) = path.points.iter().min_by_key(|p| p.at.since(at).0.abs()) else {
            continue;
        };
        queue.push_back(Promise {
            at,
            low: point.at_level(0.1).0,
            mid: point.at_level(0.5).0,
            high: point.at_level(0.9).0,
        });
    }
}

/// Gateways report contingencies they applied; each counts once.
fn reactions(state: &mut State, world: &World, now: Moment) {
    state.reactions.keep(|s| world.fronts.contains_key(s));
    for (service, front) in &world.fronts {
        for (gateway, applied) in &front.applied {
            let Some(applied) = applied.value() else {
                continue;
            };
            let (Some(domain), Some(took)) = (&applied.contingency, applied.reaction) else {
                continue;
            };
            if state.reactions.count(gateway, service, applied.at, took) {
                let portion = state
                    .workloads
                    .iter()
                    .find_map(|w| w.policy.by_front(service).map(|p| p.id.clone()));
                let policy = portion.as_ref().and_then(|p| {
                    let mut all = state.workloads.iter().map(|w| &w.policy);
                    all.find(|w| w.portion(p).is_some()).cloned()
                });
                if let (Some(policy), Some(portion)) = (policy, &portion) {
                    pledges::of_move(state, &policy, portion, now);
                }
                state.tally.switchovers += 1;
                let sooner = match applied.suspected.len() {
                    0 => "",
                    _ => ", and gateways' own probes were sooner than Consul's check",
                };
                let text = format!(
                    "{gateway} switched {service} away from {domain} in {} ms: it was prepared{sooner}",
                    took.0
                );
                state.say(
                    now,
                    LogKind::Effect,
                    Some(Cause::Reactive),
                    portion.as_ref(),
                    text,
                );
            }
        }
    }
}

/// Core-hours that our jobs hold, against the budgets of the season.
fn spending(state: &mut State, world: &World, now: Moment) {
    let (Some(allocs), Some(jobs)) = (world.allocs.value(), world.jobs.value()) else {
        return;
    };
    let mut held = (0.0, 0.0);
    let marks = [
        planner::instances::META_SHADOW,
        planner::instances::META_STANDBY,
    ];
    let ours = jobs
        .iter()
        .filter(|(_, j)| marks.iter().any(|m| j.meta(m).is_some()));
    let of_ours = ours.flat_map(|(id, job)| allocs.of(id).map(move |a| (job, a)));
    for (job, alloc) in of_ours.filter(|(_, a)| a.holds()) {
        let clock = world.node(&alloc.node).map_or(0.0, |n| n.clock.0);
        let cores = alloc.resources.cpu.0 / if clock > 0.0 { clock } else { 2_500.0 };
        if job.meta(planner::instances::META_SHADOW).is_some() {
            held.0 += cores;
        } else if job.meta(planner::instances::META_STANDBY).is_some() {
            held.1 += cores;
        }
    }
    for workload in &mut state.workloads {
        let spent = &mut workload.book.spent;
        let season = now.0 / workload.policy.season.0.max(1);
        if spent.season != season {
            *spent = planner::book::Spent {
                season,
                at: now,
                ..Default::default()
            };
        }
        let hours = now.since(spent.at).as_secs_f64().clamp(0.0, 60.0) / 3600.0;
        spent.at = now;
        let shadows = CoreHours(held.0 * hours);
        spent.shadow = spent.shadow + shadows;
        let policy = &workload.policy;
        let appetite = risk::appetite(policy.risk_tolerance, policy.season);
        let budget = CoreHours(policy.budget.shadow.0 * appetite.shadow_part);
        workload
            .book
            .purse
            .turn(budget, policy.season, shadows, now);
        spent.standby = spent.standby + CoreHours(held.1 * hours);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, status: NodeStatus) -> Node {
        Node {
            status,
            ..Node::bare(name, "s")
        }
    }

    /// What is said of nodes and sites after each look at these nodes.
    fn said(looks: Vec<Vec<Node>>) -> Vec<String> {
        let mut state = State::default();
        for (at, nodes) in looks.into_iter().enumerate() {
            let now = Moment(at as i64 * 1_000);
            let mut world = World::unknown(now, "not read");
            world.nodes = Seen::known(nodes.into(), now);
            world.allocs = Seen::known(Table::default(), now);
            world.jobs = Seen::known(Default::default(), now);
            let moved = Moved::since(&mut state, &world, now);
            availability(&mut state, &world, &moved, now);
        }
        state.log.into_iter().map(|l| l.text).collect()
    }

    #[test]
    fn a_node_is_told_of_once_and_a_site_with_the_last_of_its_nodes_that_was_up() {
        use NodeStatus::{Down, Ready};
        let looks = vec![
            vec![node("a", Ready), node("b", Down)],
            vec![node("a", Ready), node("b", Down)],
            // Nomad has forgotten it: nobody says that it is down.
            vec![node("b", Down)],
            vec![node("b", Down)],
            vec![node("b", Ready)],
        ];
        let lost = "site s is lost: none of its nodes is heard";
        let back = ["node b is back", "site s is back"];
        assert_eq!(said(looks), [&[lost], &back[..]].concat());
    }

    #[test]
    fn nothing_is_lost_with_a_node_beside_which_others_are_up() {
        use NodeStatus::{Down, Ready};
        let looks = vec![
            vec![node("a", Ready), node("b", Ready)],
            vec![node("a", Ready), node("b", Down)],
        ];
        assert_eq!(said(looks), ["node b is down"]);
    }
}
