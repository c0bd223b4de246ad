//! Judges shadow runs, builds profiles and scores forecasts: outcomes in, beliefs out; it changes nothing in the world.

mod forecasts;
pub mod judge;
mod profiles;

pub use forecasts::score;
pub use profiles::{fold, sentence};
