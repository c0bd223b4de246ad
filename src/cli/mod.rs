//! Chooses a face, loads files, starts the engine, drains; no logic.

mod args;
mod backtest;
mod by_hand;
mod doctor;
mod doors;
mod files;
mod forecast;
mod judge;
mod load;
mod logging;
mod looks;
mod loop_;
mod offline;
mod place;
mod plot;
mod reload;
mod sandbox;
mod screenshot;
pub mod series;
mod service;
mod signals;
mod simulate;
pub mod simulated;
mod stored;
mod tap;
mod telling;
mod upstreams;
mod validate;

pub use args::Cli;

use args::Command;
use clap::Parser;
use logging::Tuner;
use std::io::IsTerminal;
use std::process::ExitCode;

/// Exit codes that scripts stand on (`foreshadow help` lists them).
pub mod exit {
    pub const FAILED: u8 = 1;
    pub const CHANGES: u8 = 2;
    pub const USAGE: u8 = 64;
    pub const UNREACHABLE: u8 = 69;
    pub const LED_ELSEWHERE: u8 = 75;
}

/// An error that has reached the edge, and the code the process ends with.
#[derive(Debug)]
pub struct Exit {
    pub code: u8,
    pub message: String,
}

impl Exit {
    pub fn usage(e: impl std::fmt::Display) -> Exit {
        Exit {
            code: exit::USAGE,
            message: e.to_string(),
        }
    }
    /// The whole chain of causes, printed once.
    pub fn failed(e: &dyn std::error::Error) -> Exit {
        Exit {
            code: exit::FAILED,
            message: chain(e),
        }
    }
    pub fn unreachable(e: &dyn std::error::Error) -> Exit {
        Exit {
            code: exit::UNREACHABLE,
            message: chain(e),
        }
    }
}

pub(super) fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut source = e.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The command line as it was given.
///
/// # Errors
/// What the process ends with, once help or what is wrong was printed. clap's own 2 says something else here.
pub fn parsed() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|e| {
        let _ = e.print();
        match e.use_stderr() {
            true => ExitCode::from(exit::USAGE),
            false => ExitCode::SUCCESS,
        }
    })
}

/// Runs the command line to its end.
pub fn main(cli: Cli) -> ExitCode {
    // A log line would tear the dashboard's picture; redirected, it may be kept.
    let draws = match &cli.command {
        Command::Sandbox(args) => !args.headless,
        Command::Tui(_) => true,
        _ => false,
    };
    let torn = draws && std::io::stderr().is_terminal();
    let log = match logging::begin(&cli.log, cli.log_format, torn) {
        Ok(log) => log,
        Err(exit) => {
            eprintln!("foreshadow: {}", exit.message);
            return ExitCode::from(exit.code);
        }
    };
    match dispatch(cli, &log) {
        Ok(code) => code,
        Err(exit) => {
            eprintln!("foreshadow: {}", exit.message);
            ExitCode::from(exit.code)
        }
    }
}

fn dispatch(cli: Cli, log: &Tuner) -> Result<ExitCode, Exit> {
    match cli.command {
        Command::Sandbox(args) if args.runtime == args::RuntimeKind::Simulated => {
            simulated::sandbox(&args)
        }
        Command::Sandbox(args) => sandbox::sandbox(args, log),
        Command::Run(args) => loop_::run(args, log),
        Command::Plan(args) => loop_::plan(args, log),
        Command::Tui(args) => {
            let options = args.looks.options(args.allow_act)?;
            match &args.config {
                Some(config) => loop_::dashboard(config, options, log),
                None => by_hand::dashboard(&args.at, options),
            }
        }
        Command::Shadow(args) => by_hand::shadow(args),
        Command::Profiles(args) => by_hand::profiles(args),
        Command::Switch(args) => by_hand::switch(args),
        Command::Abort(args) => by_hand::abort(args),
        Command::Reload(args) => by_hand::reload(args),
        Command::LogLevel(args) => by_hand::log_level(args),
        Command::Hold(args) => loop_::hold(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Partition(args) => files::partition(args),
        Command::Validate(args) => validate::validate(args),
        Command::Simulate(args) => simulate::simulate(args),
        Command::Place(args) => place::place(args),
        Command::Judge(args) => judge::judge(args),
        Command::Forecast(args) => forecast::forecast(args),
        Command::Tap(args) => tap::tap(args),
        Command::Load(args) => load::load(args),
        Command::Backtest(args) => backtest::backtest(args),
        Command::Screenshot(args) => screenshot::screenshot(args),
        Command::Completions(args) => offline::completions(args),
        Command::Man => offline::man(),
        Command::ShopService(args) => sandbox::shop(args),
        Command::TaskExec(args) => sandbox::task_exec(args),
        Command::Record(args) => upstreams::record(args),
        Command::Upstreams => upstreams::stand_in(),
    }
}
