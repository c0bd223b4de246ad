//! Carries out `Cleared` steps: lease, journal, one effect, verify; it has no choices of its own.

pub mod entries;
mod gateway;
mod hands;
mod jobs;
mod journal;
mod leader;
mod notes;
pub mod owners;
mod paper;
mod presence;
mod probe;
mod split;
mod suspects;
mod switching;
mod target;
mod verify;

pub use gateway::Keeper;
pub use hands::{ClusterHands, Measurer};
pub use journal::{Journal, Left, SharedJournal};
pub use leader::{LOCK_DELAY, Lead, Leader, TTL, hold};
pub use notes::{LARGEST as LARGEST_NOTE, Note, Notes};
pub use paper::PaperHands;
pub use presence::{LIFE, Presence, SERVICE};
pub use probe::Probing;
pub use suspects::Said;
