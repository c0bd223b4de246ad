//! Which workloads need not be planned anew at this turn: of many, those in which nothing is under way and of which nothing was
//! seen to change. A plan made anew would say the same but for what only time brings, and that is looked at in time.

use super::state::{State, Workload};
use super::view::Mode;
use crate::model::*;
use crate::planner::{Census, Copies, FRESH, ShadowState};
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// So many workloads are planned anew at each turn, whatever happens.
const FEW: usize = 64;
/// However still, a workload is planned anew once in this time.
const LONGEST: Span = Span::secs(30);
/// Demand that has grown by this part of what it was is other demand.
const GROWN: f64 = 0.1;
/// Less than this is none.
const LITTLE: f64 = 1.0;

/// What a workload was planned with, when nothing was under way in it.
#[derive(Clone, Debug)]
pub struct Still {
    at: Moment,
    mark: (Moment, Option<u64>, u64, usize),
    sights: Vec<Sight>,
    standbys: Vec<(JobId, bool)>,
    copies: BTreeMap<PortionId, Copies>,
    /// Whose instances they are, and where they run.
    jobs: BTreeSet<JobId>,
    sites: BTreeSet<Site>,
}

/// What was seen of one portion's front.
#[derive(Clone, Debug)]
struct Sight {
    entries: Vec<Option<SharedList<FrontEntry>>>,
    target: Option<Option<(PlanId, Epoch, u64)>>,
    applied: Vec<Option<Arc<Applied>>>,
}

/// What differs from the turn before.
pub struct Moved {
    all: bool,
    allocs: FxHashSet<AllocId>,
    jobs: FxHashSet<JobId>,
    sites: FxHashSet<Site>,
    /// Of nodes, those that are now; `None` where it is not known which differ.
    nodes: Option<Vec<NodeId>>,
}

/// What the last turn saw of Nomad, and how we stood.
#[derive(Clone, Debug, Default)]
pub struct Then {
    nodes: Option<Table<Node>>,
    allocs: Option<Table<Alloc>>,
    stance: Stance,
}

/// Mode, whether it forecasts, the epoch, and the operator's stop.
type Stance = (Mode, bool, Option<Epoch>, Option<bool>);

impl Moved {
    /// Notes what is seen now for the next turn.
    pub fn since(state: &mut State, world: &World, now: Moment) -> Moved {
        let nodes = world.nodes.fresh(now, FRESH);
        let allocs = world.allocs.fresh(now, FRESH);
        let stance = (
            state.mode,
            state.forecasting,
            state.epoch,
            world.hold.value().copied(),
        );
        let then = Then {
            nodes: nodes.cloned(),
            allocs: allocs.cloned(),
            stance,
        };
        let was = std::mem::replace(&mut state.then, then);
        let jobs = world.jobs.fresh(now, FRESH);
        let (Some((nodes_then, allocs_then)), Some(nodes), Some(allocs), Some(_)) =
            (was.nodes.zip(was.allocs), nodes, allocs, jobs)
        else {
            return Moved::everything();
        };
        Moved {
            all: was.stance != stance || state.workloads.len() <= state.few.unwrap_or(FEW),
            allocs: (allocs.changed(&allocs_then))
                .map(|a| a.id.clone())
                .collect(),
            jobs: (allocs.changed(&allocs_then))
                .map(|a| a.job.clone())
                .collect(),
            sites: (nodes.changed(&nodes_then))
                .map(|n| n.site.clone())
                .collect(),
            nodes: Some(
                (nodes.since(&nodes_then))
                    .filter_map(|(_, new)| Some(new?.id.clone()))
                    .collect(),
            ),
        }
    }

