//! Gateways' own probes: they see a death before Consul's check does, two vantage points are needed, and nobody is probed who
//! does not allow it. Consul's own checks are too slow here to take part.

use super::*;
use foreshadow::act::Said;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// So rarely does Consul look by itself.
const RARELY: Duration = Duration::from_secs(3_600);
/// A contingency is ended after ten seconds without a failure, and looked at every twenty.
const LONGER: Duration = Duration::from_secs(45);
/// After so many connections at least three have been taken for good answers.
const KNOWN: u64 = 5;

/// Accepts and says nothing, which is not what a death looks like; counts who came. Dropped, its port refuses.
struct Server {
    at: SocketAddr,
    came: watch::Receiver<BTreeMap<IpAddr, u64>>,
    _serving: DropGuard,
}

impl Server {
    fn start(ip: &str) -> Server {
        Server::at(SocketAddr::new(ip.parse().unwrap(), 0))
    }

    fn at(at: SocketAddr) -> Server {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(at).unwrap();
        let listener = socket.listen(64).unwrap();
        let (count, came) = watch::channel(BTreeMap::new());
        let stop = CancellationToken::new();
        let at = listener.local_addr().unwrap();
        tokio::spawn(count_all(listener, count, stop.clone()));
        Server {
            at,
            came,
            _serving: stop.drop_guard(),
        }
    }

    /// Waits until each of these has connected so often.
    async fn knows(&self, from: &[&str], times: u64) {
        let from: Vec<IpAddr> = from.iter().map(|ip| ip.parse().unwrap()).collect();
        let mut came = self.came.clone();
        let enough = came.wait_for(|c| from.iter().all(|ip| c.get(ip) >= Some(&times)));
        let enough = tokio::time::timeout(PATIENCE, enough).await;
        assert!(
            enough.is_ok_and(|e| e.is_ok()),
            "{:?} of {times}",
            self.came.borrow()
        );
    }

    fn is_unknown(&self) -> bool {
        self.came.borrow().is_empty()
    }
}

async fn count_all(
    listener: TcpListener,
    count: watch::Sender<BTreeMap<IpAddr, u64>>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        if let Ok((_, from)) = accepted {
            count.send_modify(|c| *c.entry(from.ip()).or_default() += 1);
        }
    }
}

/// A gateway that probes the service, from an address of its own.
fn gateway(id: &str, agent: &Agent, ip: &str) -> Bench {
    let probing = Probing {
        services: BTreeSet::from([SERVICE.into()]),
        vantage: id.into(),
        source: Some(ip.parse().unwrap()),
    };
    Bench::probing(id, agent, None, probing)
}

async fn register(bench: &Bench, alloc: &AllocId, at: SocketAddr) {
    let check = CheckDefinition {
        id: format!("_nomad-check-{alloc}"),
        name: "alive".into(),
        probe: Probe::Tcp {
            address: at.to_string(),
        },
        interval: RARELY,
        timeout: Duration::from_secs(1),
        initial: Some(Status::Passing),
        deregister_after: None,
    };
    let own = Registration {
        id: format!("_nomad-task-{alloc}-group-web-{SERVICE}-http"),
        name: SERVICE.into(),
        address: at.ip().to_string(),
        port: at.port(),
        passing_weight: 1,
        warning_weight: 1,
        checks: vec![check],
        ..Registration::default()
    };
    bench.consul.register(&own).await.unwrap();
}

/// 60 % and 40 % at two sites; all to the second one when the first one's node fails.
fn prepared(one: SocketAddr, two: SocketAddr) -> Target {
    let on = |n, at: SocketAddr, site: &str, percent| Instance {
        site: site.into(),
        ..instance(alloc(n), &at.ip().to_string(), at.port(), percent)
    };
    let shares = [(alloc(1), Share::NONE), (alloc(2), Share::ALL)];
    let instances = vec![on(1, one, "edge-a", 60), on(2, two, "edge-b", 40)];
    Target {
        contingencies: vec![Contingency {
            domain: Domain::Node("n".into()),
            lost: [alloc(1)].into(),
            shares: BTreeMap::from(shares).into(),
            stake: None,
        }]
        .into(),
        ..target(Owner::Agent, instances)
    }
}

