//! Proxies before a portion or a service.

use super::{Format, time};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args, Debug)]
pub struct TapArgs {
    /// Where clients come in
    #[arg(long, value_name = "ADDR")]
    pub listen: std::net::SocketAddr,
    /// Production: every request goes there, and its answer goes back
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// The shadow: copies go there, and its answers are thrown away once they are compared
    #[arg(long, value_name = "URL")]
    pub shadow: String,
    /// Percentage of the requests that is copied
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    pub share: f64,
    /// Methods that are copied; what writes is done twice [default: GET,HEAD,OPTIONS]
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    pub methods: Vec<String>,
    /// Header fields that the shadow must not see, besides Authorization, Cookie and other usual secrets; `x-session-*` for all
    /// that begin so
    #[arg(long, value_name = "HEADER", value_delimiter = ',')]
    pub scrub: Vec<String>,
    /// Copies that may wait; more are dropped
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub queue: usize,
    /// Counts are printed so often, and at the end
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    pub every: Duration,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct RecordArgs {
    /// Where callers come in
    #[arg(long, value_name = "ADDR")]
    pub listen: std::net::SocketAddr,
    /// The service: IP:PORT, or its name in Consul's DNS
    #[arg(long, value_name = "ADDR|SERVICE")]
    pub to: String,
    /// Consul's DNS, for a name
    #[arg(long, value_name = "ADDR")]
    pub dns: Option<std::net::SocketAddr>,
    /// Exchanges are added here, one a line: the first of each method and path
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}
