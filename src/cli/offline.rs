//! What needs nothing but the command line itself: completions and the manual page.

use super::Exit;
use super::args::{Cli, CompletionsArgs};
use clap::CommandFactory;
use std::process::ExitCode;

pub fn completions(args: CompletionsArgs) -> Result<ExitCode, Exit> {
    clap_complete::generate(
        args.shell,
        &mut Cli::command(),
        "foreshadow",
        &mut std::io::stdout(),
    );
    Ok(ExitCode::SUCCESS)
}

pub fn man() -> Result<ExitCode, Exit> {
    clap_mangen::Man::new(Cli::command())
        .render(&mut std::io::stdout())
        .map_err(|e| Exit::failed(&e))?;
    Ok(ExitCode::SUCCESS)
}
