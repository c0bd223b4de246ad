//! Lists and things whose copies share what they hold until one of them is changed: instances, entries and what is prepared are
//! handed on at each turn, and hardly ever changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Read as the `Vec` that it holds; a change copies it where it is shared.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SharedList<T>(Arc<Vec<T>>);

impl<T> SharedList<T> {
    /// Whether both are one list in memory: then they are alike without a look at their items.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<T> Deref for SharedList<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T: Clone> DerefMut for SharedList<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: PartialEq> PartialEq for SharedList<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl<T: fmt::Debug> fmt::Debug for SharedList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T> Default for SharedList<T> {
    fn default() -> Self {
        SharedList(Arc::default())
    }
}

impl<T> From<Vec<T>> for SharedList<T> {
    fn from(items: Vec<T>) -> Self {
        SharedList(Arc::new(items))
    }
}

impl<T> From<Arc<Vec<T>>> for SharedList<T> {
    fn from(items: Arc<Vec<T>>) -> Self {
        SharedList(items)
    }
}

impl<T> FromIterator<T> for SharedList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<'a, T> IntoIterator for &'a SharedList<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// One thing whose copies are one in memory until one of them is changed.
#[derive(Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Shared<T>(Arc<T>);

impl<T> Shared<T> {
    pub fn new(of: T) -> Shared<T> {
        Shared(Arc::new(of))
    }
}

impl<T> From<Arc<T>> for Shared<T> {
    fn from(of: Arc<T>) -> Self {
        Shared(of)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_shares_its_items_until_it_is_changed() {
        let list: SharedList<u8> = vec![1, 2].into();
        let mut copy = list.clone();
        assert!(copy.is_same(&list));
        copy.push(3);
        assert_eq!((&list[..], &copy[..]), (&[1, 2][..], &[1, 2, 3][..]));
        copy.pop();
        assert!(copy == list && !copy.is_same(&list), "alike, but two");
    }

    #[test]
    fn it_is_written_as_the_list_that_it_is() {
        let list: SharedList<u8> = vec![1, 2].into();
        assert_eq!(serde_json::to_string(&list).ok().as_deref(), Some("[1,2]"));
        assert_eq!(
            serde_json::from_str::<SharedList<u8>>("[1,2]").ok(),
            Some(list)
        );
    }
}
