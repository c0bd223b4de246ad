//! Turns a world and an outlook into an immutable list of steps with reasons, and says why the others must wait; it may do nothing itself.

mod apart;
pub mod book;
mod burst;
pub mod census;
pub mod chances;
mod constraints;
mod contingency;
pub mod derive;
pub mod distance;
mod egress;
pub mod graph;
pub mod instances;
mod links;
pub mod lint;
mod own;
pub mod owner;
pub mod partition;
mod places;
mod placing;
mod prospects;
pub mod risk;
mod scene;
pub mod shadows;
pub mod shares;
pub mod size;
mod standbys;
mod standin;
mod together;
mod traffic;
mod trust;
mod twins;
mod wishes;
pub mod worth;

pub use book::{Book, ShadowState};
pub use burst::key as burst_key;
pub use census::Census;
pub use instances::{Copies, Role};
pub use partition::{Portion, portions, workload};
pub use scene::{FRESH, Scene};
pub use traffic::is_pace;

use crate::model::*;
use scene::Draft;
use std::collections::BTreeMap;

/// One pass over one workload. The book is the planner's memory; the plan is what should be done now, and why not more.
pub fn plan(scene: &Scene, book: &mut Book) -> (Plan, BTreeMap<PortionId, Copies>) {
    let roster = instances::Roster::of(scene);
    let copies: BTreeMap<PortionId, Copies> = scene
        .policy
        .portions
        .iter()
        .filter_map(|p| {
            let portion = scene.portions.iter().find(|x| x.id == p.id)?;
            let set = instances::copies(scene, &roster, p, &portion.release, FRESH);
            Some((p.id.clone(), set))
        })
        .collect();
    let mut draft = Draft::default();
    if let Some(what) = blind(scene) {
        let why = format!("{what} cannot be read: unknown may only hold");
        draft.wait("everything", why);
    } else {
        for portion in &scene.policy.portions {
            if let Some(set) = copies.get(&portion.id) {
                traffic::plan(scene, book, portion, set, &mut draft);
            }
        }
        standbys::plan(scene, book, &copies, &mut draft);
        worth::weigh(scene, book, &copies);
        shadows::plan(scene, book, &copies, &mut draft);
    }
    let plan = Plan {
        id: scene.plan.clone(),
        parent: scene.parent.clone(),
        epoch: scene.epoch,
        at: scene.now,
        steps: draft.steps,
        waiting: draft.waiting,
    };
    (plan, copies)
}

/// What must be known before anything at all can be planned.
fn blind(scene: &Scene) -> Option<&'static str> {
    let world = scene.world;
    if world.allocs.fresh(scene.now, FRESH).is_none() {
        Some("allocations")
    } else if world.nodes.fresh(scene.now, FRESH).is_none() {
        Some("nodes")
    } else if world.jobs.fresh(scene.now, FRESH).is_none() {
        Some("jobs")
    } else {
        None
    }
}
