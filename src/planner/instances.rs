//! Who serves a portion: primaries and standbys, whether each is ready, and how much each can carry.

use super::scene::Scene;
use super::wishes;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// An allocation may take so long to pass its first check.
const YOUNG: Span = Span::secs(20);

/// Meta key on jobs of ours: the portion that a standby stands for.
pub const META_STANDBY: &str = "foreshadow_standby";
/// Meta key that marks a shadow.
pub const META_SHADOW: &str = "foreshadow_shadow";
/// Meta key on jobs of ours: the release that they run.
pub const META_RELEASE: &str = "foreshadow_release";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    Primary,
    Standby,
}

/// How the node of an instance is about to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Going {
    /// It is being drained: what runs there may be ended any moment.
    Drained,
    /// It goes within the horizon for sure.
    Foreseen,
}

/// One running instance of a portion.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    pub alloc: AllocId,
    pub job: JobId,
    pub role: Role,
    pub release: Release,
    pub address: Arc<str>,
    pub port: u16,
    /// Its check passes at most of the gateways that can be heard.
    pub ready: bool,
    /// Some gateway that can be heard has an entry for it, whose check has run.
    pub registered: bool,
    /// Placed a moment ago.
    pub young: bool,
    /// Share in the target in force.
    pub share: Share,
    /// Requests a second within the SLO that are counted on, if anything is known.
    pub capacity: Option<Rps>,
    /// On a usable node that Nomad sees (a lost one still runs at a cut-off site).
    pub alive: bool,
    /// Its node as it was seen, and whether that is about to go.
    pub on: Arc<Node>,
    pub going: Option<Going>,
}

impl Copy {
    pub fn node(&self) -> &NodeId {
        &self.on.id
    }
    pub fn site(&self) -> &Site {
        &self.on.site
    }
    pub fn class(&self) -> &NodeClass {
        &self.on.class
    }
}

/// Everything the planner asks about one portion's instances.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    pub all: SharedList<Copy>,
}

impl Copies {
    pub fn of(&self, role: Role) -> impl Iterator<Item = &Copy> {
        self.all.iter().filter(move |c| c.role == role)
    }
    pub fn ready(&self, role: Role) -> impl Iterator<Item = &Copy> {
        self.of(role).filter(|c| c.ready && c.alive)
    }
    /// Primaries that run and are not known to fail: what has only just been placed or registered says nothing yet.
    pub fn standing(&self) -> impl Iterator<Item = &Copy> {
        self.of(Role::Primary).filter(|c| {
            c.alive && (c.ready || !c.registered || (c.young && c.share == Share::NONE))
        })
    }
    pub fn get(&self, alloc: &AllocId) -> Option<&Copy> {
        self.all.iter().find(|c| &c.alloc == alloc)
    }
    /// What the ready instances of a role carry; unknown when one of them is unknown.
    pub fn capacity<'a>(copies: impl Iterator<Item = &'a Copy>) -> Option<Rps> {
        copies
            .map(|c| c.capacity)
            .try_fold(Rps(0.0), |sum, c| c.map(|c| sum + c))
    }
}

/// How much one instance of the release is counted on to carry there: less where less is known.
pub fn capacity(known: &BTreeMap<ProfileKey, Known>, key: &ProfileKey) -> Option<Rps> {
    let there = known.get(key)?;
    (there.knee.low > 0.0).then_some(Rps(there.knee.low))
}

/// What the instances of a workload's portions are found in, gathered once a pass.
pub struct Roster<'a> {
    /// Allocations of the portions' own jobs that hold resources, in the order of their IDs.
    of_group: HashMap<(&'a JobId, &'a Group), Vec<&'a Alloc>>,
    /// What goes within the horizon for sure.
    goes: Vec<&'a Domain>,
}

