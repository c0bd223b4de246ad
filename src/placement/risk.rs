//! Demand that would go unserved in each scenario, and what its expectation and its conditional value at risk cost.
//!
//! In a scenario the portions whose primary's domain failed want their demand from their standbys, in equal parts. A standby
//! that is missing, or whose own domain failed too, serves nothing. A node whose capacity falls short serves all of them in
//! proportion. CVaR is that of Rockafellar and Uryasev, "Optimization of conditional value-at-risk" (2000): the expectation
//! over the worst scenarios that make up the part of the probability beyond the level, the last one counted in part.

use super::conditions::{Risk, WHOLE_BP};
use super::instance::{MAX_RESOURCES, MAX_SCENARIOS};
use super::problem::{Amounts, Problem};

/// More than any sum of other costs; keeps sums of risks far below 64 bits.
const MAX_RISK: i128 = 1 << 58;

type Want = [i64; MAX_RESOURCES];

/// The scenarios laid out for the search; nothing where there are none or risk costs nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreseen {
    weights: Vec<i64>,
    /// Their sum.
    whole: i128,
    risk: Risk,
    domains: usize,
    /// `failed[scenario * domains + domain]`.
    failed: Vec<bool>,
    /// `want[scenario * portions + portion]`: what each standby carries if the primary's domain failed.
    want: Vec<Want>,
}

/// How much demand goes unserved, in units of the first resource.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Unserved {
    /// Over all scenarios.
    pub expected: f64,
    /// Over the worst scenarios beyond the level.
    pub cvar: f64,
    /// The part of the objective that they make.
    pub cost: i64,
}

