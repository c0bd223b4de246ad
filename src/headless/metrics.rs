//! The view as Prometheus metrics (text exposition 0.0.4), and what the process counts by itself.
//!
//! Names and units follow Prometheus' own conventions (<https://prometheus.io/docs/practices/naming/>): base units, `_total` for what
//! only grows. Each scrape is made anew from the latest view, so that a portion that has gone is gone here too.

use super::exposition::Text;
use crate::engine::view::{Health, Mode, PortionView, REACTION_BOUNDS, View};
use crate::model::{Moment, Span};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use std::time::Duration;

/// Seconds of turns, finer about what they should take at most.
const TURNS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// What was counted is summed up so often, scraped or not: single values are kept no longer.
const SUM_UP: Duration = Duration::from_secs(30);
const HEALTHS: [(Health, &str); 5] = [
    (Health::Good, "good"),
    (Health::Unknown, "unknown"),
    (Health::Watch, "watch"),
    (Health::Moving, "moving"),
    (Health::Breach, "breach"),
];

/// Every metric, its type by the first letter (counter, gauge, histogram), and what it means.
const METRICS: &[(char, &str, &str)] = &[
    (
        'g',
        "foreshadow_build_info",
        "1, with the version as a label",
    ),
    ('c', "foreshadow_cycles_total", "Turns of the loop"),
    (
        'h',
        "foreshadow_cycle_duration_seconds",
        "How long a turn of the loop takes, from the look to what is kept",
    ),
    (
        'h',
        "foreshadow_cycle_part_duration_seconds",
        "How long its parts take",
    ),
    ('g', "foreshadow_view_age_seconds", "Age of the newest view"),
    (
        'g',
        "foreshadow_acting",
        "1 where it may write, 0 where it observes",
    ),
    (
        'g',
        "foreshadow_hold",
        "1 while foreshadow/hold is set or cannot be read",
    ),
    ('g', "foreshadow_leader", "1 where this process leads"),
    (
        'g',
        "foreshadow_epoch",
        "Fencing epoch of this process's lease; 0 without one",
    ),
    ('g', "foreshadow_blind", "Things that cannot be seen now"),
    (
        'g',
        "foreshadow_reading_age_seconds",
        "Age of the oldest reading of its kind; absent while one is missing",
    ),
    (
        'g',
        "foreshadow_reading_known",
        "0 while a reading of the kind is missing",
    ),
    (
        'c',
        "foreshadow_decisions_total",
        "Steps that were cleared, by verb and cause",
    ),
    (
        'c',
        "foreshadow_holds_total",
        "Steps that were held, by the law that held them",
    ),
    (
        'g',
        "foreshadow_steps_waiting",
        "Steps of the plan that wait",
    ),
    (
        'c',
        "foreshadow_weight_writes_total",
        "Writes of shares that were handed on",
    ),
    (
        'c',
        "foreshadow_weight_writes_delayed_total",
        "Writes put off for the write budget",
    ),
    ('c', "foreshadow_switchovers_total", "Switchovers"),
    (
        'c',
        "foreshadow_failbacks_total",
        "Returns to the primaries",
    ),
    (
        'c',
        "foreshadow_preallocations_total",
        "Standbys placed before the need",
    ),
    ('c', "foreshadow_shadows_total", "Shadows started"),
    ('c', "foreshadow_measurements_total", "Shadows measured"),
    ('c', "foreshadow_lessons_total", "Lessons"),
    ('g', "foreshadow_shadows_running", "Shadows that run now"),
    (
        'g',
        "foreshadow_shadow_budget_left_core_seconds",
        "Core-seconds left for shadows",
    ),
    (
        'g',
        "foreshadow_spent_core_seconds",
        "Core-seconds spent since the season began, by use",
    ),
    (
        'h',
        "foreshadow_reaction_seconds",
        "From a health API's wake-up to the last weight of a prepared switch",
    ),
    (
        'g',
        "foreshadow_portion_health",
        "1 for the health that the portion has",
    ),
    (
        'g',
        "foreshadow_portion_requests_per_second",
        "Requests a second",
    ),
    (
        'g',
        "foreshadow_portion_latency_seconds",
        "Latency at the level of the label",
    ),
    (
        'g',
        "foreshadow_portion_success_ratio",
        "Part of requests answered well",
    ),
    (
        'g',
        "foreshadow_portion_capacity_requests_per_second",
        "What ready instances carry within the SLO, by profile",
    ),
    (
        'g',
        "foreshadow_forecast_requests_per_second",
        "The forecast's next point, by level",
    ),
    (
        'g',
        "foreshadow_forecast_error_requests_per_second",
        "How far forecasts were off lately, on average",
    ),
    (
        'g',
        "foreshadow_forecast_coverage_ratio",
        "Part of readings within the 80 % band lately",
    ),
    (
        'g',
        "foreshadow_weight_desired_ratio",
        "An instance's share as it should be",
    ),
    (
        'g',
        "foreshadow_weight_observed_ratio",
        "An instance's share as clients are told it (DNS)",
    ),
    (
        'g',
        "foreshadow_site_hazard_ratio",
        "Probability that the site fails within the horizon",
    ),
    (
        'h',
        "foreshadow_api_request_duration_seconds",
        "Answers of Nomad, Consul and metrics endpoints, blocking queries left out",
    ),
    (
        'c',
        "foreshadow_api_requests_total",
        "Requests to Nomad, Consul and metrics endpoints, by outcome",
    ),
];