    /// Nodes that are not as they were, and sites of which some node is not, gone ones too, while they have nodes; where it is not
    /// known which, all.
    pub fn ground<'a>(&self, nodes: &'a Table<Node>) -> (Vec<&'a Node>, BTreeSet<Site>) {
        let Some(ids) = &self.nodes else {
            let sites = nodes.iter().map(|n| n.site.clone());
            return (nodes.iter().collect(), sites.collect());
        };
        let sites = self.sites.iter();
        let sites = sites.filter(|s| nodes.of(s).next().is_some());
        (
            ids.iter().filter_map(|id| nodes.get(id)).collect(),
            sites.cloned().collect(),
        )
    }

    /// Nothing is known to be as it was.
    pub fn all(&self) -> bool {
        self.all
    }

    /// Whether what differs may be about one of these entries' instances.
    pub fn among(&self, entries: &[FrontEntry]) -> bool {
        !self.sites.is_empty()
            || (!self.allocs.is_empty()
                && entries.iter().any(|e| self.allocs.contains(&e.instance)))
    }

    fn everything() -> Moved {
        Moved {
            all: true,
            allocs: FxHashSet::default(),
            jobs: FxHashSet::default(),
            sites: FxHashSet::default(),
            nodes: None,
        }
    }

    /// The instances of a workload that stays as it was planned; `None` where it is to be planned anew.
    pub fn still<'a>(
        &self,
        workload: &'a Workload,
        (world, census): (&World, &Census),
        now: Moment,
    ) -> Option<&'a BTreeMap<PortionId, Copies>> {
        let still = workload.still.as_ref().filter(|_| !self.all)?;
        let policy = &workload.policy;
        let same = turn(policy, still.at) == turn(policy, now)
            && now.since(still.at) < LONGEST.times(2)
            && still.mark == mark(workload)
            && !policy.sites.iter().any(|s| self.sites.contains(s))
            && !still.concerned(&self.jobs, &self.sites)
            && !policy.portions.iter().any(|p| self.jobs.contains(&p.job))
            && !waits(policy, world)
            && still.standbys == standbys(policy, census)
            && still.sights.len() == policy.portions.len()
            && (policy.portions.iter().zip(&still.sights))
                .all(|(p, sight)| sight.stays(p, world, now))
            && policy
                .portions
                .iter()
                .all(|p| calm(workload, p, world, now));
        same.then_some(&still.copies)
    }
}

impl Still {
    /// After a workload was planned and its steps were cleared or held; `None` where something is under way in it.
    pub fn of(
        workload: &Workload,
        copies: &BTreeMap<PortionId, Copies>,
        (world, census, acting): (&World, &Census, bool),
        now: Moment,
    ) -> Option<Still> {
        let book = &workload.book;
        let steps = workload.plan.as_ref().is_none_or(|p| !p.steps.is_empty());
        // Who does not act is held at each turn.
        let drafts = steps && acting;
        let shadows = book.shadows.values();
        let busy = drafts
            || !book.inflight.is_empty()
            || !book.moves.is_empty()
            || !book.surging.is_empty()
            || !book.falls.is_empty()
            || !book.node_falls.is_empty()
            || !book.leaving.is_empty()
            || book.refused.values().any(|until| *until > now)
            || !book.asked.is_empty()
            || !book.asked_shadows.is_empty()
            || shadows.into_iter().any(|s| s.state != ShadowState::Done);
        let portions = &workload.policy.portions;
        let quiet = !busy
            && !waits(&workload.policy, world)
            && portions.iter().all(|p| calm(workload, p, world, now));
        let ours = portions.iter();
        let ours = ours.filter_map(|p| Some((p.id.clone(), copies.get(&p.id)?.clone())));
        quiet.then(|| {
            let copies: BTreeMap<PortionId, Copies> = ours.collect();
            let all = || copies.values().flat_map(|c| c.all.iter());
            Still {
                at: now,
                mark: mark(workload),
                sights: portions.iter().map(|p| Sight::of(p, world, now)).collect(),
                standbys: standbys(&workload.policy, census),
                jobs: all().map(|c| c.job.clone()).collect(),
                sites: all().map(|c| c.site().clone()).collect(),
                copies,
            }
        })
    }

    /// Whether what differs is about its instances.
    fn concerned(&self, jobs: &FxHashSet<JobId>, sites: &FxHashSet<Site>) -> bool {
        let standby = |(job, _): &(JobId, bool)| jobs.contains(job);
        (!jobs.is_empty()
            && (self.jobs.iter().any(|j| jobs.contains(j)) || self.standbys.iter().any(standby)))
            || (!sites.is_empty() && self.sites.iter().any(|s| sites.contains(s)))
    }
}

