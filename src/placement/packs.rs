//! The dual of a small problem whose nodes keep their capacities: only "so many standbys" and "one in a domain" become prices.
//!
//! With multipliers v_i (0 to the penalty) for the standbys wanted and w_id >= 0 for at most one in a domain, each node by itself
//! takes the pack (a set of standbys that it survives every failure with) that costs least:
//! L = sum k_i v_i - sum w_id + sum_j min(0, open_j + min over packs S of sum_{i in S} (cost_ij + w_id - v_i)).
//! Packs are integral, so L comes far closer to the optimum than the linear relaxation; this is the bound of Dantzig and Wolfe's
//! decomposition by nodes. Shared capacities and the cost of risk are left out, which only lowers it.

use super::dual::{NO_ROW, spread_rows};
use super::instance::MAX_RESOURCES;
use super::problem::{Amounts, Problem};

/// Most portions of a problem whose packs are sets of bits.
pub(super) const MOST_PORTIONS: usize = 64;

/// Most steps of a search for the cheapest pack of one node.
const DIVE: u64 = 50_000;
/// Most steps of a search for all packs of one node that are worth a look, and most of them over all nodes.
const LISTING: u64 = 1_000_000;
const MOST_PACKS: usize = 60_000;

/// A standby that may stand on the node.
struct Visitor {
    portion: u32,
    candidate: u32,
    home: u32,
    /// Its number in w, or `NO_ROW`.
    spread: u32,
    cost: f64,
}

/// The dual function. Its parameter holds v, then w.
pub(super) struct Packs<'p> {
    problem: &'p Problem,
    /// Visitors of each node.
    visitors: Vec<Vec<Visitor>>,
    length: usize,
}

/// Standbys that a node can hold together.
#[derive(Clone)]
pub(super) struct Pack {
    /// How much more it costs than the cheapest pack of its node.
    pub(super) regret: f64,
    /// Portions in it, as bits.
    pub(super) portions: u64,
    pub(super) candidates: Vec<u32>,
}

/// What a node holds while a pack grows.
#[derive(Clone, Copy)]
struct Held {
    base: Amounts,
    worst: Amounts,
}

/// One search through the packs of a node.
struct Dive<'a> {
    problem: &'a Problem,
    node: usize,
    /// Visitors with their cost at the multipliers, cheapest first, and what all cheaper than nothing from each on would bring.
    row: Vec<(f64, &'a Visitor)>,
    rest: Vec<f64>,
    /// Surge of each failed domain.
    surge: Vec<Amounts>,
    chosen: Vec<usize>,
    steps: u64,
}

impl<'p> Packs<'p> {
    /// `cost` has one number for each candidate.
    pub(super) fn new(problem: &'p Problem, cost: &[i64]) -> Self {
        let (spread, spreads) = spread_rows(problem);
        let visitors = (0..problem.nodes()).map(|node| {
            let first = problem.visitor_start[node] as usize;
            let row = problem.visitors(node).iter().zip(&spread[first..]);
            let visitor = |(&candidate, &spread): (&u32, &u32)| {
                let portion = problem.candidate_portion[candidate as usize];
                Visitor {
                    portion,
                    candidate,
                    home: problem.home[portion as usize],
                    spread,
                    cost: cost[candidate as usize] as f64,
                }
            };
            row.map(visitor).collect()
        });
        Self {
            problem,
            visitors: visitors.collect(),
            length: problem.portions() + spreads,
        }
    }

    /// Each portion begins at its cheapest place, spread at nothing.
    pub(super) fn start(&self) -> Vec<f64> {
        let mut start = vec![0.0; self.length];
        let ceilings = self.ceilings();
        start[..self.problem.portions()].fill(f64::INFINITY);
        for visitor in self.visitors.iter().flatten() {
            let v = &mut start[visitor.portion as usize];
            *v = v.min(visitor.cost);
        }
        for (v, ceiling) in start.iter_mut().zip(ceilings) {
            *v = v.min(ceiling);
        }
        start
    }

    /// The largest value of each multiplier; the smallest is zero.
    pub(super) fn ceilings(&self) -> Vec<f64> {
        let mut ceilings = vec![f64::INFINITY; self.length];
        for (ceiling, &penalty) in ceilings.iter_mut().zip(&self.problem.penalty) {
            *ceiling = penalty as f64;
        }
        ceilings
    }

    /// Value and slope; counts the packs looked at into `steps`. None if a node has too many to find the cheapest.
    pub(super) fn slope(&self, at: &[f64], steps: &mut u64) -> Option<(f64, Vec<f64>)> {
        let portions = self.problem.portions();
        let mut slope = vec![-1.0; self.length];
        let mut value = -at[portions..].iter().sum::<f64>();
        for i in 0..portions {
            slope[i] = self.problem.slots(i).len() as f64;
            value += slope[i] * at[i];
        }
        for node in 0..self.problem.nodes() {
            let mut dive = self.dive(node, at, 0.0);
            let cheapest = dive.cheapest();
            *steps += dive.steps;
            let (worth, pack) = cheapest?;
            value += worth;
            for at in pack {
                let visitor = dive.row[at].1;
                slope[visitor.portion as usize] -= 1.0;
                if visitor.spread != NO_ROW {
                    slope[portions + visitor.spread as usize] += 1.0;
                }
            }
        }
        Some((value, slope))
    }

