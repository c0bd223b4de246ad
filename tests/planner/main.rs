//! The planner and its guard: what they find, derive and plan, as tables, properties and a simulated run without IO.

mod apart;
mod budget;
mod capacity;
#[path = "../common/mod.rs"]
mod common;
mod derive;
mod distance;
mod estate;
mod learning;
mod lint;
mod moves;
mod outlook;
mod owners;
mod partition;
mod run;
mod safety;
mod still;
mod switchover;
mod together;
mod twins;
mod upstreams;
mod worlds;
