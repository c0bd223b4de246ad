//! When does a failed allocation get a successor?

use super::super::json::*;
use super::super::state::alloc::Alloc;
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Now; the delay (ns) that the policy asked for.
    Now(i64),
    /// At that time (ns since the epoch).
    Later(i64),
    Never,
}

/// What the group's reschedule policy says of an allocation that has failed.
pub(super) fn verdict(alloc: &Alloc, group: &Value, now: i64) -> Verdict {
    let Some(policy) = group.get("ReschedulePolicy").filter(|p| p.is_object()) else {
        return Verdict::Never;
    };
    let (attempts, interval) = (int(policy, "Attempts"), int(policy, "Interval"));
    let recent = alloc
        .reschedules
        .iter()
        .filter(|r| now - r.0 < interval)
        .count() as i64;
    if !flag(policy, "Unlimited") && (attempts == 0 || recent >= attempts) {
        return Verdict::Never;
    }
    let delay = delay(
        policy,
        &alloc.reschedules.iter().map(|r| r.3).collect::<Vec<_>>(),
    );
    let failed_at = alloc.tasks.values().map(|t| t.finished).max().unwrap_or(0);
    let due = failed_at + delay;
    if due <= now {
        Verdict::Now(delay)
    } else {
        Verdict::Later(due)
    }
}

/// The next delay after those that have been waited.
fn delay(policy: &Value, before: &[i64]) -> i64 {
    let base = int(policy, "Delay");
    let max = int(policy, "MaxDelay");
    let grown = match (text(policy, "DelayFunction"), before) {
        (_, []) | ("constant", _) => return base,
        ("fibonacci", [.., a, b]) => a + b,
        ("fibonacci", [_]) => base,
        (_, [.., last]) => last * 2,
    };
    if max > 0 { grown.min(max) } else { grown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn delays_grow_as_the_policy_says_and_stop_at_its_maximum() {
        let policy = |f: &str| json!({"Delay": 5, "DelayFunction": f, "MaxDelay": 30});
        assert_eq!(delay(&policy("constant"), &[5, 5]), 5);
        assert_eq!(delay(&policy("exponential"), &[]), 5);
        assert_eq!(delay(&policy("exponential"), &[5, 10]), 20);
        assert_eq!(delay(&policy("exponential"), &[5, 10, 20]), 30);
        assert_eq!(delay(&policy("fibonacci"), &[5, 5]), 10);
    }
}
