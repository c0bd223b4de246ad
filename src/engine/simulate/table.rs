//! All strategies over the same traces, under the same faults, side by side.

use super::{Error, Order, Report, Strategy, simulate, threads};
use std::ops::RangeInclusive;

/// In the order of a row's reports.
pub const STRATEGIES: [Strategy; 4] = [
    Strategy::Foreshadow,
    Strategy::Reactive,
    Strategy::Static,
    Strategy::Oracle,
];

/// One trace under the faults of several seeds.
pub struct Row {
    pub trace: String,
    /// A seed's reports, in the order of [`STRATEGIES`].
    pub runs: Vec<[Report; 4]>,
}

/// Runs every strategy over each named trace, with the faults of each seed from `orders`' own on. Their strategy is not looked at.
///
/// # Errors
/// When a run cannot be made: what is wrong with its policy, jobs or trace.
pub fn compare(orders: Vec<(String, Order)>, seeds: u64) -> Result<Vec<Row>, Error> {
    let (kinds, seeds) = (STRATEGIES.len(), seeds as usize);
    let mut ran = threads::each(orders.len() * seeds * kinds, |n| {
        let order = orders[n / (seeds * kinds)].1.clone();
        let seed = order.seed.saturating_add((n / kinds % seeds) as u64);
        simulate(Order {
            strategy: STRATEGIES[n % kinds],
            seed,
            ..order
        })
    })
    .into_iter();
    let mut row = |(trace, _)| {
        let mut runs = Vec::new();
        for _ in 0..seeds {
            let four: Result<Vec<Report>, _> = ran.by_ref().take(kinds).collect();
            runs.extend(<[Report; 4]>::try_from(four?));
        }
        Ok(Row { trace, runs })
    };
    orders.into_iter().map(&mut row).collect()
}

/// A figure of one strategy, relative to that of another: over all seeds together, and within which bounds each seed's lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    pub all: f64,
    pub each: RangeInclusive<f64>,
}

impl Row {
    /// Mean over the seeds of a figure of the strategy at `of` in [`STRATEGIES`].
    pub fn mean(&self, of: usize, figure: fn(&Report) -> f64) -> f64 {
        let all = self.runs.iter().map(|four| figure(&four[of]));
        all.sum::<f64>() / self.runs.len() as f64
    }

    /// How the first strategy's figure stands against that of the one at `against`.
    pub fn ratio(&self, against: usize, figure: fn(&Report) -> f64) -> Ratio {
        let each = self.runs.iter();
        let each = each.map(|four| figure(&four[0]) / figure(&four[against]));
        let (least, most) = each.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), r| {
            (a.min(r), b.max(r))
        });
        Ratio {
            all: self.mean(0, figure) / self.mean(against, figure),
            each: least..=most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(violation_seconds: f64, core_hours: f64) -> Report {
        Report {
            violation_seconds,
            core_hours,
            ..Report::default()
        }
    }

    #[test]
    fn a_figure_is_told_over_all_seeds_and_between_which_bounds_each_lies() {
        let run = |ours: f64, theirs: f64| {
            [
                report(ours, 6.0),
                report(theirs, 4.0),
                report(0.0, 8.0),
                report(0.0, 3.0),
            ]
        };
        let row = Row {
            trace: "a".into(),
            runs: vec![run(10.0, 100.0), run(60.0, 100.0)],
        };
        let violations = row.ratio(1, |r| r.violation_seconds);
        assert_eq!(violations.all, 0.35);
        assert_eq!(violations.each, 0.1..=0.6);
        assert_eq!(row.ratio(3, |r| r.core_hours).all, 2.0);
        // Nothing to stand against.
        assert!(!row.ratio(2, |r| r.violation_seconds).all.is_finite());
    }
}
