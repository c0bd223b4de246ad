//! What reads the bytes of strangers, each as one function of bytes that panics where a promise is broken. The fuzz targets and
//! `tests/strangers.rs` (which replays corpora and past findings on every run of the tests) share this file.

use foreshadow::act;
use foreshadow::cli::series;
use foreshadow::clients::consul as told_by_consul;
use foreshadow::clients::nomad as told_by_nomad;
use foreshadow::clients::nomad::picture::{Picture, Which};
use foreshadow::clients::{dns as srv_answers, prometheus};
use foreshadow::engine::{self, startup};
use foreshadow::forecast;
use foreshadow::load::access::AccessLog;
use foreshadow::load::{Rate, Replay, srv, trace};
use foreshadow::model::*;
use foreshadow::observe;
use foreshadow::planner;
use foreshadow::sandbox;
use foreshadow::settings;
use foreshadow::store::Store;
use hickory_proto::op::Message;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Reads bytes.
pub type Reader = fn(&[u8]);

/// The name of each target, and what it does with bytes.
pub const TARGETS: [(&str, Reader); 9] = [
    ("policy", policy),
    ("job", job),
    ("csv", csv),
    ("access_log", access_log),
    ("nomad", nomad),
    ("consul", consul),
    ("dns", dns),
    ("journal", journal),
    ("store", store),
];

/// A grid or a log longer than this costs more than it tells here.
const FEW: usize = 300;

/// A wrong place that lies in the file: an editor can go there.
fn lies_within(text: &str, line: usize, column: usize) {
    let lines = text.split('\n').count();
    assert!((1..=lines).contains(&line), "line {line} of {lines}");
    let length = text.split('\n').nth(line - 1).map_or(0, str::len);
    assert!(
        (1..=length + 2).contains(&column),
        "column {column} of {length} in line {line}"
    );
}

/// Policies, configurations and scenarios: HCL that people write.
pub fn policy(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let place = |e: &settings::Error| {
        if let settings::Error::At { line, column, .. } = e {
            lies_within(&text, *line, *column);
        }
    };
    match settings::parse_policy("p.hcl", &text) {
        Ok(policy) => {
            assert!(!policy.portions.is_empty(), "a policy of nothing");
            let a = planner::risk::appetite(policy.risk_tolerance, policy.season);
            assert!(a.sure.is_finite() && a.shadow_every.0 > 0, "{a:?}");
        }
        Err(e) => place(&e),
    }
    if let Err(e) = settings::parse_config("c.hcl", &text) {
        place(&e);
    }
    let estate = sandbox::estate::Estate::builtin(
        sandbox::block::Block::new(1).expect("a block of addresses"),
    );
    if let Err(e) = sandbox::scenario::Scenario::parse(&text, "s.hcl", &estate) {
        lies_within(&text, e.line, e.column);
    }
}

/// Job files, and what is made of a job: portions, and what a group needs.
pub fn job(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match sandbox::nomad::parse_job(&text) {
        Ok(parsed) => {
            let job = JobSpec::new(parsed);
            look_into(&job);
        }
        Err(e) => assert!(!e.to_string().is_empty()),
    }
}

fn look_into(job: &JobSpec) {
    let names: Vec<Group> = job
        .groups()
        .filter_map(|g| g.get("Name")?.as_str())
        .map(Group::new)
        .collect();
    for group in &names {
        let (_, _, _) = (job.count(group), job.needs(group), job.host_volumes(group));
    }
    for portion in planner::portions(job, None) {
        assert!(!portion.groups.is_empty(), "a portion of nothing");
    }
    let _ = planner::lint::lint(job, job, &[], &Resources::default());
}

/// Traces, failures, and the series of `forecast` and `backtest`.
pub fn csv(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(points) = trace::parse_series(&text, "t.csv") {
        let rate = Rate::new(&points, points[0].0, 2.0);
        assert!(rate.at(Duration::from_secs(1)) >= 0.0);
    }
    let _ = trace::parse_events(&text, "e.csv");
    let Ok(readings) = series::parse(&text, "s.csv") else {
        return;
    };
    let rates = forecast::series::rates(&readings);
    for readings in [&readings, &rates] {
        let Ok(samples) = forecast::regular(readings, None) else {
            continue;
        };
        let clean = forecast::series::clean(&samples);
        assert!(clean.y.iter().all(|y| y.is_finite()), "a gap is left");
        if samples.values.len() <= FEW {
            promising(&samples);
        }
    }
}

/// Never a negative demand, and quantiles that never cross.
fn promising(samples: &forecast::Samples) {
    let made = forecast::Fit::new(samples, 3, None, None).forecast(3, &[0.1, 0.5, 0.9], 1.0);
    for point in &made.points {
        assert!(point.mean >= 0.0 && point.mean.is_finite(), "{point:?}");
        let rising = point.quantiles.windows(2).all(|q| q[0] <= q[1]);
        assert!(rising && point.quantiles[0] >= 0.0, "{point:?}");
    }
}

