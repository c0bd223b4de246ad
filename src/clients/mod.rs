//! Speaks to Nomad, Consul, DNS and metrics endpoints; secrets live here and nowhere else; it decides nothing.

pub mod connect;
pub mod consul;
pub mod dns;
pub mod gateway;
pub mod http;
pub mod nomad;
pub mod prometheus;
#[cfg(test)]
mod tests;
mod version;

pub use version::Version;

use serde::{Deserialize, Deserializer};

/// Nomad and Consul write an empty list or map as `null`; for us it is empty.
fn null_default<'de, D, T>(d: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}
