//! A token: given, or in a file that may be replaced while we run. It is never printed.

use super::{HttpError, System};
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Where a token comes from.
#[derive(Clone, Debug, Default)]
pub enum Token {
    #[default]
    None,
    Given(SecretString),
    /// Read at first use, and again after a 403.
    File(PathBuf),
}

/// The token in use. Surrounding whitespace is trimmed: files end in a newline.
pub(super) struct TokenCell {
    system: System,
    source: Token,
    /// The last text, for redaction, and the header made of it.
    used: Mutex<Option<(SecretString, HeaderValue)>>,
}

impl std::fmt::Debug for TokenCell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source {
            Token::None => f.write_str("none"),
            Token::Given(_) => f.write_str("given"),
            Token::File(path) => write!(f, "in {path:?}"),
        }
    }
}

impl TokenCell {
    pub(super) fn new(system: System, source: Token) -> Self {
        TokenCell {
            system,
            source,
            used: Mutex::new(None),
        }
    }

    pub(super) async fn current(&self) -> Result<Option<HeaderValue>, HttpError> {
        if let Some((_, header)) = &*self.used.lock().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Some(header.clone()));
        }
        self.load().await
    }

    /// After a 403: the file's token, when it is another one than the server has just refused.
    pub(super) async fn newer_than(
        &self,
        refused: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, HttpError> {
        if !matches!(self.source, Token::File(_)) {
            return Ok(None);
        }
        let fresh = self.load().await?;
        Ok(fresh.filter(|f| Some(f) != refused))
    }

    async fn load(&self) -> Result<Option<HeaderValue>, HttpError> {
        let text = match &self.source {
            Token::None => return Ok(None),
            Token::Given(secret) => secret.clone(),
            Token::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|source| HttpError::TokenFile {
                    system: self.system,
                    path: path.clone(),
                    source,
                })?
                .into(),
        };
        let text = text.expose_secret().trim();
        if text.is_empty() {
            return Ok(None);
        }
        let mut header = HeaderValue::from_str(text).map_err(|_| HttpError::TokenText {
            system: self.system,
        })?;
        header.set_sensitive(true);
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((SecretString::from(text), header.clone()));
        Ok(Some(header))
    }

    /// A server may repeat the token in its refusal.
    pub(super) fn redact(&self, text: &str) -> String {
        match &*self.used.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((token, _)) => text.replace(token.expose_secret(), "[token]"),
            None => text.to_string(),
        }
    }
}
