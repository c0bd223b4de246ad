use std::process::ExitCode;

fn main() -> ExitCode {
    foreshadow::cli::parsed().map_or_else(|code| code, foreshadow::cli::main)
}
