//! An assignment under change: always feasible, with constant-time evaluation of a change of cost and of N-1 capacity.

use super::instance::MAX_RESOURCES;
use super::problem::{Amounts, NOWHERE, Problem};
use super::risk::RiskBooks;
use super::shared::SharedBooks;

/// What one node carries.
#[derive(Clone)]
struct Load {
    free: Amounts,
    /// Held all the time.
    base: Amounts,
    /// The largest surge over all failed domains, each resource by itself.
    worst: Amounts,
}

/// An assignment of slots (wanted standbys) to candidates that never breaks a rule.
///
/// Rule 3 of the format holds for (node, resource, failed domain) by itself, so a node remembers the largest surge of each
/// resource; adding a standby then looks at one failed domain only, and removing one looks at all domains only if it made
/// the largest surge.
#[derive(Clone)]
pub(crate) struct State<'p> {
    pub(crate) problem: &'p Problem,
    /// What a candidate costs the search: the instance's cost, and the move cost where a warm start does not stand.
    cost: &'p [i64],
    slot: Vec<u32>,
    loads: Vec<Load>,
    /// `surge[node * domains + failed]`.
    surge: Vec<Amounts>,
    /// Slots on each node, and last those that stand nowhere.
    members: Vec<Vec<u32>>,
    position: Vec<u32>,
    /// Only where the problem has shared capacities, and scenarios.
    shared: Option<SharedBooks>,
    risk: Option<RiskBooks>,
    total: i64,
}

impl<'p> State<'p> {
    /// Nothing placed yet. `cost` has one number for each candidate.
    pub(crate) fn empty(problem: &'p Problem, cost: &'p [i64]) -> Self {
        let zero = Amounts::default();
        let loads = problem.free.iter().map(|&free| Load {
            free,
            base: zero,
            worst: zero,
        });
        let penalty = |&i: &u32| problem.penalty[i as usize];
        let risk = RiskBooks::empty(problem);
        let risk_cost = risk.as_ref().map_or(0, RiskBooks::cost);
        let mut members = vec![Vec::new(); problem.nodes()];
        members.push((0..problem.wanted() as u32).collect());
        Self {
            problem,
            cost,
            slot: vec![NOWHERE; problem.wanted()],
            loads: loads.collect(),
            surge: vec![zero; problem.nodes() * problem.domains],
            members,
            position: (0..problem.wanted() as u32).collect(),
            shared: SharedBooks::empty(problem),
            risk,
            total: problem.slot_portion.iter().map(penalty).sum::<i64>() + risk_cost,
        }
    }

    /// The candidates of these slots placed, in any order legal; what is not is left unplaced.
    pub(crate) fn of(problem: &'p Problem, cost: &'p [i64], slots: &[u32]) -> Self {
        let mut state = Self::empty(problem, cost);
        for (slot, &candidate) in slots.iter().enumerate() {
            if candidate != NOWHERE && state.may_put(slot, candidate as usize) {
                state.put(slot, candidate as usize);
            }
        }
        state
    }

    /// Cost of the whole assignment: standbys, open nodes, penalties and risk.
    #[inline]
    pub(crate) fn total(&self) -> i64 {
        self.total
    }

    /// The same if so much of the demand that goes unserved now in each scenario were served.
    pub(crate) fn total_without(&self, served: &[i64]) -> i64 {
        let change = |risk: &RiskBooks| risk.cost_without(self.problem, served) - risk.cost();
        self.total + self.risk.as_ref().map_or(0, change)
    }

    /// What these slots want in each scenario; nothing where no risk is weighed.
    pub(crate) fn wanted_by(&self, slots: &[usize]) -> Vec<i64> {
        let risk = self.risk.as_ref();
        risk.map_or_else(Vec::new, |risk| risk.wanted_by(self.problem, slots))
    }

    /// The candidate of each slot, or `NOWHERE`.
    #[inline]
    pub(crate) fn slots(&self) -> &[u32] {
        &self.slot
    }

