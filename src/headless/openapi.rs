//! The API's description, OpenAPI 3.1, made from the table of its paths and the types that it answers with.

use super::routes::{Answer, Content, Field, Route, Type, routes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// What any path may answer that is not free of the gate.
const GATE: [(u16, &str); 3] = [
    (401, "a token is needed through this door, or it is wrong"),
    (408, "it took too long"),
    (429, "too many requests; Retry-After says when to ask again"),
];

/// The document. It depends on nothing but the version.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|s| {
            s.definitions_path = "/components/schemas".into();
            s.meta_schema = None;
        })
        .for_serialize();
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in routes() {
        let operation = operation(&route, &mut generator);
        let verb = route.verb.name().to_ascii_lowercase();
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[verb] = operation;
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "foreshadow",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What a foreshadow sees, foresees and decides; commands go through planner and guard.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": {
                "read": {"type": "http", "scheme": "bearer", "description": "the read token, or the act token; over HTTPS alone"},
                "act": {"type": "http", "scheme": "bearer", "description": "the act token"},
            },
        },
    });
    bound(&mut document);
    document
}

/// Formats bind nobody: the largest number that a type holds is said as a bound, too.
fn bound(value: &mut Value) {
    let most = match value["format"].as_str() {
        Some("uint32") => Some(u64::from(u32::MAX)),
        Some("int64") => Some(i64::MAX.unsigned_abs()),
        Some("uint" | "uint64") => Some(u64::MAX),
        _ => None,
    };
    match value {
        Value::Object(all) => {
            if let Some(most) = most {
                all.entry("maximum").or_insert(json!(most));
            }
            all.values_mut().for_each(bound);
        }
        Value::Array(all) => all.iter_mut().for_each(bound),
        _ => {}
    }
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut answers = Map::new();
    for answer in &route.answers {
        answers.insert(answer.status.to_string(), answered(answer, generator));
    }
    if !route.free() {
        for (status, about) in GATE {
            answers.insert(status.to_string(), described(about, text()));
        }
    }
    let fields = route.fields.iter();
    let fields: Vec<Value> = fields.map(|f| field(f, generator)).collect();
    let mut operation = json!({"summary": route.about, "responses": answers, "parameters": fields});
    // Without a token where the door asks for none: an empty requirement says so.
    if let Some(body) = route.body {
        let schema = schema(body, generator);
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
        operation["security"] = json!([{"act": []}]);
    } else if !route.free() {
        operation["security"] = json!([{}, {"read": []}]);
    }
    operation
}

fn field(field: &Field, generator: &mut SchemaGenerator) -> Value {
    let mut told = json!({
        "name": field.name, "in": field.place, "description": field.about,
        "required": field.place == "path", "schema": schema(field.schema, generator),
    });
    if told["schema"]["type"] == "array" {
        (told["style"], told["explode"]) = ("form".into(), false.into());
    }
    told
}

fn answered(answer: &Answer, generator: &mut SchemaGenerator) -> Value {
    let content = match answer.content {
        Content::Text => text(),
        Content::Json(of) => json!({"application/json": {"schema": schema(of, generator)}}),
        // OpenAPI 3.1 has no word for what one event holds: it is told beside.
        Content::Events(data) => {
            let mut events = json!({"schema": {"type": "string"}});
            if let Some(of) = data {
                events["x-event-data"] = schema(of, generator);
            }
            json!({"text/event-stream": events})
        }
    };
    described(answer.about, content)
}

fn described(about: &str, content: Value) -> Value {
    json!({"description": about, "content": content})
}

fn text() -> Value {
    json!({"text/plain": {"schema": {"type": "string"}}})
}

fn schema(of: Type, generator: &mut SchemaGenerator) -> Value {
    of(generator).into()
}

pub(super) async fn served() -> Response {
    static TEXT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}