/// Names of all metrics, as dashboards and alerts may use them; histograms without their suffixes.
pub fn names() -> impl Iterator<Item = &'static str> {
    METRICS.iter().map(|m| m.1)
}

/// What the process counts by itself: the answers of the systems it asks.
#[derive(Clone)]
pub struct Counted(PrometheusHandle);

impl Counted {
    /// Begins to count, for the whole process.
    ///
    /// # Errors
    /// When something counts already.
    pub fn begin() -> Result<Counted, String> {
        let recorder = recorder().map_err(|e| e.to_string())?;
        metrics::with_local_recorder(&recorder, describe);
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|e| e.to_string())?;
        Ok(Counted(handle))
    }

    /// Sums up what was counted, until it is dropped.
    pub async fn keep(self) {
        let mut ticks = tokio::time::interval(SUM_UP);
        loop {
            ticks.tick().await;
            self.0.run_upkeep();
        }
    }
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    // From a write to an agent on loopback to an answer that never came.
    let seconds = REACTION_BOUNDS.map(|ms| ms / 1000.0);
    Ok(PrometheusBuilder::new()
        .set_buckets(&seconds)?
        .set_buckets_for_metric(Matcher::Prefix("foreshadow_cycle_".into()), &TURNS)?
        .build_recorder())
}

/// The exposition: what the view tells at `now`, then what the process counted.
///
/// # Errors
/// When the buckets are none, which they are not.
pub fn exposition(
    view: &View,
    now: Moment,
    counted: Option<&Counted>,
) -> Result<String, BuildError> {
    let mut text = Text::default();
    of_the_loop(&mut text, view, now);
    of_readings(&mut text, view);
    of_budgets(&mut text, view);
    view.portions.iter().for_each(|p| of_portion(&mut text, p));
    for site in &view.sites {
        text.put(
            "foreshadow_site_hazard_ratio",
            &[("site", site.site.as_str())],
            site.hazard.0,
        );
    }
    let mut text = text.whole(METRICS);
    if let Some(Counted(handle)) = counted {
        handle.run_upkeep();
        text += &handle.render();
    }
    Ok(text)
}

fn describe() {
    for (kind, name, what) in METRICS {
        match kind {
            'c' => describe_counter!(*name, *what),
            'h' => describe_histogram!(*name, *what),
            _ => describe_gauge!(*name, *what),
        }
    }
}

fn of_the_loop(text: &mut Text, view: &View, now: Moment) {
    let yes = |is: bool| f64::from(u8::from(is));
    text.put(
        "foreshadow_build_info",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1.0,
    );
    text.put("foreshadow_cycles_total", &[], view.cycle as f64);
    text.put(
        "foreshadow_view_age_seconds",
        &[],
        seconds(now.since(view.at)),
    );
    text.put("foreshadow_acting", &[], yes(view.mode == Mode::Act));
    text.put("foreshadow_hold", &[], yes(view.hold.is_some()));
    text.put("foreshadow_leader", &[], yes(view.epoch.0 > 0));
    text.put("foreshadow_epoch", &[], view.epoch.0 as f64);
    text.put("foreshadow_blind", &[], view.blind.len() as f64);
    text.put("foreshadow_steps_waiting", &[], view.waiting.len() as f64);
    text.put("foreshadow_shadows_running", &[], view.shadows.len() as f64);
    let t = &view.tally;
    for (verb, causes) in &t.decisions {
        for (cause, count) in causes {
            text.put(
                "foreshadow_decisions_total",
                &[("verb", verb), ("cause", cause)],
                *count as f64,
            );
        }
    }
    for (law, count) in &t.holds {
        text.put("foreshadow_holds_total", &[("law", law)], *count as f64);
    }
    for (name, count) in [
        ("foreshadow_weight_writes_total", t.writes),
        ("foreshadow_weight_writes_delayed_total", t.writes_waited),
        ("foreshadow_switchovers_total", t.switchovers),
        ("foreshadow_failbacks_total", t.failbacks),
        ("foreshadow_preallocations_total", t.preallocations),
        ("foreshadow_shadows_total", t.shadows),
        ("foreshadow_measurements_total", t.measurements),
        ("foreshadow_lessons_total", t.lessons),
    ] {
        text.put(name, &[], count as f64);
    }
    if !view.reactions.is_empty() {
        reactions(text, view);
    }
}