    /// Slots standing on a node.
    #[inline]
    pub(crate) fn members(&self, node: usize) -> &[u32] {
        &self.members[node]
    }

    /// Slots that stand nowhere.
    #[inline]
    pub(crate) fn missing(&self) -> &[u32] {
        &self.members[self.problem.nodes()]
    }

    #[inline]
    pub(crate) fn cost(&self, candidate: usize) -> i64 {
        self.cost[candidate]
    }

    /// The node on which a slot stands.
    #[inline]
    pub(crate) fn node_of(&self, slot: usize) -> Option<usize> {
        let candidate = self.slot[slot];
        (candidate != NOWHERE).then(|| self.problem.candidate_node[candidate as usize] as usize)
    }

    /// What the slot costs as it stands, without the cost of its node being open.
    #[inline]
    pub(crate) fn standing_cost(&self, slot: usize) -> i64 {
        match self.slot[slot] {
            NOWHERE => self.problem.penalty[self.problem.slot_portion[slot] as usize],
            candidate => self.cost[candidate as usize],
        }
    }

    /// What putting a standby on this candidate costs, with opening its node.
    pub(crate) fn cost_of_putting(&self, candidate: usize) -> i64 {
        let node = self.problem.candidate_node[candidate] as usize;
        self.cost[candidate]
            + if self.members[node].is_empty() {
                self.problem.open_cost[node]
            } else {
                0
            }
    }

    /// Change of `total` if the slot moved to the candidate, whether or not that is feasible.
    #[inline]
    pub(crate) fn delta(&self, slot: usize, candidate: usize) -> i64 {
        let to = self.problem.candidate_node[candidate] as usize;
        let portion = self.problem.slot_portion[slot] as usize;
        self.plain_delta(slot, candidate) + self.risk_change(portion, self.node_of(slot), Some(to))
    }

    /// The same without the risk.
    #[inline]
    fn plain_delta(&self, slot: usize, candidate: usize) -> i64 {
        let to = self.problem.candidate_node[candidate] as usize;
        let from = self.node_of(slot);
        let mut delta = self.cost[candidate] - self.standing_cost(slot);
        if from != Some(to) {
            if self.members[to].is_empty() {
                delta += self.problem.open_cost[to];
            }
            if let Some(from) = from
                && self.members[from].len() == 1
            {
                delta -= self.problem.open_cost[from];
            }
        }
        delta
    }

    /// What the change is at least, whatever becomes of the risk.
    #[inline]
    pub(crate) fn delta_at_least(&self, slot: usize, candidate: usize) -> i64 {
        self.plain_delta(slot, candidate) - self.risk.as_ref().map_or(0, RiskBooks::cost)
    }

    /// Change of the cost of risk if a standby went from one node to another.
    #[inline]
    fn risk_change(&self, portion: usize, from: Option<usize>, to: Option<usize>) -> i64 {
        self.risk.as_ref().map_or(0, |risk| {
            let held = |node: usize| self.loads[node].base;
            risk.cost_after(self.problem, portion, from, to, held) - risk.cost()
        })
    }

    /// Whether no other standby of the slot's portion stands in the candidate's domain.
    #[inline]
    pub(crate) fn domain_is_free(&self, slot: usize, candidate: usize) -> bool {
        let portion = self.problem.slot_portion[slot] as usize;
        let domain = self.domain_of(candidate);
        self.problem.slots(portion).all(|other| {
            other == slot
                || self.slot[other] == NOWHERE
                || self.domain_of(self.slot[other] as usize) != domain
        })
    }

    /// Whether the candidate's node survives every single failure with one more standby of its portion, and every shared
    /// capacity does with the slot there.
    #[inline]
    pub(crate) fn fits(&self, slot: usize, candidate: usize) -> bool {
        self.node_takes(candidate) && self.lacking(slot, candidate).is_none()
    }

