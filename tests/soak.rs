//! An hour and a half at sixty times its speed through the real loop and the real store, over the simulated estate: memory, file
//! handles and the store come to rest, whatever happens meanwhile.
//!
//! `cargo test --test soak -- --nocapture` shows what was measured each ten minutes. It takes 90 s, or so many as `FORESHADOW_SOAK` says.
#![allow(clippy::disallowed_methods)] // a clock that runs sixty times as fast is made here, and the environment says for how long

use foreshadow::engine::simulate::keeping;
use foreshadow::engine::view::{Mode, View};
use foreshadow::engine::{Rules, Shell, State, Workload, run};
use foreshadow::guard::Lease;
use foreshadow::model::*;
use foreshadow::sandbox::simulated::{
    Fault, Kind, Setup, Simulated, SimulatedEyes, SimulatedHands, Spec, share,
};
use foreshadow::settings;
use foreshadow::store::Store;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// So much faster than time passes.
const SPEED: i64 = 60;
/// What it lasts unless told otherwise, by a watch.
const LASTS: i64 = 90;
/// By then everything that is kept for looking back has come to most of its size.
const WARM: Span = Span::secs(40 * 60);
const EVERY: Span = Span::secs(15);
const STEP: Span = Span::secs(15);
/// Readings are kept so long as they came.
const KEEP: Span = Span::secs(600);
/// What was learnt and done is kept so much longer.
const REST: Span = Span(KEEP.0 * 45 / 4);
/// Averages over this stand for older readings: rows are rolled up when all of one are past their time.
const AVERAGED: Span = Span::secs(300);
const BEGIN: Moment = Moment(1_795_500_000_000);
/// Megabytes that memory may differ by once warm: the allocator's own, and points of charts and pages to look back at, which fill up
/// to their limits (360 points, 400 pages) in more turns than there are here. Five were measured.
const FLAT: f64 = 12.0;
/// Kilobytes that the store comes to at most: at rest, over four hours, it was measured to be 5,900.
const FULL: f64 = 6_656.0;
/// What it may grow by once there.
const FILLS: f64 = 1_024.0;
/// Handles that SQLite and the runtime may hold for a moment more or less.
const HANDLES: usize = 3;

/// How long it lasts, by the clock of the estate.
fn lasts() -> Span {
    let asked = std::env::var("FORESHADOW_SOAK").ok();
    let asked = asked.map(|s| s.parse::<i64>().expect("FORESHADOW_SOAK is in seconds"));
    Span::secs(asked.unwrap_or(LASTS) * SPEED)
}

/// The clock of the estate.
fn clock() -> Moment {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    let since = BEGAN.get_or_init(Instant::now).elapsed();
    BEGIN + Span(since.as_millis() as i64 * SPEED)
}

/// Looks at the world as it is by then, and has the right to act renewed.
struct Looking {
    world: Arc<Mutex<Simulated>>,
    eyes: SimulatedEyes,
    leases: watch::Sender<Option<Arc<Lease>>>,
}

impl Eyes for Looking {
    fn look(&self, now: Moment) -> Later<'_, World> {
        let lead = {
            let mut world = self.world.lock().expect("nobody panics in it");
            while world.pass(now) < now {}
            world.lead()
        };
        let lease = lead.map(|(epoch, until)| Arc::new(Lease::new(epoch, until)));
        self.leases.send_replace(lease);
        self.eyes.look(now)
    }
}

fn policy() -> Policy {
    let text = include_str!("../policies/fleet.hcl");
    let policy = settings::parse_policy("policies/fleet.hcl", text).expect("the fleet's policy");
    Policy {
        step: STEP,
        season: Span::secs(1_800),
        ..policy
    }
}

/// Demand that rises and falls twice an hour.
fn trace(peak: f64) -> Series {
    let at = |k: i64| peak * (0.6 + 0.4 * (k as f64 / 30.0 * std::f64::consts::TAU).sin());
    Series {
        start: BEGIN - Span::secs(7_200),
        step: Span::secs(60),
        values: (0..lasts().0 / 60_000 + 270).map(at).collect(),
    }
}

/// Each three minutes a machine stops for one, another one each time.
fn faults(spec: &Spec) -> Vec<Fault> {
    let fault = |k: i64| Fault {
        at: BEGIN + Span::secs(180 * (k + 1)),
        lasts: Span::secs(60),
        kind: Kind::NodeDies(k as usize % spec.nodes.len()),
    };
    (0..lasts().0 / 180_000 - 1).map(fault).collect()
}

/// What was measured at one time.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Span,
    turns: u64,
    resident: f64,
    handles: usize,
    readings: u64,
    /// Age of the oldest of them.
    oldest: Span,
    pages: u64,
    kilobytes: u64,
}

impl Sample {
    fn take(store: &Path, turns: u64) -> Sample {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<f64>().ok());
        let handles = std::fs::read_dir("/proc/self/fd").expect("Linux").count();
        let db = Connection::open(store).expect("the store is there");
        let count = |table: &str| {
            let sql = format!("SELECT count(*) FROM {table}");
            db.query_row(&sql, [], |row| row.get::<_, i64>(0))
                .expect("a count") as u64
        };
        let now = clock();
        let oldest = "SELECT min(at) FROM reading";
        let oldest = db.query_row(oldest, [], |row| row.get::<_, Option<i64>>(0));
        let oldest = oldest.expect("an answer").map_or(now, Moment);
        let bytes = std::fs::metadata(store).map_or(0, |m| m.len());
        Sample {
            at: now.since(BEGIN),
            turns,
            oldest: now.since(oldest),
            resident: kib.expect("a size") / 1024.0,
            handles,
            readings: count("reading"),
            pages: count("page"),
            kilobytes: bytes / 1024,
        }
    }
}

