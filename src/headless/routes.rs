//! The paths of the API as a table: the router is made of it, and so is the document that describes them.

use super::answers::{self, LARGEST_PAGE, Pages, Plan, Portions, Profiles};
use super::api::Shared;
use super::ndjson::Event;
use super::{events, openapi, stream};
use crate::engine::view::{Command, LogKind, PortionView, View};
use axum::routing::{MethodRouter, get, post};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Verb::Get => "GET",
            Verb::Post => "POST",
        }
    }
}

pub(super) type Type = fn(&mut SchemaGenerator) -> Schema;

fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What an answer is made of.
pub(super) enum Content {
    Text,
    Json(Type),
    /// Server-sent events, whose `data` is this; `None` where a delta of the document is, too.
    Events(Option<Type>),
}

pub(super) struct Answer {
    pub status: u16,
    pub about: &'static str,
    pub content: Content,
}

/// A value in the path, the query or the header.
pub(super) struct Field {
    pub name: &'static str,
    /// `path`, `query` or `header`.
    pub place: &'static str,
    pub about: &'static str,
    pub schema: Type,
}

pub(super) struct Route {
    pub verb: Verb,
    pub path: &'static str,
    pub about: &'static str,
    pub fields: Vec<Field>,
    pub body: Option<Type>,
    /// Besides what any path may answer.
    pub answers: Vec<Answer>,
    pub handler: MethodRouter<Shared>,
}

fn read(path: &'static str, about: &'static str, handler: MethodRouter<Shared>) -> Route {
    Route {
        verb: Verb::Get,
        path,
        about,
        fields: Vec::new(),
        body: None,
        answers: Vec::new(),
        handler,
    }
}

impl Route {
    fn takes(
        mut self,
        place: &'static str,
        name: &'static str,
        schema: Type,
        about: &'static str,
    ) -> Route {
        self.fields.push(Field {
            name,
            place,
            about,
            schema,
        });
        self
    }

    fn says(mut self, status: u16, about: &'static str, content: Content) -> Route {
        self.answers.push(Answer {
            status,
            about,
            content,
        });
        self
    }

    fn gives<T: JsonSchema>(self, about: &'static str) -> Route {
        self.says(200, about, Content::Json(of::<T>))
    }

    /// Whether it is answered without a token, and however often it is asked.
    pub(super) fn free(&self) -> bool {
        super::gate::FREE.contains(&self.path)
    }
}

fn number_of(least: i64, most: Option<usize>) -> Schema {
    let mut schema =
        schemars::json_schema!({"type": "integer", "format": "int64", "minimum": least});
    if let Some(most) = most {
        schema.insert("maximum".into(), json!(most));
    }
    schema
}

fn kinds(generator: &mut SchemaGenerator) -> Schema {
    let kind = Value::from(generator.subschema_for::<LogKind>());
    schemars::json_schema!({"type": "array", "items": kind})
}

const NO_STREAM: &str = "all streams are taken; Retry-After says when to ask again";

/// All of them.
pub(super) fn routes() -> Vec<Route> {
    [looks(), follows(), watches()]
        .into_iter()
        .flatten()
        .collect()
}

/// What is known, and what may be asked for.
fn looks() -> Vec<Route> {
    vec![
        read(
            "/v1/view",
            "the whole picture as of the last cycle",
            get(answers::view),
        )
        .gives::<View>("the picture"),
        read(
            "/v1/plan",
            "steps with their reasons, and what waits on what",
            get(answers::plan),
        )
        .gives::<Plan>("the plan"),
        read(
            "/v1/portions",
            "how each portion is, worst first",
            get(answers::portions),
        )
        .gives::<Portions>("one sentence a portion"),
        read(
            "/v1/portions/{id}",
            "everything of one portion",
            get(answers::portion),
        )
        .takes("path", "id", of::<String>, "as /v1/portions names it")
        .gives::<PortionView>("the portion")
        .says(400, "the path is not UTF-8", Content::Text)
        .says(
            404,
            "no portion is called so; known ones are named",
            Content::Text,
        ),
        read(
            "/v1/profiles",
            "what was measured, and what is counted on",
            get(answers::profiles),
        )
        .gives::<Profiles>("by portion"),
        read(
            "/v1/journal",
            "steps on their way, by this gateway's store, newest first",
            get(answers::journal),
        )
        .takes(
            "query",
            "before",
            |_| number_of(i64::MIN, None),
            "`next` of the page before",
        )
        .takes(
            "query",
            "limit",
            |_| number_of(1, Some(LARGEST_PAGE)),
            "entries of a page [default: 100]",
        )
        .gives::<Pages>("a page")
        .says(400, "the query is wrong", Content::Text)
        .says(404, "this foreshadow keeps no journal", Content::Text)
        .says(503, "the journal cannot be read now", Content::Text),
        Route {
            verb: Verb::Post,
            body: Some(of::<Command>),
            handler: post(answers::command),
            ..read(
                "/v1/command",
                "asks for something, for those who hold the act token",
                MethodRouter::new(),
            )
        }
        .says(
            202,
            "planner and guard decide in the next cycle",
            Content::Text,
        )
        .says(400, "this is no command", Content::Text)
        .says(
            403,
            "this is not the act token, or there is none",
            Content::Text,
        )
        .says(413, "more than 16 KiB", Content::Text)
        .says(
            503,
            "the engine has commands waiting, or has stopped",
            Content::Text,
        ),
        read("/v1/openapi.json", "this document", get(openapi::served)).says(
            200,
            "OpenAPI 3.1",
            Content::Json(|_| schemars::json_schema!({"type": "object"})),
        ),
    ]
}

/// What does not end by itself.
fn follows() -> Vec<Route> {
    vec![
        read(
            "/v1/events",
            "decisions as they are made, as server-sent events",
            get(events::events),
        )
        .takes("query", "kind", kinds, "these kinds alone")
        .takes(
            "query",
            "portion",
            of::<String>,
            "what concerns this portion alone",
        )
        .takes(
            "header",
            "Last-Event-ID",
            of::<String>,
            "goes on after the event with this number",
        )
        .says(
            200,
            "an event a decision, with its number as `id`",
            Content::Events(Some(of::<Event>)),
        )
        .says(400, "there is no such kind", Content::Text)
        .says(503, NO_STREAM, Content::Text),
        read(
            "/v1/stream",
            "the view as server-sent events",
            get(stream::stream_view),
        )
        .says(
            200,
            "`snapshot`: a view; `delta`: what changed since the event before",
            Content::Events(None),
        )
        .says(503, NO_STREAM, Content::Text),
    ]
}

/// For those who watch over it.
fn watches() -> Vec<Route> {
    vec![
        read("/live", "whether the process answers", get(answers::live)).says(
            200,
            "it does",
            Content::Text,
        ),
        read(
            "/ready",
            "whether the view is younger than three cycles",
            get(answers::ready),
        )
        .says(200, "it is", Content::Text)
        .says(503, "it is not, and why", Content::Text),
        read("/metrics", "for Prometheus", get(answers::exposed))
            .says(200, "text format 0.0.4", Content::Text)
            .says(500, "they cannot be told", Content::Text),
    ]
}
