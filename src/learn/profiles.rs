//! From measurements to what is believed of a portion on a kind of resource.

use super::evidence;
use crate::model::*;

/// Takes a measurement into the profile of its key. Evidence of another release never gets here: the key holds the release.
/// Older runs count for half after each `half_life`, and for a tenth once a run says that the place has changed.
pub fn fold(before: Option<&Profile>, m: &Measurement, half_life: Span) -> Profile {
    let samples: u64 = m.points.iter().map(|p| p.requests).sum();
    let (evidence, _) = evidence::take(before, m, half_life);
    let knee = Rps(mean(evidence.knee));
    // The newest run's part of the evidence: what is no logarithm is mixed alike.
    let newest = 1.0 / evidence.knee.runs.max(1.0);
    let mix = |old: f64, new: f64| old + (new - old) * newest;
    let (runs, before_samples) = before.map_or((0, 0), |p| (p.runs, p.samples));
    Profile {
        key: m.key.clone(),
        knee,
        knee_spread: Rps(knee.0 * evidence::between_runs(evidence.knee)),
        cpu_a_request: mean(evidence.cpu),
        bytes_a_request: match before {
            // A run that nobody answered says nothing of how long answers are.
            Some(p) if m.bytes_a_request == 0.0 => p.bytes_a_request,
            Some(p) => mix(p.bytes_a_request, m.bytes_a_request),
            None => m.bytes_a_request,
        },
        memory: before.map_or(m.memory, |p| p.memory.max(m.memory)),
        startup: Span(mean(evidence.startup) as i64),
        curve: m.points.clone(),
        details: m.details.clone(),
        runs: runs + 1,
        samples: before_samples + samples,
        at: m.at,
        evidence,
    }
}

/// Back from the logarithm; nothing measured is nothing.
fn mean(of: Faded) -> f64 {
    if of.runs > 0.0 { of.mean.exp() } else { 0.0 }
}

/// Whether a run says that the place is not what it was.
pub fn changed(before: Option<&Profile>, m: &Measurement, half_life: Span) -> bool {
    evidence::take(before, m, half_life).1
}

