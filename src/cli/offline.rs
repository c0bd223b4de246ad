//! What needs no cluster: `place`, completions and the manual page.

use super::Exit;
use super::args::{Cli, CompletionsArgs, Format, PlaceArgs};
use crate::placement::{self, Options, Problem};
use clap::CommandFactory;
use std::process::ExitCode;
use std::time::Duration;

pub fn place(args: PlaceArgs) -> Result<ExitCode, Exit> {
    let text = std::fs::read_to_string(&args.input)
        .map_err(|e| Exit::usage(format!("cannot read {}: {e}", args.input.display())))?;
    let problem = Problem::from_json(&text)
        .map_err(|e| Exit::usage(format!("{}: {e}", args.input.display())))?;
    let watch = crate::engine::clock::Stopwatch::start();
    let limit = args.time_limit.unwrap_or(Duration::from_secs(1));
    let options = |spent| Options {
        iterations: args.iterations,
        spent,
        seed: args.seed,
        threads: args.threads,
        ..Options::default()
    };
    let spent = || watch.elapsed().as_secs_f64() / limit.as_secs_f64().max(1e-9);
    let timed = args.iterations.is_none();
    let stop = || timed && watch.elapsed() >= limit;
    let mut answer = if timed {
        placement::search(&problem, &options(Some(&spent)), &stop)
    } else {
        placement::search(&problem, &options(None), &stop)
    };
    placement::prove(&problem, &mut answer, placement::BOUND_ROUNDS, &|| {
        timed && watch.elapsed() >= limit * 2
    });
    let solve_ms = watch.elapsed().as_secs_f64() * 1000.0;
    match args.format {
        Format::Json => {
            let mut json = serde_json::to_value(&answer).map_err(|e| Exit::failed(&e))?;
            json["solve_ms"] = solve_ms.into();
            println!("{json}");
        }
        Format::Text => {
            println!(
                "objective {} (bound {}, at most {:.2}% above the best), {} standbys missing, {solve_ms:.0} ms",
                answer.objective, answer.bound, answer.gap_pct, answer.unplaced
            );
            for (portion, why) in &answer.why_unplaced {
                println!("  portion {portion}: {why}");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

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
