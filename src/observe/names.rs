//! Names that many things have in common: an instance's in the table of allocations, in targets, entries and reports, a node's
//! and a site's in each row. Each is kept once.

use crate::model::{AllocId, Applied, Domain, Target};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Copies keep the same names.
#[derive(Clone, Default)]
pub struct Names(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    names: HashSet<Arc<str>>,
    /// Those that nobody has any more are let go once there are so many.
    most: usize,
}

impl Names {
    pub fn of(&self, name: &str) -> Arc<str> {
        self.kept(name, || name.into())
    }

    /// The one that is kept takes the place of this one.
    pub fn share(&self, name: &mut Arc<str>) {
        let one = self.kept(name, || name.clone());
        *name = one;
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

    fn kept(&self, name: &str, new: impl FnOnce() -> Arc<str>) -> Arc<str> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.names.get(name) {
            return known.clone();
        }
        if kept.names.len() >= kept.most {
            kept.names.retain(|name| Arc::strong_count(name) > 1);
            kept.most = (kept.names.len() * 2).max(1024);
        }
        let name = new();
        kept.names.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_once_for_as_long_as_somebody_has_it() {
        let names = Names::default();
        let held = names.of("web");
        let mut other: Arc<str> = "web".into();
        names.clone().share(&mut other);
        assert!(Arc::ptr_eq(&held, &other));
        for n in 0..2_000 {
            names.of(&n.to_string());
        }
        let kept = names.0.lock().expect("nobody panicked");
        assert!(kept.names.len() < 1_100, "those of nobody are let go");
        assert!(kept.names.contains("web"));
    }
}
