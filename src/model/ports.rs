//! An allocation's ports: a few of them, of tens of thousands of allocations.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Index;

/// Address and port by label, in the order of the labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(
    from = "BTreeMap<String, (String, u16)>",
    into = "BTreeMap<String, (String, u16)>"
)]
pub struct Ports(Box<[(String, (String, u16))]>);

impl Ports {
    pub fn get(&self, label: &str) -> Option<&(String, u16)> {
        let found = self.0.iter().find(|(of, _)| of == label)?;
        Some(&found.1)
    }
}

impl From<BTreeMap<String, (String, u16)>> for Ports {
    fn from(all: BTreeMap<String, (String, u16)>) -> Self {
        Ports(all.into_iter().collect())
    }
}

impl From<Ports> for BTreeMap<String, (String, u16)> {
    fn from(ports: Ports) -> Self {
        ports.0.into_iter().collect()
    }
}

/// Of two with the same label the last one counts.
impl FromIterator<(String, (String, u16))> for Ports {
    fn from_iter<I: IntoIterator<Item = (String, (String, u16))>>(all: I) -> Self {
        BTreeMap::from_iter(all).into()
    }
}

impl Index<&str> for Ports {
    type Output = (String, u16);
    fn index(&self, label: &str) -> &(String, u16) {
        self.get(label).unwrap_or_else(|| panic!("no port {label}"))
    }
}