/// The histogram of reaction times: it comes counted.
fn reactions(text: &mut Text, view: &View) {
    let all = &view.reactions;
    let within = REACTION_BOUNDS.map(|bound| {
        let below = all
            .iter()
            .filter(|c| c.up_to_ms.is_some_and(|ms| ms <= bound));
        (bound / 1000.0, below.map(|c| c.count).sum())
    });
    let count = all.iter().map(|c| c.count).sum();
    let sum: f64 = all.iter().map(|c| c.sum_ms).sum();
    text.histogram(
        "foreshadow_reaction_seconds",
        &within,
        (count, sum / 1000.0),
    );
}

fn of_readings(text: &mut Text, view: &View) {
    for reading in &view.readings {
        let what = [("reading", reading.what.as_str())];
        let known = f64::from(u8::from(reading.age.is_some()));
        text.put("foreshadow_reading_known", &what, known);
        if let Some(age) = reading.age {
            text.put("foreshadow_reading_age_seconds", &what, seconds(age));
        }
    }
}

fn of_budgets(text: &mut Text, view: &View) {
    for b in &view.budgets {
        let workload = b.workload.as_str();
        text.put(
            "foreshadow_shadow_budget_left_core_seconds",
            &[("workload", workload)],
            b.shadows_left.0 * 3600.0,
        );
        for (of, spent) in [("shadows", b.shadows_spent), ("standbys", b.standbys_spent)] {
            text.put(
                "foreshadow_spent_core_seconds",
                &[("workload", workload), ("use", of)],
                spent.0 * 3600.0,
            );
        }
    }
}

fn of_portion(text: &mut Text, p: &PortionView) {
    let portion = ("portion", p.id.as_str());
    for (health, word) in HEALTHS {
        let is = f64::from(u8::from(p.health == health));
        text.put(
            "foreshadow_portion_health",
            &[portion, ("workload", &p.workload), ("health", word)],
            is,
        );
    }
    if let Some(t) = &p.traffic {
        text.put(
            "foreshadow_portion_requests_per_second",
            &[portion],
            t.rate.0,
        );
        text.put("foreshadow_portion_success_ratio", &[portion], t.success);
        for (level, latency) in [("0.5", t.p50), ("0.99", t.p99)] {
            text.put(
                "foreshadow_portion_latency_seconds",
                &[portion, ("level", level)],
                latency.0 / 1000.0,
            );
        }
    }
    if let Some(capacity) = p.capacity {
        text.put(
            "foreshadow_portion_capacity_requests_per_second",
            &[portion],
            capacity.0,
        );
    }
    if let Some(next) = p.band.first() {
        for (level, value) in [("0.1", next.low), ("0.5", next.mid), ("0.9", next.high)] {
            text.put(
                "foreshadow_forecast_requests_per_second",
                &[portion, ("level", level)],
                value,
            );
        }
    }
    if let Some(error) = p.error {
        text.put(
            "foreshadow_forecast_error_requests_per_second",
            &[portion],
            error.0,
        );
    }
    if let Some(coverage) = p.coverage_80 {
        text.put("foreshadow_forecast_coverage_ratio", &[portion], coverage);
    }
    for i in &p.instances {
        let labels = [
            portion,
            ("site", i.site.as_str()),
            ("role", &*i.role),
            ("alloc", i.alloc.as_str()),
        ];
        text.put(
            "foreshadow_weight_desired_ratio",
            &labels,
            i.desired.fraction(),
        );
        if let Some(observed) = i.observed {
            text.put(
                "foreshadow_weight_observed_ratio",
                &labels,
                observed.fraction(),
            );
        }
    }
}

fn seconds(span: Span) -> f64 {
    span.as_secs_f64()
}
