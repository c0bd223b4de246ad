//! What one planning pass looks at, and the draft it writes.

use super::census::Census;
use super::partition::Portion;
use super::risk::Appetite;
use crate::model::*;
use std::collections::BTreeMap;

/// Readings older than this are not acted upon.
pub const FRESH: Span = Span::secs(15);

/// One workload, at one moment.
pub struct Scene<'a> {
    pub now: Moment,
    pub world: &'a World,
    pub census: &'a Census,
    pub outlook: &'a Outlook,
    pub policy: &'a Policy,
    pub portions: &'a [Portion],
    pub beliefs: &'a Beliefs,
    /// What is known of each portion's release at each place now.
    pub known: &'a BTreeMap<ProfileKey, Known>,
    pub appetite: Appetite,
    pub history: &'a History,
    /// Off: only the reactive loop runs.
    pub forecasting: bool,
    pub plan: PlanId,
    pub parent: Option<PlanId>,
    pub epoch: Epoch,
    pub seed: u64,
    /// Steps accepted earlier that have no outcome yet: what they ask for is spoken for.
    pub inflight: Vec<Step>,
}

impl<'a> Scene<'a> {
    /// Allocations of a job; none while they are unknown.
    pub fn allocs_of(&self, job: &JobId) -> impl Iterator<Item = &'a Alloc> + use<'a> {
        let allocs = self.world.allocs.value().map(|all| all.of(job));
        allocs.into_iter().flatten()
    }
    /// A failure domain as people know it: a node by its name.
    pub fn named(&self, domain: &Domain) -> String {
        let name = match domain {
            Domain::Node(id) => self.world.node(id).map(|n| format!("node {}", n.name)),
            Domain::Site(_) | Domain::Link(..) => None,
        };
        name.unwrap_or_else(|| domain.to_string())
    }
    /// The allocation of a job that runs.
    pub fn running(&self, job: &JobId) -> Option<&'a Alloc> {
        let runs = |a: &&Alloc| a.holds() && a.status == AllocStatus::Running;
        self.world.allocs.value()?.of(job).find(runs)
    }
    /// The highest demand the portion ever had.
    pub fn highest(&self, portion: &PortionId) -> Option<Rps> {
        let values = self.history.demand.get(portion)?.values.iter().copied();
        Some(Rps(values.filter(|v| v.is_finite()).fold(0.0, f64::max)))
    }
    /// What is known of the portion's release there; `None` while it was measured nowhere.
    pub fn known_at(&self, portion: &PortionId, site: &Site, class: &NodeClass) -> Option<&Known> {
        let key = ProfileKey {
            portion: portion.clone(),
            release: self.release(portion),
            site: site.clone(),
            class: class.clone(),
        };
        self.known.get(&key)
    }
    /// The verdict in force there, if it is young enough to count.
    pub fn verdict(&self, key: &ProfileKey) -> Option<&Judged> {
        let found = self.beliefs.verdict(key)?;
        let half_life = self.appetite.half_life;
        found.stands(self.now, half_life).then_some(found)
    }
    /// How long a standby of the portion takes to serve at most, as far as that is to be counted on, wherever it may stand;
    /// nothing while no shadow of its release was started.
    pub fn lead(&self, portion: &PortionId) -> Span {
        let release = self.release(portion);
        let all = self.known.values();
        let of = all.filter(|k| &k.key.portion == portion && k.key.release == release);
        Span(of.map(|k| k.startup.high).fold(0.0, f64::max) as i64)
    }
    /// Demand now, as clients see it.
    pub fn rate(&self, portion: &PortionId) -> Option<Rps> {
        self.traffic(portion).map(|t| t.rate)
    }
    pub fn traffic(&self, portion: &PortionId) -> Option<&Traffic> {
        self.world.traffic.get(portion)?.fresh(self.now, FRESH)
    }
    /// The highest demand to be covered up to `ahead` from now: the outlook at the appetite's level, never less than now.
    pub fn demand(&self, portion: &PortionId, ahead: Span) -> Option<Rps> {
        let now = self.rate(portion);
        let path = self
            .outlook
            .demand
            .get(portion)
            .filter(|_| self.forecasting);
        let foreseen =
            path.and_then(|p| p.peak(self.appetite.demand_level, self.now, self.now + ahead));
        match (now, foreseen) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        }
    }
    /// Whether clients lose the instance with the domain: it goes down, or the link to it from where they are.
    pub fn loses(&self, domain: &Domain, node: &NodeId, site: &Site) -> bool {
        domain.holds(node, site) || self.behind(domain) == Some(site)
    }
    /// The site that clients cannot reach while the link is cut; none where they stand at both ends, or at neither.
    pub fn behind<'d>(&self, link: &'d Domain) -> Option<&'d Site> {
        let Domain::Link(a, b) = link else {
            return None;
        };
        match (self.has_clients(a), self.has_clients(b)) {
            (true, false) => Some(b),
            (false, true) => Some(a),
            _ => None,
        }
    }
    /// Clients are where gateways are; where nodes tell the kind of their site, at the edge alone.
    pub fn has_clients(&self, site: &Site) -> bool {
        let nodes = self.world.nodes.value().into_iter();
        let mut kinds = nodes
            .flat_map(|all| all.of(site))
            .filter_map(|n| n.meta.get("kind"));
        let edge = kinds.next().is_none_or(|kind| kind == "edge");
        edge && self.world.gateways.values().any(|g| g == site)
    }
    pub fn release(&self, portion: &PortionId) -> Release {
        self.portions
            .iter()
            .find(|p| &p.id == portion)
            .map_or_else(|| Release::new(""), |p| p.release.clone())
    }
    /// What breaks the SLO now, in one sentence with number and limit.
    pub fn breach(&self, portion: &PortionPolicy) -> Option<String> {
        let t = self.traffic(&portion.id)?;
        if t.samples < self.policy.ramp.min_samples {
            return None;
        }
        if t.success < portion.slo.success {
            return Some(format!(
                "success {:.2}% < {:.2}%",
                t.success * 100.0,
                portion.slo.success * 100.0
            ));
        }
        (t.at_slo > portion.slo.latency).then(|| {
            format!(
                "p{:.0} {} > {}",
                portion.slo.quantile * 100.0,
                t.at_slo,
                portion.slo.latency
            )
        })
    }
}

/// Steps and reasons as they are written down.
#[derive(Default)]
pub struct Draft {
    pub steps: Vec<Step>,
    pub waiting: Vec<Shared<Waiting>>,
}

impl Draft {
    pub fn wait(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.waiting.push(Shared::new(Waiting {
            what: what.into(),
            why: why.into(),
        }));
    }
    pub fn step(
        &mut self,
        scene: &Scene,
        portion: Option<&PortionId>,
        cause: Cause,
        action: Action,
        why: impl Into<String>,
    ) -> StepId {
        let id = StepId::new(format!("{}.{}", scene.plan, self.steps.len() + 1));
        self.steps.push(Step {
            id: id.clone(),
            plan: scene.plan.clone(),
            portion: portion.cloned(),
            cause,
            action,
            why: why.into(),
            waits_on: Vec::new(),
        });
        id
    }
}
