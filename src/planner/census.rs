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
    /// What nodes and allocations were counted of.
    of: (Table<Node>, Table<Alloc>),
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
        Census::default().renew(world, policies)
    }

    /// Counts what differs from the world that was counted last.
    pub fn renew<'a>(
        mut self,
        world: &World,
        policies: impl IntoIterator<Item = &'a Policy>,
    ) -> Census {
        let nodes = world.nodes.value().cloned().unwrap_or_default();
        let allocs = world.allocs.value().cloned().unwrap_or_default();
        for (old, new) in nodes.since(&self.of.0) {
            match (old, new) {
                (_, Some(new)) => drop(self.nodes.insert(new.id.clone(), new.clone())),
                (Some(old), None) => drop(self.nodes.remove(&old.id)),
                (None, None) => {}
            }
        }
        for (old, new) in allocs.since(&self.of.1) {
            // Nomad's figures are whole: what was added is taken away without a rest.
            if let Some(old) = old.filter(|a| a.holds()) {
                let sum = self.held.entry(old.node.clone()).or_default();
                *sum = sum.minus(old.resources);
            }
            if let Some(new) = new.filter(|a| a.holds()) {
                let sum = self.held.entry(new.node.clone()).or_default();
                *sum = sum.plus(new.resources);
            }
        }
        self.of = (nodes, allocs);
        self.jobs(world, policies);
        self
    }

    /// Whose standbys and shadows there are.
    fn jobs<'a>(&mut self, world: &World, policies: impl IntoIterator<Item = &'a Policy>) {
        self.standbys.clear();
        self.shadows.clear();
        let policies = policies.into_iter();
        let portions: BTreeSet<&PortionId> =
            policies.flat_map(|p| &p.portions).map(|p| &p.id).collect();
        let jobs = world.jobs.value().into_iter().flat_map(BTreeMap::values);
        for job in jobs {
            if let Some(portion) = job.meta(META_STANDBY) {
                let of = self.standbys.entry(PortionId::new(portion)).or_default();
                of.push((job.id(), job.stopped()));
            }
            if !job.stopped() && job.meta(META_SHADOW) == Some("true") {
                let of = job.meta(META_PORTION).map(PortionId::new);
                let of = of.filter(|id| portions.contains(id));
                self.shadows.push((of, job.id()));
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn node(id: u8) -> Node {
        Node::bare(&id.to_string(), "s")
    }

    fn alloc(id: u8, on: u8, cpu: u16, run: bool) -> Alloc {
        Alloc {
            id: AllocId::new(id.to_string()),
            job: "shop".into(),
            group: "web".into(),
            node: NodeId::new(on.to_string()),
            node_name: "n".into(),
            status: AllocStatus::Running,
            desired_run: run,
            resources: Resources {
                cpu: Mhz(f64::from(cpu)),
                ..Resources::default()
            },
            ports: Default::default(),
            created: Moment(0),
        }
    }

    proptest! {
        #[test]
        fn what_is_renewed_is_what_is_counted_anew(
            turns in prop::collection::vec(
                (
                    prop::option::weighted(0.9, prop::collection::vec(0u8..6, 0..6)),
                    prop::option::weighted(0.9, prop::collection::vec((0u8..20, 0u8..6, 1u16..9, any::<bool>()), 0..20)),
                ),
                1..8,
            ),
        ) {
            let mut renewed = Census::default();
            for (nodes, allocs) in turns {
                let mut world = World::unknown(Moment(0), "not read");
                if let Some(nodes) = nodes {
                    let table: Table<Node> = nodes.into_iter().map(node).collect();
                    world.nodes = Seen::known(table, Moment(0));
                }
                if let Some(allocs) = allocs {
                    let rows = allocs.into_iter().map(|(id, on, cpu, run)| alloc(id, on, cpu, run));
                    world.allocs = Seen::known(rows.collect(), Moment(0));
                }
                renewed = renewed.renew(&world, []);
                let anew = Census::of(&world, []);
                for id in (0..6).map(|n: u8| NodeId::new(n.to_string())) {
                    prop_assert_eq!(renewed.held(&id), anew.held(&id));
                    prop_assert_eq!(renewed.node(&id), anew.node(&id));
                }
            }
        }
    }
}
