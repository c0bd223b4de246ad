//! From a target to the entries a gateway's own agent should hold, and what to change. Pure.

use crate::model::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every entry of ours has an ID that starts so; nothing else is ever touched.
pub const PREFIX: &str = "foreshadow-";

/// One entry as the agent should have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub service: ServiceName,
    pub alloc: AllocId,
    pub address: Arc<str>,
    pub port: u16,
    pub health: Arc<str>,
    /// `None`: in maintenance, so that it is checked and clients are not given it.
    pub weight: Option<u32>,
}

/// One entry as the agent has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    pub id: String,
    pub service: String,
    pub address: String,
    pub port: u16,
    pub weight: u32,
    pub maintenance: bool,
}

/// The one way a change is made; several of them make a reconciliation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Register the whole definition (a registration replaces).
    Register(Entry),
    Maintenance {
        id: String,
        on: bool,
    },
    Deregister {
        id: String,
    },
}

/// The entry's ID: front, first eight characters of the allocation, port.
pub fn entry_id(service: &ServiceName, alloc: &AllocId, port: u16) -> String {
    let short = alloc.as_str().get(..8).unwrap_or(alloc.as_str());
    format!("{PREFIX}{service}-{short}-{port}")
}

/// The entries for the shares in force (the target's, or a contingency's over the same instances).
pub fn entries(target: &Target, shares: &BTreeMap<AllocId, Share>) -> Vec<Entry> {
    let weights = weights(shares);
    target
        .instances
        .iter()
        .map(|i| Entry {
            id: entry_id(&target.service, &i.alloc, i.port),
            service: target.service.clone(),
            alloc: i.alloc.clone(),
            address: i.address.clone(),
            port: i.port,
            health: i.health.clone(),
            weight: weights.get(&i.alloc).copied(),
        })
        .collect()
}

/// What to do so that `present` becomes `wanted`. Entries that gain come first, those that lose or go come last, so that
/// clients are never left with less than they had.
pub fn changes(wanted: &[Entry], present: &[Present], service: &ServiceName) -> Vec<Change> {
    let mut gain = Vec::new();
    let mut lose = Vec::new();
    for entry in wanted {
        let have = present.iter().find(|p| p.id == entry.id);
        let same = have.is_some_and(|p| {
            *p.address == *entry.address
                && p.port == entry.port
                && entry.weight.is_none_or(|w| w == p.weight)
        });
        match (have, entry.weight) {
            // In maintenance first, registered second: it is never given out by accident.
            (None, None) => {
                gain.push(Change::Register(entry.clone()));
                gain.push(Change::Maintenance {
                    id: entry.id.clone(),
                    on: true,
                });
            }
            (None, Some(_)) => gain.push(Change::Register(entry.clone())),
            (Some(p), None) => {
                if !p.maintenance {
                    lose.push(Change::Maintenance {
                        id: entry.id.clone(),
                        on: true,
                    });
                }
                if !same {
                    lose.push(Change::Register(entry.clone()));
                }
            }
            (Some(p), Some(_)) => {
                if !same {
                    gain.push(Change::Register(entry.clone()));
                }
                if p.maintenance {
                    gain.push(Change::Maintenance {
                        id: entry.id.clone(),
                        on: false,
                    });
                }
            }
        }
    }
    for p in present
        .iter()
        .filter(|p| p.service == service.as_str() && p.id.starts_with(PREFIX))
    {
        if !wanted.iter().any(|e| e.id == p.id) {
            lose.push(Change::Deregister { id: p.id.clone() });
        }
    }
    gain.extend(lose);
    gain
}

/// Agent registration has no check-and-set, so the receiver checks: only what is newer than what was applied last.
pub fn newer(target: &Target, applied: Option<(Epoch, u64)>) -> bool {
    applied.is_none_or(|(epoch, index)| (target.epoch, target.index) > (epoch, index))
}

/// So long nobody may fail before a gateway ends a contingency by itself.
pub const CALM: Span = Span::secs(10);

/// Whether what a contingency was applied for is over: nobody fails who has a share in the target.
pub fn is_over(target: &Target, failing: &[AllocId]) -> bool {
    failing.iter().all(|id| target.share_of(id) == Share::NONE)
}

