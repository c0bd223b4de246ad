//! What needs no cluster: `forecast`, completions and the manual page.

use super::Exit;
use super::args::{Cli, CompletionsArgs, ForecastArgs, Format};
use crate::forecast::{self, Samples};
use crate::load::trace;
use crate::model::{Moment, Span};
use clap::CommandFactory;
use std::io::Read;
use std::process::ExitCode;

pub fn forecast(args: ForecastArgs) -> Result<ExitCode, Exit> {
    let name = args.input.display().to_string();
    let text = if name == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| Exit::failed(&e))?;
        text
    } else {
        std::fs::read_to_string(&args.input)
            .map_err(|e| Exit::usage(format!("cannot read {name}: {e}")))?
    };
    let points = trace::parse_series(&text, &name).map_err(Exit::usage)?;
    let step = args.step.map(|d| Span(d.as_millis() as i64));
    let samples =
        forecast::regular(&points, step).map_err(|e| Exit::usage(format!("{name}: {e}")))?;
    let seasons = seasons(&args.season)?;
    if let Some(q) = args
        .quantiles
        .iter()
        .find(|q| !(0.0..1.0).contains(*q) || **q <= 0.0)
    {
        return Err(Exit::usage(format!(
            "--quantiles: {q} is not between 0 and 1"
        )));
    }
    let watch = crate::engine::clock::Stopwatch::start();
    let fit = forecast::Fit::new(&samples, args.horizon, seasons.as_deref(), None);
    let fit_ms = watch.elapsed().as_secs_f64() * 1000.0;
    let made = fit.forecast(args.horizon, &args.quantiles, 1.0);
    let predict_ms = watch.elapsed().as_secs_f64() * 1000.0 - fit_ms;
    match args.format {
        Format::Json => println!("{}", json(&samples, &args, &made, fit_ms, predict_ms)),
        Format::Text => {
            println!(
                "{} (seasons {:?}), fitted in {fit_ms:.1} ms",
                made.model, made.seasons
            );
            made.warnings.iter().for_each(|w| println!("warning: {w}"));
            for p in &made.points {
                let quantiles: Vec<String> =
                    p.quantiles.iter().map(|q| format!("{q:.2}")).collect();
                println!(
                    "{}  {:.2}  [{}]",
                    rfc3339(p.at),
                    p.mean,
                    quantiles.join(" ")
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn seasons(text: &str) -> Result<Option<Vec<usize>>, Exit> {
    if text == "auto" {
        return Ok(None);
    }
    text.split(',')
        .map(|p| p.trim().parse::<usize>().ok().filter(|p| *p >= 2))
        .collect::<Option<Vec<_>>>()
        .map(Some)
        .ok_or_else(|| {
            Exit::usage(format!(
                "--season: {text:?} is neither `auto` nor periods in steps such as 288,2016"
            ))
        })
}

fn json(
    samples: &Samples,
    args: &ForecastArgs,
    made: &forecast::Forecast,
    fit_ms: f64,
    predict_ms: f64,
) -> serde_json::Value {
    let points: Vec<serde_json::Value> = made
        .points
        .iter()
        .map(|p| {
            let quantiles: serde_json::Map<String, serde_json::Value> = args
                .quantiles
                .iter()
                .zip(&p.quantiles)
                .map(|(level, q)| (level.to_string(), (*q).into()))
                .collect();
            serde_json::json!({"timestamp": rfc3339(p.at), "mean": p.mean, "quantiles": quantiles})
        })
        .collect();
    serde_json::json!({
        "model": made.model, "season": made.seasons, "step_seconds": samples.step.as_secs_f64(),
        "fit_ms": fit_ms, "predict_ms": predict_ms, "warnings": made.warnings, "points": points,
    })
}

fn rfc3339(at: Moment) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |t| t.to_string())
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
