//! What was: demand by portion at a regular step, and failures of nodes, sites and links.

use super::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A regular series; a gap is NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub start: Moment,
    pub step: Span,
    pub values: Vec<f64>,
}

/// What kind of thing failed or came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    Node,
    Site,
    Link,
}

/// Something failed or came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    pub at: Moment,
    /// Node *name*, site name or a link's two sites (see [`link_name`]): what stays when a machine is replaced.
    pub subject: String,
    pub kind: SubjectKind,
    pub up: bool,
}

/// What a link's history goes by: its two sites in their order.
pub fn link_name(a: &Site, b: &Site) -> String {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    format!("{a} – {b}")
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Demand in requests a second.
    pub demand: BTreeMap<PortionId, Series>,
    pub availability: Vec<Availability>,
    /// Since when failures are watched.
    pub watched_since: Moment,
}
