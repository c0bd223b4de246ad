use super::*;
use crate::clients::http::Indexed;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// A Consul of two fronts: which of their checks fail, and how often each front was read.
struct Pretended {
    failing: watch::Sender<Vec<&'static str>>,
    away: AtomicBool,
    reads: Mutex<Vec<ServiceName>>,
    /// Weights that somebody wrote, by front.
    weight: Mutex<u32>,
}

fn refused() -> HttpError {
    HttpError::Invalid {
        what: "read".into(),
        why: "away".into(),
    }
}

fn now() -> Moment {
    Moment(1_000)
}

fn check(service: &str) -> Check {
    Check {
        node: "gate".into(),
        check_id: format!("service:{service}"),
        status: "critical".into(),
        service_name: service.into(),
        ..Check::default()
    }
}

impl Pretended {
    fn new() -> Arc<Pretended> {
        Arc::new(Pretended {
            failing: watch::channel(Vec::new()).0,
            away: AtomicBool::new(false),
            reads: Mutex::default(),
            weight: Mutex::new(1),
        })
    }

    /// Blocks, as Consul does, until what fails is not what was told.
    async fn critical(
        &self,
        wait: Option<crate::clients::http::Wait>,
    ) -> Result<Indexed<Ailing>, HttpError> {
        let mut failing = self.failing.subscribe();
        if wait.is_some() {
            failing.changed().await.expect("it stays");
        }
        if self.away.load(Ordering::SeqCst) {
            return Err(refused());
        }
        let checks: Vec<Check> = failing.borrow().iter().map(|s| check(s)).collect();
        let index = 1 + wait.map_or(0, |w| w.index);
        Ok(Indexed::new(digests(&checks, "gate"), Some(index), wait))
    }

    async fn entries(&self, service: ServiceName) -> Result<Vec<FrontEntry>, HttpError> {
        self.reads.lock().expect("no panic").push(service.clone());
        let fails = self.failing.borrow().contains(&service.as_str());
        Ok(vec![FrontEntry {
            instance: "x".into(),
            address: "10.0.0.1".into(),
            port: 1,
            weight: *self.weight.lock().expect("no panic"),
            passing: !fails,
            checked: true,
            maintenance: false,
            agent_alive: true,
        }])
    }

    fn read(&self) -> Vec<ServiceName> {
        std::mem::take(&mut *self.reads.lock().expect("no panic"))
    }
}

fn report(gateway: &str, service: &str, index: u64) -> Applied {
    Applied {
        gateway: gateway.into(),
        service: service.into(),
        plan: "p".into(),
        epoch: Epoch(1),
        index,
        weights: BTreeMap::new(),
        owner: Owner::Front,
        contingency: None,
        at: now(),
        reaction: None,
        suspected: Vec::new(),
    }
}

fn keys<const N: usize>(reports: [Applied; N]) -> Seen<Arc<Keys>> {
    let all = reports.into_iter();
    let keys = Keys {
        leadership: Leadership::Nobody,
        targets: Ok(BTreeMap::new()),
        applied: all
            .map(|r| ((r.gateway.clone(), r.service.clone()), Arc::new(r)))
            .collect(),
    };
    Seen::known(Arc::new(keys), now())
}

struct Met {
    crowd: Crowd,
    entries: Vec<Watch<Vec<FrontEntry>>>,
    /// Its task ends with it.
    _keys: Watch<Keys>,
    tell_keys: Feed<Keys>,
}

fn meet(consul: &Arc<Pretended>, services: &[&str]) -> Met {
    let (tell_keys, keys) = Watch::fed();
    let (one, fronts) = (consul.clone(), services.iter());
    let critical = move |wait| {
        let consul = one.clone();
        async move { consul.critical(wait).await }
    };
    let critical = Watch::start(critical, |_| (), now, Asking::OFTEN);
    let (warn, warning) = Watch::fed();
    warn.say(Seen::known(Arc::default(), now()), true);
    let (ones, entries): (Vec<One>, Vec<_>) = fronts
        .map(|service| {
            let (feed, entries) = Watch::fed();
            let one = One {
                service: (*service).into(),
                own: true,
                feed,
                news: Box::new(|_| ()),
            };
            (one, entries)
        })
        .unzip();
    let of = consul.clone();
    let read = move |one: &One| {
        let (consul, service) = (of.clone(), one.service.clone());
        async move { consul.entries(service).await }
    };
    let crowd = Crowd::start(
        ("gate".into(), vec![critical, warning]),
        ones,
        &keys,
        read,
        now,
    );
    Met {
        crowd,
        entries,
        _keys: keys,
        tell_keys,
    }
}

/// Waits until the reading is as wanted; a test that hangs here fails by its harness.
async fn until(entries: &Watch<Vec<FrontEntry>>, wanted: impl Fn(&FrontEntry) -> bool) {
    let mut follow = entries.follow();
    while !matches!(follow.next().await, Seen::Known { value, .. } if wanted(&value[0])) {}
}

#[tokio::test]
async fn each_front_is_read_once_and_again_only_when_its_own_checks_fail_or_come_back() {
    let consul = Pretended::new();
    let met = meet(&consul, &["a", "b"]);
    for entries in &met.entries {
        until(entries, |e| e.passing).await;
    }
    assert_eq!(consul.read().len(), 2, "{:?}", consul.read());
    consul.failing.send_replace(vec!["b", "another"]);
    until(&met.entries[1], |e| !e.passing).await;
    consul.failing.send_replace(Vec::new());
    until(&met.entries[1], |e| e.passing).await;
    assert_eq!(consul.read(), ["b".into(), "b".into()]);
}

