//! Lets the incidents of a scenario happen at their times.

use super::{Incident, Scenario};
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The incidents still to come.
#[derive(Debug)]
pub struct Player {
    start: Instant,
    length: Duration,
    incidents: VecDeque<Incident>,
}

impl Player {
    /// The scenario's clock stands at nothing at `start`.
    pub fn new(scenario: &Scenario, start: Instant) -> Player {
        Player {
            start,
            length: scenario.length,
            incidents: scenario.incidents.clone().into(),
        }
    }

    /// Waits for the next incident and gives it; `None` when the scenario's length has passed. What is dropped while it waits is not lost.
    pub async fn next(&mut self) -> Option<Incident> {
        let due = self.incidents.front().map_or(self.length, |i| i.at);
        sleep_until(self.start + due).await;
        self.incidents.pop_front()
    }
}
