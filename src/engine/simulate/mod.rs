//! Plays a load trace against the simulated estate in virtual time: the engine's own cycle, or what it is compared with.

mod day;
pub mod live;
mod rivals;
pub mod seeds;
mod steer;
pub mod table;
mod threads;

use super::clock::Stopwatch;
use crate::act::entries;
use crate::model::*;
use crate::sandbox::scenario::Scenario;
use crate::sandbox::simulated::faults::{self, Level};
use crate::sandbox::simulated::{Books, Fault, Keeping, Setup, Simulated, Spec, share};
use serde::Serialize;

/// Who decides how many instances run where, and where traffic goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    Foreshadow,
    /// Target-value scaling on the last reading: what an operator has today.
    Reactive,
    /// The trace's peak, held all the time.
    Static,
    /// Knows the trace and the faults ahead.
    Oracle,
}

/// What goes wrong meanwhile.
#[derive(Clone, Debug)]
pub enum Faults {
    Level(Level),
    Scenario(Scenario),
}

/// One run.
#[derive(Clone, Debug)]
pub struct Order {
    pub policy: Policy,
    /// The live jobs; what the policy names beyond them is made up.
    pub jobs: Vec<JobSpec>,
    /// As it was read; it is scaled so that its highest value is the policy's `peak_rps`.
    pub trace: Series,
    /// Its last days are played, everything earlier is history.
    pub days: u32,
    pub faults: Faults,
    pub strategy: Strategy,
    pub seed: u64,
}

/// Two quantiles of the reactions, in virtual milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Reaction {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    pub strategy: String,
    pub days: u32,
    pub portions: usize,
    pub nodes: usize,
    pub faults: usize,
    pub requests: u64,
    pub requests_lost: u64,
    pub requests_late: u64,
    pub violation_seconds: f64,
    pub core_hours: f64,
    pub reserved_core_hours: f64,
    pub switchovers: u64,
    /// Times that standbys of a portion served though its primaries would have done; one switchover may be several.
    pub false_switchovers: u64,
    pub failbacks: u64,
    pub shadows: u64,
    pub preallocations: u64,
    pub reaction_ms: Reaction,
    pub cycles: u64,
    /// Virtual seconds in which each portion broke its SLO, the portions without left out.
    pub violations: std::collections::BTreeMap<PortionId, f64>,
    pub wall_ms: u64,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("the policy has no `peak_rps` above 0: it says what the trace is scaled to")]
    NoPeak,
    #[error("the trace has no reading above 0")]
    NoDemand,
    #[error("the policy has no portion")]
    NoPortion,
}

/// The product's own rules for gateways.
pub fn keeping() -> Keeping {
    Keeping {
        newer: entries::newer,
        contingency: entries::contingency,
        is_over: entries::is_over,
        calm: entries::CALM,
    }
}

/// Plays it to the end.
///
/// # Errors
/// When trace or policy say nothing that could be played.
pub fn simulate(order: Order) -> Result<Report, Error> {
    let watch = Stopwatch::start();
    if order.policy.portions.is_empty() {
        return Err(Error::NoPortion);
    }
    let trace = day::scaled(&order.trace, order.policy.peak_rps)?;
    let policy = day::full_time(order.policy, trace.step);
    let spec = Spec::new(policy, order.jobs);
    let stretch = day::stretch(&trace, order.days);
    let faults = drawn(&order.faults, &spec, stretch, order.seed);
    let setup = Setup {
        trace: trace.clone(),
        from: stretch.0 - day::WARM_UP,
        faults,
        seed: order.seed,
        plain: order.strategy != Strategy::Foreshadow,
        keeping: keeping(),
        spec,
    };
    let count = setup.faults.len();
    let (parts, nodes) = (setup.spec.parts.len(), setup.spec.nodes.len());
    let ids: Vec<PortionId> = setup.spec.parts.iter().map(|p| p.id.clone()).collect();
    let world = share(Simulated::new(setup));
    let (books, tally, cycles) = match order.strategy {
        Strategy::Foreshadow => steer::play(&world, &trace, stretch, order.seed),
        rival => rivals::play(&world, rival, stretch),
    };
    let violations = ids
        .into_iter()
        .zip(books.violations.iter().map(|s| round(*s)));
    Ok(Report {
        strategy: format!("{:?}", order.strategy).to_lowercase(),
        days: order.days,
        portions: parts,
        nodes,
        faults: count,
        requests: books.requests.round() as u64,
        requests_lost: books.lost.round() as u64,
        requests_late: books.late.round() as u64,
        violation_seconds: round(books.violation_seconds()),
        core_hours: round(books.held / 3600.0),
        reserved_core_hours: round((books.held - books.used) / 3600.0),
        switchovers: tally.switchovers,
        false_switchovers: books.idle_surges,
        failbacks: tally.failbacks,
        shadows: tally.shadows,
        preallocations: tally.preallocations,
        reaction_ms: reaction(&books),
        cycles,
        violations: violations.filter(|v| v.1 > 0.0).collect(),
        wall_ms: watch.elapsed().as_millis() as u64,
    })
}

fn drawn(faults: &Faults, spec: &Spec, (from, until): (Moment, Moment), seed: u64) -> Vec<Fault> {
    match faults {
        Faults::Level(level) => faults::drawn(*level, spec, from, until, seed),
        Faults::Scenario(scenario) => faults::of_scenario(scenario, spec, from),
    }
}

fn reaction(books: &Books) -> Reaction {
    Reaction {
        p50: books.reaction(0.5),
        p99: books.reaction(0.99),
    }
}

fn round(v: f64) -> f64 {
    (v * 1000.0).round() / 1000.0
}
