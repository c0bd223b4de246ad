//! Journal entries to fill a store with.

use foreshadow::model::*;

const MINUTE: i64 = 60_000;

/// What was intended in the `k`th minute.
pub fn intended(k: i64, note: String) -> JournalEntry {
    JournalEntry {
        step: Step {
            id: StepId::new(format!("step-{k}")),
            plan: PlanId::new("p"),
            portion: None,
            cause: Cause::Upkeep,
            action: Action::Reap {
                job: JobId::new("j"),
            },
            why: "because".into(),
            waits_on: vec![],
        },
        epoch: Epoch(1),
        state: JournalState::Intended,
        at: Moment(k * MINUTE),
        note,
    }
}
