//! What will demand and disruption be? Pure functions from history to an outlook; no IO, no clock, no dice of its own.

pub mod backtest;
pub mod bands;
mod combine;
pub mod demand;
mod direct;
mod optimise;
pub mod season;
pub mod series;
#[cfg(test)]
mod simulated;
pub mod smoothing;

pub use backtest::{Scores, backtest};
pub use demand::{Fit, Forecast, forecast};
pub use series::{Samples, SeriesError, regular};
