//! Whether requests went where the last step's shares say, as instances count them themselves. What the journal's resolvers were
//! given is what clients could do; this is what they did.

use super::Ground;
use crate::model::realised::fit;
use crate::model::*;
use crate::planner::scene::FRESH;
use std::collections::BTreeMap;

/// A right split would be called wrong once in so many looks.
const SURE: f64 = 0.001;
/// Of very many requests any split would be: weights are whole numbers, and clients keep connections. So near (three points) is near
/// enough.
const NEAR: f64 = 0.03;
/// What has less than its share divided by this, or more than so many times it, is not near.
const FOLD: f64 = 2.0;

/// What instances' own counts say of a split.
#[derive(Debug, PartialEq)]
pub(super) enum Went {
    /// Fewer than two that serve count their requests: what resolvers were given has to do.
    Untold,
    /// Too few yet to say anything: so many.
    NotYet(u64),
    /// In words, with the number.
    AsShared(String),
    Otherwise(String),
}

/// What those with a share have counted since the step was verified, from the middle of the soak on: clients have followed by then.
pub(super) fn went(ground: &Ground, verified: Moment) -> Went {
    let Ground {
        scene,
        portion,
        current,
        ..
    } = *ground;
    let serves = |id: &AllocId| current.get(id).is_some_and(|s| *s > Share::NONE);
    let from = verified + Span(scene.policy.ramp.soak.0 / 2);
    let mut counts: BTreeMap<&AllocId, u64> = BTreeMap::new();
    for reading in &scene.world.readings {
        let told = reading.instance.as_ref().filter(|id| serves(id));
        let Some(id) = told.filter(|_| reading.portion == portion.id) else {
            continue;
        };
        if scene.now.since(reading.at) < FRESH {
            counts.entry(id).or_default();
        }
        if let Some(count) = counts.get_mut(id).filter(|_| reading.from >= from) {
            *count += reading.requests;
        }
    }
    let parts = counts.iter();
    let parts: Vec<(&AllocId, Share, u64)> = parts.map(|(id, n)| (*id, current[*id], *n)).collect();
    judge(&parts, scene.policy.ramp.min_samples)
}

fn judge(parts: &[(&AllocId, Share, u64)], need: u64) -> Went {
    if parts.len() < 2 {
        return Went::Untold;
    }
    let all: u64 = parts.iter().map(|(_, _, n)| n).sum();
    if all < need.max(1) {
        return Went::NotYet(all);
    }
    let split: Vec<(Share, u64)> = parts.iter().map(|(_, s, n)| (*s, *n)).collect();
    // So few for the smallest share that resolvers, of whom there are enough, have to do.
    let Some(fit) = fit(&split) else {
        return Went::Untold;
    };
    let shares: u32 = parts.iter().map(|(_, s, _)| s.0).sum();
    let far = |(_, share, n): &&(&AllocId, Share, u64)| {
        let due = f64::from(share.0) / f64::from(shares.max(1));
        let has = *n as f64 / all as f64;
        (has - due).abs() > NEAR || has < due / FOLD || has > due * FOLD
    };
    match parts.iter().find(far).filter(|_| fit.p < SURE) {
        Some((id, share, n)) => Went::Otherwise(format!(
            "clients do not go where the shares say: {id} counts {n} of {all} requests since the last step, its share is {share} \
             (chi-square {:.1}, p < {SURE})",
            fit.statistic
        )),
        None => Went::AsShared(format!("{all} requests are split so, p {:.2}", fit.p)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: u64 = 50;

    fn of(split: &[(u32, u64)]) -> Went {
        let ids: Vec<AllocId> = (0..split.len())
            .map(|i| AllocId::new(i.to_string()))
            .collect();
        let parts: Vec<(&AllocId, Share, u64)> = ids
            .iter()
            .zip(split)
            .map(|(id, (share, n))| (id, Share::percent(*share), *n))
            .collect();
        judge(&parts, NEED)
    }

    #[test]
    fn too_few_requests_are_not_yet_known_whatever_their_split() {
        assert_eq!(of(&[(75, 30), (25, 10)]), Went::NotYet(40));
        assert_eq!(of(&[(75, 0), (25, 49)]), Went::NotYet(49));
        assert_eq!(of(&[(75, 0), (25, 0)]), Went::NotYet(0));
    }

    #[test]
    fn requests_that_follow_the_shares_are_told_from_those_of_the_step_before() {
        assert!(matches!(of(&[(75, 760), (25, 240)]), Went::AsShared(_)));
        let behind = of(&[(75, 950), (25, 50)]);
        let Went::Otherwise(why) = behind else {
            panic!("{behind:?}")
        };
        assert!(why.contains("950 of 1000 requests"), "{why}");
    }

    #[test]
    fn of_many_requests_a_difference_that_is_sure_and_small_is_none() {
        assert!(matches!(
            of(&[(75, 73_500), (25, 26_500)]),
            Went::AsShared(_)
        ));
        assert!(matches!(
            of(&[(75, 71_000), (25, 29_000)]),
            Went::Otherwise(_)
        ));
    }

    #[test]
    fn a_hundredth_that_nobody_goes_to_is_found_once_there_are_enough() {
        assert!(matches!(of(&[(99, 2_000), (1, 0)]), Went::Otherwise(_)));
        assert_eq!(
            of(&[(99, 200), (1, 0)]),
            Went::Untold,
            "five were due in 500"
        );
    }

    #[test]
    fn one_that_counts_alone_says_nothing_of_a_split() {
        assert_eq!(of(&[(50, 1_000)]), Went::Untold);
        assert_eq!(of(&[]), Went::Untold);
    }
}
