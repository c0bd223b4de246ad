//! Where Nomad and Consul are and how to speak to them, from the names that HashiCorp's own tools read.

use super::http::{AccessError, Address, Peer, System, Tls, Token};
use secrecy::SecretString;
use std::path::PathBuf;

/// Both clusters.
#[derive(Clone, Debug)]
pub struct Access {
    pub nomad: Peer,
    pub consul: Peer,
    /// Consul datacenter to ask; the agent's own when not set.
    pub dc: Option<String>,
}

impl Access {
    /// Reads the names that the `nomad` and `consul` tools read. `get` is a look-up by name, so that a file or a test can stand in for the environment.
    pub fn from_pairs(get: impl Fn(&str) -> Option<String>) -> Result<Self, AccessError> {
        let get = |name: &str| {
            get(name)
                .map(|v| v.trim().to_string())
                .filter(|v| !v.is_empty())
        };
        Ok(Access {
            nomad: nomad(&get)?,
            consul: consul(&get)?,
            dc: None,
        })
    }
}

fn nomad(get: &impl Fn(&str) -> Option<String>) -> Result<Peer, AccessError> {
    if get("NOMAD_SKIP_VERIFY").is_some_and(|v| truthy(&v)) {
        return Err(AccessError::NeverUnverified {
            name: "NOMAD_SKIP_VERIFY",
            instead: "NOMAD_CACERT",
        });
    }
    refuse(
        get,
        "NOMAD_CAPATH",
        "put the CAs into one file and name it in NOMAD_CACERT",
    )?;
    refuse(get, "NOMAD_HTTP_AUTH", "use a token in NOMAD_TOKEN")?;
    let text = get("NOMAD_ADDR").unwrap_or_else(|| "http://127.0.0.1:4646".into());
    let mut peer = Peer::new(
        System::Nomad,
        Address::parse("NOMAD_ADDR", &text, false, 4646)?,
    );
    peer.token = token(get, "NOMAD_TOKEN_FILE", "NOMAD_TOKEN");
    peer.tls = Tls {
        ca: get("NOMAD_CACERT").map(PathBuf::from),
        identity: identity(get, "NOMAD_CLIENT_CERT", "NOMAD_CLIENT_KEY")?,
        server_name: get("NOMAD_TLS_SERVER_NAME"),
    };
    peer.namespace = get("NOMAD_NAMESPACE");
    peer.region = get("NOMAD_REGION");
    Ok(peer)
}

fn consul(get: &impl Fn(&str) -> Option<String>) -> Result<Peer, AccessError> {
    if get("CONSUL_HTTP_SSL_VERIFY").is_some_and(|v| !truthy(&v)) {
        return Err(AccessError::NeverUnverified {
            name: "CONSUL_HTTP_SSL_VERIFY",
            instead: "CONSUL_CACERT",
        });
    }
    refuse(
        get,
        "CONSUL_CAPATH",
        "put the CAs into one file and name it in CONSUL_CACERT",
    )?;
    refuse(get, "CONSUL_HTTP_AUTH", "use a token in CONSUL_HTTP_TOKEN")?;
    let ssl = get("CONSUL_HTTP_SSL").is_some_and(|v| truthy(&v));
    let text = get("CONSUL_HTTP_ADDR").unwrap_or_else(|| "127.0.0.1:8500".into());
    let mut peer = Peer::new(
        System::Consul,
        Address::parse("CONSUL_HTTP_ADDR", &text, ssl, 8500)?,
    );
    peer.token = token(get, "CONSUL_HTTP_TOKEN_FILE", "CONSUL_HTTP_TOKEN");
    peer.tls = Tls {
        ca: get("CONSUL_CACERT").map(PathBuf::from),
        identity: identity(get, "CONSUL_CLIENT_CERT", "CONSUL_CLIENT_KEY")?,
        server_name: get("CONSUL_TLS_SERVER_NAME"),
    };
    peer.namespace = get("CONSUL_NAMESPACE");
    Ok(peer)
}

/// As in Consul's own client: the file wins over the token. (Nomad's knows no file; ours does.)
fn token(get: &impl Fn(&str) -> Option<String>, file: &str, given: &str) -> Token {
    match (get(file), get(given)) {
        (Some(path), _) => Token::File(PathBuf::from(path)),
        (None, Some(token)) => Token::Given(SecretString::from(token)),
        (None, None) => Token::None,
    }
}

fn identity(
    get: &impl Fn(&str) -> Option<String>,
    cert: &'static str,
    key: &'static str,
) -> Result<Option<(PathBuf, PathBuf)>, AccessError> {
    match (get(cert), get(key)) {
        (Some(c), Some(k)) => Ok(Some((c.into(), k.into()))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(AccessError::HalfIdentity {
            name: cert,
            missing: key,
        }),
        (None, Some(_)) => Err(AccessError::HalfIdentity {
            name: key,
            missing: cert,
        }),
    }
}

fn refuse(
    get: &impl Fn(&str) -> Option<String>,
    name: &'static str,
    instead: &'static str,
) -> Result<(), AccessError> {
    match get(name) {
        Some(_) => Err(AccessError::Unsupported { name, instead }),
        None => Ok(()),
    }
}

/// As Go's ParseBool; what it cannot read counts as set.
fn truthy(value: &str) -> bool {
    !matches!(value, "0" | "f" | "F" | "false" | "FALSE" | "False")
}