/// The contingency to apply when these instances are seen failing: the smallest domain whose loss explains all of them.
pub fn contingency<'a>(target: &'a Target, failing: &[AllocId]) -> Option<&'a Contingency> {
    let bad: Vec<&AllocId> = failing
        .iter()
        .filter(|id| target.share_of(id) > Share::NONE)
        .collect();
    if bad.is_empty() {
        return None;
    }
    target
        .contingencies
        .iter()
        .filter(|c| bad.iter().all(|id| c.lost.contains(id)))
        // What it would switch to must not be failing itself.
        .filter(|c| {
            c.shares
                .iter()
                .all(|(id, share)| share == Share::NONE || !failing.contains(id))
        })
        .min_by_key(|c| c.lost.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn instance(name: &str, node: &str, site: &str, share: u32) -> Instance {
        Instance {
            alloc: AllocId::new(format!("{name}{name}{name}{name}{name}{name}{name}{name}")),
            address: "127.0.10.1".into(),
            port: 20_000,
            node: NodeId::new(node),
            site: Site::new(site),
            health: "/health".into(),
            share: Share(share),
        }
    }

    fn target(instances: Vec<Instance>) -> Target {
        Target {
            service: ServiceName::new("web"),
            plan: PlanId::new("p"),
            parent: None,
            epoch: Epoch(3),
            owner: Owner::Front,
            instances: instances.into(),
            contingencies: vec![].into(),
            index: 10,
        }
    }

    #[test]
    fn law_08_only_a_newer_epoch_or_index_is_applied() {
        let t = target(vec![]);
        assert!(newer(&t, None));
        assert!(newer(&t, Some((Epoch(3), 9))));
        assert!(newer(&t, Some((Epoch(2), 99))));
        assert!(!newer(&t, Some((Epoch(3), 10))), "twice the same is once");
        assert!(
            !newer(&t, Some((Epoch(4), 1))),
            "an old leader's write is refused"
        );
    }

    #[test]
    fn a_share_of_nothing_is_maintenance_and_never_a_weight_of_zero() {
        let t = target(vec![
            instance("a", "n1", "s1", 10_000),
            instance("b", "n2", "s2", 0),
        ]);
        let wanted = entries(&t, &t.shares());
        assert!(wanted[0].weight.is_some_and(|w| w >= 1));
        assert_eq!(wanted[1].weight, None);
        let changes = changes(&wanted, &[], &t.service);
        assert!(changes.contains(&Change::Maintenance {
            id: wanted[1].id.clone(),
            on: true
        }));
    }

    #[test]
    fn the_smallest_domain_that_explains_the_failures_is_switched() {
        let mut t = target(vec![
            instance("a", "n1", "s1", 4_000),
            instance("b", "n2", "s1", 4_000),
            instance("c", "n3", "s2", 2_000),
        ]);
        let ids: Vec<AllocId> = t.instances.iter().map(|i| i.alloc.clone()).collect();
        let to_c = BTreeMap::from([(ids[2].clone(), Share::ALL)]);
        t.contingencies = vec![
            Contingency {
                domain: Domain::Site(Site::new("s1")),
                lost: [ids[0].clone(), ids[1].clone()].into(),
                shares: to_c.clone().into(),
                stake: None,
            },
            Contingency {
                domain: Domain::Node(NodeId::new("n1")),
                lost: [ids[0].clone()].into(),
                shares: to_c.into(),
                stake: None,
            },
        ]
        .into();
        let one = contingency(&t, &ids[..1]).map(|c| c.domain.clone());
        assert_eq!(one, Some(Domain::Node(NodeId::new("n1"))));
        let both = contingency(&t, &ids[..2]).map(|c| c.domain.clone());
        assert_eq!(both, Some(Domain::Site(Site::new("s1"))));
        assert!(!is_over(&t, &ids[..1]));
        assert!(is_over(&t, &[]), "nobody fails any more");
        assert!(
            contingency(&t, &ids).is_none(),
            "nothing is switched to what fails too"
        );
    }

    fn carry_out(changes: &[Change], mut present: Vec<Present>) -> Vec<Present> {
        for change in changes {
            match change {
                Change::Register(e) => {
                    let maintenance = present.iter().any(|p| p.id == e.id && p.maintenance);
                    present.retain(|p| p.id != e.id);
                    present.push(Present {
                        id: e.id.clone(),
                        service: e.service.to_string(),
                        address: e.address.to_string(),
                        port: e.port,
                        weight: e.weight.unwrap_or(1),
                        maintenance,
                    });
                }
                Change::Maintenance { id, on } => {
                    present
                        .iter_mut()
                        .filter(|p| &p.id == id)
                        .for_each(|p| p.maintenance = *on);
                }
                Change::Deregister { id } => present.retain(|p| &p.id != id),
            }
        }
        present
    }

    proptest! {
        #[test]
        fn carrying_the_changes_out_reaches_the_target_and_a_second_time_changes_nothing(
            first in prop::collection::vec(0u32..4, 1..5),
            second in prop::collection::vec(0u32..4, 1..5),
        ) {
            let names = ["a", "b", "c", "d", "e"];
            let make = |v: &[u32]| target(
                v.iter().enumerate().map(|(i, s)| instance(names[i], "n", "s", *s)).collect(),
            );
            let (one, two) = (make(&first), make(&second));
            let mut present = carry_out(&changes(&entries(&one, &one.shares()), &[], &one.service), vec![]);
            let wanted = entries(&two, &two.shares());
            present = carry_out(&changes(&wanted, &present, &two.service), present);
            prop_assert_eq!(present.len(), wanted.len());
            for e in &wanted {
                let p = present.iter().find(|p| p.id == e.id).unwrap();
                prop_assert_eq!(p.maintenance, e.weight.is_none());
                prop_assert!(e.weight.is_none_or(|w| w == p.weight));
            }
            prop_assert!(changes(&wanted, &present, &two.service).is_empty());
        }
    }
}
