//! Runs of one place as evidence that fades: weighted sums over the logarithm of what was measured.

use crate::model::*;

/// Standard deviation of the logarithm from one run to the next, before runs can show their own, and how many runs' worth
/// that opinion has.
pub(super) const RUN: f64 = 0.2;
pub(super) const RUN_WEIGHT: f64 = 2.0;
/// A run so many standard deviations from what was believed says that the place has changed …
const SURPRISE: f64 = 3.0;
/// … and what was known before counts for so much from then on.
const AFTER_CHANGE: f64 = 0.1;

/// What is left of a run after `age`: half after each half-life. Without a half-life nothing fades.
pub fn left(age: Span, half_life: Span) -> f64 {
    if half_life.0 <= 0 {
        return 1.0;
    }
    0.5f64.powf(age.0.max(0) as f64 / half_life.0 as f64)
}

/// The same evidence later.
pub fn fade(of: Faded, by: f64) -> Faded {
    Faded {
        runs: of.runs * by,
        mean: of.mean,
        squares: of.squares * by,
    }
}

/// Takes one more run in (West's update of weighted mean and sum of squares, CACM 1979). What is no positive number
/// teaches nothing.
pub fn add(of: Faded, value: f64) -> Faded {
    if !(value.is_finite() && value > 0.0) {
        return of;
    }
    let runs = of.runs + 1.0;
    let off = value.ln() - of.mean;
    Faded {
        runs,
        mean: of.mean + off / runs,
        squares: of.squares + of.runs * off * off / runs,
    }
}

/// Takes in a run that says that the place has changed: the leap is no spread from one run to the next.
fn leap(of: Faded, value: f64) -> Faded {
    Faded {
        squares: of.squares,
        ..add(of, value)
    }
}

/// Standard deviation of the logarithm between runs, with the prior's share while runs are few.
pub fn between_runs(of: Faded) -> f64 {
    let seen = (of.runs - 1.0).max(0.0);
    ((RUN_WEIGHT * RUN * RUN + of.squares) / (RUN_WEIGHT + seen)).sqrt()
}

/// Whether a run lies outside of all that was to be expected of the place.
pub fn surprises(of: Faded, value: f64) -> bool {
    if of.runs <= 0.0 || !(value.is_finite() && value > 0.0) {
        return false;
    }
    let sd = between_runs(of) * (1.0 + 1.0 / of.runs).sqrt();
    (value.ln() - of.mean).abs() > SURPRISE * sd
}

/// The profile's evidence as it was at its own time; one that kept none is read from its numbers.
pub fn of(profile: &Profile) -> Evidence {
    let kept = profile.evidence;
    if kept.knee.runs > 0.0 || profile.runs == 0 {
        return kept;
    }
    let runs = f64::from(profile.runs);
    let made = |value: f64, spread: f64| match value > 0.0 {
        true => Faded {
            runs,
            mean: value.ln(),
            squares: runs * spread * spread,
        },
        false => Faded::default(),
    };
    let spread = profile.knee_spread.0 / profile.knee.0.max(0.1);
    Evidence {
        half_life: kept.half_life,
        knee: made(profile.knee.0, spread),
        knee_open: false,
        startup: made(profile.startup.0 as f64, spread),
        cpu: made(profile.cpu_a_request, spread),
    }
}

/// Whether a run says that the place has changed. "At least so much" is contradicted from one side alone.
fn contradicts(was: Faded, open: bool, m: &Measurement) -> bool {
    let off = m.knee.0.max(f64::MIN_POSITIVE).ln() - was.mean;
    let possible = (open && off > 0.0) || (m.knee_open && off < 0.0);
    !possible && surprises(was, m.knee.0)
}

/// Takes in a knee that contradicts nothing. A bound from below lifts what is believed and never lowers it; the first knee that
/// is found takes the place of all bounds before it (runs that end without an event are censored: Kaplan & Meier, JASA 1958).
fn knee(was: Faded, open: bool, m: &Measurement) -> (Faded, bool) {
    let alone = add(Faded::default(), m.knee.0);
    if was.runs <= 0.0 || alone.runs <= 0.0 {
        return (add(was, m.knee.0), m.knee_open);
    }
    let higher = alone.mean > was.mean;
    match (open, m.knee_open) {
        (true, false) => (alone, false),
        (true, true) => {
            let runs = was.runs + 1.0;
            let mean = was.mean.max(alone.mean);
            (Faded { runs, mean, ..was }, true)
        }
        (false, true) if !higher => (was, false),
        (false, _) => (add(was, m.knee.0), false),
    }
}

