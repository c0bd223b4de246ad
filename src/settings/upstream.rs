//! `upstream "shop-pricing" { … }`: what stands in for a service that a shadow calls.

use super::Error;
use super::hcl::Section;
use crate::model::*;
use std::path::Path;

/// A recording travels in the job's environment, of which Linux takes 128 KiB a variable.
const LARGEST: usize = 100 * 1024;
/// What a stub without a recording takes.
const QUICK: Millis = Millis(5.0);

pub(super) fn read(u: &Section) -> Result<UpstreamPolicy, Error> {
    let name = u.label()?.to_string();
    let mode = u.string("mode")?;
    let methods = u.strings("methods")?;
    let recording = u.string("recording")?;
    let latency = u.time("latency")?.map(|t| Millis(t.0 as f64));
    let env = u.string("env")?;
    u.finish()?;
    let instead = match mode.as_deref() {
        None | Some("stub") => {
            if methods.is_some() {
                return Err(u.bad(
                    "methods",
                    "methods belong to \"production-readonly\"".into(),
                ));
            }
            let recording = recording.map(|file| exchanges(u, &u.folder().join(file)));
            Instead::Stub {
                recording: recording.transpose()?.unwrap_or_default(),
                latency: latency.unwrap_or(QUICK),
            }
        }
        Some("production-readonly") => {
            if recording.is_some() {
                return Err(u.bad("recording", "a recording belongs to \"stub\"".into()));
            }
            let usual = || SAFE_METHODS.map(String::from).to_vec();
            let methods = methods.unwrap_or_else(usual);
            Instead::ProductionReadonly {
                methods: methods.iter().map(|m| m.to_uppercase()).collect(),
            }
        }
        Some(other) => {
            return Err(u.bad(
                "mode",
                format!("mode must be \"stub\" or \"production-readonly\", not \"{other}\""),
            ));
        }
    };
    Ok(UpstreamPolicy {
        env: env.unwrap_or_else(|| UpstreamPolicy::usual_env(&name)),
        name,
        instead,
    })
}

/// One exchange a line, as `foreshadow record` writes them.
fn exchanges(u: &Section, file: &Path) -> Result<Vec<Exchange>, Error> {
    let wrong = |why: String| u.bad("recording", format!("recording {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
    if text.len() > LARGEST {
        return Err(wrong(format!(
            "{} bytes, and a shadow's job takes {LARGEST}; keep one exchange a path",
            text.len()
        )));
    }
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, l)| !l.trim().is_empty());
    lines
        .map(|(n, line)| {
            let place =
                |e: serde_json::Error| wrong(format!("line {}, column {}: {e}", n + 1, e.column()));
            serde_json::from_str(line).map_err(place)
        })
        .collect()
}
