//! Reading Nomad's JSON, where a missing key, `null` and a zero mean the same.

use serde_json::{Map, Value};

pub const SECOND: i64 = 1_000_000_000;

/// The text at `key`, or "".
pub fn text<'a>(v: &'a Value, key: &str) -> &'a str {
    v.get(key).and_then(Value::as_str).unwrap_or("")
}

/// The whole number at `key`, or 0.
pub fn int(v: &Value, key: &str) -> i64 {
    v.get(key)
        .and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64)))
        .unwrap_or(0)
}

/// The truth at `key`, or false.
pub fn flag(v: &Value, key: &str) -> bool {
    v.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// The list at `key`, or an empty one.
pub fn list<'a>(v: &'a Value, key: &str) -> &'a [Value] {
    v.get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The entries of the map at `key`.
pub fn entries<'a>(
    v: &'a Value,
    key: &str,
) -> impl Iterator<Item = (&'a String, &'a Value)> + use<'a> {
    v.get(key).and_then(Value::as_object).into_iter().flatten()
}

/// The map of texts at `key`.
pub fn texts<'a>(v: &'a Value, key: &str) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    entries(v, key).filter_map(|(k, v)| Some((k.as_str(), v.as_str()?)))
}

pub fn objects_mut<'a>(
    v: &'a mut Value,
    key: &str,
) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    v.get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter(|v| v.is_object())
}

/// Set every key of `defaults` that `v` lacks or has as `null`.
pub fn fill(v: &mut Value, defaults: Value) {
    let (Some(v), Value::Object(defaults)) = (v.as_object_mut(), defaults) else {
        return;
    };
    for (key, default) in defaults {
        let slot = v.entry(key).or_insert(Value::Null);
        if slot.is_null() {
            *slot = default;
        }
    }
}

/// Fill the object at `key`, making it where it is missing.
pub fn fill_at(v: &mut Value, key: &str, defaults: Value) {
    let Some(map) = v.as_object_mut() else { return };
    let slot = map.entry(key).or_insert(Value::Null);
    if slot.is_null() {
        *slot = defaults;
    } else {
        fill(slot, defaults);
    }
}

/// What Nomad's HTTP API leaves out at the top of some answers: "", 0, `null`, `{}` and `[]`.
pub fn without_empty(v: Value) -> Value {
    match v {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, v)| !is_empty(v))
            .collect::<Map<_, _>>()
            .into(),
        other => other,
    }
}

fn is_empty(v: &Value) -> bool {
    match v {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

/// `null` for a map without entries, as Go's encoder writes a nil map.
pub fn or_null<I: IntoIterator<Item = (String, Value)>>(entries: I) -> Value {
    let map: Map<String, Value> = entries.into_iter().collect();
    if map.is_empty() {
        Value::Null
    } else {
        map.into()
    }
}

/// Nanoseconds since the epoch as RFC 3339, as Go prints them; 0 is `null`.
pub fn time(nanos: i64) -> Value {
    match jiff::Timestamp::from_nanosecond(i128::from(nanos)) {
        Ok(t) if nanos != 0 => t.to_string().into(),
        _ => Value::Null,
    }
}

/// `{}` of Go's `time.Duration`: `5s`, `1m30s`, `250ms`.
pub fn duration(nanos: i64) -> String {
    let secs = nanos / SECOND;
    if nanos % SECOND != 0 {
        return format!("{}ms", nanos / 1_000_000);
    }
    let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (h, m) {
        (0, 0) => format!("{s}s"),
        (0, _) => format!("{m}m{s}s"),
        _ => format!("{h}h{m}m{s}s"),
    }
}

/// Under which a job is kept: its ID, in other namespaces than `default` with the namespace before it.
pub fn job_key(namespace: &str, id: &str) -> String {
    match namespace {
        "" | "default" => id.into(),
        _ => format!("{namespace}\u{1f}{id}"),
    }
}

/// Namespace and ID of a [`job_key`].
pub fn key_parts(key: &str) -> (&str, &str) {
    key.split_once('\u{1f}').unwrap_or(("default", key))
}

pub fn key_of(job: &Value) -> String {
    job_key(text(job, "Namespace"), text(job, "ID"))
}
