//! The Lagrangian dual of the problem: what is left when its coupling rows become prices.
//!
//! With y_j = 1 for a used node, the standbys wanted (multiplier v_i), the capacities with their right-hand side times y_j
//! (multipliers l_jrf >= 0) and "at most one standby in a domain" (w_id >= 0, only where more than one is wanted) are relaxed.
//! What is left falls apart by node and has integral solutions, so the best multipliers reach the linear bound with x <= y:
//! L = sum k_i v_i - sum w_id + sum_j min(0, open_j - sum l_jrf free_jr + sum_i min(0, cost_ij + load_ij(l) + w_id - v_i)),
//! with v_i <= unplaced_penalty_i. Any multipliers give a valid bound, so an ascent that stops early is only less tight.
//! Shared capacities and the cost of risk are left out, which only lowers the bound.

use rayon::prelude::*;

use super::cheapest::{Host, Visitor};
use super::instance::MAX_RESOURCES;
use super::problem::{Amounts, Problem};

/// No "one standby in a domain" row: the portion wants one only, or has a single candidate in the domain.
pub(super) const NO_ROW: u32 = u32::MAX;
/// With more candidates the nodes are priced on several cores, and between full rounds only the candidates that come near.
const MANY_CANDIDATES: usize = 200_000;
/// Rounds between two full ones, and how near a candidate must come then to be looked at in between, in parts of v.
const FULL_EVERY: u32 = 15;
const NEAR: f64 = 0.12;
/// A node's capacity rows beyond this number share its pace.
const ROWS_AT_FULL_PACE: f64 = 8.0;
/// A first step of a long ascent, in parts of what a standby is worth.
const FIRST_STEP: f64 = 0.1;
/// Nodes priced together by one core.
const BATCH: usize = 64;

type Row = [f64; MAX_RESOURCES];

/// The dual function. Its parameter holds v, then l by (capacity row, resource) in parts of the node's free amount, then w.
pub(super) struct Dual<'p> {
    problem: &'p Problem,
    /// Offsets of l and w, and the length of the parameter.
    capacity_at: usize,
    spread_at: usize,
    length: usize,
    /// Capacity rows of node j, one for each primary domain among its visitors: `row_start[j]..row_start[j + 1]`.
    row_start: Vec<u32>,
    /// For each visitor, in the order of `problem.visitors`, so that a node reads them in one stream: its portion, cost,
    /// capacity row, and number in w.
    portion: Vec<u32>,
    cost: Vec<f64>,
    row: Vec<u32>,
    spread: Vec<u32>,
    /// One over each node's free amounts (at least one), and the part of it that is free (0 or 1).
    scale: Vec<Row>,
    room: Vec<Row>,
    reserve: Vec<Row>,
    surge: Vec<Row>,
}

/// Whether one look at all candidates is long, and the way up far.
pub(super) fn is_large(problem: &Problem) -> bool {
    problem.candidate_cost.len() >= MANY_CANDIDATES
}

/// Visitors that came near in the last full round, by node. A value that rests on them is never too low, so one that is no
/// better than the best full one needs no second look.
pub(super) struct Shortlist {
    near: Vec<Vec<u32>>,
    age: u32,
    best: f64,
}

impl Default for Shortlist {
    fn default() -> Self {
        Self {
            near: Vec::new(),
            age: FULL_EVERY,
            best: f64::NEG_INFINITY,
        }
    }
}

/// Value and supergradient.
pub(super) struct Slope {
    pub(super) value: f64,
    pub(super) slope: Vec<f64>,
    /// Candidates on which the relaxed problem puts a standby there.
    pub(super) used: Vec<u32>,
}

impl<'p> Dual<'p> {
    pub(super) fn new(problem: &'p Problem) -> Self {
        let (row_start, row) = capacity_rows(problem);
        let (spread, spreads) = spread_rows(problem);
        let capacity_at = problem.portions();
        let rows = row_start.last().map_or(0, |&end| end as usize);
        let spread_at = capacity_at + rows * MAX_RESOURCES;
        let inverse = |free: &Amounts| free.map(|f| 1.0 / f64::from(f.max(1)));
        let scale: Vec<Row> = problem.free.iter().map(inverse).collect();
        let room = problem
            .free
            .iter()
            .map(|free| free.map(|f| f64::from(f.min(1))));
        let visitors = problem.visitors.iter();
        let portion = |&c: &u32| problem.candidate_portion[c as usize];
        let cost = |&c: &u32| problem.candidate_cost[c as usize] as f64;
        let floats = |amounts: &[Amounts]| amounts.iter().map(|a| a.map(f64::from)).collect();
        Self {
            problem,
            capacity_at,
            spread_at,
            length: spread_at + spreads,
            row_start,
            portion: visitors.clone().map(portion).collect(),
            cost: visitors.map(cost).collect(),
            row,
            spread,
            room: room.collect(),
            scale,
            reserve: floats(&problem.reserve),
            surge: floats(&problem.surge),
        }
    }

