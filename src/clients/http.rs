//! The one transport under all HTTP clients: TLS, tokens, timeouts, blocking queries and errors that say what to do next.
//!
//! Proxies of the environment are not used and redirects are not followed: a token goes to the address
//! that was configured and nowhere else. TLS is always verified.

mod ask;
mod dial;
mod error;
mod meter;
mod pace;
mod peer;
mod pieces;
mod streaming;
mod token;
mod wait;

pub use ask::{Answer, Ask};
pub use error::{HttpError, System};
pub use peer::{AccessError, Address, Peer, Tls};
pub use streaming::Streaming;
pub use token::Token;
pub use wait::{Digest, Indexed, Wait};

use backon::{Sleeper, TokioSleeper};
use pace::Pace;
use pieces::Pieces;
use reqwest::{Url, header};
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::time::Duration;
use token::TokenCell;

/// Replies longer than this are refused; 50,000 allocations are about 80 MB.
const LONGEST_BODY: usize = 256 << 20;
/// Bytes from which a list is decoded on a thread of its own.
const LONG_LIST: usize = 1 << 20;
/// An event stream sends a heartbeat every 10 s, newer Nomads every 30 s; two missed ones mean that it is dead.
const STREAM_SILENCE: Duration = Duration::from_secs(65);

/// A connection pool to one Nomad, Consul or metrics endpoint. Cheap to share by reference; its Debug shows no secret.
pub struct Transport {
    system: System,
    /// The address as configured, for errors.
    shown: String,
    base: Url,
    http: reqwest::Client,
    token: TokenCell,
    pace: Pace,
    /// Added to each query: namespace and region.
    always: Vec<(&'static str, String)>,
    timeout: Duration,
    /// See `plain`.
    plain: Option<Dialled>,
}

/// From where connections are made, and how long that may take.
type Dialled = (Option<IpAddr>, Duration);

/// What plain HTTP's connections are made with, whatever their address.
fn plain(peer: &Peer) -> Option<Dialled> {
    let plain = matches!(&peer.address, Address::Url(url) if url.scheme() == "http");
    plain.then_some((peer.source, peer.connect_timeout))
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("system", &self.system)
            .field("address", &self.shown)
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Prepares the pool; nothing is sent yet. Errors name the file that cannot be used.
    pub fn new(peer: &Peer) -> Result<Self, HttpError> {
        let (http, base) = dial::client(peer)?;
        Ok(Transport::onto(peer, http, base))
    }

    fn onto(peer: &Peer, http: reqwest::Client, base: Url) -> Self {
        Transport {
            system: peer.system,
            shown: peer.address.to_string(),
            base,
            http,
            token: TokenCell::new(peer.system, peer.token.clone()),
            pace: Pace::new(peer.most_a_second, peer.in_flight),
            always: peer.always(),
            timeout: peer.timeout,
            plain: plain(peer),
        }
    }

    /// One for another peer on the same connections, where both are plain HTTP from the same place; else on its own.
    pub(super) fn beside(&self, peer: &Peer) -> Result<Self, HttpError> {
        match self.plain.is_some() && self.plain == plain(peer) {
            true => Ok(Transport::onto(
                peer,
                self.http.clone(),
                peer.address.base(),
            )),
            false => Transport::new(peer),
        }
    }

    pub fn system(&self) -> System {
        self.system
    }
    /// The base that requests of other makers (rustify) are built on.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Sends and takes any status as an answer. What only reads, or never arrived, is sent again twice, with jitter. A 403 makes
    /// a token file be read again, and when it has changed the request is sent once more.
    pub async fn exchange(&self, ask: &Ask) -> Result<Answer, HttpError> {
        self.exchange_at(ask, self.url(ask)).await
    }

    /// As `exchange`, with a path that another maker has put on `base`; the query of `ask` is added.
    pub(super) async fn exchange_at(&self, ask: &Ask, mut url: Url) -> Result<Answer, HttpError> {
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let mut waits = pace::again();
        loop {
            let outcome = self.with_token(ask, &url).await;
            let repeat = match &outcome {
                Ok(answer) if ask.status_tells || (200..300).contains(&answer.status) => false,
                Ok(answer) => pace::may_repeat(ask, &self.refusal(ask, answer)),
                Err(e) => pace::may_repeat(ask, e),
            };
            match waits.next().filter(|_| repeat) {
                Some(wait) => TokioSleeper.sleep(wait).await,
                None => return outcome,
            }
        }
    }

    async fn with_token(&self, ask: &Ask, url: &Url) -> Result<Answer, HttpError> {
        let token = self.token.current().await?;
        let answer = self.once(ask, url.clone(), token.as_ref()).await?;
        if answer.status == 403
            && let Some(newer) = self.token.newer_than(token.as_ref()).await?
        {
            return self.once(ask, url.clone(), Some(&newer)).await;
        }
        Ok(answer)
    }

    /// Sends, and makes an error of every status outside 200 to 299.
    pub async fn send(&self, ask: &Ask) -> Result<Answer, HttpError> {
        let answer = self.exchange(ask).await?;
        match answer.status {
            200..300 => Ok(answer),
            _ => Err(self.refusal(ask, &answer)),
        }
    }

    pub async fn read<T: DeserializeOwned>(&self, ask: &Ask) -> Result<T, HttpError> {
        let answer = self.send(ask).await?;
        self.decode(ask, &answer.body)
    }

    /// Reads a list, as a blocking query when `wait` is given.
    pub async fn read_indexed<T: DeserializeOwned + Send + 'static>(
        &self,
        ask: Ask,
        wait: Option<Wait>,
    ) -> Result<Indexed<T>, HttpError> {
        let ask = match wait {
            Some(w) => ask.wait(w),
            None => ask,
        };
        let answer = self.send(&ask).await?;
        let value = self.decode_list(&ask, answer.body).await?;
        Ok(Indexed::new(value, answer.index, wait))
    }

