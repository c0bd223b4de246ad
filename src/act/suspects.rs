//! Who is suspected dead: from this gateway's own probes, and what gateways elsewhere say of theirs. Pure: moments are those of a
//! clock that never jumps, and begin anywhere.

use crate::model::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

/// An instance is asked so often, while all of them together stay within the budget.
const EVERY: Span = Span::millis(50);
/// Probes a second that one gateway sends at most.
const BUDGET: i64 = 1_000;
/// No more of them are under way at once.
pub const AT_ONCE: usize = 128;
/// One try waits so long for an answer.
pub const ANSWER: Span = Span::millis(100);
/// So many tries in a row without an answer are a death; a refused one says so by itself.
const SILENT: u32 = 3;
/// Who never answered so often in a row cannot be reached from here by nature: that says nothing of its health.
const KNOWN: u32 = 3;
/// So many good answers in a row make a suspect well again, twice as many each time it falls anew.
const GOOD: u32 = 20;
/// At most 2 to this power times as many.
const FLAPS: u32 = 5;
/// Falls that lie so far back are forgotten.
const FORGET: Span = Span::secs(600);
/// A finding that stays is told again this often.
pub const SAY_AGAIN: Span = Span::secs(2);
/// What was told so long ago counts no longer.
const FRESH: Span = Span::secs(5);

/// Instances by address, and the site of each.
pub type Aims = BTreeMap<SocketAddr, Site>;

/// `foreshadow/suspects/<gateway>`: whom a gateway has found dead by its own probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub gateway: GatewayId,
    /// The machine that asked: two gateways on one see with the same eyes.
    pub vantage: String,
    pub dead: BTreeSet<SocketAddr>,
    /// Counts up: Consul takes what equals the value before for no write at all, and then nobody would know that it was said again.
    pub times: u64,
}

/// What became of one try to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The connection came about. What is said over it is not asked: a slow instance is not a dead one.
    Open,
    /// Refused or reset: its machine lives, and nobody listens there.
    Refused,
    Silent,
    /// Our own machine could not ask.
    Unsure,
}

/// What a failed try to connect says of the other side, and not of this one.
pub fn failed(why: ErrorKind) -> Answer {
    match why {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Answer::Refused,
        ErrorKind::TimedOut | ErrorKind::HostUnreachable => Answer::Silent,
        _ => Answer::Unsure,
    }
}

/// Where an instance is probed; nothing where its address is a name, which somebody else would have to answer for.
pub fn address(instance: &Instance) -> Option<SocketAddr> {
    let ip: IpAddr = instance.address.parse().ok()?;
    Some(SocketAddr::new(ip, instance.port))
}

/// Whom to probe: whoever has a share, or would have one when something fails, of services that all allow it.
pub fn aims<'a>(
    targets: impl Iterator<Item = &'a Target>,
    allowed: &BTreeSet<ServiceName>,
) -> Aims {
    let (mut aims, mut forbidden) = (Aims::new(), BTreeSet::new());
    for target in targets {
        let prepared = |alloc: &AllocId| {
            let mut all = target.contingencies.iter();
            all.any(|c| c.shares.get(alloc).is_some_and(|s| s > Share::NONE))
        };
        for i in &target.instances {
            match address(i) {
                Some(at) if !allowed.contains(&target.service) => {
                    forbidden.insert(at);
                }
                Some(at) if i.share > Share::NONE || prepared(&i.alloc) => {
                    aims.insert(at, i.site.clone());
                }
                _ => {}
            }
        }
    }
    aims.retain(|at, _| !forbidden.contains(at));
    aims
}

/// One instance as seen from here.
#[derive(Clone, Debug, Default)]
struct Standing {
    /// `None`: of no interest now; only its falls are remembered.
    site: Option<Site>,
    /// Good answers in a row, and tries without one.
    good: u32,
    silent: u32,
    /// It can be reached from here.
    reached: bool,
    dead: bool,
    /// Another vantage point has found the same. Stays until it is well again as seen from here.
    agreed: bool,
    falls: u32,
    fell: Moment,
    due: Moment,
    asked: bool,
}

impl Standing {
    fn falls(&mut self, now: Moment) {
        let recent = self.falls > 0 && now.since(self.fell) < FORGET;
        self.falls = if recent { self.falls + 1 } else { 1 };
        self.fell = now;
        self.dead = true;
    }

    /// Good answers in a row that make it well again.
    fn wanted(&self) -> u32 {
        GOOD << self.falls.saturating_sub(1).min(FLAPS)
    }
}

/// What another gateway said last.
#[derive(Clone, Debug)]
struct Other {
    dead: BTreeSet<SocketAddr>,
    index: u64,
    /// When we saw it written; nothing for what stood there already, which may be of any age.
    since: Option<Moment>,
}

/// Everything one gateway knows of who answers.
#[derive(Clone, Debug, Default)]
pub struct Book {
    vantage: String,
    standings: BTreeMap<SocketAddr, Standing>,
    others: BTreeMap<GatewayId, Other>,
    /// The last list of what others said was read without a gap before it.
    listening: bool,
}

impl Book {
    pub fn new(vantage: &str) -> Book {
        Book {
            vantage: vantage.into(),
            ..Book::default()
        }
    }

    /// These are to be probed from now on, and no others.
    pub fn aim(&mut self, aims: &Aims, now: Moment) {
        for (at, site) in aims {
            let standing = self.standings.entry(*at).or_default();
            if standing.site.is_none() {
                *standing = Standing {
                    falls: standing.falls,
                    fell: standing.fell,
                    due: now,
                    ..Standing::default()
                };
            }
            standing.site = Some(site.clone());
        }
        self.standings.retain(|at, s| {
            if !aims.contains_key(at) {
                s.site = None;
            }
            s.site.is_some() || (s.falls > 0 && now.since(s.fell) < FORGET)
        });
    }

