//! The state and the world as one `View`: what faces may know.

mod gallery;
mod ground;
mod health;

pub use gallery::Gallery;

use super::command;
use super::cycle::{Counted, SHOWN};
use super::recall::Recall;
use super::state::{State, Workload};
use super::view::*;
use crate::model::*;
use crate::planner::{self, Census, Copies, Role, Scene, ShadowState, risk};
use gallery::{Ground, Sight};
use ground::{Books, Dangers, Learnt, nodes, sites};
use health::health;
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};

/// DNS is asked again in this time, however many services there are; one that does not answer is unknown at once.
const ASKED: Span = Span::secs(180);
/// Log lines that a view carries; a face that follows keeps more.
const LINES: usize = 400;

/// Paints what a turn left, and notes it to be looked back at.
pub fn paint(state: &mut State, world: &World, counted: Counted, now: Moment) -> View {
    let mut gallery = std::mem::take(&mut state.gallery);
    let mut recall = std::mem::take(&mut state.recall);
    let mut view = view(state, world, (&counted, &mut gallery), now);
    let mut fresh = FxHashSet::default();
    view.portions = portions(
        state,
        world,
        (&counted, &mut gallery),
        &mut recall,
        &mut fresh,
        now,
    );
    view.pages = recall.turn(state, &view, &fresh);
    (state.gallery, state.recall) = (gallery, recall);
    state.census = counted.census;
    view
}

fn view(
    state: &State,
    world: &World,
    (counted, gallery): (&Counted, &mut Gallery),
    now: Moment,
) -> View {
    let (scored, covered) = state
        .beliefs
        .skill
        .values()
        .fold((0, 0), |(s, c), k| (s + k.scored, c + k.covered));
    let known = world.nodes.value().map_or(0, Table::len);
    let ground = gallery.ground(known, now, || {
        let books = Books::of(world, &counted.census);
        let dangers = Dangers::of(state);
        Ground {
            at: now,
            nodes: nodes(&books, &dangers, &counted.copies).into(),
            sites: sites(&books, &dangers).into(),
            hazards: dangers.all().into(),
        }
    });
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
        sites: ground.sites,
        links: world.links.value().cloned().unwrap_or_default(),
        nodes: ground.nodes,
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
        hazards: ground.hazards,
        outlook: (state.workloads.iter())
            .map(|w| gallery.outlook(w))
            .collect(),
        readings: readings(world, now),
        budgets: state.workloads.iter().map(budget).collect(),
        log: state.log.iter().rev().take(LINES).rev().cloned().collect(),
        tally: state.tally.clone(),
        coverage_80: (scored > 0).then(|| covered as f64 / scored as f64),
        reaction_ms: state.reactions.newest(),
        reactions: state.reactions.counted(),
        preview: state.preview.clone(),
        frozen: command::frozen(state, now),
        ..View::default()
    }
}

/// All portions, worst first: those that may look otherwise than before are painted, the others shown again. Which are painted is
/// told in `fresh`.
fn portions(
    state: &State,
    world: &World,
    (counted, gallery): (&Counted, &mut Gallery),
    recall: &mut Recall,
    fresh: &mut FxHashSet<PortionId>,
    now: Moment,
) -> Vec<Shared<PortionView>> {
    let learnt = Learnt::of(&state.beliefs);
    let seen = Seeing {
        state,
        world,
        learnt: &learnt,
        now,
    };
    let many = state.workloads.iter().map(|w| w.policy.portions.len());
    let mut looking = recall.look(world, many.sum(), now);
    let mut all: Vec<Shared<PortionView>> = Vec::new();
    for (w, still) in state.workloads.iter().zip(&counted.still) {
        let scene = scene(state, w, (world, &counted.census), now);
        for p in &w.policy.portions {
            let sight = Sight::of(state, w, world, p, now);
            if *still && let Some(known) = gallery.shows(p, &sight, now) {
                all.push(known);
                continue;
            }
            let set = counted.copies.get(&p.id);
            let mut painted = portion(&seen, w, p, set);
            if learnt.profiles.contains_key(&p.id) {
                painted.need = planner::size::foreseen(&scene, p, set);
            }
            painted.pinned.clone_from(&sight.pinned);
            looking.note(w, &mut painted);
            let painted = Shared::new(painted);
            gallery.hang(sight, &painted, now);
            fresh.insert(p.id.clone());
            all.push(painted);
        }
    }
    all.sort_by(|a, b| b.health.cmp(&a.health).then(a.id.cmp(&b.id)));
    all
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

/// What is looked at for every portion.
struct Seeing<'a> {
    state: &'a State,
    world: &'a World,
    learnt: &'a Learnt<'a>,
    now: Moment,
}

