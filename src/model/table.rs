//! Rows by ID that are cheap to hand on: a copy shares everything, a change costs what changed.

use super::{Alloc, AllocId, Node, NodeId};
use imbl::OrdMap;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What has an ID of its own.
pub trait Row: Clone {
    type Id: Clone + Ord + fmt::Debug;
    fn id(&self) -> &Self::Id;
}

impl Row for Node {
    type Id = NodeId;
    fn id(&self) -> &NodeId {
        &self.id
    }
}

impl Row for Alloc {
    type Id = AllocId;
    fn id(&self) -> &AllocId {
        &self.id
    }
}

/// Rows in the order of their IDs. Cloning is O(1), and putting or removing one row O(log rows): the table is a persistent
/// tree, so that a picture of a large cluster can be looked at each cycle without being copied.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    from = "Vec<T>",
    into = "Vec<T>",
    bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>")
)]
pub struct Table<T: Row>(OrdMap<T::Id, Arc<T>>);

impl<T: Row> Table<T> {
    pub fn get(&self, id: &T::Id) -> Option<&T> {
        self.0.get(id).map(Arc::as_ref)
    }
    /// A row to be changed in its place; its ID must stay.
    pub fn get_mut(&mut self, id: &T::Id) -> Option<&mut T> {
        self.0.get_mut(id).map(Arc::make_mut)
    }
    /// Takes the place of the row with the same ID.
    pub fn put(&mut self, row: T) {
        self.0.insert(row.id().clone(), Arc::new(row));
    }
    pub fn remove(&mut self, id: &T::Id) {
        self.0.remove(id);
    }
    /// Changes every row in its place, for what-ifs; IDs must stay.
    pub fn edit(&mut self, mut change: impl FnMut(&mut T)) {
        let change = |mut row: T| {
            change(&mut row);
            row
        };
        *self = self.iter().cloned().map(change).collect();
    }
    pub fn iter(&self) -> Rows<'_, T> {
        self.into_iter()
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The rows of a table, by reference.
pub struct Rows<'a, T: Row>(
    imbl::ordmap::Iter<'a, T::Id, Arc<T>, imbl::shared_ptr::DefaultSharedPtr>,
);

impl<'a, T: Row> Iterator for Rows<'a, T> {
    type Item = &'a T;
    fn next(&mut self) -> Option<&'a T> {
        self.0.next().map(|(_, row)| row.as_ref())
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<'a, T: Row> IntoIterator for &'a Table<T> {
    type Item = &'a T;
    type IntoIter = Rows<'a, T>;
    fn into_iter(self) -> Rows<'a, T> {
        Rows(self.0.iter())
    }
}

impl<T: Row> FromIterator<T> for Table<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        let rows = rows.into_iter();
        Table(rows.map(|row| (row.id().clone(), Arc::new(row))).collect())
    }
}

impl<T: Row> From<Vec<T>> for Table<T> {
    fn from(rows: Vec<T>) -> Self {
        rows.into_iter().collect()
    }
}

impl<T: Row> From<Table<T>> for Vec<T> {
    fn from(table: Table<T>) -> Self {
        table.iter().cloned().collect()
    }
}

impl<T: Row> Default for Table<T> {
    fn default() -> Self {
        Table(OrdMap::new())
    }
}

impl<T: Row + fmt::Debug> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Named(u8, u8);

    impl Row for Named {
        type Id = u8;
        fn id(&self) -> &u8 {
            &self.0
        }
    }

    proptest! {
        #[test]
        fn a_table_is_a_map_and_a_copy_does_not_see_later_changes(
            before in prop::collection::vec((any::<u8>(), any::<u8>()), 0..60),
            after in prop::collection::vec((any::<u8>(), prop::option::of(any::<u8>())), 0..60),
        ) {
            let mut map: BTreeMap<u8, u8> = before.iter().copied().collect();
            let mut table: Table<Named> = before.into_iter().map(|(k, v)| Named(k, v)).collect();
            let rows = |m: &BTreeMap<u8, u8>| m.iter().map(|(k, v)| Named(*k, *v)).collect::<Vec<_>>();
            let (copy, then) = (table.clone(), rows(&map));
            for (k, v) in after {
                match v {
                    Some(v) => { table.put(Named(k, v)); map.insert(k, v); }
                    None => { table.remove(&k); map.remove(&k); }
                }
                prop_assert_eq!(table.get(&k).map(|n| n.1), map.get(&k).copied());
            }
            prop_assert_eq!(Vec::from(copy), then);
            prop_assert_eq!(table.len(), map.len());
            let text = serde_json::to_string(&table).expect("plain rows");
            prop_assert_eq!(Vec::from(table), rows(&map));
            prop_assert_eq!(serde_json::from_str::<Vec<Named>>(&text).expect("the same"), rows(&map));
        }
    }
}
