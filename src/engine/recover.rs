//! After a restart: what became of the steps that the journal left open? The world is asked, not the memory.

use crate::model::*;

/// One closing entry for each open step. The loop then goes on from what it sees: every step can be run twice.
pub fn recover(open: &[JournalEntry], world: &World, now: Moment) -> Vec<JournalEntry> {
    let whatever = Moment(i64::MIN);
    settled(open, world, whatever, now, |_| "after a restart".into())
}

/// The same for what earlier leaders left open, by what was seen `since` the lock is ours: they can write no more since then.
pub fn inherited(
    open: &[JournalEntry],
    world: &World,
    since: Moment,
    now: Moment,
) -> Vec<JournalEntry> {
    settled(open, world, since, now, |entry| {
        format!("left open by the leader of epoch {}", entry.epoch.0)
    })
}

fn settled(
    open: &[JournalEntry],
    world: &World,
    since: Moment,
    now: Moment,
    how: impl Fn(&JournalEntry) -> String,
) -> Vec<JournalEntry> {
    let close = |entry: &JournalEntry| {
        let (state, note) = fate(entry, world, since)?;
        Some(JournalEntry {
            state,
            at: now,
            note: format!("{}: {note}", how(entry)),
            ..entry.clone()
        })
    };
    open.iter().filter_map(close).collect()
}

fn seen<T>(reading: &Seen<T>, since: Moment) -> Option<&T> {
    match reading {
        Seen::Known { value, at } if *at >= since => Some(value),
        _ => None,
    }
}

/// `None` while the world cannot tell: the step stays open.
fn fate(entry: &JournalEntry, world: &World, since: Moment) -> Option<(JournalState, String)> {
    use JournalState::{Stuck, Undone, Verified};
    let exists = |job: &JobId| -> Option<bool> {
        let jobs = seen(&world.jobs, since)?;
        Some(jobs.get(job).is_some_and(|j| !j.stopped()))
    };
    match &entry.step.action {
        Action::SetTarget { target, .. } => {
            if world.fronts.is_empty() {
                return None;
            }
            let Some(front) = world.fronts.get(&target.service) else {
                let service = &target.service;
                let note = format!("no policy names {service} any more; its weights were left");
                return Some((Stuck, note));
            };
            let found = seen(front.target.as_ref()?, since)?.as_ref();
            Some(if found.is_some_and(|t| t.plan == target.plan) {
                (Verified, "the target in Consul is this plan's".to_string())
            } else {
                (
                    Undone,
                    "the target in Consul is another plan's; weights were left as they are"
                        .to_string(),
                )
            })
        }
        Action::StartShadow { job, .. }
        | Action::StartTwin { job, .. }
        | Action::StartUpstream { job, .. }
        | Action::PlaceStandby { job, .. } => Some(if exists(&job.id())? {
            (Verified, "Nomad has the job".to_string())
        } else {
            (Undone, "Nomad does not have the job".to_string())
        }),
        Action::StopShadow { job, .. }
        | Action::ReleaseStandby { job, .. }
        | Action::Reap { job } => Some(if exists(job)? {
            (
                Undone,
                "Nomad still runs the job; it is planned anew".to_string(),
            )
        } else {
            (Verified, "Nomad no longer runs the job".to_string())
        }),
        Action::Scale { job, group, to, .. } => {
            let Some(job) = seen(&world.jobs, since)?.get(job) else {
                return Some((Undone, "Nomad does not have the job".to_string()));
            };
            let count = job.count(group);
            Some(if count == *to {
                (Verified, format!("the count is {to}"))
            } else {
                (Undone, format!("the count is {count}, not {to}"))
            })
        }
        Action::MeasureShadow { .. } => Some((
            Undone,
            "the load generator died with the process".to_string(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn open(action: Action) -> JournalEntry {
        JournalEntry {
            step: Step {
                id: StepId::new("p.1"),
                plan: PlanId::new("p"),
                portion: None,
                cause: Cause::Upkeep,
                action,
                why: String::new(),
                waits_on: vec![],
            },
            epoch: Epoch(1),
            state: JournalState::Intended,
            at: Moment(0),
            note: String::new(),
        }
    }

    #[test]
    fn law_07_a_step_left_open_is_settled_by_looking_at_the_world() {
        let mut world = World::unknown(Moment(0), "not read");
        let reap = open(Action::Reap {
            job: JobId::new("s"),
        });
        assert!(
            recover(std::slice::from_ref(&reap), &world, Moment(5)).is_empty(),
            "unknown settles nothing"
        );
        world.jobs = Seen::known(BTreeMap::new(), Moment(0));
        let closed = recover(std::slice::from_ref(&reap), &world, Moment(5));
        assert_eq!(closed[0].state, JournalState::Verified);
        let job = JobSpec::new(serde_json::json!({"ID": "s"}));
        world.jobs = Seen::known(BTreeMap::from([(JobId::new("s"), job)]), Moment(0));
        assert_eq!(
            recover(&[reap], &world, Moment(5))[0].state,
            JournalState::Undone
        );
    }

    #[test]
    fn law_08_what_another_leader_left_is_settled_by_what_was_seen_since_the_lock_is_ours() {
        let mut world = World::unknown(Moment(0), "not read");
        world.jobs = Seen::known(BTreeMap::new(), Moment(4));
        let left = [open(Action::Reap {
            job: JobId::new("s"),
        })];
        let since = |since| inherited(&left, &world, Moment(since), Moment(9));
        assert!(since(5).is_empty(), "it may have been there since");
        let closed = since(4);
        assert_eq!(closed[0].state, JournalState::Verified);
        assert_eq!(
            closed[0].note,
            "left open by the leader of epoch 1: Nomad no longer runs the job"
        );
    }

    #[test]
    fn a_step_of_a_job_that_is_gone_does_not_stay_open() {
        let mut world = World::unknown(Moment(0), "not read");
        world.jobs = Seen::known(BTreeMap::new(), Moment(0));
        let scale = open(Action::Scale {
            job: JobId::new("s"),
            group: "web".into(),
            from: 1,
            to: 2,
        });
        let closed = recover(&[scale], &world, Moment(5));
        assert_eq!(closed[0].state, JournalState::Undone);
    }
}
