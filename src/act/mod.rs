//! Carries out `Cleared` steps: lease, journal, one effect, verify; it has no choices of its own.

pub mod entries;
mod gateway;
mod hands;
mod jobs;
mod leader;
pub mod owners;
mod paper;
mod split;
mod target;
mod verify;

pub use gateway::Keeper;
pub use hands::{ClusterHands, Journal, Measurer};
pub use leader::{Lead, Leader, hold};
pub use paper::PaperHands;