fn portion(
    seeing: &Seeing,
    workload: &Workload,
    policy: &PortionPolicy,
    copies: Option<&Copies>,
) -> PortionView {
    let Seeing {
        state,
        world,
        learnt,
        now,
    } = *seeing;
    let found = workload.portions.iter().find(|p| p.id == policy.id);
    let seen = world.traffic.get(&policy.id);
    let traffic = seen.and_then(|t| t.fresh(now, planner::FRESH)).copied();
    let path = workload.outlook.demand.get(&policy.id);
    let (health, sentence) = health(workload, policy, copies, seen, path, now);
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
        profiles: (learnt.profiles.get(&policy.id).into_iter().flatten())
            .filter(|p| found.is_none_or(|f| f.release == p.key.release))
            .map(|p| Profile::clone(p))
            .collect(),
        verdicts: (learnt.verdicts.get(&policy.id).into_iter().flatten())
            .filter(|v| found.is_none_or(|f| f.release == v.key.release))
            .map(|v| Judged::clone(v))
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

fn instances(
    policy: &PortionPolicy,
    world: &World,
    copies: Option<&Copies>,
    now: Moment,
) -> Vec<InstanceView> {
    let Some(copies) = copies else {
        return Vec::new();
    };
    let front = policy.front.as_ref().and_then(|f| world.fronts.get(f));
    let dns: Vec<&SrvSeen> = front
        .into_iter()
        .flat_map(|f| f.dns.values())
        .filter_map(|d| d.fresh(now, ASKED))
        .flatten()
        .collect();
    let total: u32 = dns.iter().map(|d| d.weight).sum();
    let mut told: BTreeMap<(&str, u16), u32> = BTreeMap::new();
    for d in &dns {
        *told.entry((&d.address, d.port)).or_default() += d.weight;
    }
    let stands = unentered(front, now);
    copies
        .all
        .iter()
        .map(|c| {
            let usage = world.usage.get(&c.alloc).and_then(|u| u.value());
            let weight = told.get(&(&*c.address, c.port)).copied();
            let weight = weight.unwrap_or_default();
            InstanceView {
                alloc: c.alloc.clone(),
                job: c.job.clone(),
                node: c.on.name.clone(),
                site: c.site().clone(),
                role: match c.role {
                    Role::Primary => "primary".into(),
                    Role::Standby => "standby".into(),
                },
                ready: c.ready || stands.contains(&c.alloc),
                desired: c.share,
                observed: (total > 0).then(|| Share(weight * Share::ALL.0 / total)),
                cpu: usage.map(|u| u.cpu),
                memory: usage.map(|u| u.memory),
            }
        })
        .collect()
}

/// Who stands well by its own service while no gateway has an entry for it.
fn unentered(front: Option<&Front>, now: Moment) -> BTreeSet<&AllocId> {
    let well = front.and_then(|f| Some((origin(f, now)?, f.entered()?)));
    let well = well.into_iter();
    well.flat_map(|(well, entered)| well.iter().filter(move |id| !entered.contains(id)))
        .collect()
}

/// Whose own services pass, as far as that is known.
fn origin(front: &Front, now: Moment) -> Option<&SharedList<AllocId>> {
    front.origin.as_ref()?.fresh(now, ASKED)
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
fn scene<'a>(
    state: &'a State,
    w: &'a Workload,
    (world, census): (&'a World, &'a Census),
    now: Moment,
) -> Scene<'a> {
    Scene {
        now,
        world,
        census,
        outlook: &w.outlook,
        policy: &w.policy,
        portions: &w.portions,
        beliefs: &state.beliefs,
        known: &w.known,
        appetite: risk::appetite(w.policy.risk_tolerance, w.policy.season),
        history: &state.history,
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
    held.chain(flying).chain(done).take(SHOWN).collect()
}
