//! What changed between two pictures, as JSON: so that a face over a slow link gets the difference alone. Pure.

use crate::engine::view::View;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Points of the past, lines and pages that go over the wire at first; a face keeps what comes later.
const PAST: usize = 60;
const LINES: usize = 100;
const PAGES: usize = 60;
const STAIRS: usize = 60;
/// Portions that come with all there is in the first event, and so many more in each that follows, until all do: so a slow link
/// stays live meanwhile.
pub const MORE: usize = 20;
/// Digits of a number that are sent: more than any screen shows.
const DIGITS: i32 = 4;

/// How to make one document out of another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Patch {
    /// Take this instead.
    #[serde(rename = "=")]
    Set(Value),
    /// Members of an object: changed ones by their patch, and those that are gone.
    #[serde(rename = "o")]
    Object(
        BTreeMap<String, Patch>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")] Vec<String>,
    ),
    /// Drop so many elements at the front, patch these of the rest, then add these at the end.
    #[serde(rename = "a")]
    Array(usize, BTreeMap<usize, Patch>, Vec<Value>),
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the change at {at} does not fit what it is to change; a new snapshot is needed")]
pub struct Misfit {
    at: String,
}

impl Misfit {
    pub(super) fn of(at: impl ToString) -> Misfit {
        Misfit { at: at.to_string() }
    }
}

/// A picture as it goes over the wire: what is long is cut to its end, numbers to four digits; portions stand by their names,
/// so that one that gets worse does not move the others. All but the first `whole` of the view (the worst) come without what
/// only their own screens show.
///
/// # Errors
/// When the view cannot be put as JSON.
pub fn thin(view: &View, whole: usize) -> Result<Value, serde_json::Error> {
    let mut view = view.clone();
    let (lines, pages) = (over(view.log.len(), LINES), over(view.pages.len(), PAGES));
    view.log.drain(..lines);
    if pages > 0 {
        keep_known(&mut view, pages);
    }
    for p in &mut view.portions {
        let p = &mut **p;
        p.past.drain(..over(p.past.len(), PAST));
        p.stairs.drain(..over(p.stairs.len(), STAIRS));
        // What a run measured load by load is long, and looked at one place at a time: over the API's own path.
        for profile in &mut p.profiles {
            profile.details.loads.clear();
        }
    }
    for p in view.portions.iter_mut().skip(whole) {
        p.past.clear();
        p.stairs.clear();
        p.band.clear();
        p.profiles.clear();
        p.known.clear();
        p.verdicts.clear();
    }
    if whole < view.portions.len() {
        view.candidates.truncate(whole);
    }
    view.portions.sort_by(|a, b| a.id.cmp(&b.id));
    let mut value = serde_json::to_value(&view)?;
    round(&mut value);
    Ok(value)
}

fn over(len: usize, most: usize) -> usize {
    len.saturating_sub(most)
}

/// Drops the first pages; what they alone knew goes onto the first that is left.
fn keep_known(view: &mut View, drop: usize) {
    let dropped: Vec<_> = view.pages.drain(..drop).collect();
    let Some(first) = view.pages.first_mut() else {
        return;
    };
    let first = std::sync::Arc::make_mut(first);
    for row in dropped.iter().rev().flat_map(|p| &p.rows) {
        if first.rows.iter().all(|r| r.id != row.id) {
            first.rows.push(row.clone());
        }
    }
}

fn round(value: &mut Value) {
    match value {
        Value::Number(n) => {
            if let Some(f) = n.as_f64().filter(|_| n.is_f64())
                && let Some(rounded) = serde_json::Number::from_f64(digits(f))
            {
                *n = rounded;
            }
        }
        Value::Array(all) => all.iter_mut().for_each(round),
        Value::Object(all) => all.values_mut().for_each(round),
        _ => {}
    }
}

/// The number with its first digits alone.
fn digits(f: f64) -> f64 {
    if f == 0.0 || !f.is_finite() {
        return f;
    }
    let scale = 10f64.powi(DIGITS - 1 - f.abs().log10().floor() as i32);
    let rounded = (f * scale).round() / scale;
    if rounded.is_finite() { rounded } else { f }
}

/// What makes `new` out of `old`; `None` when they are the same.
pub fn diff(old: &Value, new: &Value) -> Option<Patch> {
    if old == new {
        return None;
    }
    Some(match (old, new) {
        (Value::Object(a), Value::Object(b)) => {
            let changed = b.iter().filter_map(|(k, v)| {
                let patch = match a.get(k) {
                    Some(was) => diff(was, v)?,
                    None => Patch::Set(v.clone()),
                };
                Some((k.clone(), patch))
            });
            let gone = a.keys().filter(|k| !b.contains_key(*k));
            Patch::Object(changed.collect(), gone.cloned().collect())
        }
        (Value::Array(a), Value::Array(b)) if !a.is_empty() && !b.is_empty() => array(a, b),
        _ => Patch::Set(new.clone()),
    })
}

/// What names an element among its like.
fn identity(value: &Value) -> Option<&Value> {
    let object = value.as_object()?;
    [
        "id", "seq", "cycle", "alloc", "at", "site", "portion", "key", "what",
    ]
    .iter()
    .find_map(|k| object.get(*k))
}

/// Arrays slide: what left at the front, what stayed, what came at the end.
fn array(a: &[Value], b: &[Value]) -> Patch {
    let alike = |x: &Value, y: &Value| match (identity(x), identity(y)) {
        (Some(x), Some(y)) => x == y,
        _ => x == y,
    };
    let slid = a.iter().position(|x| alike(x, &b[0]));
    let drop = match slid {
        Some(at) => at,
        None if a.len() == b.len() => 0,
        None => return Patch::Set(Value::Array(b.to_vec())),
    };
    let kept = (a.len() - drop).min(b.len());
    if kept < a.len() - drop {
        return Patch::Set(Value::Array(b.to_vec()));
    }
    let pairs = a[drop..].iter().zip(b).enumerate();
    let changed = pairs.filter_map(|(k, (x, y))| Some((k, diff(x, y)?)));
    Patch::Array(drop, changed.collect(), b[kept..].to_vec())
}

/// Changes the document.
///
/// # Errors
/// `Misfit` when the patch was made for another document; the document is then of no use any more.
pub fn apply(value: &mut Value, patch: &Patch) -> Result<(), Misfit> {
    match patch {
        Patch::Set(new) => value.clone_from(new),
        Patch::Object(changed, gone) => {
            let object: &mut Map<String, Value> = value
                .as_object_mut()
                .ok_or_else(|| Misfit::of("an object"))?;
            for key in gone {
                object.remove(key).ok_or_else(|| Misfit::of(key))?;
            }
            for (key, patch) in changed {
                match patch {
                    Patch::Set(new) => {
                        object.insert(key.clone(), new.clone());
                    }
                    patch => {
                        let member = object.get_mut(key).ok_or_else(|| Misfit::of(key))?;
                        apply(member, patch)?;
                    }
                }
            }
        }
        Patch::Array(drop, changed, added) => {
            let array = value.as_array_mut().ok_or_else(|| Misfit::of("an array"))?;
            if *drop > array.len() {
                return Err(Misfit::of("an array's front"));
            }
            array.drain(..drop);
            for (k, patch) in changed {
                let element = array.get_mut(*k).ok_or_else(|| Misfit::of("an element"))?;
                apply(element, patch)?;
            }
            array.extend(added.iter().cloned());
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "delta_tests.rs"]
mod tests;