/// A gateway with both instances registered and in the target.
async fn one_gateway(agent: &Agent, ip: &str) -> (Bench, Server, Server) {
    let bench = gateway("edge-a", agent, ip);
    let (a, b) = (Server::start(ip), Server::start(ip));
    register(&bench, &alloc(1), a.at).await;
    register(&bench, &alloc(2), b.at).await;
    bench.apply(&prepared(a.at, b.at)).await;
    (bench, a, b)
}

/// The first instance is in maintenance, and whether Consul's own check of it still passes.
fn out(entries: &[ServiceEntry]) -> Option<bool> {
    let entry = of(entries, alloc(1).as_str())?;
    entry.in_maintenance().then(|| entry.is_passing())
}

fn serves(entries: &[ServiceEntry]) -> bool {
    of(entries, alloc(1).as_str()).is_some_and(|e| e.is_passing() && !e.in_maintenance())
}

/// Speaks as a gateway elsewhere.
async fn says(bench: &Bench, dead: &[SocketAddr]) {
    let said = Said {
        gateway: "edge-b".into(),
        vantage: "edge-b".into(),
        dead: dead.iter().copied().collect(),
        times: 1,
    };
    let (key, value) = (
        keys::suspects(&said.gateway),
        serde_json::to_vec(&said).unwrap(),
    );
    assert!(bench.consul.kv_put(&key, &value, None).await.unwrap());
}

