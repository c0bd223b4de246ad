//! `judge`: one verdict on two files of requests, and how often the judge itself is wrong.

use super::Exit;
use super::args::{CalibrateArgs, Format, JudgeArgs, JudgeCommand};
use crate::learn::judge::{Judgement, Limits, calibrate, judge as verdict_on};
use crate::load::answers::parse_answers;
use crate::model::Answer;
use std::path::Path;
use std::process::ExitCode;

pub fn judge(args: JudgeArgs) -> Result<ExitCode, Exit> {
    if let Some(JudgeCommand::Calibrate(args)) = args.command {
        return calibration(&args);
    }
    let (Some(baseline), Some(shadow)) = (args.baseline, args.shadow) else {
        return Err(Exit::usage(
            "judge needs --baseline FILE and --shadow FILE; `foreshadow judge --help` tells what is in them",
        ));
    };
    let judgement = verdict_on(&read(&baseline)?, &read(&shadow)?, &Limits::default());
    match args.format {
        Format::Json => {
            let json = serde_json::to_string(&judgement).map_err(|e| Exit::failed(&e))?;
            println!("{json}");
        }
        Format::Text => print(&judgement),
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<Vec<Answer>, Exit> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Exit::usage(format!("cannot read {name}: {e}")))?;
    parse_answers(&text, &name).map_err(Exit::usage)
}

fn print(judgement: &Judgement) {
    let (baseline, shadow) = judgement.requests;
    let verdict = format!("{:?}", judgement.verdict).to_lowercase();
    println!("{verdict}: {}", judgement.because);
    println!("  {baseline} requests of the baseline, {shadow} of the shadow count");
    for test in &judgement.tests {
        let worse = if test.worse { "worse" } else { "" };
        println!(
            "  {:<8} effect {:>9.4}  p {:>8.1e}  {worse}",
            test.name, test.effect, test.p
        );
    }
}

fn calibration(args: &CalibrateArgs) -> Result<ExitCode, Exit> {
    let rates = calibrate::calibrate(args.runs, args.requests, args.regression, args.seed);
    match args.format {
        Format::Json => {
            let json = serde_json::to_string(&rates).map_err(|e| Exit::failed(&e))?;
            println!("{json}");
        }
        Format::Text => {
            let (runs, n, by) = (args.runs, args.requests, args.regression);
            println!(
                "{runs} runs of each kind, {n} requests a side, seed {}",
                args.seed
            );
            println!(
                "  alike:       {:.2}% failed (false alarms), {:.2}% inconclusive",
                rates.aa_fail_pct, rates.aa_inconclusive_pct
            );
            println!(
                "  {by:.2} × slow: {:.2}% failed (found), {:.2}% passed (missed)",
                rates.found_pct, rates.missed_pct
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}