    fn aimed(&self) -> impl Iterator<Item = (&SocketAddr, &Standing, &Site)> {
        let all = self.standings.iter();
        all.filter_map(|(at, s)| Some((at, s, s.site.as_ref()?)))
    }

    /// Whether there is any use in probing: somebody elsewhere could confirm it, or a suspect is to be found well again.
    pub fn probes(&self) -> bool {
        let mut aimed = self.aimed();
        match self.others.is_empty() {
            true => aimed.any(|(_, s, _)| s.dead),
            false => aimed.next().is_some(),
        }
    }

    /// The time between two probes of an instance: longer where there are more of them than the budget allows.
    fn every(&self) -> Span {
        let count = self.aimed().count() as i64;
        EVERY.max(Span(count * 1_000 / BUDGET))
    }

    /// Whom to ask now, at most `room` of them, longest due first; each must be followed by [`Book::took`]. `jitter` gives numbers from 0 to 1.
    pub fn due(
        &mut self,
        now: Moment,
        room: usize,
        mut jitter: impl FnMut() -> f64,
    ) -> Vec<SocketAddr> {
        if !self.probes() {
            return Vec::new();
        }
        let every = self.every();
        let mut due: Vec<(Moment, SocketAddr)> = self
            .aimed()
            .filter(|(_, s, _)| !s.asked && s.due <= now)
            .map(|(at, s, _)| (s.due, *at))
            .collect();
        due.sort_unstable();
        due.truncate(room);
        for (_, at) in &due {
            if let Some(standing) = self.standings.get_mut(at) {
                standing.asked = true;
                // A quarter earlier or later, so that gateways and instances do not fall into step.
                let part = every.0 as f64 * (0.75 + 0.5 * jitter());
                standing.due = now + Span(part as i64);
            }
        }
        due.into_iter().map(|(_, at)| at).collect()
    }

    pub fn took(&mut self, at: SocketAddr, answer: Answer, now: Moment) {
        let Some(standing) = self.standings.get_mut(&at).filter(|s| s.site.is_some()) else {
            return;
        };
        standing.asked = false;
        match answer {
            Answer::Open => {
                standing.silent = 0;
                standing.good = standing.good.saturating_add(1);
                standing.reached |= standing.good >= KNOWN;
                if standing.good >= standing.wanted() {
                    (standing.dead, standing.agreed) = (false, false);
                }
            }
            Answer::Refused | Answer::Silent => {
                standing.good = 0;
                let silent = answer == Answer::Silent;
                standing.silent += u32::from(silent);
                if standing.reached && !standing.dead {
                    if !silent || standing.silent >= SILENT {
                        standing.falls(now);
                    } else {
                        standing.due = now;
                    }
                }
            }
            Answer::Unsure => {}
        }
        self.agree(now);
    }

    /// Everything that is said at the moment, each with the index of its last write. Whom others suspect is asked at once.
    pub fn heard(&mut self, said: Vec<(Said, u64)>, now: Moment) {
        let listening = std::mem::replace(&mut self.listening, true);
        let mut others = BTreeMap::new();
        for (said, index) in said {
            if said.vantage == self.vantage {
                continue;
            }
            let before = self.others.get(&said.gateway);
            let since = match before {
                Some(b) if b.index == index => b.since,
                // An index that went back is a store that was restored: of any age again.
                Some(b) if b.index > index => None,
                _ => listening.then_some(now),
            };
            if since == Some(now) {
                for at in &said.dead {
                    if let Some(s) = self.standings.get_mut(at).filter(|s| !s.dead) {
                        s.due = now;
                    }
                }
            }
            let dead = said.dead;
            others.insert(said.gateway, Other { dead, index, since });
        }
        self.others = others;
        self.agree(now);
    }

    /// What others say could not be read: what comes next may be older than it looks.
    pub fn deaf(&mut self) {
        self.listening = false;
    }

    /// Two vantage points make a suspect, and one of them is this one.
    fn agree(&mut self, now: Moment) {
        if self.blind() {
            return;
        }
        let fresh = |o: &&Other| o.since.is_some_and(|since| now.since(since) < FRESH);
        for (at, standing) in self.standings.iter_mut().filter(|(_, s)| s.dead) {
            let mut others = self.others.values().filter(fresh);
            standing.agreed |= others.any(|o| o.dead.contains(at));
        }
    }

    /// More than half of the sites look bad at once: it is more likely we who are cut off.
    fn blind(&self) -> bool {
        let mut sites: BTreeMap<&Site, bool> = BTreeMap::new();
        for (_, standing, site) in self.aimed() {
            *sites.entry(site).or_default() |= standing.dead;
        }
        let bad = sites.values().filter(|bad| **bad).count();
        bad * 2 > sites.len()
    }

    /// Whom this gateway calls dead; nobody while it doubts its own eyes.
    pub fn own(&self) -> BTreeSet<SocketAddr> {
        if self.blind() {
            return BTreeSet::new();
        }
        let dead = self.aimed().filter(|(_, s, _)| s.dead);
        dead.map(|(at, _, _)| *at).collect()
    }

    /// Whom two vantage points have called dead, until they are well again as seen from here.
    pub fn agreed(&self) -> BTreeSet<SocketAddr> {
        let agreed = self.aimed().filter(|(_, s, _)| s.agreed);
        agreed.map(|(at, _, _)| *at).collect()
    }
}

#[cfg(test)]
mod tests;
