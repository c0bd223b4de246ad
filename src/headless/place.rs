//! Where the API is served: a unix socket, plain HTTP on loopback, or HTTPS.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// How places are written.
pub const WRITTEN: &str = "\"unix:///run/foreshadow/api.sock\", \"127.0.0.1:4680\" (loopback alone) or \"https://10.1.0.2:4680\"";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A socket that nobody but its owner may open.
    Unix(PathBuf),
    /// Plain HTTP, on loopback alone.
    Http(SocketAddr),
    Https(SocketAddr),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    #[error("{0:?} is no place for the API; write {WRITTEN}")]
    Unknown(String),
    #[error(
        "plain HTTP is served on loopback alone, not on {0}; write \"https://{0}\" with api_cert and api_key, and give readers the token in FORESHADOW_READ_TOKEN_FILE; or write a 127.x.y.z or [::1] address"
    )]
    Plain(SocketAddr),
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Place, PlaceError> {
        let unknown = || PlaceError::Unknown(text.into());
        if let Some(path) = text.strip_prefix("unix://") {
            let absolute = path.starts_with('/') && !path.ends_with('/');
            return absolute
                .then(|| Place::Unix(path.into()))
                .ok_or_else(unknown);
        }
        if let Some(at) = text.strip_prefix("https://") {
            return at.parse().map(Place::Https).map_err(|_| unknown());
        }
        let at = text.strip_prefix("http://").unwrap_or(text);
        let at: SocketAddr = at.parse().map_err(|_| unknown())?;
        if !at.ip().is_loopback() {
            return Err(PlaceError::Plain(at));
        }
        Ok(Place::Http(at))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Unix(path) => write!(f, "unix://{}", path.display()),
            Place::Http(at) => write!(f, "http://{at}"),
            Place::Https(at) => write!(f, "https://{at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_told() {
        for text in [
            "unix:///run/foreshadow/api.sock",
            "http://127.0.0.1:4680",
            "https://10.1.0.2:4680",
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(place.to_string(), text);
        }
        let bare: Place = "[::1]:4680".parse().unwrap();
        assert_eq!(bare, Place::Http("[::1]:4680".parse().unwrap()));
    }

    #[test]
    fn plain_http_beyond_loopback_is_refused_with_what_to_write_instead() {
        let error = "0.0.0.0:4680".parse::<Place>().unwrap_err().to_string();
        for word in ["https://0.0.0.0:4680", "api_cert", "FORESHADOW_READ_TOKEN"] {
            assert!(error.contains(word), "{word} in {error}");
        }
    }

    #[test]
    fn what_is_no_place_is_told_with_examples() {
        for text in ["", "4680", "gateway:4680", "unix://here", "unix:///run/"] {
            let error = text.parse::<Place>().unwrap_err().to_string();
            assert!(error.contains("unix:///run/foreshadow/api.sock"), "{error}");
        }
    }
}
