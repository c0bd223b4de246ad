//! What a plan has come to so far, and what is to be placed next.

use super::super::json::*;
use super::super::state::State;
use super::super::state::alloc::{Alloc, Ask};
use super::super::state::node::{Node, fnv};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use std::collections::BTreeSet;

/// Where allocations will be when the plan so far is done.
pub struct Proposed<'a> {
    pub state: &'a State,
    /// Stopped by the plan.
    pub stopped: BTreeSet<String>,
    pub placed: Vec<Alloc>,
}

impl Proposed<'_> {
    pub fn on<'b>(&'b self, node: &'b str) -> impl Iterator<Item = &'b Alloc> {
        let old =
            self.state.allocs.values().filter(move |a| {
                a.node_id == node && !a.terminal() && !self.stopped.contains(&a.id)
            });
        old.chain(self.placed.iter().filter(move |a| a.node_id == node))
    }

    pub fn of_group<'b>(&'b self, job: &'b str, group: &'b str) -> impl Iterator<Item = &'b Alloc> {
        let old = self.state.allocs.values().filter(move |a| {
            a.job_id == job && a.group == group && !a.terminal() && !self.stopped.contains(&a.id)
        });
        old.chain(
            self.placed
                .iter()
                .filter(move |a| a.job_id == job && a.group == group),
        )
    }
}

/// One allocation to be placed.
pub struct Wish<'a> {
    pub job: &'a Value,
    pub group: &'a Value,
    pub ask: &'a Ask,
    pub penalty: &'a BTreeSet<String>,
    /// Only this node (system jobs).
    pub only: Option<&'a str>,
    pub slot: u32,
}

impl Wish<'_> {
    /// Dice of its own, so that who wins a tie does not depend on what else has been rolled.
    pub fn dice(&self, seed: u64) -> StdRng {
        let what = format!(
            "{seed}|{}|{}|{}|{}",
            key_of(self.job),
            text(self.group, "Name"),
            int(self.job, "Version"),
            self.slot
        );
        StdRng::seed_from_u64(fnv(what.as_bytes()))
    }
}

/// What would be in use on a node with the wish on it.
pub struct Use {
    pub cpu: i64,
    pub memory: i64,
    pub disk: i64,
}

pub fn used(proposed: &Proposed, wish: &Wish, node: &Node) -> Use {
    let mut sum = Use {
        cpu: wish.ask.cpu(),
        memory: wish.ask.memory(),
        disk: wish.ask.disk_mb,
    };
    for alloc in proposed.on(&node.id) {
        sum.cpu += alloc.ask.cpu();
        sum.memory += alloc.ask.memory();
        sum.disk += alloc.ask.disk_mb;
    }
    sum
}