#[tokio::test]
async fn what_the_gateway_applied_is_read_again() {
    let consul = Pretended::new();
    let met = meet(&consul, &["a", "b"]);
    for entries in &met.entries {
        until(entries, |e| e.weight == 1).await;
    }
    consul.read();
    *consul.weight.lock().expect("no panic") = 7;
    let all = [report("gate", "a", 5), report("elsewhere", "b", 5)];
    met.tell_keys.say(keys(all), true);
    until(&met.entries[0], |e| e.weight == 7).await;
    assert_eq!(consul.read(), ["a".into()]);
}

#[tokio::test]
async fn while_the_agent_is_away_nothing_is_heard_and_after_it_everything_is_read_anew() {
    let consul = Pretended::new();
    let met = meet(&consul, &["a", "b"]);
    for entries in &met.entries {
        until(entries, |e| e.weight == 1).await;
    }
    assert!(met.crowd.heard().await.value().is_some());
    consul.read();
    consul.away.store(true, Ordering::SeqCst);
    *consul.weight.lock().expect("no panic") = 7;
    consul.failing.send_replace(vec!["b"]);
    let mut told = met.crowd.ailing[0].follow();
    while told.next().await.value().is_some() {}
    assert!(met.crowd.heard().await.value().is_none());
    consul.away.store(false, Ordering::SeqCst);
    for entries in &met.entries {
        until(entries, |e| e.weight == 7).await;
    }
    assert_eq!(consul.read().len(), 2);
}

#[test]
fn a_front_that_changes_while_it_is_read_is_not_settled_by_that_reading() {
    let (feed, entries) = Watch::fed();
    let one = One {
        service: "a".into(),
        own: true,
        feed,
        news: Box::new(|_| ()),
    };
    let mut rounds = Rounds::of("gate".into(), vec![one]);
    let told = |services: &[&str]| {
        let checks: Vec<Check> = services.iter().map(|s| check(s)).collect();
        Seen::known(Arc::new(digests(&checks, "gate")), now())
    };
    rounds.hear(0, told(&[]));
    assert_eq!(rounds.next(), None, "the other state has not been told");
    rounds.hear(1, told(&[]));
    assert_eq!((rounds.next(), rounds.next()), (Some(0), None));
    rounds.hear(0, told(&["a"]));
    rounds.answered(0, Ok(Vec::new()), now());
    assert!(!entries.settled());
    assert_eq!(rounds.next(), Some(0));
    rounds.answered(0, Ok(Vec::new()), now());
    assert!(entries.settled());
}

/// Rounds of so many fronts of which each has been read once, and their readings.
fn read_once(count: usize) -> (Rounds, Vec<Watch<Vec<FrontEntry>>>) {
    let one = |k: usize| {
        let (feed, entries) = Watch::fed();
        let one = One {
            service: ServiceName::new(format!("front-{k}")),
            own: true,
            feed,
            news: Box::new(|_| ()),
        };
        (one, entries)
    };
    let (fronts, entries): (Vec<One>, Vec<_>) = (0..count).map(one).unzip();
    let mut rounds = Rounds::of("gate".into(), fronts);
    for state in 0..AILING.len() {
        rounds.hear(state, Seen::known(Arc::default(), now()));
    }
    while let Some(k) = rounds.next() {
        rounds.answered(k, Ok(Vec::new()), now());
    }
    assert!(entries.iter().all(Watch::settled));
    (rounds, entries)
}

fn applied(index: u64) -> Seen<Arc<Keys>> {
    keys([report("gate", "front-0", index)])
}

#[test]
fn what_was_applied_is_read_until_the_agent_has_had_time_to_tell_its_servers() {
    let (mut rounds, entries) = read_once(1);
    let read = |rounds: &mut Rounds| {
        let k = rounds.next();
        k.into_iter()
            .for_each(|k| rounds.answered(k, Ok(Vec::new()), now()));
        (k, entries[0].settled())
    };
    rounds.applied(&applied(1));
    assert_eq!(read(&mut rounds), (Some(0), true), "it stood there before");
    rounds.applied(&applied(2));
    assert_eq!(read(&mut rounds), (Some(0), false));
    rounds.again();
    assert_eq!(read(&mut rounds), (Some(0), false));
    (1..LATER[1]).for_each(|_| rounds.again());
    assert_eq!(read(&mut rounds), (Some(0), true));
    assert_eq!(read(&mut rounds).0, None);
}

#[test]
fn none_waits_for_ever_for_others_that_change_all_the_time() {
    let (mut rounds, _entries) = read_once(3);
    (0..3).for_each(|k| rounds.ask(k));
    for wanted in [0, 1, 2, 0, 1] {
        assert_eq!(rounds.next(), Some(wanted));
        rounds.answered(wanted, Ok(Vec::new()), now());
        rounds.ask(0);
        rounds.ask(1);
    }
}

#[test]
fn while_checks_are_not_told_no_reading_is_taken_for_what_stands() {
    let (mut rounds, entries) = read_once(2);
    rounds.hear(1, Seen::unknown("Consul is away"));
    assert!(entries.iter().all(|e| !e.settled()));
}
