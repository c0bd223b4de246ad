//! `simulate`: a trace in virtual time, or many worlds with their checkers.

mod table;

use super::args::{Format, SimulateArgs, StrategyKind};
use super::validate::job_from;
use super::{Exit, exit, series};
use crate::engine::simulate::{Faults, Order, Report, Strategy, seeds, simulate as play};
use crate::model::counted;
use crate::model::{JobSpec, Policy};
use crate::sandbox::block::Block;
use crate::sandbox::estate::Estate;
use crate::sandbox::nomad::parse_job;
use crate::sandbox::scenario::Scenario;
use crate::sandbox::simulated::faults::Level;
use crate::settings;
use std::path::Path;
use std::process::ExitCode;

const JOB: &str = include_str!("../../jobs/shop.nomad.hcl");
const TRACE: &str = include_str!("../../assets/traces/shop.csv");

pub fn simulate(args: SimulateArgs) -> Result<ExitCode, Exit> {
    if let Some(count) = args.seeds {
        return worlds(&args, count);
    }
    let Some(path) = &args.policy else {
        return Err(Exit::usage("simulate needs --policy FILE"));
    };
    let policy = settings::read_policy(path).map_err(Exit::usage)?;
    if !args.table.is_empty() {
        return table::print(&args, policy);
    }
    let trace = match &args.trace {
        Some(path) => series::read(path, None, false)?,
        None => series::built_in(TRACE, "the sandbox's trace")?,
    };
    let order = Order {
        jobs: jobs(&args.job, &policy)?,
        policy,
        trace,
        days: args.days,
        faults: faults(&args.faults)?,
        strategy: strategy(args.strategy),
        seed: args.seed,
    };
    let report = play(order).map_err(Exit::usage)?;
    match args.format {
        Format::Json => println!(
            "{}",
            serde_json::to_string(&report).map_err(|e| Exit::failed(&e))?
        ),
        Format::Text => print(&report),
    }
    Ok(ExitCode::SUCCESS)
}

fn worlds(args: &SimulateArgs, count: u64) -> Result<ExitCode, Exit> {
    let verdict = seeds::run(args.seed, count);
    match args.format {
        Format::Json => println!(
            "{}",
            serde_json::to_string(&verdict).map_err(|e| Exit::failed(&e))?
        ),
        Format::Text => println!(
            "{}, {} failed, {}",
            counted(count, "world"),
            verdict.failed.len(),
            counted(verdict.steps, "step")
        ),
    }
    for failure in &verdict.failed {
        eprintln!("seed {}: {}", failure.seed, failure.replay);
        failure
            .broken
            .iter()
            .take(5)
            .for_each(|b| eprintln!("  {}: {}", b.law, b.text));
    }
    Ok(match verdict.failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(exit::FAILED),
    })
}

fn strategy(kind: StrategyKind) -> Strategy {
    match kind {
        StrategyKind::Foreshadow => Strategy::Foreshadow,
        StrategyKind::Reactive => Strategy::Reactive,
        StrategyKind::Static => Strategy::Static,
        StrategyKind::Oracle => Strategy::Oracle,
    }
}

fn faults(text: &str) -> Result<Faults, Exit> {
    let level = match text {
        "none" => Level::None,
        "light" => Level::Light,
        "heavy" => Level::Heavy,
        file => {
            let read = std::fs::read_to_string(file).map_err(|e| {
                Exit::usage(format!(
                    "--faults {file}: {e}; give none, light, heavy or a scenario"
                ))
            })?;
            let estate = Estate::builtin(Block::default());
            let scenario = Scenario::parse(&read, file, &estate).map_err(Exit::usage)?;
            return Ok(Faults::Scenario(scenario));
        }
    };
    Ok(Faults::Level(level))
}

fn jobs(files: &[std::path::PathBuf], policy: &Policy) -> Result<Vec<JobSpec>, Exit> {
    let read = |path: &Path| {
        let name = path.display().to_string();
        let text = settings::read_text(path).map_err(Exit::usage)?;
        job_from(&name, &text).map_err(Exit::usage)
    };
    let mut jobs: Vec<JobSpec> = files.iter().map(|p| read(p)).collect::<Result<_, _>>()?;
    let known = parse_job(JOB).map(JobSpec::new).map_err(Exit::usage)?;
    let named = |p: &crate::model::PortionPolicy| {
        p.job == known.id() && p.groups.iter().all(|g| known.group(g).is_some())
    };
    let of_job = policy.portions.iter().filter(|p| p.job == known.id());
    if jobs.iter().all(|j| j.id() != known.id())
        && of_job.clone().count() > 0
        && of_job.clone().all(named)
    {
        jobs.push(known);
    }
    Ok(jobs)
}

fn print(report: &Report) {
    let r = report;
    println!(
        "{}: {}, {} on {}, {}",
        r.strategy,
        counted(r.days, "day"),
        counted(r.portions, "portion"),
        counted(r.nodes, "node"),
        counted(r.faults, "fault")
    );
    println!(
        "  {} requests, {} lost, {} late",
        r.requests, r.requests_lost, r.requests_late
    );
    println!("  {:.0} s of broken SLOs", r.violation_seconds);
    println!(
        "  {:.2} core-hours, {:.2} of them idle",
        r.core_hours, r.reserved_core_hours
    );
    println!(
        "  {} switchovers; standbys served {} times without need; {} ms of wall time",
        r.switchovers, r.false_switchovers, r.wall_ms
    );
}
