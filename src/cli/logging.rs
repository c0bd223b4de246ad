//! The log on stderr: text or JSON lines, by a filter that can be changed while it runs. No secret of this process gets into it.

use super::Exit;
use super::args::Format;
use crate::engine::run::Tune;
use crate::model::LogFilter;
use crate::settings;
use secrecy::ExposeSecret;
use std::io::{IsTerminal, Write, stderr};
use std::sync::Arc;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries that tell each call with all that is in it: their errors reach us without their log.
const NEVER: [&str; 2] = ["rustify", "consulrs"];
/// Where this process has its secrets from.
const SECRETS: [&str; 4] = [
    "FORESHADOW_ACT_TOKEN",
    "FORESHADOW_READ_TOKEN",
    "CONSUL_HTTP_TOKEN",
    "NOMAD_TOKEN",
];
const HIDDEN: &str = "[secret]";

/// The filter in force, for whoever may change it.
#[derive(Clone)]
pub(super) struct Tuner {
    handle: Handle<EnvFilter, Registry>,
    /// What the process was started with.
    start: String,
    /// A line would tear the dashboard's picture.
    torn: bool,
}

impl Tuner {
    /// For the engine, which is told by whom and for what.
    pub fn tune(&self) -> Tune {
        let tuner = self.clone();
        Arc::new(move |filter| tuner.put(filter))
    }

    /// Puts another filter in force, or the first one again; what is wrong leaves the old one.
    fn put(&self, filter: Option<&LogFilter>) -> Result<(), String> {
        if self.torn {
            return Err("its lines would tear the dashboard's picture: redirect stderr".into());
        }
        let wanted = filter.map_or(self.start.as_str(), LogFilter::as_str);
        let parsed = wanted.parse::<EnvFilter>().map_err(|e| e.to_string())?;
        self.handle.reload(parsed).map_err(|e| e.to_string())
    }
}

/// Begins to log to stderr, by `filter`; not at all where that would tear a picture.
///
/// # Errors
/// `Usage` when the filter is none.
pub(super) fn begin(filter: &str, format: Format, torn: bool) -> Result<Tuner, Exit> {
    let start = if torn { "off" } else { filter };
    let wrong = |why: String| Exit::usage(format!("--log: {why}"));
    start
        .parse::<LogFilter>()
        .map_err(|e| wrong(e.to_string()))?;
    let first = start.parse::<EnvFilter>();
    let first = first.map_err(|e| wrong(e.to_string()))?;
    let (filter, handle) = reload::Layer::new(first);
    let scrub = Scrub::of(secrets());
    let lines = tracing_subscriber::fmt::layer().with_writer(scrub);
    let lines = match format {
        Format::Text => lines.with_ansi(stderr().is_terminal()).boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    let told = filter_fn(|m| !NEVER.iter().any(|never| m.target().starts_with(never)));
    tracing_subscriber::registry()
        .with(filter)
        .with(lines.with_filter(told))
        .init();
    Ok(Tuner {
        handle,
        start: start.to_string(),
        torn,
    })
}

/// The secrets of this process; one that cannot be read is told where it is needed.
fn secrets() -> Vec<String> {
    let all = SECRETS
        .iter()
        .filter_map(|name| settings::secret(name).ok()?);
    all.map(|secret| secret.expose_secret().to_string())
        .collect()
}

/// Takes secrets out of lines, whoever put them there.
#[derive(Clone)]
struct Scrub {
    /// As they are, and as JSON has them within a string.
    secrets: Arc<Vec<String>>,
}

impl Scrub {
    fn of(secrets: Vec<String>) -> Scrub {
        let in_json = |s: &String| {
            let quoted = serde_json::Value::from(s.as_str()).to_string();
            quoted[1..quoted.len() - 1].to_string()
        };
        let mut all: Vec<String> = secrets.iter().map(in_json).chain(secrets.clone()).collect();
        all.retain(|s| !s.is_empty());
        all.sort();
        all.dedup();
        // Where one is within another, the longer goes first.
        all.sort_by_key(|s| std::cmp::Reverse(s.len()));
        Scrub {
            secrets: Arc::new(all),
        }
    }

    fn clean(&self, line: &str) -> String {
        let secrets = self.secrets.iter();
        secrets.fold(line.to_string(), |line, s| line.replace(s.as_str(), HIDDEN))
    }
}

/// A whole line comes in one piece.
impl Write for Scrub {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let clean = self.clean(&String::from_utf8_lossy(line));
        stderr().lock().write_all(clean.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Scrub {
    type Writer = Scrub;

    fn make_writer(&'a self) -> Scrub {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuner(start: &str, torn: bool) -> (Tuner, reload::Layer<EnvFilter, Registry>) {
        let (layer, handle) = reload::Layer::new(start.parse().unwrap());
        let start = start.to_string();
        let tuner = Tuner {
            handle,
            start,
            torn,
        };
        (tuner, layer)
    }

    fn in_force(tuner: &Tuner) -> String {
        tuner.handle.with_current(ToString::to_string).unwrap()
    }

    fn filter(text: &str) -> LogFilter {
        text.parse().unwrap()
    }

    #[test]
    fn a_filter_is_put_in_force_and_taken_back_to_the_first_one() {
        let (tuner, _layer) = tuner("warn", false);
        let tune = tuner.tune();
        assert_eq!(tune(Some(&filter("info,foreshadow::act=debug"))), Ok(()));
        assert_eq!(in_force(&tuner), "foreshadow::act=debug,info");
        assert_eq!(tune(None), Ok(()));
        assert_eq!(in_force(&tuner), "warn");
    }

    #[test]
    fn no_line_tears_the_dashboard() {
        let (tuner, _layer) = tuner("off", true);
        assert!(tuner.tune()(Some(&filter("debug"))).is_err());
        assert_eq!(in_force(&tuner), "off");
    }

    #[test]
    fn no_secret_comes_through_as_it_is_or_quoted() {
        let secrets = vec!["sesame".to_string(), "a\"b\\c".into(), "sesame-2".into()];
        let scrub = Scrub::of(secrets.into_iter().chain([String::new()]).collect());
        let line = serde_json::json!({"message": "sesame, sesame-2 and a\"b\\c"}).to_string();
        let clean = format!(r#"{{"message":"{HIDDEN}, {HIDDEN} and {HIDDEN}"}}"#);
        assert_eq!(scrub.clean(&line), clean);
        assert_eq!(scrub.clean("a\"b\\c"), HIDDEN);
        assert_eq!(scrub.clean("nothing to hide"), "nothing to hide");
    }
}
