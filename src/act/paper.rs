//! Hands of paper: the dry run. The same plans, the same guard, no effect.

use crate::guard::{Cleared, Hands, Lease};
use crate::model::*;

pub struct PaperHands {
    pub clock: fn() -> Moment,
}

impl Hands for PaperHands {
    fn apply<'a>(&'a self, step: Cleared<Step>, _lease: &'a Lease) -> Later<'a, Outcome> {
        let now = (self.clock)();
        Box::pin(async move {
            Outcome {
                step: step.into_inner(),
                started: now,
                at: now,
                verdict: Verdict::Refused {
                    why: "paper hands: nothing was done".into(),
                },
                measured: None,
            }
        })
    }
}
