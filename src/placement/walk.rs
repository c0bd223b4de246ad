//! One random walk over assignments: its moves, each accepted by Metropolis' rule or undone, and the best seen.

mod repack;

use rand::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::guide::Guide;
use super::problem::{NOWHERE, Problem};
use super::squeeze;
use super::state::State;

/// Of a thousand moves, so many try to empty a node, to swap one node for another, to open a node, and to drop a standby.
const EMPTY: u32 = 8;
const REPLACE: u32 = 4;
const OPEN: u32 = 4;
const DROP: u32 = 4;
/// Of a thousand moves in a crowded estate, so many pack a node anew.
const REPACK: u32 = 10;
/// An estate is crowded when more than one standby in so many is missing.
const CROWDED: usize = 50;
/// Places tried for a standby that was pushed out.
const EJECTION_TRIES: usize = 12;
/// While standbys are missing, one move in so many begins with one of them.
const MISSING_FIRST: u32 = 8;
/// Beyond this many temperatures a worsening is never accepted (exp(-16) is one in nine million).
const HOPELESS: f64 = 16.0;

/// A walk with its own dice.
pub(crate) struct Walk<'p> {
    state: State<'p>,
    guide: &'p Guide,
    rng: Xoshiro256PlusPlus,
    best: Vec<u32>,
    best_total: i64,
    /// The best total is that of the state now, and `best` is not written yet.
    best_is_here: bool,
    /// `(slot, candidate before)` of the move under way.
    journal: Vec<(u32, u32)>,
    crowd: Vec<u32>,
    wishes: Vec<repack::Wish>,
}

impl<'p> Walk<'p> {
    /// A walk that begins at `state`; the guide says which places to try more often.
    pub(crate) fn new(state: State<'p>, guide: &'p Guide, rng: Xoshiro256PlusPlus) -> Self {
        let (best, best_total) = (state.slots().to_vec(), state.total());
        let (journal, crowd) = (Vec::new(), Vec::new());
        Self {
            state,
            guide,
            rng,
            best,
            best_total,
            best_is_here: false,
            journal,
            crowd,
            wishes: Vec::new(),
        }
    }

    /// The best total seen.
    pub(crate) fn best_total(&self) -> i64 {
        self.best_total
    }

    /// The candidate of each slot in the best assignment seen.
    pub(crate) fn best(&mut self) -> &[u32] {
        self.keep_best();
        &self.best
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> &State<'p> {
        &self.state
    }

    /// Walks back to the best assignment seen.
    pub(crate) fn return_to_best(&mut self) {
        self.keep_best();
        for slot in 0..self.best.len() {
            self.state.take(slot);
        }
        for slot in 0..self.best.len() {
            if self.best[slot] != NOWHERE {
                self.state.put(slot, self.best[slot] as usize);
            }
        }
    }

    /// The median difference of two places of a standby, with opening their nodes: what is at stake in one move, whatever
    /// stands now.
    pub(crate) fn typical_change(&mut self) -> f64 {
        let mut changes: Vec<i64> = (0..1024)
            .filter_map(|_| {
                let slot = self.any_slot()?;
                let (one, other) = (self.any_candidate(slot)?, self.any_candidate(slot)?);
                let opening = |c: usize| {
                    let node = self.problem().candidate_node[c] as usize;
                    self.state.cost(c) + self.problem().open_cost[node]
                };
                Some((opening(one) - opening(other)).abs()).filter(|&change| change > 0)
            })
            .collect();
        changes.sort_unstable();
        let median = changes.get(changes.len() / 2);
        median.map_or(1.0, |&median| median as f64)
    }

    /// Makes room for what is missing in the best assignment, where that gains, until `stop`.
    pub(crate) fn squeeze_best(&mut self, stop: &dyn Fn() -> bool) {
        self.return_to_best();
        if squeeze::squeeze_all(&mut self.state, stop) > 0 {
            self.note_best();
        }
    }

    /// Tries one move at a temperature.
    pub(crate) fn step(&mut self, temperature: f64) {
        match self.rng.random_range(0..1000_u32) {
            roll if roll < EMPTY => self.empty_node(temperature, false),
            roll if roll < EMPTY + REPLACE => self.empty_node(temperature, true),
            roll if roll < EMPTY + REPLACE + OPEN => self.open_node(temperature),
            roll if roll < EMPTY + REPLACE + OPEN + DROP => self.drop_standby(temperature),
            roll if roll < EMPTY + REPLACE + OPEN + DROP + REPACK && self.is_crowded() => {
                self.repack(temperature);
            }
            _ => self.relocate(temperature),
        }
    }

