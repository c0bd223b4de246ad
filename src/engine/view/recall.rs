//! What faces can look back at, and look ahead to before they ask: moves, their shares over time, pages of the past, previews.

use super::{Command, Health, LogLine, StepView};
use crate::model::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Shares and latencies of a portion's primaries (first) and standbys (second) at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stair {
    pub at: Moment,
    /// What standbys should have, and have in the SRV answers of the gateways where those could be read.
    pub desired: Share,
    pub observed: Option<Share>,
    /// Steps of the move under way that were verified by then; `None` while nothing moves.
    pub step: Option<usize>,
    /// 99th percentile in ms, where instances tell of themselves.
    pub p99: (Option<f64>, Option<f64>),
    /// Answered well, 0…1, likewise.
    pub success: (Option<f64>, Option<f64>),
}

/// The move under way, or the last one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MoveView {
    pub kind: String,
    pub cause: Cause,
    pub why: String,
    /// Share of the standbys where it begins and where it leads.
    pub from: Share,
    pub to: Share,
    /// How much of the way is gone after each step.
    pub steps: Vec<Share>,
    /// Steps that are done and verified.
    pub done: usize,
    pub since: Moment,
    pub verified: Option<Moment>,
    /// How long a step is watched, and the requests it must have seen.
    pub soak: Span,
    pub min_samples: u64,
    /// Why the next step waits, as the plan says.
    pub waits: Option<String>,
    /// When it was over; `None` while it is under way.
    pub ended: Option<Moment>,
}

impl MoveView {
    /// Share of the standbys after so many steps.
    pub fn share_after(&self, steps: usize) -> Share {
        let way = match steps.checked_sub(1) {
            None => 0.0,
            Some(k) => self.steps.get(k).map_or(1.0, |s| s.fraction()),
        };
        let (from, to) = (f64::from(self.from.0), f64::from(self.to.0));
        Share((from + (to - from) * way).round() as u32)
    }
    /// How long until the next step may be looked at; `None` when nothing is to come or nothing was verified yet.
    pub fn next_look(&self, now: Moment) -> Option<Span> {
        if self.ended.is_some() || self.done >= self.steps.len() {
            return None;
        }
        let left = self.soak.0 - now.since(self.verified?).0;
        Some(Span(left.max(0)))
    }
}

/// What was known of a portion at a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PageRow {
    pub id: PortionId,
    pub health: Health,
    pub sentence: String,
    pub rate: Option<f64>,
    pub p99: Option<f64>,
    pub success: Option<f64>,
    /// The forecast's upper edge (9 of 10) at its highest, and what the ready instances could take.
    pub foreseen: Option<f64>,
    pub capacity: Option<f64>,
    /// Node, role, share asked for and share seen of each instance with or about to get traffic.
    pub shares: Vec<(String, String, Share, Option<Share>)>,
}

/// A cycle in which something changed: what was decided, and of which portions something else was known than before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    pub at: Moment,
    pub cycle: u64,
    pub hold: bool,
    /// How many things could not be seen, and the first of them.
    pub blind: usize,
    pub first_blind: Option<String>,
    pub rows: Vec<Arc<PageRow>>,
    pub lines: Vec<LogLine>,
}

/// What the plan would be after a command, against what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Preview {
    pub command: Command,
    pub at: Moment,
    /// Steps that would come, and steps that would not be taken any more.
    pub comes: Vec<StepView>,
    pub goes: Vec<StepView>,
    /// What would wait that does not wait now.
    pub waits: Vec<Shared<Waiting>>,
}