impl Foreseen {
    pub(crate) fn of(problem: &Problem) -> Self {
        let conditions = &problem.conditions;
        let risk = conditions.risk;
        if risk.cvar_milli == 0 && risk.expected_milli == 0 {
            return Self::default();
        }
        let domains = problem.domains;
        let mut foreseen = Self {
            risk,
            domains,
            ..Self::default()
        };
        for scenario in &conditions.scenarios {
            foreseen.weights.push(scenario.weight);
            foreseen.whole += i128::from(scenario.weight);
            let failed = (0..domains).map(|domain| scenario.failed.contains(&domain));
            foreseen.failed.extend(failed);
            for (i, portion) in problem.instance.portions.iter().enumerate() {
                let pct = scenario.demand_pct.get(i).copied().unwrap_or(100);
                foreseen.want.push(std::array::from_fn(|r| {
                    let active = portion.active.get(r).copied().unwrap_or(0);
                    let reserve = portion.reserve.get(r).copied().unwrap_or(0);
                    ((active * pct + 99) / 100).max(reserve)
                }));
            }
        }
        foreseen
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    fn scenarios(&self) -> usize {
        self.weights.len()
    }

    fn has_failed(&self, scenario: usize, domain: u32) -> bool {
        self.failed[scenario * self.domains + domain as usize]
    }

    /// Sums over scenarios, in units and in (units, sum of weights in basis points) for the worst.
    fn sums(&self, unserved: &[i64]) -> (i128, i128, i128) {
        let mut worst: [(i64, i64); MAX_SCENARIOS] = [(0, 0); MAX_SCENARIOS];
        let mut bad = 0;
        // Where all is served nothing is added, and such scenarios come last.
        for (&unserved, &weight) in unserved.iter().zip(&self.weights) {
            if unserved > 0 {
                worst[bad] = (unserved, weight);
                bad += 1;
            }
        }
        let worst = &mut worst[..bad];
        worst.sort_unstable_by(|a, b| b.cmp(a));
        let tail = self.whole * i128::from(WHOLE_BP - self.risk.level_bp);
        let (mut left, mut beyond, mut all) = (tail, 0, 0);
        for &(unserved, weight) in worst.iter() {
            let part = (i128::from(weight) * i128::from(WHOLE_BP)).min(left);
            left -= part;
            beyond += part * i128::from(unserved);
            all += i128::from(weight) * i128::from(unserved);
        }
        (all, beyond, tail)
    }

    /// What so much unserved demand in each scenario costs, rounded up.
    fn cost(&self, unserved: &[i64]) -> i64 {
        let (all, beyond, tail) = self.sums(unserved);
        let whole = self.whole;
        if whole == 0 || all == 0 {
            return 0;
        }
        let up = |part: i128, of: i128| (part + of - 1) / of;
        let expected = up(all * i128::from(self.risk.expected_milli), whole * 1000);
        let cvar = up(beyond * i128::from(self.risk.cvar_milli), tail * 1000);
        (expected + cvar).min(MAX_RISK) as i64
    }

    /// The same as figures to show.
    pub(crate) fn report(&self, unserved: &[i64]) -> Unserved {
        let (all, beyond, tail) = self.sums(unserved);
        Unserved {
            expected: all as f64 / self.whole.max(1) as f64,
            cvar: beyond as f64 / tail.max(1) as f64,
            cost: self.cost(unserved),
        }
    }
}

/// What a node carries in one scenario.
#[derive(Clone, Copy, Default)]
struct Carried {
    /// Wanted from the standbys whose primaries failed.
    want: Want,
    /// The part of it that is not held all the time.
    extra: Want,
    unserved: i64,
}

/// A search's books about risk.
#[derive(Clone)]
pub(crate) struct RiskBooks {
    /// `carried[node * scenarios + scenario]`.
    carried: Vec<Carried>,
    unserved: Vec<i64>,
    cost: i64,
}

impl RiskBooks {
    /// Every standby missing; none where risk costs nothing.
    pub(crate) fn empty(problem: &Problem) -> Option<Self> {
        let foreseen = &problem.foreseen;
        let scenarios = foreseen.scenarios();
        if scenarios == 0 {
            return None;
        }
        let unserved: Vec<i64> = (0..scenarios)
            .map(|s| {
                let hit = (0..problem.portions())
                    .filter(|&i| foreseen.has_failed(s, problem.home[i]))
                    .map(|i| problem.slots(i).len() as i64 * wanted(problem, s, i)[0]);
                hit.sum()
            })
            .collect();
        Some(Self {
            carried: vec![Carried::default(); scenarios * problem.nodes()],
            cost: foreseen.cost(&unserved),
            unserved,
        })
    }

    pub(crate) fn cost(&self) -> i64 {
        self.cost
    }

    /// The cost if so much more were served in each scenario.
    pub(crate) fn cost_without(&self, problem: &Problem, served: &[i64]) -> i64 {
        let mut unserved: [i64; MAX_SCENARIOS] = [0; MAX_SCENARIOS];
        let unserved = &mut unserved[..self.unserved.len()];
        for (s, unserved) in unserved.iter_mut().enumerate() {
            *unserved = (self.unserved[s] - served[s]).max(0);
        }
        problem.foreseen.cost(unserved)
    }

    /// What these slots want in each scenario.
    pub(crate) fn wanted_by(&self, problem: &Problem, slots: &[usize]) -> Vec<i64> {
        let portion = |slot: &usize| problem.slot_portion[*slot] as usize;
        let in_scenario = |s: usize| {
            let hit = slots.iter().map(portion);
            let hit = hit.filter(|&i| problem.foreseen.has_failed(s, problem.home[i]));
            hit.map(|i| wanted(problem, s, i)[0]).sum()
        };
        (0..self.unserved.len()).map(in_scenario).collect()
    }

