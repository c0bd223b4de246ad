//! The other end of the API: a face in another process reads the view and sends commands.

use super::change::Turns;
use super::stream::{Decoder, Told, Unpacker};
use crate::engine::view::{Command, View};
use reqwest::{Certificate, ClientBuilder, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A view that takes longer than this has not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries to connect of a face that follows.
const AGAIN: Duration = Duration::from_millis(500);
/// A stream on which nothing comes for so long, not even a beat, is broken.
const DEAF: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    #[error(
        "{0:?} is no address of a foreshadow; give one such as unix:///run/foreshadow/api.sock, http://127.0.0.1:4680 or https://gateway:4680"
    )]
    Address(String),
    #[error("cannot use {path} as the CA of the foreshadow's certificate (FORESHADOW_CACERT)")]
    Authority {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("cannot make a client for the foreshadow at {url}")]
    Client {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "cannot reach the foreshadow at {url}; does it run, and is it served there (`api` in its configuration)?"
    )]
    Reach {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "the foreshadow at {url} answered with something that is no view; is it of this version?"
    )]
    Garbled {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("what the foreshadow at {url} streams cannot be followed: {why}")]
    Broken { url: String, why: String },
    #[error("the foreshadow at {url} refused ({status}): {said}")]
    Refused {
        url: String,
        status: StatusCode,
        said: String,
    },
}

/// What is shown to the other side, and what it must show.
#[derive(Clone, Default)]
pub struct Trust {
    /// Commands need it; it reads, too.
    pub act_token: Option<SecretString>,
    pub read_token: Option<SecretString>,
    /// PEM: trust certificates of this CA alone; otherwise the system's.
    pub ca: Option<PathBuf>,
}

/// A foreshadow in another process.
#[derive(Clone)]
pub struct Remote {
    url: Url,
    /// As it was given.
    given: String,
    trust: Trust,
    http: reqwest::Client,
    /// Without a limit on how long an answer goes on.
    stream: reqwest::Client,
}

/// A client of either kind: how to reach the place, and which certificates are good.
fn client(url: &Url, socket: Option<&Path>, trust: &Trust) -> Result<ClientBuilder, RemoteError> {
    let mut builder = reqwest::Client::builder().no_proxy();
    if let Some(path) = socket {
        builder = builder.unix_socket(path);
    }
    if url.scheme() != "https" {
        // Nothing is verified, and a machine without certificates must do.
        return Ok(builder.tls_certs_only([]));
    }
    let Some(path) = &trust.ca else {
        return Ok(builder);
    };
    let wrong = |source: Box<dyn std::error::Error + Send + Sync>| RemoteError::Authority {
        path: path.clone(),
        source,
    };
    let pem = std::fs::read(path).map_err(|e| wrong(e.into()))?;
    let trusted = Certificate::from_pem_bundle(&pem).map_err(|e| wrong(e.into()))?;
    if trusted.is_empty() {
        return Err(wrong("it holds no certificate in PEM".into()));
    }
    Ok(builder.tls_certs_only(trusted))
}

