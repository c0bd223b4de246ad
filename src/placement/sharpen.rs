//! A bound beyond the linear relaxation: the dual whose nodes keep their capacities, so that each takes the cheapest pack it can hold.
//!
//! With v and w as in `dual`, L = sum k_i v_i - sum w_id + sum_j min(0, open_j + least over packs S of j of sum_{i in S}
//! (cost_ij + w_id - v_i)): the bound of Dantzig and Wolfe's decomposition by nodes. The search for a node's cheapest pack may end early
//! and still bounds it, so every value counts; it is ascended by deflected subgradients (see `polyak`) from where the linear one ended.

use rayon::prelude::*;

use super::bound::{Prices, rounded_up};
use super::cheapest::{Found, cheapest};
use super::dual::Dual;
use super::polyak::{LONG, Polyak};
use super::problem::Problem;

/// Branches of each node's packs that are looked at in one step of the ascent, and at last.
const LOOKS: u32 = 300;
const LAST_LOOKS: u32 = 8_000;
/// Most steps of the ascent, and the part of the budget they may take.
const STEPS: u32 = 200;
const ASCENT_PART: f64 = 0.7;
/// First and last length of a step, in parts of Polyak's: the linear bound's prices are nearly right.
const FIRST_STRIDE: f64 = 0.03;
const LAST_STRIDE: f64 = 0.001;

/// One look at all nodes.
struct Look {
    value: f64,
    slope: Vec<f64>,
    /// What each node's packs cost at least.
    least: Vec<f64>,
}

/// Nodes that choose their packs, and where each one's search begins.
struct Hosts<'p> {
    dual: Dual<'p>,
    rooms: Vec<Vec<f64>>,
    spent: &'p (dyn Fn() -> f64 + Sync),
}

/// Raises the bound of `from` until `spent` (the part of the budget that is gone) is one; `known` is the objective of any feasible placement.
pub(super) fn sharpened(
    problem: &Problem,
    from: Prices,
    known: i64,
    spent: &(dyn Fn() -> f64 + Sync),
) -> Prices {
    let dual = Dual::new(problem);
    if !dual.takes(&from.at) || from.bound >= known || spent() >= 1.0 {
        return from;
    }
    let room = |node| dual.room_prices(node, &from.at).to_vec();
    let rooms = (0..problem.nodes()).map(room).collect();
    let ceilings = dual.ceilings();
    let mut hosts = Hosts { dual, rooms, spent };
    let mut at = from.at.clone();
    let mut climb = Polyak::with_stride(&at, LONG, FIRST_STRIDE);
    let mut least = Vec::new();
    for _ in 0..STEPS {
        let look = hosts.look(&at, LOOKS);
        if look.value > climb.best {
            least = look.least;
        }
        let more = climb.step(
            &mut at,
            (look.value, &look.slope),
            known as f64,
            0.0,
            &ceilings,
        );
        if !more || climb.stride() < LAST_STRIDE || spent() >= ASCENT_PART {
            break;
        }
    }
    let last = hosts.look(&climb.best_at, LAST_LOOKS);
    let better = |(before, after): (&f64, &f64)| (after - before).max(0.0);
    let gained: f64 = least.iter().zip(&last.least).map(better).sum();
    let bound = rounded_up(climb.best + gained).min(known);
    Prices {
        bound: bound.max(from.bound),
        ..from
    }
}

impl Hosts<'_> {
    /// Value and slope at some multipliers, and what each node comes to.
    fn look(&mut self, at: &[f64], looks: u32) -> Look {
        let (dual, stop) = (&self.dual, || (self.spent)() >= 1.0);
        let nodes = self.rooms.par_iter_mut().enumerate();
        let packs = nodes.map(|(node, room)| {
            let host = dual.host(node, at);
            let Found {
                least,
                pack,
                prices,
            } = cheapest(host, room, looks, &stop);
            *room = prices;
            (least, pack)
        });
        let packs: Vec<(f64, Vec<u32>)> = packs.collect();
        let (value, slope) = dual.with_packs(at, &packs);
        let least = packs.into_iter().map(|(least, _)| least).collect();
        Look {
            value,
            slope,
            least,
        }
    }
}
