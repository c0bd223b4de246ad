//! `foreshadow forecast` and `foreshadow backtest` as scripts run them.

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foreshadow"))
        .args(args)
        .output()
        .unwrap()
}

fn json(args: &[&str]) -> Value {
    let out = run(args);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Twelve days of hourly load with a gap, a missing value and a reading told twice.
fn series(dir: &Path, name: &str) -> String {
    let mut text = String::from("timestamp,value\n");
    for i in 0..288 {
        let value = 50.0
            + 20.0 * (f64::from(i) * std::f64::consts::TAU / 24.0).sin()
            + f64::from(i * 7 % 5);
        let at = 1_700_000_000 + 3600 * i;
        match i {
            100..=104 => {}
            150 => text += &format!("{at},\n"),
            _ => text += &format!("{at},{value}\n"),
        }
        if i == 200 {
            text += &format!("{at},{value}\n");
        }
    }
    let file = dir.join(name);
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_string()
}

#[test]
fn a_forecast_explains_itself_in_json_and_draws_an_svg() {
    let dir = tempfile::tempdir().unwrap();
    let file = series(dir.path(), "load.csv");
    let picture = dir.path().join("load.svg");
    let picture = picture.to_str().unwrap();
    let out = json(&[
        "forecast",
        "--input",
        &file,
        "--horizon",
        "12",
        "--quantiles",
        "0.9,0.1,0.5",
        "--format",
        "json",
        "--plot",
        picture,
    ]);
    for key in [
        "model",
        "models",
        "season",
        "step_seconds",
        "fit_ms",
        "predict_ms",
        "lately",
        "warnings",
    ] {
        assert!(!out[key].is_null(), "{key} is missing: {out}");
    }
    assert_eq!(out["step_seconds"], 3600.0);
    let points = out["points"].as_array().unwrap();
    assert_eq!(points.len(), 12);
    for p in points {
        let q = |l: &str| p["quantiles"][l].as_f64().unwrap();
        assert!(
            0.0 <= q("0.1") && q("0.1") <= q("0.5") && q("0.5") <= q("0.9"),
            "{p}"
        );
        assert!(
            p["components"]["level"].is_number() && p["components"]["season"].is_number(),
            "{p}"
        );
    }
    let weights: f64 = out["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["weight"].as_f64().unwrap())
        .sum();
    assert!((weights - 1.0).abs() < 1e-9, "{}", out["models"]);
    assert!(
        std::fs::read_to_string(picture)
            .unwrap()
            .contains("<polygon")
    );
}

#[test]
fn a_backtest_scores_series_tracks_and_models_and_says_the_same_twice() {
    let dir = tempfile::tempdir().unwrap();
    series(dir.path(), "one.csv");
    series(dir.path(), "two.csv");
    let input = dir.path().to_str().unwrap();
    let origins = dir.path().join("origins.json");
    let listed = r#"{"D":{"one_h":{"file":"one.csv","n":288,"season":24,"window":240,"h":24,"origins":[245,260]}}}"#;
    std::fs::write(&origins, listed).unwrap();
    let spread = [
        "backtest",
        "--input",
        input,
        "--horizon",
        "6",
        "--origins",
        "2",
        "--models",
        "--format",
        "json",
    ];
    let (a, b) = (json(&spread), json(&spread));
    assert_eq!(a["overall"]["series"], 2);
    for row in [
        &a["overall"],
        &a["tracks"]["D"],
        &a["series"]["one"],
        &a["series"]["one"]["models"]["direct"],
    ] {
        for key in ["mase", "wql", "coverage_80", "fit_ms"] {
            assert!(row[key].is_number(), "{key} is missing: {a}");
        }
    }
    assert_eq!(a["overall"]["mase"], b["overall"]["mase"]);
    let file = origins.to_str().unwrap();
    let c = json(&[
        "backtest",
        "--input",
        input,
        "--origins",
        file,
        "--format",
        "json",
    ]);
    assert_eq!(c["series"]["one_h"]["origins"], 2);
    assert!(c["tracks"]["D"]["mase"].as_f64().unwrap() < 1.5, "{c}");
}

#[test]
fn a_bad_file_is_named_with_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.csv");
    std::fs::write(&file, "timestamp,value\n0,1\n60,lots\n").unwrap();
    let out = run(&["forecast", "--input", file.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(64));
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(errors.contains("bad.csv:3:4: `lots`"), "{errors}");
    let out = run(&[
        "backtest",
        "--input",
        dir.path().to_str().unwrap(),
        "--origins",
        "nowhere.json",
    ]);
    assert_eq!(out.status.code(), Some(64));
}
