//! Shadows of what a shadowed portion calls: the whole subgraph runs along with it, callees first, each calling the others in
//! production's stead. And the doors through which one that calls production does. Pure.

use super::book::{Along, Book, ShadowRun, ShadowState};
use super::derive::{self, Among, renamed};
use super::lint;
use super::partition::{self, Portion};
use super::places;
use super::scene::{Draft, Scene};
use super::shadows;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};

/// What is free on a node less what jobs of the same look will take.
pub type Held = BTreeMap<NodeId, Resources>;

/// Who calls whom, with the jobs that tell by which names.
pub struct Graph<'a> {
    pub portions: &'a [Portion],
    pub policy: &'a Policy,
    pub jobs: Vec<&'a JobSpec>,
}

impl<'a> Graph<'a> {
    pub fn of(scene: &Scene<'a>) -> Graph<'a> {
        let jobs = scene
            .portions
            .iter()
            .filter_map(|p| scene.world.job(&p.job));
        Graph {
            portions: scene.portions,
            policy: scene.policy,
            jobs: jobs.collect(),
        }
    }

    fn portion(&self, id: &PortionId) -> Option<&'a Portion> {
        self.portions.iter().find(|p| &p.id == id)
    }

    fn job(&self, of: &Portion) -> Option<&'a JobSpec> {
        self.jobs.iter().copied().find(|j| j.id() == of.job)
    }

    /// Names under which production's callers find the portion.
    fn services(&self, of: &Portion) -> BTreeSet<String> {
        let front = self.policy.portion(&of.id).and_then(|p| p.front.as_ref());
        let job = self.job(of).into_iter();
        let own = job.flat_map(|j| partition::service_names(j, &of.groups));
        own.chain(front.map(ServiceName::to_string)).collect()
    }

    /// Portions that it calls, but for those that something stands in for.
    fn callees(&self, of: &PortionId) -> Vec<&'a Portion> {
        let own = self.policy.portion(of);
        let stood_in = |p: &&Portion| {
            let names = self.services(p);
            let mut blocks = own.into_iter().flat_map(|p| &p.stand_ins);
            blocks.any(|u| names.contains(&u.name))
        };
        let called = self.portion(of).into_iter().flat_map(|p| &p.depends_on);
        called
            .filter_map(|id| self.portion(id))
            .filter(|p| !stood_in(p))
            .collect()
    }

    /// The portions that are shadowed along with this one, callees before their callers; none unless its policy says so.
    pub fn members(&self, of: &PortionId) -> Vec<&'a Portion> {
        let mut found = Vec::new();
        let wanted = self.policy.portion(of).map(|p| p.upstreams);
        if wanted == Some(Upstreams::Shadow) {
            let mut seen = BTreeSet::from([of.clone()]);
            self.below(of, &mut seen, &mut found);
        }
        found
    }

    fn below(&self, of: &PortionId, seen: &mut BTreeSet<PortionId>, into: &mut Vec<&'a Portion>) {
        for callee in self.callees(of) {
            if seen.insert(callee.id.clone()) {
                self.below(&callee.id, seen, into);
                into.push(callee);
            }
        }
    }

    /// Why they cannot all be shadowed, if so.
    pub fn obstacle(&self, of: &PortionId) -> Option<String> {
        self.members(of).into_iter().find_map(|p| {
            let why = match self.policy.portion(&p.id) {
                None => Some("the policy does not name it".to_string()),
                Some(_) => p.not_shadowable.clone(),
            };
            let why = why?;
            Some(format!(
                "{}, which is to be shadowed along with it, cannot be: {why}; add an upstream block for it",
                p.id
            ))
        })
    }

    /// By which names the shadows of one start find each other.
    pub fn among(&self, root: &PortionId, id: &ShadowId) -> Among {
        let suffix = derive::suffix(id);
        let members = self.members(root);
        let mut names = BTreeMap::new();
        if members.is_empty() {
            return Among { suffix, names };
        }
        for portion in members.into_iter().chain(self.portion(root)) {
            let Some(job) = self.job(portion) else {
                continue;
            };
            for name in partition::service_names(job, &portion.groups) {
                names.insert(name.clone(), renamed(&name, &suffix));
            }
            let front = self.policy.portion(&portion.id).and_then(|p| {
                let behind = partition::service_at(job, &portion.groups, &p.port)?;
                Some((p.front.as_ref()?.to_string(), renamed(&behind, &suffix)))
            });
            names.extend(front);
        }
        Among { suffix, names }
    }

    /// The portion's policy, with a door for reads to each of production's services that it calls where it calls production.
    pub fn behind_doors(&self, policy: &PortionPolicy) -> PortionPolicy {
        let mut policy = policy.clone();
        if policy.upstreams != Upstreams::ProductionReadonly {
            return policy;
        }
        let own = self.portion(&policy.id);
        let told = own.and_then(|p| Some(partition::called_names(self.job(p)?, &p.groups)));
        let told = told.unwrap_or_default();
        for callee in self.callees(&policy.id) {
            let mut names = self.services(callee);
            if !names.is_disjoint(&told) {
                names.retain(|n| told.contains(n));
            } else if let Some(front) = self
                .policy
                .portion(&callee.id)
                .and_then(|p| p.front.as_ref())
            {
                // The policy alone knows of the call.
                names = BTreeSet::from([front.to_string()]);
            }
            let doors = names.into_iter().map(UpstreamPolicy::door);
            policy.stand_ins.extend(doors);
        }
        policy
    }
}

