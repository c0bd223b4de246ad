//! Load by hand.

use super::{Format, time};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// At random, as those of many clients
    Poisson,
    Constant,
    /// As in the log
    Own,
}

#[derive(Args, Debug)]
pub struct LoadArgs {
    /// The target, http://HOST:PORT/PATH; the path is sent where neither --from nor --mix says what
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// An access log to replay: Common or Combined Log Format, JSON lines, or a HAR
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
    /// Name of a JSON field: time, method, path or request, and its name in the log
    #[arg(long = "field", value_name = "OURS=THEIRS")]
    pub fields: Vec<String>,
    /// A part of a synthetic mix: `/path`, `POST /path`, and how often against the others
    #[arg(long, value_name = "[METHOD ]/PATH[=WEIGHT]", conflicts_with = "from")]
    pub mix: Vec<String>,
    /// Methods that may be sent [default: GET,HEAD,OPTIONS]
    #[arg(long, value_name = "METHOD", value_delimiter = ',')]
    pub methods: Vec<String>,
    /// Requests a second [default: the log's own rate, else 10]
    #[arg(long, value_name = "N")]
    pub rate: Option<f64>,
    /// Instead of --rate: so many times the log's own rate
    #[arg(long, value_name = "FACTOR", conflicts_with = "rate")]
    pub scale: Option<f64>,
    /// [default: own for a log without --rate, else poisson]
    #[arg(long, value_enum)]
    pub arrivals: Option<Times>,
    /// How long it is driven; with --knee, longest time of one rate
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = time)]
    pub lasts: Duration,
    /// Search for the highest rate at which the SLO holds, from --rate up to this one
    #[arg(long, value_name = "RATE")]
    pub knee: Option<f64>,
    /// The SLO: quantile of latency, and its limit
    #[arg(long, value_name = "Q", default_value_t = 0.99)]
    pub quantile: f64,
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = time)]
    pub latency: Duration,
    #[arg(long, value_name = "PART", default_value_t = 0.999)]
    pub success: f64,
    /// That the knee lies where the search says
    #[arg(long, value_name = "PART", default_value_t = 0.95)]
    pub confidence: f64,
    #[arg(long, value_name = "PART", default_value_t = 0.1)]
    pub resolution: f64,
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}
