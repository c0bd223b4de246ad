//! What will demand and disruption be? Pure functions from history to an outlook; no IO, no clock, no dice of its own.

use crate::model::*;
pub fn outlook(_: &History, _: &World, _: &Policy, _: &Beliefs, now: Moment) -> Outlook {
    Outlook {
        at: now,
        ..Default::default()
    }
}
