//! What will demand and disruption be? Pure functions from history to an outlook; no IO, no clock, no dice of its own.

mod autoregression;
pub mod backtest;
#[cfg(test)]
mod bad_data;
pub mod bands;
mod bend;
mod combine;
mod dangers;
pub mod demand;
mod direct;
mod events;
pub mod hazard;
pub mod hierarchy;
mod linear;
mod optimise;
mod outlook;
pub mod pool;
mod rhythm;
pub mod scenarios;
pub mod season;
pub mod series;
#[cfg(test)]
mod simulated;
pub mod smoothing;
mod spectrum;
mod theta;
mod trail;
mod window;

#[cfg(test)]
mod tests;

pub use backtest::{Scores, backtest};
pub use dangers::Dangers;
pub use demand::{Fit, Forecast, forecast};
pub use outlook::{Calls, Fits, outlook, outlook_among};
pub use pool::Member;
pub use scenarios::{Shock, scenarios};
pub use series::{Samples, SeriesError, regular};
