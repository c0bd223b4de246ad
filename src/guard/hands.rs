//! What carries out cleared steps: the real cluster, the sandbox, or paper.

use super::{Cleared, Lease};
use crate::model::{Later, Outcome, Step};

pub trait Hands: Send + Sync {
    /// One step, one effect, verified where it counts. Never fails: the outcome says what came of it.
    fn apply<'a>(&'a self, step: Cleared<Step>, lease: &'a Lease) -> Later<'a, Outcome>;
}
