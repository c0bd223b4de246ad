//! Who has to go, so that something more important finds a place on a node?

use super::super::json::*;
use super::super::state::alloc::Alloc;
use super::super::state::node::Node;
use super::proposed::{Proposed, Wish};

/// Only what is this much less important may be preempted.
const GAP: i64 = 10;
/// Against taking more of one group than its `migrate` stanza lets move at once.
const PARALLEL_PENALTY: f64 = 50.0;

#[derive(Clone, Copy)]
struct Size {
    cpu: i64,
    memory: i64,
    disk: i64,
}

impl Size {
    fn of(alloc: &Alloc) -> Size {
        Size {
            cpu: alloc.ask.cpu(),
            memory: alloc.ask.memory(),
            disk: alloc.ask.disk_mb,
        }
    }
    fn plus(self, other: Size, sign: i64) -> Size {
        Size {
            cpu: self.cpu + sign * other.cpu,
            memory: self.memory + sign * other.memory,
            disk: self.disk + sign * other.disk,
        }
    }
    fn holds(self, ask: Size) -> bool {
        self.cpu >= ask.cpu && self.memory >= ask.memory && self.disk >= ask.disk
    }
    /// How far an allocation is from what is asked for, in shares of it.
    fn distance(self, ask: Size) -> f64 {
        let part = |ask: i64, has: i64| {
            if ask > 0 {
                (ask - has) as f64 / ask as f64
            } else {
                0.0
            }
        };
        let parts = [
            part(ask.memory, self.memory),
            part(ask.cpu, self.cpu),
            part(ask.disk, self.disk),
        ];
        parts.iter().map(|p| p * p).sum::<f64>().sqrt()
    }
}

/// The fewest and least important allocations that make room on a node for what is wished; `None` if that cannot be done.
pub fn victims<'a>(
    proposed: &'a Proposed,
    wish: &Wish,
    node: &'a Node,
    already: &[String],
) -> Option<Vec<&'a Alloc>> {
    let here: Vec<&Alloc> = proposed.on(&node.id).collect();
    let (job, priority) = (key_of(wish.job), int(wish.job, "Priority"));
    let may_go = |a: &&Alloc| a.job_id != job && priority - int(&a.job, "Priority") >= GAP;
    let mut out: Vec<&Alloc> = Vec::new();
    for (_, fixed, _) in wish.ask.ports.iter().filter(|p| p.1 != 0) {
        let holder = here
            .iter()
            .find(|a| a.ports.iter().any(|p| p.value == *fixed));
        match holder {
            None if node.config.reserved_port_list().contains(fixed) => return None,
            None => {}
            Some(holder) if may_go(holder) => out.push(holder),
            Some(_) => return None,
        }
    }
    out.dedup_by_key(|a| a.id.clone());
    let c = &node.config;
    let ask = Size {
        cpu: wish.ask.cpu(),
        memory: wish.ask.memory(),
        disk: wish.ask.disk_mb,
    };
    let mut free = Size {
        cpu: c.cpu_mhz - c.reserved_cpu_mhz,
        memory: c.memory_mb - c.reserved_memory_mb,
        disk: c.disk_mb - c.reserved_disk_mb,
    };
    for alloc in here.iter().filter(|a| !out.iter().any(|o| o.id == a.id)) {
        free = free.plus(Size::of(alloc), -1);
    }
    let taken = |a: &Alloc| out.iter().any(|o| o.id == a.id);
    let candidates: Vec<&Alloc> = here
        .into_iter()
        .filter(|a| may_go(a) && !taken(a))
        .collect();
    let more = by_size(proposed, free, ask, candidates, already)?;
    out.extend(more);
    Some(out)
}

/// Take the closest in size of the least important first, then leave out those that the others make needless.
fn by_size<'a>(
    proposed: &Proposed,
    free: Size,
    ask: Size,
    mut candidates: Vec<&'a Alloc>,
    already: &[String],
) -> Option<Vec<&'a Alloc>> {
    if free.holds(ask) {
        return Some(Vec::new());
    }
    let group_of = |a: &Alloc| (a.job_id.clone(), a.group.clone());
    let gone = |alloc: &Alloc| {
        let of_group = already
            .iter()
            .filter_map(|id| proposed.state.allocs.get(id));
        of_group.filter(|a| group_of(a) == group_of(alloc)).count() as i64
    };
    let penalty = |alloc: &Alloc| {
        let parallel = alloc.group_json().get("Migrate");
        let parallel = parallel.map_or(0, |m| int(m, "MaxParallel"));
        let over = gone(alloc) + 1 - parallel;
        if parallel > 0 && over > 0 {
            over as f64 * PARALLEL_PENALTY
        } else {
            0.0
        }
    };
    let (mut room, mut needed, mut chosen) = (free, ask, Vec::new());
    while !room.holds(ask) {
        let lowest = candidates.iter().map(|a| int(&a.job, "Priority")).min()?;
        let far = |a: &Alloc| Size::of(a).distance(needed) + penalty(a);
        let (at, _) = candidates
            .iter()
            .enumerate()
            .filter(|(_, a)| int(&a.job, "Priority") == lowest)
            .min_by(|(_, a), (_, b)| far(a).total_cmp(&far(b)))?;
        let closest = candidates.remove(at);
        room = room.plus(Size::of(closest), 1);
        needed = needed.plus(Size::of(closest), -1);
        chosen.push(closest);
    }
    let far = |a: &Alloc| Size::of(a).distance(ask);
    chosen.sort_by(|a, b| far(b).total_cmp(&far(a)));
    let (mut room, mut kept) = (free, Vec::new());
    for alloc in chosen {
        room = room.plus(Size::of(alloc), 1);
        kept.push(alloc);
        if room.holds(ask) {
            break;
        }
    }
    Some(kept)
}
