//! The other end of the API: a face in another process reads the view and sends commands.

use super::delta;
use super::stream::{Decoder, Told, Unpacker};
use crate::engine::view::{Command, View};
use reqwest::{Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
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
    #[error("{0:?} is no address of a foreshadow; give one such as http://127.0.0.1:4680")]
    Address(String),
    #[error(
        "cannot reach the foreshadow at {url}; does it run, and does its configuration have `api = \"127.0.0.1:4680\"`?"
    )]
    Reach {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    #[error(
        "the foreshadow at {url} answered with something that is no view; is it of this version?"
    )]
    Garbled {
        url: Url,
        #[source]
        source: reqwest::Error,
    },
    #[error("what the foreshadow at {url} streams cannot be followed: {why}")]
    Broken { url: Url, why: String },
    #[error("the foreshadow at {url} refused ({status}): {said}")]
    Refused {
        url: Url,
        status: StatusCode,
        said: String,
    },
}

/// A foreshadow in another process.
#[derive(Clone)]
pub struct Remote {
    url: Url,
    token: Option<SecretString>,
    http: reqwest::Client,
    /// Without a limit on how long an answer goes on.
    stream: reqwest::Client,
}

impl Remote {
    /// `url` such as `http://127.0.0.1:4680`; commands need the act token, looking does not.
    ///
    /// # Errors
    /// `Address` when it is no http address.
    pub fn new(url: &str, token: Option<SecretString>) -> Result<Remote, RemoteError> {
        let wrong = || RemoteError::Address(url.to_string());
        let parsed = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(wrong());
        }
        // Someone else of this process may have installed it already: either is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .map_err(|source| RemoteError::Reach {
                url: parsed.clone(),
                source,
            })?;
        let stream = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(PATIENCE)
            .read_timeout(DEAF)
            .build()
            .map_err(|source| RemoteError::Reach {
                url: parsed.clone(),
                source,
            })?;
        Ok(Remote {
            url: parsed,
            token,
            http,
            stream,
        })
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url
    }

    /// The picture as of its last cycle.
    ///
    /// # Errors
    /// `Reach`, `Refused` or `Garbled`.
    pub async fn view(&self) -> Result<View, RemoteError> {
        let url = self.at("/v1/view");
        let answer = self.http.get(url.clone()).send().await;
        let answer = answer.map_err(|source| RemoteError::Reach {
            url: url.clone(),
            source,
        })?;
        let answer = good(answer, &url).await?;
        answer
            .json()
            .await
            .map_err(|source| RemoteError::Garbled { url, source })
    }

    /// Asks for something; planner and guard decide in the next cycle. What the other side said.
    ///
    /// # Errors
    /// `Reach`, or `Refused` with the reason, such as a missing token.
    pub async fn command(&self, command: &Command) -> Result<String, RemoteError> {
        let url = self.at("/v1/command");
        let mut ask = self.http.post(url.clone()).json(command);
        if let Some(token) = &self.token {
            ask = ask.bearer_auth(token.expose_secret());
        }
        let answer = ask.send().await.map_err(|source| RemoteError::Reach {
            url: url.clone(),
            source,
        })?;
        let answer = good(answer, &url).await?;
        Ok(answer.text().await.unwrap_or_default().trim().to_string())
    }

    /// Follows the view until `cancel`, and passes on what is sent to the returned sender. While nothing can be read the last
    /// view stays, and grows old; the other side is asked again until it answers.
    pub fn follow(
        self,
        first: View,
        cancel: CancellationToken,
    ) -> (watch::Receiver<Arc<View>>, mpsc::Sender<Command>) {
        let (tell, views) = watch::channel(Arc::new(first));
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
                    listened = self.listen(&tell) => listened,
                };
                if let Err(e) = listened {
                    tracing::debug!("{e}");
                }
            }
        });
        (views, ask)
    }

    /// Takes in the stream until it ends.
    async fn listen(&self, tell: &watch::Sender<Arc<View>>) -> Result<(), RemoteError> {
        let url = self.at("/v1/stream");
        let reach = |source| RemoteError::Reach {
            url: url.clone(),
            source,
        };
        let ask = self.stream.get(url.clone());
        let answer = ask.header("accept-encoding", "gzip").send().await;
        let mut answer = good(answer.map_err(reach)?, &url).await?;
        let packed = answer.headers().contains_key("content-encoding");
        let (mut unpacker, mut decoder) = (Unpacker::new(packed), Decoder::default());
        let mut document = serde_json::Value::Null;
        let broken = |why: String| RemoteError::Broken {
            url: url.clone(),
            why,
        };
        while let Some(chunk) = answer.chunk().await.map_err(reach)? {
            let bytes = unpacker.unpack(&chunk).map_err(|e| broken(e.to_string()))?;
            let events = decoder.take(&bytes).map_err(|e| broken(e.to_string()))?;
            let mut changed = false;
            for told in events {
                match told {
                    Told::Snapshot(new) => document = new,
                    Told::Delta(patch) => {
                        delta::apply(&mut document, patch).map_err(|e| broken(e.to_string()))?;
                    }
                    Told::Beat => continue,
                }
                changed = true;
            }
            if changed {
                let view = View::deserialize(&document).map_err(|e| broken(e.to_string()))?;
                tell.send_replace(Arc::new(view));
            }
        }
        Ok(())
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

async fn good(answer: Response, url: &Url) -> Result<Response, RemoteError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let said = answer.text().await.unwrap_or_default();
    Err(RemoteError::Refused {
        url: url.clone(),
        status,
        said: said.trim().chars().take(300).collect(),
    })
}