/// Waits until the gateway has said this so many times.
async fn has_said(bench: &Bench, dead: &[SocketAddr], times: usize) {
    let key = keys::suspects(&bench.desk.gateway.id);
    let dead: BTreeSet<SocketAddr> = dead.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let mut wait = None;
    let said = async {
        while seen.len() < times {
            let found = bench.consul.kv_get(&key, None, false, wait).await.unwrap();
            wait = Some(found.next(Duration::from_secs(10)));
            if let Some(pair) = found.value {
                let said: Said = serde_json::from_slice(&pair.value).unwrap();
                if said.dead == dead {
                    seen.insert(pair.modify_index);
                }
            }
        }
    };
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_| panic!("never {times} times: {dead:?}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_that_two_gateways_see_is_answered_while_consuls_own_check_still_says_passing() {
    let (first, second) = ("127.0.215.1", "127.0.215.2");
    let Some(server) = Agent::start("probe-first", first, "") else {
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let more = format!(
        r#", "server": false, "data_dir": "{}", "retry_join": ["{first}"]"#,
        data.path().display()
    );
    let client = Agent::start("probe-second", second, &more).unwrap();
    let (a, b, quiet) = (
        Server::start(first),
        Server::start(second),
        Server::start(first),
    );
    let one = gateway("edge-a", &server, first);
    let two = gateway("edge-b", &client, second);
    register(&one, &alloc(1), a.at).await;
    register(&two, &alloc(2), b.at).await;
    one.until("both pass", |e| passing(e, 2)).await;
    // A service of which no policy says that it may be probed.
    let unasked = Target {
        service: "quiet".into(),
        ..target(
            Owner::Agent,
            vec![instance(alloc(3), first, quiet.at.port(), 100)],
        )
    };
    one.apply(&unasked).await;
    let all = prepared(a.at, b.at);
    let index = one.put(&all).await;
    one.applied(&all, index).await;
    two.applied(&all, index).await;
    a.knows(&[first, second], KNOWN).await;

    let at = a.at;
    drop(a);
    let entries = one.until("the dead one out", |e| out(e).is_some()).await;
    assert_eq!(out(&entries), Some(true), "Consul's check has seen nothing");
    let key = keys::applied(&one.desk.gateway.id, &SERVICE.into());
    let mut wait = None;
    let report = loop {
        let found = one.consul.kv_get(&key, None, false, wait).await.unwrap();
        wait = Some(found.next(Duration::from_secs(10)));
        let report: Applied = serde_json::from_slice(&found.value.unwrap().value).unwrap();
        if report.contingency.is_some() {
            break report;
        }
    };
    assert_eq!(report.suspected, [alloc(1)]);
    assert!(report.reaction.is_some());
    // What is reported is written at the agent, which tells the catalogue a moment later.
    let all_to_the_other = |all: &[ServiceEntry]| {
        let left = all.iter().filter(|e| !e.in_maintenance());
        let left: Vec<_> = left
            .map(|e| (e.service.port, e.service.weights.passing))
            .collect();
        left == [(b.at.port(), 1)]
    };
    one.until("all to the other one", all_to_the_other).await;
    assert_eq!(one.srv().await, [(b.at.port(), 1)]);

    // A target of a leader who goes by Consul's checks does not bring it back.
    one.apply(&all).await;
    let health = HealthQuery::default();
    let entries = one.consul.health_service(SERVICE, health).await.unwrap();
    assert_eq!(out(&entries.value), Some(true));

    let a = Server::at(at);
    let again = async {
        let mut query = HealthQuery::default();
        loop {
            let seen = one.consul.health_service(SERVICE, query).await.unwrap();
            if serves(&seen.value) {
                return seen.value;
            }
            query.wait = Some(seen.next(Duration::from_secs(10)));
        }
    };
    let again = tokio::time::timeout(LONGER, again).await;
    let entries = again.expect("once it answers again, it serves again");
    let weight = of(&entries, alloc(1).as_str())
        .unwrap()
        .service
        .weights
        .passing;
    assert_eq!(weight, 3, "as the target says");
    a.knows(&[first, second], 10).await;
    b.knows(&[first, second], KNOWN).await;
    assert!(quiet.is_unknown(), "{:?}", quiet.came.borrow());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_gateway_alone_probes_nobody_and_takes_nobody_out_before_another_agrees() {
    let ip = "127.0.215.3";
    let Some(agent) = Agent::start("probe-alone", ip, "") else {
        return;
    };
    let (bench, a, _b) = one_gateway(&agent, ip).await;
    has_said(&bench, &[], 1).await;
    assert!(a.is_unknown(), "nobody could confirm what it sees");

    says(&bench, &[]).await;
    a.knows(&[ip], KNOWN).await;
    let at = a.at;
    drop(a);
    has_said(&bench, &[at], 2).await;
    let health = HealthQuery::default();
    let seen = bench.consul.health_service(SERVICE, health).await.unwrap();
    assert!(
        serves(&seen.value),
        "the other one has not found it: {seen:?}"
    );
    says(&bench, &[at]).await;
    let entries = bench.until("out", |e| out(e).is_some()).await;
    assert_eq!(out(&entries), Some(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_keeps_a_suspect_serving_until_it_is_lifted() {
    let ip = "127.0.215.4";
    let Some(agent) = Agent::start("probe-hold", ip, "") else {
        return;
    };
    let (bench, a, _b) = one_gateway(&agent, ip).await;
    says(&bench, &[]).await;
    a.knows(&[ip], KNOWN).await;

    let consul = &bench.consul;
    assert!(consul.kv_put(keys::HOLD, b"on", None).await.unwrap());
    let at = a.at;
    drop(a);
    has_said(&bench, &[at], 1).await;
    says(&bench, &[at]).await;
    has_said(&bench, &[at], 2).await;
    let health = HealthQuery::default();
    let seen = consul.health_service(SERVICE, health).await.unwrap();
    assert!(serves(&seen.value), "{seen:?}");
    assert!(consul.kv_delete(keys::HOLD, None, None).await.unwrap());
    let entries = bench.until("out", |e| out(e).is_some()).await;
    assert_eq!(out(&entries), Some(true));
}
