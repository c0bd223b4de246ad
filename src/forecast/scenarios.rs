//! A small weighted set of joint futures for the planner: how high demand goes, and what fails meanwhile.
//!
//! Shocks are independent, and what lies in a failure domain goes with it (Marshall & Olkin 1967): a node has a hazard of
//! its own, and its site one that takes all of its nodes at once. Futures are reduced by fast forward selection (Heitsch &
//! Römisch, "Scenario reduction algorithms in stochastic programming", 2003): the next one kept is always that which brings
//! the Kantorovich distance to all futures down most; what is not kept gives its probability to the nearest one that is.

use crate::model::{Domain, Scenario, Scenarios};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Demand levels of the scenarios; each stands for the probability nearest to it.
pub const DEMAND: [f64; 4] = [0.5, 0.8, 0.95, 0.99];
/// Scenarios that a planner is given at most.
pub const MOST: usize = 64;
/// Futures looked at, the likeliest ones; the selection costs their number squared.
const CONSIDERED: usize = 256;
/// Pairs of failures are made of so many domains at most, the likeliest to fail.
const PAIRED: usize = 48;
/// What is at least so probable is taken for sure.
const SURE: f64 = 0.999;

/// A domain that may fail within the horizon.
#[derive(Clone, Debug, PartialEq)]
pub struct Shock {
    pub domain: Domain,
    pub probability: f64,
    /// The part of the estate that goes with it, 0 to 1.
    pub part: f64,
}

/// What fails in some future: shocks by number, in order.
type Failed = Vec<usize>;

/// One future while it is weighed: the demand level and what fails, both by number.
struct Prospect {
    weight: f64,
    level: usize,
    fails: usize,
}

/// At most `most` futures of demand level × no, one or two failures. `multiples` says how many times the usual demand each
/// level of [`DEMAND`] is. What is sure to be down is down in all of them.
pub fn scenarios(shocks: &[Shock], multiples: [f64; 4], most: usize) -> Scenarios {
    let (down, risky): (Vec<&Shock>, Vec<&Shock>) = shocks
        .iter()
        .filter(|s| s.probability > 0.0)
        .partition(|s| s.probability >= SURE);
    let (mut prospects, failures) = likeliest(failures(&risky));
    let looked_at: f64 = prospects.iter().map(|f| f.weight).sum();
    prospects
        .iter_mut()
        .for_each(|f| f.weight /= looked_at.max(f64::MIN_POSITIVE));
    let only = only(&failures, &risky);
    let distance = |a: &Prospect, b: &Prospect| {
        let levels = (multiples[a.level] - multiples[b.level]).abs();
        levels + only[a.fails][b.fails] + only[b.fails][a.fails]
    };
    let kept = forward(&prospects, distance, most.max(1));
    let mut list: Vec<Scenario> = kept
        .weights
        .iter()
        .map(|(k, weight)| {
            let failed = failures[prospects[*k].fails].iter().map(|s| risky[*s]);
            Scenario {
                weight: *weight,
                level: DEMAND[prospects[*k].level],
                failed: down
                    .iter()
                    .copied()
                    .chain(failed)
                    .map(|s| s.domain.clone())
                    .collect(),
            }
        })
        .collect();
    list.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    Scenarios {
        list,
        considered: prospects.len(),
        left_out: (1.0 - looked_at).max(0.0),
        error: kept.error,
        error_relative: kept.error / kept.of_one.max(f64::MIN_POSITIVE),
    }
}

/// The likeliest futures, each of these failures at each level of demand; the likeliest first. With them what fails in any of them.
fn likeliest(failures: Vec<(f64, Failed)>) -> (Vec<Prospect>, Vec<Failed>) {
    let masses = masses();
    let each = failures
        .iter()
        .enumerate()
        .flat_map(|(fails, (weight, _))| {
            let levels = masses.iter().enumerate();
            levels.map(move |(level, mass)| Prospect {
                weight: weight * mass,
                level,
                fails,
            })
        });
    let mut all: Vec<Prospect> = each.collect();
    let likelier = |a: &Prospect, b: &Prospect| {
        let of = |p: &Prospect| (&failures[p.fails].1, p.level);
        b.weight
            .total_cmp(&a.weight)
            .then_with(|| of(a).cmp(&of(b)))
    };
    if all.len() > CONSIDERED {
        all.select_nth_unstable_by(CONSIDERED, likelier);
        all.truncate(CONSIDERED);
    }
    all.sort_by(likelier);
    let mut used: Vec<usize> = all.iter().map(|p| p.fails).collect();
    used.sort_unstable();
    used.dedup();
    for p in &mut all {
        p.fails = used.partition_point(|k| *k < p.fails);
    }
    let failures = failures.into_iter().enumerate();
    let left = failures.filter(|(k, _)| used.binary_search(k).is_ok());
    (all, left.map(|(_, (_, failed))| failed).collect())
}

