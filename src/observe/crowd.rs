//! Entries of many fronts at one gateway's agent, kept known over a few connections. Consul tells of all services at once which
//! checks do not pass, and a front is read again once that has changed of its own, once its gateway has applied a target, and in
//! its turn. A blocking query for each front would hold a connection each, of which an agent takes 200 by default.

use super::consul::Keys;
use super::watch::{Asking, Feed, Watch};
use crate::clients::consul::{Check, Consul};
use crate::clients::http::HttpError;
use crate::model::*;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Reads under way at one agent.
const AT_ONCE: usize = 16;
/// Each front is read anew once in this time, whatever is told: what no check shows is seen then.
const ROUND: Duration = Duration::from_secs(300);
/// What could not be read is asked for again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// The states in which a check does not pass.
const AILING: [&str; 2] = ["critical", "warning"];

/// What a check is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum About {
    Service(ServiceName),
    /// The agent itself: all of its entries.
    Agent,
    /// Some other agent of its datacenter.
    Others,
}

/// What differs once other checks of it fail, or fail otherwise.
pub type Ailing = BTreeMap<About, u64>;

/// Is told of a front's entries.
pub type News = Box<dyn Fn(&Vec<FrontEntry>) + Send>;

/// One front among many.
pub struct One {
    pub service: ServiceName,
    /// Only the gateway's own entries count, not those of other agents.
    pub own: bool,
    pub feed: Feed<Vec<FrontEntry>>,
    /// Told of each reading before it is handed on.
    pub news: News,
}

/// What is told of all fronts of one gateway at once.
pub struct Crowd {
    ailing: Vec<Watch<Ailing>>,
    task: JoinHandle<()>,
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Crowd {
    /// Begins at once, on the current tokio runtime: `read` asks for one front's entries, and each answer goes to its feed.
    pub fn start<R, F>(
        (gateway, ailing): (GatewayId, Vec<Watch<Ailing>>),
        fronts: Vec<One>,
        keys: &Watch<Keys>,
        read: R,
        clock: fn() -> Moment,
    ) -> Crowd
    where
        R: Fn(&One) -> F + Send + 'static,
        F: Future<Output = Result<Vec<FrontEntry>, HttpError>> + Send,
    {
        let (mut told, mut keys) = (
            ailing.iter().map(Watch::follow).collect::<Vec<_>>(),
            keys.follow(),
        );
        let mut rounds = Rounds::of(gateway, fronts);
        let task = tokio::spawn(async move {
            let mut reads = FuturesUnordered::new();
            let mut turns = tokio::time::interval(ROUND / rounds.fronts.len().max(1) as u32);
            turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut again = tokio::time::interval(AGAIN);
            loop {
                while reads.len() < AT_ONCE
                    && let Some(k) = rounds.next()
                {
                    let asked = read(&rounds.fronts[k]);
                    reads.push(async move { (k, asked.await) });
                }
                let (critical, warning) = told.split_at_mut(1);
                tokio::select! {
                    Some((k, answer)) = reads.next(), if !reads.is_empty() => rounds.answered(k, answer, clock()),
                    seen = critical[0].next() => rounds.hear(0, seen),
                    seen = warning[0].next() => rounds.hear(1, seen),
                    seen = keys.next() => rounds.applied(&seen),
                    _ = turns.tick() => rounds.turn(),
                    _ = again.tick() => rounds.again(),
                }
            }
        });
        Crowd { ailing, task }
    }

    /// When the agent last told of all checks; why it does not.
    pub async fn heard(&self) -> Seen<()> {
        let mut heard: Option<Seen<()>> = None;
        for watch in &self.ailing {
            let seen = watch.seen().await.map(drop);
            heard = Some(match (heard, seen) {
                (None, seen) => seen,
                (Some(Seen::Known { at, .. }), Seen::Known { at: other, .. }) => {
                    Seen::known((), at.min(other))
                }
                (Some(unknown @ Seen::Unknown { .. }), _) | (_, unknown) => unknown,
            });
        }
        heard.unwrap_or_else(|| Seen::unknown("not read yet"))
    }
}

/// Watches the checks at an agent that do not pass.
pub fn ailing(
    consul: &Arc<Consul>,
    agent: &Arc<tokio::sync::OnceCell<String>>,
    clock: fn() -> Moment,
) -> Vec<Watch<Ailing>> {
    let watch = |state: &'static str| {
        let (consul, agent) = (consul.clone(), agent.clone());
        let read = move |wait| {
            let (consul, agent) = (consul.clone(), agent.clone());
            async move {
                let agent = super::consul::agent_name(&consul, &agent).await?;
                let found = consul.checks_in_state(state, None, wait).await?;
                Ok(found.map(|checks| digests(&checks, agent)))
            }
        };
        Watch::start(read, |_| (), clock, Asking::OFTEN)
    };
    AILING.map(watch).into()
}

