//! How many targets may be written a second over all services, and which go first. Pure.

use crate::model::*;

/// Targets a second, where the configuration says nothing: each is a Raft commit, and some registrations at each gateway.
const PER_SECOND: u32 = 100;

/// The write budget: a bucket that fills with so many targets a second and holds no more than one second's.
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
    pub(super) fn fill(&mut self, now: Moment) {
        let since = self
            .at
            .map_or(0.0, |at| now.since(at).as_secs_f64().max(0.0));
        let most = f64::from(self.per_second);
        self.left = (self.left + most * since).min(most);
        self.at = Some(now);
        self.waiting = 0;
    }
    pub(super) fn left(&self) -> u32 {
        self.left as u32
    }
    pub(super) fn take(&mut self) {
        self.left = (self.left - 1.0).max(0.0);
    }
}

/// Puts what matters most first: shares that something wrong now moves, then foreseen ones, then failbacks and first shares,
/// then renewals of entries and contingencies; among equals, whichever moves more requests a second. Whatever is no write of shares
/// keeps its order, behind them.
pub(super) fn first_things_first(steps: &mut [(usize, Step)], world: &World) {
    steps.sort_by_cached_key(|(_, step)| {
        let (class, stake) = weigh(step, world);
        // Larger stakes first; to the thousandth of a request a second.
        (class, std::cmp::Reverse((stake.0 * 1_000.0) as u64))
    });
}

fn weigh(step: &Step, world: &World) -> (u8, Rps) {
    let Action::SetTarget { target, before, .. } = &step.action else {
        return (5, Rps(0.0));
    };
    let had = |id: &AllocId| before.as_ref().map_or(Share::NONE, |b| b.share_of(id));
    let gains = target.instances.iter();
    let moved: u32 = gains
        .map(|i| i.share.0.saturating_sub(had(&i.alloc).0))
        .sum();
    let class = match step.cause {
        _ if moved == 0 => 4,
        Cause::Reactive => 0,
        Cause::Predicted => 1,
        Cause::Upkeep | Cause::Learning => 2,
    };
    let traffic = step.portion.as_ref().and_then(|p| world.traffic.get(p));
    let rate = traffic.and_then(|t| t.value()).map_or(0.0, |t| t.rate.0);
    (class, Rps(rate * Share(moved).fraction()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_fills_with_time_and_holds_no_more_than_a_second_of_it() {
        let mut writes = Writes::of(10);
        let spend = |writes: &mut Writes, now: i64| {
            writes.fill(Moment(now));
            let left = writes.left();
            (0..left).for_each(|_| writes.take());
            left
        };
        assert_eq!(spend(&mut writes, 0), 10);
        assert_eq!(spend(&mut writes, 0), 0);
        assert_eq!(spend(&mut writes, 500), 5);
        assert_eq!(spend(&mut writes, 400), 0, "a clock that goes back");
        assert_eq!(
            spend(&mut writes, 60_000),
            10,
            "however long nothing was written"
        );
    }
}
