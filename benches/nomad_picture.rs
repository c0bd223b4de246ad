//! What the picture of a large cluster costs: one event against reading everything again.

#[path = "estate/rows.rs"]
mod rows;

use criterion::{BatchSize, Criterion};
use foreshadow::clients::nomad::picture::Picture;
use foreshadow::clients::nomad::{Alloc, EventBatch, Node, NodeStub};
use nix::time::ClockId;
use rows::Place;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const NODES: usize = 10_000;
const ALLOCS: usize = 50_000;

fn node(n: usize) -> String {
    rows::node(n, &format!("dc-{}", n % 40), "ready", 10 + n)
}

fn alloc(n: usize, status: &str, index: usize) -> String {
    let place = Place {
        id: &format!("{n:08x}-9db4-37e0-d058-2490c99bb03b"),
        job: &format!("job-{}", n / 10),
        group: "web",
        node: n % NODES,
        port: 25_994,
        created: 1_795_506_630_891_808_433,
    };
    rows::alloc(&place, "run", status, index)
}

struct Lists {
    nodes: String,
    allocs: String,
}

fn lists() -> Lists {
    Lists {
        nodes: rows::list((0..NODES).map(node)),
        allocs: rows::list((0..ALLOCS).map(|n| alloc(n, "running", 100 + n))),
    }
}

fn load(lists: &Lists) -> Picture {
    let nodes: Vec<NodeStub> = serde_json::from_str(&lists.nodes).expect("the node list");
    let allocs: Vec<Alloc> = serde_json::from_str(&lists.allocs).expect("the allocation list");
    let mut picture = Picture::default();
    let nodes = nodes.into_iter().map(|s| Arc::new(Node::from(s)));
    picture.list_nodes(nodes.collect(), 200_000);
    picture.list_allocs(allocs.into_iter().map(Arc::new).collect(), 200_000);
    picture
}

fn line(n: usize) -> String {
    let index = 200_001 + n;
    let status = if n.is_multiple_of(2) {
        "running"
    } else {
        "failed"
    };
    let alloc = alloc(n * 7919 % ALLOCS, status, index);
    rows::event("Allocation", "AllocationUpdated", &alloc, index)
}

/// The line of an event, as the next one.
fn read(line: &str, index: &mut u64) -> EventBatch {
    let mut batch: EventBatch = serde_json::from_str(line).expect("an event");
    *index += 1;
    batch.index = *index;
    batch
}

/// Reads the line of an event, takes it in, and asks what changed.
fn one_event(picture: &mut Picture, line: &str, index: &mut u64) {
    picture.apply(read(line, index));
    black_box(picture.drain());
}

/// Best of a few in this thread's processor time, which a busy machine does not stretch; for the ratio that is printed.
fn best<T>(runs: u32, mut what: impl FnMut() -> T) -> Duration {
    let times = (0..runs).map(|_| {
        let began = used();
        let made = what();
        let took = used() - began;
        drop(made);
        took
    });
    times.min().unwrap_or_default()
}

fn used() -> Duration {
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    clock.now().map(Duration::from).unwrap_or_default()
}

fn main() {
    let lists = lists();
    println!(
        "lists: {NODES} nodes in {:.1} MB, {ALLOCS} allocations in {:.1} MB",
        lists.nodes.len() as f64 / 1e6,
        lists.allocs.len() as f64 / 1e6
    );
    let mut criterion = Criterion::default()
        .sample_size(10)
        .measurement_time(Duration::from_secs(5))
        .configure_from_args();
    let mut picture = load(&lists);
    picture.drain();
    let lines: Vec<String> = (0..1000).map(line).collect();
    let mut at = 0;
    let mut index = 300_000;
    criterion.bench_function("one event: read, taken in, told", |b| {
        b.iter(|| {
            at = (at + 1) % lines.len();
            one_event(&mut picture, &lines[at], &mut index);
        });
    });
    let batches: Vec<EventBatch> = lines
        .iter()
        .map(|l| serde_json::from_str(l).expect("an event"))
        .collect();
    criterion.bench_function("one event: taken in", |b| {
        b.iter_batched(
            || {
                index += 1;
                let mut batch = batches[index as usize % batches.len()].clone();
                batch.index = index;
                batch
            },
            |batch| picture.apply(batch),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("baseline: everything read again from the lists", |b| {
        b.iter_with_large_drop(|| load(&lists));
    });
    let fresh = &mut load(&lists);
    fresh.drain();
    let events = best(5, || {
        for line in &lines {
            one_event(fresh, line, &mut index);
        }
    }) / 1000;
    let everything = best(3, || load(&lists));
    let all: Vec<EventBatch> = lines.iter().map(|l| read(l, &mut index)).collect();
    let taken_in = best(1, || {
        for batch in &all {
            fresh.apply(batch.clone());
        }
    }) / 1000;
    println!(
        "processor time: one event {:.1} µs, of which taken in {:.1} µs; everything again {:.0} ms: ratio {:.0}",
        events.as_secs_f64() * 1e6,
        taken_in.as_secs_f64() * 1e6,
        everything.as_secs_f64() * 1e3,
        everything.as_secs_f64() / events.as_secs_f64()
    );
    criterion.final_summary();
}
