//! The stretch of a trace that is played, and a policy in full time.

use super::Error;
use crate::model::*;

/// Before the books are opened everything runs for a while, so that nobody is judged by his first minutes.
pub const WARM_UP: Span = Span::secs(3_600);
const DAY: Span = Span::secs(86_400);
/// The horizon is at least so many steps of the trace.
const STEPS_AHEAD: i64 = 3;

/// The trace with its highest value at the peak; what is missing is bridged.
pub fn scaled(trace: &Series, peak: Rps) -> Result<Series, Error> {
    if peak.0 <= 0.0 {
        return Err(Error::NoPeak);
    }
    let highest = trace
        .values
        .iter()
        .copied()
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    if highest <= 0.0 {
        return Err(Error::NoDemand);
    }
    let mut values: Vec<f64> = trace
        .values
        .iter()
        .map(|v| v.max(0.0) * peak.0 / highest)
        .collect();
    // `max` turned what is missing to 0: the original tells.
    for (value, told) in values.iter_mut().zip(&trace.values) {
        if !told.is_finite() {
            *value = f64::NAN;
        }
    }
    bridge(&mut values);
    Ok(Series { values, ..*trace })
}

fn bridge(values: &mut [f64]) {
    let known: Vec<usize> = (0..values.len())
        .filter(|k| values[*k].is_finite())
        .collect();
    for k in 0..values.len() {
        if values[k].is_finite() {
            continue;
        }
        let before = known.iter().rev().find(|i| **i < k).copied();
        let after = known.iter().find(|i| **i > k).copied();
        values[k] = match (before, after) {
            (Some(a), Some(b)) => {
                let part = (k - a) as f64 / (b - a) as f64;
                values[a] + (values[b] - values[a]) * part
            }
            (Some(a), None) => values[a],
            (None, Some(b)) => values[b],
            (None, None) => 0.0,
        };
    }
}

/// From when to when is played.
pub fn stretch(trace: &Series, days: u32) -> (Moment, Moment) {
    let until = trace.start
        + trace
            .step
            .times(trace.values.len().saturating_sub(1) as i64);
    let from = until - DAY.times(i64::from(days));
    (from.max(trace.start), until)
}

/// The policy as it would be written for a day of 24 hours and the trace's step: what is written for the compressed time of a
/// sandbox (its `season` is no day) has its budgets scaled to the day. Times of reaction stay as they are.
pub fn full_time(mut policy: Policy, step: Span) -> Policy {
    let factor = DAY.0 as f64 / policy.season.0.max(1) as f64;
    policy.budget.shadow = CoreHours(policy.budget.shadow.0 * factor);
    policy.budget.standby = CoreHours(policy.budget.standby.0 * factor);
    policy.season = DAY;
    policy.step = step;
    policy.horizon = policy.horizon.max(step.times(STEPS_AHEAD));
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_is_scaled_to_the_peak_and_its_gaps_are_bridged() {
        let trace = Series {
            start: Moment(0),
            step: Span::secs(300),
            values: vec![f64::NAN, 10.0, f64::NAN, 40.0, f64::NAN],
        };
        let scaled = scaled(&trace, Rps(80.0)).unwrap();
        assert_eq!(scaled.values, [20.0, 20.0, 50.0, 80.0, 80.0]);
        assert_eq!(super::scaled(&trace, Rps(0.0)), Err(Error::NoPeak));
    }

    #[test]
    fn a_policy_in_a_sandboxs_time_gets_the_budget_of_a_whole_day() {
        let policy = Policy {
            season: Span::secs(144),
            step: Span::secs(1),
            budget: Budget {
                standby: CoreHours(0.2),
                ..Budget::default()
            },
            ..Policy::default()
        };
        let full = full_time(policy, Span::secs(300));
        assert_eq!((full.season, full.step), (DAY, Span::secs(300)));
        assert!((full.budget.standby.0 - 120.0).abs() < 1e-9);
        assert_eq!(full.horizon, Span::secs(900));
    }
}
