//! The state and the world as one `View`: what faces may know.

use super::state::{State, Workload};
use super::view::*;
use crate::model::*;
use crate::planner::{self, Copies, Role, Scene, ShadowState, risk};
use std::collections::BTreeMap;

/// Log lines that a view carries; a face that follows keeps more.
const LINES: usize = 400;

pub fn view(
    state: &State,
    world: &World,
    copies: &BTreeMap<PortionId, Copies>,
    now: Moment,
) -> View {
    let (scored, covered) = state
        .beliefs
        .skill
        .values()
        .fold((0, 0), |(s, c), k| (s + k.scored, c + k.covered));
    let mut portions: Vec<PortionView> = state
        .workloads
        .iter()
        .flat_map(|w| w.policy.portions.iter().map(move |p| (w, p)))
        .map(|(w, p)| {
            let set = copies.get(&p.id);
            let need = planner::size::foreseen(&scene(state, w, world, now), p, set);
            PortionView {
                need,
                ..portion(state, w, p, world, set, now)
            }
        })
        .collect();
    portions.sort_by(|a, b| b.health.cmp(&a.health).then(a.id.cmp(&b.id)));
    View {
        at: now,
        cycle: state.cycle,
        mode: state.mode,
        hold: match world.hold.value() {
            Some(false) => None,
            Some(true) => Some("foreshadow/hold is set: nothing is written".into()),
            None => Some("foreshadow/hold cannot be read; it counts as set".into()),
        },
        leader: match world.leadership.value() {
            Some(Leadership::Ours { .. }) => "this one".into(),
            Some(Leadership::Other { who }) => who.clone(),
            Some(Leadership::Nobody) => "nobody".into(),
            None => "unknown".into(),
        },
        epoch: state.epoch.unwrap_or_default(),
        blind: blind(world, now),
        portions,
        sites: sites(state, world),
        links: world.links.value().cloned().unwrap_or_default(),
        nodes: nodes(state, world, copies),
        shadows: state
            .workloads
            .iter()
            .flat_map(|w| w.book.shadows.values())
            .map(shadow)
            .collect(),
        candidates: candidates(state),
        steps: steps(state),
        waiting: state
            .workloads
            .iter()
            .filter_map(|w| w.plan.as_ref())
            .flat_map(|p| p.waiting.clone())
            .collect(),
        hazards: hazards(state),
        outlook: state.workloads.iter().map(OutlookView::of).collect(),
        readings: readings(world, now),
        budgets: state.workloads.iter().map(budget).collect(),
        log: state.log.iter().rev().take(LINES).rev().cloned().collect(),
        tally: state.tally.clone(),
        coverage_80: (scored > 0).then(|| covered as f64 / scored as f64),
        reaction_ms: state.reactions.newest(),
        reactions: state.reactions.counted(),
        ..View::default()
    }
}

/// Of each kind the oldest reading; where one of them is not there, that one.
fn readings(world: &World, now: Moment) -> Vec<ReadingView> {
    type Ages<'a> = Vec<Option<Span>>;
    let all: [(&str, Ages); 8] = [
        ("nodes", vec![world.nodes.age(now)]),
        ("allocations", vec![world.allocs.age(now)]),
        ("jobs", vec![world.jobs.age(now)]),
        ("hold", vec![world.hold.age(now)]),
        ("leadership", vec![world.leadership.age(now)]),
        ("links", vec![world.links.age(now)]),
        (
            "weights",
            world
                .fronts
                .values()
                .flat_map(|f| f.entries.values().map(|e| e.age(now)))
                .collect(),
        ),
        (
            "traffic",
            world.traffic.values().map(|t| t.age(now)).collect(),
        ),
    ];
    all.into_iter()
        .filter(|(_, ages)| !ages.is_empty())
        .map(|(what, ages)| ReadingView {
            what: what.into(),
            age: ages
                .into_iter()
                .collect::<Option<Vec<Span>>>()
                .and_then(|all| all.into_iter().max()),
        })
        .collect()
}

fn budget(workload: &Workload) -> BudgetView {
    let book = &workload.book;
    BudgetView {
        workload: workload.policy.workload.clone(),
        shadows_left: book.purse.left,
        shadows_spent: book.spent.shadow,
        standbys_spent: book.spent.standby,
    }
}

