//! What risk tolerance means, as one table (the README shows it). Lower tolerance never prepares less.

use crate::model::{Probability, Share, Span};

/// What follows from a risk tolerance.
#[derive(Clone, Debug, PartialEq)]
pub struct Appetite {
    /// How often a (portion, site, class) is shadowed again when nothing is uncertain about it.
    pub shadow_every: Span,
    /// Demand is covered up to this quantile.
    pub demand_level: f64,
    /// A failure is prepared for when it is at least this probable within the horizon.
    pub disruption_above: Probability,
    /// At most so much share moves in one planned step.
    pub max_step: Share,
    /// How much demand that goes unserved in the worst futures counts beside what is expected to: λ of the CVaR. The worst
    /// ones are those beyond `demand_level`.
    pub tail_weight: f64,
    /// Instances are planned to carry this part of their measured knee.
    pub load_factor: f64,
    /// The quantile of what is believed of a place that is counted on: of its knee from below, of its start-up from above.
    pub sure: f64,
    /// A shadow's run counts for half after so long.
    pub half_life: Span,
    /// The part of the policy's budget for shadows that is made use of.
    pub shadow_part: f64,
}

/// `tolerance` in 0…1 (clamped), `season` the policy's day: a cadence is a part of it.
pub fn appetite(tolerance: f64, season: Span) -> Appetite {
    let t = if tolerance.is_finite() {
        tolerance.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let between = |careful: f64, bold: f64| careful + (bold - careful) * t;
    let shadow_every = Span((season.0 as f64 * between(1.0 / 12.0, 2.0)) as i64);
    Appetite {
        // From 12 times a day to once in two days.
        shadow_every,
        demand_level: between(0.99, 0.5),
        disruption_above: Probability(10f64.powf(between(-4.0, -0.3))),
        max_step: Share(between(2500.0, 10_000.0) as u32),
        // From ten times to a tenth.
        tail_weight: 10f64.powf(between(1.0, -1.0)),
        load_factor: between(0.6, 0.9),
        sure: between(0.1, 0.5),
        // What is shadowed as often as it should be keeps most of its evidence.
        half_life: shadow_every.times(2),
        shadow_part: between(1.0, 0.5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lower_tolerance_never_asks_for_less(a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            let day = Span::secs(86_400);
            let (careful, bold) = (appetite(low, day), appetite(high, day));
            prop_assert!(careful.shadow_every <= bold.shadow_every);
            prop_assert!(careful.demand_level >= bold.demand_level);
            prop_assert!(careful.disruption_above.0 <= bold.disruption_above.0);
            prop_assert!(careful.max_step <= bold.max_step);
            prop_assert!(careful.tail_weight >= bold.tail_weight);
            prop_assert!(careful.load_factor <= bold.load_factor);
            prop_assert!(careful.sure <= bold.sure);
            prop_assert!(careful.half_life <= bold.half_life);
            prop_assert!(careful.shadow_part >= bold.shadow_part);
        }
    }
}
