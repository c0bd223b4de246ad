//! Answers with Nomad's headers.

use super::query::Query;
use crate::sandbox::nomad::jobs::Refusal;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use serde_json::Value;

/// An answer before it is written.
pub struct Reply {
    pub status: u16,
    /// `X-Nomad-Index`
    pub index: Option<u64>,
    /// A read: with `X-Nomad-Knownleader` and `X-Nomad-Lastcontact`.
    pub meta: bool,
    pub content: Content,
}

pub enum Content {
    Json(Value),
    Text(String),
    Prometheus(String),
}

impl Reply {
    pub fn json(v: Value) -> Reply {
        Reply {
            status: 200,
            index: None,
            meta: false,
            content: Content::Json(v),
        }
    }

    pub fn empty() -> Reply {
        Reply {
            status: 200,
            index: None,
            meta: false,
            content: Content::Text(String::new()),
        }
    }

    /// The answer of a write, which carries the index of its own.
    pub fn written(v: Value) -> Reply {
        Reply {
            index: v["Index"].as_u64(),
            ..Reply::json(v)
        }
    }

    /// The answer of a read.
    pub fn read(index: u64, v: Value) -> Reply {
        Reply {
            index: Some(index),
            meta: true,
            ..Reply::json(v)
        }
    }

    /// A read of something that is not there.
    pub fn missing(index: u64, why: &str) -> Reply {
        Reply {
            status: 404,
            index: Some(index),
            meta: true,
            content: Content::Text(why.into()),
        }
    }

    pub fn refused(refusal: Refusal) -> Reply {
        Reply {
            status: refusal.status,
            index: None,
            meta: false,
            content: Content::Text(refusal.message),
        }
    }

    pub fn into_response(self, query: &Query) -> Response<Body> {
        let (kind, text) = match self.content {
            Content::Json(v) if query.has("pretty") => (
                "application/json",
                serde_json::to_string_pretty(&v).unwrap_or_default(),
            ),
            Content::Json(v) => ("application/json", v.to_string()),
            Content::Text(t) => ("text/plain; charset=utf-8", t),
            Content::Prometheus(t) => ("text/plain; version=0.0.4; charset=utf-8", t),
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some(index) = self.index {
            headers.insert("X-Nomad-Index", HeaderValue::from(index));
        }
        if self.meta {
            headers.insert("X-Nomad-KnownLeader", HeaderValue::from_static("true"));
            headers.insert("X-Nomad-LastContact", HeaderValue::from_static("0"));
        }
        response
    }
}