    /// Each portion begins at its cheapest place, everything else at zero.
    pub(super) fn start(&self) -> Vec<f64> {
        let mut start = vec![0.0; self.length];
        for (i, v) in start.iter_mut().enumerate().take(self.capacity_at) {
            let cheapest = self.problem.candidates(i).next();
            let penalty = self.problem.penalty[i];
            let cost = cheapest.map_or(penalty, |c| self.problem.candidate_cost[c].min(penalty));
            *v = cost as f64;
        }
        start
    }

    /// Whether these multipliers belong to a problem of this shape.
    pub(super) fn takes(&self, at: &[f64]) -> bool {
        at.len() == self.length
    }

    /// The largest value of each multiplier; the smallest is zero.
    pub(super) fn ceilings(&self) -> Vec<f64> {
        let mut ceilings = vec![f64::INFINITY; self.length];
        for (ceiling, &penalty) in ceilings.iter_mut().zip(&self.problem.penalty) {
            *ceiling = penalty as f64;
        }
        ceilings
    }

    /// How fast each multiplier moves along a slope. A node's capacity rows mostly rise and fall together: with many of them each moves
    /// the less, or prices of nodes run ahead of what standbys pay.
    pub(super) fn paces(&self) -> Vec<f64> {
        let mut paces = vec![1.0; self.length];
        for rows in self.row_start.windows(2) {
            let (first, last) = (rows[0] as usize, rows[1] as usize);
            let pace = (ROWS_AT_FULL_PACE / (last - first).max(1) as f64).min(1.0);
            let at = self.capacity_at;
            paces[at + first * MAX_RESOURCES..at + last * MAX_RESOURCES].fill(pace);
        }
        paces
    }

    /// A first step of each multiplier: a part of what a standby is worth, less where rows of a node move together.
    pub(super) fn first_steps(&self) -> Vec<f64> {
        let mut penalties = self.problem.penalty.clone();
        penalties.sort_unstable();
        let median = penalties.get(penalties.len() / 2).copied().unwrap_or(1) as f64;
        let mut steps = self.paces();
        steps
            .iter_mut()
            .for_each(|step| *step *= FIRST_STEP * median);
        steps
    }

    /// Value and slope. Where there are many candidates the slope, and a value that is not the best so far, may rest on a
    /// shortlist of them.
    pub(super) fn slope(&self, at: &[f64], shortlist: &mut Shortlist) -> Slope {
        if !is_large(self.problem) {
            return self.add_up(at, self.used_nodes(at));
        }
        if shortlist.age < FULL_EVERY {
            shortlist.age += 1;
            let glance = self.glance(at, &shortlist.near);
            if glance.value <= shortlist.best {
                return glance;
            }
        }
        let (near, used) = self.look_at_all(at);
        let full = self.add_up(at, used);
        let best = shortlist.best.max(full.value);
        let age = 0;
        *shortlist = Shortlist { near, age, best };
        full
    }

    fn glance(&self, at: &[f64], near: &[Vec<u32>]) -> Slope {
        let nodes = (0..near.len()).into_par_iter().with_min_len(BATCH);
        let used = nodes.map(|node| {
            let visits = near[node].iter().map(|&visit| visit as usize);
            self.price_node(node, visits, at)
        });
        let used: Vec<Option<Used>> = used.collect();
        self.add_up(at, used.into_iter().flatten().collect())
    }

    fn add_up(&self, at: &[f64], used: Vec<Used>) -> Slope {
        let mut slope = vec![0.0; self.length];
        let mut value = 0.0;
        for i in 0..self.capacity_at {
            let wanted = self.problem.slots(i).len() as f64;
            slope[i] = wanted;
            value += wanted * at[i];
        }
        for w in self.spread_at..self.length {
            slope[w] = -1.0;
            value -= at[w];
        }
        for used in &used {
            value += used.value;
            self.use_node(used, &mut slope);
        }
        let visits = used.iter().flat_map(|used| &used.taken);
        let used = visits.map(|&visit| self.problem.visitors[visit as usize]);
        Slope {
            value,
            slope,
            used: used.collect(),
        }
    }

