//! Which lines the log has, as people write it: `info`, or `warn,foreshadow::act=debug`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Levels, and targets with a level, with commas between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogFilter(String);

/// A part that is neither a level nor a target with one. The library would take `debgu` for a target, and say nothing at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no filter of a log; write a level (off, error, warn, info, debug, trace) or TARGET=LEVEL, with commas between: \
     warn,foreshadow::act=debug"
)]
pub struct NoFilter(String);

impl LogFilter {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_level(text: &str) -> bool {
    LEVELS.contains(&text.to_ascii_lowercase().as_str())
}

fn is_target(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "_:-".contains(c);
    !text.is_empty() && text.chars().all(letter)
}

impl FromStr for LogFilter {
    type Err = NoFilter;

    fn from_str(text: &str) -> Result<LogFilter, NoFilter> {
        let good = |part: &&str| match part.split_once('=') {
            None => is_level(part),
            Some((target, level)) => is_target(target) && is_level(level),
        };
        match text.split(',').find(|part| !good(part)) {
            None => Ok(LogFilter(text.to_string())),
            Some(wrong) => Err(NoFilter(wrong.to_string())),
        }
    }
}

impl TryFrom<String> for LogFilter {
    type Error = NoFilter;

    fn try_from(text: String) -> Result<LogFilter, NoFilter> {
        text.parse()
    }
}

impl From<LogFilter> for String {
    fn from(filter: LogFilter) -> String {
        filter.0
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for LogFilter {
    fn schema_name() -> Cow<'static, str> {
        "LogFilter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let part = format!("([A-Za-z0-9_:-]+=)?({})", LEVELS.join("|"));
        json_schema!({"type": "string", "pattern": format!("^{part}(,{part})*$")})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_targets_with_a_level_are_a_filter() {
        for good in ["info", "OFF", "warn,foreshadow::act=debug", "a-b_c=trace"] {
            assert_eq!(good.parse::<LogFilter>().unwrap().as_str(), good);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("", "\"\""),
            ("debgu", "\"debgu\""),
            ("info,foreshadow::act=loud", "\"foreshadow::act=loud\""),
            ("a=b=debug", "\"a=b=debug\""),
            ("info,", "\"\""),
            ("=debug", "\"=debug\""),
            ("info, debug", "\" debug\""),
        ];
        for (bad, named) in cases {
            let why = bad.parse::<LogFilter>().unwrap_err().to_string();
            assert!(why.starts_with(named), "{bad:?}: {why}");
        }
    }
}
