//! The open-loop load generator and the clients that honour SRV weights; it drives load and measures, it does not judge.
#![allow(clippy::disallowed_methods)] // this room sends at given moments and measures latencies: it needs a clock and may sleep

pub mod access;
pub mod answers;
#[cfg(test)]
mod dns_stub;
mod exposition;
pub mod http;
pub mod knee;
pub mod open_loop;
pub mod players;
mod proxy;
pub mod replay;
pub mod schedule;
pub mod shop;
pub mod simulated;
pub mod srv;
pub mod srv_client;
pub mod sweep;
pub mod tap;
mod tap_tally;
#[cfg(test)]
mod tap_tests;
pub mod timer;
pub mod trace;
pub mod upstreams;

pub use http::{Fault, HttpClient, Reply};
pub use knee::{Aim, Knee};
pub use open_loop::{LoadReport, Record, drive, drive_by, measure};
pub use replay::{Replay, ReplayError};
pub use schedule::{Pacing, Schedule};
pub use srv_client::{SrvClient, SrvConfig};
pub use sweep::{Plan, SweepPoint, SweepReport, SweepSpec, sweep};
pub use tap_tally::{Counts, Tally};
pub use timer::Timer;
pub use trace::{Rate, TraceError};
