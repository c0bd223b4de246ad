//! The sandbox's Nomad, over HTTP.

mod access;
mod access_calls;
mod command_line;
mod deployments;
mod estate;
mod events;
mod fake;
mod questions;
mod real_consul;
mod recorded;
mod scheduled;
mod transcripts;
