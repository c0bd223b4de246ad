//! Names that many things have in common: an instance's in the table of allocations, in targets, entries and reports, a node's
//! and a site's in each row. Each is kept once.

use crate::model::{AllocId, Applied, Domain, Pool, Target};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Copies keep the same names.
#[derive(Clone, Default)]
pub struct Names(Arc<Pool<str>>);

impl Names {
    pub fn of(&self, name: &str) -> Arc<str> {
        self.0.share(name)
    }

    /// The one that is kept takes the place of this one.
    pub fn share(&self, name: &mut Arc<str>) {
        *name = self.0.share(name.clone());
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
        }
        target.instances.shrink_to_fit();
        for c in target.contingencies.iter_mut() {
            self.in_domain(&mut c.domain);
            c.lost.iter_mut().for_each(|a| self.share(&mut a.0));
            c.lost.shrink_to_fit();
            c.shares = self.in_order(&c.shares).into();
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
        all.map(|(alloc, it)| (AllocId(self.of(alloc.as_str())), *it))
            .collect()
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
}
