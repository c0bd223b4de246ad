//! From measurements to what is believed of a portion on a kind of resource.

use crate::model::*;

/// Weight of the newest run: older evidence fades.
const NEW: f64 = 0.5;
/// Relative spread assumed for the knee before runs can show their own.
const PRIOR_SPREAD: f64 = 0.25;

/// Takes a measurement into the profile of its key. Evidence of another release never gets here: the key holds the release.
pub fn fold(before: Option<&Profile>, m: &Measurement) -> Profile {
    let samples: u64 = m.points.iter().map(|p| p.requests).sum();
    let Some(old) = before else {
        return Profile {
            key: m.key.clone(),
            knee: m.knee,
            knee_spread: Rps(m.knee.0 * PRIOR_SPREAD),
            cpu_a_request: m.cpu_a_request,
            bytes_a_request: m.bytes_a_request,
            memory: m.memory,
            startup: m.startup,
            curve: m.points.clone(),
            details: m.details.clone(),
            runs: 1,
            samples,
            at: m.at,
        };
    };
    let mix = |old: f64, new: f64| old + (new - old) * NEW;
    let surprise = (m.knee.0 - old.knee.0).abs();
    Profile {
        key: m.key.clone(),
        knee: Rps(mix(old.knee.0, m.knee.0)),
        knee_spread: Rps(mix(old.knee_spread.0, surprise)),
        cpu_a_request: mix(old.cpu_a_request, m.cpu_a_request),
        bytes_a_request: mix(old.bytes_a_request, m.bytes_a_request),
        memory: old.memory.max(m.memory),
        startup: Span(mix(old.startup.0 as f64, m.startup.0 as f64) as i64),
        curve: m.points.clone(),
        details: m.details.clone(),
        runs: old.runs + 1,
        samples: old.samples + samples,
        at: m.at,
    }
}

/// What was learned, in one sentence with numbers.
pub fn sentence(before: Option<&Profile>, now: &Profile, m: &Measurement) -> String {
    let more = if m.knee_open { "at least " } else { "" };
    let change = before.map_or_else(
        || "first evidence".to_string(),
        |b| format!("{} before, now believed {}", b.knee, now.knee),
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
