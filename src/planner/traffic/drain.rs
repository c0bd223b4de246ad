//! What is about to go, and so is left by traffic before Nomad ends it.

use crate::model::*;
use crate::planner::instances::{Copies, Copy, Going};

/// Why traffic leaves an instance.
pub(super) struct Leaving {
    /// It may be ended any moment.
    pub begun: bool,
    pub why: String,
}

impl Leaving {
    /// What may be ended any moment is left at once, step by step; what goes later by the rules of planned moves.
    pub fn cause(&self) -> Cause {
        match self.begun {
            true => Cause::Reactive,
            false => Cause::Predicted,
        }
    }
}

/// Whether the instance's node is being drained, or goes within the horizon for sure.
pub(super) fn leaving(copy: &Copy) -> Option<Leaving> {
    let (begun, what) = match copy.going? {
        Going::Drained => (true, "is being drained"),
        Going::Foreseen => (false, "goes within the horizon"),
    };
    let why = format!("{} {what}", copy.on.name);
    Some(Leaving { begun, why })
}

/// Which of them may be given traffic for longer; all of them where everything that is ready is about to go.
pub(super) fn stays(copies: &Copies) -> impl Fn(&Copy) -> bool + use<> {
    let mut ready = copies.all.iter().filter(|c| c.ready && c.alive);
    let some = ready.any(|c| c.going.is_none());
    move |c: &Copy| !some || c.going.is_none()
}

/// The first instance with a share that has to be left, once something else is ready to take it.
pub(super) fn first(
    copies: &Copies,
    shares: &std::collections::BTreeMap<AllocId, Share>,
) -> Option<Leaving> {
    let stays = stays(copies);
    let carries = |c: &&Copy| shares.get(&c.alloc).is_some_and(|s| *s > Share::NONE);
    let mut left = copies.all.iter().filter(carries).filter(|c| !stays(c));
    left.find_map(leaving)
}
