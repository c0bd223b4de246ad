//! Values that a schema allows, made at random.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};

/// Text that tends to be trouble, and some that is not.
pub fn text() -> BoxedStrategy<String> {
    let trouble = select(vec![
        "web",
        "edge-a",
        "",
        " ",
        "\0",
        "../..",
        "%2e%2e",
        "a/b",
        "é€𐍈",
        "null",
        "-1",
        "{}",
        "\"",
        "\r\n\r\n",
        "🦀",
    ]);
    prop_oneof![
        3 => trouble.prop_map(str::to_string),
        1 => any::<String>(),
        1 => "[a-z-]{1,300}",
    ]
    .boxed()
}

/// What the schema, a part of the document, allows; `depth` bounds how often a type may hold itself.
pub fn of(document: &Value, schema: &Value, depth: usize) -> BoxedStrategy<Value> {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.trim_start_matches('#');
        let schema = document.pointer(pointer).expect("a schema of that name");
        return of(document, schema, depth);
    }
    if let Some(value) = schema.get("const") {
        return Just(value.clone()).boxed();
    }
    if let Some(values) = schema["enum"].as_array() {
        return select(values.clone()).boxed();
    }
    for word in ["oneOf", "anyOf"] {
        if let Some(several) = schema[word].as_array() {
            return one_of(document, several, depth);
        }
    }
    match schema["type"].as_str() {
        Some("object") => object(document, schema, depth),
        Some("array") => {
            let items = of(document, &schema["items"], depth);
            prop::collection::vec(items, 0..4)
                .prop_map(Value::from)
                .boxed()
        }
        Some("integer") => {
            let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
            let most = schema["maximum"].as_i64().unwrap_or(i64::MAX);
            (least..=most).prop_map(Value::from).boxed()
        }
        Some("number") => prop::num::f64::NORMAL.prop_map(Value::from).boxed(),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("string") if schema["pattern"].is_string() => {
            let pattern = schema["pattern"].as_str().expect("a pattern");
            // The whole of it is made: what anchors it is no part of that.
            let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
            let text = prop::string::string_regex(pattern).expect("a regular expression");
            text.prop_map(Value::from).boxed()
        }
        Some("string") => text().prop_map(Value::from).boxed(),
        _ => Just(Value::Null).boxed(),
    }
}

fn one_of(document: &Value, several: &[Value], depth: usize) -> BoxedStrategy<Value> {
    let fits = |s: &&Value| {
        depth > 0
            || !s
                .to_string()
                .contains("$ref\":\"#/components/schemas/Command")
    };
    let fitting: Vec<&Value> = several.iter().filter(fits).collect();
    let next = depth.saturating_sub(1);
    let all: Vec<_> = fitting.iter().map(|s| of(document, s, next)).collect();
    prop::strategy::Union::new(all).boxed()
}

fn object(document: &Value, schema: &Value, depth: usize) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let mut all: BoxedStrategy<Map<String, Value>> = Just(Map::new()).boxed();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        if !required.contains(&Value::from(name.as_str())) {
            continue;
        }
        let name = name.clone();
        all = (all, of(document, member, depth))
            .prop_map(move |(mut all, value)| {
                all.insert(name.clone(), value);
                all
            })
            .boxed();
    }
    all.prop_map(Value::from).boxed()
}
