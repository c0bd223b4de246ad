//! A small weighted set of joint futures for the planner: how high demand goes, and what fails meanwhile.

use crate::model::{Domain, Hazard};
use serde::{Deserialize, Serialize};

/// Demand levels of the scenarios; each stands for the probability nearest to it.
pub const DEMAND: [f64; 4] = [0.5, 0.8, 0.95, 0.99];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// Probability; those of a set sum to one.
    pub weight: f64,
    /// Every portion's demand follows its path at this level.
    pub level: f64,
    /// At most two domains.
    pub failed: Vec<Domain>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scenarios {
    /// The likeliest first.
    pub list: Vec<Scenario>,
    /// Probability of futures that were left out (three failures or more, or too unlikely); the rest was scaled up to one.
    pub left_out: f64,
}

/// The `most` likeliest joint futures of demand level × no, one or two independent failures, with `most` at least
/// the number of demand levels.
pub fn scenarios(hazards: &[Hazard], most: usize) -> Scenarios {
    let most = most.max(DEMAND.len());
    let mut list: Vec<Scenario> = failures(hazards)
        .into_iter()
        .flat_map(|(weight, failed)| {
            masses().into_iter().map(move |(level, mass)| Scenario {
                weight: weight * mass,
                level,
                failed: failed.clone(),
            })
        })
        .filter(|s| s.weight > 0.0)
        .collect();
    list.sort_by(|a, b| {
        b.weight
            .total_cmp(&a.weight)
            .then_with(|| a.failed.cmp(&b.failed))
    });
    list.truncate(most);
    let kept: f64 = list.iter().map(|s| s.weight).sum();
    list.iter_mut()
        .for_each(|s| s.weight /= kept.max(f64::MIN_POSITIVE));
    Scenarios {
        list,
        left_out: (1.0 - kept).max(0.0),
    }
}

/// Each demand level with the probability between the midpoints around it.
fn masses() -> [(f64, f64); 4] {
    let mut below = 0.0;
    let mut k = 0;
    DEMAND.map(|level| {
        k += 1;
        let until = DEMAND.get(k).map_or(1.0, |next| (level + next) / 2.0);
        let mass = until - below;
        below = until;
        (level, mass)
    })
}

/// Probabilities of no failure, of each alone, and of each pair; what is sure to be down is down in all of them.
fn failures(hazards: &[Hazard]) -> Vec<(f64, Vec<Domain>)> {
    const SURE: f64 = 0.999;
    let down: Vec<Domain> = hazards
        .iter()
        .filter(|h| h.within.0 >= SURE)
        .map(|h| h.domain.clone())
        .collect();
    let risky: Vec<(&Domain, f64)> = hazards
        .iter()
        .filter(|h| h.within.0 > 0.0 && h.within.0 < SURE)
        .map(|h| (&h.domain, h.within.0))
        .collect();
    let none: f64 = risky.iter().map(|r| 1.0 - r.1).product();
    let odds = |p: f64| p / (1.0 - p);
    let with = |more: &[&Domain]| {
        down.iter()
            .chain(more.iter().copied())
            .cloned()
            .collect::<Vec<_>>()
    };
    let mut out = vec![(none, with(&[]))];
    for (i, (a, p)) in risky.iter().enumerate() {
        out.push((none * odds(*p), with(&[a])));
        for (b, q) in &risky[i + 1..] {
            out.push((none * odds(*p) * odds(*q), with(&[a, b])));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{NodeId, Probability, Span};

    fn hazard(name: &str, p: f64) -> Hazard {
        Hazard {
            domain: Domain::Node(NodeId(name.into())),
            name: name.into(),
            per_hour: p,
            within: Probability(p),
            repair: Span::secs(60),
            why: String::new(),
        }
    }

    #[test]
    fn weights_sum_to_one_and_the_likeliest_comes_first() {
        let s = scenarios(&[hazard("a", 0.02), hazard("b", 0.3), hazard("c", 0.0)], 64);
        assert!((s.list.iter().map(|s| s.weight).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(s.left_out < 1e-9, "{}", s.left_out);
        assert!(s.list[0].failed.is_empty() && s.list[0].level == 0.5);
        let b: f64 = s
            .list
            .iter()
            .filter(|s| s.failed.contains(&Domain::Node("b".into())))
            .map(|s| s.weight)
            .sum();
        assert!((b - 0.3).abs() < 1e-9, "{b}");
    }

    #[test]
    fn what_is_down_is_down_in_every_future_and_the_set_stays_small() {
        let many: Vec<Hazard> = (0..40)
            .map(|k| hazard(&format!("n{k}"), if k == 7 { 1.0 } else { 0.01 }))
            .collect();
        let s = scenarios(&many, 24);
        assert_eq!(s.list.len(), 24);
        assert!(s.left_out > 0.0 && s.left_out < 0.5, "{}", s.left_out);
        assert!(
            s.list
                .iter()
                .all(|s| s.failed.contains(&Domain::Node("n7".into())))
        );
    }
}
