//! One API: where it is, and how to speak to it.

use super::{HttpError, System, Token};
use reqwest::Url;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

/// Why it cannot be spoken to so.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum AccessError {
    /// The value is not repeated: an address may hold a password.
    #[error(
        "{name} is not an address ({why}); write it as http://host:port, https://host:port, host:port or unix:///path"
    )]
    Address { name: String, why: String },
    #[error(
        "{name} asks for TLS without verification; TLS is always verified here: unset it, and name the CA in {instead}"
    )]
    NeverUnverified {
        name: &'static str,
        instead: &'static str,
    },
    #[error("{name} is set but {missing} is not; a client certificate needs both")]
    HalfIdentity {
        name: &'static str,
        missing: &'static str,
    },
    #[error("{name} is not supported; {instead}")]
    Unsupported {
        name: &'static str,
        instead: &'static str,
    },
}

/// An API's address.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    Url(Url),
    Unix(PathBuf),
}

impl Address {
    /// Takes `http(s)://host:port[/prefix]`, `host[:port]` or `unix:///path`. `tls` turns both plain forms into HTTPS, `port` fills in a missing one.
    pub fn parse(name: &str, text: &str, tls: bool, port: u16) -> Result<Self, AccessError> {
        let bad = |why: String| AccessError::Address {
            name: name.to_string(),
            why,
        };
        let text = text.trim();
        if let Some(path) = text.strip_prefix("unix://") {
            if path.is_empty() {
                return Err(bad("no socket path".into()));
            }
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        let bare = !text.contains("://");
        let full = if bare {
            format!("http://{text}")
        } else {
            text.to_string()
        };
        let mut url = Url::parse(&full).map_err(|e| bad(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(format!("unknown scheme {:?}", url.scheme())));
        }
        if url.host_str().is_none() {
            return Err(bad("no host".into()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it holds a user name or password; use a token".into()));
        }
        // As the tools do: an explicit https is never turned back, an explicit http yields to a demand for TLS.
        let host = full.split("://").nth(1).unwrap_or_default();
        let names_port = host.split(['/', '?']).next().is_some_and(|h| {
            h.rsplit_once(':')
                .is_some_and(|(_, p)| p.parse::<u16>().is_ok())
        });
        let keep = url.port_or_known_default().filter(|_| names_port);
        if tls {
            // http to https is always allowed by the URL rules.
            let _ = url.set_scheme("https");
        }
        let _ = match keep {
            Some(named) => url.set_port(Some(named)),
            None if bare => url.set_port(Some(port)),
            None => Ok(()),
        };
        Ok(Address::Url(url))
    }

    /// The URL that requests are built on; for a socket its host is a placeholder.
    pub(in crate::clients) fn base(&self) -> Url {
        match self {
            Address::Url(url) => url.clone(),
            Address::Unix(_) => {
                Url::parse("http://localhost/").unwrap_or_else(|_| unreachable!("a constant URL"))
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Url(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Files for TLS, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Trust only these; otherwise the system's.
    pub ca: Option<PathBuf>,
    /// Client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name in the server's certificate, when it differs from the address.
    pub server_name: Option<String>,
}

/// One API and how to speak to it.
#[derive(Clone, Debug)]
pub struct Peer {
    pub system: System,
    pub address: Address,
    pub token: Token,
    pub tls: Tls,
    pub namespace: Option<String>,
    /// Nomad only.
    pub region: Option<String>,
    /// Connect from this address, where a site is told by its source.
    pub source: Option<IpAddr>,
    /// Default 1 s.
    pub connect_timeout: Duration,
    /// For a whole answer; a blocking query's wait comes on top. Default 10 s.
    pub timeout: Duration,
    /// Requests a second, after a burst of as many. Default 500.
    pub most_a_second: NonZeroU32,
    /// Requests at once. Default 64: Nomad's own limit of connections from one client is 100.
    pub in_flight: usize,
}

/// What `Peer::most_a_second` is when nothing else is said.
const MOST_A_SECOND: NonZeroU32 = NonZeroU32::new(500).unwrap();

impl Peer {
    pub fn new(system: System, address: Address) -> Self {
        Peer {
            system,
            address,
            token: Token::None,
            tls: Tls::default(),
            namespace: None,
            region: None,
            source: None,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            most_a_second: MOST_A_SECOND,
            in_flight: 64,
        }
    }

    /// A peer at `http://host:port` without secrets, as the sandbox and tests have it.
    pub fn plain(system: System, address: &str) -> Result<Self, AccessError> {
        Ok(Peer::new(
            system,
            Address::parse("address", address, false, 80)?,
        ))
    }

    /// Whether its token can be read now: one in a file may be missing, or be another user's.
    ///
    /// # Errors
    /// Names the file and why.
    pub fn token_readable(&self) -> Result<(), HttpError> {
        let Token::File(path) = &self.token else {
            return Ok(());
        };
        let read = std::fs::read(path).map(|_| ());
        read.map_err(|source| HttpError::TokenFile {
            system: self.system,
            path: path.clone(),
            source,
        })
    }

    /// What is added to each query.
    pub(in crate::clients) fn always(&self) -> Vec<(&'static str, String)> {
        let namespace = match self.system {
            System::Nomad => "namespace",
            System::Consul | System::Metrics => "ns",
        };
        let mut always = Vec::new();
        always.extend(self.namespace.clone().map(|n| (namespace, n)));
        always.extend(self.region.clone().map(|r| ("region", r)));
        always
    }
}
