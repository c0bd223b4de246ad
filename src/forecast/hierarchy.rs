//! Forecasts that fit together: portions add up to the workload's total, and portions that call each other rise together.
//!
//! Reconciliation by minimum trace with the variances alone (Wickramasuriya, Athanasopoulos & Hyndman, "Optimal forecast
//! reconciliation for hierarchical and grouped time series through trace minimization", 2019; WLS). Every base forecast is a
//! noisy reading of what will be, and so are the ratios between a portion and the one that calls it: `min Σ (xᵢ−mᵢ)²/vᵢ +
//! (Σx−t)²/v + Σ (xⱼ−r·xᵢ)²/s²`. Each portion hears its best caller alone, so that the system is a forest plus one rank, and
//! is solved in time linear in the number of portions.

use super::series::Samples;
use crate::model::{DemandPath, PortionId, Rps};
use std::collections::BTreeMap;

/// Readings that two portions must have in common before one is heard about the other.
const FEWEST: usize = 60;
/// The newest readings that ratios are learnt from.
const NEWEST: usize = 2000;
/// A caller must explain at least this part of the variance.
const EXPLAINS: f64 = 0.6;
/// Half of the width between the 10 and 90 % quantiles of a normal distribution, in standard deviations.
const HALF_80: f64 = 1.2816;

/// How a portion's demand follows from that of the one that calls it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tie {
    /// Requests for each request of the caller.
    pub ratio: f64,
    /// Variance of what remains.
    pub variance: f64,
    /// Part of the variance that it explains.
    pub explained: f64,
}

/// The values that two series of one step have at the same times, the newest ones.
fn together(a: &Samples, b: &Samples) -> Vec<(f64, f64)> {
    let step = a.step.0.max(1);
    let shift = (a.start.0 - b.start.0 + step / 2).div_euclid(step);
    let pairs = a.values.iter().enumerate().filter_map(|(i, x)| {
        let j = usize::try_from(i as i64 + shift).ok()?;
        let y = b.values.get(j)?;
        (x.is_finite() && y.is_finite()).then_some((*x, *y))
    });
    let all: Vec<(f64, f64)> = pairs.collect();
    all[all.len().saturating_sub(NEWEST)..].to_vec()
}

/// The ratio through the origin by least squares; `None` where the caller explains too little.
pub fn tie(caller: &Samples, called: &Samples) -> Option<Tie> {
    if caller.step != called.step {
        return None;
    }
    let pairs = together(caller, called);
    if pairs.len() < FEWEST {
        return None;
    }
    let n = pairs.len() as f64;
    let (xx, xy) = pairs
        .iter()
        .fold((0.0, 0.0), |(xx, xy), (x, y)| (xx + x * x, xy + x * y));
    let mean = pairs.iter().map(|p| p.1).sum::<f64>() / n;
    let ratio = xy / xx;
    let left = pairs
        .iter()
        .map(|(x, y)| (y - ratio * x).powi(2))
        .sum::<f64>()
        / n;
    let all = pairs.iter().map(|(_, y)| (y - mean).powi(2)).sum::<f64>() / n;
    let explained = 1.0 - left / all;
    (ratio.is_finite() && ratio > 0.0 && explained >= EXPLAINS).then_some(Tie {
        ratio,
        variance: left.max(1e-9 * all),
        explained,
    })
}

/// The sum of all series at the times that they have in common; `None` with fewer than two of them.
pub fn total(all: &[&Samples]) -> Option<Samples> {
    let (first, rest) = all.split_first()?;
    if rest.is_empty() || rest.iter().any(|s| s.step != first.step) {
        return None;
    }
    let step = first.step.0.max(1);
    let mut sum = (*first).clone();
    for s in rest {
        let shift = (sum.start.0 - s.start.0 + step / 2).div_euclid(step);
        for (i, v) in sum.values.iter_mut().enumerate() {
            let j = usize::try_from(i as i64 + shift).ok();
            *v += j.and_then(|j| s.values.get(j)).copied().unwrap_or(f64::NAN);
        }
    }
    sum.values.iter().any(|v| v.is_finite()).then_some(sum)
}

/// For each portion (by number) its best caller, never in a circle.
fn callers(
    ids: &[&PortionId],
    series: &BTreeMap<PortionId, Samples>,
    calls: &BTreeMap<PortionId, Vec<PortionId>>,
) -> Vec<Option<(usize, Tie)>> {
    let mut found: Vec<(usize, usize, Tie)> = Vec::new();
    for (from, caller) in ids.iter().enumerate() {
        for called in calls.get(*caller).into_iter().flatten() {
            let to = ids.iter().position(|id| *id == called);
            let tie = tie_of(series, caller, called);
            if let (Some(to), Some(tie)) = (to.filter(|to| *to != from), tie) {
                found.push((from, to, tie));
            }
        }
    }
    found.sort_by(|a, b| b.2.explained.total_cmp(&a.2.explained));
    let mut best: Vec<Option<(usize, Tie)>> = vec![None; ids.len()];
    for (from, to, tie) in found {
        let mut above = Some(from);
        while let Some(at) = above.filter(|at| *at != to) {
            above = best[at].map(|b| b.0);
        }
        if best[to].is_none() && above.is_none() {
            best[to] = Some((from, tie));
        }
    }
    best
}

fn tie_of(
    series: &BTreeMap<PortionId, Samples>,
    caller: &PortionId,
    called: &PortionId,
) -> Option<Tie> {
    tie(series.get(caller)?, series.get(called)?)
}

/// One point of the system: base forecasts with their variances, and who hears whom.
struct Point<'a> {
    means: &'a [f64],
    variances: &'a [f64],
    total: Option<(f64, f64)>,
    callers: &'a [Option<(usize, Tie)>],
    /// Every portion after all that it calls.
    order: &'a [usize],
}

