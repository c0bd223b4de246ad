//! The API's certificate and key, read from files, and read again when asked.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio_rustls::TlsAcceptor;

#[derive(Debug, thiserror::Error)]
#[error("cannot use {path} for the API's TLS: {why}")]
pub struct TlsError {
    path: PathBuf,
    why: String,
}

/// What the API shows to those who come over HTTPS. Both files are PEM; the first certificate is the API's own, the others lead to its CA.
pub struct Certificates {
    cert: PathBuf,
    key: PathBuf,
    shown: RwLock<Arc<ServerConfig>>,
}

impl Certificates {
    /// # Errors
    /// When a file cannot be read, holds something else, or the key is another certificate's.
    pub fn read(cert: &Path, key: &Path) -> Result<Arc<Certificates>, TlsError> {
        Ok(Arc::new(Certificates {
            shown: RwLock::new(config(cert, key)?),
            cert: cert.into(),
            key: key.into(),
        }))
    }

    /// Connections from now on see what the files hold now.
    ///
    /// # Errors
    /// As `read`; what was shown before is shown on.
    pub fn again(&self) -> Result<(), TlsError> {
        let new = config(&self.cert, &self.key)?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&shown))
    }
}

fn config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| TlsError {
        path: path.into(),
        why: why.to_string(),
    };
    let chain = CertificateDer::pem_file_iter(cert).map_err(|e| wrong(cert, &e))?;
    let chain = chain.collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|e| wrong(cert, &e))?;
    if chain.is_empty() {
        return Err(wrong(cert, &"it holds no certificate in PEM"));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|e| wrong(key, &e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(cert, &e))?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|e| wrong(cert, &format!("{e} (its key is {})", key.display())))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