impl Sight {
    fn of(portion: &PortionPolicy, world: &World, now: Moment) -> Sight {
        let front = front(portion, world);
        Sight {
            entries: entries(front, now).map(Option::<&_>::cloned).collect(),
            target: target(front, now)
                .map(|t| t.map(|(plan, epoch, index)| (plan.clone(), epoch, index))),
            applied: applied(front).map(Option::<&_>::cloned).collect(),
        }
    }

    /// Whether the same is seen.
    fn stays(&self, portion: &PortionPolicy, world: &World, now: Moment) -> bool {
        let front = front(portion, world);
        let known = self.target.as_ref().map(Option::as_ref);
        let known = known.map(|t| t.map(|(plan, epoch, index)| (plan, *epoch, *index)));
        entries(front, now).eq(self.entries.iter().map(Option::as_ref))
            && target(front, now) == known
            && applied(front).eq(self.applied.iter().map(Option::as_ref))
    }
}

fn front<'a>(portion: &PortionPolicy, world: &'a World) -> Option<&'a Front> {
    portion.front.as_ref().and_then(|f| world.fronts.get(f))
}

fn entries(
    front: Option<&Front>,
    now: Moment,
) -> impl Iterator<Item = Option<&SharedList<FrontEntry>>> {
    let all = front.into_iter().flat_map(|f| f.entries.values());
    all.map(move |e| e.fresh(now, FRESH))
}

fn target(front: Option<&Front>, now: Moment) -> Option<Option<(&PlanId, Epoch, u64)>> {
    let target = front?.target.as_ref()?.fresh(now, FRESH)?;
    Some(target.as_ref().map(|t| (&t.plan, t.epoch, t.index)))
}

fn applied(front: Option<&Front>) -> impl Iterator<Item = Option<&Arc<Applied>>> {
    let all = front.into_iter().flat_map(|f| f.applied.values());
    all.map(Seen::value)
}

/// Whether Nomad cannot place something of it, or nobody knows.
fn waits(policy: &Policy, world: &World) -> bool {
    let ours = |b: &Blocked| policy.portions.iter().any(|p| p.job == b.job);
    let blocked = world.blocked.value();
    blocked.is_none_or(|all| all.iter().any(ours))
}

/// The jobs of its standbys, and whether each is stopped.
fn standbys(policy: &Policy, census: &Census) -> Vec<(JobId, bool)> {
    let portions = policy.portions.iter();
    let all = portions.flat_map(|p| census.standbys_seen(&p.id));
    all.cloned().collect()
}

/// What else the plan was made with.
fn mark(workload: &Workload) -> (Moment, Option<u64>, u64, usize) {
    (
        workload.outlook.at,
        workload.known_from.map(|k| k.1),
        workload.policy.risk_tolerance.to_bits(),
        workload.policy.freezes.len(),
    )
}

/// Whether clients are served as they should be, and ask for no more than was foreseen, or what is asked now is not seen at all.
fn calm(workload: &Workload, portion: &PortionPolicy, world: &World, now: Moment) -> bool {
    let Some(traffic) = world.traffic.get(&portion.id) else {
        return true;
    };
    let Some(t) = traffic.fresh(now, FRESH) else {
        return false;
    };
    let broken = t.samples >= workload.policy.ramp.min_samples
        && (t.success < portion.slo.success || t.at_slo > portion.slo.latency);
    let path = workload.outlook.demand.get(&portion.id);
    let least = Rps((t.rate.0 - LITTLE) / (1.0 + GROWN));
    !broken && path.is_some_and(|p| p.reaches(least, 0.5, now, now + workload.policy.horizon))
}

/// Workloads that were planned at once are planned anew at different turns.
fn turn(policy: &Policy, at: Moment) -> i64 {
    let mut name = DefaultHasher::new();
    policy.workload.hash(&mut name);
    (at.0 + (name.finish() % LONGEST.0 as u64) as i64) / LONGEST.0
}
