//! Answers with Consul's headers.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use serde::Serialize;

use super::super::acl::{DENIED, NOT_FOUND};
use super::super::world::RpcError;

/// What a query says of itself in the headers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueryMeta {
    pub index: u64,
    pub known_leader: bool,
    /// `leader`, `stale` or `consistent`; catalog and health endpoints name it.
    pub consistency: Option<&'static str>,
}

/// Plain text, as Consul gives its errors.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> Response {
    let text = text.into();
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if !text.is_empty() {
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        *response.body_mut() = Body::from(text);
    }
    response
}

/// An empty 200.
pub(super) fn empty() -> Response {
    text(StatusCode::OK, "")
}

pub(super) fn json(value: &impl Serialize) -> Response {
    json_with(StatusCode::OK, value)
}

pub(super) fn json_with(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Ok(body) => {
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            response.headers_mut().insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/json"),
            );
            response
        }
    }
}

pub(super) fn failed(error: &RpcError) -> Response {
    // Whatever went wrong, these words make it a matter of rights.
    let denied = error.text.contains(DENIED) || error.text.contains(NOT_FOUND);
    let status = if denied {
        StatusCode::FORBIDDEN
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    text(status, error.to_string())
}

/// 405 with the methods there are; the same list answers OPTIONS.
pub(super) fn not_this_method(method: &Method, allowed: &[Method]) -> Response {
    let mut response = match *method == Method::OPTIONS {
        true => empty(),
        false => text(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("method {method} not allowed"),
        ),
    };
    let names: Vec<&str> = std::iter::once("OPTIONS")
        .chain(allowed.iter().map(Method::as_str))
        .collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(",")) {
        response.headers_mut().insert(header::ALLOW, names);
    }
    response
}

/// The answer with the headers of a query.
pub(super) fn with_meta(mut response: Response, meta: QueryMeta) -> Response {
    add_meta(&mut response, meta);
    response
}

/// Adds the headers of a query.
pub(super) fn add_meta(response: &mut Response, meta: QueryMeta) {
    let headers = response.headers_mut();
    headers.insert(
        HeaderName::from_static("x-consul-index"),
        HeaderValue::from(meta.index.max(1)),
    );
    headers.insert(
        HeaderName::from_static("x-consul-lastcontact"),
        HeaderValue::from(0),
    );
    let known = if meta.known_leader { "true" } else { "false" };
    headers.insert(
        HeaderName::from_static("x-consul-knownleader"),
        HeaderValue::from_static(known),
    );
    if let Some(consistency) = meta.consistency {
        headers.insert(
            HeaderName::from_static("x-consul-effective-consistency"),
            HeaderValue::from_static(consistency),
        );
    }
}
