//! The rules of the format, counted from nothing: what `check.py` does, independent of the search's own books.

use super::problem::Problem;
use super::recount;
use super::risk::Unserved;
use super::violation::Violation;

/// What a whole assignment costs by the instance's objective.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    pub objective: i64,
    /// Standbys missing over all portions.
    pub unplaced: usize,
    /// Largest share of a node's free amount that is needed after the worst single failure (1.0: full).
    pub worst_utilisation: f64,
    /// Demand that goes unserved, where the problem weighs scenarios; its cost is part of the objective.
    pub unserved: Option<Unserved>,
}

/// Counts an assignment (node indices for each portion) against the rules and the objective.
///
/// # Errors
/// The first rule broken, with the portion or node that breaks it.
pub fn check(problem: &Problem, standbys: &[Vec<usize>]) -> Result<Score, Violation> {
    let instance = problem.instance();
    if standbys.len() != instance.portions.len() {
        let (found, expected) = (standbys.len(), instance.portions.len());
        return Err(Violation::Length { found, expected });
    }
    let mut objective = 0;
    let mut unplaced = 0;
    let mut used = vec![false; instance.nodes.len()];
    for (i, nodes) in standbys.iter().enumerate() {
        objective += portion_cost(problem, i, nodes)?;
        unplaced += instance.portions[i].k as usize - nodes.len();
        nodes.iter().for_each(|&node| used[node] = true);
    }
    let open = instance.nodes.iter().zip(&used).filter(|(_, used)| **used);
    objective += open.map(|(node, _)| node.open_cost).sum::<i64>();
    let worst_utilisation = worst_utilisation(problem, standbys)?;
    recount::shared(problem, standbys)?;
    let unserved = (!problem.foreseen.is_empty()).then(|| {
        problem
            .foreseen
            .report(&recount::unserved(problem, standbys))
    });
    objective += unserved.as_ref().map_or(0, |unserved| unserved.cost);
    Ok(Score {
        objective,
        unplaced,
        worst_utilisation,
        unserved,
    })
}

fn portion_cost(problem: &Problem, i: usize, nodes: &[usize]) -> Result<i64, Violation> {
    let instance = problem.instance();
    let portion = &instance.portions[i];
    if nodes.len() as i64 > portion.k {
        let (found, wanted) = (nodes.len(), portion.k);
        return Err(Violation::TooMany {
            portion: portion.id.clone(),
            found,
            wanted,
        });
    }
    let mut domains = vec![portion.primary_domain];
    let mut cost = (portion.k - nodes.len() as i64) * portion.unplaced_penalty;
    for &node in nodes {
        let Some(&(_, price)) = portion
            .candidates
            .iter()
            .find(|(candidate, _)| *candidate == node)
        else {
            return Err(Violation::NotCandidate {
                portion: portion.id.clone(),
                node,
            });
        };
        if domains.contains(&instance.nodes[node].domain) {
            return Err(Violation::SharedDomain {
                portion: portion.id.clone(),
            });
        }
        domains.push(instance.nodes[node].domain);
        cost += price;
    }
    Ok(cost)
}

fn worst_utilisation(problem: &Problem, standbys: &[Vec<usize>]) -> Result<f64, Violation> {
    let instance = problem.instance();
    let (domains, resources) = (instance.domains.len(), instance.resources.len());
    // By node and resource, and by node, failed domain and resource.
    let mut base = vec![0_i64; instance.nodes.len() * resources];
    let mut surge = vec![0_i64; instance.nodes.len() * domains * resources];
    let at = |node: usize, failed: usize| (node * domains + failed) * resources;
    for (portion, nodes) in instance.portions.iter().zip(standbys) {
        for &node in nodes {
            for r in 0..resources {
                base[node * resources + r] += portion.reserve[r];
                surge[at(node, portion.primary_domain) + r] +=
                    portion.active[r] - portion.reserve[r];
            }
        }
    }
    let mut worst: f64 = 0.0;
    for (j, node) in instance.nodes.iter().enumerate() {
        for (f, failed) in instance
            .domains
            .iter()
            .enumerate()
            .filter(|(f, _)| *f != node.domain)
        {
            for (r, resource) in instance.resources.iter().enumerate() {
                let needed = base[j * resources + r] + surge[at(j, f) + r];
                let free = node.free[r];
                if needed > free {
                    let (node, failed) = (node.id.clone(), failed.id.clone());
                    let resource = resource.clone();
                    return Err(Violation::Overload {
                        node,
                        resource,
                        failed,
                        needed,
                        free,
                    });
                }
                if free > 0 {
                    worst = worst.max(needed as f64 / free as f64);
                }
            }
        }
    }
    Ok(worst)
}
