//! Names that many things have in common: an instance's in the table of allocations, in targets, entries and reports, a node's
//! and a site's in each row. Each is kept once, as is the meta that most nodes of a kind have alike.

use crate::model::{AllocId, Applied, Domain, Pool, PreparedShares, Shared, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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
        let named = target.contingencies.iter();
        let named: BTreeSet<&AllocId> = named.flat_map(|c| c.shares.iter().map(|s| s.0)).collect();
        let named: Arc<[AllocId]> = named.into_iter().map(|id| self.alloc(id)).collect();
        for c in target.contingencies.iter_mut() {
            self.in_domain(&mut c.domain);
            c.lost = c.lost.iter().map(|a| self.alloc(a)).collect();
            c.shares = PreparedShares::over(&named, |id| c.shares.get(id));
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

    #[test]
    fn what_a_target_has_prepared_is_kept_beside_one_list_of_ids() {
        let prepared = |site: &str, shares: serde_json::Value| serde_json::json!({"domain": {"site": site}, "lost": [], "shares": shares});
        let read = serde_json::json!({
            "service": "web", "plan": "p", "parent": null, "epoch": 1, "instances": [],
            "contingencies": [prepared("east", serde_json::json!({"a": 10_000})), prepared("west", serde_json::json!({"b": 10_000}))],
        });
        let read: Target = serde_json::from_value(read).expect("a target");
        let mut kept = read.clone();
        Names::default().in_target(&mut kept);
        assert_eq!(kept, read);
        let ids = |k: usize| kept.contingencies[k].shares.ids();
        assert_eq!(ids(0)[..], ["a".into(), "b".into()]);
        assert!(Arc::ptr_eq(ids(0), ids(1)));
    }
}
