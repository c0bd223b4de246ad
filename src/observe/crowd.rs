//! Entries of many fronts at one gateway's agent, kept known over a few connections. Consul tells of all services at once which
//! checks do not pass, and a front is read again once that has changed of its own, once its gateway has applied a target, and in
//! its turn. A blocking query for each front would hold a connection each, of which an agent takes 200 by default.

use super::keys::Keys;
use super::watch::{Asking, Feed, Watch};
use crate::clients::consul::{Check, Consul};
use crate::clients::http::HttpError;
use crate::model::*;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

/// Reads under way at one agent.
const AT_ONCE: usize = 16;
/// Each front is read anew once in this time, whatever is told: what no check shows is seen then.
const ROUND: Duration = Duration::from_secs(300);
/// What could not be read is asked for again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// An agent tells its servers of new entries when it comes to it: what a gateway has applied is read again so many times AGAIN later,
/// and only with the last of them taken for what stands.
const LATER: [u64; 2] = [1, 5];
/// Entries that Nomad makes come and go without a word: they are read anew each so many times AGAIN.
const OTHERS: u64 = 5;
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
    heard: Arc<Mutex<Heard>>,
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
        let heard = rounds.heard.clone();
        let task = tokio::spawn(async move {
            let mut reads = FuturesUnordered::new();
            let mut turns = tokio::time::interval(ROUND / rounds.fronts.len().max(1) as u32);
            turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut again = tokio::time::interval(AGAIN);
            // Neither is due at once.
            turns.reset();
            again.reset();
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
        Crowd {
            ailing,
            heard,
            task,
        }
    }

    /// When the agent last told of all checks, as far as that has been taken in; why it does not.
    pub async fn heard(&self) -> Seen<()> {
        for watch in &self.ailing {
            // The first answer is waited for; what counts is what came of it.
            let _ = watch.seen().await;
        }
        let heard = lock(&self.heard).clone();
        heard.into_iter().reduce(older).unwrap_or_else(silence)
    }
}

type Heard = [Seen<()>; AILING.len()];

fn silence() -> Seen<()> {
    Seen::unknown("not read yet")
}

/// The older of two readings, or the one that is not there.
fn older(a: Seen<()>, b: Seen<()>) -> Seen<()> {
    match (a, b) {
        (Seen::Known { at, .. }, Seen::Known { at: other, .. }) => Seen::known((), at.min(other)),
        (unknown @ Seen::Unknown { .. }, _) | (_, unknown) => unknown,
    }
}

/// What a thread that was lost had taken in still stands.
fn lock<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of the agent behind a client, asked for once.
pub async fn agent_name<'a>(
    consul: &Consul,
    known: &'a OnceCell<String>,
) -> Result<&'a str, HttpError> {
    let name = async || Ok(consul.agent_self().await?.node_name().to_string());
    known.get_or_try_init(name).await.map(String::as_str)
}

/// Watches the checks at an agent that do not pass.
pub fn ailing(
    consul: &Arc<Consul>,
    agent: &Arc<OnceCell<String>>,
    clock: fn() -> Moment,
) -> Vec<Watch<Ailing>> {
    let watch = |state: &'static str| {
        let (consul, agent) = (consul.clone(), agent.clone());
        let read = move |wait| {
            let (consul, agent) = (consul.clone(), agent.clone());
            async move {
                let agent = agent_name(&consul, &agent).await?;
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
    /// What is to be read later, by the count of AGAINs, and how often of each that still is.
    later: BTreeMap<u64, Vec<usize>>,
    unsure: BTreeMap<usize, usize>,
    agains: u64,
    told_keys: bool,
    /// Whose turn is next, and where reading goes on.
    turn: usize,
    from: usize,
    /// As last told of each state; nothing while that cannot be heard.
    told: [Option<Arc<Ailing>>; AILING.len()],
    /// When each state was last told, and taken in.
    heard: Arc<Mutex<Heard>>,
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
            later: BTreeMap::new(),
            unsure: BTreeMap::new(),
            agains: 0,
            told_keys: false,
            turn: 0,
            from: 0,
            told: Default::default(),
            heard: Arc::new(Mutex::new([silence(), silence()])),
            applied: HashMap::new(),
            fronts,
        }
    }

    /// What is read next: nothing while the agent tells nothing, since that would fail too, and would have to be read again after.
    fn next(&mut self) -> Option<usize> {
        if self.told.iter().any(Option::is_none) {
            return None;
        }
        // Round and round, so that none waits for ever for others that are asked for all the time.
        let free = |k: &&usize| !self.reading.contains(k);
        let (after, before) = (self.due.range(self.from..), self.due.range(..self.from));
        let k = *after.chain(before).find(free)?;
        self.from = k + 1;
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
        let settled = !self.due.contains(&k) && !self.unsure.contains_key(&k);
        self.fronts[k].feed.say(seen, settled);
    }

    /// The checks of one state that do not pass: whose have changed is read, and everything after a silence.
    fn hear(&mut self, state: usize, seen: Seen<Arc<Ailing>>) {
        let heard = seen.clone().map(drop);
        self.take_in(state, seen);
        lock(&self.heard)[state] = heard;
    }

    fn take_in(&mut self, state: usize, seen: Seen<Arc<Ailing>>) {
        let Seen::Known { value: new, .. } = seen else {
            self.told[state] = None;
            // As they were when they were read, and no younger.
            return self.fronts.iter().for_each(|one| one.feed.unsettle());
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
            let known = self.applied.insert(service.clone(), mark).is_some() || self.told_keys;
            if let Some(k) = of.copied() {
                self.ask(k);
                // What stood there from the start was applied long ago.
                for later in LATER.iter().filter(|_| known) {
                    self.later.entry(self.agains + later).or_default().push(k);
                    *self.unsure.entry(k).or_default() += 1;
                }
            }
        }
        self.told_keys = true;
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
        self.agains += 1;
        for k in self.later.remove(&self.agains).into_iter().flatten() {
            self.due.insert(k);
            if let Entry::Occupied(mut left) = self.unsure.entry(k) {
                *left.get_mut() -= 1;
                if *left.get() == 0 {
                    left.remove();
                }
            }
        }
        if self.agains.is_multiple_of(OTHERS) {
            let others = (0..self.fronts.len()).filter(|k| !self.fronts[*k].own);
            self.due.extend(others);
        }
    }
}

#[cfg(test)]
#[path = "crowd_tests.rs"]
mod tests;
