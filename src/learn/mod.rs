//! Judges shadow runs, builds profiles, pools them and scores predictions: outcomes in, beliefs out; it changes nothing in the world.

pub mod calibration;
mod evidence;
mod forecasts;
pub mod judge;
mod pool;
mod profiles;
mod verdicts;

pub use forecasts::score;
pub use pool::{Measured, Reading};
pub use profiles::{changed, fold, sentence};
pub use verdicts::{Sides, Worse, in_force, interference, verdict};
