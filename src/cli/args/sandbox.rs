//! The pretend estate.

use super::{Format, LookArgs, time};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsulKind {
    /// In this process
    Embedded,
    /// The `consul` on PATH, or the one that tests/setup unpacks
    Real,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeKind {
    /// Tasks are real child processes
    Process,
    /// Nothing runs: estate, clients and faults are played in virtual time
    Simulated,
}

#[derive(Args, Debug, Clone)]
pub struct SandboxArgs {
    /// Without the dashboard: events as lines, and a summary at the end
    #[arg(long)]
    pub headless: bool,
    #[arg(long, value_enum, default_value = "process")]
    pub runtime: RuntimeKind,
    /// Seconds of virtual time in one of real time, with --runtime simulated [default: 1 under the dashboard, as many as it can without]
    #[arg(long, value_name = "N")]
    pub speed: Option<f64>,
    /// Faults to play [default: the built-in day: a node dies, a site is cut off and comes back]
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// End after this long, such as 60s (a headless sandbox otherwise ends with its scenario)
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub lasts: Option<Duration>,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
    #[arg(long, value_enum, default_value = "embedded")]
    pub consul: ConsulKind,
    /// Where the embedded Consul's API is served [default: port 8500 of the first edge site's gateway]
    #[arg(long, value_name = "ADDR")]
    pub consul_bind: Option<std::net::SocketAddr>,
    /// Where the embedded Consul's DNS is served [default: port 8600 of the first edge site's gateway]
    #[arg(long, value_name = "ADDR")]
    pub dns_bind: Option<std::net::SocketAddr>,
    /// Where the Nomad API is served [default: port 4646 of an address of the sandbox's own]
    #[arg(long, value_name = "ADDR")]
    pub nomad_bind: Option<std::net::SocketAddr>,
    /// Nomad and the embedded Consul want tokens: the management tokens are in the first event, the scheduler gets its own, with
    /// the rights in policies/acl
    #[arg(long)]
    pub acl: bool,
    /// Policy of the workload [default: the built-in policies/shop.hcl]
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Job to run [default: the built-in jobs/shop.nomad.hcl]
    #[arg(long, value_name = "FILE")]
    pub job: Option<PathBuf>,
    /// Only the reactive loop: no forecasts
    #[arg(long)]
    pub no_forecast: bool,
    /// The dashboard may hold, switch, pin and start shadows
    #[arg(long)]
    pub allow_act: bool,
    #[command(flatten)]
    pub looks: LookArgs,
    /// Keep history, profiles and journal here [default: a temporary folder]
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
}

impl Default for SandboxArgs {
    /// As `foreshadow sandbox` without arguments has it.
    fn default() -> Self {
        SandboxArgs {
            headless: false,
            runtime: RuntimeKind::Process,
            speed: None,
            scenario: None,
            lasts: None,
            seed: 1,
            format: Format::Text,
            consul: ConsulKind::Embedded,
            consul_bind: None,
            dns_bind: None,
            nomad_bind: None,
            acl: false,
            policy: None,
            job: None,
            no_forecast: false,
            allow_act: false,
            looks: LookArgs::default(),
            store: None,
        }
    }
}

#[derive(Args, Debug)]
pub struct TaskExecArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub command: Vec<String>,
}
