//! What is asked of a foreshadow that runs.

use super::{Format, LookArgs};
use crate::model::LogFilter;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Args, Debug)]
pub struct AttachArgs {
    /// API of the running foreshadow: unix:///PATH, http://ADDR, or https://NAME:PORT (with its CA in FORESHADOW_CACERT and its
    /// read token in FORESHADOW_READ_TOKEN_FILE); commands need its act token in FORESHADOW_ACT_TOKEN_FILE, or
    /// FORESHADOW_ACT_TOKEN [default: FORESHADOW_API, else its socket in XDG_RUNTIME_DIR or /run/foreshadow, else
    /// http://127.0.0.1:4680]
    // Not clap's `env`: a variable that is set everywhere conflicts with no flag.
    #[arg(long, value_name = "URL")]
    pub attach: Option<String>,
}

#[derive(Args, Debug)]
pub struct TuiArgs {
    #[command(flatten)]
    pub at: AttachArgs,
    /// Instead of one that runs elsewhere: run it here by this configuration, as `run` does, with the dashboard over it; it ends
    /// with the dashboard
    #[arg(long, value_name = "FILE", conflicts_with = "attach")]
    pub config: Option<PathBuf>,
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
        /// The portion, as `shadow list` and the dashboard name it
        portion: String,
        /// Where it is to run: a datacenter of Nomad's
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
        /// Its ID, as `shadow list` prints it
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
    /// The portion, as `profiles` and the dashboard name it
    pub portion: String,
    /// Where it is to be served from: a datacenter of Nomad's
    #[arg(long, value_name = "SITE")]
    pub to: String,
    #[command(flatten)]
    pub at: AttachArgs,
}

#[derive(Args, Debug)]
pub struct LogLevelArgs {
    /// As --log takes it: `info`, or `warn,foreshadow::act=debug`
    #[arg(required_unless_present = "reset", value_name = "FILTER")]
    pub filter: Option<LogFilter>,
    /// Back to what it was started with
    #[arg(long, conflicts_with = "filter")]
    pub reset: bool,
    #[command(flatten)]
    pub at: AttachArgs,
}
