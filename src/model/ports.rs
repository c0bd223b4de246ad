//! An allocation's ports: a few of them, of tens of thousands of allocations.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

/// An address, which others of its node have too, and a port.
type At = (Arc<str>, u16);

/// Address and port by label, in the order of the labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Arc<str>, At>", into = "BTreeMap<Arc<str>, At>")]
pub struct Ports(Box<[(Arc<str>, At)]>);

impl Ports {
    pub fn get(&self, label: &str) -> Option<&At> {
        let found = self.0.iter().find(|(of, _)| **of == *label)?;
        Some(&found.1)
    }
}

impl From<BTreeMap<Arc<str>, At>> for Ports {
    fn from(all: BTreeMap<Arc<str>, At>) -> Self {
        Ports(all.into_iter().collect())
    }
}

impl From<Ports> for BTreeMap<Arc<str>, At> {
    fn from(ports: Ports) -> Self {
        ports.0.into_iter().collect()
    }
}

/// Of two with the same label the last one counts.
impl FromIterator<(Arc<str>, At)> for Ports {
    fn from_iter<I: IntoIterator<Item = (Arc<str>, At)>>(all: I) -> Self {
        BTreeMap::from_iter(all).into()
    }
}

impl Index<&str> for Ports {
    type Output = At;
    fn index(&self, label: &str) -> &At {
        self.get(label).unwrap_or_else(|| panic!("no port {label}"))
    }
}
