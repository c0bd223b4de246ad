//! What was: demand by portion at a regular step, and failures of nodes and sites.

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

/// Something failed or came back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    pub at: Moment,
    /// Node *name* or site name: what stays when a machine is replaced.
    pub subject: String,
    pub is_site: bool,
    pub up: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Demand in requests a second.
    pub demand: BTreeMap<PortionId, Series>,
    pub availability: Vec<Availability>,
    /// Since when failures are watched.
    pub watched_since: Moment,
}
