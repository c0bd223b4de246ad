//! From shares to whole Consul weights. Pure arithmetic.

use super::{AllocId, Share};
use std::collections::BTreeMap;

/// Envoy clamps weights at 128; foreshadow keeps to 1 to 100.
pub const MOST_WEIGHT: u32 = 100;
/// Up to so many groups, every way of rounding each up or down is tried; above, only the likely ones.
const TRIED_ALL: usize = 8;

/// Integer Consul weights (1 to 100) for shares, with the least error at that resolution; a share of 0 has no weight.
pub fn weights(shares: &BTreeMap<AllocId, Share>) -> BTreeMap<AllocId, u32> {
    let given: Vec<(&AllocId, Share)> = shares
        .iter()
        .filter(|(_, s)| **s > Share::NONE)
        .map(|(id, s)| (id, *s))
        .collect();
    let parts: Vec<(Share, u32)> = given.iter().map(|(_, s)| (*s, 1)).collect();
    let ids = given.into_iter().map(|(id, _)| id.clone());
    ids.zip(least_weights(&parts, MOST_WEIGHT)).collect()
}

/// A weight for each part, a share above 0 that so many instances (at least 1) have together, each with the part's weight.
/// Of all weights from 1 to `most` those by which the least traffic goes elsewhere than asked (half the sum of the
/// differences of shares). Empty for no parts.
///
/// For single instances and one sum of weights, largest remainders (Hamilton's apportionment) have the least error
/// (Balinski & Young, Fair Representation, 1982); every sum is tried. Groups of several instances move the sum by more
/// than one, so each part is rounded down and up, in all combinations while they are few.
pub fn least_weights(parts: &[(Share, u32)], most: u32) -> Vec<u32> {
    let asked: f64 = parts.iter().map(|(s, _)| s.fraction()).sum();
    let want: Vec<f64> = parts.iter().map(|(s, _)| s.fraction() / asked).collect();
    let sizes: Vec<f64> = parts.iter().map(|(_, n)| f64::from((*n).max(1))).collect();
    let all: f64 = sizes.iter().sum();
    let mut best = (f64::INFINITY, vec![1; parts.len()]);
    for sum in (parts.len() as u64)..=(all as u64 * u64::from(most)) {
        let exact: Vec<f64> = want
            .iter()
            .zip(&sizes)
            .map(|(w, n)| w * sum as f64 / n)
            .collect();
        // The heaviest is at its limit: larger sums only bend the proportions.
        if exact.iter().any(|e| *e > f64::from(most) + 1.0) || best.0 < 1e-9 {
            break;
        }
        for tried in roundings(&exact, &sizes, most) {
            let off = error(&want, &sizes, &tried);
            // Of equally good ones the smallest.
            if off < best.0 - 1e-12 {
                best = (off, tried);
            }
        }
    }
    polished(best, &want, &sizes, most).1
}

/// Better by one step up or down of one part or two, as long as there is such a step: where parts are held at 1 or at `most`,
/// the others' best rounding is not theirs alone.
fn polished(mut best: (f64, Vec<u32>), want: &[f64], sizes: &[f64], most: u32) -> (f64, Vec<u32>) {
    let step = |w: u32, up: bool| if up { w + 1 } else { w.saturating_sub(1) };
    let steps = 2 * want.len();
    let moved = |from: &[u32], which: usize| -> Vec<u32> {
        let mut to = from.to_vec();
        to[which / 2] = step(to[which / 2], which.is_multiple_of(2)).clamp(1, most);
        to
    };
    loop {
        if best.0 < 1e-9 {
            return best;
        }
        let singles = (0..steps).map(|a| moved(&best.1, a));
        // Of many parts each is small, and one step at a time gets as near.
        let paired = if want.len() > TRIED_ALL { 0 } else { steps };
        let pairs = (0..paired).flat_map(|a| {
            let once = moved(&best.1, a);
            (0..a).map(move |b| moved(&once, b)).collect::<Vec<_>>()
        });
        let better = singles
            .chain(pairs)
            .map(|w| (error(want, sizes, &w), w))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .filter(|(off, _)| *off < best.0 - 1e-12);
        match better {
            Some(better) => best = better,
            None => return best,
        }
    }
}

/// Each part rounded down or up, kept within 1 and `most`.
fn roundings(exact: &[f64], sizes: &[f64], most: u32) -> Vec<Vec<u32>> {
    let keep = |w: f64| (w.max(1.0) as u32).clamp(1, most);
    let down: Vec<u32> = exact.iter().map(|e| keep(e.floor())).collect();
    let up: Vec<u32> = exact.iter().map(|e| keep(e.floor() + 1.0)).collect();
    let pick = |is_up: &dyn Fn(usize) -> bool| -> Vec<u32> {
        (0..exact.len())
            .map(|i| if is_up(i) { up[i] } else { down[i] })
            .collect()
    };
    let single = sizes.iter().all(|n| *n == 1.0);
    if !single && exact.len() <= TRIED_ALL {
        return (0..1u32 << exact.len())
            .map(|set| pick(&|i| set & (1 << i) != 0))
            .collect();
    }
    let mut order: Vec<usize> = (0..exact.len()).collect();
    order.sort_by(|a, b| exact[*b].fract().total_cmp(&exact[*a].fract()));
    let mut place = vec![0; exact.len()];
    order.iter().enumerate().for_each(|(at, i)| place[*i] = at);
    (0..exact.len())
        .map(|ups| pick(&|i| place[i] < ups))
        .collect()
}

