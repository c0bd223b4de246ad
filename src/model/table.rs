//! Rows by ID, and by what they belong to, that are cheap to hand on: a copy shares everything, a change costs what changed.

use super::{Alloc, AllocId, JobId, Node, NodeId, Site};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What has an ID of its own, and belongs to something with others: an allocation to its job, a node to its site.
pub trait Row: Clone {
    type Id: Clone + Ord + fmt::Debug;
    type Of: Clone + Ord;
    fn id(&self) -> &Self::Id;
    fn of(&self) -> &Self::Of;
    /// No ID comes before it.
    fn first() -> Self::Id;
}

impl Row for Node {
    type Id = NodeId;
    type Of = Site;
    fn id(&self) -> &NodeId {
        &self.id
    }
    fn of(&self) -> &Site {
        &self.site
    }
    fn first() -> NodeId {
        NodeId::new("")
    }
}

impl Row for Alloc {
    type Id = AllocId;
    type Of = JobId;
    fn id(&self) -> &AllocId {
        &self.id
    }
    fn of(&self) -> &JobId {
        &self.job
    }
    fn first() -> AllocId {
        AllocId::new("")
    }
}

/// Rows in the order of their IDs. Cloning is O(1), and putting, removing or finding one row O(log rows): the table is a
/// persistent tree, so that a picture of a large cluster can be looked at each cycle without being copied or read through.
#[derive(Clone, Serialize, Deserialize)]
#[serde(
    from = "Vec<T>",
    into = "Vec<T>",
    bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>")
)]
pub struct Table<T: Row> {
    rows: OrdMap<T::Id, Arc<T>>,
    /// The same rows by what they belong to.
    groups: OrdMap<(T::Of, T::Id), Arc<T>>,
}

impl<T: Row + PartialEq> Table<T> {
    /// Rows that are not as they were then: as they were, and as they are now. It costs what has changed since then.
    pub fn since<'a>(
        &'a self,
        then: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Arc<T>>, Option<&'a Arc<T>>)> {
        then.rows.diff(&self.rows).map(|item| match item {
            DiffItem::Add(_, row) => (None, Some(row)),
            DiffItem::Remove(_, row) => (Some(row), None),
            DiffItem::Update { old, new } => (Some(old.1), Some(new.1)),
        })
    }
    /// The same rows, each as it is now and as it was.
    pub fn changed<'a>(&'a self, then: &'a Self) -> impl Iterator<Item = &'a T> {
        let both = self.since(then).flat_map(|(old, new)| [new, old]);
        both.flatten().map(Arc::as_ref)
    }
    /// Takes the place of the row with the same ID, unless that is the same.
    pub fn renew(&mut self, row: T) {
        if self.get(row.id()) != Some(&row) {
            self.put(row);
        }
    }
}

impl<T: Row> Table<T> {
    pub fn get(&self, id: &T::Id) -> Option<&T> {
        self.rows.get(id).map(Arc::as_ref)
    }
    /// Those that belong to it, in the order of their IDs.
    pub fn of<'a>(&'a self, it: &T::Of) -> impl Iterator<Item = &'a T> + use<'a, T> {
        let it = it.clone();
        let from = self.groups.range((it.clone(), T::first())..);
        from.take_while(move |((of, _), _)| *of == it)
            .map(|(_, row)| row.as_ref())
    }
    /// Takes the place of the row with the same ID.
    pub fn put(&mut self, row: T) {
        let (id, of, row) = (row.id().clone(), row.of().clone(), Arc::new(row));
        if let Some(old) = self.rows.insert(id.clone(), row.clone())
            && *old.of() != of
        {
            self.groups.remove(&(old.of().clone(), id.clone()));
        }
        self.groups.insert((of, id), row);
    }
    pub fn remove(&mut self, id: &T::Id) {
        if let Some(old) = self.rows.remove(id) {
            self.groups.remove(&(old.of().clone(), id.clone()));
        }
    }
    /// Changes every row in its place, for what-ifs; IDs must stay.
    pub fn edit(&mut self, mut change: impl FnMut(&mut T)) {
        let change = |mut row: T| {
            change(&mut row);
            row
        };
        *self = self.iter().cloned().map(change).collect();
    }
    /// The rows as they are shared, in the order of their IDs.
    pub fn shared(&self) -> impl Iterator<Item = &Arc<T>> {
        self.rows.values()
    }
    pub fn iter(&self) -> Rows<'_, T> {
        self.into_iter()
    }
    pub fn len(&self) -> usize {
        self.rows.len()
    }
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl<T: Row + PartialEq> PartialEq for Table<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
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
        Rows(self.rows.iter())
    }
}

impl<T: Row> FromIterator<T> for Table<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        let mut table = Table::default();
        rows.into_iter().for_each(|row| table.put(row));
        table
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
        Table {
            rows: OrdMap::new(),
            groups: OrdMap::new(),
        }
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
        type Of = u8;
        fn id(&self) -> &u8 {
            &self.0
        }
        fn of(&self) -> &u8 {
            &self.1
        }
        fn first() -> u8 {
            0
        }
    }

    /// Everything that some row belongs to, and something that none does.
    fn any_of(map: &BTreeMap<u8, u8>) -> Vec<u8> {
        map.values().copied().chain([255]).collect()
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
                    Some(v) if k % 2 == 0 => { table.renew(Named(k, v)); map.insert(k, v); }
                    Some(v) => { table.put(Named(k, v)); map.insert(k, v); }
                    None => { table.remove(&k); map.remove(&k); }
                }
                prop_assert_eq!(table.get(&k).map(|n| n.1), map.get(&k).copied());
            }
            let differ: BTreeMap<u8, ()> = table.changed(&copy).map(|n| (n.0, ())).collect();
            let wanted = (0..=255).filter(|k| copy.get(k) != table.get(k)).map(|k| (k, ()));
            prop_assert_eq!(differ, wanted.collect());
            prop_assert_eq!(Vec::from(copy), then);
            prop_assert_eq!(table.len(), map.len());
            for of in any_of(&map) {
                let told: Vec<Named> = table.of(&of).cloned().collect();
                let wanted: Vec<Named> = table.iter().filter(|n| n.1 == of).cloned().collect();
                prop_assert_eq!(told, wanted);
            }
            prop_assert_eq!(table.groups.len(), map.len());
            let text = serde_json::to_string(&table).expect("plain rows");
            prop_assert_eq!(Vec::from(table), rows(&map));
            prop_assert_eq!(serde_json::from_str::<Vec<Named>>(&text).expect("the same"), rows(&map));
        }
    }
}
