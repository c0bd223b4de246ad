//! How far a place is from what a portion calls. Pure.

use super::partition::Portion;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};

/// Who calls whom, and where everything runs.
pub struct Ways<'a> {
    world: &'a World,
    policy: &'a Policy,
    portions: &'a [Portion],
    /// Instances of each portion, by site.
    stand: BTreeMap<&'a PortionId, BTreeMap<&'a Site, f64>>,
}

impl<'a> Ways<'a> {
    pub fn new(world: &'a World, policy: &'a Policy, portions: &'a [Portion]) -> Ways<'a> {
        let first = |p: &'a PortionPolicy| Some(((&p.job, p.groups.first()?), &p.id));
        let of: BTreeMap<(&JobId, &Group), &PortionId> =
            policy.portions.iter().filter_map(first).collect();
        let jobs: BTreeSet<&JobId> = of.keys().map(|(job, _)| *job).collect();
        let mut stand: BTreeMap<&PortionId, BTreeMap<&Site, f64>> = BTreeMap::new();
        let allocs = world.allocs.value().into_iter();
        for alloc in allocs.flat_map(|all| jobs.iter().flat_map(|job| all.of(job))) {
            let portion = of
                .get(&(&alloc.job, &alloc.group))
                .filter(|_| alloc.holds());
            if let (Some(id), Some(site)) = (portion, world.site_of(&alloc.node)) {
                *stand.entry(id).or_default().entry(site).or_default() += 1.0;
            }
        }
        Ways {
            world,
            policy,
            portions,
            stand,
        }
    }

    /// What the ways from a site to everything that the portion calls take in all: one call of each portion a request, the mean
    /// over the instances of each. A shadow whose calls end beside it does not measure them; what it calls through a door to
    /// production is in its own latency already and counts for nothing here. Nothing too for ways that nobody has measured.
    pub fn unmeasured(&self, of: &PortionId, from: &Site) -> Millis {
        let Some(policy) = self.policy.portion(of) else {
            return Millis(0.0);
        };
        let portion = self.portions.iter().find(|p| &p.id == of);
        let called = portion.into_iter().flat_map(|p| &p.depends_on);
        let ways = called
            .filter(|id| !self.measured(policy, id))
            .filter_map(|id| self.mean(id, from));
        Millis(ways.sum())
    }

    /// Whether shadows of the portion call production's instances of the other one.
    fn measured(&self, policy: &PortionPolicy, called: &PortionId) -> bool {
        let front = self.policy.portion(called).and_then(|p| p.front.as_ref());
        let mut blocks = policy.stand_ins.iter();
        let block = blocks.find(|u| front.is_some_and(|f| f.as_str() == u.name));
        match block.map(|u| &u.instead) {
            Some(instead) => matches!(instead, Instead::ProductionReadonly { .. }),
            None => policy.upstreams == Upstreams::ProductionReadonly,
        }
    }

    fn mean(&self, called: &PortionId, from: &Site) -> Option<f64> {
        let (mut sum, mut instances) = (0.0, 0.0);
        for (site, n) in self.stand.get(called)? {
            if let Some(rtt) = self.world.rtt(from, site) {
                sum += rtt.0 * n;
                instances += n;
            }
        }
        (instances > 0.0).then(|| sum / instances)
    }
}
