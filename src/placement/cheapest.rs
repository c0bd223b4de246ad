//! The cheapest pack of one node: which standbys it would take, if each cost so much and brought so much, that it survives every failure with.
//!
//! Branch and bound, best first. A branch is bounded by the Lagrangian dual of the node's capacities, ascended by a few subgradient steps,
//! and every standby whose reduced cost is beyond what is left to gain is decided at once (Fisher, "The Lagrangian relaxation method for
//! solving integer programming problems", 1981). Stopped early it still gives a bound: that of the best branch left.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::instance::MAX_RESOURCES;
use super::polyak::{BRIEF, Polyak};
use super::problem::Amounts;

/// Steps of the capacities' prices in the first branch and in each later one.
const STEPS_FIRST: u32 = 60;
const STEPS: u32 = 12;
/// A branch that could gain no more than this is given up: floating point may have added as much.
const NOTHING: f64 = 1e-7;

type Row = [f64; MAX_RESOURCES];

/// A standby that the node may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    /// Its number to the caller.
    pub(super) visit: u32,
    /// What it costs less what it brings.
    pub(super) cost: f64,
    /// Number of the node's capacity row for the failure that makes it active.
    pub(super) row: u32,
    pub(super) reserve: Amounts,
    pub(super) surge: Amounts,
}

impl Visitor {
    /// How much of what is free it takes when active, of the resource of which that is most, in millionths.
    fn part_of(&self, free: &Amounts) -> i64 {
        let part = |r: usize| {
            let active = i64::from(self.reserve[r]) + i64::from(self.surge[r]);
            active * 1_000_000 / i64::from(free[r].max(1))
        };
        (0..MAX_RESOURCES).map(part).max().unwrap_or(0)
    }
}

/// A node that chooses.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) visitors: Vec<Visitor>,
    pub(super) free: Amounts,
    pub(super) open_cost: f64,
    /// Capacity rows of the node.
    pub(super) rows: usize,
}