impl Point<'_> {
    /// What is most likely, given all of it.
    fn solve(&self) -> Vec<f64> {
        let b: Vec<f64> = self
            .means
            .iter()
            .zip(self.variances)
            .map(|(m, v)| m / v)
            .collect();
        let Some((total, variance)) = self.total else {
            return self.forest(&b);
        };
        // Sherman & Morrison for the rank that the total adds.
        let b: Vec<f64> = b.iter().map(|v| v + total / variance).collect();
        let (x, ones) = (self.forest(&b), self.forest(&vec![1.0; b.len()]));
        let (sum, of_ones) = (x.iter().sum::<f64>(), ones.iter().sum::<f64>());
        let part = sum / (variance + of_ones);
        x.iter().zip(&ones).map(|(x, o)| x - part * o).collect()
    }

    /// Elimination from those that call nobody up to those that nobody calls, and back.
    fn forest(&self, b: &[f64]) -> Vec<f64> {
        let mut diagonal: Vec<f64> = self.variances.iter().map(|v| 1.0 / v).collect();
        for (to, caller) in self.callers.iter().enumerate() {
            if let Some((from, tie)) = caller {
                diagonal[to] += 1.0 / tie.variance;
                diagonal[*from] += tie.ratio * tie.ratio / tie.variance;
            }
        }
        let mut x = b.to_vec();
        for to in self.order {
            if let Some((from, tie)) = self.callers[*to] {
                let off = -tie.ratio / tie.variance;
                diagonal[from] -= off * off / diagonal[*to];
                x[from] -= off * x[*to] / diagonal[*to];
            }
        }
        for to in self.order.iter().rev() {
            let above =
                self.callers[*to].map_or(0.0, |(from, tie)| -tie.ratio / tie.variance * x[from]);
            x[*to] = (x[*to] - above) / diagonal[*to];
        }
        x
    }
}

/// Every number after all those whose caller it is.
fn order(callers: &[Option<(usize, Tie)>]) -> Vec<usize> {
    let depth = |k: usize| {
        let mut deep = 0;
        let mut at = k;
        while let Some((above, _)) = callers[at] {
            (deep, at) = (deep + 1, above);
        }
        deep
    };
    let mut order: Vec<usize> = (0..callers.len()).collect();
    order.sort_by_key(|k| std::cmp::Reverse(depth(*k)));
    order
}

fn variance(path: &DemandPath, k: usize) -> f64 {
    let p = &path.points[k];
    let half = (p.at_level(0.9).0 - p.at_level(0.1).0) / (2.0 * HALF_80);
    half.powi(2).max(1e-6 * p.mean.0.powi(2)).max(1e-9)
}

/// A portion, the one that calls it, and how many requests follow from one of the caller's.
pub type Called = (PortionId, PortionId, f64);

/// Moves the paths' points so that they fit together, and the total's so that its mean is their sum. Tells what calls what,
/// every portion after its caller.
pub fn reconcile(
    demand: &mut BTreeMap<PortionId, DemandPath>,
    total: Option<&mut DemandPath>,
    series: &BTreeMap<PortionId, Samples>,
    calls: &BTreeMap<PortionId, Vec<PortionId>>,
) -> Vec<Called> {
    let told = demand.iter().filter(|(_, p)| !p.points.is_empty());
    let named: Vec<PortionId> = told.map(|(id, _)| id.clone()).collect();
    let ids: Vec<&PortionId> = named.iter().collect();
    let callers = callers(&ids, series, calls);
    let order = order(&callers);
    let paths = demand.values_mut().filter(|p| !p.points.is_empty());
    let mut paths: Vec<&mut DemandPath> = paths.collect();
    let points = paths.iter().map(|p| p.points.len());
    let points = points
        .chain(total.iter().map(|t| t.points.len()))
        .min()
        .unwrap_or(0);
    let mut sums = Vec::with_capacity(points);
    for k in 0..points {
        let means: Vec<f64> = paths.iter().map(|p| p.points[k].mean.0).collect();
        let variances: Vec<f64> = paths.iter().map(|p| variance(p, k)).collect();
        let solved = Point {
            means: &means,
            variances: &variances,
            total: total.as_ref().map(|t| (t.points[k].mean.0, variance(t, k))),
            callers: &callers,
            order: &order,
        }
        .solve();
        for (path, x) in paths.iter_mut().zip(&solved) {
            shift(path, k, x.max(0.0));
        }
        sums.push(paths.iter().map(|p| p.points[k].mean.0).sum::<f64>());
    }
    if let Some(total) = total {
        total.points.truncate(points);
        (0..points).for_each(|k| shift(total, k, sums[k]));
        total.components.reconciled = 0.0;
    }
    for (k, caller) in callers.iter().enumerate() {
        if let Some((from, tie)) = caller {
            let because = &mut paths[k].because;
            *because = format!(
                "{because}; {} calls it {:.2} times a request, which explains {:.0} % of it",
                ids[*from],
                tie.ratio,
                100.0 * tie.explained
            )
            .into();
        }
    }
    let from =
        |k: &usize| callers[*k].map(|(from, tie)| (ids[*k].clone(), ids[from].clone(), tie.ratio));
    order.iter().rev().filter_map(from).collect()
}

/// Moves a point to another mean, its quantiles with it.
pub fn shift(path: &mut DemandPath, k: usize, to: f64) {
    let point = &mut path.points[k];
    let by = to - point.mean.0;
    point.mean = Rps(to);
    point
        .quantiles
        .iter_mut()
        .for_each(|q| q.0 = (q.0 + by).max(0.0));
    if k == 0 {
        path.components.reconciled += by;
    }
}

#[cfg(test)]
mod tests;
