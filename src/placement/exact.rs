//! Small problems to the proven optimum: a strong dual, every pack of a node that an answer below the best known could use, and one of
//! them for each node.
//!
//! Sources: the bound is that of Dantzig and Wolfe's decomposition by nodes; to list all columns whose reduced cost is within the gap
//! and then to choose among them follows Baldacci, Christofides and Mingozzi, "An exact algorithm for the vehicle routing problem based
//! on the set partitioning formulation with additional cuts" (2008).

use std::sync::atomic::Ordering::Relaxed;

use super::bound::rounded_up;
use super::cover::{Cover, below};
use super::packs::{MOST_PORTIONS, Packs};
use super::polyak::{LONG, Polyak};
use super::problem::Problem;

/// Steps of the dual's ascent, which ends when they are this part of Polyak's.
const ROUNDS: u64 = 400;
const LAST_STRIDE: f64 = 0.05;
/// The first part of the gap that is searched; each later one is twice as wide. A narrow one that holds an answer holds the best one.
const FIRST_PART: f64 = 0.125;

/// What the search for a proof is given besides the problem.
pub(super) struct Exact<'a> {
    pub(super) problem: &'a Problem,
    /// What each candidate costs the search.
    pub(super) cost: &'a [i64],
    /// About how many packs may be looked at.
    pub(super) limit: u64,
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
    /// See `Cover`.
    pub(super) abreast: u32,
}

/// How far it got.
pub(super) struct Proof {
    /// The best total there is, as far as is known, and its slots if they are better than those known before.
    pub(super) best: i64,
    pub(super) slots: Option<Vec<u32>>,
    /// No assignment costs the search less; the optimum is proven where it is the best total.
    pub(super) bound: i64,
    pub(super) steps: u64,
}

/// Multipliers of the dual, and its value there.
struct Base {
    at: Vec<f64>,
    value: f64,
}

/// Whether the problem is of a size for it.
pub(super) fn suits(problem: &Problem) -> bool {
    problem.portions() <= MOST_PORTIONS && problem.wanted() <= MOST_PORTIONS
}

impl Exact<'_> {
    /// Looks for an assignment that costs less than `known`, or the proof that there is none.
    pub(super) fn run(&self, known: i64) -> Proof {
        let packs = Packs::new(self.problem, self.cost);
        let mut proof = Proof {
            best: known,
            slots: None,
            bound: 0,
            steps: 0,
        };
        let base = self.ascend(&packs, &mut proof);
        let mut part = FIRST_PART;
        while proof.bound < proof.best && proof.steps <= self.limit {
            let slack = (below(proof.best) - base.value) * part;
            if !self.widen(&packs, &base, slack, &mut proof) {
                break;
            }
            part = (part * 2.0).min(1.0);
        }
        proof
    }

    fn ascend(&self, packs: &Packs, proof: &mut Proof) -> Base {
        let (mut at, ceilings) = (packs.start(), packs.ceilings());
        let mut climb = Polyak::new(&at, LONG);
        for _ in 0..ROUNDS {
            let Some((value, slope)) = packs.slope(&at, &mut proof.steps) else {
                break;
            };
            let target = proof.best as f64;
            let more = climb.step(&mut at, (value, &slope), target, 0.0, &ceilings);
            let done = value > below(proof.best) || climb.stride() < LAST_STRIDE;
            if !more || done || proof.steps > self.limit || (self.stop)() {
                break;
            }
        }
        proof.bound = rounded_up(climb.best).min(proof.best);
        Base {
            at: climb.best_at,
            value: climb.best,
        }
    }

    /// Looks at every answer within `slack` of the base. False if they are too many.
    fn widen(&self, packs: &Packs, base: &Base, slack: f64, proof: &mut Proof) -> bool {
        let (problem, limit) = (self.problem, self.limit);
        let lists = packs.lists(&base.at, slack, &mut proof.steps, self.stop);
        let Some(lists) = lists else { return false };
        let penalties = problem.penalty.iter().zip(&base.at);
        let missing: Vec<f64> = penalties.map(|(&penalty, v)| penalty as f64 - v).collect();
        let cover = Cover {
            problem,
            cost: self.cost,
            packs: &lists,
            missing: &missing,
            base: base.value,
            most: base.value + slack,
            best: proof.best.into(),
            found: None.into(),
            steps: proof.steps.into(),
            limit,
            stop: self.stop,
            stopped: false.into(),
            abreast: self.abreast,
        };
        let complete = cover.run();
        proof.steps = cover.steps.load(Relaxed);
        proof.best = cover.best.load(Relaxed);
        if let Ok(Some(slots)) = cover.found.into_inner() {
            proof.slots = Some(slots);
        }
        if complete {
            let bound = rounded_up(base.value + slack).min(proof.best);
            proof.bound = bound.max(proof.bound);
        }
        complete
    }
}