    fn problem(&self) -> &'p Problem {
        self.state.problem
    }

    fn is_crowded(&self) -> bool {
        self.state.missing().len() * CROWDED > self.state.slots().len()
    }

    /// Any slot; one that stands nowhere more often.
    fn any_slot(&mut self) -> Option<usize> {
        let slots = self.state.slots().len();
        let missing = self.state.missing();
        if !missing.is_empty() && self.rng.random_range(0..MISSING_FIRST) == 0 {
            return Some(missing[self.rng.random_range(0..missing.len() as u32) as usize] as usize);
        }
        (slots > 0).then(|| self.rng.random_range(0..slots as u32) as usize)
    }

    /// A candidate of the slot's portion, promising ones more often.
    fn any_candidate(&mut self, slot: usize) -> Option<usize> {
        let row = self
            .problem()
            .candidates(self.problem().slot_portion[slot] as usize);
        let at: f64 = self.rng.random();
        let at = row.start + (at * at * at * row.len() as f64) as usize;
        (!row.is_empty()).then(|| self.guide.order[at] as usize)
    }

    /// The largest worsening accepted this time.
    fn patience(&mut self, temperature: f64) -> i64 {
        let luck: f64 = self.rng.random();
        (-luck.max(1e-9).ln() * temperature) as i64
    }

    /// Moves one standby, or places an unplaced one; pushes another out of the way if it must.
    fn relocate(&mut self, temperature: f64) {
        let Some(slot) = self.any_slot() else { return };
        let Some(candidate) = self.any_candidate(slot) else {
            return;
        };
        if self.state.slots()[slot] == candidate as u32 {
            return;
        }
        // Most moves are hopeless whatever the risk, which costs most to weigh.
        if self.state.delta_at_least(slot, candidate) as f64 > HOPELESS * temperature {
            return;
        }
        let delta = self.state.delta(slot, candidate);
        if delta as f64 > HOPELESS * temperature {
            return;
        }
        let patience = if delta > 0 {
            self.patience(temperature)
        } else {
            0
        };
        if delta > patience || !self.state.domain_is_free(slot, candidate) {
            return;
        }
        if self.state.fits(slot, candidate) {
            self.leave_best(delta);
            self.state.shift(slot, candidate);
            self.note_best();
        } else {
            let patience = if delta > 0 {
                patience
            } else {
                self.patience(temperature)
            };
            self.eject(slot, candidate, delta, patience);
        }
    }

    /// Puts the slot on a full node in the place of one of its standbys, which goes to the slot's old node (a swap), to
    /// another place that takes it, or without.
    fn eject(&mut self, slot: usize, candidate: usize, delta: i64, patience: i64) {
        let Some((other, refuge)) = self.who_gives_way(slot, candidate, patience - delta) else {
            return;
        };
        let before = self.state.total();
        self.take(other);
        if self.state.fits(slot, candidate) {
            self.shift(slot, candidate);
            if let Some(refuge) = refuge.filter(|&refuge| self.state.may_put(other, refuge)) {
                self.put(other, refuge);
            }
        }
        self.settle(before, patience);
    }

    /// A standby on the candidate's node that would make room for the slot, and a candidate that takes it (none: it goes without) for at
    /// most `spare` more than where it stands. Nothing is moved to find out.
    fn who_gives_way(
        &mut self,
        slot: usize,
        candidate: usize,
        spare: i64,
    ) -> Option<(usize, Option<usize>)> {
        let node = self.problem().candidate_node[candidate] as usize;
        let count = self.state.members(node).len();
        let first = self.rng.random_range(0..count.max(1) as u32) as usize;
        (0..count).find_map(|turn| {
            let other = self.state.members(node)[(first + turn) % count] as usize;
            let refuge = self.refuge(other, slot, candidate, spare)?;
            Some((other, refuge))
        })
    }

    /// Where a standby could go that makes room for the slot on the candidate; `Some(None)` if it had best go without.
    fn refuge(
        &self,
        other: usize,
        slot: usize,
        candidate: usize,
        spare: i64,
    ) -> Option<Option<usize>> {
        let (state, problem) = (&self.state, self.problem());
        let portion = problem.slot_portion[other] as usize;
        let row = problem.candidates(portion);
        let most = spare + state.standing_cost(other);
        let without = problem.penalty[portion] <= most;
        if (state.cost(row.start) > most && !without) || !state.takes_instead(candidate, other) {
            return None;
        }
        let left = state.node_of(slot);
        let swap = left.and_then(|node| problem.candidate_on(portion, node));
        let swap = swap.filter(|&place| {
            state.cost(place) <= most
                && state.domain_is_free(other, place)
                && state.takes_instead(place, slot)
        });
        let full = problem.candidate_node[candidate];
        let elsewhere = |place: usize| {
            let node = problem.candidate_node[place];
            node != full && Some(node as usize) != left
        };
        let tries = &self.guide.order[row.start..row.end.min(row.start + EJECTION_TRIES)];
        let mut tries = tries.iter().map(|&place| place as usize);
        let refuge = swap.or_else(|| {
            tries.find(|&place| {
                state.cost_of_putting(place) <= most
                    && elsewhere(place)
                    && state.may_put(other, place)
            })
        });
        (refuge.is_some() || without).then_some(refuge)
    }

    fn drop_standby(&mut self, temperature: f64) {
        let Some(slot) = self.any_slot() else { return };
        let patience = self.patience(temperature);
        let before = self.state.total();
        self.take(slot);
        self.settle(before, patience);
    }

    /// Moves everything off a node to the cheapest places on other open nodes, and if asked on one closed node too; what
    /// finds none goes without, if the whole is still worth it.
    fn empty_node(&mut self, temperature: f64, open_another: bool) {
        let Some(slot) = self.any_slot() else { return };
        let Some(node) = self.state.node_of(slot) else {
            return;
        };
        let another = if open_another {
            self.any_closed_neighbour(slot)
        } else {
            None
        };
        if open_another && another.is_none() {
            return;
        }
        let patience = self.patience(temperature);
        let before = self.state.total();
        let most = before + patience + self.problem().open_cost[node];
        let mut crowd = std::mem::take(&mut self.crowd);
        crowd.clear();
        crowd.extend_from_slice(self.state.members(node));
        for &slot in &crowd {
            let slot = slot as usize;
            self.take(slot);
            if let Some(place) = self.cheapest_refuge(slot, node, another) {
                self.put(slot, place);
            }
            if self.state.total() > most {
                break;
            }
        }
        self.crowd = crowd;
        self.settle(before, patience);
    }

    /// The cheapest place for an unplaced slot on an open node (or on `another`) that is not the one left; none if going
    /// without costs less.
    fn cheapest_refuge(&self, slot: usize, left: usize, another: Option<usize>) -> Option<usize> {
        let problem = self.problem();
        let mut row = problem.candidates(problem.slot_portion[slot] as usize);
        let place = row.find(|&place| {
            let there = problem.candidate_node[place] as usize;
            there != left
                && (Some(there) == another || !self.state.members(there).is_empty())
                && self.state.may_put(slot, place)
        });
        place.filter(|&place| self.state.cost(place) <= self.state.standing_cost(slot))
    }

    /// A closed node on which the slot might stand.
    fn any_closed_neighbour(&mut self, slot: usize) -> Option<usize> {
        let candidate = self.any_candidate(slot)?;
        let node = self.problem().candidate_node[candidate] as usize;
        self.state.members(node).is_empty().then_some(node)
    }

    /// Opens a closed node for all who would be cheaper there.
    fn open_node(&mut self, temperature: f64) {
        let Some(slot) = self.any_slot() else { return };
        let Some(node) = self.any_closed_neighbour(slot) else {
            return;
        };
        let patience = self.patience(temperature);
        let before = self.state.total();
        for &candidate in self.problem().visitors(node) {
            let candidate = candidate as usize;
            let portion = self.problem().candidate_portion[candidate] as usize;
            let dearest = self
                .problem()
                .slots(portion)
                .max_by_key(|&slot| self.state.standing_cost(slot));
            let Some(slot) = dearest else { continue };
            if self.state.cost(candidate) < self.state.standing_cost(slot)
                && self.state.may_put(slot, candidate)
            {
                self.shift(slot, candidate);
            }
        }
        self.settle(before, patience);
    }

    fn take(&mut self, slot: usize) {
        let before = self.state.slots()[slot];
        self.journal_first(slot, before);
        self.state.take(slot);
    }

    fn put(&mut self, slot: usize, candidate: usize) {
        self.state.put(slot, candidate);
    }

    fn shift(&mut self, slot: usize, candidate: usize) {
        self.take(slot);
        self.put(slot, candidate);
    }

    /// Before the first change of a compound move the state may be the best, not written yet.
    fn journal_first(&mut self, slot: usize, before: u32) {
        self.keep_best();
        self.journal.push((slot as u32, before));
    }

    /// Keeps a compound move within the patience, undoes any other.
    fn settle(&mut self, before: i64, patience: i64) {
        if self.state.total() - before <= patience {
            self.journal.clear();
            self.note_best();
            return;
        }
        for at in (0..self.journal.len()).rev() {
            self.state.take(self.journal[at].0 as usize);
        }
        while let Some((slot, candidate)) = self.journal.pop() {
            if candidate != NOWHERE && self.state.slots()[slot as usize] == NOWHERE {
                self.state.put(slot as usize, candidate as usize);
            }
        }
    }

    fn leave_best(&mut self, delta: i64) {
        if delta > 0 {
            self.keep_best();
        }
    }

    fn note_best(&mut self) {
        if self.state.total() < self.best_total {
            self.best_total = self.state.total();
            self.best_is_here = true;
        }
    }

    fn keep_best(&mut self) {
        if self.best_is_here {
            self.best.copy_from_slice(self.state.slots());
            self.best_is_here = false;
        }
    }
}
