//! A door of the API: its place and listener, what those who come in must show, and how many may be inside.

use super::api::{Api, router};
use super::gate::CONNECTIONS;
use super::patience::Patient;
use super::place::Place;
use super::socket::{self, SocketError, Taken};
use super::tls::Certificates;
use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

/// A request's head, or the next one of a connection that is kept, has come by then.
pub(super) const HEAD: Duration = Duration::from_secs(15);
/// A TLS handshake is done by then.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// What is under way at the end is waited for so long.
const GRACE: Duration = Duration::from_secs(5);
/// After a connection that could not be taken, as when no file handles are left.
const AGAIN: Duration = Duration::from_millis(200);
/// Bytes that a connection holds for a head, or for a reader who is slower than what is told.
const BUFFER: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(
        "cannot listen on {place}; is another foreshadow running there? give another address in `api`"
    )]
    Bind {
        place: Place,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(
        "the API cannot be served on {0} without a certificate: give api_cert and api_key, files in PEM"
    )]
    NoCertificate(Place),
    #[error(
        "the API is not served on {0}, where others can reach it, without a token for reading: put one into a file and name that in FORESHADOW_READ_TOKEN_FILE (commands need another one, in FORESHADOW_ACT_TOKEN_FILE)"
    )]
    NoToken(Place),
}

/// What HTTPS needs.
#[derive(Clone, Default)]
pub struct Keys {
    pub certificates: Option<Arc<Certificates>>,
    /// Who reads over HTTPS shows this one, or the act token. Beyond loopback there must be one.
    pub read_token: Option<SecretString>,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

pub struct Door {
    place: Place,
    listener: Listener,
    keys: Option<Keys>,
    /// The socket's file, as long as it is served.
    _file: Option<Taken>,
}

impl Door {
    /// Takes the place.
    ///
    /// # Errors
    /// When it is taken, or lacks what keeps strangers out.
    pub async fn open(place: &Place, keys: &Keys) -> Result<Door, ApiError> {
        let mut file = None;
        let (listener, keys) = match place {
            Place::Unix(path) => {
                let (listener, taken) = socket::take(path).await?;
                file = Some(taken);
                (Listener::Unix(listener), None)
            }
            Place::Http(at) => (listen(place, *at).await?, None),
            Place::Https(at) => {
                if keys.certificates.is_none() {
                    return Err(ApiError::NoCertificate(place.clone()));
                }
                let token = keys.read_token.as_ref().map(|t| t.expose_secret());
                if token.is_none_or(str::is_empty) && !at.ip().is_loopback() {
                    return Err(ApiError::NoToken(place.clone()));
                }
                (listen(place, *at).await?, Some(keys.clone()))
            }
        };
        Ok(Door {
            place: place.clone(),
            listener,
            keys,
            _file: file,
        })
    }

    /// Where it is, with the port that the system chose.
    pub fn place(&self) -> Place {
        let taken = match &self.listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        };
        match (&self.place, taken) {
            (Place::Http(_), Some(at)) => Place::Http(at),
            (Place::Https(_), Some(at)) => Place::Https(at),
            (place, _) => place.clone(),
        }
    }
}

async fn listen(place: &Place, at: SocketAddr) -> Result<Listener, ApiError> {
    let bound = TcpListener::bind(at).await;
    let place = place.clone();
    bound
        .map(Listener::Tcp)
        .map_err(|source| ApiError::Bind { place, source })
}

enum Came {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Listener {
    async fn accept(&self) -> io::Result<Came> {
        match self {
            Listener::Tcp(listener) => listener.accept().await.map(|(s, _)| Came::Tcp(s)),
            Listener::Unix(listener) => listener.accept().await.map(|(s, _)| Came::Unix(s)),
        }
    }
}

/// Answers until `cancel`; requests under way are finished, streams end.
pub async fn serve(door: Door, api: Api, cancel: CancellationToken) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    seated(door, api, seats, cancel).await;
}

pub(super) async fn seated(door: Door, api: Api, seats: Arc<Semaphore>, cancel: CancellationToken) {
    let token = door.keys.as_ref().and_then(|k| k.read_token.clone());
    let router = router(api, token, cancel.clone());
    let inside = TaskTracker::new();
    loop {
        // Who finds no seat waits outside; nobody sits for long without asking or reading.
        let came = async {
            let seat = Arc::clone(&seats).acquire_owned().await;
            (seat, door.listener.accept().await)
        };
        let (seat, came) = tokio::select! {
            () = cancel.cancelled() => break,
            came = came => came,
        };
        let came = match came {
            Ok(came) => came,
            Err(e) => {
                tracing::debug!("a connection to {} was not taken: {e}", door.place);
                let _ = tokio::time::timeout(AGAIN, cancel.cancelled()).await;
                continue;
            }
        };
        let certificates = door.keys.as_ref().and_then(|k| k.certificates.clone());
        let (router, cancel) = (router.clone(), cancel.clone());
        inside.spawn(async move {
            let _seat = seat;
            welcome(came, certificates, router, cancel).await;
        });
    }
    inside.close();
    let _ = tokio::time::timeout(GRACE, inside.wait()).await;
}

async fn welcome(
    came: Came,
    certificates: Option<Arc<Certificates>>,
    router: Router,
    cancel: CancellationToken,
) {
    match (came, certificates) {
        (Came::Unix(stream), _) => connection(stream, router, cancel).await,
        (Came::Tcp(stream), None) => connection(stream, router, cancel).await,
        (Came::Tcp(stream), Some(certificates)) => {
            let shaken = certificates.acceptor().accept(stream);
            match tokio::time::timeout(HANDSHAKE, shaken).await {
                Ok(Ok(stream)) => connection(stream, router, cancel).await,
                Ok(Err(e)) => tracing::debug!("a TLS handshake failed: {e}"),
                Err(_) => tracing::debug!("a TLS handshake took more than {HANDSHAKE:?}"),
            }
        }
    }
}

/// One connection to its end.
pub(super) async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    cancel: CancellationToken,
) {
    let streams = Streams::default();
    let io = TokioIo::new(Patient::new(stream, Arc::clone(&streams.0)));
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(streams.clone());
        let mut router = router.clone();
        router.call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER);
    let mut connection = pin!(http.serve_connection(io, service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = cancel.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!("a connection to the API ended: {e}");
    }
}

/// Whether the connection carries a stream, which has no end of its own.
#[derive(Clone, Default)]
pub(super) struct Streams(pub Arc<AtomicBool>);
