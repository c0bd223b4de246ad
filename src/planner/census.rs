//! What one look over all allocations and jobs tells every workload: counted once a cycle, however many portions ask.

use super::instances::{META_SHADOW, META_STANDBY};
use crate::model::*;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Meta key on shadows' jobs: whose shadow it is.
pub const META_PORTION: &str = "foreshadow_portion";

#[derive(Clone, Debug, Default)]
pub struct Census {
    nodes: FxHashMap<NodeId, Arc<Node>>,
    /// What Nomad has allocated on each node.
    held: FxHashMap<NodeId, Resources>,
    /// By portion, stopped ones too.
    standbys: BTreeMap<PortionId, Vec<(JobId, bool)>>,
    /// Jobs of shadows with the portions they are of, those of no workload's portion under `None`.
    shadows: Vec<(Option<PortionId>, JobId)>,
}

impl Census {
    /// Counts a world for the workloads of these policies.
    pub fn of<'a>(world: &World, policies: impl IntoIterator<Item = &'a Policy>) -> Census {
        let nodes = world.nodes.value().into_iter().flat_map(Table::shared);
        let mut census = Census {
            nodes: nodes.map(|n| (n.id.clone(), n.clone())).collect(),
            ..Census::default()
        };
        for alloc in world.allocs.value().into_iter().flatten() {
            if alloc.holds() {
                match census.held.get_mut(&alloc.node) {
                    Some(sum) => *sum = sum.plus(alloc.resources),
                    None => {
                        census.held.insert(alloc.node.clone(), alloc.resources);
                    }
                }
            }
        }
        let policies = policies.into_iter();
        let portions: BTreeSet<&PortionId> =
            policies.flat_map(|p| &p.portions).map(|p| &p.id).collect();
        let jobs = world.jobs.value().into_iter().flat_map(BTreeMap::values);
        for job in jobs {
            if let Some(portion) = job.meta(META_STANDBY) {
                let of = census.standbys.entry(PortionId::new(portion)).or_default();
                of.push((job.id(), job.stopped()));
            }
            if !job.stopped() && job.meta(META_SHADOW) == Some("true") {
                let of = job.meta(META_PORTION).map(PortionId::new);
                let of = of.filter(|id| portions.contains(id));
                census.shadows.push((of, job.id()));
            }
        }
        census
    }

    /// What was seen of a node.
    pub fn node(&self, id: &NodeId) -> Option<&Arc<Node>> {
        self.nodes.get(id)
    }

    pub fn held(&self, node: &NodeId) -> Resources {
        self.held.get(node).copied().unwrap_or_default()
    }

    /// Jobs of the portion's standbys that are not stopped, in the order of their IDs.
    pub fn standbys(&self, portion: &PortionId) -> Vec<JobId> {
        let all = self.standbys.get(portion).into_iter().flatten();
        all.filter(|(_, stopped)| !stopped)
            .map(|(job, _)| job.clone())
            .collect()
    }

    /// The same with those that are stopped, whose allocations may still run.
    pub fn all_standbys(&self, portion: &PortionId) -> impl Iterator<Item = &JobId> {
        self.standbys_seen(portion).map(|(job, _)| job)
    }

    /// The same with whether each is stopped.
    pub fn standbys_seen(&self, portion: &PortionId) -> impl Iterator<Item = &(JobId, bool)> {
        self.standbys.get(portion).into_iter().flatten()
    }

    /// Jobs of shadows that are not stopped and for this policy to mind: its own, and those that no policy claims.
    pub fn shadows<'a>(&'a self, policy: &'a Policy) -> impl Iterator<Item = &'a JobId> {
        let minds =
            |of: &Option<PortionId>| of.as_ref().is_none_or(|id| policy.portion(id).is_some());
        self.shadows
            .iter()
            .filter(move |(of, _)| minds(of))
            .map(|(_, job)| job)
    }
}
