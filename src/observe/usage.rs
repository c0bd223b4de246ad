//! What allocations use: all of them at each look, or in turns where there are many, so that no Nomad is asked too much.

use super::{OURS, Sources, nomad, seen};
use crate::model::*;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};

/// Allocations that one look asks for at most.
const AT_A_LOOK: usize = 100;
/// Where there are more, the next ones are asked for so much later.
const EVERY: Span = Span::secs(10);
/// A reading older than this tells nothing.
const KEPT: Span = Span::secs(600);

/// Readings of earlier looks, and whose turn it is.
#[derive(Default)]
pub struct Memory {
    known: BTreeMap<AllocId, Seen<Usage>>,
    last: Option<AllocId>,
    at: Option<Moment>,
    /// There are more than one look asks for.
    many: bool,
}

/// Allocations of the policies' portions and of our own jobs, each with its last reading.
pub async fn read(
    sources: &Sources,
    memory: &mut Memory,
    world: &World,
) -> BTreeMap<AllocId, Seen<Usage>> {
    let at = world.at;
    let due = !memory.many || memory.at.is_none_or(|last| at.since(last) >= EVERY);
    if !due {
        return memory.known.clone();
    }
    let watched = watched(sources, world);
    memory.many = watched.len() > AT_A_LOOK;
    memory.at = Some(at);
    let reads = memory.turn(&watched).into_iter().map(|id| async move {
        let stats = sources.nomad.alloc_stats(id.as_str()).await;
        (id, seen(stats, at).map(|s| nomad::usage(&s)))
    });
    let read = join_all(reads).await;
    memory.known.extend(read);
    let young = |u: &Seen<Usage>| u.age(at).is_none_or(|age| age <= KEPT);
    memory
        .known
        .retain(|id, u| watched.contains(id) && young(u));
    memory.known.clone()
}

fn watched(sources: &Sources, world: &World) -> BTreeSet<AllocId> {
    let Some(allocs) = world.allocs.value() else {
        return BTreeSet::new();
    };
    let portions = sources.policies.iter().flat_map(|p| &p.portions);
    let jobs = world.jobs.value().into_iter().flat_map(BTreeMap::keys);
    let ours = jobs.filter(|j| j.as_str().starts_with(OURS));
    let jobs: BTreeSet<&JobId> = portions.map(|p| &p.job).chain(ours).collect();
    let of = jobs.into_iter().flat_map(|job| allocs.of(job));
    let runs = |a: &&Alloc| a.status == AllocStatus::Running && a.desired_run;
    of.filter(runs).map(|a| a.id.clone()).collect()
}

impl Memory {
    /// Those whose turn it is, and after the last of all the first ones again.
    fn turn(&mut self, watched: &BTreeSet<AllocId>) -> Vec<AllocId> {
        let after = |id: &&AllocId| self.last.as_ref().is_none_or(|last| *id > last);
        let next = watched.iter().filter(after);
        let turn: Vec<AllocId> = match watched.len() <= AT_A_LOOK {
            true => watched.iter().cloned().collect(),
            false => next.chain(watched).take(AT_A_LOOK).cloned().collect(),
        };
        self.last = turn.last().cloned();
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_allocations_each_has_its_turn_and_none_twice_in_a_round() {
        let watched: BTreeSet<AllocId> =
            (0..250).map(|n| AllocId::new(format!("{n:03}"))).collect();
        let mut memory = Memory::default();
        let mut asked: Vec<AllocId> = (0..2).flat_map(|_| memory.turn(&watched)).collect();
        assert_eq!(asked.len(), 2 * AT_A_LOOK);
        asked.extend(memory.turn(&watched));
        let all: BTreeSet<AllocId> = asked.iter().cloned().collect();
        assert_eq!(all, watched, "three turns reach all of them");
        assert_eq!(asked[250..], asked[..50], "and then the first ones again");
    }

    #[test]
    fn few_are_all_asked_for_each_time() {
        let watched: BTreeSet<AllocId> = ["a", "b"].map(AllocId::from).into();
        let mut memory = Memory::default();
        assert_eq!(memory.turn(&watched).len(), 2);
        assert_eq!(memory.turn(&watched).len(), 2);
    }
}
