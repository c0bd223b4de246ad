//! Judges shadow runs, builds profiles and scores forecasts: outcomes in, beliefs out; it changes nothing in the world.

mod forecasts;
pub mod judge;
mod profiles;
mod verdicts;

pub use forecasts::score;
pub use profiles::{fold, sentence};
pub use verdicts::{Sides, Worse, in_force, interference, verdict};
