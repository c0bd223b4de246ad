//! The same View without a screen: NDJSON, an HTTP API and exit codes; it holds no state of its own.

mod answers;
mod api;
mod attach;
pub mod change;
pub mod delta;
mod door;
mod events;
mod exposition;
mod gate;
pub mod made;
mod metrics;
mod ndjson;
mod openapi;
mod patience;
mod place;
mod routes;
mod socket;
pub mod stream;
mod tls;

pub use api::{Api, Journal, router};
pub use attach::{Following, Remote, RemoteError, Trust};
pub use door::{ApiError, Door, Keys, serve};
pub use metrics::{Counted, exposition, names as metric_names};
pub use ndjson::{Follower, rfc3339, stream as tell, write_event, write_summary};
pub use openapi::document;
pub use place::{Place, PlaceError};
pub use tls::{Certificates, TlsError};

#[cfg(test)]
mod tests;
