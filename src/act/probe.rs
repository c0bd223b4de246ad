//! A gateway's own probes: it connects to the instances that serve or would serve, tells other gateways through Consul's KV whom it
//! finds dead, and the keeper whom two vantage points call so. Who that is, is decided in `suspects`.

use super::suspects::{self, AT_ONCE, Aims, Answer, Book, SAY_AGAIN, Said};
use crate::clients::consul::KvQuery;
use crate::clients::gateway::Gateway;
use crate::clients::http::{HttpError, Wait};
use crate::model::*;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// While there is somebody to probe, who is due is looked up this often.
const STEP: Duration = Duration::from_millis(10);
/// Otherwise, and after an error.
const PAUSE: Duration = Duration::from_secs(1);
/// One blocking query.
const LOOK: Duration = Duration::from_secs(20);

/// What a gateway may probe, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Probing {
    /// Services whose policy allows it; none: nothing is probed or listened to.
    pub services: BTreeSet<ServiceName>,
    /// The process that asks: gateways of one process are one vantage point.
    pub vantage: String,
    /// Local address to probe from; the system's own choice otherwise.
    pub source: Option<IpAddr>,
}

/// The instances called dead, sent again from time to time while there are any.
pub(super) type Suspects = BTreeSet<SocketAddr>;

pub(super) struct Prober {
    pub gateway: Gateway,
    pub kv_datacenter: Option<String>,
    pub probing: Probing,
}

/// What is under way beside the probes, and when it was done last.
struct Round {
    book: Book,
    now: Moment,
    began: Option<Instant>,
    dice: StdRng,
    said: Option<Suspects>,
    times: u64,
    said_at: Moment,
    agreed_at: Moment,
}

impl Round {
    fn new(vantage: &str, gateway: &GatewayId) -> Round {
        let mut seed = DefaultHasher::new();
        gateway.hash(&mut seed);
        Round {
            book: Book::new(vantage),
            now: Moment::default(),
            began: None,
            dice: StdRng::seed_from_u64(seed.finish()),
            said: None,
            times: 0,
            said_at: Moment::default(),
            agreed_at: Moment::default(),
        }
    }

    fn ticked(&mut self, at: Instant) {
        let began = *self.began.get_or_insert(at);
        let since = at.saturating_duration_since(began).as_millis();
        self.now = self.now.max(Moment(since as i64));
    }

    /// What is to be said of our own findings, if anything.
    fn to_say(&self) -> Option<Suspects> {
        let own = self.book.own();
        let again = !own.is_empty() && self.now.since(self.said_at) >= SAY_AGAIN;
        (again || self.said.as_ref() != Some(&own)).then_some(own)
    }

    /// Tells the keeper of suspects that are new, well again, or still there after a while.
    fn tell(&mut self, suspects: &watch::Sender<Suspects>) {
        let (agreed, now) = (self.book.agreed(), self.now);
        let again = !agreed.is_empty() && now.since(self.agreed_at) >= SAY_AGAIN;
        if again || *suspects.borrow() != agreed {
            self.agreed_at = now;
            suspects.send_replace(agreed);
        }
    }
}