fn blind(world: &World, now: Moment) -> Vec<String> {
    fn tell<T>(what: &str, seen: &Seen<T>, now: Moment, into: &mut Vec<String>) {
        match seen {
            Seen::Unknown { why } => into.push(format!("{what}: {why}")),
            Seen::Known { at, .. } if now.since(*at) > planner::FRESH => {
                into.push(format!(
                    "{what}: last read {} s ago",
                    now.since(*at).0 / 1000
                ));
            }
            Seen::Known { .. } => {}
        }
    }
    let mut out = Vec::new();
    tell("nodes", &world.nodes, now, &mut out);
    tell("allocations", &world.allocs, now, &mut out);
    tell("jobs", &world.jobs, now, &mut out);
    tell("hold", &world.hold, now, &mut out);
    tell("leadership", &world.leadership, now, &mut out);
    for (service, front) in &world.fronts {
        for (gateway, entries) in &front.entries {
            tell(&format!("{service} at {gateway}"), entries, now, &mut out);
        }
    }
    for (portion, traffic) in &world.traffic {
        tell(&format!("traffic of {portion}"), traffic, now, &mut out);
    }
    out
}

fn portion(
    state: &State,
    workload: &Workload,
    policy: &PortionPolicy,
    world: &World,
    copies: Option<&Copies>,
    now: Moment,
) -> PortionView {
    let found = workload.portions.iter().find(|p| p.id == policy.id);
    let traffic = world
        .traffic
        .get(&policy.id)
        .and_then(|t| t.fresh(now, planner::FRESH))
        .copied();
    let path = workload.outlook.demand.get(&policy.id);
    let (health, sentence) = health(workload, policy, copies, traffic.as_ref(), path, now);
    let skill = state.beliefs.skill.get(&policy.id);
    PortionView {
        id: policy.id.clone(),
        workload: workload.policy.workload.clone(),
        groups: policy.groups.clone(),
        depends_on: found.map_or_else(|| policy.depends_on.clone(), |p| p.depends_on.clone()),
        front: policy.front.clone(),
        health,
        sentence,
        not_shadowable: found.and_then(|p| p.not_shadowable.clone()),
        slo: policy.slo,
        traffic,
        instances: instances(policy, world, copies, now),
        capacity: copies.and_then(|c| {
            Copies::capacity(
                c.all
                    .iter()
                    .filter(|i| i.ready && i.alive && i.share > Share::NONE),
            )
        }),
        past: state
            .past
            .get(&policy.id)
            .map(|p| p.iter().copied().collect())
            .unwrap_or_default(),
        band: path
            .map(|p| {
                p.points
                    .iter()
                    .map(|p| BandPoint {
                        at: p.at,
                        low: p.at_level(0.1).0,
                        mid: p.at_level(0.5).0,
                        high: p.at_level(0.9).0,
                    })
                    .collect()
            })
            .unwrap_or_default(),
        model: path.map(|p| p.model.clone()).unwrap_or_default(),
        models: path.map(|p| p.models.clone()).unwrap_or_default(),
        components: path.map(|p| p.components).unwrap_or_default(),
        because: path.map(|p| p.because.clone()).unwrap_or_default(),
        coverage_80: skill
            .filter(|s| s.scored > 0)
            .map(|s| s.covered as f64 / s.scored as f64),
        error: skill.filter(|s| s.scored > 0).map(|s| s.error),
        need: None,
        profiles: state
            .beliefs
            .profiles
            .iter()
            .filter(|p| {
                p.key.portion == policy.id && found.is_none_or(|f| f.release == p.key.release)
            })
            .cloned()
            .collect(),
        verdicts: state
            .beliefs
            .verdicts
            .iter()
            .filter(|v| {
                v.key.portion == policy.id && found.is_none_or(|f| f.release == v.key.release)
            })
            .cloned()
            .collect(),
        known: workload
            .known
            .values()
            .filter(|k| k.key.portion == policy.id)
            .cloned()
            .collect(),
        calibration: skill.map(|s| s.calibration).unwrap_or_default(),
        moving: None,
        stairs: Vec::new(),
        pinned: None,
    }
}

