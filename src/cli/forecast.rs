//! `foreshadow forecast`: one series' future, why it is so, and how good such forecasts have been of late.

use super::Exit;
use super::args::{ForecastArgs, Format};
use super::plot::Picture;
use super::series;
use crate::engine::clock::Stopwatch;
use crate::forecast::backtest::{Protocol, Scores, backtest, points_in};
use crate::forecast::{Fit, Forecast, Samples};
use crate::model::{Moment, Span};
use serde_json::{Value, json};
use std::process::ExitCode;

const DAY: Span = Span(86_400_000);
/// Origins, one horizon apart, that say how good it has been lately.
const LATELY: usize = 4;
/// Fewest readings before the first of them.
const FEWEST: usize = 48;

pub fn forecast(args: ForecastArgs) -> Result<ExitCode, Exit> {
    check(&args)?;
    let step = args.step.map(|d| Span(d.as_millis() as i64));
    let samples = series::read(&args.input, step, args.counter)?;
    let seasons = seasons(&args.season)?;
    let watch = Stopwatch::start();
    let fit = Fit::new(&samples, args.horizon, seasons.as_deref(), None);
    let fit_ms = watch.elapsed().as_secs_f64() * 1000.0;
    let made = fit.forecast(args.horizon, &args.quantiles, 1.0);
    let predict_ms = watch.elapsed().as_secs_f64() * 1000.0 - fit_ms;
    let lately = lately(&samples, args.horizon, seasons.as_deref());
    match args.format {
        Format::Json => {
            let mut out = json(&samples, &args, &made, lately);
            out["fit_ms"] = fit_ms.into();
            out["predict_ms"] = predict_ms.into();
            println!("{out}");
        }
        Format::Text => text(&made, lately, fit_ms),
    }
    draw(&args, &samples, &fit)?;
    Ok(ExitCode::SUCCESS)
}

fn check(args: &ForecastArgs) -> Result<(), Exit> {
    if args.horizon == 0 {
        return Err(Exit::usage("--horizon: give at least one step ahead"));
    }
    if let Some(q) = args
        .quantiles
        .iter()
        .find(|q| !(0.0..1.0).contains(*q) || **q <= 0.0)
    {
        return Err(Exit::usage(format!(
            "--quantiles: {q} is not between 0 and 1"
        )));
    }
    if matches!(args.plot, Some(None)) && args.format == Format::Json {
        return Err(Exit::usage(
            "--plot draws on the terminal, where --format json prints one document; give it a file: --plot forecast.svg",
        ));
    }
    Ok(())
}

/// Scores of the forecasts made at the last few horizons' ends; none where there is too little before them.
fn lately(samples: &Samples, horizon: usize, seasons: Option<&[usize]>) -> Option<Scores> {
    let n = samples.values.len();
    let origins: Vec<usize> = (1..=LATELY)
        .filter_map(|k| n.checked_sub(k * horizon.max(1)))
        .filter(|o| *o >= FEWEST)
        .collect();
    let protocol = Protocol {
        origins: &origins,
        horizon: horizon.max(1),
        window: n,
        naive: if samples.step < DAY {
            points_in(DAY, samples.step)
        } else {
            1
        },
        seasons,
    };
    (!origins.is_empty()).then(|| backtest(samples, &protocol))
}

fn text(made: &Forecast, lately: Option<Scores>, fit_ms: f64) {
    println!(
        "{} (seasons {:?}), fitted in {fit_ms:.1} ms",
        made.model, made.seasons
    );
    if let Some(s) = lately {
        println!(
            "lately: {:.0}% of {} readings within the 80% band, weighted quantile loss {:.3}",
            100.0 * s.coverage_80,
            s.scored,
            s.wql
        );
    }
    if let Some(p) = made.parts.first() {
        println!(
            "next: level {:.2}, trend {:+.2}, season {:+.2}",
            p.level, p.trend, p.season
        );
    }
    made.warnings.iter().for_each(|w| println!("warning: {w}"));
    for p in &made.points {
        let quantiles: Vec<String> = p.quantiles.iter().map(|q| format!("{q:.2}")).collect();
        println!(
            "{}  {:.2}  [{}]",
            rfc3339(p.at),
            p.mean,
            quantiles.join(" ")
        );
    }
}

fn draw(args: &ForecastArgs, samples: &Samples, fit: &Fit) -> Result<(), Exit> {
    let Some(to) = &args.plot else {
        return Ok(());
    };
    let banded = fit.forecast(args.horizon, &[0.1, 0.5, 0.9], 1.0);
    let title = format!("{}: {} steps ahead", args.input.display(), args.horizon);
    let picture = Picture::new(title, samples, &banded, 4 * args.horizon);
    match to {
        None => print!("{}", picture.text(100)),
        Some(file) => std::fs::write(file, picture.svg())
            .map_err(|e| Exit::usage(format!("cannot write {}: {e}", file.display())))?,
    }
    Ok(())
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

fn json(samples: &Samples, args: &ForecastArgs, made: &Forecast, lately: Option<Scores>) -> Value {
    let points: Vec<Value> = made
        .points
        .iter()
        .zip(&made.parts)
        .map(|(p, parts)| {
            let quantiles: serde_json::Map<String, Value> = args
                .quantiles
                .iter()
                .zip(&p.quantiles)
                .map(|(level, q)| (level.to_string(), (*q).into()))
                .collect();
            json!({
                "timestamp": rfc3339(p.at), "mean": p.mean, "quantiles": quantiles, "components": parts,
            })
        })
        .collect();
    let mut by_weight = made.fit.members.clone();
    by_weight.sort_by(|a, b| b.1.total_cmp(&a.1));
    let models: Vec<Value> = by_weight
        .iter()
        .map(|(member, weight)| json!({"name": member.name(), "weight": weight}))
        .collect();
    json!({
        "model": made.model, "models": models, "season": made.seasons, "power": made.fit.power(),
        "step_seconds": samples.step.as_secs_f64(), "lately": lately, "warnings": made.warnings, "points": points,
    })
}

fn rfc3339(at: Moment) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |t| t.to_string())
}