/// What was learned, in one sentence with numbers.
pub fn sentence(before: Option<&Profile>, now: &Profile, m: &Measurement) -> String {
    let more = if m.knee_open { "at least " } else { "" };
    let changed = changed(before, m, now.evidence.half_life);
    let change = before.map_or_else(
        || "first evidence".to_string(),
        |b| {
            let word = match changed {
                true => "; it has changed, older runs count for a tenth",
                false => "",
            };
            format!("{} before, now believed {}{word}", b.knee, now.knee)
        },
    );
    format!(
        "{} at {} ({}): carries {more}{} within the SLO ({change}); {:.1} MHz·s a request, ready after {} ms",
        m.key.portion,
        m.key.site,
        m.key.class.shown(),
        m.knee,
        m.cpu_a_request,
        m.startup.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(at: i64, knee: f64) -> Measurement {
        Measurement {
            key: ProfileKey {
                portion: "web".into(),
                release: "1".into(),
                site: "edge-a".into(),
                class: "small".into(),
            },
            at: Moment(at),
            points: Vec::new(),
            knee: Rps(knee),
            knee_open: false,
            cpu_a_request: 5.0,
            bytes_a_request: 900.0,
            memory: MiB(30.0),
            startup: Span::millis(800),
            details: Details::default(),
            cut_short: None,
            judged: None,
        }
    }

    /// Runs ten seconds apart.
    fn after(knees: &[f64], half_life: Span) -> Profile {
        let mut all = knees.iter().zip(0..);
        let first = fold(None, &run(0, *all.next().expect("a run").0), half_life);
        all.fold(first, |p, (knee, i)| {
            fold(Some(&p), &run(i * 10_000, *knee), half_life)
        })
    }

    #[test]
    fn latency_is_read_between_the_loads_measured_and_not_beyond_them() {
        let point = |rate: f64, late: f64| LoadPoint {
            rate: Rps(rate),
            requests: 100,
            failed: 0,
            p50: Millis(late),
            p90: Millis(late),
            p99: Millis(late),
            at_slo: Millis(late),
            good: true,
        };
        // Halving searches measure loads out of order.
        let mut profile = after(&[30.0], Span::secs(10));
        profile.curve = vec![point(10.0, 20.0), point(40.0, 200.0), point(20.0, 30.0)];
        let at = |rate: f64| profile.latency_at(Rps(rate)).map(|m| m.0);
        assert_eq!(at(5.0), Some(20.0));
        assert_eq!(at(15.0), Some(25.0));
        assert_eq!(at(30.0), Some(115.0));
        assert_eq!(at(41.0), None);
        let none = after(&[30.0], Span::secs(10));
        assert_eq!(none.latency_at(Rps(1.0)), None, "no curve");
    }

    #[test]
    fn a_run_that_nobody_answered_leaves_what_is_known_of_the_length_of_answers() {
        let long = Span::secs(100_000);
        let known = fold(None, &run(0, 30.0), long);
        let unanswered = Measurement {
            bytes_a_request: 0.0,
            ..run(10_000, 5.0)
        };
        assert_eq!(fold(Some(&known), &unanswered, long).bytes_a_request, 900.0);
        let longer = Measurement {
            bytes_a_request: 1_900.0,
            ..run(10_000, 30.0)
        };
        let both = fold(Some(&known), &longer, long).bytes_a_request;
        assert!((both - 1_400.0).abs() < 1.0, "{both}");
    }

    #[test]
    fn more_runs_that_agree_leave_less_spread() {
        let long = Span::secs(100_000);
        let one = after(&[30.0], long);
        let many = after(&[30.0, 30.5, 29.5, 30.0, 30.2, 29.8], long);
        assert_eq!(one.knee, Rps(30f64.ln().exp()));
        assert!(many.knee_spread.0 < one.knee_spread.0 * 0.7);
        assert_eq!((many.runs, one.runs), (6, 1));
    }

    #[test]
    fn of_two_runs_a_half_life_apart_the_newer_one_counts_twice() {
        let p = after(&[30.0, 33.0], Span::secs(10));
        let expected = (30f64.ln() * 0.5 + 33f64.ln()) / 1.5;
        assert!((p.knee.0.ln() - expected).abs() < 1e-12, "{}", p.knee);
        assert!((p.evidence.knee.runs - 1.5).abs() < 1e-12);
    }

    /// The same, of a run that carried all that was tried.
    fn open(at: i64, knee: f64) -> Measurement {
        Measurement {
            knee_open: true,
            ..run(at, knee)
        }
    }

    #[test]
    fn a_knee_above_what_was_only_known_from_below_is_no_change_of_the_place() {
        let long = Span::secs(100_000);
        let bound = fold(None, &open(0, 24.0), long);
        assert!(bound.evidence.knee_open);
        let found = run(10_000, 90.0);
        let now = fold(Some(&bound), &found, long);
        let told = sentence(Some(&bound), &now, &found);
        assert!(!told.contains("changed"), "{told}");
        assert!((now.knee.0 - 90.0).abs() < 1e-9, "{}", now.knee);
        assert_eq!((now.evidence.knee_open, now.runs), (false, 2));
        assert!((now.evidence.startup.runs - 2.0).abs() < 0.01, "none faded");
        let higher = open(10_000, 80.0);
        let now = fold(Some(&bound), &higher, long);
        assert!(!changed(Some(&bound), &higher, long));
        assert!((now.knee.0 - 80.0).abs() < 1e-9, "{}", now.knee);
        assert!(now.evidence.knee_open, "still from below alone");
    }

    #[test]
    fn a_knee_below_what_was_proven_to_be_carried_is_a_change() {
        let long = Span::secs(100_000);
        let bound = fold(None, &open(0, 24.0), long);
        let slower = run(10_000, 6.0);
        assert!(changed(Some(&bound), &slower, long));
        let now = fold(Some(&bound), &slower, long);
        assert!(now.knee.0 < 8.0, "{}", now.knee);
        assert!(!now.evidence.knee_open);
    }

    #[test]
    fn a_run_that_was_not_asked_for_more_lowers_nothing() {
        let long = Span::secs(100_000);
        let known = after(&[90.0, 92.0, 88.0], long);
        let asked_little = open(40_000, 10.0);
        assert!(!changed(Some(&known), &asked_little, long));
        let now = fold(Some(&known), &asked_little, long);
        assert!((now.knee.0 - known.knee.0).abs() < 1e-9);
        let bound = fold(None, &open(0, 24.0), long);
        let now = fold(Some(&bound), &open(10_000, 10.0), long);
        assert!((now.knee.0 - 24.0).abs() < 1e-9, "{}", now.knee);
        let asked_more_than_known = open(40_000, 400.0);
        assert!(changed(Some(&known), &asked_more_than_known, long));
    }

    #[test]
    fn a_place_that_got_faster_is_believed_at_once_and_the_lesson_says_so() {
        let long = Span::secs(100_000);
        let slow = after(&[8.0, 8.2, 7.9], long);
        let m = run(40_000, 31.0);
        let now = fold(Some(&slow), &m, long);
        assert!(now.knee.0 > 22.0, "{}", now.knee);
        assert!(sentence(Some(&slow), &now, &m).contains("it has changed"));
        let alike = run(40_000, 8.3);
        let now = fold(Some(&slow), &alike, long);
        assert!(!sentence(Some(&slow), &now, &alike).contains("it has changed"));
    }
}
