//! Shared capacities and unserved demand, counted from nothing out of what people wrote, independent of the search's books.

use super::conditions::Scenario;
use super::problem::Problem;
use super::violation::Violation;

/// # Errors
/// The first shared capacity that is overdrawn.
pub(super) fn shared(problem: &Problem, standbys: &[Vec<usize>]) -> Result<(), Violation> {
    let instance = problem.instance();
    for shared in &problem.conditions().shared {
        let mut base = 0;
        let mut surge = vec![0; instance.domains.len()];
        for (portion, nodes) in standbys.iter().enumerate() {
            for &node in nodes {
                let domain = instance.nodes[node].domain;
                let draw = shared
                    .draws
                    .iter()
                    .find(|d| d.matches(portion, node, domain));
                let Some(draw) = draw else { continue };
                base += draw.reserve;
                surge[instance.portions[portion].primary_domain] += draw.active - draw.reserve;
            }
        }
        let worst = surge.iter().enumerate().max_by_key(|(_, surge)| **surge);
        let (failed, most) = worst.map_or((0, 0), |(failed, surge)| (failed, *surge));
        if base + most > shared.free {
            return Err(Violation::Overdrawn {
                shared: shared.id.clone(),
                unit: shared.unit.clone(),
                failed: instance.domains[failed].id.clone(),
                needed: base + most,
                free: shared.free,
            });
        }
    }
    Ok(())
}

/// Demand that goes unserved in each scenario, in units of the first resource.
pub(super) fn unserved(problem: &Problem, standbys: &[Vec<usize>]) -> Vec<i64> {
    let scenarios = problem.conditions().scenarios.iter();
    scenarios
        .map(|scenario| unserved_in(problem, standbys, scenario))
        .collect()
}

fn unserved_in(problem: &Problem, standbys: &[Vec<usize>], scenario: &Scenario) -> i64 {
    let instance = problem.instance();
    let resources = instance.resources.len();
    let down = |node: usize| scenario.failed.contains(&instance.nodes[node].domain);
    let wanted = |i: usize, r: usize| {
        let pct = scenario.demand_pct.get(i).copied().unwrap_or(100);
        let portion = &instance.portions[i];
        ((portion.active[r] * pct + 99) / 100).max(portion.reserve[r])
    };
    let mut unserved = 0;
    let mut needed = vec![vec![0; resources]; instance.nodes.len()];
    let mut asked = needed.clone();
    for (i, nodes) in standbys.iter().enumerate() {
        let portion = &instance.portions[i];
        let hit = scenario.failed.contains(&portion.primary_domain);
        if hit {
            unserved += (portion.k - nodes.len() as i64) * wanted(i, 0);
        }
        for &node in nodes {
            if hit && down(node) {
                unserved += wanted(i, 0);
            }
            for r in 0..resources {
                needed[node][r] += if hit {
                    wanted(i, r)
                } else {
                    portion.reserve[r]
                };
                asked[node][r] += if hit { wanted(i, r) } else { 0 };
            }
        }
    }
    for node in (0..instance.nodes.len()).filter(|&node| !down(node)) {
        let parts = (0..resources).filter(|&r| asked[node][r] > 0).map(|r| {
            let lack = (needed[node][r] - instance.nodes[node].free[r]).max(0);
            let share = i128::from(lack.min(asked[node][r])) * i128::from(asked[node][0]);
            (share as u128).div_ceil(asked[node][r] as u128) as i64
        });
        unserved += parts.max().unwrap_or(0);
    }
    unserved
}
