//! What came of a step.

use super::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Done, and seen where it counts.
    Verified,
    /// Done; the next looks will show (Nomad places in its own time).
    Applied,
    /// Not done, nothing changed: the cluster said no.
    Refused { why: String },
    /// Done and taken back.
    Undone { why: String },
    /// Not known to be done: it will be looked at again.
    Unsure { why: String },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub step: Step,
    pub started: Moment,
    pub at: Moment,
    pub verdict: Verdict,
    pub measured: Option<Measurement>,
}