impl Remote {
    /// `url` such as `unix:///run/foreshadow/api.sock`, `http://127.0.0.1:4680` or `https://gateway:4680`.
    ///
    /// # Errors
    /// `Address` when it is none of these, `Authority` when the CA cannot be read.
    pub fn new(url: &str, trust: Trust) -> Result<Remote, RemoteError> {
        let wrong = || RemoteError::Address(url.to_string());
        let socket = url.strip_prefix("unix://");
        if socket.is_some_and(|path| !path.starts_with('/')) {
            return Err(wrong());
        }
        let socket = socket.map(Path::new);
        let parsed = Url::parse(if socket.is_some() {
            "http://localhost"
        } else {
            url
        });
        let parsed = parsed.map_err(|_| wrong())?;
        if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
            return Err(wrong());
        }
        // Someone else of this process may have installed it already: either is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = |builder: ClientBuilder| {
            builder.build().map_err(|source| RemoteError::Client {
                url: url.into(),
                source,
            })
        };
        let http = made(client(&parsed, socket, &trust)?.timeout(PATIENCE))?;
        let stream = client(&parsed, socket, &trust)?;
        let stream = made(stream.connect_timeout(PATIENCE).read_timeout(DEAF))?;
        Ok(Remote {
            url: parsed,
            given: url.trim_end_matches('/').into(),
            trust,
            http,
            stream,
        })
    }

    /// Asks for what only needs to be read.
    fn get(&self, client: &reqwest::Client, url: &Url) -> RequestBuilder {
        let ask = client.get(url.clone());
        let token = self.trust.read_token.as_ref();
        // Who may act may read; the act token does not go over the wire in the open for that.
        let acts = self.trust.act_token.as_ref();
        match token.or(acts.filter(|_| url.scheme() == "https")) {
            Some(token) => ask.bearer_auth(token.expose_secret()),
            None => ask,
        }
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    fn reach(&self, source: reqwest::Error) -> RemoteError {
        let url = self.given.clone();
        RemoteError::Reach { url, source }
    }

    /// The picture as of its last cycle.
    ///
    /// # Errors
    /// `Reach`, `Refused` or `Garbled`.
    pub async fn view(&self) -> Result<View, RemoteError> {
        let url = self.at("/v1/view");
        let answer = self.get(&self.http, &url).send().await;
        let answer = answer.map_err(|e| self.reach(e))?;
        let answer = good(answer, &self.given).await?;
        answer.json().await.map_err(|source| RemoteError::Garbled {
            url: self.given.clone(),
            source,
        })
    }

    /// Asks for something; planner and guard decide in the next cycle. What the other side said.
    ///
    /// # Errors
    /// `Reach`, or `Refused` with the reason, such as a missing token.
    pub async fn command(&self, command: &Command) -> Result<String, RemoteError> {
        let url = self.at("/v1/command");
        let mut ask = self.http.post(url.clone()).json(command);
        if let Some(token) = &self.trust.act_token {
            ask = ask.bearer_auth(token.expose_secret());
        }
        let answer = ask.send().await.map_err(|e| self.reach(e))?;
        let answer = good(answer, &self.given).await?;
        Ok(answer.text().await.unwrap_or_default().trim().to_string())
    }

    /// Follows the view until `cancel`, by what `begin` gave if it did, and passes on what is sent to the returned sender. While nothing can be read the last
    /// view stays, and grows old; the other side is asked again until it answers.
    pub fn follow(
        self,
        first: Arc<View>,
        mut begun: Option<Following>,
        cancel: CancellationToken,
    ) -> (watch::Receiver<Arc<View>>, mpsc::Sender<Command>) {
        let (tell, views) = watch::channel(first);
        let (ask, mut asked) = mpsc::channel::<Command>(16);
        let (tell, here) = (Arc::new(tell), self.clone());
        let (told, over) = (Arc::clone(&tell), cancel.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = over.cancelled() => return,
                    command = asked.recv() => {
                        let Some(command) = command else { return };
                        if let Err(e) = here.command(&command).await {
                            complain(&told, &e);
                        }
                    }
                }
            }
        });
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(AGAIN);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                let listened = tokio::select! {
                    () = cancel.cancelled() => return,
                    listened = self.listen(begun.take(), &tell) => listened,
                };
                if let Err(e) = listened {
                    tracing::debug!("{e}");
                }
            }
        });
        (views, ask)
    }

    /// Begins to follow: the first picture, as it comes over a slow link too, and what brings the next ones.
    ///
    /// # Errors
    /// `Reach`, `Refused` or `Broken`.
    pub async fn begin(&self) -> Result<(Arc<View>, Following), RemoteError> {
        let url = self.at("/v1/stream");
        let ask = self.get(&self.stream, &url);
        let answer = ask.header("accept-encoding", "gzip").send().await;
        let answer = answer.map_err(|e| self.reach(e))?;
        let answer = good(answer, &self.given).await?;
        let packed = answer.headers().contains_key("content-encoding");
        let mut following = Following {
            remote: self.clone(),
            answer,
            unpacker: Unpacker::new(packed),
            decoder: Decoder::default(),
            turns: None,
        };
        let first = following.next().await?;
        let none = || following.broken("it ended before the first picture");
        let first = first.ok_or_else(none)?;
        Ok((first, following))
    }

    /// Takes in the stream until it ends.
    async fn listen(
        &self,
        begun: Option<Following>,
        tell: &watch::Sender<Arc<View>>,
    ) -> Result<(), RemoteError> {
        let mut following = match begun {
            Some(following) => following,
            None => {
                let (first, following) = self.begin().await?;
                tell.send_replace(first);
                following
            }
        };
        while let Some(view) = following.next().await? {
            tell.send_replace(view);
        }
        Ok(())
    }
}

/// A stream that is being read.
pub struct Following {
    remote: Remote,
    answer: Response,
    unpacker: Unpacker,
    decoder: Decoder,
    /// Nothing before the first picture has come.
    turns: Option<Turns>,
}

impl Following {
    fn broken(&self, why: impl std::fmt::Display) -> RemoteError {
        RemoteError::Broken {
            url: self.remote.given.clone(),
            why: why.to_string(),
        }
    }

    /// The next picture; `None` when the other side has ended the stream.
    async fn next(&mut self) -> Result<Option<Arc<View>>, RemoteError> {
        loop {
            let chunk = self.answer.chunk().await;
            let Some(chunk) = chunk.map_err(|e| self.remote.reach(e))? else {
                return Ok(None);
            };
            let bytes = self.unpacker.unpack(&chunk).map_err(|e| self.broken(e))?;
            let events = self.decoder.take(&bytes).map_err(|e| self.broken(e))?;
            if let Some(view) = self.taken(events)? {
                return Ok(Some(view));
            }
        }
    }

    /// The picture after these events, if they changed it.
    fn taken(&mut self, events: Vec<Told>) -> Result<Option<Arc<View>>, RemoteError> {
        let (mut changed, mut patches) = (false, Vec::new());
        for told in events {
            match told {
                Told::Snapshot(new) => {
                    let view = View::deserialize(&new).map_err(|e| self.broken(e))?;
                    self.turns = Some(Turns::new(view));
                    patches.clear();
                    changed = true;
                }
                Told::Delta(patch) => patches.push(patch),
                Told::Beat => {}
            }
        }
        let Some(mut turns) = self.turns.take() else {
            return match patches.is_empty() {
                true => Ok(None),
                false => Err(self.broken("a change came before the first picture")),
            };
        };
        if !patches.is_empty() {
            turns.take(patches).map_err(|e| self.broken(e))?;
            changed = true;
        }
        let shown = changed.then(|| Arc::clone(turns.shown()));
        self.turns = Some(turns);
        Ok(shown)
    }
}

/// A refused command is told where people look.
fn complain(tell: &watch::Sender<Arc<View>>, error: &RemoteError) {
    tell.send_modify(|view| {
        let mut told = View::clone(view);
        told.blind.push(error.to_string());
        *view = Arc::new(told);
    });
}

async fn good(answer: Response, url: &str) -> Result<Response, RemoteError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let said = answer.text().await.unwrap_or_default();
    Err(RemoteError::Refused {
        url: url.into(),
        status,
        said: said.trim().chars().take(300).collect(),
    })
}