    /// The shared capacity that the slot would overdraw on the candidate, and by how much.
    #[inline]
    pub(crate) fn lacking(&self, slot: usize, candidate: usize) -> Option<(usize, i64)> {
        let shared = self.shared.as_ref()?;
        shared.lacking(self.problem, self.slot[slot], candidate)
    }

    #[inline]
    fn node_takes(&self, candidate: usize) -> bool {
        let node = self.problem.candidate_node[candidate] as usize;
        let portion = self.problem.candidate_portion[candidate] as usize;
        let load = &self.loads[node];
        let surge = &self.surge[node * self.problem.domains + self.problem.home[portion] as usize];
        let (reserve, extra) = (&self.problem.reserve[portion], &self.problem.surge[portion]);
        let mut fits = true;
        for r in 0..MAX_RESOURCES {
            let worst = load.worst[r].max(surge[r] + extra[r]);
            fits &= load.base[r] + reserve[r] + worst <= load.free[r];
        }
        fits
    }

    /// Whether the candidate's node would survive every single failure with one more standby of its portion, once `leaving` (another
    /// standby there) is gone. Shared capacities are not asked.
    #[inline]
    pub(crate) fn takes_instead(&self, candidate: usize, leaving: usize) -> bool {
        let problem = self.problem;
        let node = problem.candidate_node[candidate] as usize;
        let portion = problem.candidate_portion[candidate] as usize;
        let gone = problem.slot_portion[leaving] as usize;
        let (home, left) = (problem.home[portion] as usize, problem.home[gone] as usize);
        let load = &self.loads[node];
        let row = &self.surge[node * problem.domains..(node + 1) * problem.domains];
        let mut base = load.base;
        subtract(&mut base, &problem.reserve[gone]);
        add(&mut base, &problem.reserve[portion]);
        let holds =
            |worst: &Amounts| (0..MAX_RESOURCES).all(|r| base[r] + worst[r] <= load.free[r]);
        let surge = |failed: usize| {
            let mut surge = row[failed];
            if failed == left {
                subtract(&mut surge, &problem.surge[gone]);
            }
            if failed == home {
                add(&mut surge, &problem.surge[portion]);
            }
            surge
        };
        holds(&surge(home)) && (holds(&load.worst) || (0..row.len()).all(|f| holds(&surge(f))))
    }

    /// How far each resource of the candidate's node falls short for one more standby of its portion (0: it fits).
    pub(crate) fn shortfall(&self, candidate: usize) -> Amounts {
        let node = self.problem.candidate_node[candidate] as usize;
        let portion = self.problem.candidate_portion[candidate] as usize;
        let load = &self.loads[node];
        let surge = &self.surge[node * self.problem.domains + self.problem.home[portion] as usize];
        std::array::from_fn(|r| {
            let worst = load.worst[r].max(surge[r] + self.problem.surge[portion][r]);
            (load.base[r] + self.problem.reserve[portion][r] + worst - load.free[r]).max(0)
        })
    }

    /// Whether the slot may move to the candidate (its own node excepted).
    #[inline]
    pub(crate) fn may_put(&self, slot: usize, candidate: usize) -> bool {
        self.domain_is_free(slot, candidate) && self.fits(slot, candidate)
    }

    /// Places an unplaced slot. The caller has asked `may_put`.
    pub(crate) fn put(&mut self, slot: usize, candidate: usize) {
        debug_assert_eq!(self.slot[slot], NOWHERE);
        self.total += self.delta(slot, candidate);
        let node = self.problem.candidate_node[candidate] as usize;
        let portion = self.problem.slot_portion[slot] as usize;
        self.slot[slot] = candidate as u32;
        self.enlist(slot, self.problem.nodes(), node);
        let load = &mut self.loads[node];
        let surge =
            &mut self.surge[node * self.problem.domains + self.problem.home[portion] as usize];
        add(&mut load.base, &self.problem.reserve[portion]);
        add(surge, &self.problem.surge[portion]);
        raise(&mut load.worst, surge);
        if let Some(shared) = &mut self.shared {
            shared.put(self.problem, candidate);
        }
        if let Some(risk) = &mut self.risk {
            risk.book(self.problem, portion, node, 1, &load.base);
        }
    }

