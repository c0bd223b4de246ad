//! Speaks to Nomad, Consul, DNS and metrics endpoints; secrets live here and nowhere else; it decides nothing.
