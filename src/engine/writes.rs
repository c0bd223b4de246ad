//! Which of the writes go first when the budget does not suffice for all. Pure.

use super::state::Workload;
use crate::model::*;

/// Puts what matters most first: shares that something wrong now moves, then foreseen ones, then failbacks and first shares,
/// then renewals of entries and contingencies; among equals, whichever moves more requests a second, each counted by its job's
/// priority. Whatever is no write of shares keeps its order, behind them.
pub(super) fn first_things_first(
    steps: &mut [(usize, Step)],
    workloads: &[Workload],
    world: &World,
) {
    steps.sort_by_cached_key(|(k, step)| {
        let (class, stake) = weigh(step, &workloads[*k].policy, world);
        // Larger stakes first; to the thousandth of a request a second.
        (class, std::cmp::Reverse((stake.0 * 1_000.0) as u64))
    });
}

fn weigh(step: &Step, policy: &Policy, world: &World) -> (u8, Rps) {
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
    let mut portions = policy.portions.iter();
    let portion = portions.find(|p| step.portion.as_ref() == Some(&p.id));
    let counts = portion.map_or(1.0, |p| world.importance(&p.job));
    (class, Rps(rate * Share(moved).fraction() * counts))
}