impl<'a> Roster<'a> {
    pub fn of(scene: &Scene<'a>) -> Roster<'a> {
        let jobs: BTreeSet<&JobId> = scene.policy.portions.iter().map(|p| &p.job).collect();
        let mut of_group: HashMap<_, Vec<_>> = HashMap::new();
        for alloc in jobs.into_iter().flat_map(|job| scene.allocs_of(job)) {
            if alloc.holds() {
                let group = of_group.entry((&alloc.job, &alloc.group)).or_default();
                group.push(alloc);
            }
        }
        Roster {
            of_group,
            goes: wishes::certain(scene).collect(),
        }
    }

    /// Primaries and standbys of a portion.
    fn members(&self, scene: &Scene<'a>, policy: &PortionPolicy) -> Vec<(Role, &'a Alloc)> {
        let Some(group) = policy.groups.first() else {
            return Vec::new();
        };
        let primaries = self.of_group.get(&(&policy.job, group));
        let primaries = primaries.into_iter().flatten();
        let standbys = scene.census.all_standbys(&policy.id);
        let standbys = standbys
            .filter(|job| **job != policy.job)
            .flat_map(|job| scene.allocs_of(job))
            .filter(|a| a.holds() && &a.group == group);
        let primaries = primaries.map(|a| (Role::Primary, *a));
        primaries
            .chain(standbys.map(|a| (Role::Standby, a)))
            .collect()
    }

    fn going(&self, node: &Node) -> Option<Going> {
        let goes = || self.goes.iter().any(|d| d.holds(&node.id, &node.site));
        match node.draining {
            true => Some(Going::Drained),
            false => goes().then_some(Going::Foreseen),
        }
    }
}

/// The instances of a portion in this world. Nothing when allocations are unknown.
pub fn copies(
    scene: &Scene,
    roster: &Roster,
    policy: &PortionPolicy,
    release: &Release,
    limit: Span,
) -> Copies {
    let (world, known) = (scene.world, scene.known);
    let (Some(_), Some(jobs)) = (world.allocs.value(), world.jobs.value()) else {
        return Copies::default();
    };
    let front = policy.front.as_ref().and_then(|f| world.fronts.get(f));
    let target = front.and_then(|f| f.target.as_ref()?.value()?.as_ref());
    let members = roster.members(scene, policy);
    let mut all: Vec<Copy> = Vec::with_capacity(members.len());
    for (role, alloc) in members {
        let (Some(node), Some((address, port))) = (
            scene.census.node(&alloc.node),
            alloc.ports.get(&policy.port),
        ) else {
            continue;
        };
        let release = match role {
            Role::Primary => release.clone(),
            Role::Standby => jobs[&alloc.job]
                .meta(META_RELEASE)
                .map(Release::new)
                .unwrap_or_else(|| release.clone()),
        };
        let (registered, ready) =
            front.map_or((false, false), |f| seen(f, &alloc.id, world.at, limit));
        let key = ProfileKey {
            portion: policy.id.clone(),
            release: release.clone(),
            site: node.site.clone(),
            class: node.class.clone(),
        };
        all.push(Copy {
            alloc: alloc.id.clone(),
            job: alloc.job.clone(),
            role,
            capacity: capacity(known, &key),
            release,
            address: address.clone(),
            port: *port,
            ready: ready && alloc.status == AllocStatus::Running,
            registered,
            young: world.at.since(alloc.created) < YOUNG,
            share: target.map_or(Share::NONE, |t| t.share_of(&alloc.id)),
            alive: node.status == NodeStatus::Ready,
            going: roster.going(node),
            on: node.clone(),
        });
    }
    all.sort_by(|a, b| (a.role, &a.alloc).cmp(&(b.role, &b.alloc)));
    Copies { all: all.into() }
}

/// Whether any gateway that can be heard has an entry whose check has run, and whether most of those see it passing: one
/// gateway that has just come back, or cannot reach it alone, outvotes nobody.
fn seen(front: &Front, alloc: &AllocId, now: Moment, limit: Span) -> (bool, bool) {
    let heard = front.entries.values().filter_map(|entries| {
        let mut all = entries.fresh(now, limit)?.iter();
        all.find(|e| &e.instance == alloc && e.agent_alive)
    });
    let (mut registered, mut passing, mut count) = (false, 0, 0);
    for entry in heard {
        registered |= entry.checked;
        passing += usize::from(entry.passing);
        count += 1;
    }
    (registered, passing * 2 > count)
}
