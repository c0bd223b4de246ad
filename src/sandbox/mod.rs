//! A pretend estate served as Nomad, Consul and DNS on loopback, with real processes, links and faults; it knows nothing of the scheduler.
pub mod consul;
