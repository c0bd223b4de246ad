//! For each failure domain, the switch that would be done: prepared and cleared before it is needed.

use super::instances::{Copies, Role};
use super::shares::split;
use crate::model::*;
use std::collections::BTreeSet;

/// One contingency for each node and site that carries a share of this target. A domain without which nothing ready
/// would be left has none: there is nowhere to switch to.
pub fn contingencies(copies: &Copies, target: &Target, demand: Rps) -> Vec<Contingency> {
    let carrying: Vec<&Instance> = target
        .instances
        .iter()
        .filter(|i| i.share > Share::NONE)
        .collect();
    let domains: BTreeSet<Domain> = carrying
        .iter()
        .flat_map(|i| [Domain::Node(i.node.clone()), Domain::Site(i.site.clone())])
        .collect();
    domains
        .into_iter()
        .filter_map(|domain| {
            let hit = |node: &NodeId, site: &Site| domain.holds(node, site);
            let left = |role| {
                copies
                    .ready(role)
                    .filter(|c| !hit(&c.node, &c.site))
                    .collect::<Vec<_>>()
            };
            let primaries = left(Role::Primary);
            let enough = Copies::capacity(primaries.iter().copied())
                .is_some_and(|c| !primaries.is_empty() && c.0 * 0.8 >= demand.0);
            let mut stay = primaries;
            // Standbys join when the primaries that are left would not carry the demand, and stay where they serve already.
            stay.extend(
                left(Role::Standby)
                    .into_iter()
                    .filter(|c| !enough || c.share > Share::NONE),
            );
            let shares = split(stay.into_iter());
            (!shares.is_empty()).then(|| Contingency {
                lost: carrying
                    .iter()
                    .filter(|i| hit(&i.node, &i.site))
                    .map(|i| i.alloc.clone())
                    .collect(),
                domain: domain.clone(),
                shares,
            })
        })
        .collect()
}
