//! The sandbox's Nomad, over HTTP.

mod estate;
mod fake;
mod real_consul;
mod recorded;
