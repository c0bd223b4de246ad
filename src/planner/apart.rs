//! Sites of clients that may be cut off: each keeps ready instances of its own, so that its clients are served meanwhile. The gateway
//! there need not be told: each instance has a small share all the time, and the checks take everything else out.

use super::instances::{Copies, Copy, Role};
use super::scene::Scene;
use super::shares::exact;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};

/// The share of an instance that is there for its own site alone: it proves every second that it serves.
const KEPT: Share = Share(300);

/// The sites that are to serve their own clients. With fewer than two there is nothing to be cut off from.
fn sites(scene: &Scene) -> BTreeSet<Site> {
    let all = scene.world.gateways.values().filter(|s| {
        scene.policy.autonomous && scene.has_clients(s) && scene.policy.sites.contains(s)
    });
    let all: BTreeSet<Site> = all.cloned().collect();
    match all.len() {
        0 | 1 => BTreeSet::new(),
        _ => all,
    }
}

/// The part of the demand that comes from one of the sites.
pub fn part(scene: &Scene, demand: Rps) -> Rps {
    Rps(demand.0 / sites(scene).len().max(1) as f64)
}

/// Whether these carry a site's part of the demand; what nobody knows of is taken to.
fn enough(scene: &Scene, portion: &PortionPolicy, there: &[&Copy]) -> bool {
    let demand = scene.demand(&portion.id, scene.policy.horizon);
    let wanted = part(scene, demand.unwrap_or_default());
    let carried = Copies::capacity(there.iter().copied());
    !there.is_empty() && carried.is_none_or(|c| c.0 * scene.appetite.load_factor >= wanted.0)
}

/// Standbys that serve a site whose primaries would not do alone.
pub fn kept<'a>(scene: &Scene, portion: &PortionPolicy, copies: &'a Copies) -> Vec<&'a Copy> {
    let mut kept = Vec::new();
    for site in sites(scene) {
        let mut there: Vec<&Copy> = copies.standing().filter(|c| *c.site() == site).collect();
        let standbys = copies.of(Role::Standby);
        for one in standbys.filter(|c| c.alive && *c.site() == site) {
            if enough(scene, portion, &there) {
                break;
            }
            there.push(one);
            kept.push(one);
        }
    }
    kept
}

/// Sites that have too few instances of the portion, and get none by what is under way.
pub fn lacking(scene: &Scene, portion: &PortionPolicy, copies: &Copies) -> Vec<Site> {
    let coming: BTreeSet<&Site> = scene
        .inflight
        .iter()
        .filter_map(|step| match &step.action {
            Action::PlaceStandby {
                portion: of, site, ..
            } if of == &portion.id => Some(site),
            _ => None,
        })
        .collect();
    let reachable = |site: &Site| match &portion.data {
        Data::Free => true,
        Data::Stays(sites) => sites.contains(site),
    };
    let lacks = |site: &Site| {
        let there = copies.all.iter().filter(|c| c.alive && c.site() == site);
        let there: Vec<&Copy> = there.collect();
        !enough(scene, portion, &there)
    };
    sites(scene)
        .into_iter()
        .filter(|s| reachable(s) && !coming.contains(s) && lacks(s))
        .collect()
}

/// Gives those that are kept for their sites their small part; all others keep the proportions that they have.
pub fn with_kept(
    scene: &Scene,
    portion: &PortionPolicy,
    copies: &Copies,
    shares: BTreeMap<AllocId, Share>,
) -> BTreeMap<AllocId, Share> {
    let kept: Vec<&AllocId> = kept(scene, portion, copies)
        .into_iter()
        .filter(|c| c.ready && !shares.contains_key(&c.alloc))
        .map(|c| &c.alloc)
        .collect();
    if kept.is_empty() || shares.is_empty() {
        return shares;
    }
    let rest = 1.0 - KEPT.fraction() * kept.len() as f64;
    let mut parts: Vec<(AllocId, f64)> = shares
        .into_iter()
        .map(|(id, share)| (id, share.fraction() * rest))
        .collect();
    parts.extend(kept.into_iter().map(|id| (id.clone(), KEPT.fraction())));
    exact(&parts)
}

/// Whether no standby has more there than one that is kept for its site.
pub fn small(copies: &Copies, shares: &BTreeMap<AllocId, Share>) -> bool {
    let share = |c: &Copy| shares.get(&c.alloc).copied().unwrap_or_default();
    copies.of(Role::Standby).all(|c| share(c) <= KEPT)
}
