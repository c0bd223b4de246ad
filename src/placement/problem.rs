//! An instance as the search reads it: flat arrays.

use super::conditions::Conditions;
use super::instance::{Instance, MAX_RESOURCES, ProblemError, validate};
use super::risk::Foreseen;
use super::shared::Draws;

/// Amounts of up to four resources, in the instance's units.
pub(crate) type Amounts = [i32; MAX_RESOURCES];

/// No candidate: the slot is unplaced.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// A validated instance in flat arrays. Candidates that can never be used (the primary's own domain, or a node too small
/// for the standby alone) are left out of the arrays, but stay in `instance` for explanations.
#[derive(Clone, Debug)]
pub struct Problem {
    pub(crate) instance: Instance,
    pub(crate) conditions: Conditions,
    pub(crate) domains: usize,
    pub(crate) node_domain: Vec<u32>,
    pub(crate) free: Vec<Amounts>,
    pub(crate) open_cost: Vec<i64>,
    pub(crate) home: Vec<u32>,
    pub(crate) reserve: Vec<Amounts>,
    pub(crate) surge: Vec<Amounts>,
    pub(crate) penalty: Vec<i64>,
    /// Candidates of portion i: `candidate_start[i]..candidate_start[i + 1]`, cheapest first.
    pub(crate) candidate_start: Vec<u32>,
    pub(crate) candidate_node: Vec<u32>,
    pub(crate) candidate_portion: Vec<u32>,
    pub(crate) candidate_cost: Vec<i64>,
    /// Candidates of portion i in the order of their nodes, at the same offsets.
    pub(crate) by_node: Vec<u32>,
    /// Candidates that lie on node j: `visitor_start[j]..visitor_start[j + 1]`.
    pub(crate) visitor_start: Vec<u32>,
    pub(crate) visitors: Vec<u32>,
    /// Slots (wanted standbys) of portion i: `slot_start[i]..slot_start[i + 1]`.
    pub(crate) slot_start: Vec<u32>,
    pub(crate) slot_portion: Vec<u32>,
    /// What each candidate takes of the shared capacities.
    pub(crate) draws: Draws,
    /// What each portion wants in each scenario.
    pub(crate) foreseen: Foreseen,
}

impl Problem {
    /// Parses and validates the JSON of one instance, with the keys of its [`Conditions`] if it has any.
    ///
    /// # Errors
    /// `ProblemError` names the portion or node, the field, and what was expected.
    pub fn from_json(text: &str) -> Result<Self, ProblemError> {
        let instance: Instance = serde_json::from_str(text).map_err(ProblemError::json)?;
        // Large documents without further keys are not read twice.
        let further = ["\"shared\"", "\"scenarios\"", "\"risk\""];
        if !further.iter().any(|key| text.contains(key)) {
            return Self::new(instance);
        }
        let conditions: Conditions = serde_json::from_str(text).map_err(ProblemError::json)?;
        Self::with(instance, conditions)
    }

    /// Validates an instance and lays it out for the search.
    ///
    /// # Errors
    /// `ProblemError` names the portion or node, the field, and what was expected. An instance whose standbys do not fit
    /// is no error: its answer says what is unplaced.
    pub fn new(instance: Instance) -> Result<Self, ProblemError> {
        Self::with(instance, Conditions::default())
    }

    /// The same with capacities that nodes share, and with scenarios.
    ///
    /// # Errors
    /// As `new`, and for conditions that do not fit the instance.
    pub fn with(instance: Instance, conditions: Conditions) -> Result<Self, ProblemError> {
        validate(&instance)?;
        conditions.validate(&instance)?;
        let mut problem = Self::nodes_of(instance);
        problem.conditions = conditions;
        problem.lay_out_portions();
        problem.lay_out_visitors();
        problem.draws = Draws::of(&problem);
        problem.foreseen = Foreseen::of(&problem);
        Ok(problem)
    }

    /// The instance this was made from.
    pub fn instance(&self) -> &Instance {
        &self.instance
    }

    /// The shared capacities and scenarios it was made with.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Number of portions.
    pub fn portions(&self) -> usize {
        self.home.len()
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.node_domain.len()
    }

    /// Number of wanted standbys over all portions.
    pub fn wanted(&self) -> usize {
        self.slot_portion.len()
    }

