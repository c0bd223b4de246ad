//! Whether clients really go where the shares say: a test of counts, and how a client picks from an SRV answer. Pure.

use super::Share;
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Parts of which fewer are expected are taken together (Cochran, Some methods for strengthening the common chi-square tests, 1954).
const LEAST_EXPECTED: f64 = 5.0;

/// How well counts fit shares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Pearson's chi-square.
    pub statistic: f64,
    pub freedom: usize,
    /// How likely a split at least so far off is if the shares hold.
    pub p: f64,
}

/// Pearson's chi-square test (1900) of requests counted in each part against the share that it should have of them; shares
/// are taken relative to their sum. `None` where nothing can differ: fewer than two parts, or too few requests for that.
/// What should have nothing and got something does not fit at all.
pub fn fit(parts: &[(Share, u64)]) -> Option<Fit> {
    let all: u64 = parts.iter().map(|(_, n)| n).sum();
    let shares: u64 = parts.iter().map(|(s, _)| u64::from(s.0)).sum();
    if parts.iter().any(|(s, n)| *s == Share::NONE && *n > 0) {
        return Some(Fit {
            statistic: f64::INFINITY,
            freedom: 1,
            p: 0.0,
        });
    }
    let expected = |s: &Share| all as f64 * f64::from(s.0) / (shares as f64).max(1.0);
    let (small, mut classes): (Vec<_>, Vec<_>) = parts
        .iter()
        .filter(|(s, _)| *s > Share::NONE)
        .map(|(s, n)| (expected(s), *n as f64))
        .partition(|(e, _)| *e < LEAST_EXPECTED);
    let together = small.iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    match classes.first_mut() {
        // Still too few: they count with the first of the others.
        Some(first) if together.0 < LEAST_EXPECTED => {
            *first = (first.0 + together.0, first.1 + together.1)
        }
        _ => classes.push(together),
    }
    let freedom = classes.len().checked_sub(1).filter(|f| *f > 0)?;
    let statistic = classes.iter().map(|(e, n)| (n - e).powi(2) / e).sum();
    let chi = ChiSquared::new(freedom as f64).ok()?;
    Some(Fit {
        statistic,
        freedom,
        p: chi.sf(statistic),
    })
}

/// The entry that a client takes of those with the lowest priority, by running sums of weights (RFC 2782), where `draw` is
/// from 0 to below 1. `None` of none.
pub fn pick(weights: &[u16], draw: f64) -> Option<usize> {
    let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    let mut left = draw * sum;
    let taken = weights.iter().position(|w| {
        left -= f64::from(*w);
        left < 0.0
    });
    taken.or(weights.len().checked_sub(1))
}

/// The k-th of draws that fill 0 to 1 evenly (Weyl's sequence of the golden ratio): the counts of clients who draw so vary less than
/// chance would have it, so a split that is right is never told to be wrong, and no dice are needed.
pub fn draw(k: usize) -> f64 {
    (k as f64 * 0.618_033_988_749_894_9).fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where `reads` clients go that are given these weights.
    fn clients(weights: &[u16], reads: usize) -> Vec<u64> {
        let mut counts = vec![0; weights.len()];
        for k in 0..reads {
            if let Some(i) = pick(weights, draw(k)) {
                counts[i] += 1;
            }
        }
        counts
    }

    fn of(percents: &[u32], counts: &[u64]) -> Option<Fit> {
        let parts = percents.iter().zip(counts);
        let parts: Vec<(Share, u64)> = parts.map(|(p, n)| (Share::percent(*p), *n)).collect();
        fit(&parts)
    }

    #[test]
    fn the_statistic_is_pearsons() {
        // Forty and sixty where fifty and fifty were due: 2 × 10² / 50.
        let fit = of(&[50, 50], &[40, 60]).unwrap();
        assert!((fit.statistic - 4.0).abs() < 1e-12);
        assert_eq!(fit.freedom, 1);
        assert!((fit.p - 0.045_500_263_9).abs() < 1e-6, "{}", fit.p);
    }

    #[test]
    fn clients_who_honour_the_weights_fit_the_shares_and_no_others() {
        for percents in [
            &[50, 50][..],
            &[98, 2],
            &[5, 95],
            &[25, 25, 25, 25],
            &[10, 20, 70],
        ] {
            let weights: Vec<u16> = percents.iter().map(|p| *p as u16).collect();
            let right = of(percents, &clients(&weights, 500)).unwrap();
            assert!(right.p > 0.2, "{percents:?}: {right:?}");
        }
        let even = of(&[75, 25], &clients(&[1, 1], 240)).unwrap();
        assert!(even.p < 1e-6, "{even:?}");
        let ramp = of(&[50, 50], &clients(&[75, 25], 240)).unwrap();
        assert!(ramp.p < 1e-6, "a step behind: {ramp:?}");
    }

    #[test]
    fn traffic_where_no_share_is_does_not_fit() {
        assert_eq!(of(&[100, 0], &[239, 1]).unwrap().p, 0.0);
        assert_eq!(
            of(&[100, 0], &[240, 0]),
            None,
            "one part alone cannot differ"
        );
    }

    #[test]
    fn small_parts_are_taken_together() {
        let fit = of(&[97, 1, 1, 1], &[194, 6, 0, 0]).unwrap();
        assert_eq!((fit.freedom, fit.statistic), (1, 0.0));
        assert_eq!(of(&[50, 50], &[1, 2]), None, "too few to tell");
    }
}
