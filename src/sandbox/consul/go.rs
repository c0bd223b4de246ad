//! The habits of Go's standard library that Consul's answers show: durations and strict JSON field names.

use std::time::Duration;

use serde_json::{Map, Value};

const NANOS: [(&str, f64); 6] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 6e10),
];

/// Reads a duration as Go's `time.ParseDuration` does ("1m30s", "250ms", "0"); the error is Go's sentence.
pub fn parse_duration(text: &str) -> Result<i64, String> {
    let bad = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(rest.len());
        let unit = &rest[..letters];
        rest = &rest[letters..];
        let nanos = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "h" => 3.6e12,
            other => match NANOS.iter().find(|(name, _)| *name == other) {
                Some((_, nanos)) => *nanos,
                None => return Err(format!("time: unknown unit {other:?} in duration {text:?}")),
            },
        };
        total += number * nanos;
    }
    Ok((sign * total).round() as i64)
}

/// Writes nanoseconds as Go's `Duration.String` does ("1m0s", "1.5s", "250ms").
pub fn format_duration(nanos: i64) -> String {
    let magnitude = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if magnitude == 0 {
        return "0s".into();
    }
    if magnitude < 1_000_000_000 {
        let (unit, size) = match magnitude {
            0..1_000 => ("ns", 1.0),
            1_000..1_000_000 => ("µs", 1e3),
            _ => ("ms", 1e6),
        };
        return format!("{sign}{}{unit}", magnitude as f64 / size);
    }
    let minutes = magnitude / 60_000_000_000;
    let seconds = (magnitude % 60_000_000_000) as f64 / 1e9;
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{sign}{seconds}s"),
        (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
        (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
    }
}

/// A duration from Go nanoseconds; negative ones count as zero.
pub fn duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// What Go's decoder knows of a field's type: which names an object may have, and how they are spelled.
#[derive(Clone, Copy)]
pub enum Shape {
    /// Anything goes, unchanged.
    Any,
    /// A JSON string.
    Text,
    /// An integer.
    Int,
    /// A boolean.
    Bool,
    /// A Go duration: a string such as "10s" or a number of nanoseconds; becomes nanoseconds.
    Span,
    /// Strings in a list.
    Texts,
    /// An object with free keys and values of one shape.
    MapOf(&'static Shape),
    /// A shape of its own name.
    Same(&'static Shape),
    /// A list of one shape.
    ListOf(&'static Shape),
    /// An object with these fields: (accepted name, stored name, shape). Names match without regard to case.
    Fields(&'static [(&'static str, &'static str, Shape)]),
    /// An object with the fields of another shape and these.
    More(
        &'static Shape,
        &'static [(&'static str, &'static str, Shape)],
    ),
}

/// Rewrites `value` to canonical field names, without nulls, as Go's decoder with `DisallowUnknownFields` would read it.
pub fn decode(value: Value, shape: &Shape) -> Result<Value, String> {
    decode_field(value, shape, "")
}

fn decode_field(value: Value, shape: &Shape, name: &str) -> Result<Value, String> {
    match (shape, value) {
        (_, Value::Null) => Ok(Value::Null),
        (Shape::Any, value) => Ok(value),
        (Shape::Same(inner), value) => decode_field(value, inner, name),
        (Shape::Text, value @ Value::String(_)) | (Shape::Bool, value @ Value::Bool(_)) => {
            Ok(value)
        }
        (Shape::Int, value @ Value::Number(_)) if value.is_i64() || value.is_u64() => Ok(value),
        (Shape::Span, Value::String(text)) => parse_duration(&text).map(Value::from),
        (Shape::Span, Value::Number(nanos)) => {
            Ok(Value::from(nanos.as_f64().unwrap_or(0.0) as i64))
        }
        (Shape::Span, _) => Ok(Value::from(0)),
        (Shape::Texts, Value::Array(items)) => items
            .into_iter()
            .map(|item| decode_field(item, &Shape::Text, name))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        (Shape::ListOf(inner), Value::Array(items)) => items
            .into_iter()
            .map(|item| decode_field(item, inner, name))
            .collect::<Result<_, _>>()
            .map(Value::Array),
        (Shape::MapOf(inner), Value::Object(map)) => {
            let mut out = Map::new();
            for (key, value) in map {
                out.insert(key, decode_field(value, inner, name)?);
            }
            Ok(Value::Object(out))
        }
        (Shape::Fields(_) | Shape::More(..), Value::Object(map)) => decode_object(map, shape),
        (shape, value) => {
            let (got, want) = (json_kind(&value), go_kind(shape));
            Err(format!(
                "json: cannot unmarshal {got} into Go struct field .{name} of type {want}"
            ))
        }
    }
}

/// The stored name and shape of a field, in any case of letters.
fn field(shape: &Shape, name: &str) -> Option<(&'static str, Shape)> {
    let (base, fields) = match shape {
        Shape::Fields(fields) => (None, *fields),
        Shape::More(base, fields) => (Some(*base), *fields),
        _ => return None,
    };
    let own = fields
        .iter()
        .find(|(accepted, _, _)| accepted.eq_ignore_ascii_case(name));
    own.map(|(_, stored, shape)| (*stored, *shape))
        .or_else(|| base.and_then(|base| field(base, name)))
}

fn decode_object(map: Map<String, Value>, shape: &Shape) -> Result<Value, String> {
    let mut out = Map::new();
    for (key, value) in map {
        let Some((stored, shape)) = field(shape, &key) else {
            return Err(format!("json: unknown field {key:?}"));
        };
        let value = decode_field(value, &shape, stored)?;
        // Go leaves a field alone when JSON says null.
        if !value.is_null() {
            out.insert(stored.to_owned(), value);
        }
    }
    Ok(Value::Object(out))
}

fn json_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn go_kind(shape: &Shape) -> &'static str {
    match shape {
        Shape::Any => "interface {}",
        Shape::Text => "string",
        Shape::Int => "int",
        Shape::Bool => "bool",
        Shape::Span => "time.Duration",
        Shape::Texts => "[]string",
        Shape::MapOf(_) => "map[string]string",
        Shape::ListOf(_) => "[]struct",
        Shape::Same(_) | Shape::Fields(_) | Shape::More(..) => "struct",
    }
}

/// Reads a request body as Go does: the first JSON value, unknown fields refused.
pub fn decode_body(body: &[u8], shape: &Shape) -> Result<Value, String> {
    let mut stream = serde_json::Deserializer::from_slice(body).into_iter::<Value>();
    match stream.next() {
        None => Err("EOF".into()),
        Some(Ok(value)) => decode(value, shape),
        Some(Err(error)) if error.is_eof() => Err("unexpected EOF".into()),
        Some(Err(error)) => Err(format!(
            "invalid character at offset {}: {error}",
            error.column()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_go_does() {
        for (text, nanos, back) in [
            ("10s", 10_000_000_000, "10s"),
            ("1m30s", 90_000_000_000, "1m30s"),
            ("24h", 86_400_000_000_000, "24h0m0s"),
            ("250ms", 250_000_000, "250ms"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("0", 0, "0s"),
            ("-2s", -2_000_000_000, "-2s"),
        ] {
            assert_eq!(parse_duration(text), Ok(nanos), "{text}");
            assert_eq!(format_duration(nanos), back);
        }
        assert_eq!(
            parse_duration("abc").unwrap_err(),
            "time: invalid duration \"abc\""
        );
        assert_eq!(
            parse_duration("10").unwrap_err(),
            "time: missing unit in duration \"10\""
        );
    }

    #[test]
    fn field_names_match_without_case_and_unknown_ones_are_refused() {
        static SHAPE: Shape = Shape::Fields(&[
            ("Name", "Name", Shape::Text),
            ("Port", "Port", Shape::Int),
            ("TTL", "TTL", Shape::Span),
        ]);
        let read = decode_body(br#"{"name":"w","PORT":8,"ttl":"1s"}"#, &SHAPE).unwrap();
        assert_eq!(
            read,
            serde_json::json!({"Name": "w", "Port": 8, "TTL": 1_000_000_000})
        );
        assert_eq!(
            decode_body(br#"{"Nope":1}"#, &SHAPE).unwrap_err(),
            "json: unknown field \"Nope\""
        );
        assert_eq!(decode_body(b"", &SHAPE).unwrap_err(), "EOF");
    }
}