    #[inline]
    pub(crate) fn candidates(&self, portion: usize) -> std::ops::Range<usize> {
        self.candidate_start[portion] as usize..self.candidate_start[portion + 1] as usize
    }

    #[inline]
    pub(crate) fn slots(&self, portion: usize) -> std::ops::Range<usize> {
        self.slot_start[portion] as usize..self.slot_start[portion + 1] as usize
    }

    #[inline]
    pub(crate) fn visitors(&self, node: usize) -> &[u32] {
        &self.visitors[self.visitor_start[node] as usize..self.visitor_start[node + 1] as usize]
    }

    /// The candidate of `portion` on `node`, if it may stand there.
    #[inline]
    pub(crate) fn candidate_on(&self, portion: usize, node: usize) -> Option<usize> {
        let row = &self.by_node[self.candidates(portion)];
        row.binary_search_by_key(&(node as u32), |&c| self.candidate_node[c as usize])
            .ok()
            .map(|at| row[at] as usize)
    }

    fn nodes_of(instance: Instance) -> Self {
        Self {
            domains: instance.domains.len(),
            node_domain: instance.nodes.iter().map(|n| n.domain as u32).collect(),
            free: instance.nodes.iter().map(|n| amounts(&n.free)).collect(),
            open_cost: instance.nodes.iter().map(|n| n.open_cost).collect(),
            home: instance
                .portions
                .iter()
                .map(|p| p.primary_domain as u32)
                .collect(),
            reserve: instance
                .portions
                .iter()
                .map(|p| amounts(&p.reserve))
                .collect(),
            surge: Vec::with_capacity(instance.portions.len()),
            penalty: instance
                .portions
                .iter()
                .map(|p| p.unplaced_penalty)
                .collect(),
            candidate_start: vec![0],
            candidate_node: Vec::new(),
            candidate_portion: Vec::new(),
            candidate_cost: Vec::new(),
            by_node: Vec::new(),
            visitor_start: Vec::new(),
            visitors: Vec::new(),
            slot_start: vec![0],
            slot_portion: Vec::new(),
            conditions: Conditions::default(),
            draws: Draws::default(),
            foreseen: Foreseen::default(),
            instance,
        }
    }

    fn lay_out_portions(&mut self) {
        for (i, portion) in self.instance.portions.iter().enumerate() {
            let active = amounts(&portion.active);
            let mut row: Vec<(i64, u32)> = portion
                .candidates
                .iter()
                .filter(|&&(node, _)| {
                    self.node_domain[node] != self.home[i] && within(&active, &self.free[node])
                })
                .map(|&(node, cost)| (cost, node as u32))
                .collect();
            row.sort_unstable();
            let first = self.candidate_node.len() as u32;
            for &(cost, node) in &row {
                self.candidate_node.push(node);
                self.candidate_portion.push(i as u32);
                self.candidate_cost.push(cost);
            }
            let mut order: Vec<u32> = (first..first + row.len() as u32).collect();
            order.sort_unstable_by_key(|&c| self.candidate_node[c as usize]);
            self.by_node.extend(order);
            self.candidate_start.push(self.candidate_node.len() as u32);
            self.surge
                .push(std::array::from_fn(|r| active[r] - self.reserve[i][r]));
            self.slot_portion
                .extend(std::iter::repeat_n(i as u32, portion.k as usize));
            self.slot_start.push(self.slot_portion.len() as u32);
        }
    }

    fn lay_out_visitors(&mut self) {
        let mut rows: Vec<Vec<u32>> = vec![Vec::new(); self.nodes()];
        for (c, &node) in self.candidate_node.iter().enumerate() {
            rows[node as usize].push(c as u32);
        }
        self.visitor_start.push(0);
        for row in rows {
            self.visitors.extend(row);
            self.visitor_start.push(self.visitors.len() as u32);
        }
    }
}

/// Whether every amount of `what` is at most that of `of`.
pub(crate) fn within(what: &Amounts, of: &Amounts) -> bool {
    what.iter().zip(of).all(|(a, b)| a <= b)
}

fn amounts(of: &[i64]) -> Amounts {
    std::array::from_fn(|r| of.get(r).map_or(0, |&a| a as i32))
}
