//! For each failure domain, the switch that would be done: prepared and cleared before it is needed.

use super::instances::{Copies, Copy, Role};
use super::shares::split;
use crate::model::*;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stakes {
    pub demand: Option<Rps>,
    pub importance: f64,
}

/// What decides of one failure domain's contingency, apart from who is left.
#[derive(Clone, Copy, Debug)]
struct Drill {
    /// What the lost have now.
    part: Share,
    /// Requests a second that the primaries that are left carry; unknown where one of them is, or none is left.
    left: Option<Rps>,
    /// Whether they were enough when the shares were last split.
    enough: bool,
}

/// A service's contingencies as they were last worked out, and from what. It is no memory of the planner's: with it the answer is the
/// same as without, only sooner.
#[derive(Clone, Debug, Default)]
pub struct Drills {
    /// A digest of what of the ready instances may change what is prepared.
    ready: u64,
    instances: SharedList<Instance>,
    stakes: Option<Stakes>,
    /// One for each of `made`.
    drills: Box<[Drill]>,
    /// One for each domain that carries a share; without shares where there is nowhere to switch to.
    made: SharedList<Contingency>,
}

/// Books that differ in nothing else tell the same.
impl PartialEq for Drills {
    fn eq(&self, _: &Drills) -> bool {
        true
    }
}

impl Drills {
    /// One contingency for each node and site that carries a share of this target. A domain without which nothing ready
    /// would be left has none: there is nowhere to switch to. Worked out anew only as far as it may differ.
    pub fn contingencies(
        &mut self,
        copies: &Copies,
        instances: &SharedList<Instance>,
        stakes: Stakes,
    ) -> SharedList<Contingency> {
        let ready = digest(copies);
        let known = self
            .stakes
            .filter(|_| (self.ready, &self.instances) == (ready, instances));
        match known {
            Some(as_before) if as_before == stakes => {}
            Some(_) => self.stake(copies, stakes),
            None => {
                let (drills, made) = drills(copies, instances, stakes);
                *self = Drills {
                    ready,
                    instances: instances.clone(),
                    stakes: Some(stakes),
                    drills,
                    made,
                };
            }
        }
        let answered = |c: &Contingency| !c.shares.is_empty();
        match self.made.iter().all(answered) {
            true => self.made.clone(),
            false => self.made.iter().filter(|c| answered(c)).cloned().collect(),
        }
    }

    /// The same failures with another demand: shares are split anew where what is left is no longer, or now, enough.
    fn stake(&mut self, copies: &Copies, stakes: Stakes) {
        self.stakes = Some(stakes);
        for (drill, made) in self.drills.iter_mut().zip(self.made.iter_mut()) {
            let enough = drill.suffices(stakes);
            if enough != drill.enough {
                drill.enough = enough;
                made.shares = stay(&made.domain, copies, enough, made.shares.ids());
            }
            made.stake = drill.at_stake(stakes);
        }
    }
}

fn ready(copies: &Copies) -> impl Iterator<Item = &Copy> {
    copies.all.iter().filter(|c| c.ready && c.alive)
}

/// What of the instances that are ready may change what is prepared.
fn digest(copies: &Copies) -> u64 {
    let mut digest = DefaultHasher::new();
    for c in ready(copies) {
        let carries = c.capacity.map(|rate| rate.0.to_bits());
        let place = (&c.alloc, c.node(), c.site());
        (place, c.role, carries, c.share > Share::NONE).hash(&mut digest);
    }
    digest.finish()
}

/// What would be lost with each node and site that carries a share, and who would stand in, in the order of the domains.
fn drills(
    copies: &Copies,
    instances: &[Instance],
    stakes: Stakes,
) -> (Box<[Drill]>, SharedList<Contingency>) {
    let carrying = || instances.iter().filter(|i| i.share > Share::NONE);
    let domains: BTreeSet<Domain> = carrying()
        .flat_map(|i| [Domain::Node(i.node.clone()), Domain::Site(i.site.clone())])
        .collect();
    let ids: BTreeSet<&AllocId> = ready(copies).map(|c| &c.alloc).collect();
    let ids: Arc<[AllocId]> = ids.into_iter().cloned().collect();
    let (mut drills, mut made) = (Vec::new(), Vec::with_capacity(domains.len()));
    for domain in domains {
        let lost: Vec<&Instance> = carrying()
            .filter(|i| domain.holds(&i.node, &i.site))
            .collect();
        let primaries = || {
            let all = copies.ready(Role::Primary);
            all.filter(|c| !domain.holds(c.node(), c.site()))
        };
        let mut drill = Drill {
            part: Share(lost.iter().map(|i| i.share.0).sum()),
            left: Copies::capacity(primaries()).filter(|_| primaries().next().is_some()),
            enough: false,
        };
        drill.enough = drill.suffices(stakes);
        made.push(Contingency {
            lost: lost.into_iter().map(|i| i.alloc.clone()).collect(),
            shares: stay(&domain, copies, drill.enough, &ids),
            stake: drill.at_stake(stakes),
            domain,
        });
        drills.push(drill);
    }
    (drills.into(), made.into())
}