fn health(
    workload: &Workload,
    policy: &PortionPolicy,
    copies: Option<&Copies>,
    traffic: Option<&Traffic>,
    path: Option<&DemandPath>,
    now: Moment,
) -> (Health, String) {
    let book = &workload.book;
    let mv = policy.front.as_ref().and_then(|f| book.moves.get(f));
    let standbys = copies.map_or(0, |c| c.of(Role::Standby).filter(|c| c.ready).count());
    if let Some(t) = traffic
        && t.samples >= workload.policy.ramp.min_samples
        && (t.success < policy.slo.success || t.at_slo > policy.slo.latency)
    {
        let done = if mv.is_some() {
            "traffic is being moved"
        } else {
            "looking for room"
        };
        return (
            Health::Breach,
            format!(
                "{:.1}% answered, p{:.0} {} (limit {}): {done}",
                t.success * 100.0,
                policy.slo.quantile * 100.0,
                t.at_slo,
                policy.slo.latency
            ),
        );
    }
    if let Some(m) = mv {
        let steps = workload.policy.ramp.steps.len();
        return (
            Health::Moving,
            format!("{} of {steps} steps: {}", m.done, m.why),
        );
    }
    let (serve, stand) = match standbys {
        1 => (
            "1 standby serves".to_string(),
            "1 standby stands ready".to_string(),
        ),
        n => (
            format!("{n} standbys serve"),
            format!("{n} standbys stand ready"),
        ),
    };
    if let Some((_, why)) = book.surging.get(&policy.id) {
        return (Health::Watch, format!("{serve}: {why}"));
    }
    if standbys > 0 {
        let peak = path.and_then(|p| p.peak(0.9, now, now + workload.policy.horizon));
        let peak = peak.map_or_else(String::new, |p| format!(", up to {p} foreseen"));
        return (Health::Watch, format!("{stand}{peak}"));
    }
    match traffic {
        None if policy.front.is_some() => (Health::Unknown, "traffic is not seen".into()),
        None => (Health::Good, "no front: watched only".into()),
        Some(t) => (Health::Good, format!("p99 {}", t.p99)),
    }
}

fn instances(
    policy: &PortionPolicy,
    world: &World,
    copies: Option<&Copies>,
    now: Moment,
) -> Vec<InstanceView> {
    let Some(copies) = copies else {
        return Vec::new();
    };
    let dns: Vec<&SrvSeen> = policy
        .front
        .iter()
        .filter_map(|f| world.fronts.get(f))
        .flat_map(|f| f.dns.values())
        .filter_map(|d| d.fresh(now, planner::FRESH))
        .flatten()
        .collect();
    let total: u32 = dns.iter().map(|d| d.weight).sum();
    copies
        .all
        .iter()
        .map(|c| {
            let usage = world.usage.get(&c.alloc).and_then(|u| u.value());
            let weight: u32 = dns
                .iter()
                .filter(|d| d.address == c.address && d.port == c.port)
                .map(|d| d.weight)
                .sum();
            InstanceView {
                alloc: c.alloc.clone(),
                job: c.job.clone(),
                node: world
                    .node(&c.node)
                    .map(|n| n.name.clone())
                    .unwrap_or_default(),
                site: c.site.clone(),
                role: match c.role {
                    Role::Primary => "primary".into(),
                    Role::Standby => "standby".into(),
                },
                ready: c.ready,
                desired: c.share,
                observed: (total > 0).then(|| Share(weight * Share::ALL.0 / total)),
                cpu: usage.map(|u| u.cpu),
                memory: usage.map(|u| u.memory),
            }
        })
        .collect()
}

/// What is reserved in Nomad's books, and what is really used, summed over allocations that `which` picks.
fn held(world: &World, which: impl Fn(&Alloc) -> bool) -> (Resources, Resources) {
    let mut sum = (Resources::default(), Resources::default());
    for alloc in world
        .allocs
        .value()
        .into_iter()
        .flatten()
        .filter(|a| a.holds() && which(a))
    {
        sum.0 = sum.0.plus(alloc.resources);
        if let Some(u) = world.usage.get(&alloc.id).and_then(|u| u.value()) {
            sum.1.cpu = sum.1.cpu + u.cpu;
            sum.1.memory = sum.1.memory + u.memory;
        }
    }
    sum
}

/// Every domain's hazard, as the workload that looks furthest sees it.
fn hazards(state: &State) -> Vec<Hazard> {
    let mut all: Vec<Hazard> = Vec::new();
    for hazard in state.workloads.iter().flat_map(|w| &w.outlook.hazards) {
        match all.iter_mut().find(|h| h.domain == hazard.domain) {
            Some(known) if known.within.0 < hazard.within.0 => *known = hazard.clone(),
            Some(_) => {}
            None => all.push(hazard.clone()),
        }
    }
    all
}

fn hazard(state: &State, domain: &Domain) -> Probability {
    let all = state.workloads.iter().flat_map(|w| &w.outlook.hazards);
    let of = all.filter(|h| &h.domain == domain).map(|h| h.within);
    of.fold(Probability(0.0), Probability::max)
}

