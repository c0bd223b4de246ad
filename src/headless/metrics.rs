//! The view as Prometheus metrics (text exposition 0.0.4), and what the process counts by itself.
//!
//! Names and units follow Prometheus' own conventions (<https://prometheus.io/docs/practices/naming/>): base units, `_total` for what
//! only grows. Each scrape is made anew from the latest view, so that a portion that has gone is gone here too.

use crate::engine::view::{Health, Mode, PortionView, REACTION_BOUNDS, View};
use crate::model::{Moment, Span};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{
    BuildError, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

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
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    // From a write to an agent on loopback to an answer that never came.
    let seconds = REACTION_BOUNDS.map(|ms| ms / 1000.0);
    Ok(PrometheusBuilder::new()
        .set_buckets(&seconds)?
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
    let recorder = recorder()?;
    metrics::with_local_recorder(&recorder, || {
        describe();
        of_the_loop(view, now);
        of_readings(view);
        of_budgets(view);
        view.portions.iter().for_each(of_portion);
        for site in &view.sites {
            gauge!("foreshadow_site_hazard_ratio", "site" => site.site.to_string())
                .set(site.hazard.0);
        }
    });
    let mut text = recorder.handle().render() + &reactions(view);
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

fn of_the_loop(view: &View, now: Moment) {
    let yes = |is: bool| f64::from(u8::from(is));
    gauge!("foreshadow_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    counter!("foreshadow_cycles_total").absolute(view.cycle);
    gauge!("foreshadow_view_age_seconds").set(seconds(now.since(view.at)));
    gauge!("foreshadow_acting").set(yes(view.mode == Mode::Act));
    gauge!("foreshadow_hold").set(yes(view.hold.is_some()));
    gauge!("foreshadow_leader").set(yes(view.epoch.0 > 0));
    gauge!("foreshadow_epoch").set(view.epoch.0 as f64);
    gauge!("foreshadow_blind").set(view.blind.len() as f64);
    gauge!("foreshadow_steps_waiting").set(view.waiting.len() as f64);
    gauge!("foreshadow_shadows_running").set(view.shadows.len() as f64);
    let t = &view.tally;
    for (verb, causes) in &t.decisions {
        for (cause, count) in causes {
            counter!("foreshadow_decisions_total", "verb" => verb.clone(), "cause" => cause.clone()).absolute(*count);
        }
    }
    for (law, count) in &t.holds {
        counter!("foreshadow_holds_total", "law" => law.clone()).absolute(*count);
    }
    counter!("foreshadow_weight_writes_total").absolute(t.writes);
    counter!("foreshadow_weight_writes_delayed_total").absolute(t.writes_waited);
    counter!("foreshadow_switchovers_total").absolute(t.switchovers);
    counter!("foreshadow_failbacks_total").absolute(t.failbacks);
    counter!("foreshadow_preallocations_total").absolute(t.preallocations);
    counter!("foreshadow_shadows_total").absolute(t.shadows);
    counter!("foreshadow_measurements_total").absolute(t.measurements);
    counter!("foreshadow_lessons_total").absolute(t.lessons);
}

/// The histogram of reaction times in its text form: it comes counted, and a recorder would have to be told each of them.
fn reactions(view: &View) -> String {
    const NAME: &str = "foreshadow_reaction_seconds";
    let all = &view.reactions;
    if all.is_empty() {
        return String::new();
    }
    let what = METRICS.iter().find(|m| m.1 == NAME).map_or("", |m| m.2);
    let mut text = format!("# HELP {NAME} {what}\n# TYPE {NAME} histogram\n");
    for bound in REACTION_BOUNDS {
        let within = all
            .iter()
            .filter(|c| c.up_to_ms.is_some_and(|ms| ms <= bound));
        let count: u64 = within.map(|c| c.count).sum();
        text += &format!("{NAME}_bucket{{le=\"{}\"}} {count}\n", bound / 1000.0);
    }
    let count: u64 = all.iter().map(|c| c.count).sum();
    let sum: f64 = all.iter().map(|c| c.sum_ms).sum();
    text += &format!("{NAME}_bucket{{le=\"+Inf\"}} {count}\n");
    text + &format!("{NAME}_sum {}\n{NAME}_count {count}\n\n", sum / 1000.0)
}

fn of_readings(view: &View) {
    for reading in &view.readings {
        let what = || reading.what.clone();
        let known = f64::from(u8::from(reading.age.is_some()));
        gauge!("foreshadow_reading_known", "reading" => what()).set(known);
        if let Some(age) = reading.age {
            gauge!("foreshadow_reading_age_seconds", "reading" => what()).set(seconds(age));
        }
    }
}

fn of_budgets(view: &View) {
    for b in &view.budgets {
        let workload = || b.workload.clone();
        gauge!("foreshadow_shadow_budget_left_core_seconds", "workload" => workload())
            .set(b.shadows_left.0 * 3600.0);
        for (of, spent) in [("shadows", b.shadows_spent), ("standbys", b.standbys_spent)] {
            gauge!("foreshadow_spent_core_seconds", "workload" => workload(), "use" => of)
                .set(spent.0 * 3600.0);
        }
    }
}

fn of_portion(p: &PortionView) {
    let portion = || p.id.to_string();
    for (health, word) in HEALTHS {
        let is = f64::from(u8::from(p.health == health));
        gauge!("foreshadow_portion_health", "portion" => portion(), "workload" => p.workload.clone(), "health" => word).set(is);
    }
    if let Some(t) = &p.traffic {
        gauge!("foreshadow_portion_requests_per_second", "portion" => portion()).set(t.rate.0);
        gauge!("foreshadow_portion_success_ratio", "portion" => portion()).set(t.success);
        for (level, latency) in [("0.5", t.p50), ("0.99", t.p99)] {
            gauge!("foreshadow_portion_latency_seconds", "portion" => portion(), "level" => level)
                .set(latency.0 / 1000.0);
        }
    }
    if let Some(capacity) = p.capacity {
        gauge!("foreshadow_portion_capacity_requests_per_second", "portion" => portion())
            .set(capacity.0);
    }
    if let Some(next) = p.band.first() {
        for (level, value) in [("0.1", next.low), ("0.5", next.mid), ("0.9", next.high)] {
            gauge!("foreshadow_forecast_requests_per_second", "portion" => portion(), "level" => level).set(value);
        }
    }
    if let Some(error) = p.error {
        gauge!("foreshadow_forecast_error_requests_per_second", "portion" => portion())
            .set(error.0);
    }
    if let Some(coverage) = p.coverage_80 {
        gauge!("foreshadow_forecast_coverage_ratio", "portion" => portion()).set(coverage);
    }
    for i in &p.instances {
        let labels = [
            ("portion", portion()),
            ("site", i.site.to_string()),
            ("role", i.role.clone()),
            ("alloc", i.alloc.to_string()),
        ];
        gauge!("foreshadow_weight_desired_ratio", &labels).set(i.desired.fraction());
        if let Some(observed) = i.observed {
            gauge!("foreshadow_weight_observed_ratio", &labels).set(observed.fraction());
        }
    }
}

fn seconds(span: Span) -> f64 {
    span.as_secs_f64()
}
