//! Reads a scenario from HCL and says where it is wrong.

use super::{Explains, Incident, Scenario};
use crate::model::{NodeId, Site};
use crate::sandbox::estate::Estate;
use crate::sandbox::fault::Fault;
use hcl_edit::Span;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Attribute, Block, BlockLabel, Body, Structure};
use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

/// A scenario that cannot be read: `FILE:LINE:COLUMN: what was expected`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct ScenarioError {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub what: String,
}

/// What is wrong, and where in the text.
type Wrong = (Option<Range<usize>>, String);

const SCENARIO_KEYS: [&str; 3] = ["length", "rps", "at"];
const INCIDENT_KEYS: [&str; 6] = [
    "kill_node",
    "revive_node",
    "cut_site",
    "heal_site",
    "class_speed",
    "explains",
];
const EXPLAINS_KEYS: [&str; 3] = ["sites", "nodes", "for"];

impl Scenario {
    /// Read a scenario; `file` is only named in errors, and the estate says which sites and nodes there are.
    ///
    /// # Errors
    /// With the place and what was expected there.
    pub fn parse(text: &str, file: &str, estate: &Estate) -> Result<Scenario, ScenarioError> {
        let error = |line, column, what| ScenarioError {
            file: file.to_string(),
            line,
            column,
            what,
        };
        let body = hcl_edit::parser::parse_body(text).map_err(|e| {
            let (line, column) = (e.location().line(), e.location().column());
            error(line, column, e.message().to_string())
        })?;
        scenario(&body, estate).map_err(|(span, what)| {
            let before = text.get(..span.map_or(0, |s| s.start)).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            error(line, column, what)
        })
    }
}

fn scenario(body: &Body, estate: &Estate) -> Result<Scenario, Wrong> {
    let (mut length, mut rps) = (None, None);
    let mut incidents = Vec::new();
    for structure in body {
        match structure {
            Structure::Attribute(a) if a.has_key("length") => {
                length = Some((a.value.span(), duration(&a.value)?))
            }
            Structure::Attribute(a) if a.has_key("rps") => rps = Some(rate(&a.value)?),
            Structure::Block(b) if b.has_ident("at") => {
                incidents.push((b.ident.span(), incident(b, estate)?))
            }
            other => return Err(unknown(other, "a scenario", &SCENARIO_KEYS)),
        }
    }
    let missing = "a scenario needs its length, such as `length = \"165s\"`";
    let (_, length) = length.ok_or((None, missing.to_string()))?;
    if let Some((span, late)) = incidents.iter().find(|(_, i)| i.at > length) {
        let what = format!("{} happens after the scenario has ended", late.fault);
        return Err((span.clone(), what));
    }
    let mut incidents: Vec<Incident> = incidents.into_iter().map(|(_, i)| i).collect();
    incidents.sort_by_key(|i| i.at);
    Ok(Scenario {
        length,
        rps,
        incidents,
    })
}

fn rate(value: &Expression) -> Result<f64, Wrong> {
    let number = value.as_number().and_then(|n| n.as_f64());
    let number = number.filter(|f| (0.0..=1_000.0).contains(f));
    number.ok_or_else(|| {
        let what =
            "`rps` is how many requests a second clients make, up to 1000, such as `rps = 20`";
        (value.span(), what.to_string())
    })
}

fn incident(block: &Block, estate: &Estate) -> Result<Incident, Wrong> {
    let [label @ (BlockLabel::String(_) | BlockLabel::Ident(_))] = &block.labels[..] else {
        let what = "`at` needs one time, such as `at \"80s\" { … }`".to_string();
        return Err((block.ident.span(), what));
    };
    let at = time(label.as_str()).map_err(|what| (label.span(), what))?;
    let (mut happens, mut says) = (None, None);
    for structure in &block.body {
        match structure {
            Structure::Block(b) if b.has_ident("explains") => says = Some(explains(b, estate)?),
            Structure::Attribute(a) if INCIDENT_KEYS[..5].contains(&a.key.as_str()) => {
                if happens.is_some() {
                    let what = "one fault for each `at`; write another `at` with the same time";
                    return Err((a.key.span(), what.to_string()));
                }
                happens = Some(fault(a, estate)?);
            }
            other => return Err(unknown(other, "an `at`", &INCIDENT_KEYS)),
        }
    }
    let missing = || {
        format!(
            "what happens here? One of {}",
            INCIDENT_KEYS[..5].join(", ")
        )
    };
    Ok(Incident {
        at,
        fault: happens.ok_or_else(|| (block.ident.span(), missing()))?,
        explains: says.unwrap_or_default(),
    })
}

fn fault(attribute: &Attribute, estate: &Estate) -> Result<Fault, Wrong> {
    let value = &attribute.value;
    Ok(match attribute.key.as_str() {
        "kill_node" => Fault::KillNode(node(value, estate)?),
        "revive_node" => Fault::ReviveNode(node(value, estate)?),
        "cut_site" => Fault::CutSite(site(value, estate)?),
        "class_speed" => class_speed(value, estate)?,
        _ => Fault::HealSite(site(value, estate)?),
    })
}

