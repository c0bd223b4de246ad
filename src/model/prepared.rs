//! The shares that are prepared for a failure: a service has some for each of its domains, nearly all over the same instances.

use super::{AllocId, Share};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Who has how much, kept beside a list of IDs that others have too. Written as the map that it is.
#[derive(Clone, Default, Deserialize)]
#[serde(from = "BTreeMap<AllocId, Share>")]
pub struct PreparedShares {
    /// In their order.
    ids: Arc<[AllocId]>,
    /// One for each ID; `None` for whom the map does not have.
    shares: Arc<[Option<Share>]>,
}

impl PreparedShares {
    /// Over IDs that are in their order.
    pub fn over(ids: &Arc<[AllocId]>, share: impl FnMut(&AllocId) -> Option<Share>) -> Self {
        debug_assert!(ids.is_sorted());
        PreparedShares {
            ids: ids.clone(),
            shares: ids.iter().map(share).collect(),
        }
    }
    /// What they are kept beside: whom they name, and whom others do.
    pub fn ids(&self) -> &Arc<[AllocId]> {
        &self.ids
    }
    pub fn get(&self, id: &AllocId) -> Option<Share> {
        self.shares[self.ids.binary_search(id).ok()?]
    }
    pub fn iter(&self) -> impl Iterator<Item = (&AllocId, Share)> {
        let all = self.ids.iter().zip(&*self.shares);
        all.filter_map(|(id, share)| Some((id, (*share)?)))
    }
    pub fn len(&self) -> usize {
        self.iter().count()
    }
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
    pub fn to_map(&self) -> BTreeMap<AllocId, Share> {
        self.iter().map(|(id, share)| (id.clone(), share)).collect()
    }
}

impl From<BTreeMap<AllocId, Share>> for PreparedShares {
    fn from(map: BTreeMap<AllocId, Share>) -> Self {
        let (ids, shares): (Vec<AllocId>, Vec<_>) =
            map.into_iter().map(|(id, share)| (id, Some(share))).unzip();
        PreparedShares {
            ids: ids.into(),
            shares: shares.into(),
        }
    }
}

impl Serialize for PreparedShares {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter())
    }
}

/// Whatever IDs they are kept beside.
impl PartialEq for PreparedShares {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for PreparedShares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_the_map_that_they_were_made_of_whatever_ids_they_are_kept_beside(
            map in prop::collection::btree_map("[a-f]", 0u32..10_000, 0..6),
        ) {
            let map: BTreeMap<AllocId, Share> =
                map.iter().map(|(id, s)| (AllocId::new(id), Share(*s))).collect();
            let ids: Arc<[AllocId]> = ["a", "b", "c", "d", "e", "f"].map(AllocId::from).into();
            let over = PreparedShares::over(&ids, |id| map.get(id).copied());
            prop_assert_eq!(&over, &PreparedShares::from(map.clone()));
            prop_assert_eq!((over.len(), over.is_empty()), (map.len(), map.is_empty()));
            prop_assert!(ids.iter().all(|id| over.get(id) == map.get(id).copied()));
            let text = serde_json::to_string(&over).unwrap();
            prop_assert_eq!(&text, &serde_json::to_string(&map).unwrap());
            prop_assert_eq!(serde_json::from_str::<PreparedShares>(&text).unwrap(), over.clone());
            prop_assert_eq!(over.to_map(), map);
        }
    }
}