fn shell(store: Arc<Store>, policy: &Policy) -> (Shell, mpsc::Sender<()>) {
    let spec = Spec::new(policy.clone(), Vec::new());
    let setup = Setup {
        faults: faults(&spec),
        spec,
        trace: trace(policy.peak_rps.0),
        from: BEGIN - Span::secs(60),
        seed: 1,
        plain: false,
        keeping: keeping(),
    };
    let world = share(Simulated::new(setup));
    let (leases_in, leases) = watch::channel(None);
    let eyes: Arc<dyn Eyes> = Arc::new(Looking {
        eyes: SimulatedEyes {
            world: world.clone(),
        },
        world: world.clone(),
        leases: leases_in,
    });
    let same = eyes.clone();
    let (waker, wake) = mpsc::channel(1);
    let (_, rules) = watch::channel(Rules::new(vec![policy.clone()]));
    let (_, commands) = mpsc::channel(1);
    let shell = Shell {
        eyes,
        rules,
        open_eyes: Box::new(move |_| same.clone()),
        hands: Arc::new(SimulatedHands { world }),
        store,
        shared: None,
        notes: None,
        leases,
        wake,
        commands,
        reload: mpsc::channel(1).0,
        tune: Arc::new(|_| Ok(())),
        hold: Box::new(|_| Box::pin(async { Ok(()) })),
        every: Span(EVERY.0 / SPEED),
        clock,
        seed: 1,
        waker: waker.clone(),
    };
    (shell, waker)
}

/// The middle of what some samples say.
fn middle(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let mut all: Vec<f64> = samples.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_hour_and_a_half_memory_handles_and_the_store_come_to_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("foreshadow.db");
    let store = Arc::new(Store::open(&path).expect("a store").keeping(KEEP));
    let policy = policy();
    let state = State {
        mode: Mode::Act,
        forecasting: true,
        workloads: vec![Workload {
            policy: policy.clone(),
            ..Workload::default()
        }],
        history: store
            .histories(std::slice::from_ref(&policy), clock())
            .expect("none"),
        ..State::default()
    };
    let (shell, _waker) = shell(store.clone(), &policy);
    let (views_in, views) = watch::channel(Arc::new(View::default()));
    let cancel = CancellationToken::new();
    let wheel = tokio::spawn(run(shell, state, views_in, cancel.clone()));
    let mut samples = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(2));
    while clock().since(BEGIN) < lasts() {
        ticks.tick().await;
        let sample = Sample::take(&path, views.borrow().cycle);
        if sample.at.0 / 600_000 > samples.last().map_or(-1, |s: &Sample| s.at.0 / 600_000) {
            println!("turn {}: {sample:?}", sample.turns);
        }
        samples.push(sample);
    }
    println!("{:?}", samples.last());
    cancel.cancel();
    let state = wheel.await.expect("the wheel turns to the end");
    let view = views.borrow().clone();
    println!("{} cycles, {:?}", state.cycle, view.tally);
    assert!(
        view.tally.switchovers + view.tally.writes > 0,
        "nobody acted"
    );
    at_rest(&samples);
}

fn at_rest(samples: &[Sample]) {
    let warm: Vec<Sample> = samples.iter().copied().filter(|s| s.at >= WARM).collect();
    let (first, last) = (&warm[..6], &warm[warm.len() - 6..]);
    let (was, is) = (middle(first, |s| s.resident), middle(last, |s| s.resident));
    assert!(is - was <= FLAT, "memory grew from {was:.1} to {is:.1} MB");
    let handles = |s: &Sample| s.handles as f64;
    let (was, is) = (middle(first, handles), middle(last, handles));
    assert!(is - was <= HANDLES as f64, "{was} handles became {is}");
    let size = |s: &Sample| s.kilobytes as f64;
    let is = middle(last, size);
    assert!(is <= FULL, "the store has grown to {is} kB");
    // Only a long run comes to where all that is kept has been there once.
    let settled: Vec<Sample> = warm.iter().copied().filter(|s| s.at >= REST).collect();
    if let Some(first) = settled.get(..6) {
        let was = middle(first, size);
        assert!(is - was <= FILLS, "the store grew from {was} to {is} kB");
    }
    // What is kept, what may be past its time until it is rolled up next, and one average that is not whole yet.
    let kept = Span(KEEP.0 + 2 * KEEP.0 / 4 + AVERAGED.0);
    let readings = warm.iter().map(|s| s.readings).max().unwrap_or_default();
    assert!(readings > 0, "nothing was kept at all");
    let oldest = warm.iter().map(|s| s.oldest).max().unwrap_or_default();
    let (is, most) = (oldest.as_secs_f64(), kept.as_secs_f64());
    assert!(
        oldest <= kept,
        "a reading is kept for {is} s, {most} at most"
    );
    let pages = warm.iter().map(|s| s.pages).max().unwrap_or_default();
    assert!(pages <= 400, "{pages} pages are kept");
}