    /// What a standby on each candidate pays for room and for its domain at these multipliers.
    pub(super) fn rents(&self, at: &[f64]) -> Vec<f64> {
        let mut rents = vec![0.0; self.problem.candidate_cost.len()];
        for node in 0..self.problem.nodes() {
            let prices = self.prices(node, at);
            for visit in self.visits(node) {
                let paid = self.cost[visit] - at[self.portion[visit] as usize];
                rents[self.problem.visitors[visit] as usize] =
                    self.reduced_cost(visit, at, &prices) - paid;
            }
        }
        rents
    }

    /// The prices of a node's capacities among the multipliers.
    pub(super) fn room_prices<'a>(&self, node: usize, at: &'a [f64]) -> &'a [f64] {
        let row = |row: u32| self.capacity_at + row as usize * MAX_RESOURCES;
        &at[row(self.row_start[node])..row(self.row_start[node + 1])]
    }

    /// A node with those visitors that bring more than they cost, before they pay for room.
    pub(super) fn host(&self, node: usize, at: &[f64]) -> Host {
        let first = self.row_start[node];
        let visitor = |visit: usize| {
            let portion = self.portion[visit] as usize;
            Visitor {
                visit: visit as u32,
                cost: self.plain_cost(visit, at),
                row: self.row[visit] - first,
                reserve: self.problem.reserve[portion],
                surge: self.problem.surge[portion],
            }
        };
        let visitors = self.visits(node).map(visitor);
        Host {
            visitors: visitors.filter(|visitor| visitor.cost < 0.0).collect(),
            free: self.problem.free[node],
            open_cost: self.problem.open_cost[node] as f64,
            rows: (self.row_start[node + 1] - first) as usize,
        }
    }

    /// Value and slope if nodes kept their capacities: of each node what it comes to, and the visits of its pack.
    pub(super) fn with_packs(&self, at: &[f64], packs: &[(f64, Vec<u32>)]) -> (f64, Vec<f64>) {
        let Slope {
            mut value,
            mut slope,
            ..
        } = self.add_up(at, Vec::new());
        for (worth, pack) in packs {
            value += worth;
            pack.iter()
                .for_each(|&visit| self.count(visit as usize, &mut slope));
        }
        (value, slope)
    }

    /// The nodes worth using at these multipliers, always in the same order.
    fn used_nodes(&self, at: &[f64]) -> Vec<Used> {
        (0..self.problem.nodes())
            .filter_map(|node| self.price_node(node, self.visits(node), at))
            .collect()
    }

    /// The same on several cores, with the visitors of each node that come near.
    fn look_at_all(&self, at: &[f64]) -> (Vec<Vec<u32>>, Vec<Used>) {
        let looked: Vec<(Vec<u32>, Option<Used>)> = (0..self.problem.nodes())
            .into_par_iter()
            .with_min_len(BATCH)
            .map(|node| {
                let prices = self.prices(node, at);
                let near = self.visits(node).filter(|&visit| {
                    let pays = at[self.portion[visit] as usize];
                    self.cost[visit] < pays * (1.0 + NEAR)
                        && self.reduced_cost(visit, at, &prices) < NEAR * pays
                });
                let near: Vec<u32> = near.map(|visit| visit as u32).collect();
                let visits = near.iter().map(|&visit| visit as usize);
                let used = self.price_node(node, visits, at);
                (near, used)
            })
            .collect();
        let (near, used): (Vec<_>, Vec<_>) = looked.into_iter().unzip();
        (near, used.into_iter().flatten().collect())
    }

    /// What using the node brings and which of these visitors it takes; none if that is nothing.
    fn price_node(
        &self,
        node: usize,
        visits: impl Iterator<Item = usize>,
        at: &[f64],
    ) -> Option<Used> {
        let prices = self.prices(node, at);
        let mut value = self.problem.open_cost[node] as f64 - prices.rent;
        let mut taken = Vec::new();
        for visit in visits {
            // Prices only add to a cost, so most visitors are ruled out at a glance.
            if self.cost[visit] >= at[self.portion[visit] as usize] {
                continue;
            }
            let cost = self.reduced_cost(visit, at, &prices);
            if cost < 0.0 {
                value += cost;
                taken.push(visit as u32);
            }
        }
        (value < 0.0).then_some(Used { node, value, taken })
    }

    fn visits(&self, node: usize) -> std::ops::Range<usize> {
        let starts = &self.problem.visitor_start;
        starts[node] as usize..starts[node + 1] as usize
    }

    fn prices(&self, node: usize, at: &[f64]) -> Prices {
        let (scale, room) = (&self.scale[node], &self.room[node]);
        let mut held = [0.0; MAX_RESOURCES];
        for row in self.row_start[node]..self.row_start[node + 1] {
            let price = &at[self.capacity_at + row as usize * MAX_RESOURCES..][..MAX_RESOURCES];
            (0..MAX_RESOURCES).for_each(|r| held[r] += price[r]);
        }
        let rent = (0..MAX_RESOURCES).map(|r| held[r] * room[r]).sum();
        (0..MAX_RESOURCES).for_each(|r| held[r] *= scale[r]);
        Prices {
            scale: *scale,
            held,
            rent,
        }
    }

    #[inline]
    fn reduced_cost(&self, visit: usize, at: &[f64], prices: &Prices) -> f64 {
        let portion = self.portion[visit] as usize;
        let mut cost = self.plain_cost(visit, at);
        let row = &at[self.capacity_at + self.row[visit] as usize * MAX_RESOURCES..];
        let (reserve, surge) = (&self.reserve[portion], &self.surge[portion]);
        for r in 0..MAX_RESOURCES {
            cost += reserve[r] * prices.held[r] + surge[r] * row[r] * prices.scale[r];
        }
        cost
    }

    /// What a visitor costs less what its portion brings, before it pays for room.
    #[inline]
    fn plain_cost(&self, visit: usize, at: &[f64]) -> f64 {
        let cost = self.cost[visit] - at[self.portion[visit] as usize];
        match self.spread[visit] {
            NO_ROW => cost,
            row => cost + at[self.spread_at + row as usize],
        }
    }

    /// Counts a standby into the slope of those wanted, and of those in its domain.
    fn count(&self, visit: usize, slope: &mut [f64]) {
        slope[self.portion[visit] as usize] -= 1.0;
        if self.spread[visit] != NO_ROW {
            slope[self.spread_at + self.spread[visit] as usize] += 1.0;
        }
    }

    /// Adds to the slope what a used node does to the relaxed rows.
    fn use_node(&self, used: &Used, slope: &mut [f64]) {
        let scale = &self.scale[used.node];
        let mut all = self.room[used.node].map(|room| -room);
        for &visit in &used.taken {
            let visit = visit as usize;
            let portion = self.portion[visit] as usize;
            self.count(visit, slope);
            let row = self.capacity_at + self.row[visit] as usize * MAX_RESOURCES;
            for r in 0..MAX_RESOURCES {
                all[r] += scale[r] * self.reserve[portion][r];
                slope[row + r] += scale[r] * self.surge[portion][r];
            }
        }
        for row in self.row_start[used.node]..self.row_start[used.node + 1] {
            let row = self.capacity_at + row as usize * MAX_RESOURCES;
            (0..MAX_RESOURCES).for_each(|r| slope[row + r] += all[r]);
        }
    }
}

