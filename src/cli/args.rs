//! The command line, as data. Help texts teach.

mod load;
mod minds;
mod pictures;
mod proxies;
mod running;
mod sandbox;

pub use load::{LoadArgs, Times};
pub use minds::{
    BacktestArgs, CalibrateArgs, ForecastArgs, JudgeArgs, JudgeCommand, PlaceArgs, SimulateArgs,
    StrategyKind,
};
pub use pictures::{GlyphKind, LookArgs, Picture, ScreenshotArgs};
pub use proxies::{RecordArgs, TapArgs};
pub use running::{
    AttachArgs, LogLevelArgs, ProfilesArgs, ShadowArgs, ShadowCommand, SwitchArgs, TuiArgs,
};
pub use sandbox::{ConsulKind, RuntimeKind, SandboxArgs, TaskExecArgs};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser, Debug)]
#[command(
    name = "foreshadow",
    version,
    about = "A scheduler that acts before the need: it shadows, profiles, forecasts, places, pre-allocates and switches, beside Nomad and Consul",
    after_help = "Try it: `foreshadow sandbox` opens the dashboard over a pretend estate on loopback; nothing else is needed.\n\n\
        Exit codes: 0 done · 1 failed · 2 there are changes or problems · 64 bad usage or bad file · 69 Nomad, Consul or the foreshadow that is asked cannot be reached · 75 another leader holds the lease: ask that one"
)]
pub struct Cli {
    /// What the log on stderr tells: a level (`info`, `debug`), or a filter such as `warn,foreshadow::act=debug`
    #[arg(
        long,
        global = true,
        default_value = "warn",
        value_name = "FILTER",
        help_heading = "Log"
    )]
    pub log: String,
    /// The log on stderr as lines of text, or one JSON object a line
    #[arg(
        long,
        global = true,
        value_enum,
        default_value = "text",
        help_heading = "Log"
    )]
    pub log_format: Format,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// A whole pretend estate on loopback, with load and faults, and the scheduler over it
    Sandbox(SandboxArgs),
    /// The headless scheduler against the Nomad and Consul of NOMAD_ADDR, CONSUL_HTTP_ADDR …
    Run(RunArgs),
    /// One cycle with paper hands: what would be done, why, and what waits on what (exit 2 when there are steps)
    Plan(ConfigArgs),
    /// The portions of a job, their dependencies, and whether each can be shadowed
    Partition(PartitionArgs),
    /// Checks policies, configuration and jobs, with line and column
    Validate(ValidateArgs),
    /// Reach, versions and rights of both clusters, one line each with the remedy
    Doctor(ConfigArgs),
    /// The dashboard over a foreshadow that runs headless (its HTTP API)
    Tui(TuiArgs),
    /// Shadows of a running foreshadow: start one by hand, list them, stop one
    Shadow(ShadowArgs),
    /// What is believed of each portion on each kind of resource
    Profiles(ProfilesArgs),
    /// Asks a running foreshadow to serve a portion from another site, through planner and guard
    Switch(SwitchArgs),
    /// Drops all moves under way and forgets what was asked for by hand; weights stay as they are
    Abort(AttachArgs),
    /// Has a running foreshadow read its policies again (as SIGHUP does); wrong ones change nothing, and its log says why
    Reload(AttachArgs),
    /// Changes what the log of a running foreshadow tells, or takes it back to what its --log said
    LogLevel(LogLevelArgs),
    /// Sets or clears foreshadow/hold, which stops every write of every foreshadow
    Hold(HoldArgs),
    /// Plays a load trace against a simulated estate in virtual time: what was lost, late and held
    Simulate(SimulateArgs),
    /// Solves a placement instance
    Place(PlaceArgs),
    /// Forecasts a series from a CSV file
    Forecast(ForecastArgs),
    /// Judges a shadow's requests against its baseline's: pass, fail or inconclusive, and why
    Judge(JudgeArgs),
    /// A proxy before a portion: copies a share of its requests to a shadow and compares the answers; production never waits
    Tap(TapArgs),
    /// A proxy before a service that records its answers, for stubs of it
    Record(RecordArgs),
    /// Drives a target with the requests of a log, a mix or one path, open loop, and prints its latencies, or its knee
    Load(LoadArgs),
    /// How good forecasts of given series would have been, by rolling origins
    Backtest(BacktestArgs),
    /// Draws screens of the dashboard as text, SVG or PNG, from a running foreshadow or a short run of the sandbox
    Screenshot(ScreenshotArgs),
    /// Prints a completion script
    Completions(CompletionsArgs),
    /// Prints the manual page
    Man,
    /// The sample workload's program
    #[command(hide = true)]
    ShopService(crate::load::shop::ShopArgs),
    /// Runs a task so that it ends with the sandbox
    #[command(hide = true)]
    TaskExec(TaskExecArgs),
    /// Stands in for a shadow's upstreams, beside it
    #[command(hide = true)]
    Upstreams,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// Where the policies are, which gateways there are, and whether it may act
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug, Clone)]
pub struct ConfigArgs {
    /// Where the policies are, which gateways there are, and whether it may act [default: foreshadow.hcl of this folder, else
    /// /etc/foreshadow/foreshadow.hcl]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct PartitionArgs {
    /// Job files (*.hcl, or JSON as `nomad job inspect` prints it), or IDs of jobs in Nomad: the jobs of one workload
    #[arg(required = true, value_name = "JOB")]
    pub jobs: Vec<String>,
    /// A policy that names portions and dependencies
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Print who calls whom for Graphviz: `foreshadow partition JOB --dot | dot -Tsvg`
    #[arg(long)]
    pub dot: bool,
    #[arg(long, value_enum, default_value = "text", conflicts_with = "dot")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// Policies, configuration files (with gateway blocks) and jobs (*.nomad.hcl, or JSON as Nomad has it)
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    /// `github`: workflow commands, so that a pull request shows the message beside the line
    #[arg(long, value_enum, default_value_t = ValidateFormat::Text)]
    pub format: ValidateFormat,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidateFormat {
    Text,
    Json,
    Github,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    On,
    Off,
}

#[derive(Args, Debug)]
pub struct HoldArgs {
    /// `on`: nothing is written until `off`; weights stay as they are
    pub switch: Switch,
    /// The configuration of the foreshadows that are to hold: it says which Consul and datacenter have their keys [default: those
    /// of CONSUL_HTTP_ADDR]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell that reads it
    pub shell: clap_complete::Shell,
}

/// `60s`, `2m`, `500ms`, `1h`, `7d`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no length of time; write 500ms, 60s, 2m, 1h or 7d");
    let digits = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .ok_or_else(bad)?;
    let n: f64 = text[..digits].parse().map_err(|_| bad())?;
    let factor = match &text[digits..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return Err(bad()),
    };
    Duration::try_from_secs_f64(n * factor).map_err(|_| bad())
}