fn sites(state: &State, world: &World) -> Vec<SiteView> {
    let mut by_site: BTreeMap<&Site, Vec<&Node>> = BTreeMap::new();
    for node in world.nodes.value().into_iter().flatten() {
        by_site.entry(&node.site).or_default().push(node);
    }
    by_site
        .into_iter()
        .map(|(site, nodes)| {
            let (reserved, used) = held(world, |a| world.site_of(&a.node) == Some(site));
            let up = nodes
                .iter()
                .filter(|n| n.status == NodeStatus::Ready)
                .count();
            SiteView {
                site: site.clone(),
                kind: nodes[0].meta.get("kind").cloned().unwrap_or_default(),
                nodes_up: up,
                nodes: nodes.len(),
                capacity: nodes
                    .iter()
                    .map(|n| n.capacity)
                    .fold(Resources::default(), Resources::plus),
                reserved,
                used,
                hazard: hazard(state, &Domain::Site(site.clone())),
                reachable: up > 0,
            }
        })
        .collect()
}

fn nodes(state: &State, world: &World, copies: &BTreeMap<PortionId, Copies>) -> Vec<NodeView> {
    world
        .nodes
        .value()
        .into_iter()
        .flatten()
        .map(|n| {
            let (reserved, used) = held(world, |a| a.node == n.id);
            let portions = copies
                .iter()
                .flat_map(|(id, set)| set.all.iter().map(move |c| (id, c)))
                .filter(|(_, c)| c.node == n.id)
                .map(|(id, c)| match c.role {
                    Role::Primary => id.to_string(),
                    Role::Standby => format!("{id} (standby)"),
                })
                .collect();
            NodeView {
                id: n.id.clone(),
                name: n.name.clone(),
                site: n.site.clone(),
                class: n.class.clone(),
                status: n.status,
                eligible: n.eligible,
                capacity: n.capacity,
                reserved,
                used,
                hazard: hazard(state, &Domain::Node(n.id.clone())),
                portions,
            }
        })
        .collect()
}

fn shadow(run: &planner::book::ShadowRun) -> ShadowView {
    ShadowView {
        id: run.id.clone(),
        portion: run.key.portion.clone(),
        site: run.key.site.clone(),
        class: run.key.class.clone(),
        state: match run.state {
            ShadowState::Preparing => "preparing",
            ShadowState::Starting => "starting",
            ShadowState::Measuring => "measuring",
            ShadowState::Stopping => "stopping",
            ShadowState::Done => "done",
        }
        .into(),
        since: run.since,
        verdict: run.verdict.clone(),
        judged: run.judged.clone(),
        twin: run.twin.as_ref().map(|t| t.site.clone()),
        along: run.along.iter().map(|a| a.portion.clone()).collect(),
    }
}

/// What the planner looked at, for what is shown of it.
fn scene<'a>(state: &'a State, w: &'a Workload, world: &'a World, now: Moment) -> Scene<'a> {
    Scene {
        now,
        world,
        outlook: &w.outlook,
        policy: &w.policy,
        portions: &w.portions,
        beliefs: &state.beliefs,
        known: &w.known,
        appetite: risk::appetite(w.policy.risk_tolerance, w.policy.season),
        highest: BTreeMap::new(),
        forecasting: state.forecasting,
        plan: PlanId::new(""),
        parent: None,
        epoch: Epoch(0),
        seed: 0,
        inflight: Vec::new(),
    }
}

/// As the planner weighed them last.
fn candidates(state: &State) -> Vec<CandidateView> {
    let all = state.workloads.iter().flat_map(|w| &w.book.worth);
    all.map(|c| CandidateView {
        portion: c.key.portion.clone(),
        site: c.key.site.clone(),
        class: c.key.class.clone(),
        use_probability: c.use_probability,
        wanted: c.chance.wanted,
        chosen: c.chance.chosen,
        unknown: c.unknown,
        age: c.terms.age,
        own: c.terms.own,
        borrowed: c.terms.borrowed,
        spread: c.terms.spread,
        cost: c.cost,
        value: c.value,
        due_in: c.due_in,
        after: c.after.clone(),
    })
    .collect()
}

fn steps(state: &State) -> Vec<StepView> {
    let view = |step: &Step, state: String| StepView {
        id: step.id.clone(),
        verb: step.action.verb().to_string(),
        portion: step.portion.clone(),
        cause: step.cause,
        why: step.why.clone(),
        state,
    };
    let held = state
        .held
        .iter()
        .map(|(s, why)| view(s, format!("held: {why}")));
    let flying = state
        .workloads
        .iter()
        .flat_map(|w| w.book.inflight.values())
        .map(|s| view(s, "under way".into()));
    let done = state
        .recent
        .iter()
        .rev()
        .map(|(s, word)| view(s, word.clone()));
    held.chain(flying).chain(done).take(60).collect()
}
