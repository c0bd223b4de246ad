//! A sandbox's day in virtual time, turn by turn, for whoever shows it: the estate, its clients and its faults are simulated, what
//! steers is the engine.

use super::keeping;
use super::steer::{Steersman, lock};
use crate::engine::State;
use crate::engine::command::ask;
use crate::engine::view::{Command, View};
use crate::model::*;
use crate::sandbox::fault::Fault;
use crate::sandbox::scenario::Scenario;
use crate::sandbox::simulated::{Setup, Simulated, Spec, faults, share};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The engine has so long before the first moment that counts: until then nobody is sent anywhere.
const LEAD: Span = Span::secs(30);

/// What is played.
pub struct Stage {
    /// As it is: its times are those of the sandbox.
    pub policy: Policy,
    pub jobs: Vec<JobSpec>,
    /// Requests a second in the sandbox's time; all before `begins` is history.
    pub trace: Series,
    /// What fell and came back before `begins`.
    pub failures: Vec<Availability>,
    pub scenario: Scenario,
    pub begins: Moment,
    pub every: Span,
    pub forecasting: bool,
    pub seed: u64,
}

/// What clients met since the beginning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Met {
    pub requests: u64,
    pub lost: u64,
    pub late: u64,
    /// Seconds of the scenario in which requests were lost that no fault explains, and how many.
    pub unexplained: Vec<(Span, f64)>,
}

/// A run that is under way.
pub struct Live {
    steersman: Steersman,
    world: Arc<Mutex<Simulated>>,
    scenario: Scenario,
    begins: Moment,
    every: Span,
    /// The next incident to be told.
    next: usize,
    lost: f64,
    unexplained: Vec<(Span, f64)>,
}

impl Live {
    /// The first turns are made, and the day begins.
    pub fn new(stage: Stage) -> Live {
        let spec = Spec::new(stage.policy, stage.jobs);
        let from = stage.begins - LEAD;
        let setup = Setup {
            faults: faults::of_scenario(&stage.scenario, &spec, stage.begins),
            spec,
            trace: stage.trace.clone(),
            from,
            seed: stage.seed,
            plain: false,
            keeping: keeping(),
        };
        let world = share(Simulated::new(setup));
        let mut steersman = Steersman::new(world.clone(), &stage.trace, from, stage.seed);
        steersman.every = stage.every;
        steersman.noted = true;
        steersman.state.forecasting = stage.forecasting;
        steersman.state.history.availability = stage.failures;
        steersman.until(stage.begins);
        lock(&world).open_books();
        Live {
            steersman,
            world,
            scenario: stage.scenario,
            begins: stage.begins,
            every: stage.every,
            next: 0,
            lost: 0.0,
            unexplained: Vec::new(),
        }
    }

    /// How long the day has lasted.
    pub fn since(&self) -> Span {
        lock(&self.world).now().since(self.begins)
    }

    /// One turn further; gives the faults that began or ended meanwhile.
    pub fn turn(&mut self) -> Vec<(Moment, Fault)> {
        let was = self.since();
        self.steersman.until(self.begins + was + self.every);
        let mut told = Vec::new();
        while let Some(incident) = self.scenario.incidents.get(self.next)
            && span(incident.at) <= self.since()
        {
            told.push((self.begins + span(incident.at), incident.fault.clone()));
            self.next += 1;
        }
        let lost = lock(&self.world).books().lost;
        let more = lost - self.lost;
        self.lost = lost;
        if more > 0.0 && !self.explained(was, self.since()) {
            self.unexplained.push((was, more));
        }
        told
    }

    /// Whether a fault of the scenario answers for what is lost at that time, wherever that was: a site is cut off, or an incident's
    /// own time for detection is not over yet.
    fn explained(&self, from: Span, until: Span) -> bool {
        let mut cut = 0;
        for incident in &self.scenario.incidents {
            let at = span(incident.at);
            let answers = Span(at.0 + span(incident.explains.grace).0);
            if at <= until && from <= answers {
                return true;
            }
            match incident.fault {
                Fault::CutSite(_) if at <= until => cut += 1,
                Fault::HealSite(_) if at <= from => cut -= 1,
                _ => {}
            }
        }
        cut > 0
    }

    /// What faces may know now, and look back at: all since the first turn, as far as is kept.
    pub fn view(&self) -> &View {
        self.steersman.view()
    }

    pub fn state(&self) -> &State {
        &self.steersman.state
    }

    /// A person asks for something.
    pub fn ask(&mut self, command: Command) {
        let now = lock(&self.world).now();
        if let Command::Hold { on } = command {
            lock(&self.world).hold(on);
        }
        ask(&mut self.steersman.state, command, now);
    }

    pub fn met(&self) -> Met {
        let world = lock(&self.world);
        let books = world.books();
        Met {
            requests: books.requests.round() as u64,
            lost: books.lost.round() as u64,
            late: books.late.round() as u64,
            unexplained: self.unexplained.clone(),
        }
    }
}

fn span(duration: Duration) -> Span {
    Span(duration.as_millis() as i64)
}
