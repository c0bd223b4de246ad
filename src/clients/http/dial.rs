//! How connections are made: TLS with rustls and ring, unix sockets, a certificate's name that differs from the address.

use super::{Address, HttpError, Peer};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, Identity, Url};
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Duration;

static RING: Once = Once::new();

/// The client and the URL that requests are built on.
pub(super) fn client(peer: &Peer) -> Result<(Client, Url), HttpError> {
    RING.call_once(|| {
        // Someone else in the process may have installed a provider first; that one serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    let mut builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .local_address(peer.source)
        .connect_timeout(peer.connect_timeout)
        .tcp_keepalive(Duration::from_secs(15))
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("foreshadow/", env!("CARGO_PKG_VERSION")));
    let mut base = peer.address.base();
    if let Address::Unix(path) = &peer.address {
        builder = builder.unix_socket(path.as_path());
    }
    builder = if base.scheme() == "https" {
        tls(builder, peer, &mut base)?
    } else {
        // Plain HTTP needs no CA store, and a container without one must still start.
        builder.tls_certs_only([])
    };
    let client = builder.build().map_err(|source| HttpError::Setup {
        system: peer.system,
        url: peer.address.to_string(),
        source,
    })?;
    Ok((client, base))
}

fn tls(
    mut builder: ClientBuilder,
    peer: &Peer,
    base: &mut Url,
) -> Result<ClientBuilder, HttpError> {
    if let Some(path) = &peer.tls.ca {
        let pem = file(peer, path)?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|source| HttpError::TlsPem {
                system: peer.system,
                path: path.clone(),
                source,
            })?;
        builder = builder.tls_certs_only(certificates);
    }
    if let Some((certificate, key)) = &peer.tls.identity {
        let mut pem = file(peer, certificate)?;
        pem.push(b'\n');
        pem.extend(file(peer, key)?);
        let identity = Identity::from_pem(&pem).map_err(|source| HttpError::TlsPem {
            system: peer.system,
            path: certificate.clone(),
            source,
        })?;
        builder = builder.identity(identity);
    }
    if let Some(name) = &peer.tls.server_name {
        // The URL carries the certificate's name; the resolver leads that name to the configured address.
        let host = base.host_str().unwrap_or_default().to_string();
        builder = builder.dns_resolver(Arc::new(Behind { host }));
        base.set_host(Some(name)).map_err(|e| HttpError::Invalid {
            what: format!("use {name:?} as the TLS server name of {}", peer.system),
            why: e.to_string(),
        })?;
    }
    Ok(builder)
}

fn file(peer: &Peer, path: &Path) -> Result<Vec<u8>, HttpError> {
    std::fs::read(path).map_err(|source| HttpError::TlsFile {
        system: peer.system,
        path: path.to_path_buf(),
        source,
    })
}

/// Resolves every name to the addresses of one host.
struct Behind {
    host: String,
}

impl Resolve for Behind {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.host.trim_matches(['[', ']']).to_string();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(Box::new(found) as Addrs)
        })
    }
}
