use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    foreshadow::cli::main(foreshadow::cli::Cli::parse())
}
