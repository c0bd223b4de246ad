//! Capacities that standbys on several nodes share, and the books of a search about them.

use std::collections::HashMap;

use super::conditions::Draw;
use super::problem::{NOWHERE, Problem};

/// What one candidate takes of a shared capacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    row: u32,
    reserve: i64,
    surge: i64,
}

/// What each candidate takes; nothing at all where nothing is shared.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draws {
    start: Vec<u32>,
    taken: Vec<Taken>,
}

impl Draws {
    pub(crate) fn of(problem: &Problem) -> Self {
        let shared = &problem.conditions.shared;
        if shared.is_empty() {
            return Self::default();
        }
        let mut by_portion: HashMap<usize, Vec<(u32, &Draw)>> = HashMap::new();
        for (row, shared) in shared.iter().enumerate() {
            for draw in &shared.draws {
                let draws = by_portion.entry(draw.portion).or_default();
                draws.push((row as u32, draw));
            }
        }
        let mut draws = Self::default();
        draws.start.push(0);
        for candidate in 0..problem.candidate_cost.len() {
            let portion = problem.candidate_portion[candidate] as usize;
            let node = problem.candidate_node[candidate] as usize;
            let domain = problem.node_domain[node] as usize;
            let mut last = None;
            for &(row, draw) in by_portion.get(&portion).map_or(&[][..], Vec::as_slice) {
                if last != Some(row) && draw.matches(portion, node, domain) {
                    last = Some(row);
                    draws.taken.push(Taken {
                        row,
                        reserve: draw.reserve,
                        surge: draw.active - draw.reserve,
                    });
                }
            }
            draws.start.push(draws.taken.len() as u32);
        }
        draws
    }

    fn by(&self, candidate: u32) -> &[Taken] {
        if candidate == NOWHERE {
            return &[];
        }
        let at = candidate as usize;
        &self.taken[self.start[at] as usize..self.start[at + 1] as usize]
    }
}

/// What is taken of each shared capacity.
#[derive(Clone)]
pub(crate) struct SharedBooks {
    base: Vec<i64>,
    /// `surge[row * domains + failed]`.
    surge: Vec<i64>,
}

impl SharedBooks {
    /// Nothing taken yet; none where nothing is shared.
    pub(crate) fn empty(problem: &Problem) -> Option<Self> {
        let rows = problem.conditions.shared.len();
        (rows > 0).then(|| Self {
            base: vec![0; rows],
            surge: vec![0; rows * problem.domains],
        })
    }

    pub(crate) fn put(&mut self, problem: &Problem, candidate: usize) {
        self.book(problem, candidate, 1);
    }

    pub(crate) fn take(&mut self, problem: &Problem, candidate: usize) {
        self.book(problem, candidate, -1);
    }

    fn book(&mut self, problem: &Problem, candidate: usize, times: i64) {
        let home = problem.home[problem.candidate_portion[candidate] as usize] as usize;
        for taken in problem.draws.by(candidate as u32) {
            let row = taken.row as usize;
            self.base[row] += times * taken.reserve;
            self.surge[row * problem.domains + home] += times * taken.surge;
        }
    }

    /// The first shared capacity that would not do if a standby moved from one candidate (or `NOWHERE`) to another, and what
    /// it would lack.
    pub(crate) fn lacking(&self, problem: &Problem, from: u32, to: usize) -> Option<(usize, i64)> {
        let home = problem.home[problem.candidate_portion[to] as usize] as usize;
        let given_back = problem.draws.by(from);
        problem.draws.by(to as u32).iter().find_map(|taken| {
            let row = taken.row as usize;
            let own = given_back.iter().find(|own| own.row == taken.row);
            let (reserve, surge) = own.map_or((0, 0), |own| (own.reserve, own.surge));
            let base = self.base[row] + taken.reserve - reserve;
            let domains = problem.domains;
            let surges = self.surge[row * domains..(row + 1) * domains].iter();
            let worst = surges.enumerate().map(|(failed, &held)| {
                let change = if failed == home {
                    taken.surge - surge
                } else {
                    0
                };
                held + change
            });
            let need = base + worst.max().unwrap_or(0);
            let lack = need - problem.conditions.shared[row].free;
            (lack > 0).then_some((row, lack))
        })
    }
}
