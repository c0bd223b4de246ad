//! For each failure domain, the switch that would be done: prepared and cleared before it is needed.

use super::instances::{Copies, Role};
use super::shares::split;
use crate::model::*;
use std::collections::BTreeSet;

/// Evidence of what instances carry fades all the time: shares that differ by less than this (two points) are not worth a write.
const ALIKE: u32 = 200;

/// Whether what is prepared would do about as well as what is wanted: the same failures answered by the same instances.
pub fn much_alike(prepared: &[Contingency], wanted: &[Contingency]) -> bool {
    let near = |a: &Contingency, b: &Contingency| {
        a.domain == b.domain
            && a.lost == b.lost
            && a.shares.len() == b.shares.len()
            && a.shares.iter().all(|(id, share)| {
                let other = b.shares.get(id);
                other.is_some_and(|other| share.0.abs_diff(other.0) < ALIKE)
            })
    };
    prepared.len() == wanted.len() && prepared.iter().zip(wanted).all(|(a, b)| near(a, b))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(one: u32, lost: &str) -> Vec<Contingency> {
        let shares = [("a", one), ("b", 10_000 - one)];
        vec![Contingency {
            domain: Domain::Site("edge-a".into()),
            lost: vec![lost.into()],
            shares: shares.map(|(id, s)| (id.into(), Share(s))).into(),
        }]
    }

    #[test]
    fn only_what_would_act_otherwise_is_written_anew() {
        assert!(much_alike(&prepared(5_000, "x"), &prepared(5_150, "x")));
        assert!(!much_alike(&prepared(5_000, "x"), &prepared(5_250, "x")));
        assert!(!much_alike(&prepared(5_000, "x"), &prepared(5_000, "y")));
        assert!(!much_alike(&prepared(5_000, "x"), &[]));
    }
}
