//! A picture of a cluster that costs what changes: lists once, then event by event.
//!
//! `Picture` is pure. `Follower` keeps one up to date with the event stream, or with blocking lists where the stream is
//! refused, and proves before each use that nothing is missing.

mod follow;
mod table;

pub use follow::{Follower, Glance, Proof};
pub use table::{Change, Kept};

use super::events::EventBatch;
use super::{Alloc, Evaluation, Node};
use std::sync::Arc;
use table::Table;

/// Which of Nomad's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Nodes,
    Allocs,
    /// Of these only the blocked ones are kept.
    Evals,
}

impl Which {
    pub const ALL: [Which; 3] = [Which::Nodes, Which::Allocs, Which::Evals];

    pub(super) fn path(self) -> &'static str {
        match self {
            Which::Nodes => "nodes",
            Which::Allocs => "allocations",
            Which::Evals => "evaluations",
        }
    }
}

/// Nodes, allocations and blocked evaluations as of the last event or list that was taken in.
#[derive(Debug, Default)]
pub struct Picture {
    nodes: Table<Node>,
    allocs: Table<Alloc>,
    evals: Table<Evaluation>,
}

impl Picture {
    /// Takes in the events of one index. Those that a table has already seen, in a list or before, change nothing.
    pub fn apply(&mut self, batch: EventBatch) {
        let index = batch.index;
        let seen = [self.nodes.at(), self.allocs.at(), self.evals.at()];
        let news = |table: usize| index > seen[table];
        for event in batch.events {
            let kind = event.kind;
            let payload = event.payload;
            if let Some(node) = payload.node.filter(|_| news(0)) {
                match kind.as_str() {
                    "NodeDeregistration" => self.nodes.remove(&node.id, index),
                    _ => self.nodes.put(node, index),
                }
            } else if let Some(alloc) = payload.allocation.filter(|_| news(1)) {
                self.allocs.put(alloc, index);
            } else if let Some(eval) = payload.evaluation.filter(|_| news(2)) {
                match eval.status.as_str() {
                    "blocked" => self.evals.put(eval, index),
                    _ => self.evals.remove(&eval.id, index),
                }
            }
        }
    }

    /// The index up to which a table is known.
    pub fn at(&self, which: Which) -> u64 {
        match which {
            Which::Nodes => self.nodes.at(),
            Which::Allocs => self.allocs.at(),
            Which::Evals => self.evals.at(),
        }
    }

    /// From now until `list_*` deletions are remembered, so that an older list does not bring back what is gone.
    pub fn begin(&mut self, which: Which) {
        match which {
            Which::Nodes => self.nodes.begin(),
            Which::Allocs => self.allocs.begin(),
            Which::Evals => self.evals.begin(),
        }
    }

    /// A whole list of nodes with its index. `index` below where the table stood at `begin` voids the table.
    pub fn list_nodes(&mut self, all: Vec<Arc<Node>>, index: u64) -> Change {
        self.nodes.replace(all, index)
    }

    pub fn list_allocs(&mut self, all: Vec<Arc<Alloc>>, index: u64) -> Change {
        self.allocs.replace(all, index)
    }

    /// Evaluations of any status; the blocked ones are kept.
    pub fn list_evals(&mut self, mut all: Vec<Arc<Evaluation>>, index: u64) -> Change {
        all.retain(|e| e.status == "blocked");
        self.evals.replace(all, index)
    }

    pub fn nodes(&self) -> &Table<Node> {
        &self.nodes
    }
    pub fn allocs(&self) -> &Table<Alloc> {
        &self.allocs
    }
    pub fn evals(&self) -> &Table<Evaluation> {
        &self.evals
    }

    /// What changed since the last call, in all tables at one moment.
    pub fn drain(&mut self) -> Drained {
        Drained {
            nodes: self.nodes.drain(),
            allocs: self.allocs.drain(),
            evals: self.evals.drain(),
        }
    }
}

/// By ID: what is there now, or `None` when it is gone.
#[derive(Debug, Default)]
pub struct Drained {
    pub nodes: Vec<(Arc<str>, Option<Arc<Node>>)>,
    pub allocs: Vec<(Arc<str>, Option<Arc<Alloc>>)>,
    pub evals: Vec<(Arc<str>, Option<Arc<Evaluation>>)>,
}
