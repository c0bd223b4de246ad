//! How many services' shares may be written a second: the leader's targets, and the contingencies that a gateway puts in force.

use crate::model::*;

/// Services a second, where the configuration says nothing: each is a Raft commit or more, and some registrations at each gateway.
const PER_SECOND: u32 = 100;

/// The write budget: a bucket that fills with so many writes a second and holds no more than one second's.
#[derive(Clone, Debug, PartialEq)]
pub struct Writes {
    pub per_second: u32,
    left: f64,
    at: Option<Moment>,
    /// Writes that the last turn had to put off.
    pub waiting: usize,
}

impl Default for Writes {
    fn default() -> Self {
        Writes::of(PER_SECOND)
    }
}

impl Writes {
    pub fn of(per_second: u32) -> Writes {
        Writes {
            per_second,
            left: f64::from(per_second),
            at: None,
            waiting: 0,
        }
    }
    /// Fills it up to `now`. A clock that goes back fills nothing.
    pub fn fill(&mut self, now: Moment) {
        let since = self
            .at
            .map_or(0.0, |at| now.since(at).as_secs_f64().max(0.0));
        let most = f64::from(self.per_second);
        self.left = (self.left + most * since).min(most);
        self.at = Some(now);
        self.waiting = 0;
    }
    pub fn left(&self) -> u32 {
        self.left as u32
    }
    pub fn take(&mut self) {
        self.left = (self.left - 1.0).max(0.0);
    }
    /// How many of `wanted` writes may be made now: they are taken, and the others wait.
    pub fn grant(&mut self, wanted: usize, now: Moment) -> usize {
        self.fill(now);
        let granted = wanted.min(self.left() as usize);
        (0..granted).for_each(|_| self.take());
        self.waiting = wanted - granted;
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_fills_with_time_and_holds_no_more_than_a_second_of_it() {
        let mut writes = Writes::of(10);
        let mut spend = |now: i64| writes.grant(1_000, Moment(now));
        assert_eq!(spend(0), 10);
        assert_eq!(spend(0), 0);
        assert_eq!(spend(500), 5);
        assert_eq!(spend(400), 0, "a clock that goes back");
        assert_eq!(spend(60_000), 10, "however long nothing was written");
    }

    #[test]
    fn what_is_not_granted_waits_and_what_is_not_asked_for_stays() {
        let mut writes = Writes::of(10);
        assert_eq!((writes.grant(4, Moment(0)), writes.waiting), (4, 0));
        assert_eq!((writes.grant(9, Moment(0)), writes.waiting), (6, 3));
        assert_eq!((writes.grant(3, Moment(1_000)), writes.waiting), (3, 0));
        assert_eq!(writes.left(), 7);
    }
}