/// The part of the estate that fails in the first of two futures and not in the second.
fn only(failures: &[Failed], risky: &[&Shock]) -> Vec<Vec<f64>> {
    let only = |a: &Failed, b: &Failed| -> f64 {
        let only = a.iter().filter(|s| !b.contains(s));
        only.map(|s| risky[*s].part).sum()
    };
    let beside = |a: &Failed| failures.iter().map(|b| only(a, b)).collect();
    failures.iter().map(beside).collect()
}

/// Each demand level with the probability between the midpoints around it.
fn masses() -> [f64; 4] {
    let mut below = 0.0;
    let mut k = 0;
    DEMAND.map(|level| {
        k += 1;
        let until = DEMAND.get(k).map_or(1.0, |next| (level + next) / 2.0);
        let mass = until - below;
        below = until;
        mass
    })
}

/// Probabilities of no failure, of each alone, and of each pair of the likeliest, with the numbers of what fails.
fn failures(risky: &[&Shock]) -> Vec<(f64, Failed)> {
    let none: f64 = risky.iter().map(|s| 1.0 - s.probability).product();
    let odds: Vec<f64> = risky
        .iter()
        .map(|s| s.probability / (1.0 - s.probability))
        .collect();
    let mut order: Vec<usize> = (0..risky.len()).collect();
    order.sort_by(|a, b| odds[*b].total_cmp(&odds[*a]).then(a.cmp(b)));
    let mut out = vec![(none, Vec::new())];
    for (k, a) in order.iter().enumerate() {
        out.push((none * odds[*a], vec![*a]));
        for b in order[k + 1..].iter().take(PAIRED.saturating_sub(k + 1)) {
            out.push((none * odds[*a] * odds[*b], vec![*a.min(b), *a.max(b)]));
        }
    }
    out
}

/// What a selection kept: numbers with their new weights, how far all are from it, and from the best single one.
struct Kept {
    weights: Vec<(usize, f64)>,
    error: f64,
    of_one: f64,
}

/// Chosen one after the other. What a future brings the distance down by only ever gets less as others are chosen, so that one which
/// once brought less than another brings now need not be asked again (Minoux, "Accelerated greedy algorithms", 1978).
fn forward(
    prospects: &[Prospect],
    distance: impl Fn(&Prospect, &Prospect) -> f64,
    most: usize,
) -> Kept {
    let n = prospects.len();
    let apart = matrix(prospects, distance);
    let row = |k: usize| &apart[k * n..(k + 1) * n];
    let sum = |from: &[f64]| -> f64 {
        let each = from.iter().zip(prospects);
        each.map(|(d, f)| f.weight * d).sum()
    };
    let first = (0..n).min_by(|a, b| sum(row(*a)).total_cmp(&sum(row(*b))).then(a.cmp(b)));
    let mut chosen: Vec<usize> = first.into_iter().collect();
    let mut nearest = first.map_or(Vec::new(), |k| row(k).to_vec());
    let of_one = sum(&nearest);
    // Never negative, and so in the order of their bits; of the same, the first.
    let gain = |u: usize, nearest: &[f64]| -> u64 {
        let pairs = nearest.iter().zip(row(u)).zip(prospects);
        let gain: f64 = pairs.map(|((c, d), f)| f.weight * (c - d).max(0.0)).sum();
        gain.to_bits()
    };
    let others = (0..n).filter(|u| first != Some(*u));
    let mut known: BinaryHeap<(u64, Reverse<usize>, usize)> =
        others.map(|u| (gain(u, &nearest), Reverse(u), 1)).collect();
    while chosen.len() < most.min(n) {
        let Some((_, Reverse(best), asked)) = known.pop() else {
            break;
        };
        if asked < chosen.len() {
            known.push((gain(best, &nearest), Reverse(best), chosen.len()));
            continue;
        }
        for (c, d) in nearest.iter_mut().zip(row(best)) {
            *c = c.min(*d);
        }
        chosen.push(best);
    }
    let error = sum(&nearest);
    let mut weights: Vec<(usize, f64)> = chosen.iter().map(|k| (*k, 0.0)).collect();
    for (k, prospect) in prospects.iter().enumerate() {
        let near = weights
            .iter_mut()
            .min_by(|a, b| row(k)[a.0].total_cmp(&row(k)[b.0]));
        if let Some(near) = near {
            near.1 += prospect.weight;
        }
    }
    Kept {
        weights,
        error,
        of_one,
    }
}