/// Access logs in their three forms, and the requests that a shadow is sent of them; the text of a metrics endpoint.
pub fn access_log(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(log) = AccessLog::parse(&text, "a.log", &[]) {
        assert!(
            log.requests.is_sorted_by_key(|r| r.at),
            "not in order of time"
        );
        assert!(log.requests.iter().all(|r| r.path.starts_with('/')));
        let _ = log.sentence();
        let methods = ["GET".to_string(), "HEAD".to_string()];
        if let Ok(replay) = Replay::of_log(&log, "a.log", &methods) {
            let _ = (replay.own_rate(), replay.request(1, 7));
        }
    }
    let one = prometheus::Selector::named;
    let wanted = prometheus::Wanted {
        requests: one("requests_total"),
        errors: one("errors_total"),
        latency: one("latency_seconds"),
    };
    let scrape = |at| prometheus::Scrape::parse(&text, &wanted, Moment(at), "http://m");
    if let (Ok(a), Ok(b)) = (scrape(0), scrape(1_000))
        && let Ok(window) = prometheus::Window::between(&a, &b)
    {
        let (_, _, _) = (window.rate(), window.success(), window.quantile(0.99));
    }
}

/// An answer as this type, where it is one.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

/// Every answer of Nomad's that is read, the lines of its event stream, and what is made of them.
pub fn nomad(bytes: &[u8]) {
    use told_by_nomad::{
        Agent, Alloc, AllocStats, Deployment, Evaluation, HostStats, Node, PlanReply, RegisterReply,
    };
    let mut picture = Picture::default();
    for which in Which::ALL {
        picture.begin(which);
    }
    let batches = bytes.split(|b| *b == b'\n').filter_map(read);
    batches.for_each(|batch| picture.apply(batch));
    read(bytes).map(|all: Vec<Arc<Node>>| picture.list_nodes(all, 7));
    read(bytes).map(|all: Vec<Arc<Alloc>>| picture.list_allocs(all, 7));
    read(bytes).map(|all: Vec<Arc<Evaluation>>| picture.list_evals(all, 7));
    let drained = picture.drain();
    let nodes = drained.nodes.into_iter().filter_map(|(_, row)| row);
    nodes
        .chain(read(bytes))
        .for_each(|n| drop(observe::nomad::node(&n, &observe::Names::default())));
    let allocs = drained.allocs.into_iter().filter_map(|(_, row)| row);
    allocs.chain(read(bytes)).for_each(|a| {
        let _ = (
            observe::nomad::alloc(&a, &observe::Names::default()),
            startup::split(&a, Span::secs(5)),
        );
    });
    let evals = drained.evals.into_iter().filter_map(|(_, row)| row);
    evals
        .chain(read(bytes))
        .for_each(|e| drop(observe::nomad::blocked(&e)));
    read(bytes).map(|s: AllocStats| observe::nomad::usage(&s));
    read(bytes).map(|a: Agent| (a.version(), a.features().all()));
    if let Some(spec) = read::<JobSpec>(bytes) {
        let _ = told_by_nomad::Job::from_spec(spec.clone());
        look_into(&spec);
    }
    let _ = (
        read::<HostStats>(bytes),
        read::<PlanReply>(bytes),
        read::<RegisterReply>(bytes),
    );
    let _ = (
        read::<Vec<told_by_nomad::JobStub>>(bytes),
        read::<Vec<Deployment>>(bytes),
    );
}

/// Every answer of Consul's that is read, what stands under `foreshadow/`, and what a gateway would do about it.
pub fn consul(bytes: &[u8]) {
    use told_by_consul::{
        Agent, AgentEntry, AgentService, ConfigEntry, Coordinate, DatacenterCoordinates,
    };
    use told_by_consul::{
        DiscoveryChain, KvPair, Member, NodeCoordinate, Registration, ServiceEntry, Session,
    };
    for entry in read::<Vec<ServiceEntry>>(bytes).unwrap_or_default() {
        let _ = (entry.is_passing(), entry.address(), entry.in_maintenance());
        let _ = (
            observe::consul::entry(&entry, &observe::Names::default()),
            observe::consul::of_others(&entry, &observe::Names::default()),
        );
    }
    if let Some(pairs) = read::<Vec<KvPair>>(bytes) {
        let keys = observe::keys::Keys::of(&pairs, &mut observe::keys::Read::default());
        keys.targets
            .into_iter()
            .flatten()
            .for_each(|(_, t)| weigh(&t));
    }
    if let Some(target) = read(bytes) {
        weigh(&target);
    }
    let _ = (read::<Applied>(bytes), read::<act::Said>(bytes));
    for entry in read::<Vec<AgentEntry>>(bytes).unwrap_or_default() {
        let _ = (
            entry.passes(),
            entry.in_maintenance(),
            Registration::reweighted(&entry.service, 7),
        );
    }
    let _ = read::<std::collections::BTreeMap<String, AgentService>>(bytes);
    read(bytes).map(|a: Agent| (a.version(), a.datacenter().len(), a.node_name().len()));
    for member in read::<Vec<Member>>(bytes).unwrap_or_default() {
        let _ = (member.reachability(), member.datacenter());
    }
    let nodes = read::<Vec<NodeCoordinate>>(bytes).unwrap_or_default();
    let points: Vec<Coordinate> = nodes.into_iter().map(|n| n.coord).collect();
    for pair in points.windows(2) {
        let rtt = pair[0].rtt_to(&pair[1]);
        assert!(rtt.is_none_or(f64::is_finite), "{rtt:?}");
    }
    let _ = (
        read::<Vec<DatacenterCoordinates>>(bytes),
        read::<DiscoveryChain>(bytes),
        read::<Vec<Session>>(bytes),
    );
    read(bytes).map(|v| ConfigEntry(v).modify_index());
}

