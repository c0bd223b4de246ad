//! The books that nobody else keeps: how much of each link between sites is spoken for, and how much is left.

use super::instances::{Copies, Role};
use super::scene::Scene;
use crate::model::*;
use std::collections::BTreeMap;

/// What is left of each link that the policy limits, in Mbit/s. A link without a limit is not asked.
pub struct Links {
    left: BTreeMap<(Site, Site), Mbps>,
}

/// Both directions are one link.
fn key(a: &Site, b: &Site) -> (Site, Site) {
    if a <= b {
        (a.clone(), b.clone())
    } else {
        (b.clone(), a.clone())
    }
}

impl Links {
    /// Capacities less what the standbys that stand, and those that were asked for, would carry away from home.
    pub fn of(scene: &Scene, copies: &BTreeMap<PortionId, Copies>) -> Links {
        let limits = scene.policy.links.iter();
        let mut links = Links {
            left: limits
                .map(|l| (key(&l.between.0, &l.between.1), l.capacity))
                .collect(),
        };
        for (portion, set) in copies {
            let flow = flow(scene, portion);
            let Some(home) = home(set) else { continue };
            for standby in set.of(Role::Standby) {
                links.take(home, standby.site(), flow);
            }
            let asked = scene.inflight.iter().filter_map(|s| match &s.action {
                Action::PlaceStandby {
                    portion: p, site, ..
                } if p == portion => Some(site),
                _ => None,
            });
            for site in asked {
                links.take(home, site, flow);
            }
        }
        links
    }

    /// What one more standby could still use between two sites; `None` where nothing is limited.
    pub fn left(&self, from: &Site, to: &Site) -> Option<Mbps> {
        if from == to {
            return None;
        }
        self.left.get(&key(from, to)).copied()
    }

    pub fn fits(&self, from: &Site, to: &Site, flow: Mbps) -> bool {
        self.left(from, to).is_none_or(|left| flow <= left)
    }

    /// Every limited link and what is left of it.
    pub fn iter(&self) -> impl Iterator<Item = (&Site, &Site, Mbps)> {
        self.left.iter().map(|((a, b), left)| (a, b, *left))
    }

    fn take(&mut self, from: &Site, to: &Site, flow: Mbps) {
        if from != to
            && let Some(left) = self.left.get_mut(&key(from, to))
        {
            *left = *left - flow;
        }
    }
}

/// Where the portion is at home: the site of its first primary.
pub fn home(copies: &Copies) -> Option<&Site> {
    copies.of(Role::Primary).next().map(|c| c.site())
}

/// What one standby of the portion puts on the link to its clients once it serves: the part of the demand that one primary
/// has, times the bytes of an answer as shadows measured them. Nothing is known of the bytes before the first shadow.
pub fn flow(scene: &Scene, portion: &PortionId) -> Mbps {
    let release = scene.release(portion);
    let profiles = scene.beliefs.profiles.iter();
    let bytes = profiles
        .filter(|p| &p.key.portion == portion && p.key.release == release)
        .map(|p| p.bytes_a_request)
        .fold(0.0, f64::max);
    Mbps(rate(scene, portion).0 * bytes * 8.0 / 1e6)
}

/// The part of the demand to be covered that one primary of the portion has.
pub fn rate(scene: &Scene, portion: &PortionId) -> Rps {
    let wanted = scene
        .policy
        .portion(portion)
        .and_then(|p| Some(scene.world.job(&p.job)?.count(&p.groups[0])))
        .unwrap_or(1)
        .max(1);
    let demand = scene
        .demand(portion, scene.policy.horizon)
        .unwrap_or_default();
    Rps(demand.0 / wanted as f64)
}