/// The derived job of one of them on the best node of the shadow's kind, checked; what it will hold there is entered.
pub fn made(
    scene: &Scene,
    graph: &Graph,
    key: &ProfileKey,
    root: &ShadowId,
    portion: &PortionId,
    deadline: Moment,
    held: &mut Held,
) -> Result<JobSpec, String> {
    let unknown = || format!("{portion} is not known");
    let policy = scene.policy.portion(portion).ok_or_else(unknown)?;
    let live = scene.world.job(&policy.job).ok_or_else(unknown)?;
    let nodes = scene.world.nodes.value().ok_or_else(unknown)?;
    let (node, free) = shadows::room_at(scene, nodes, key, policy, held)?;
    let id = match portion == &key.portion {
        true => root.clone(),
        false => ShadowId::new(format!("{root}-{portion}")),
    };
    let among = graph.among(&key.portion, root);
    // Those that run together call each other, not production.
    let behind = match among.names.is_empty() {
        true => graph.behind_doors(policy),
        false => policy.clone(),
    };
    let job = derive::among(live, &behind, node, &id, deadline, &among)?;
    let fronts = scene.policy.portions.iter().filter_map(|p| p.front.clone());
    let found = lint::lint(&job, live, &fronts.collect::<Vec<_>>(), &free);
    if let Some(why) = lint::sentence(&found) {
        return Err(why);
    }
    let sum = held.entry(node.id.clone()).or_default();
    *sum = sum.plus(places::of_job(&job, &policy.groups));
    Ok(job)
}

/// The next of the portions that run along: those whose own callees run. Once all do, the shadow itself is started.
pub fn proceed(scene: &Scene, book: &mut Book, run: &ShadowRun, out: &mut Draft) {
    let graph = Graph::of(scene);
    if let Err(why) = start_next(scene, &graph, book, run, out) {
        let what = format!("shadow of {} at {}", run.key.portion, run.key.site);
        out.wait(what, why.clone());
        if let Some(r) = book.shadows.get_mut(&run.id) {
            r.state = ShadowState::Stopping;
            r.verdict = Some(why);
        }
    }
}

fn start_next(
    scene: &Scene,
    graph: &Graph,
    book: &mut Book,
    run: &ShadowRun,
    out: &mut Draft,
) -> Result<(), String> {
    let runs = |id: &PortionId| {
        let along = run.along.iter().find(|a| &a.portion == id);
        along.is_none_or(|a| allocation(scene, &a.job).is_some())
    };
    let mut held = Held::new();
    for (k, next) in run.along.iter().enumerate().filter(|(_, a)| !a.asked) {
        let before = &run.along[..k];
        let mut callees = graph.callees(&next.portion).into_iter();
        // In a circle the one that comes first cannot wait for the others.
        let waits = callees.any(|c| before.iter().any(|b| b.portion == c.id) && !runs(&c.id));
        if waits {
            continue;
        }
        let portion = &next.portion;
        let job = made(
            scene,
            graph,
            &run.key,
            &run.id,
            portion,
            run.deadline,
            &mut held,
        )?;
        if let Some(r) = book.shadows.get_mut(&run.id) {
            r.along[k].asked = true;
        }
        let why = format!(
            "called by {} of {}, shadowed along with it",
            run.id, run.key.portion
        );
        let action = Action::StartUpstream {
            shadow: run.id.clone(),
            portion: portion.clone(),
            job,
        };
        out.step(scene, Some(&run.key.portion), Cause::Learning, action, why);
    }
    if !run.along.iter().all(|a| a.asked && runs(&a.portion)) {
        return Ok(());
    }
    let (key, id, deadline) = (&run.key, &run.id, run.deadline);
    let job = made(scene, graph, key, id, &key.portion, deadline, &mut held)?;
    if let Some(r) = book.shadows.get_mut(id) {
        r.state = ShadowState::Starting;
        // Start-up is counted from here: the others' is theirs.
        r.since = scene.now;
    }
    let names: Vec<&str> = run.along.iter().map(|a| a.portion.as_str()).collect();
    let action = Action::StartShadow {
        shadow: id.clone(),
        key: key.clone(),
        job,
        deadline,
    };
    let why = format!("what it calls runs along with it: {}", names.join(", "));
    out.step(scene, Some(&key.portion), Cause::Learning, action, why);
    Ok(())
}

fn allocation<'a>(scene: &'a Scene, job: &JobId) -> Option<&'a Alloc> {
    scene.running(job)
}

/// Health checks of those that run along, which pass before the shadow is measured.
pub fn checks(scene: &Scene, along: &[Along]) -> Vec<String> {
    let one = |a: &Along| {
        let policy = scene.policy.portion(&a.portion)?;
        let (address, port) = allocation(scene, &a.job)?.ports.get(&policy.port)?;
        Some(format!("http://{address}:{port}{}", policy.health))
    };
    along.iter().filter_map(one).collect()
}

/// What a run of the portion holds in all: itself, and what runs along with it.
pub fn needs(graph: &Graph, of: &Portion) -> Resources {
    let along = graph.members(&of.id).into_iter();
    along.fold(of.needs, |sum, p| sum.plus(p.needs))
}
