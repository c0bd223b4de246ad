//! `foreshadow backtest`: how good forecasts would have been, by rolling origins over given series.

use super::Exit;
use super::args::{BacktestArgs, Format};
use super::series;
use crate::engine::clock::Stopwatch;
use crate::forecast::backtest::{LEVELS, Scores, Tally, points_in, spread_origins, window};
use crate::forecast::{Fit, Forecast, Samples};
use crate::model::Span;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const DAY: Span = Span(86_400_000);
const HOUR: Span = Span(3_600_000);

/// One series of an origins file.
#[derive(Clone, Debug, Deserialize)]
struct Spec {
    file: PathBuf,
    season: Option<usize>,
    window: Option<usize>,
    h: Option<usize>,
    origins: Vec<usize>,
}

/// A series, and where and how to look back on it.
struct Trial {
    name: String,
    track: String,
    samples: Samples,
    origins: Vec<usize>,
    horizon: usize,
    window: usize,
    naive: usize,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Row {
    mase: f64,
    wql: f64,
    coverage_80: f64,
    /// Of one fit and its forecast, the median over the origins.
    fit_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origins: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    season: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<String, Row>,
}

#[derive(Debug, Serialize)]
struct Report {
    series: BTreeMap<String, Row>,
    tracks: BTreeMap<String, Row>,
    overall: Row,
}

pub fn backtest(args: BacktestArgs) -> Result<ExitCode, Exit> {
    let mut rows = BTreeMap::new();
    for trial in trials(&args)? {
        rows.insert(trial.name.clone(), score(&trial, args.models));
    }
    let names: std::collections::BTreeSet<String> =
        rows.values().filter_map(|r| r.track.clone()).collect();
    let tracks = names
        .into_iter()
        .map(|t| {
            let own: Vec<&Row> = rows
                .values()
                .filter(|r| r.track.as_deref() == Some(t.as_str()))
                .collect();
            let row = average(&own);
            (t, row)
        })
        .collect();
    let overall = average(&rows.values().collect::<Vec<_>>());
    let report = Report {
        series: rows,
        tracks,
        overall,
    };
    match args.format {
        Format::Json => {
            let json = serde_json::to_string(&report).map_err(|e| Exit::failed(&e))?;
            println!("{json}");
        }
        Format::Text => print(&report),
    }
    Ok(ExitCode::SUCCESS)
}

fn trials(args: &BacktestArgs) -> Result<Vec<Trial>, Exit> {
    if args.horizon == Some(0) {
        return Err(Exit::usage("--horizon: give at least one step ahead"));
    }
    let trials = match args.origins.parse::<usize>() {
        Ok(0) => {
            return Err(Exit::usage(
                "--origins: give at least one, or a file that lists them",
            ));
        }
        Ok(count) => spread(args, count)?,
        Err(_) => listed(args, Path::new(&args.origins))?,
    };
    if trials.is_empty() {
        return Err(Exit::usage(format!(
            "no series to look back on: neither a CSV file in {:?} nor one that {} names",
            args.input, args.origins
        )));
    }
    for t in &trials {
        if t.origins.is_empty() {
            return Err(Exit::usage(format!(
                "{}: {} points are too few to look back {} points ahead; give a longer series or a shorter --horizon",
                t.name,
                t.samples.values.len(),
                t.horizon
            )));
        }
    }
    Ok(trials)
}

/// Origins spread over the end of every series; the track goes by the step.
fn spread(args: &BacktestArgs, count: usize) -> Result<Vec<Trial>, Exit> {
    series::files(&args.input)?
        .into_iter()
        .map(|file| {
            let samples = series::read(&file, None, false)?;
            let horizon = args.horizon.unwrap_or(24);
            let step = samples.step;
            let slow = step >= HOUR;
            let days = if slow { 28 } else { 7 };
            Ok(Trial {
                name: stem(&file),
                track: if slow { "D" } else { "S" }.to_string(),
                origins: spread_origins(samples.values.len(), horizon, count),
                horizon,
                window: points_in(length(args).unwrap_or(DAY.times(days)), step),
                naive: if step < DAY { points_in(DAY, step) } else { 1 },
                samples,
            })
        })
        .collect()
}

/// The origins that a file lists, for the series that were given.
fn listed(args: &BacktestArgs, path: &Path) -> Result<Vec<Trial>, Exit> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| {
        Exit::usage(format!(
            "cannot read the origins {name}: {e}; give a number, or a file such as traces/origins.json"
        ))
    })?;
    let tracks: BTreeMap<String, BTreeMap<String, Spec>> = serde_json::from_str(&text)
        .map_err(|e| Exit::usage(format!("{name}:{}:{}: {e}", e.line(), e.column())))?;
    let mut out = Vec::new();
    for (track, list) in tracks {
        for (name, spec) in list {
            let Some(file) = given(&args.input, &spec.file) else {
                continue;
            };
            let samples = series::read(&file, None, false)?;
            let n = samples.values.len();
            let day = points_in(DAY, samples.step);
            let asked = length(args).map(|w| points_in(w, samples.step));
            out.push(Trial {
                name,
                track: track.clone(),
                origins: spec
                    .origins
                    .into_iter()
                    .filter(|o| *o > 0 && *o < n)
                    .collect(),
                horizon: args.horizon.or(spec.h).unwrap_or(24),
                window: asked.or(spec.window).unwrap_or(7 * day),
                naive: spec.season.unwrap_or(day),
                samples,
            });
        }
    }
    Ok(out)
}