/// What a gateway does with a target that anyone who may write there could have put into Consul.
fn weigh(target: &Target) {
    let entries = act::entries::entries(target, &target.shares());
    for entry in &entries {
        assert!(entry.id.starts_with(act::entries::PREFIX), "{}", entry.id);
        let within = entry.weight.is_none_or(|w| (1..=100).contains(&w));
        assert!(within, "Consul refuses the weight of {entry:?}");
    }
    for lost in target.instances.iter().take(4) {
        let failing = [lost.alloc.clone()];
        let _ = act::entries::is_over(target, &failing);
        if let Some(c) = act::entries::contingency(target, &failing) {
            let _ = act::entries::entries(target, &c.shares.to_map());
        }
    }
    let _ = act::entries::changes(&entries, &[], &target.service);
}

/// DNS messages, and the instances that they name.
pub fn dns(bytes: &[u8]) {
    let Ok(message) = Message::from_vec(bytes) else {
        return;
    };
    let _ = srv_answers::records(&message.answers, &message.additionals);
    let (found, unresolved) = srv::instances(&message.answers, &message.additionals);
    assert!(found.len() + unresolved.len() <= message.answers.len());
    let mut dice = Xoshiro256PlusPlus::seed_from_u64(7);
    let picked = srv::pick(&found, |i| i.weight > 3, &mut dice);
    assert_eq!(picked.is_none(), found.is_empty(), "an instance is lost");
}

/// A step of the journal as Consul's KV and the store hold it: what may be made of it after a restart.
pub fn journal(bytes: &[u8]) {
    let Some(entry) = read::<JournalEntry>(bytes) else {
        return;
    };
    let text = serde_json::to_vec(&entry).expect("what was read can be written");
    let again: JournalEntry = serde_json::from_slice(&text).expect("and be read again");
    assert_eq!(again.step.id, entry.step.id);
    assert_eq!(entry.brief().step.action.verb(), entry.step.action.verb());
    let blind = World::unknown(Moment(0), "not read");
    let settled = engine::recover(std::slice::from_ref(&entry), &blind, Moment(1));
    let unseen = settled
        .iter()
        .all(|e| matches!(entry.step.action, Action::MeasureShadow { .. }) && e.state.is_final());
    assert!(unseen, "an unknown world settles {:?}", entry.step.action);
    let mut world = blind;
    world.jobs = Seen::known(Default::default(), Moment(1));
    let _ = engine::inherited(&[entry], &world, Moment(0), Moment(2));
}

/// A store's file as a disk may give it back: it is opened or refused with words, and whatever is read of it is read or refused.
pub fn store(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for the file");
    let path = folder.path().join("a.db");
    std::fs::write(&path, bytes).expect("the file can be written");
    let now = Moment(1_772_625_600_000);
    let Ok(store) = Store::open_or_mend(&path, now) else {
        return;
    };
    all_of(&store);
    drop(store);
    let again = Store::open_or_mend(&path, now).expect("what was opened can be opened again");
    assert_eq!(again.mended(), None, "mending left damage");
}

/// Reads all that is read, and goes on writing; an error is an answer.
fn all_of(store: &Store) {
    let _ = (
        store.beliefs().map(drop),
        store.recent(9),
        store.open_steps(),
        store.is_new(),
        store.size(),
    );
    let _ = store.history(Span::secs(60), Moment(0));
    let _ = store.demand(&PortionId::new("web"), Span::secs(1), Moment(i64::MIN));
    let _ = store.demand(&PortionId::new("web"), Span::secs(1), Moment(0));
    let sample = Memo::Sample {
        portion: PortionId::new("web"),
        at: Moment(60_000),
        rate: Rps(1.0),
    };
    let _ = store.remember(&[sample]);
    let _ = store.compact(Moment(900 * 86_400_000));
}

/// Replays every file of a folder; how many there were. A panic is preceded by the file's name.
pub fn replay(target: Reader, folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let paths = entries.flatten().map(|e| e.path());
    let mut files: Vec<_> = paths.filter(|path| path.is_file()).collect();
    files.sort();
    for file in &files {
        let bytes = std::fs::read(file).expect("a case can be read");
        println!("{}", file.display());
        target(&bytes);
    }
    files.len()
}