    /// For each node every pack that costs at most `slack` more than its cheapest one (the empty one among them), that one first; none if
    /// they are too many or `stop` says so.
    pub(super) fn lists(
        &self,
        at: &[f64],
        slack: f64,
        steps: &mut u64,
        stop: &dyn Fn() -> bool,
    ) -> Option<Vec<Vec<Pack>>> {
        let mut left = MOST_PACKS;
        let nodes = 0..self.problem.nodes();
        let lists = nodes.map(|node| {
            let mut dive = self.dive(node, at, slack);
            let (worth, _) = dive.cheapest().filter(|_| !stop())?;
            let mut packs = Vec::new();
            let complete = dive.list(worth, slack, &mut packs, left);
            *steps += dive.steps;
            left -= packs.len().min(left);
            packs.sort_by(|a, b| a.regret.total_cmp(&b.regret));
            complete.then_some(packs)
        });
        lists.collect()
    }

    /// Visitors of the node that cost at most `dearest` at the multipliers.
    fn dive(&self, node: usize, at: &[f64], dearest: f64) -> Dive<'_> {
        let portions = self.problem.portions();
        let reduced = self.visitors[node].iter().map(|visitor| {
            let spread = match visitor.spread {
                NO_ROW => 0.0,
                row => at[portions + row as usize],
            };
            (
                visitor.cost + spread - at[visitor.portion as usize],
                visitor,
            )
        });
        let mut row: Vec<(f64, &Visitor)> = reduced.filter(|(cost, _)| *cost <= dearest).collect();
        row.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut rest = vec![0.0; row.len() + 1];
        for at in (0..row.len()).rev() {
            rest[at] = rest[at + 1] + row[at].0.min(0.0);
        }
        Dive {
            problem: self.problem,
            node,
            row,
            rest,
            surge: vec![Amounts::default(); self.problem.domains],
            chosen: Vec::new(),
            steps: 0,
        }
    }
}

impl Dive<'_> {
    /// The cheapest pack and what it costs with the opening of the node; nothing for nothing if none costs less. None if it is not
    /// found within `DIVE` steps.
    fn cheapest(&mut self) -> Option<(f64, Vec<usize>)> {
        let mut best = (0.0, Vec::new());
        let open = self.problem.open_cost[self.node] as f64;
        self.deepen(0, open, NOTHING, &mut best);
        (self.steps <= DIVE).then_some(best)
    }

    fn deepen(&mut self, from: usize, cost: f64, held: Held, best: &mut (f64, Vec<usize>)) {
        for at in from..self.row.len() {
            if cost + self.rest[at] >= best.0 || self.steps > DIVE {
                return;
            }
            self.steps += 1;
            let Some(more) = self.add(at, held) else {
                continue;
            };
            let with = cost + self.row[at].0;
            self.chosen.push(at);
            if with < best.0 {
                *best = (with, self.chosen.clone());
            }
            self.deepen(at + 1, with, more, best);
            self.chosen.pop();
            self.remove(at);
        }
    }

    /// Whether all packs were looked at.
    fn list(&mut self, worth: f64, slack: f64, packs: &mut Vec<Pack>, most: usize) -> bool {
        if -worth <= slack {
            packs.push(Pack {
                regret: -worth,
                portions: 0,
                candidates: Vec::new(),
            });
        }
        let open = self.problem.open_cost[self.node] as f64;
        self.note(0, open, NOTHING, (worth + slack, worth), packs, most)
    }

    fn note(
        &mut self,
        from: usize,
        cost: f64,
        held: Held,
        (most, worth): (f64, f64),
        packs: &mut Vec<Pack>,
        room: usize,
    ) -> bool {
        for at in from..self.row.len() {
            let with = cost + self.row[at].0;
            // The row is in the order of cost, so that what is too dear here is too dear from here on.
            if with + self.rest[at + 1] > most {
                return true;
            }
            self.steps += 1;
            if self.steps > LISTING || packs.len() >= room {
                return false;
            }
            let Some(more) = self.add(at, held) else {
                continue;
            };
            self.chosen.push(at);
            if with <= most {
                let visitors = self.chosen.iter().map(|&at| self.row[at].1);
                packs.push(Pack {
                    regret: with - worth,
                    portions: visitors.clone().fold(0, |all, v| all | 1 << v.portion),
                    candidates: visitors.map(|v| v.candidate).collect(),
                });
            }
            let complete = self.note(at + 1, with, more, (most, worth), packs, room);
            self.chosen.pop();
            self.remove(at);
            if !complete {
                return false;
            }
        }
        true
    }

    /// What the node holds with one more visitor, if it survives every failure with it.
    fn add(&mut self, at: usize, held: Held) -> Option<Held> {
        let visitor = self.row[at].1;
        let free = &self.problem.free[self.node];
        let (reserve, surge) = (
            &self.problem.reserve[visitor.portion as usize],
            &self.problem.surge[visitor.portion as usize],
        );
        let own = &mut self.surge[visitor.home as usize];
        let mut more = held;
        let mut fits = true;
        for r in 0..MAX_RESOURCES {
            more.base[r] += reserve[r];
            more.worst[r] = more.worst[r].max(own[r] + surge[r]);
            fits &= more.base[r] + more.worst[r] <= free[r];
        }
        if fits {
            (0..MAX_RESOURCES).for_each(|r| own[r] += surge[r]);
        }
        fits.then_some(more)
    }

    fn remove(&mut self, at: usize) {
        let visitor = self.row[at].1;
        let surge = &self.problem.surge[visitor.portion as usize];
        let own = &mut self.surge[visitor.home as usize];
        (0..MAX_RESOURCES).for_each(|r| own[r] -= surge[r]);
    }
}

const NOTHING: Held = Held {
    base: [0; MAX_RESOURCES],
    worst: [0; MAX_RESOURCES],
};
