//! Ids, units and the nouns that rooms exchange; it computes nothing beyond small conversions and does no IO.

mod beliefs;
mod calibration;
mod history;
mod ids;
mod job;
mod json;
mod judged;
mod known;
mod load;
mod log_filter;
mod memo;
mod outcome;
mod outlook;
mod owner;
mod plan;
mod policy;
mod pool;
mod ports;
mod prepared;
mod profile;
pub mod realised;
mod seen;
mod shared;
mod table;
mod target;
mod units;
mod upstream;
mod weights;
mod words;
mod world;

pub use beliefs::*;
pub use calibration::*;
pub use history::*;
pub use ids::*;
pub use job::{JobSpec, list};
pub use json::{Fields, Json};
pub use judged::*;
pub use known::*;
pub use load::*;
pub use log_filter::{LogFilter, NoFilter};
pub use memo::Memo;
pub use outcome::*;
pub use outlook::*;
pub use owner::*;
pub use plan::*;
pub use policy::*;
pub use pool::Pool;
pub use ports::Ports;
pub use prepared::PreparedShares;
pub use profile::*;
pub use seen::Seen;
pub use shared::{Shared, SharedList};
pub use table::{Row, Rows, Table};
pub use target::*;
pub use units::*;
pub use upstream::*;
pub use weights::*;
pub use words::counted;
pub use world::*;

use std::future::Future;
use std::pin::Pin;

/// A future without a name, so that traits of the mind can be kept by rooms that wait.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Looks at the cluster. The real one, the sandbox and recorded ones are seen alike.
pub trait Eyes: Send + Sync {
    /// One look; parts that cannot be read come back as `Seen::Unknown`, never as an error.
    fn look(&self, now: Moment) -> Later<'_, World>;
}
