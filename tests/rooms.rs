//! The house's plan as data: which room may import which, and that the mind stays pure. When a room wants a new door, change
//! the table here and in the architecture, and say why in the same commit.

#[path = "rooms/words.rs"]
mod words;

use std::path::{Path, PathBuf};

use words::{Word, paths, words};

/// A room and the rooms it may import; `engine` and what is above it see everything below.
const ROOMS: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("forecast", &["model"]),
    ("placement", &["model"]),
    ("planner", &["model", "placement"]),
    ("guard", &["model"]),
    ("learn", &["model"]),
    ("clients", &["model"]),
    ("observe", &["model", "clients"]),
    ("act", &["model", "guard", "clients"]),
    ("load", &["model"]),
    ("store", &["model"]),
    ("sandbox", &["model", "guard", "load"]),
    (
        "engine",
        &[
            "model",
            "forecast",
            "placement",
            "planner",
            "guard",
            "learn",
            "clients",
            "observe",
            "act",
            "load",
            "store",
            "sandbox",
        ],
    ),
    ("tui", &["model"]),
    ("headless", &["model"]),
    ("cli", EVERYTHING),
    ("settings", EVERYTHING),
    ("main", EVERYTHING),
];
const EVERYTHING: &[&str] = &[
    "model",
    "forecast",
    "placement",
    "planner",
    "guard",
    "learn",
    "clients",
    "observe",
    "act",
    "load",
    "store",
    "sandbox",
    "engine",
    "tui",
    "headless",
    "cli",
    "settings",
];

/// The faces see of the engine only these, and the modules that hold their parts.
const FACES: &[&str] = &["tui", "headless"];
const SHOWN_TO_FACES: &[&str] = &["View", "Command", "view", "command"];

/// Rooms without IO, clock, dice and async, in their tests neither.
const MIND: &[&str] = &["forecast", "placement", "planner", "guard", "learn"];
const NO_WORDS_OF_MIND: &[&str] = &[
    "async",
    "await",
    "async_trait",
    "tokio",
    "futures",
    "reqwest",
    "Instant",
    "SystemTime",
    "thread_rng",
    "from_os_rng",
    "OsRng",
];
const NO_PATHS_OF_MIND: &[&[&str]] = &[
    &["std", "net"],
    &["std", "fs"],
    &["std", "env"],
    &["std", "process"],
    &["std", "thread"],
    &["rand", "rng"],
    &["rand", "random"],
];

/// A file of the crate: which room it belongs to, and how many modules deep it lies below the crate.
struct Source {
    room: String,
    depth: usize,
    name: String,
    text: String,
}