/// What was found out about a node's packs.
#[derive(Debug)]
pub(super) struct Found {
    /// No pack costs less, and neither does the empty one, which costs nothing.
    pub(super) least: f64,
    /// The cheapest pack found, by the caller's numbers; empty if none costs less than nothing.
    pub(super) pack: Vec<u32>,
    /// Prices of the capacities that bound the whole best, by (row, resource) in parts of what is free.
    pub(super) prices: Vec<f64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Choice {
    Open,
    In,
    Out,
}

/// A part of all packs: some standbys are decided.
struct Branch {
    least: f64,
    prices: Vec<f64>,
    choices: Vec<Choice>,
    /// What to decide next.
    next: usize,
}

impl Ord for Branch {
    fn cmp(&self, other: &Self) -> Ordering {
        other.least.total_cmp(&self.least)
    }
}

impl PartialOrd for Branch {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Branch {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Branch {}

/// What the node holds.
#[derive(Clone)]
struct Held {
    cost: f64,
    base: Amounts,
    worst: Amounts,
    /// Of each row.
    surge: Vec<Amounts>,
}

/// A search through the packs of one node.
struct Dive<'a> {
    host: &'a Host,
    /// Reserve and surge of each visitor in parts of what is free, and the part of it that is free (0 or 1).
    needs: Vec<(Row, Row)>,
    room: Row,
    ceilings: Vec<f64>,
    best: f64,
    pack: Vec<u32>,
    slope: Vec<f64>,
    /// Cost of each visitor with what it pays for room.
    priced: Vec<f64>,
}

/// Searches from `prices` on, through at most `looks` branches and until `stop`. What is large is decided first.
pub(super) fn cheapest(
    mut host: Host,
    prices: &[f64],
    looks: u32,
    stop: &dyn Fn() -> bool,
) -> Found {
    let free = host.free;
    host.visitors
        .sort_by_cached_key(|visitor| std::cmp::Reverse(visitor.part_of(&free)));
    let mut dive = Dive::new(&host);
    let all = Branch {
        least: f64::NEG_INFINITY,
        prices: prices.to_vec(),
        choices: vec![Choice::Open; host.visitors.len()],
        next: 0,
    };
    let mut branches = BinaryHeap::new();
    branches.extend(dive.look(all, STEPS_FIRST));
    let first = branches.peek();
    let prices = first.map_or_else(|| prices.to_vec(), |first: &Branch| first.prices.clone());
    let mut looked = 1;
    let mut least = None;
    while let Some(branch) = branches.pop() {
        if branch.least >= dive.best - NOTHING {
            break;
        }
        if looked >= looks || stop() {
            least = Some(branch.least);
            break;
        }
        looked += 2;
        for choice in [Choice::In, Choice::Out] {
            let mut choices = branch.choices.clone();
            choices[branch.next] = choice;
            let part = Branch {
                least: branch.least,
                prices: branch.prices.clone(),
                choices,
                next: 0,
            };
            branches.extend(dive.look(part, STEPS));
        }
    }
    Found {
        least: least.map_or(dive.best, |least: f64| least.min(dive.best)) - NOTHING,
        pack: dive.pack,
        prices,
    }
}

impl<'a> Dive<'a> {
    fn new(host: &'a Host) -> Self {
        let scale = host.free.map(|free| 1.0 / f64::from(free.max(1)));
        let part = |amounts: &Amounts| std::array::from_fn(|r| f64::from(amounts[r]) * scale[r]);
        let needs = |v: &Visitor| (part(&v.reserve), part(&v.surge));
        let length = host.rows * MAX_RESOURCES;
        Self {
            host,
            needs: host.visitors.iter().map(needs).collect(),
            room: host.free.map(|free| f64::from(free.min(1))),
            ceilings: vec![f64::INFINITY; length],
            best: 0.0,
            pack: Vec::new(),
            slope: vec![0.0; length],
            priced: vec![0.0; host.visitors.len()],
        }
    }

    /// Bounds a branch and decides what is clear. None if it holds nothing better than the best, or nothing is left to decide.
    fn look(&mut self, mut branch: Branch, steps: u32) -> Option<Branch> {
        let held = self.settle(&mut branch.choices)?;
        let least = self.ascend(&mut branch, steps);
        branch.least = branch.least.max(least);
        self.fill(&branch.choices, held);
        if branch.least >= self.best - NOTHING {
            return None;
        }
        let mut forced = false;
        for (choice, &priced) in branch.choices.iter_mut().zip(&self.priced) {
            if *choice == Choice::Open && least + priced.abs() >= self.best - NOTHING {
                *choice = if priced < 0.0 {
                    Choice::In
                } else {
                    Choice::Out
                };
                forced |= priced < 0.0;
            }
        }
        if forced {
            let held = self.settle(&mut branch.choices)?;
            self.fill(&branch.choices, held);
        }
        let mut open = (0..branch.choices.len()).filter(|&at| branch.choices[at] == Choice::Open);
        branch.next = open.next()?;
        (branch.least < self.best - NOTHING).then_some(branch)
    }

    /// What the node holds of a branch, leaving out what no longer fits beside it. None if it does not hold that much.
    fn settle(&self, choices: &mut [Choice]) -> Option<Held> {
        let mut held = Held {
            cost: self.host.open_cost,
            base: Amounts::default(),
            worst: Amounts::default(),
            surge: vec![Amounts::default(); self.host.rows],
        };
        for at in (0..choices.len()).filter(|&at| choices[at] == Choice::In) {
            if !self.fits(&held, at) {
                return None;
            }
            self.take(&mut held, at);
        }
        for (at, choice) in choices.iter_mut().enumerate() {
            if *choice == Choice::Open && !self.fits(&held, at) {
                *choice = Choice::Out;
            }
        }
        Some(held)
    }