/// The part of the traffic that these weights send elsewhere than asked.
fn error(want: &[f64], sizes: &[f64], weights: &[u32]) -> f64 {
    let total: f64 = weights
        .iter()
        .zip(sizes)
        .map(|(w, n)| f64::from(*w) * n)
        .sum();
    let each = want.iter().zip(weights.iter().zip(sizes));
    each.map(|(s, (w, n))| (s - f64::from(*w) * n / total).abs())
        .sum::<f64>()
        / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn off(parts: &[(Share, u32)], weights: &[u32]) -> f64 {
        let asked: f64 = parts.iter().map(|(s, _)| s.fraction()).sum();
        let want: Vec<f64> = parts.iter().map(|(s, _)| s.fraction() / asked).collect();
        let sizes: Vec<f64> = parts.iter().map(|(_, n)| f64::from(*n)).collect();
        error(&want, &sizes, weights)
    }

    /// Every vector of weights up to `most`.
    fn every(parts: usize, most: u32) -> Vec<Vec<u32>> {
        (0..parts).fold(vec![vec![]], |all, _| {
            all.iter()
                .flat_map(|v| (1..=most).map(move |w| [v.as_slice(), &[w]].concat()))
                .collect()
        })
    }

    /// Each instance's part rounded, the largest at the largest weight.
    fn finest(parts: &[(Share, u32)]) -> Vec<u32> {
        let each = |(share, count): &(Share, u32)| share.fraction() / f64::from(*count);
        let largest = parts.iter().map(each).fold(0.0, f64::max);
        let scaled = parts
            .iter()
            .map(|p| each(p) / largest * f64::from(MOST_WEIGHT));
        scaled.map(|w| w.round().max(1.0) as u32).collect()
    }

    proptest! {
        #[test]
        fn no_other_weights_are_nearer_to_the_shares(
            parts in prop::collection::vec((1u32..10_000, 1u32..6), 1..4),
            most in 2u32..13,
        ) {
            let parts: Vec<(Share, u32)> = parts.into_iter().map(|(s, n)| (Share(s), n)).collect();
            let found = least_weights(&parts, most);
            prop_assert_eq!(found.len(), parts.len());
            prop_assert!(found.iter().all(|w| (1..=most).contains(w)));
            let best = every(parts.len(), most).into_iter().map(|w| off(&parts, &w)).fold(f64::INFINITY, f64::min);
            prop_assert!(off(&parts, &found) <= best + 1e-9, "{:?} is off by {}, and {} can be had", found, off(&parts, &found), best);
        }

        #[test]
        fn instances_of_unequal_groups_get_no_less_than_rounding_at_the_finest_scale_gives_them(
            shares in prop::collection::vec(300u32..5_000, 2..5),
            counts in prop::collection::vec(1u32..12, 4),
        ) {
            let parts: Vec<(Share, u32)> = shares.iter().zip(&counts).map(|(s, n)| (Share(*s), *n)).collect();
            prop_assert!(off(&parts, &least_weights(&parts, MOST_WEIGHT)) <= off(&parts, &finest(&parts)) + 1e-12);
        }

        #[test]
        fn many_instances_keep_their_proportions_too(
            shares in prop::collection::vec(100u32..1_000, 9..30),
        ) {
            let parts: Vec<(Share, u32)> = shares.iter().map(|s| (Share(*s), 1)).collect();
            prop_assert!(off(&parts, &least_weights(&parts, MOST_WEIGHT)) <= off(&parts, &finest(&parts)) + 1e-12);
        }
    }

    #[test]
    fn shares_that_weights_can_say_exactly_are_said_exactly() {
        let of = |parts: &[(u32, u32)]| {
            let parts: Vec<(Share, u32)> = parts
                .iter()
                .map(|(p, n)| (Share::percent(*p), *n))
                .collect();
            least_weights(&parts, MOST_WEIGHT)
        };
        assert_eq!(of(&[(100, 3)]), [1]);
        assert_eq!(of(&[(50, 1), (50, 3)]), [3, 1]);
        assert_eq!(of(&[(99, 1), (1, 1)]), [99, 1]);
        assert_eq!(of(&[(25, 2), (75, 4)]), [2, 3]);
        assert!(of(&[]).is_empty());
    }
}