/// What one more measurement makes of it, and whether it says that the place has changed.
pub fn take(before: Option<&Profile>, m: &Measurement, half_life: Span) -> (Evidence, bool) {
    let old = before.map(of).unwrap_or_default();
    let age = before.map_or(Span(0), |p| m.at.since(p.at));
    let by = left(age, half_life);
    let was = fade(old.knee, by);
    let changed = contradicts(was, old.knee_open, m);
    let next = |was: Faded, value: f64| {
        let was = fade(was, by);
        match (changed, surprises(was, value)) {
            (true, true) => leap(fade(was, AFTER_CHANGE), value),
            (true, false) => add(fade(was, AFTER_CHANGE), value),
            (false, _) => add(was, value),
        }
    };
    let (knee, knee_open) = match changed {
        true => (next(old.knee, m.knee.0), m.knee_open),
        false => knee(was, old.knee_open, m),
    };
    let evidence = Evidence {
        half_life,
        knee,
        knee_open,
        startup: next(old.startup, m.startup.0 as f64),
        cpu: next(old.cpu, m.cpu_a_request),
    };
    (evidence, changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(values: &[f64]) -> Faded {
        values.iter().fold(Faded::default(), |f, v| add(f, *v))
    }

    #[test]
    fn without_fading_the_sums_are_mean_and_squares_of_the_logarithms() {
        let f = runs(&[10.0, 20.0, 40.0]);
        assert!((f.mean - 20f64.ln()).abs() < 1e-12);
        let squares = 2.0 * (2f64.ln()).powi(2);
        assert!((f.squares - squares).abs() < 1e-12);
        assert_eq!(f.runs, 3.0);
    }

    #[test]
    fn a_run_counts_for_half_after_each_half_life() {
        let day = Span::secs(86_400);
        assert_eq!(left(Span(0), day), 1.0);
        assert_eq!(left(day, day), 0.5);
        assert_eq!(left(day.times(3), day), 0.125);
        assert_eq!(left(day, Span(0)), 1.0, "no half-life, no fading");
    }

    #[test]
    fn a_value_that_is_no_positive_number_teaches_nothing() {
        let f = runs(&[10.0]);
        for v in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(add(f, v), f);
            assert!(!surprises(f, v));
        }
    }

    #[test]
    fn a_place_that_has_changed_is_known_as_well_as_its_new_runs_tell() {
        let key = ProfileKey {
            portion: "web".into(),
            release: "1".into(),
            site: "edge-a".into(),
            class: "small".into(),
        };
        let before = Profile {
            key: key.clone(),
            evidence: Evidence {
                half_life: Span(0),
                knee: runs(&[4.0, 4.2, 3.9]),
                knee_open: false,
                startup: runs(&[800.0; 3]),
                cpu: runs(&[5.0; 3]),
            },
            knee: Rps(4.0),
            knee_spread: Rps(0.1),
            cpu_a_request: 5.0,
            bytes_a_request: 900.0,
            memory: MiB(30.0),
            startup: Span::millis(800),
            curve: Vec::new(),
            details: Details::default(),
            runs: 3,
            samples: 100,
            at: Moment(0),
        };
        let m = Measurement {
            key,
            at: Moment(0),
            points: Vec::new(),
            knee: Rps(40.0),
            knee_open: false,
            cpu_a_request: 5.0,
            bytes_a_request: 900.0,
            memory: MiB(30.0),
            startup: Span::millis(800),
            details: Details::default(),
            cut_short: None,
            judged: None,
        };
        let (now, changed) = take(Some(&before), &m, Span(0));
        assert!(changed);
        assert!((now.knee.runs - 1.3).abs() < 1e-12);
        assert!(now.knee.squares <= before.evidence.knee.squares);
        assert!(between_runs(now.knee) <= RUN, "{:?}", now.knee);
        assert!((now.startup.runs - 1.3).abs() < 1e-12);
    }

    #[test]
    fn only_a_run_far_from_all_that_was_to_be_expected_is_a_surprise() {
        let f = runs(&[30.0, 31.0, 29.0]);
        assert!(!surprises(f, 24.0));
        assert!(surprises(f, 8.0) && surprises(f, 120.0));
        assert!(!surprises(Faded::default(), 8.0), "nothing was expected");
    }
}