    /// Takes a slot off its node; returns the candidate it had.
    pub(crate) fn take(&mut self, slot: usize) -> u32 {
        let candidate = self.slot[slot];
        let Some(node) = self.node_of(slot) else {
            return NOWHERE;
        };
        let portion = self.problem.slot_portion[slot] as usize;
        self.slot[slot] = NOWHERE;
        self.enlist(slot, node, self.problem.nodes());
        let closing = if self.members[node].is_empty() {
            self.problem.open_cost[node]
        } else {
            0
        };
        self.total += self.problem.penalty[portion] - self.cost[candidate as usize] - closing;
        self.unload(node, portion);
        if let Some(shared) = &mut self.shared {
            shared.take(self.problem, candidate as usize);
        }
        if let Some(risk) = &mut self.risk {
            self.total -= risk.cost();
            risk.book(self.problem, portion, node, -1, &self.loads[node].base);
            self.total += risk.cost();
        }
        candidate
    }

    /// Moves a slot; returns where it was. The caller has asked `may_put`.
    pub(crate) fn shift(&mut self, slot: usize, candidate: usize) -> u32 {
        let before = self.take(slot);
        self.put(slot, candidate);
        before
    }

    /// Takes a slot out of one list of members into another.
    fn enlist(&mut self, slot: usize, from: usize, to: usize) {
        let at = self.position[slot] as usize;
        self.members[from].swap_remove(at);
        if let Some(&moved) = self.members[from].get(at) {
            self.position[moved as usize] = at as u32;
        }
        self.position[slot] = self.members[to].len() as u32;
        self.members[to].push(slot as u32);
    }

    fn unload(&mut self, node: usize, portion: usize) {
        let domains = self.problem.domains;
        let row = &mut self.surge[node * domains..(node + 1) * domains];
        let surge = &mut row[self.problem.home[portion] as usize];
        let load = &mut self.loads[node];
        let gone = &self.problem.surge[portion];
        let was_worst = (0..gone.len()).any(|r| gone[r] > 0 && surge[r] == load.worst[r]);
        subtract(&mut load.base, &self.problem.reserve[portion]);
        subtract(surge, gone);
        if was_worst {
            load.worst = Amounts::default();
            row.iter().for_each(|surge| raise(&mut load.worst, surge));
        }
    }

    #[inline]
    fn domain_of(&self, candidate: usize) -> u32 {
        self.problem.node_domain[self.problem.candidate_node[candidate] as usize]
    }
}

#[inline]
fn add(to: &mut Amounts, what: &Amounts) {
    (0..MAX_RESOURCES).for_each(|r| to[r] += what[r]);
}

#[inline]
fn subtract(from: &mut Amounts, what: &Amounts) {
    (0..MAX_RESOURCES).for_each(|r| from[r] -= what[r]);
}

#[inline]
fn raise(to: &mut Amounts, least: &Amounts) {
    (0..MAX_RESOURCES).for_each(|r| to[r] = to[r].max(least[r]));
}

/// Node indices of each portion's standbys, ascending, out of the candidates of its slots.
pub(crate) fn standbys(problem: &Problem, slots: &[u32]) -> Vec<Vec<usize>> {
    (0..problem.portions())
        .map(|i| {
            let placed = problem.slots(i).filter(|&s| slots[s] != NOWHERE);
            let mut nodes: Vec<usize> = placed
                .map(|s| problem.candidate_node[slots[s] as usize] as usize)
                .collect();
            nodes.sort_unstable();
            nodes
        })
        .collect()
}
