//! The same View without a screen: NDJSON, a small HTTP API and exit codes; it holds no state of its own.

mod api;
mod attach;
pub mod delta;
mod metrics;
mod ndjson;
pub mod stream;

pub use api::{Api, ApiError, bind, router, serve};
pub use attach::{Remote, RemoteError};
pub use metrics::{Counted, exposition, names as metric_names};
pub use ndjson::{Follower, rfc3339, stream as tell, write_event, write_summary};

#[cfg(test)]
mod tests;