    /// The same, but a long answer that is byte for byte the one of this digest is not read again: then there is no value.
    pub async fn read_news<T: DeserializeOwned + Send + 'static>(
        &self,
        ask: Ask,
        wait: Option<Wait>,
        last: Option<Digest>,
    ) -> Result<Indexed<Option<(T, Digest)>>, HttpError> {
        let ask = match wait {
            Some(w) => ask.wait(w),
            None => ask,
        };
        let answer = self.send(&ask).await?;
        let digest = Digest::of(&answer.body);
        let news = match last == Some(digest) {
            true => None,
            false => Some((self.decode_list(&ask, answer.body).await?, digest)),
        };
        Ok(Indexed::new(news, answer.index, wait))
    }

    /// Opens a reply without an end; read it with `Streaming::chunk`.
    pub async fn stream(&self, ask: &Ask) -> Result<Streaming, HttpError> {
        let mut url = self.url(ask);
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        let token = self.token.current().await?;
        let mut response = self.opening(ask, &url, token.as_ref()).await?;
        if response.status() == 403
            && let Some(newer) = self.token.newer_than(token.as_ref()).await?
        {
            response = self.opening(ask, &url, Some(&newer)).await?;
        }
        if !response.status().is_success() {
            let answer = self.collect(ask, response).await?;
            return Err(self.refusal(ask, &answer));
        }
        Ok(Streaming {
            response,
            what: ask.what.clone(),
            system: self.system,
            url: self.shown_url(ask),
        })
    }

    /// The first heartbeat comes with the headers, so the same silence is too long for them.
    async fn opening(
        &self,
        ask: &Ask,
        url: &Url,
        token: Option<&header::HeaderValue>,
    ) -> Result<reqwest::Response, HttpError> {
        self.pace.turn(true).await;
        let opening = self.open(ask, url.clone(), token, None);
        tokio::time::timeout(STREAM_SILENCE, opening)
            .await
            .map_err(|_| self.silent(ask, STREAM_SILENCE))?
            .map_err(|e| self.sending(ask, e))
    }

    /// What a status outside 200 to 299 means.
    pub(super) fn refusal(&self, ask: &Ask, answer: &Answer) -> HttpError {
        let status = answer.status;
        let (what, system, url) = (ask.what.clone(), self.system, self.shown_url(ask));
        let body = self.token.redact(&error::shorten(&answer.body));
        match status {
            401 | 403 => HttpError::Denied {
                what,
                system,
                url,
                body,
            },
            404 => HttpError::NotFound {
                what,
                system,
                url,
                body,
                index: answer.index,
            },
            429 | 503 => HttpError::Busy {
                what,
                system,
                url,
                status,
                body,
            },
            _ => HttpError::Status {
                what,
                system,
                url,
                status,
                body,
            },
        }
    }

    pub(super) fn decode<T: DeserializeOwned>(
        &self,
        ask: &Ask,
        body: &[u8],
    ) -> Result<T, HttpError> {
        serde_json::from_slice(body).map_err(|e| self.undecodable(ask, body.len(), e))
    }

    /// A long list takes a good part of a second: it is decoded beside the runtime's own threads.
    async fn decode_list<T: DeserializeOwned + Send + 'static>(
        &self,
        ask: &Ask,
        body: Vec<u8>,
    ) -> Result<T, HttpError> {
        if body.len() < LONG_LIST {
            return self.decode(ask, &body);
        }
        let bytes = body.len();
        let decoded = tokio::task::spawn_blocking(move || serde_json::from_slice(&body)).await;
        match decoded {
            Ok(value) => value.map_err(|e| self.undecodable(ask, bytes, e)),
            Err(stopped) => Err(HttpError::Invalid {
                what: ask.what.clone(),
                why: format!("the decoding of its answer was stopped ({stopped})"),
            }),
        }
    }

    pub(super) fn undecodable(
        &self,
        ask: &Ask,
        bytes: usize,
        source: serde_json::Error,
    ) -> HttpError {
        HttpError::Decode {
            what: ask.what.clone(),
            system: self.system,
            url: self.shown_url(ask),
            bytes,
            source,
        }
    }

    fn url(&self, ask: &Ask) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(&ask.path);
        }
        url
    }

    fn shown_url(&self, ask: &Ask) -> String {
        if ask.path.is_empty() {
            return self.shown.clone();
        }
        format!(
            "{}/{}",
            self.shown.trim_end_matches('/'),
            ask.path.join("/")
        )
    }

    async fn once(
        &self,
        ask: &Ask,
        url: Url,
        token: Option<&header::HeaderValue>,
    ) -> Result<Answer, HttpError> {
        let longest = ask.longest.unwrap_or_default() + self.timeout;
        let _in_flight = self.pace.turn(ask.longest.is_some()).await;
        let meter = meter::Meter::start(self.system, ask);
        let outcome = match self.open(ask, url, token, Some(longest)).await {
            Ok(response) => self.collect(ask, response).await,
            Err(e) if e.is_timeout() && !e.is_connect() => Err(self.silent(ask, longest)),
            Err(e) => Err(self.sending(ask, e)),
        };
        meter.end(&outcome);
        outcome
    }

    async fn open(
        &self,
        ask: &Ask,
        mut url: Url,
        token: Option<&header::HeaderValue>,
        longest: Option<Duration>,
    ) -> Result<reqwest::Response, reqwest::Error> {
        if !self.always.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.always);
        }
        let mut request = self.http.request(ask.method.clone(), url);
        if let Some(longest) = longest {
            request = request.timeout(longest);
        }
        if let Some(token) = token {
            request = request.header(self.system.token_header(), token);
        }
        if let Some(body) = &ask.body {
            request = request.body(body.clone());
        }
        request.send().await
    }

    async fn collect(
        &self,
        ask: &Ask,
        mut response: reqwest::Response,
    ) -> Result<Answer, HttpError> {
        let status = response.status().as_u16();
        let index = response
            .headers()
            .get(self.system.index_header())
            .and_then(|v| v.to_str().ok()?.parse().ok());
        let mut pieces = Pieces::default();
        loop {
            match response.chunk().await {
                Ok(Some(more)) if pieces.length() + more.len() > LONGEST_BODY => {
                    return Err(HttpError::TooLong {
                        what: ask.what.clone(),
                        system: self.system,
                        url: self.shown_url(ask),
                        limit: LONGEST_BODY,
                    });
                }
                Ok(Some(more)) => pieces.push(&more),
                Ok(None) => break,
                Err(e) if e.is_timeout() => {
                    return Err(self.silent(ask, ask.longest.unwrap_or_default() + self.timeout));
                }
                Err(e) => return Err(self.sending(ask, e)),
            }
        }
        Ok(Answer {
            status,
            body: pieces.whole(),
            index,
        })
    }

    fn sending(&self, ask: &Ask, source: reqwest::Error) -> HttpError {
        HttpError::Unreachable {
            what: ask.what.clone(),
            system: self.system,
            url: self.shown_url(ask),
            source: source.without_url(),
        }
    }

    fn silent(&self, ask: &Ask, after: Duration) -> HttpError {
        HttpError::Timeout {
            what: ask.what.clone(),
            system: self.system,
            url: self.shown_url(ask),
            after,
        }
    }
}