    #[inline]
    fn fits(&self, held: &Held, at: usize) -> bool {
        let visitor = &self.host.visitors[at];
        let own = &held.surge[visitor.row as usize];
        (0..MAX_RESOURCES).all(|r| {
            let worst = held.worst[r].max(own[r] + visitor.surge[r]);
            held.base[r] + visitor.reserve[r] + worst <= self.host.free[r]
        })
    }

    fn take(&self, held: &mut Held, at: usize) {
        let visitor = &self.host.visitors[at];
        let own = &mut held.surge[visitor.row as usize];
        (0..MAX_RESOURCES).for_each(|r| {
            own[r] += visitor.surge[r];
            held.base[r] += visitor.reserve[r];
            held.worst[r] = held.worst[r].max(own[r]);
        });
        held.cost += visitor.cost;
    }

    /// Raises the prices of a branch; returns what no pack in it undercuts, and leaves what each visitor costs there.
    fn ascend(&mut self, branch: &mut Branch, steps: u32) -> f64 {
        let mut at = branch.prices.clone();
        let mut climb = Polyak::new(&at, BRIEF);
        for _ in 0..steps {
            let value = self.value(&at, &branch.choices);
            let slope = (value, &self.slope[..]);
            let more = climb.step(&mut at, slope, self.best, 0.0, &self.ceilings);
            if !more || value >= self.best - NOTHING {
                break;
            }
        }
        branch.prices = climb.best_at;
        self.value(&branch.prices, &branch.choices)
    }

    /// The dual at these prices, with its slope and what each visitor costs.
    fn value(&mut self, prices: &[f64], choices: &[Choice]) -> f64 {
        let mut all = [0.0; MAX_RESOURCES];
        for row in prices.chunks_exact(MAX_RESOURCES) {
            (0..MAX_RESOURCES).for_each(|r| all[r] += row[r]);
        }
        let rent: f64 = (0..MAX_RESOURCES).map(|r| all[r] * self.room[r]).sum();
        let mut value = self.host.open_cost - rent;
        let mut base = self.room.map(|room| -room);
        self.slope.fill(0.0);
        let visitors = self.host.visitors.iter().zip(&self.needs).zip(choices);
        for (at, ((visitor, (reserve, surge)), choice)) in visitors.enumerate() {
            if *choice == Choice::Out {
                continue;
            }
            let row = visitor.row as usize * MAX_RESOURCES;
            let own = &prices[row..row + MAX_RESOURCES];
            let pays = |r: usize| reserve[r] * all[r] + surge[r] * own[r];
            let cost = visitor.cost + (0..MAX_RESOURCES).map(pays).sum::<f64>();
            self.priced[at] = cost;
            if *choice == Choice::In || cost < 0.0 {
                value += cost;
                let slope = &mut self.slope[row..row + MAX_RESOURCES];
                for r in 0..MAX_RESOURCES {
                    base[r] += reserve[r];
                    slope[r] += surge[r];
                }
            }
        }
        for row in self.slope.chunks_exact_mut(MAX_RESOURCES) {
            (0..MAX_RESOURCES).for_each(|r| row[r] += base[r]);
        }
        value
    }

    /// Fills the node up with the cheapest that fit, and keeps the pack if it is the best.
    fn fill(&mut self, choices: &[Choice], mut held: Held) {
        let is = |what: Choice| (0..choices.len()).filter(move |&at| choices[at] == what);
        let mut open: Vec<usize> = is(Choice::Open).collect();
        open.sort_unstable_by(|&a, &b| self.priced[a].total_cmp(&self.priced[b]));
        open.retain(|&at| {
            let fits = self.fits(&held, at);
            if fits {
                self.take(&mut held, at);
            }
            fits
        });
        if held.cost < self.best {
            self.best = held.cost;
            let visit = |at: usize| self.host.visitors[at].visit;
            self.pack = is(Choice::In).chain(open).map(visit).collect();
        }
    }
}
