//! The comparison of all strategies, as tables in Markdown.

use super::super::args::SimulateArgs;
use super::super::{Exit, series};
use super::{faults, jobs};
use crate::engine::simulate::table::{Ratio, Row, STRATEGIES, compare};
use crate::engine::simulate::{Order, Report, Strategy};
use crate::model::Policy;
use std::process::ExitCode;

/// A figure of a run.
type Figure = fn(&Report) -> f64;

const VIOLATION: Figure = |r| r.violation_seconds;
const CORES: Figure = |r| r.core_hours;
/// Where these stand among the strategies.
const REACTIVE: usize = 1;
const ORACLE: usize = 3;

/// Two tables: one row a trace with what was aimed at, and one row a strategy with all figures.
pub fn print(args: &SimulateArgs, policy: Policy) -> Result<ExitCode, Exit> {
    let order = |path: std::path::PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let order = Order {
            policy: policy.clone(),
            jobs: jobs(&args.job, &policy)?,
            trace: series::read(&path, None, false)?,
            days: args.days,
            faults: faults(&args.faults)?,
            strategy: Strategy::Foreshadow,
            seed: args.seed,
        };
        Ok((name.into_owned(), order))
    };
    let orders = series::files(&args.table)?.into_iter().map(order);
    let orders = orders.collect::<Result<Vec<_>, Exit>>()?;
    let rows = compare(orders, args.repeat).map_err(Exit::usage)?;
    println!(
        "| trace | violation s | reactive's | violation s ÷ reactive | core-h ÷ reactive | core-h ÷ oracle |"
    );
    println!("|---|---|---|---|---|---|");
    rows.iter().for_each(|row| println!("{}", short(row)));
    println!(
        "\n| trace | strategy | lost | late | violation s | core-h | switchovers (idle) |\n|---|---|---|---|---|---|---|"
    );
    let kinds = 0..STRATEGIES.len();
    let long = rows
        .iter()
        .flat_map(|row| kinds.clone().map(|k| long(row, k)));
    long.for_each(|line| println!("{line}"));
    Ok(ExitCode::SUCCESS)
}

fn short(row: &Row) -> String {
    format!(
        "| {} | {:.0} | {:.0} | {} | {} | {} |",
        row.trace,
        row.mean(0, VIOLATION),
        row.mean(REACTIVE, VIOLATION),
        told(&row.ratio(REACTIVE, VIOLATION)),
        told(&row.ratio(REACTIVE, CORES)),
        told(&row.ratio(ORACLE, CORES)),
    )
}

fn long(row: &Row, kind: usize) -> String {
    let mean = |figure: Figure| row.mean(kind, figure);
    format!(
        "| {} | {} | {:.0} | {:.0} | {:.0} | {:.1} | {:.0} ({:.0}) |",
        row.trace,
        row.runs.first().map_or("", |four| &four[kind].strategy),
        mean(|r| r.requests_lost as f64),
        mean(|r| r.requests_late as f64),
        mean(VIOLATION),
        mean(CORES),
        mean(|r| r.switchovers as f64),
        mean(|r| r.false_switchovers as f64),
    )
}

/// Over all seeds, and from the least of one seed to the most where they differ.
fn told(ratio: &Ratio) -> String {
    let (least, most) = (*ratio.each.start(), *ratio.each.end());
    match (ratio.all.is_finite(), (most - least).abs() < 0.005) {
        (false, _) => "none".into(),
        (true, true) => format!("{:.2}", ratio.all),
        (true, false) => format!("{:.2} ({least:.2} to {most:.2})", ratio.all),
    }
}
