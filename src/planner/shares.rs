//! Shares as arithmetic: who should get how much, and the next step on the way there.

use super::instances::Copy;
use crate::model::*;
use std::collections::BTreeMap;

/// Splits all traffic over the given instances, in proportion to what each can carry (equally while that is unknown for any).
/// Empty when there is none: health is taken over a non-empty set.
pub fn split<'a>(copies: impl Iterator<Item = &'a Copy>) -> BTreeMap<AllocId, Share> {
    let copies: Vec<&Copy> = copies.collect();
    let known = copies.iter().all(|c| c.capacity.is_some_and(|r| r.0 > 0.0));
    let weigh = |c: &Copy| {
        if known {
            c.capacity.map_or(1.0, |r| r.0)
        } else {
            1.0
        }
    };
    let parts: Vec<(AllocId, f64)> = copies.iter().map(|c| (c.alloc.clone(), weigh(c))).collect();
    exact(&parts)
}

/// Parts as shares that sum to exactly 100 % (largest remainders).
pub fn exact(parts: &[(AllocId, f64)]) -> BTreeMap<AllocId, Share> {
    let total: f64 = parts.iter().map(|(_, w)| w).sum();
    if total <= 0.0 {
        return BTreeMap::new();
    }
    let mut rounded: Vec<(&AllocId, u32, f64)> = parts
        .iter()
        .map(|(id, w)| {
            let want = w / total * 10_000.0;
            (id, want as u32, want.fract())
        })
        .collect();
    let missing = 10_000 - rounded.iter().map(|(_, n, _)| n).sum::<u32>();
    if missing > 0 {
        rounded.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(b.0)));
    }
    for part in rounded.iter_mut().take(missing as usize) {
        part.1 += 1;
    }
    rounded
        .into_iter()
        .map(|(id, n, _)| (id.clone(), Share(n)))
        .collect()
}

/// The shares after `done` of the move from `from` to `to`; both sum to 100 %, and so does the result.
pub fn between(
    from: &BTreeMap<AllocId, Share>,
    to: &BTreeMap<AllocId, Share>,
    done: Share,
) -> BTreeMap<AllocId, Share> {
    let t = done.fraction();
    let ids: std::collections::BTreeSet<&AllocId> = from.keys().chain(to.keys()).collect();
    let parts: Vec<(AllocId, f64)> = ids
        .into_iter()
        .map(|id| {
            let a = from.get(id).copied().unwrap_or_default().fraction();
            let b = to.get(id).copied().unwrap_or_default().fraction();
            (id.clone(), a + (b - a) * t)
        })
        .collect();
    exact(&parts)
}

/// How much traffic changes hands between two sets of shares.
pub fn distance(a: &BTreeMap<AllocId, Share>, b: &BTreeMap<AllocId, Share>) -> Share {
    let ids: std::collections::BTreeSet<&AllocId> = a.keys().chain(b.keys()).collect();
    let moved: u32 = ids
        .into_iter()
        .map(|id| {
            let (x, y) = (
                a.get(id).copied().unwrap_or_default().0,
                b.get(id).copied().unwrap_or_default().0,
            );
            y.saturating_sub(x)
        })
        .sum();
    Share(moved)
}

/// The policy's ramp, with steps between where one would move more than the cap.
pub fn fine(ramp: &[Share], way: Share, cap: Share, instances: usize) -> Vec<Share> {
    // Largest remainders may move each instance by one basis point more.
    let cap = cap.0.saturating_sub(instances as u32).max(1);
    let mut steps = Vec::new();
    let mut before = 0;
    for share in ramp.iter().map(|s| s.0) {
        let gap = share.saturating_sub(before);
        let n = (u64::from(gap) * u64::from(way.0)).div_ceil(u64::from(cap) * 10_000) as u32;
        steps.extend((1..n).map(|i| Share(before + gap * i / n)));
        steps.push(Share(share));
        before = share;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares(weights: &[f64]) -> BTreeMap<AllocId, Share> {
        let parts: Vec<(AllocId, f64)> = weights
            .iter()
            .enumerate()
            .map(|(i, w)| (AllocId::new(format!("a{i}")), *w))
            .collect();
        exact(&parts)
    }

    proptest! {
        #[test]
        fn shares_always_sum_to_all(
            a in prop::collection::vec(0.1..50.0f64, 1..9),
            b in prop::collection::vec(0.1..50.0f64, 1..9),
            done in 0u32..=10_000,
        ) {
            let (from, to) = (shares(&a), shares(&b));
            let mid = between(&from, &to, Share(done));
            prop_assert_eq!(mid.values().map(|s| s.0).sum::<u32>(), 10_000);
            prop_assert!(distance(&from, &mid).0 <= distance(&from, &to).0 + mid.len() as u32);
        }

        #[test]
        fn weights_keep_the_proportions_within_one_percent(a in prop::collection::vec(1.0..10.0f64, 1..6)) {
            let want = shares(&a);
            let weights = weights(&want);
            let total: u32 = weights.values().sum();
            for (id, share) in &want {
                let have = f64::from(weights[id]) / f64::from(total);
                prop_assert!((have - share.fraction()).abs() < 0.012, "{} against {}", have, share);
                prop_assert!((1..=100).contains(&weights[id]));
            }
        }
    }

    #[test]
    fn no_instances_means_no_shares() {
        assert!(exact(&[]).is_empty());
        assert!(weights(&BTreeMap::new()).is_empty());
    }
}
