//! What is judged by.

use crate::model::*;
use std::collections::BTreeMap;

/// Readings older than this count as no data.
pub(super) const FRESH: Span = Span::secs(15);

/// What the guard judges by. It looks for itself; it does not take the planner's word.
pub struct Facts<'a> {
    pub now: Moment,
    /// `mode = "act"` (or paper hands).
    pub acting: bool,
    /// The epoch of our own lock, if we hold it.
    pub epoch: Option<Epoch>,
    pub world: &'a World,
    pub policy: &'a Policy,
    /// What each instance was measured to carry within the SLO, where it was.
    pub capacity: &'a BTreeMap<AllocId, Rps>,
    /// Steps without an outcome.
    pub inflight: &'a BTreeMap<StepId, Step>,
    /// The service in a planned move, if one is, of whatever workload.
    pub moving: Option<&'a ServiceName>,
    /// How much may move in one planned step.
    pub max_step: Share,
    /// How many targets may still be written now, over all services.
    pub writes_left: u32,
}
