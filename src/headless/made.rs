//! What goes out over a door's streams, made once for all readers who need the same.

use super::delta;
use super::stream::{Told, encode};
use crate::engine::view::View;
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// The pictures of the newest view that readers still hold, and the event that was made last. Readers alone keep pictures, so
/// there are never more of them than readers.
#[derive(Default)]
pub struct Made {
    view: Weak<View>,
    /// By how many portions are whole in them.
    pictures: BTreeMap<usize, Weak<Value>>,
    last: Option<Event>,
}

/// From which picture to which; nothing where both are the same.
struct Event {
    from: Weak<Value>,
    to: Weak<Value>,
    lines: Option<Bytes>,
}

impl Made {
    /// The view as it goes out to those who have so many portions whole.
    ///
    /// # Errors
    /// When the view cannot be put as JSON.
    pub fn picture(&mut self, view: &Arc<View>, whole: usize) -> serde_json::Result<Arc<Value>> {
        if self.view.as_ptr() != Arc::as_ptr(view) {
            self.view = Arc::downgrade(view);
            self.pictures.clear();
        }
        let whole = whole.min(view.portions.len());
        if let Some(made) = self.pictures.get(&whole).and_then(Weak::upgrade) {
            return Ok(made);
        }
        let picture = Arc::new(delta::thin(view, whole)?);
        self.pictures.insert(whole, Arc::downgrade(&picture));
        Ok(picture)
    }

    /// What a reader is sent who has the one picture, or none yet, and is to have the other; nothing where that changes nothing.
    ///
    /// # Errors
    /// When it cannot be put as JSON.
    pub fn event(
        &mut self,
        from: Option<&Arc<Value>>,
        to: &Arc<Value>,
    ) -> serde_json::Result<Option<Bytes>> {
        let old = from.map_or_else(Weak::new, Arc::downgrade);
        let new = Arc::downgrade(to);
        if let Some(last) = &self.last
            && last.from.ptr_eq(&old)
            && last.to.ptr_eq(&new)
        {
            return Ok(last.lines.clone());
        }
        let told = match from {
            None => Some(Told::Snapshot(Value::clone(to))),
            Some(from) => delta::diff(from, to).map(Told::Delta),
        };
        let lines = told.as_ref().map(encode).transpose()?;
        self.last = Some(Event {
            from: old,
            to: new,
            lines: lines.clone(),
        });
        Ok(lines)
    }
}
