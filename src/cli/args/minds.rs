//! What is worked out from files alone: forecasts, placements, verdicts and simulated days.

use super::{Format, time};
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

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
    /// Policy of the workload that is played
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
    /// Who schedules: foreshadow itself, or what it is compared with
    #[arg(long, value_enum, default_value = "foreshadow")]
    pub strategy: StrategyKind,
    /// Of the run, or of the first of `--seeds` worlds
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
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
