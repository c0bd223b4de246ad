//! Replies without an end.

use super::{HttpError, STREAM_SILENCE, System};

/// A reply that goes on until either side ends it.
pub struct Streaming {
    pub(super) response: reqwest::Response,
    pub(super) what: String,
    pub(super) system: System,
    pub(super) url: String,
}

impl Streaming {
    /// The next bytes, or `None` at the end. Silence of more than 65 s is an error: the server sends heartbeats.
    pub async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, HttpError> {
        match tokio::time::timeout(STREAM_SILENCE, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(source)) => Err(HttpError::Unreachable {
                what: self.what.clone(),
                system: self.system,
                url: self.url.clone(),
                source: source.without_url(),
            }),
            Err(_) => Err(HttpError::Timeout {
                what: self.what.clone(),
                system: self.system,
                url: self.url.clone(),
                after: STREAM_SILENCE,
            }),
        }
    }

    /// A line that is not what the stream should hold.
    pub(in crate::clients) fn undecodable(
        &self,
        bytes: usize,
        source: serde_json::Error,
    ) -> HttpError {
        HttpError::Decode {
            what: self.what.clone(),
            system: self.system,
            url: self.url.clone(),
            bytes,
            source,
        }
    }

    /// A line without an end.
    pub(in crate::clients) fn endless(&self, limit: usize) -> HttpError {
        HttpError::TooLong {
            what: self.what.clone(),
            system: self.system,
            url: self.url.clone(),
            limit,
        }
    }
}
