//! Names that many things have in common: an instance's in the table of allocations, in targets, entries and reports, a node's
//! and a site's in each row. Each is kept once, as is the meta that most nodes of a kind have alike.

use crate::model::{AllocId, Applied, Domain, Pool, PreparedShares, Shared, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Of so many places beside a common list of IDs one is to be taken.
const SPARSE: usize = 4;

/// Copies keep the same names.
#[derive(Clone, Default)]
pub struct Names(Arc<Kept>);

#[derive(Default)]
struct Kept {
    names: Pool<str>,
    meta: Pool<BTreeMap<String, String>>,
}

impl Names {
    pub fn of(&self, name: &str) -> Arc<str> {
        self.0.names.share(name)
    }

    /// The one that is kept takes the place of this one.
    pub fn share(&self, name: &mut Arc<str>) {
        *name = self.0.names.share(name.clone());
    }

    pub fn meta(&self, of: &BTreeMap<String, String>) -> Shared<BTreeMap<String, String>> {
        self.0.meta.share(of.clone()).into()
    }

    /// Those of a target that was read, which from now on takes no more room than it needs.
    pub fn in_target(&self, target: &mut Target) {
        self.share(&mut target.service.0);
        self.share(&mut target.plan.0);
        target.parent.iter_mut().for_each(|p| self.share(&mut p.0));
        for i in target.instances.iter_mut() {
            self.share(&mut i.alloc.0);
            self.share(&mut i.node.0);
            self.share(&mut i.site.0);
            self.share(&mut i.address);
            self.share(&mut i.health);
        }
        target.instances.shrink_to_fit();
        let beside = self.all_named(target);
        for c in target.contingencies.iter_mut() {
            self.in_domain(&mut c.domain);
            c.lost = c.lost.iter().map(|a| self.alloc(a)).collect();
            c.shares = match &beside {
                Some(ids) => PreparedShares::over(ids, |id| c.shares.get(id)),
                None => self.in_order(&c.shares.to_map()).into(),
            };
        }
        target.contingencies.shrink_to_fit();
    }

    /// Those of a gateway's report.
    pub fn in_report(&self, report: &mut Applied) {
        self.share(&mut report.gateway.0);
        self.share(&mut report.service.0);
        self.share(&mut report.plan.0);
        report.weights = self.in_order(&report.weights);
        let domain = report.contingency.iter_mut();
        domain.for_each(|d| self.in_domain(d));
        let suspected = report.suspected.iter_mut();
        suspected.for_each(|a| self.share(&mut a.0));
    }

    /// One list of all whom a target has prepared shares for. None where most of them are in few of those: beside one list each would
    /// have room for all, and what somebody wrote into a key could take the square of its size.
    fn all_named(&self, target: &Target) -> Option<Arc<[AllocId]>> {
        let prepared = || target.contingencies.iter().map(|c| &c.shares);
        let named: BTreeSet<&AllocId> = prepared().flat_map(|s| s.iter().map(|s| s.0)).collect();
        let entries: usize = prepared().map(PreparedShares::len).sum();
        let room = named.len() * target.contingencies.len();
        let dense = room <= SPARSE * entries;
        dense.then(|| named.into_iter().map(|id| self.alloc(id)).collect())
    }

    fn alloc(&self, id: &AllocId) -> AllocId {
        AllocId(self.of(id.as_str()))
    }

    fn in_domain(&self, domain: &mut Domain) {
        match domain {
            Domain::Node(node) => self.share(&mut node.0),
            Domain::Site(site) => self.share(&mut site.0),
            Domain::Link(a, b) => {
                self.share(&mut a.0);
                self.share(&mut b.0);
            }
        }
    }

    fn in_order<T: Copy>(&self, of: &BTreeMap<AllocId, T>) -> BTreeMap<AllocId, T> {
        let all = of.iter();
        all.map(|(alloc, it)| (self.alloc(alloc), *it)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_keep_the_same_names() {
        let names = Names::default();
        let held = names.of("web");
        let mut other: Arc<str> = "web".into();
        names.clone().share(&mut other);
        assert!(Arc::ptr_eq(&held, &other));
    }

    /// A target that has all shares at one instance each, for so many failures.
    fn prepared(failures: usize) -> Target {
        let one = |k: usize| serde_json::json!({"domain": {"site": format!("s{k}")}, "lost": [], "shares": {format!("a{k}"): 10_000}});
        let read = serde_json::json!({
            "service": "web", "plan": "p", "parent": null, "epoch": 1, "instances": [],
            "contingencies": (0..failures).map(one).collect::<Vec<_>>(),
        });
        serde_json::from_value(read).expect("a target")
    }

    #[test]
    fn what_differs_from_failure_to_failure_takes_no_room_in_each() {
        let read = prepared(100);
        let mut kept = read.clone();
        Names::default().in_target(&mut kept);
        assert_eq!(kept, read);
        let ids = kept.contingencies.iter().map(|c| c.shares.ids().len());
        assert_eq!(ids.sum::<usize>(), 100);
    }

    #[test]
    fn what_a_target_has_prepared_is_kept_beside_one_list_of_ids() {
        let read = prepared(2);
        let mut kept = read.clone();
        Names::default().in_target(&mut kept);
        assert_eq!(kept, read);
        let ids = |k: usize| kept.contingencies[k].shares.ids();
        assert_eq!(ids(0)[..], ["a0".into(), "a1".into()]);
        assert!(Arc::ptr_eq(ids(0), ids(1)));
    }
}