/// What a node charges.
struct Prices {
    scale: Row,
    /// For a unit held all the time.
    held: Row,
    /// What its whole capacity is worth.
    rent: f64,
}

/// A node worth using: its part of the value, and its visitors of negative cost.
struct Used {
    node: usize,
    value: f64,
    taken: Vec<u32>,
}

/// Rows of each node, and the row of each visitor. A failed domain that is home to no visitor has a row that another implies;
/// the node's own domain takes it along when it fails, and no visitor is at home there.
fn capacity_rows(problem: &Problem) -> (Vec<u32>, Vec<u32>) {
    let mut row_start = vec![0];
    let mut row = Vec::with_capacity(problem.visitors.len());
    let mut number = vec![NO_ROW; problem.domains];
    let mut rows = 0;
    for node in 0..problem.nodes() {
        number.fill(NO_ROW);
        for &candidate in problem.visitors(node) {
            let home = problem.home[problem.candidate_portion[candidate as usize] as usize];
            let number = &mut number[home as usize];
            if *number == NO_ROW {
                *number = rows;
                rows += 1;
            }
            row.push(*number);
        }
        row_start.push(rows);
    }
    (row_start, row)
}

/// The number in w of each visitor, and how many there are.
pub(super) fn spread_rows(problem: &Problem) -> (Vec<u32>, usize) {
    let mut of_candidate = vec![NO_ROW; problem.candidate_cost.len()];
    let mut rows = 0;
    let mut seen = vec![(0_u32, NO_ROW); problem.domains];
    for portion in (0..problem.portions()).filter(|&i| problem.slots(i).len() > 1) {
        seen.fill((0, NO_ROW));
        let domain = |c: usize| problem.node_domain[problem.candidate_node[c] as usize] as usize;
        problem
            .candidates(portion)
            .for_each(|c| seen[domain(c)].0 += 1);
        for candidate in problem.candidates(portion) {
            let (count, number) = &mut seen[domain(candidate)];
            if *count > 1 && *number == NO_ROW {
                *number = rows;
                rows += 1;
            }
            of_candidate[candidate] = *number;
        }
    }
    let of_visitor = problem.visitors.iter().map(|&c| of_candidate[c as usize]);
    (of_visitor.collect(), rows as usize)
}