    /// The cost if a standby of the portion went from one node to another (none: nowhere); `held` is what a node holds all
    /// the time now.
    pub(crate) fn cost_after(
        &self,
        problem: &Problem,
        portion: usize,
        from: Option<usize>,
        to: Option<usize>,
        held: impl Fn(usize) -> Amounts,
    ) -> i64 {
        if from == to {
            return self.cost;
        }
        let mut unserved: [i64; MAX_SCENARIOS] = [0; MAX_SCENARIOS];
        let unserved = &mut unserved[..self.unserved.len()];
        unserved.copy_from_slice(&self.unserved);
        for (node, sign) in [(from, -1), (to, 1)] {
            let Some(node) = node else { continue };
            let held = with(&held(node), &problem.reserve[portion], sign);
            let scenarios = self.unserved.len();
            for (s, unserved) in unserved.iter_mut().enumerate() {
                let before = &self.carried[node * scenarios + s];
                *unserved += change(problem, s, node, portion, sign, before, &held);
            }
        }
        problem.foreseen.cost(unserved)
    }

    /// Books a standby onto a node that holds `held` with it (`sign` 1), or off it (-1).
    pub(crate) fn book(
        &mut self,
        problem: &Problem,
        portion: usize,
        node: usize,
        sign: i64,
        held: &Amounts,
    ) {
        let scenarios = self.unserved.len();
        for s in 0..scenarios {
            let before = self.carried[node * scenarios + s];
            let (after, served) = moved(problem, s, node, portion, sign, before, held);
            self.unserved[s] += after.unserved - before.unserved - served;
            self.carried[node * scenarios + s] = after;
        }
        self.cost = problem.foreseen.cost(&self.unserved);
    }
}

/// How much more goes unserved in the scenario once the standby has come to the node or gone from it.
fn change(
    problem: &Problem,
    s: usize,
    node: usize,
    portion: usize,
    sign: i64,
    before: &Carried,
    held: &Amounts,
) -> i64 {
    if problem.foreseen.has_failed(s, problem.home[portion]) {
        let (after, served) = moved(problem, s, node, portion, sign, *before, held);
        return after.unserved - before.unserved - served;
    }
    // What nobody wants there cannot go unserved.
    if before.want[0] == 0 || problem.foreseen.has_failed(s, problem.node_domain[node]) {
        return 0;
    }
    short(before, held, &problem.free[node]) - before.unserved
}

/// What the node carries in the scenario once the standby has come or gone, and how much demand found or lost its standby.
fn moved(
    problem: &Problem,
    s: usize,
    node: usize,
    portion: usize,
    sign: i64,
    before: Carried,
    held: &Amounts,
) -> (Carried, i64) {
    let foreseen = &problem.foreseen;
    if foreseen.has_failed(s, problem.node_domain[node]) {
        return (before, 0);
    }
    let mut after = before;
    let mut served = 0;
    if foreseen.has_failed(s, problem.home[portion]) {
        let want = wanted(problem, s, portion);
        let both = want.iter().zip(&problem.reserve[portion]);
        for (r, (want, reserve)) in both.enumerate() {
            after.want[r] += sign * want;
            after.extra[r] += sign * (want - i64::from(*reserve));
        }
        served = sign * want[0];
    }
    after.unserved = short(&after, held, &problem.free[node]);
    (after, served)
}

/// Demand that the node cannot serve: the largest part that any resource lacks of what is wanted.
fn short(carried: &Carried, held: &Amounts, free: &Amounts) -> i64 {
    let parts = (0..MAX_RESOURCES).map(|r| {
        let lack = i64::from(held[r]) + carried.extra[r] - i64::from(free[r]);
        let want = carried.want[r];
        if lack <= 0 || want == 0 {
            return 0;
        }
        if r == 0 {
            return lack.min(want);
        }
        let part = i128::from(lack.min(want)) * i128::from(carried.want[0]);
        ((part + i128::from(want) - 1) / i128::from(want)) as i64
    });
    parts.max().unwrap_or(0)
}

fn wanted(problem: &Problem, scenario: usize, portion: usize) -> &Want {
    &problem.foreseen.want[scenario * problem.portions() + portion]
}

fn with(held: &Amounts, reserve: &Amounts, sign: i64) -> Amounts {
    std::array::from_fn(|r| held[r] + sign as i32 * reserve[r])
}
