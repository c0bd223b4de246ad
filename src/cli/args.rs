//! The command line, as data. Help texts teach.

mod pictures;

pub use pictures::{GlyphKind, LookArgs, Picture, ScreenshotArgs};

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser, Debug)]
#[command(
    name = "foreshadow",
    version,
    about = "A scheduler that acts before the need: it shadows, profiles, forecasts, places, pre-allocates and switches, beside Nomad and Consul",
    after_help = "Try it: `foreshadow sandbox` opens the dashboard over a pretend estate on loopback; nothing else is needed.\n\n\
        Exit codes: 0 done · 1 failed · 2 there are changes or problems · 64 bad usage or bad file · 69 Nomad or Consul cannot be reached · 75 another leader holds the lease"
)]
pub struct Cli {
    /// More to say in the log on stderr (`info`, `debug`, or a filter such as `foreshadow::act=debug`).
    #[arg(long, global = true, default_value = "warn", value_name = "FILTER")]
    pub log: String,
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
    Plan(RunArgs),
    /// The portions of a job, their dependencies, and whether each can be shadowed
    Partition(PartitionArgs),
    /// Checks policies, configuration and jobs, with line and column
    Validate(ValidateArgs),
    /// Reach, versions and rights of both clusters, one line each with the remedy
    Doctor(RunArgs),
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
    Load(super::load::LoadArgs),
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

#[derive(Args, Debug, Clone)]
pub struct RunArgs {
    /// Where the policies are, which gateways there are, and whether it may act
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrategyKind {
    Foreshadow,
    /// Target-value scaling on the last reading
    Reactive,
    /// The trace's peak, all the time
    Static,
    /// Knows the trace and the faults ahead
    Oracle,
}

#[derive(Args, Debug)]
pub struct SimulateArgs {
    /// `timestamp,value` lines; the highest value becomes the policy's `peak_rps` [default: the sandbox's]
    #[arg(long, value_name = "SERIES.csv")]
    pub trace: Option<PathBuf>,
    #[arg(long, value_name = "FILE", required_unless_present = "seeds")]
    pub policy: Option<PathBuf>,
    /// Jobs of the policy (*.nomad.hcl) [default: the built-in one where the policy names it, else made up with two instances a group]
    #[arg(long, value_name = "FILE")]
    pub job: Vec<PathBuf>,
    /// Play the last days of the trace; everything earlier is history
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub days: u32,
    /// Instead, hold all four strategies against each other over these traces (files or folders), as a table in Markdown
    #[arg(long, value_name = "DIR|FILE", num_args = 1.., conflicts_with_all = ["trace", "seeds"])]
    pub table: Vec<PathBuf>,
    /// Hold them against each other under the faults of so many seeds, from `--seed` on
    #[arg(long, value_name = "N", default_value_t = 1, requires = "table", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub repeat: u64,
    /// Instead, run so many worlds of half an hour with random faults, and check what must hold in them
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,
    /// none, light, heavy, or a scenario to play from the first moment
    #[arg(long, value_name = "none|light|heavy|FILE", default_value = "none")]
    pub faults: String,
    #[arg(long, value_enum, default_value = "foreshadow")]
    pub strategy: StrategyKind,
    /// Of the run, or of the first of `--seeds` worlds
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct AttachArgs {
    /// API of the running foreshadow: unix:///PATH, http://ADDR, or https://NAME:PORT (with its CA in FORESHADOW_CACERT and its
    /// read token in FORESHADOW_READ_TOKEN_FILE); commands need its act token in FORESHADOW_ACT_TOKEN_FILE, or
    /// FORESHADOW_ACT_TOKEN [default: its socket in XDG_RUNTIME_DIR or /run/foreshadow, else http://127.0.0.1:4680]
    #[arg(long, value_name = "URL", env = "FORESHADOW_API")]
    pub attach: Option<String>,
}

#[derive(Args, Debug)]
pub struct TuiArgs {
    #[command(flatten)]
    pub at: AttachArgs,
    /// Keys that hold, switch, pin and start shadows work
    #[arg(long)]
    pub allow_act: bool,
    #[command(flatten)]
    pub looks: LookArgs,
}

#[derive(Args, Debug)]
pub struct ShadowArgs {
    #[command(subcommand)]
    pub command: ShadowCommand,
}

#[derive(Subcommand, Debug)]
pub enum ShadowCommand {
    /// Asks for a shadow of a portion at a site
    Start {
        portion: String,
        #[arg(long = "at", value_name = "SITE")]
        site: String,
        #[command(flatten)]
        at: AttachArgs,
    },
    /// Running and finished shadows, and what would be shadowed next
    List {
        #[command(flatten)]
        at: AttachArgs,
        #[arg(long, value_enum, default_value = "text")]
        format: Format,
    },
    /// Stops a shadow
    Stop {
        shadow: String,
        #[command(flatten)]
        at: AttachArgs,
    },
}

#[derive(Args, Debug)]
pub struct ProfilesArgs {
    #[command(flatten)]
    pub at: AttachArgs,
    /// Draw latency against load, with its band and the knee, for each place measured
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct SwitchArgs {
    pub portion: String,
    #[arg(long, value_name = "SITE")]
    pub to: String,
    #[command(flatten)]
    pub at: AttachArgs,
}

#[derive(Args, Debug)]
pub struct PartitionArgs {
    /// Job files (*.hcl), or IDs of jobs in Nomad: the jobs of one workload
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

#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// Policies, configuration files (with gateway blocks) and jobs (*.nomad.hcl)
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
    pub switch: Switch,
    /// The configuration of the foreshadows that are to hold: it says which Consul and datacenter have their keys [default: those
    /// of CONSUL_HTTP_ADDR]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct PlaceArgs {
    /// An instance of foreshadow-placement/1
    #[arg(long, value_name = "FILE")]
    pub input: PathBuf,
    /// Search this long, such as 1s; the bound may take as long again
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub time_limit: Option<Duration>,
    /// Search with so many moves: the same seed then gives the same answer
    #[arg(long, conflicts_with = "time_limit")]
    pub iterations: Option<u64>,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// 0: one a core
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// What runs now, as an earlier `place --format json` printed it: changed as little as it pays
    #[arg(long, value_name = "PLACEMENT.json")]
    pub running: Option<PathBuf>,
    /// What a standby must save to be moved from where it runs, in the instance's cost units
    #[arg(long, value_name = "COST", requires = "running", default_value_t = 100)]
    pub move_cost: i64,
    /// Shows the candidates of one portion, what each costs, and why not
    #[arg(long, value_name = "PORTION")]
    pub explain: Option<String>,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct ForecastArgs {
    /// `timestamp,value` lines; - for standard input
    #[arg(long, value_name = "FILE|-")]
    pub input: PathBuf,
    /// Steps ahead
    #[arg(long, default_value_t = 24)]
    pub horizon: usize,
    /// `auto`, or periods in steps such as 288,2016
    #[arg(long, default_value = "auto")]
    pub season: String,
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9"
    )]
    pub quantiles: Vec<f64>,
    /// Step of the series, such as 5m [default: its most common distance]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub step: Option<Duration>,
    /// The values are a counter that may reset: forecast its rate a second
    #[arg(long)]
    pub counter: bool,
    /// Draw history, 80% band and components: in the terminal, or as SVG into a file
    #[arg(long, value_name = "FILE.svg", num_args = 0..=1)]
    pub plot: Option<Option<PathBuf>>,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct BacktestArgs {
    /// Folders and files of `timestamp,value` lines
    #[arg(long, value_name = "DIR|FILE", num_args = 1.., required = true)]
    pub input: Vec<PathBuf>,
    /// Steps ahead [default: as the file of origins has it, or 24]
    #[arg(long)]
    pub horizon: Option<usize>,
    /// How many origins, spread over the last two fifths of each series, or a file that lists them
    #[arg(long, value_name = "N|FILE", default_value = "8")]
    pub origins: String,
    /// What the forecaster may see before an origin, such as 7d [default: as the file of origins has it, or 7d, and 28d for hourly series]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub window: Option<Duration>,
    /// Score each model of the pool by itself, too
    #[arg(long)]
    pub models: bool,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "A file is CSV with the header `latency_ms,ok` (one request a line, in the order of sending; ok is 1 or 0), or a range answer of Prometheus as JSON.\nThe verdict is no exit code: 0 whatever it is."
)]
pub struct JudgeArgs {
    #[command(subcommand)]
    pub command: Option<JudgeCommand>,
    /// Requests of the production release where it runs today
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// Requests of the shadow
    #[arg(long, value_name = "FILE")]
    pub shadow: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Subcommand, Debug)]
pub enum JudgeCommand {
    /// How often the judge is wrong, by seeded simulation: alike sides that it fails, regressions that it finds
    Calibrate(CalibrateArgs),
}

#[derive(Args, Debug)]
pub struct CalibrateArgs {
    /// Pairs of each kind
    #[arg(long, default_value_t = 2000)]
    pub runs: u32,
    /// Requests a side
    #[arg(long, default_value_t = 5000)]
    pub requests: usize,
    /// How many times as slow the regression is
    #[arg(long, default_value_t = 1.10)]
    pub regression: f64,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

#[derive(Args, Debug)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}

#[derive(Args, Debug)]
pub struct TaskExecArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub command: Vec<String>,
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