impl Prober {
    /// Probes until cancelled, then takes back what it said.
    pub async fn run(
        self,
        mut aims: watch::Receiver<Aims>,
        suspects: watch::Sender<Suspects>,
        cancel: CancellationToken,
    ) {
        let mut round = Round::new(&self.probing.vantage, &self.gateway.id);
        let (mut step, mut pause) = (ticker(STEP), ticker(PAUSE));
        let mut probes = FuturesUnordered::new();
        let mut saying: FuturesUnordered<BoxFuture<'_, bool>> = FuturesUnordered::new();
        let mut listening = Box::pin(self.listen(0, Duration::ZERO));
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                at = step.tick(), if round.book.probes() => round.ticked(at),
                at = pause.tick() => round.ticked(at),
                changed = aims.changed() => match changed {
                    Ok(()) => round.book.aim(&aims.borrow_and_update(), round.now),
                    Err(_) => break,
                },
                Some((at, answer)) = probes.next() => round.book.took(at, answer, round.now),
                Some(done) = saying.next() => if !done {
                    // Said again at the next look.
                    round.said = None;
                },
                heard = &mut listening => listening = Box::pin(match heard {
                    Ok((said, index)) => {
                        round.book.heard(said, round.now);
                        self.listen(index, Duration::ZERO)
                    }
                    Err(e) => {
                        tracing::debug!("gateway {}: {e}", self.gateway.id);
                        round.book.deaf();
                        self.listen(0, PAUSE)
                    }
                }),
            }
            let room = AT_ONCE.saturating_sub(probes.len());
            let dice = &mut round.dice;
            for at in round.book.due(round.now, room, || dice.random()) {
                probes.push(ask(self.probing.source, at));
            }
            round.tell(&suspects);
            if saying.is_empty()
                && let Some(own) = round.to_say()
            {
                (round.said, round.said_at) = (Some(own.clone()), round.now);
                round.times += 1;
                saying.push(Box::pin(self.say(own, round.times)));
            }
        }
        drop(saying);
        self.withdraw().await;
    }

    fn key(&self) -> String {
        keys::suspects(&self.gateway.id)
    }

    /// Whether it could be said; an error is followed by a pause.
    async fn say(&self, dead: Suspects, times: u64) -> bool {
        let said = Said {
            gateway: self.gateway.id.clone(),
            vantage: self.probing.vantage.clone(),
            dead,
            times,
        };
        // Serialising plain data cannot fail; an empty value is read as nothing said.
        let value = serde_json::to_vec(&said).unwrap_or_default();
        let dc = self.kv_datacenter.as_deref();
        match self.gateway.consul.kv_put(&self.key(), &value, dc).await {
            Ok(done) => done,
            Err(e) => {
                tracing::debug!("gateway {}: {e}", self.gateway.id);
                passed(PAUSE).await;
                false
            }
        }
    }

    /// What all gateways say, once it differs from `index`.
    async fn listen(
        &self,
        index: u64,
        pause: Duration,
    ) -> Result<(Vec<(Said, u64)>, u64), HttpError> {
        passed(pause).await;
        let query = KvQuery {
            dc: self.kv_datacenter.as_deref(),
            wait: (index > 0).then_some(Wait {
                index,
                longest: LOOK,
            }),
            ..KvQuery::default()
        };
        let found = self.gateway.consul.kv_list(keys::SUSPECTS, query).await?;
        let said = found.value.iter().filter_map(|pair| {
            let said = serde_json::from_slice(&pair.value).ok()?;
            Some((said, pair.modify_index))
        });
        Ok((said.collect(), found.index))
    }

    /// Nobody probes for the sake of a gateway that has gone.
    async fn withdraw(&self) {
        let (key, dc) = (self.key(), self.kv_datacenter.as_deref());
        let gone = self.gateway.consul.kv_delete(&key, None, dc);
        // What cannot be taken back counts no longer after a while.
        let _ = timeout(PAUSE, gone).await;
    }
}

async fn passed(time: Duration) {
    // Never ready: it is the time that passes.
    let _ = timeout(time, std::future::pending::<()>()).await;
}

fn ticker(every: Duration) -> Interval {
    let mut ticker = interval(every);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

/// One try to connect, which says nothing and leaves nothing behind: it ends with a reset, so that no port waits.
async fn ask(source: Option<IpAddr>, at: SocketAddr) -> (SocketAddr, Answer) {
    let longest = Duration::from_millis(suspects::ANSWER.0 as u64);
    let answer = match timeout(longest, connect(source, at)).await {
        Ok(Ok(())) => Answer::Open,
        Ok(Err(e)) => suspects::failed(e.kind()),
        Err(_) => Answer::Silent,
    };
    (at, answer)
}

async fn connect(source: Option<IpAddr>, at: SocketAddr) -> std::io::Result<()> {
    let socket = match at {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_zero_linger()?;
    if let Some(ip) = source.filter(|ip| ip.is_ipv4() == at.is_ipv4()) {
        socket.bind(SocketAddr::new(ip, 0))?;
    }
    socket.connect(at).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpStream;

    const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[tokio::test]
    async fn a_try_tells_an_open_port_from_a_closed_one_from_silence_and_from_our_own_faults() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(HERE).unwrap();
        let listener = socket.listen(1).unwrap();
        let at = listener.local_addr().unwrap();
        assert_eq!(ask(Some(HERE.ip()), at).await, (at, Answer::Open));
        // An address of nobody's here cannot be asked from.
        let elsewhere = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(ask(Some(elsewhere), at).await, (at, Answer::Unsure));
        // Nobody takes what has come about: then the kernel answers no more.
        let longest = Duration::from_millis(50);
        let waiting = (0..4).map(|_| timeout(longest, TcpStream::connect(at)));
        let waiting = futures::future::join_all(waiting).await;
        assert!(waiting.iter().any(Result::is_err), "there is room left");
        assert_eq!(ask(None, at).await, (at, Answer::Silent));
        drop(listener);
        assert_eq!(ask(None, at).await, (at, Answer::Refused));
    }
}
