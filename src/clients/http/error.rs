//! What can go wrong on the way to an answer, said so that an operator knows the next step.

use std::path::PathBuf;
use std::time::Duration;

/// Longest piece of a reply that is shown in an error, in characters.
const SHOWN: usize = 300;

/// Who is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    Nomad,
    Consul,
    Metrics,
}

impl std::fmt::Display for System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            System::Nomad => "Nomad",
            System::Consul => "Consul",
            System::Metrics => "the metrics endpoint",
        })
    }
}

impl System {
    /// Its name in figures.
    pub(super) fn word(self) -> &'static str {
        match self {
            System::Nomad => "nomad",
            System::Consul => "consul",
            System::Metrics => "metrics",
        }
    }
    pub(super) fn token_header(self) -> &'static str {
        match self {
            System::Nomad => "x-nomad-token",
            System::Consul => "x-consul-token",
            System::Metrics => "authorization",
        }
    }
    pub(super) fn index_header(self) -> &'static str {
        match self {
            System::Nomad => "x-nomad-index",
            System::Consul | System::Metrics => "x-consul-index",
        }
    }
    fn address_from(self) -> &'static str {
        match self {
            System::Nomad => "NOMAD_ADDR",
            System::Consul => "CONSUL_HTTP_ADDR",
            System::Metrics => "the metrics address in the policy",
        }
    }
    fn token_from(self) -> &'static str {
        match self {
            System::Nomad => "NOMAD_TOKEN or NOMAD_TOKEN_FILE",
            System::Consul => "CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE",
            System::Metrics => "the metrics endpoint's own settings",
        }
    }
}

/// Why there is no answer, or not the one that was hoped for. `what` reads as "cannot {what}".
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("cannot {what}: no connection to {system} at {url}; check that it runs there and that {} names it", system.address_from())]
    Unreachable {
        what: String,
        system: System,
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "cannot {what}: {system} at {url} gave no answer within {after:?}; look at its load, or at the link to it"
    )]
    Timeout {
        what: String,
        system: System,
        url: String,
        after: Duration,
    },
    #[error("cannot {what}: {system} at {url} denied it ({body}); give a token with the needed rights in {}", system.token_from())]
    Denied {
        what: String,
        system: System,
        url: String,
        body: String,
    },
    #[error(
        "cannot {what}: {system} at {url} does not have it ({body}); check its name and namespace"
    )]
    NotFound {
        what: String,
        system: System,
        url: String,
        body: String,
        /// The index of the reply, for a watch that waits until it appears.
        index: Option<u64>,
    },
    #[error(
        "cannot {what} now: {system} at {url} is busy (status {status}: {body}); ask again later, and less often"
    )]
    Busy {
        what: String,
        system: System,
        url: String,
        status: u16,
        body: String,
    },
    #[error(
        "cannot {what}: {system} at {url} answered with status {status}: {body}; its log says more"
    )]
    Status {
        what: String,
        system: System,
        url: String,
        status: u16,
        body: String,
    },
    #[error(
        "cannot {what}: the answer of {system} at {url} ({bytes} bytes) is not what was expected; check that the address is an API of {system}, and its version"
    )]
    Decode {
        what: String,
        system: System,
        url: String,
        bytes: usize,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "cannot {what}: the answer of {system} at {url} is longer than {limit} bytes; narrow the request"
    )]
    TooLong {
        what: String,
        system: System,
        url: String,
        limit: usize,
    },
    #[error("cannot read the {system} token file {path:?}; check that it exists and may be read")]
    TokenFile {
        system: System,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "the token for {system} has characters that no HTTP header can carry; look at what {} holds", system.token_from()
    )]
    TokenText { system: System },
    #[error(
        "cannot read {path:?}, which {system} needs for TLS; check that it exists and may be read"
    )]
    TlsFile {
        system: System,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot use {path:?} for TLS with {system}; it must be PEM")]
    TlsPem {
        system: System,
        path: PathBuf,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "cannot prepare the connection to {system} at {url}; check the TLS files and the system's CA certificates"
    )]
    Setup {
        system: System,
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("cannot {what}: the request does not make a valid URL; check the names in it")]
    Request {
        what: String,
        #[source]
        source: rustify::errors::ClientError,
    },
    #[error("cannot {what}: {why}")]
    Invalid { what: String, why: String },
}

/// Words in a 500 that say "never", where others say "not now".
const REFUSALS: [&str; 11] = [
    "Enforcing job modify index",
    "validation failed",
    "Permission denied",
    "ACL not found",
    "invalid",
    "Invalid",
    "Missing",
    "missing",
    "must be",
    "not found",
    "Unknown service",
];

impl HttpError {
    /// Whether the same request may succeed later, with nothing changed on our side.
    pub fn is_transient(&self) -> bool {
        match self {
            HttpError::Unreachable { .. } | HttpError::Timeout { .. } | HttpError::Busy { .. } => {
                true
            }
            HttpError::Status {
                status: 500, body, ..
            } => !REFUSALS.iter().any(|r| body.contains(r)),
            HttpError::Status { status, .. } => matches!(status, 408 | 502 | 504),
            // A reply that was cut short.
            HttpError::Decode { source, .. } => source.is_eof(),
            _ => false,
        }
    }

    /// Nomad refused a registration because the job has changed since it was read.
    pub fn is_stale_index(&self) -> bool {
        matches!(self, HttpError::Status { body, .. } if body.contains("Enforcing job modify index"))
    }
}

/// A reply's text on one line and cut to what an error can show.
pub(super) fn shorten(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return "no text".to_string();
    }
    match line.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}