impl Source {
    /// `name` is the path below `src`, with `/` between its parts.
    fn new(name: &str, text: &str) -> Self {
        let stem = name.strip_suffix(".rs").unwrap_or(name);
        let mut modules: Vec<&str> = stem.split('/').collect();
        if modules.len() > 1 && modules.last() == Some(&"mod") {
            modules.pop();
        }
        let depth = if stem == "main" || stem == "lib" {
            0
        } else {
            modules.len()
        };
        Self {
            room: modules[0].to_owned(),
            depth,
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }
}

/// Imports that the table forbids, each as a sentence.
fn forbidden_imports(source: &Source) -> Vec<String> {
    let Some((_, doors)) = ROOMS.iter().find(|(room, _)| *room == source.room) else {
        return vec![format!(
            "{}: room {:?} is not in the table",
            source.name, source.room
        )];
    };
    paths(&words(&source.text), source.depth)
        .into_iter()
        .filter(|path| path.from_crate)
        .filter_map(|path| {
            let (target, rest) = path.segments.split_first()?;
            let shown = FACES.contains(&source.room.as_str())
                && target == "engine"
                && rest
                    .first()
                    .is_some_and(|part| SHOWN_TO_FACES.contains(&part.as_str()));
            let open = *target == source.room || doors.contains(&target.as_str()) || shown;
            let (file, room, line) = (&source.name, &source.room, path.line);
            let path = path.segments.join("::");
            (!open).then(|| format!("{file}:{line}: {room} may not import crate::{path}"))
        })
        .collect()
}

/// What a room of the mind may not name, each as a sentence.
fn impurities(source: &Source) -> Vec<String> {
    let words = words(&source.text);
    let mut found: Vec<String> = NO_WORDS_OF_MIND
        .iter()
        .filter(|bad| words.iter().any(|word| word.text == **bad))
        .map(|bad| format!("{}: a room of the mind names `{bad}`", source.name))
        .collect();
    let named = paths(&words, source.depth);
    for bad in NO_PATHS_OF_MIND {
        if named
            .iter()
            .any(|path| !path.from_crate && path.segments.starts_with_words(bad))
        {
            found.push(format!(
                "{}: a room of the mind names `{}`",
                source.name,
                bad.join("::")
            ));
        }
    }
    if words
        .windows(3)
        .any(|w| w[0].text == "::" && w[1].text == "now" && w[2].text == "(")
    {
        found.push(format!(
            "{}: a room of the mind asks a clock with `::now()`",
            source.name
        ));
    }
    found
}

trait StartsWithWords {
    fn starts_with_words(&self, words: &[&str]) -> bool;
}

impl StartsWithWords for Vec<String> {
    fn starts_with_words(&self, words: &[&str]) -> bool {
        self.len() >= words.len() && self.iter().zip(words).all(|(a, b)| a == b)
    }
}

fn begins_with_a_sentence(text: &str) -> bool {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!"));
    let opening: Vec<&str> = lines.take_while(|line| !line.trim().is_empty()).collect();
    let opening = opening.join(" ");
    opening.split_whitespace().count() >= 4 && opening.contains(['.', '?'])
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("src can be listed") {
        let path = entry.expect("an entry of src can be read").path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
}

/// Every Rust file below src, but not the list of rooms itself.
fn sources() -> Vec<Source> {
    let mut files = Vec::new();
    collect(&src(), &mut files);
    files.sort();
    let read = |path: &PathBuf| {
        let name = path
            .strip_prefix(src())
            .expect("it lies below src")
            .to_string_lossy()
            .replace('\\', "/");
        Source::new(
            &name,
            &std::fs::read_to_string(path).expect("a source file is text"),
        )
    };
    let sources: Vec<Source> = files
        .iter()
        .map(read)
        .filter(|source| source.name != "lib.rs")
        .collect();
    assert!(
        sources.len() > ROOMS.len(),
        "too few files found below {}",
        src().display()
    );
    sources
}

fn none(found: Vec<String>) {
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_room_imports_what_the_table_does_not_allow() {
    none(sources().iter().flat_map(forbidden_imports).collect());
}

#[test]
fn the_rooms_of_the_mind_name_no_io_no_clock_no_dice_and_no_async() {
    let sources = sources();
    let mind: Vec<&Source> = sources
        .iter()
        .filter(|s| MIND.contains(&s.room.as_str()))
        .collect();
    assert!(
        MIND.iter()
            .all(|room| mind.iter().any(|source| source.room == *room))
    );
    none(mind.into_iter().flat_map(impurities).collect());
}

#[test]
fn every_room_says_in_its_first_sentence_what_it_does() {
    let sources = sources();
    for (room, _) in ROOMS.iter().filter(|(room, _)| *room != "main") {
        let name = format!("{room}/mod.rs");
        let door = sources.iter().find(|source| source.name == name);
        let door = door.unwrap_or_else(|| panic!("src/{name} is missing"));
        assert!(
            begins_with_a_sentence(&door.text),
            "src/{name} does not begin with a `//!` sentence"
        );
    }
}

#[test]
fn the_list_of_rooms_in_lib_rs_is_the_table() {
    let text = std::fs::read_to_string(src().join("lib.rs")).expect("lib.rs can be read");
    let words = words(&text);
    let follows = |w: &[Word]| (w[0].text == "mod").then(|| w[1].text.clone());
    let mut listed: Vec<String> = words.windows(2).filter_map(follows).collect();
    let mut table: Vec<&str> = ROOMS
        .iter()
        .map(|(room, _)| *room)
        .filter(|room| *room != "main")
        .collect();
    listed.sort();
    table.sort_unstable();
    assert_eq!(listed, table);
}

#[test]
fn a_forbidden_import_is_found_in_whatever_form_it_is_written() {
    let cases: &[(&str, &str)] = &[
        ("planner/mod.rs", "use crate::clients::Nomad;"),
        ("planner/mod.rs", "use crate::{model::Plan, store};"),
        (
            "planner/mod.rs",
            "pub(crate) use crate::{\n  model,\n  guard::{self, Hands as H},\n};",
        ),
        (
            "planner/mod.rs",
            "fn f() -> crate::engine::View { loop {} }",
        ),
        ("planner/mod.rs", "use super::act;"),
        ("planner/mod.rs", "mod tests { use super::super::act; }"),
        ("planner/draft.rs", "use super::super::act::Journal;"),
        (
            "planner/draft/deep.rs",
            "fn f() { super::super::super::store::open(); }",
        ),
        ("planner/mod.rs", "use crate::*;"),
        ("planner/mod.rs", "use crate as all;"),
        ("planner/mod.rs", "use super as all;"),
        ("planner/mod.rs", "use foreshadow::engine;"),
        ("tui/mod.rs", "use crate::engine::{View, cycle};"),
        ("headless/api.rs", "use crate::engine;"),
        ("model/ids.rs", "use crate::planner::Plan;"),
        ("engine/mod.rs", "use crate::tui::App;"),
        ("cellar/mod.rs", ""),
    ];
    for (name, text) in cases {
        let found = forbidden_imports(&Source::new(name, text));
        assert!(!found.is_empty(), "{name}: {text}");
    }
}

#[test]
fn an_allowed_import_is_let_through() {
    let cases: &[(&str, &str)] = &[
        (
            "planner/mod.rs",
            "use crate::{model::{Plan, Step}, placement}; use crate::planner::draft;",
        ),
        (
            "planner/mod.rs",
            "pub(super) mod draft; pub(in crate::planner) fn f() {}",
        ),
        (
            "planner/draft.rs",
            "use super::book; use super::super::model::Plan;",
        ),
        (
            "planner/mod.rs",
            "mod tests { use super::*; mod inner { use super::super::book; } }",
        ),
        (
            "planner/mod.rs",
            "// use crate::act;\n/* crate::act /* deep */ crate::act */ const S: &str = \"crate::act\";",
        ),
        (
            "planner/mod.rs",
            "const R: &str = r#\"crate::act \" crate::act\"#; fn f<'a>(c: char) -> bool { c == '\"' }",
        ),
        (
            "tui/mod.rs",
            "use crate::engine::{Command, View, view::PortionRow};",
        ),
        (
            "engine/run.rs",
            "use crate::{act, sandbox::World}; use super::cycle;",
        ),
        ("main.rs", "fn main() { foreshadow::cli::run() }"),
        ("settings/mod.rs", "use crate::clients::Version;"),
    ];
    for (name, text) in cases {
        assert_eq!(
            forbidden_imports(&Source::new(name, text)),
            [] as [String; 0],
            "{name}: {text}"
        );
    }
}

#[test]
fn an_impure_thought_is_found() {
    let cases = [
        "use std::fs::File;",
        "use std::{collections::BTreeMap, net::{self, IpAddr}};",
        "async fn f() {}",
        "mod tests { #[tokio::test] fn f() {} }",
        "fn f() { let t = std::time::Instant::now(); }",
        "fn f() { jiff::Timestamp::now(); }",
        "fn f() { rand::rng(); }",
        "fn f() { std::env::var(\"HOME\"); }",
    ];
    for text in cases {
        assert!(
            !impurities(&Source::new("learn/mod.rs", text)).is_empty(),
            "{text}"
        );
    }
    let pure = "//! No async, no std::fs.\nuse std::time::Duration; fn f(now: Moment) { let fs = \"std::net\"; g(now) }";
    assert_eq!(
        impurities(&Source::new("learn/mod.rs", pure)),
        [] as [String; 0]
    );
}

#[test]
fn a_missing_sentence_is_found() {
    assert!(begins_with_a_sentence(
        "//! Speaks to Nomad and\n//! to Consul.\nuse x;"
    ));
    for text in [
        "",
        "use x;",
        "//! clients\n",
        "// Speaks to Nomad and to Consul.",
        "\n//! Speaks to Nomad and Consul.",
    ] {
        assert!(!begins_with_a_sentence(text), "{text:?}");
    }
}

#[test]
fn a_finding_names_file_and_line() {
    let source = Source::new(
        "planner/mod.rs",
        "//! Plan.\n\nuse crate::{\n    model,\n    act::Journal,\n};\n",
    );
    assert_eq!(
        forbidden_imports(&source),
        ["planner/mod.rs:3: planner may not import crate::act::Journal"]
    );
}