/// `{ std = 25 }`: a node class and the percent of its speed that it gives.
fn class_speed(value: &Expression, estate: &Estate) -> Result<Fault, Wrong> {
    let wrong = || {
        let what = "expected one node class and its speed in percent, such as `{ std = 25 }`";
        (value.span(), what.to_string())
    };
    let object = value
        .as_object()
        .filter(|o| o.len() == 1)
        .ok_or_else(wrong)?;
    let (key, said) = object.iter().next().ok_or_else(wrong)?;
    let text = key.as_expr().and_then(Expression::as_str);
    let name = key
        .as_ident()
        .map(|i| i.as_str())
        .or(text)
        .ok_or_else(wrong)?;
    let classes: BTreeSet<&str> = estate.nodes().map(|n| n.class.as_str()).collect();
    if !classes.contains(name) {
        let what = not_there("node class", name, classes.into_iter());
        return Err((value.span(), what));
    }
    let percent = said.expr().as_number().and_then(|n| n.as_u64());
    let percent = percent.filter(|p| (1..=100).contains(p));
    let percent = percent.ok_or_else(|| {
        let what = "expected a speed from 1 to 100 percent of what the node's books say";
        (said.expr().span(), what.to_string())
    })?;
    Ok(Fault::ClassSpeed {
        class: name.into(),
        percent: percent as u32,
    })
}

fn explains(block: &Block, estate: &Estate) -> Result<Explains, Wrong> {
    let mut says = Explains::default();
    let mut grace = None;
    for structure in &block.body {
        let Structure::Attribute(a) = structure else {
            return Err(unknown(structure, "`explains`", &EXPLAINS_KEYS));
        };
        match a.key.as_str() {
            "sites" => says.sites = each(&a.value, |v| site(v, estate))?,
            "nodes" => says.nodes = each(&a.value, |v| Ok(NodeId::new(node(v, estate)?)))?,
            "for" => grace = Some(duration(&a.value)?),
            _ => return Err(unknown(structure, "`explains`", &EXPLAINS_KEYS)),
        }
    }
    let missing =
        "`explains` needs `for`, the time that detection may take, such as `for = \"5s\"`";
    says.grace = grace.ok_or((block.ident.span(), missing.to_string()))?;
    Ok(says)
}

fn each<T>(
    value: &Expression,
    read: impl Fn(&Expression) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    let list = value.as_array();
    let list = list.ok_or((value.span(), "expected a list of names".to_string()))?;
    list.iter().map(read).collect()
}

fn site(value: &Expression, estate: &Estate) -> Result<Site, Wrong> {
    let site = Site::from(string(value)?);
    let names = estate.sites.iter().map(|s| s.name.as_str());
    match estate.site(&site) {
        Some(_) => Ok(site),
        None => Err((value.span(), not_there("site", site.as_str(), names))),
    }
}

fn node(value: &Expression, estate: &Estate) -> Result<String, Wrong> {
    let node = string(value)?;
    let names = estate.nodes().map(|n| n.name.as_str());
    match estate.node(node) {
        Some(_) => Ok(node.to_string()),
        None => Err((value.span(), not_there("node", node, names))),
    }
}

fn string(value: &Expression) -> Result<&str, Wrong> {
    let text = value.as_str();
    text.ok_or((value.span(), "expected a text in quotes".to_string()))
}

fn duration(value: &Expression) -> Result<Duration, Wrong> {
    time(string(value)?).map_err(|what| (value.span(), what))
}

/// `1500ms`, `80s`, `2m`, or several of them: `1m30s`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; write it as `80s`, `1500ms` or `1m30s`");
    let mut total = Duration::ZERO;
    let mut rest = text;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let millis = match &rest[..unit] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            _ => return Err(wrong()),
        };
        total += Duration::from_millis(number.checked_mul(millis).ok_or_else(wrong)?);
        rest = &rest[unit..];
    }
    Ok(total)
}

fn not_there<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    let near = nearest(name, &known);
    format!(
        "the estate has no {kind} `{name}`{near}; it has {}",
        known.join(", ")
    )
}

fn unknown(structure: &Structure, place: &str, known: &[&str]) -> Wrong {
    let (span, name) = match structure {
        Structure::Attribute(a) => (a.key.span(), a.key.as_str()),
        Structure::Block(b) => (b.ident.span(), b.ident.as_str()),
    };
    let near = nearest(name, known);
    let what = format!(
        "{place} has no `{name}`{near}; it may have {}",
        known.join(", ")
    );
    (span, what)
}

fn nearest(name: &str, known: &[&str]) -> String {
    let best = known.iter().min_by_key(|k| strsim::levenshtein(name, k));
    best.filter(|k| strsim::levenshtein(name, k) <= 2)
        .map_or(String::new(), |k| format!(" (did you mean `{k}`?)"))
}
