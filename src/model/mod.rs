//! Ids, units and the nouns that rooms exchange; it computes nothing beyond small conversions and does no IO.

mod ids;
mod seen;
mod units;

pub use ids::*;
pub use seen::Seen;
pub use units::*;
