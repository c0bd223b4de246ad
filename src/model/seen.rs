//! A reading with its age. Unknown may only hold: it never means zero, and never means change.

use super::{Moment, Span};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    Known { value: T, at: Moment },
    Unknown { why: String },
}

impl<T> Seen<T> {
    pub fn known(value: T, at: Moment) -> Self {
        Seen::Known { value, at }
    }
    pub fn unknown(why: impl Into<String>) -> Self {
        Seen::Unknown { why: why.into() }
    }
    pub fn value(&self) -> Option<&T> {
        match self {
            Seen::Known { value, .. } => Some(value),
            Seen::Unknown { .. } => None,
        }
    }
    /// The value, unless it is unknown or older than `limit` at `now`.
    pub fn fresh(&self, now: Moment, limit: Span) -> Option<&T> {
        match self {
            Seen::Known { value, at } if now.since(*at) <= limit => Some(value),
            _ => None,
        }
    }
    pub fn age(&self, now: Moment) -> Option<Span> {
        match self {
            Seen::Known { at, .. } => Some(now.since(*at)),
            Seen::Unknown { .. } => None,
        }
    }
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Seen<U> {
        match self {
            Seen::Known { value, at } => Seen::Known {
                value: f(value),
                at,
            },
            Seen::Unknown { why } => Seen::Unknown { why },
        }
    }
}
