//! Reads `timestamp,value` files as people have them: any order, duplicates, gaps, three ways to write a moment.

use super::Exit;
use crate::forecast::{self, Samples};
use crate::model::{Moment, Span};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The series of a file, or of standard input for `-`, on a regular grid; the rates of a counter where it is one.
pub fn read(path: &Path, step: Option<Span>, counter: bool) -> Result<Samples, Exit> {
    let name = path.display().to_string();
    let text = if name == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| Exit::usage(format!("cannot read standard input as text: {e}")))?;
        text
    } else {
        std::fs::read_to_string(path).map_err(|e| {
            Exit::usage(format!(
                "cannot read {name}: {e}; give a file of `timestamp,value` lines"
            ))
        })?
    };
    let mut readings = parse(&text, &name)?;
    if counter {
        readings = forecast::series::rates(&readings);
    }
    forecast::regular(&readings, step).map_err(|e| Exit::usage(format!("{name}: {e}")))
}

/// Files as they are named, and the CSV files of folders, in order.
pub fn files(given: &[PathBuf]) -> Result<Vec<PathBuf>, Exit> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            let inside = std::fs::read_dir(path)
                .map_err(|e| Exit::usage(format!("cannot list {}: {e}", path.display())))?;
            let all = inside.filter_map(|f| f.ok().map(|f| f.path()));
            files.extend(all.filter(|f| f.extension().is_some_and(|e| e == "csv")));
        } else {
            files.push(path.clone());
        }
    }
    files.sort();
    Ok(files)
}

/// The series of a text that is part of the program.
pub fn built_in(text: &str, name: &str) -> Result<Samples, Exit> {
    let readings = parse(text, name)?;
    forecast::regular(&readings, None).map_err(|e| Exit::usage(format!("{name}: {e}")))
}

/// Readings in the order of the file; a missing value is NaN. The header may be missing.
pub fn parse(text: &str, file: &str) -> Result<Vec<(Moment, f64)>, Exit> {
    let mut out = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let line = line.trim().trim_start_matches('\u{feff}');
        if line.is_empty() || (n == 0 && line.eq_ignore_ascii_case("timestamp,value")) {
            continue;
        }
        let Some((at, value)) = line.split_once(',') else {
            return Err(Exit::usage(format!(
                "{file}:{}:1: expected `timestamp,value`, found `{line}`",
                n + 1
            )));
        };
        let at = at.trim().trim_matches('"');
        let moment = moment(at).ok_or_else(|| {
            Exit::usage(format!(
                "{file}:{}:1: `{at}` is no moment; write 2026-03-04T07:10:00Z, 2026-03-04 07:10:00 or seconds since 1970",
                n + 1
            ))
        })?;
        let value = value.trim();
        let number = match value.to_ascii_lowercase().as_str() {
            "" | "null" | "na" | "nan" => f64::NAN,
            _ => value.parse().map_err(|_| {
                Exit::usage(format!(
                    "{file}:{}:{}: `{value}` is no number; leave it empty where there is no reading",
                    n + 1,
                    at.len() + 2
                ))
            })?,
        };
        out.push((moment, number));
    }
    Ok(out)
}

fn moment(text: &str) -> Option<Moment> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = seconds * 1000.0;
        return (ms.abs() < 1e16).then_some(Moment(ms.round() as i64));
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(Moment(at.as_millisecond()));
    }
    let civil: DateTime = text.parse().ok()?;
    let at = TimeZone::UTC.to_timestamp(civil).ok()?;
    Some(Moment(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_write_a_moment_are_one_moment() {
        let at = Some(Moment(1_772_608_200_000));
        assert_eq!(moment("2026-03-04T07:10:00Z"), at);
        assert_eq!(moment("2026-03-04 07:10:00"), at);
        assert_eq!(moment("1772608200"), at);
        assert_eq!(moment("yesterday"), None);
    }

    #[test]
    fn missing_values_duplicates_and_disorder_are_read_and_a_wrong_line_is_named() {
        let r = parse(
            "timestamp,value\n60,2\n0,1\n120,\n60,4\n\n180,NaN\n",
            "x.csv",
        )
        .unwrap();
        assert_eq!(r.len(), 5);
        let s = forecast::regular(&r, None).unwrap();
        assert_eq!(&s.values[..2], &[1.0, 3.0]);
        assert!(s.values[2].is_nan() && s.values[3].is_nan());
        let e = parse("0,1\n60,many\n", "x.csv").unwrap_err();
        assert!(e.message.starts_with("x.csv:2:4: `many`"), "{}", e.message);
        let e = parse("0,1\nsoon,3\n", "x.csv").unwrap_err();
        assert!(e.message.starts_with("x.csv:2:1: `soon`"), "{}", e.message);
    }
}