fn digests(checks: &[Check], agent: &str) -> Ailing {
    let mut all: BTreeMap<About, BTreeSet<(&str, &str, &str, bool)>> = BTreeMap::new();
    for c in checks {
        let about = match c.service_name.as_str() {
            "" if c.node == agent => About::Agent,
            "" => About::Others,
            name => About::Service(name.into()),
        };
        let of = all.entry(about).or_default();
        of.insert((&c.node, &c.check_id, &c.status, c.output.is_empty()));
    }
    let digest = |of: BTreeSet<_>| {
        let mut digest = DefaultHasher::new();
        of.hash(&mut digest);
        digest.finish()
    };
    all.into_iter().map(|(of, all)| (of, digest(all))).collect()
}

/// Which fronts are to be read, and which of them are being read.
struct Rounds {
    gateway: GatewayId,
    fronts: Vec<One>,
    by_name: HashMap<ServiceName, usize>,
    due: BTreeSet<usize>,
    reading: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    /// Whose turn is next.
    turn: usize,
    /// As last told of each state; nothing while that cannot be heard.
    told: [Option<Arc<Ailing>>; AILING.len()],
    /// The index of the target that the gateway applied last, by service.
    applied: HashMap<ServiceName, (u64, Moment)>,
}

impl Rounds {
    fn of(gateway: GatewayId, fronts: Vec<One>) -> Rounds {
        let names = fronts.iter().enumerate();
        Rounds {
            gateway,
            by_name: names.map(|(k, one)| (one.service.clone(), k)).collect(),
            due: BTreeSet::new(),
            reading: BTreeSet::new(),
            failed: BTreeSet::new(),
            turn: 0,
            told: Default::default(),
            applied: HashMap::new(),
            fronts,
        }
    }

    /// What is read next: nothing while the agent tells nothing, since that would fail too, and would have to be read again after.
    fn next(&mut self) -> Option<usize> {
        if self.told.iter().any(Option::is_none) {
            return None;
        }
        let free = |k: &&usize| !self.reading.contains(k);
        let k = *self.due.iter().find(free)?;
        self.due.remove(&k);
        self.reading.insert(k);
        Some(k)
    }

    fn ask(&mut self, k: usize) {
        self.fronts[k].feed.unsettle();
        self.due.insert(k);
    }

    fn answered(&mut self, k: usize, answer: Result<Vec<FrontEntry>, HttpError>, now: Moment) {
        self.reading.remove(&k);
        let seen = match answer {
            Ok(entries) => {
                (self.fronts[k].news)(&entries);
                Seen::known(Arc::new(entries), now)
            }
            Err(e) => {
                self.failed.insert(k);
                Seen::unknown(e.to_string())
            }
        };
        // What changed while it was read is read again.
        self.fronts[k].feed.say(seen, !self.due.contains(&k));
    }

    /// The checks of one state that do not pass: whose have changed is read, and everything after a silence.
    fn hear(&mut self, state: usize, seen: Seen<Arc<Ailing>>) {
        let Seen::Known { value: new, .. } = seen else {
            self.told[state] = None;
            return;
        };
        let old = self.told[state].replace(new.clone());
        let Some(old) = old else {
            return (0..self.fronts.len()).for_each(|k| self.ask(k));
        };
        let about: BTreeSet<&About> = old.keys().chain(new.keys()).collect();
        for about in about.into_iter().filter(|a| old.get(a) != new.get(a)) {
            match about {
                About::Service(name) => {
                    if let Some(k) = self.by_name.get(name).copied() {
                        self.ask(k);
                    }
                }
                About::Agent => (0..self.fronts.len()).for_each(|k| self.ask(k)),
                About::Others => (0..self.fronts.len())
                    .filter(|k| !self.fronts[*k].own)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .for_each(|k| self.ask(k)),
            }
        }
    }

    /// The gateway has changed entries.
    fn applied(&mut self, seen: &Seen<Arc<Keys>>) {
        let Seen::Known { value: keys, .. } = seen else {
            return;
        };
        for ((gateway, service), report) in &keys.applied {
            let (mark, of) = ((report.index, report.at), self.by_name.get(service));
            if gateway != &self.gateway || self.applied.get(service) == Some(&mark) {
                continue;
            }
            self.applied.insert(service.clone(), mark);
            if let Some(k) = of.copied() {
                self.ask(k);
            }
        }
    }

    /// As good as it was until it is read, so that a look need not wait for it.
    fn turn(&mut self) {
        if self.fronts.is_empty() {
            return;
        }
        self.due.insert(self.turn);
        self.turn = (self.turn + 1) % self.fronts.len();
    }

    fn again(&mut self) {
        self.due.append(&mut self.failed);
    }
}

#[cfg(test)]
#[path = "crowd_tests.rs"]
mod tests;
