//! For each failure domain, the switch that would be done: prepared and cleared before it is needed.

use super::instances::{Copies, Role};
use super::shares::split;
use crate::model::*;
use std::collections::BTreeSet;

/// Evidence of what instances carry fades all the time: shares that differ by less than this (two points) are not worth a write.
const ALIKE: u32 = 200;

/// What is at stake is written anew once it has doubled or halved, and by more than this.
const NEAR_STAKE: f64 = 1.0;

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
            && near_stakes(a.stake, b.stake)
    };
    prepared.len() == wanted.len() && prepared.iter().zip(wanted).all(|(a, b)| near(a, b))
}

/// What is not known now is no reason to forget what was.
fn near_stakes(prepared: Option<Rps>, wanted: Option<Rps>) -> bool {
    match (prepared, wanted) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(a), Some(b)) => a.0.max(b.0) <= 2.0 * a.0.min(b.0) + NEAR_STAKE,
    }
}

/// Demand now, and how much one of its requests counts beside those of other services.
#[derive(Clone, Copy, Debug)]
pub struct Stakes {
    pub demand: Option<Rps>,
    pub importance: f64,
}

/// One contingency for each node and site that carries a share of this target. A domain without which nothing ready
/// would be left has none: there is nowhere to switch to.
pub fn contingencies(copies: &Copies, target: &Target, stakes: Stakes) -> Vec<Contingency> {
    let demand = stakes.demand.unwrap_or_default();
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
            let lost = carrying.iter().filter(|i| hit(&i.node, &i.site));
            let part: u32 = lost.clone().map(|i| i.share.0).sum();
            let counted = |d: Rps| Rps(d.0 * Share(part).fraction() * stakes.importance);
            (!shares.is_empty()).then(|| Contingency {
                lost: lost.map(|i| i.alloc.clone()).collect(),
                domain: domain.clone(),
                shares,
                stake: stakes.demand.map(counted),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staked(stake: Option<f64>) -> Vec<Contingency> {
        let mut all = prepared(5_000, "x");
        all[0].stake = stake.map(Rps);
        all
    }

    #[test]
    fn what_is_at_stake_is_written_anew_when_it_has_doubled_or_halved_and_not_for_want_of_a_reading()
     {
        let alike = |a, b| much_alike(&staked(a), &staked(b));
        assert!(alike(Some(40.0), Some(70.0)));
        assert!(!alike(Some(40.0), Some(90.0)));
        assert!(!alike(Some(40.0), Some(15.0)));
        assert!(alike(Some(0.2), Some(1.2)), "hardly anything");
        assert!(alike(Some(40.0), None));
        assert!(!alike(None, Some(40.0)));
    }

    fn prepared(one: u32, lost: &str) -> Vec<Contingency> {
        let shares = [("a", one), ("b", 10_000 - one)];
        vec![Contingency {
            domain: Domain::Site("edge-a".into()),
            lost: vec![lost.into()],
            shares: shares.map(|(id, s)| (id.into(), Share(s))).into(),
            stake: Some(Rps(40.0)),
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
