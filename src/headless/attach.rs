//! The other end of the API: a face in another process reads the view and sends commands.

use crate::engine::view::{Command, View};
use reqwest::{Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// A view that takes longer than this has not come.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks of a face that follows.
const EVERY: Duration = Duration::from_millis(500);

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
        Ok(Remote {
            url: parsed,
            token,
            http,
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
    /// view stays, and grows old.
    pub fn follow(
        self,
        first: View,
        cancel: CancellationToken,
    ) -> (watch::Receiver<Arc<View>>, mpsc::Sender<Command>) {
        let (tell, views) = watch::channel(Arc::new(first));
        let (ask, mut asked) = mpsc::channel::<Command>(16);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    Some(command) = asked.recv() => {
                        if let Err(e) = self.command(&command).await {
                            complain(&tell, &e);
                        }
                    }
                    _ = ticks.tick() => match self.view().await {
                        Ok(view) if view.cycle != tell.borrow().cycle => {
                            tell.send_replace(Arc::new(view));
                        }
                        Ok(_) => {}
                        Err(e) => tracing::debug!("{e}"),
                    },
                }
            }
        });
        (views, ask)
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
