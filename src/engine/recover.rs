//! After a restart: what became of the steps that the journal left open? The world is asked, not the memory.

use crate::model::*;

/// One closing entry for each open step. The loop then goes on from what it sees: every step can be run twice.
pub fn recover(open: &[JournalEntry], world: &World, now: Moment) -> Vec<JournalEntry> {
    open.iter()
        .filter_map(|entry| {
            let (state, note) = fate(entry, world)?;
            Some(JournalEntry {
                state,
                at: now,
                note: format!("after a restart: {note}"),
                ..entry.clone()
            })
        })
        .collect()
}

/// `None` while the world cannot tell: the step stays open.
fn fate(entry: &JournalEntry, world: &World) -> Option<(JournalState, String)> {
    use JournalState::{Undone, Verified};
    let exists = |job: &JobId| -> Option<bool> {
        Some(world.jobs.value()?.get(job).is_some_and(|j| !j.stopped()))
    };
    match &entry.step.action {
        Action::SetTarget { target, .. } => {
            let front = world.fronts.get(&target.service)?;
            let found = front.target.as_ref()?.value()?.as_ref();
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
            let count = world.job(job)?.count(group);
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
        let job = JobSpec(serde_json::json!({"ID": "s"}));
        world.jobs = Seen::known(BTreeMap::from([(JobId::new("s"), job)]), Moment(0));
        assert_eq!(
            recover(&[reap], &world, Moment(5))[0].state,
            JournalState::Undone
        );
    }
}
