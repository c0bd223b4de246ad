//! The forecaster on real cloud and web load, where `../shared/traces` is at hand.
#![allow(clippy::disallowed_methods)] // prints how long a forecast took, and asserts nothing about it

use foreshadow::forecast::backtest::{LEVELS, Protocol, Tally, window};
use foreshadow::forecast::{Samples, forecast, regular};
use foreshadow::model::Moment;
use std::path::Path;
use traces::traces;

#[path = "common/traces.rs"]
mod traces;

fn load(file: &Path) -> Samples {
    let text = std::fs::read_to_string(file).unwrap();
    let readings: Vec<(Moment, f64)> = text
        .lines()
        .skip(1)
        .map(|l| {
            let (at, value) = l.split_once(',').unwrap();
            let at: jiff::Timestamp = at.parse().unwrap();
            (
                Moment(at.as_millisecond()),
                value.parse().unwrap_or(f64::NAN),
            )
        })
        .collect();
    regular(&readings, None).unwrap()
}

/// Mean MASE, WQL and coverage over a track's series.
fn track(dir: &Path, name: &str) -> (f64, f64, f64) {
    let origins: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("origins.json")).unwrap()).unwrap();
    let mut sums = (0.0, 0.0, 0.0, 0.0);
    for (series, spec) in origins[name].as_object().unwrap() {
        let number = |key: &str| spec[key].as_u64().unwrap() as usize;
        let file = spec["file"].as_str().unwrap();
        let samples = load(&dir.join(file));
        let at: Vec<usize> = spec["origins"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| o.as_u64().unwrap() as usize)
            .collect();
        let (h, w, season) = (number("h"), number("window"), number("season"));
        let p = Protocol {
            origins: &at,
            horizon: h,
            window: w,
            naive: season,
            seasons: None,
        };
        let mut tally = Tally::default();
        let begun = std::time::Instant::now();
        let mut model = String::new();
        for o in p.origins {
            let seen = window(&samples, *o, w);
            let f = forecast(&seen, h, None, &LEVELS, None, 1.0);
            model = format!("{:?} {}", f.seasons, f.model);
            let actual = &samples.values[*o..(*o + h).min(samples.values.len())];
            let q: Vec<Vec<f64>> = f.points.into_iter().map(|p| p.quantiles).collect();
            tally.add(&seen.values, season, actual, &q);
        }
        let ms = begun.elapsed().as_secs_f64() * 1e3 / at.len() as f64;
        let s = tally.scores();
        println!(
            "{series:28} mase {:.3} wql {:.3} coverage {:.2} {ms:.1} ms  {model}",
            s.mase, s.wql, s.coverage_80
        );
        sums = (
            sums.0 + s.mase,
            sums.1 + s.wql,
            sums.2 + s.coverage_80,
            sums.3 + 1.0,
        );
    }
    let mean = (sums.0 / sums.3, sums.1 / sums.3, sums.2 / sums.3);
    println!(
        "track {name}: mean mase {:.3}, mean wql {:.3}, coverage {:.3}",
        mean.0, mean.1, mean.2
    );
    mean
}

#[test]
fn a_week_of_ten_minute_steps_is_forecast_ten_hours_ahead() {
    let Some(dir) = traces() else {
        println!(
            "skipped: no shared/traces above {}",
            env!("CARGO_MANIFEST_DIR")
        );
        return;
    };
    let all = load(&dir.join("wc98_requests_10min.csv"));
    let seen = window(&all, 9000, 1008);
    let time = |what: &str, f: &dyn Fn()| {
        let begun = std::time::Instant::now();
        (0..20).for_each(|_| f());
        println!(
            "{what}: {:.3} ms",
            begun.elapsed().as_secs_f64() * 1e3 / 20.0
        );
    };
    let run = |warm| forecast(&seen, 60, Some(&[144]), &LEVELS, warm, 1.0);
    let cold = run(None);
    time("1,008 points, season 144, horizon 60, cold", &|| {
        drop(run(None))
    });
    time("season to be found", &|| {
        drop(forecast(&seen, 60, None, &LEVELS, None, 1.0))
    });
    time("warm", &|| drop(run(Some(&cold.fit))));
    time("one more point, and its forecast", &|| {
        let mut fit = cold.fit.clone();
        fit.observe(all.values[9000]);
        drop(fit.forecast(60, &LEVELS, 1.0));
    });
    assert_eq!(cold.points.len(), 60);
}

#[test]
fn forecasts_of_real_load_beat_every_single_library_and_bands_hold() {
    let Some(dir) = traces() else {
        println!(
            "skipped: no shared/traces above {}",
            env!("CARGO_MANIFEST_DIR")
        );
        return;
    };
    for (name, mase_most, wql_most) in [("S", 0.66, 0.145), ("D", 0.80, 0.165)] {
        let (mase, wql, coverage) = track(&dir, name);
        assert!(
            mase <= mase_most && wql <= wql_most,
            "track {name}: {mase} {wql}"
        );
        assert!(
            (0.72..=0.88).contains(&coverage),
            "track {name}: {coverage}"
        );
    }
}