/// How far any two are apart, row by row.
fn matrix(prospects: &[Prospect], distance: impl Fn(&Prospect, &Prospect) -> f64) -> Vec<f64> {
    let n = prospects.len();
    let mut apart = vec![0.0; n * n];
    for (i, a) in prospects.iter().enumerate() {
        for (j, b) in prospects[..i].iter().enumerate() {
            let d = distance(a, b);
            apart[i * n + j] = d;
            apart[j * n + i] = d;
        }
    }
    apart
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NodeId;

    const MULTIPLES: [f64; 4] = [1.0, 1.1, 1.2, 1.3];

    fn shock(name: &str, probability: f64) -> Shock {
        Shock {
            domain: Domain::Node(NodeId(name.into())),
            probability,
            part: 0.1,
        }
    }

    fn fails(s: &Scenarios, name: &str) -> f64 {
        let domain = Domain::Node(name.into());
        let with = s.list.iter().filter(|s| s.failed.contains(&domain));
        with.map(|s| s.weight).sum()
    }

    #[test]
    fn weights_sum_to_one_and_the_likeliest_comes_first() {
        let s = scenarios(
            &[shock("a", 0.02), shock("b", 0.3), shock("c", 0.0)],
            MULTIPLES,
            MOST,
        );
        assert!((s.list.iter().map(|s| s.weight).sum::<f64>() - 1.0).abs() < 1e-9);
        assert!(s.left_out < 1e-9, "{}", s.left_out);
        assert!(s.list[0].failed.is_empty() && s.list[0].level == 0.5);
        assert!((fails(&s, "b") - 0.3).abs() < 1e-9, "{}", fails(&s, "b"));
        assert_eq!((s.considered, s.list.len(), s.error), (16, 16, 0.0));
    }

    #[test]
    fn what_is_down_is_down_in_every_future_and_the_set_stays_small() {
        let many: Vec<Shock> = (0..40)
            .map(|k| shock(&format!("n{k}"), if k == 7 { 1.0 } else { 0.01 }))
            .collect();
        let s = scenarios(&many, MULTIPLES, MOST);
        assert_eq!(s.list.len(), MOST);
        assert!(s.left_out > 0.0 && s.left_out < 0.5, "{}", s.left_out);
        let down = Domain::Node("n7".into());
        assert!(s.list.iter().all(|s| s.failed.contains(&down)));
    }

    #[test]
    fn more_scenarios_are_never_further_from_all_futures() {
        let many: Vec<Shock> = (0..12)
            .map(|k| shock(&format!("n{k}"), 0.01 * f64::from(k + 1)))
            .collect();
        let errors: Vec<f64> = [1, 4, 16, 64, 256]
            .map(|most| scenarios(&many, MULTIPLES, most).error)
            .to_vec();
        assert!(errors.windows(2).all(|w| w[1] <= w[0]), "{errors:?}");
        assert!(errors[3] < 0.2 * errors[0], "{errors:?}");
        assert!(errors[4] < 1e-9, "{errors:?}");
        assert_eq!(scenarios(&many, MULTIPLES, 1).error_relative, 1.0);
    }

    #[test]
    fn the_told_error_is_the_distance_to_what_stands_for_each_future() {
        // Two levels of demand far apart and one rare failure: two scenarios can be worked out by hand.
        let s = scenarios(&[shock("a", 0.1)], [1.0, 1.0, 1.0, 3.0], 2);
        assert_eq!(s.list.len(), 2);
        // At each level, the tenth in which the node fails is a tenth of the estate away from the rest.
        assert!((s.error - 0.1 * 0.1).abs() < 1e-9, "{}", s.error);
        let high: f64 = s
            .list
            .iter()
            .filter(|s| s.level == 0.99)
            .map(|s| s.weight)
            .sum();
        assert!((high - 0.03).abs() < 1e-9, "{high}");
    }

    #[test]
    fn rare_failures_keep_their_probability_about_right() {
        let many: Vec<Shock> = (0..15).map(|k| shock(&format!("n{k}"), 0.05)).collect();
        let s = scenarios(&many, MULTIPLES, MOST);
        for k in 0..15 {
            let p = fails(&s, &format!("n{k}"));
            assert!((0.01..0.1).contains(&p), "n{k}: {p}");
        }
    }
}