impl Drill {
    fn suffices(&self, stakes: Stakes) -> bool {
        let demand = stakes.demand.unwrap_or_default();
        self.left.is_some_and(|c| c.0 * 0.8 >= demand.0)
    }

    fn at_stake(&self, stakes: Stakes) -> Option<Rps> {
        let counted = |d: Rps| Rps(d.0 * self.part.fraction() * stakes.importance);
        stakes.demand.map(counted)
    }
}

/// Shares once the domain has failed. Standbys join when the primaries that are left would not carry the demand, and stay where
/// they serve already. They are kept beside the IDs of all that are ready.
fn stay(domain: &Domain, copies: &Copies, enough: bool, ids: &Arc<[AllocId]>) -> PreparedShares {
    let left = |role| {
        let all = copies.ready(role);
        all.filter(|c| !domain.holds(c.node(), c.site()))
    };
    let standbys = left(Role::Standby).filter(|c| !enough || c.share > Share::NONE);
    let shares = split(left(Role::Primary).chain(standbys));
    PreparedShares::over(ids, |id| shares.get(id).copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

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
            lost: [lost.into()].into(),
            shares: BTreeMap::from(shares.map(|(id, s)| (id.into(), Share(s)))).into(),
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

    fn copy(n: u8, (role, ready, serves, carries): (bool, bool, bool, u8)) -> Copy {
        let site = ["edge-a", "edge-b"][usize::from(n % 2)];
        Copy {
            alloc: AllocId::new(format!("alloc-{n}")),
            job: "job".into(),
            role: if role { Role::Primary } else { Role::Standby },
            release: "1".into(),
            address: "10.0.0.1".into(),
            port: 80,
            ready,
            registered: true,
            young: false,
            share: if serves { Share(5_000) } else { Share::NONE },
            capacity: (carries > 0).then_some(Rps(f64::from(carries))),
            alive: true,
            on: Arc::new(Node::bare(&format!("node-{}", n % 4), site)),
            going: None,
        }
    }

    fn any_copies() -> impl Strategy<Value = Copies> {
        let one = (any::<bool>(), any::<bool>(), any::<bool>(), 0u8..3);
        prop::collection::vec(prop::option::weighted(0.8, one), 0..6).prop_map(|all| {
            let all = (0u8..).zip(all);
            let all = all.filter_map(|(n, of)| Some(copy(n, of?))).collect();
            Copies { all }
        })
    }

    fn any_stakes() -> impl Strategy<Value = Stakes> {
        let demand = prop::option::of(0u8..8);
        (demand, 1u8..3).prop_map(|(demand, importance)| Stakes {
            demand: demand.map(|d| Rps(f64::from(d))),
            importance: f64::from(importance),
        })
    }

    fn instances(copies: &Copies, shares: u8) -> SharedList<Instance> {
        let instance = |(k, c): (usize, &Copy)| Instance {
            alloc: c.alloc.clone(),
            address: c.address.clone(),
            port: c.port,
            node: c.node().clone(),
            site: c.site().clone(),
            health: "/health".into(),
            share: Share(u32::from(shares >> k & 1) * 2_500),
        };
        copies.all.iter().enumerate().map(instance).collect()
    }

    proptest! {
        #[test]
        fn what_is_prepared_is_the_same_with_and_without_what_was_prepared_before(
            turns in prop::collection::vec((any_copies(), any::<u8>(), prop::collection::vec(any_stakes(), 1..4)), 1..5),
        ) {
            let mut kept = Drills::default();
            for (copies, shares, stakes) in turns {
                let instances = instances(&copies, shares);
                for stakes in stakes {
                    let anew = Drills::default().contingencies(&copies, &instances, stakes);
                    prop_assert_eq!(kept.contingencies(&copies, &instances, stakes), anew);
                }
            }
        }
    }
}
