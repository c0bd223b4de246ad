//! Counts in two by two tables: errors, and how many requests lie in the tail.

use super::{Found, one_sided};
use statrs::distribution::{ChiSquared, ContinuousCDF};
use statrs::stats_tests::Alternative;
use statrs::stats_tests::fisher::fishers_exact;

/// Below this expected count the chi-square approximation is not trusted (Cochran 1954).
const FEW: f64 = 5.0;
/// Beyond this many requests the exact test costs more than it gives.
const MANY: u64 = 1_000_000;

/// Of `n` requests, so many were bad.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub bad: u64,
    pub n: u64,
}

impl Share {
    fn part(self) -> f64 {
        self.bad as f64 / self.n.max(1) as f64
    }
}

/// Whether the shadow has the larger share of bad requests, one-sided. Fisher's exact test where a cell of the table expects
/// fewer than five (statistic: the odds ratio of the sample), else chi-square with Yates' correction (its p halved, as the
/// direction is known). The effect is the difference of the shares.
pub(super) fn more(baseline: Share, shadow: Share) -> Found {
    let effect = shadow.part() - baseline.part();
    let all = (baseline.n + shadow.n) as f64;
    let bad = (baseline.bad + shadow.bad) as f64;
    if bad == 0.0 || bad == all || baseline.n == 0 || shadow.n == 0 {
        return Found {
            statistic: 0.0,
            p: 1.0,
            effect,
        };
    }
    let least = [baseline, shadow]
        .iter()
        .map(|s| s.n as f64 / all * bad.min(all - bad))
        .fold(f64::MAX, f64::min);
    if least < FEW && baseline.n + shadow.n <= MANY {
        exact(baseline, shadow, effect)
    } else {
        chi_square(baseline, shadow, effect)
    }
}

fn exact(baseline: Share, shadow: Share, effect: f64) -> Found {
    let (a, b) = (shadow.bad, shadow.n - shadow.bad);
    let (c, d) = (baseline.bad, baseline.n - baseline.bad);
    let p = fishers_exact(&[a, b, c, d], Alternative::Greater).unwrap_or(1.0);
    let odds = (a as f64 * d as f64) / (b as f64 * c as f64).max(0.5);
    Found {
        statistic: odds,
        p: p.clamp(0.0, 1.0),
        effect,
    }
}

fn chi_square(baseline: Share, shadow: Share, effect: f64) -> Found {
    let (n, m) = (shadow.n as f64, baseline.n as f64);
    let (a, c) = (shadow.bad as f64, baseline.bad as f64);
    let (b, d) = (n - a, m - c);
    let off = ((a * d - b * c).abs() - (n + m) / 2.0).max(0.0);
    let statistic = (n + m) * off * off / ((a + b) * (c + d) * (a + c) * (b + d));
    let two_sided = ChiSquared::new(1.0).map_or(1.0, |chi| chi.sf(statistic));
    Found {
        statistic,
        p: one_sided(two_sided, effect > 0.0),
        effect,
    }
}