/// Where a listed file is among the folders and files that were given.
fn given(input: &[PathBuf], file: &Path) -> Option<PathBuf> {
    input.iter().find_map(|p| {
        if p.is_dir() {
            let inside = p.join(file);
            inside.is_file().then_some(inside)
        } else {
            p.ends_with(file.file_name()?).then(|| p.clone())
        }
    })
}

fn length(args: &BacktestArgs) -> Option<Span> {
    args.window.map(|w| Span(w.as_millis() as i64))
}

fn stem(file: &Path) -> String {
    file.file_stem()
        .map_or_else(String::new, |s| s.to_string_lossy().into_owned())
}

/// Scores and times of one forecaster over the origins.
#[derive(Default)]
struct Sheet {
    tally: Tally,
    ms: Vec<f64>,
    origins: usize,
}

impl Sheet {
    fn add(&mut self, t: &Trial, seen: &Samples, origin: usize, made: Forecast, ms: f64) {
        let n = t.samples.values.len();
        let actual = &t.samples.values[origin..(origin + t.horizon).min(n)];
        let paths: Vec<Vec<f64>> = made.points.into_iter().map(|p| p.quantiles).collect();
        self.tally.add(&seen.values, t.naive, actual, &paths);
        self.ms.push(ms);
        self.origins += 1;
    }

    fn row(mut self) -> Row {
        let Scores {
            mase,
            wql,
            coverage_80,
            ..
        } = self.tally.scores();
        self.ms.sort_by(f64::total_cmp);
        Row {
            mase,
            wql,
            coverage_80,
            fit_ms: self.ms.get(self.ms.len() / 2).copied().unwrap_or(0.0),
            origins: Some(self.origins),
            ..Row::default()
        }
    }
}

fn score(t: &Trial, models: bool) -> Row {
    let mut all = Sheet::default();
    let mut alone: BTreeMap<String, Sheet> = BTreeMap::new();
    let mut last = None;
    for origin in &t.origins {
        let seen = window(&t.samples, *origin, t.window);
        let watch = Stopwatch::start();
        let fit = Fit::new(&seen, t.horizon, None, None);
        let made = fit.forecast(t.horizon, &LEVELS, 1.0);
        let ms = watch.elapsed().as_secs_f64() * 1000.0;
        last = Some((made.model.clone(), made.seasons.clone()));
        all.add(t, &seen, *origin, made, ms);
        for (member, _) in fit.members.iter().filter(|_| models) {
            let watch = Stopwatch::start();
            let one = Fit::alone(&seen, t.horizon, None, *member);
            let made = one.forecast(t.horizon, &LEVELS, 1.0);
            let ms = watch.elapsed().as_secs_f64() * 1000.0;
            let sheet = alone.entry(member.name().to_string()).or_default();
            sheet.add(t, &seen, *origin, made, ms);
        }
    }
    let (model, season) = last.unzip();
    Row {
        track: Some(t.track.clone()),
        model,
        season,
        models: alone.into_iter().map(|(n, s)| (n, s.row())).collect(),
        ..all.row()
    }
}

/// Each series counts alike; a model that a series did not have is averaged over those that had it.
fn average(rows: &[&Row]) -> Row {
    let n = rows.len().max(1) as f64;
    let mean = |f: fn(&Row) -> f64| rows.iter().map(|r| f(r)).sum::<f64>() / n;
    let mut models: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for (name, row) in rows.iter().flat_map(|r| &r.models) {
        models.entry(name.clone()).or_default().push(row);
    }
    Row {
        mase: mean(|r| r.mase),
        wql: mean(|r| r.wql),
        coverage_80: mean(|r| r.coverage_80),
        fit_ms: mean(|r| r.fit_ms),
        series: Some(rows.len()),
        models: models
            .iter()
            .map(|(k, v)| (k.clone(), average(v)))
            .collect(),
        ..Row::default()
    }
}

fn print(report: &Report) {
    println!(
        "{:32} {:>7} {:>7} {:>9} {:>8}  season and models at the last origin",
        "", "MASE", "WQL", "80% band", "ms"
    );
    let line = |name: &str, r: &Row| {
        let model = r.model.as_deref().map_or(String::new(), |m| {
            format!("{:?} {m}", r.season.as_deref().unwrap_or(&[]))
        });
        println!(
            "{name:32} {:7.3} {:7.3} {:8.0}% {:8.1}  {model}",
            r.mase,
            r.wql,
            100.0 * r.coverage_80,
            r.fit_ms
        );
        for (name, r) in &r.models {
            println!(
                "  {name:30} {:7.3} {:7.3} {:8.0}% {:8.1}",
                r.mase,
                r.wql,
                100.0 * r.coverage_80,
                r.fit_ms
            );
        }
    };
    report.series.iter().for_each(|(n, r)| line(n, r));
    for (n, r) in &report.tracks {
        line(&format!("track {n}, {} series", r.series.unwrap_or(0)), r);
    }
    line("overall", &report.overall);
}
