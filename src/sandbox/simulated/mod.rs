//! The estate in virtual time: a seeded discrete-event world behind the same eyes and hands as a real cluster, in which a day passes in seconds.
//!
//! Requests are not played one by one: between two events every rate is constant, and each instance takes its batch as an M/G/c
//! queue ([`queue`]). Clients honour SRV weights and cache what they resolved; checks, DNS, the KV store's commit, Nomad's
//! heartbeats, placements and start-ups take their time. The world knows nothing of the scheduler; it only answers, late or
//! wrongly where a fault says so.

mod books;
mod checks;
mod eyes;
pub mod faults;
mod flow;
mod gateways;
mod hands;
mod journal;
mod nomad;
pub mod queue;
pub mod spec;
#[cfg(test)]
mod tests;
mod world;

pub use books::Books;
pub use checks::Broken;
pub use eyes::SimulatedEyes;
pub use faults::{Fault, Kind};
pub use gateways::Keeping;
pub use hands::SimulatedHands;
pub use spec::{Part, Spec};
pub use world::{Setup, World as Simulated, share};
