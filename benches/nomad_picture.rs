//! What the picture of a large cluster costs: one event against reading everything again.

use criterion::{BatchSize, Criterion};
use foreshadow::clients::nomad::picture::Picture;
use foreshadow::clients::nomad::{Alloc, EventBatch, Node, NodeStub};
use nix::time::ClockId;
use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const NODES: usize = 10_000;
const ALLOCS: usize = 50_000;

/// A row of `/v1/nodes?resources=true` in the shape of Nomad 1.0.18.
fn node(n: usize) -> String {
    let dc = n % 40;
    format!(
        r#"{{"Address":"10.{a}.{b}.7","ID":"{n:08x}-5f60-81e7-d979-62cb8e879a70","Datacenter":"dc-{dc}","Name":"node-{n}","NodeClass":"std","Version":"1.0.18","Drain":false,"SchedulingEligibility":"eligible","Status":"ready","StatusDescription":"","Drivers":{{"raw_exec":{{"Attributes":{{"driver.raw_exec":"true"}},"Detected":true,"Healthy":true,"HealthDescription":"Healthy","UpdateTime":"2026-11-24T06:30:21.9Z"}}}},"HostVolumes":null,"NodeResources":{{"Cpu":{{"CpuShares":4000,"TotalCpuCores":2,"ReservableCpuCores":null}},"Memory":{{"MemoryMB":4096}},"Disk":{{"DiskMB":71000}},"Networks":[{{"Mode":"host","Device":"lo","CIDR":"127.0.0.1/32","IP":"127.0.0.1","MBits":1000,"DNS":null,"ReservedPorts":null,"DynamicPorts":null}}],"NodeNetworks":[{{"Mode":"host","Device":"lo","MacAddress":"","Speed":1000,"Addresses":[{{"Family":"ipv4","Alias":"default","Address":"127.0.0.1","ReservedPorts":"","Gateway":""}}]}}],"Devices":null}},"ReservedResources":{{"Cpu":{{"CpuShares":0}},"Memory":{{"MemoryMB":0}},"Disk":{{"DiskMB":0}},"Networks":{{"ReservedHostPorts":""}}}},"CreateIndex":7,"ModifyIndex":{m}}}"#,
        a = n / 250 % 250,
        b = n % 250,
        m = 10 + n
    )
}

/// The allocation of an event, or a row of `/v1/allocations?resources=true&task_states=false`.
fn alloc(n: usize, status: &str, index: usize) -> String {
    let node = n % NODES;
    format!(
        r#"{{"ID":"{n:08x}-9db4-37e0-d058-2490c99bb03b","EvalID":"013e5f3a-4614-0fc4-67ba-17fdf1fca4ce","Name":"job-{job}.web[{k}]","Namespace":"default","NodeID":"{node:08x}-5f60-81e7-d979-62cb8e879a70","NodeName":"node-{node}","JobID":"job-{job}","JobType":"service","JobVersion":3,"TaskGroup":"web","AllocatedResources":{{"Tasks":{{"serve":{{"Cpu":{{"CpuShares":100}},"Memory":{{"MemoryMB":64}},"Networks":null,"Devices":null}}}},"TaskLifecycles":{{"serve":null}},"Shared":{{"Networks":[{{"Mode":"host","Device":"","CIDR":"","IP":"127.0.0.1","MBits":0,"DNS":null,"ReservedPorts":null,"DynamicPorts":[{{"Label":"http","Value":25994,"To":0,"HostNetwork":"default"}}]}}],"DiskMB":300,"Ports":[{{"Label":"http","Value":25994,"To":0,"HostIP":"127.0.0.1"}}]}}}},"DesiredStatus":"run","DesiredDescription":"","ClientStatus":"{status}","ClientDescription":"Tasks are running","DesiredTransition":{{"Migrate":null,"Reschedule":null,"ForceReschedule":null}},"TaskStates":null,"DeploymentStatus":{{"Healthy":true,"Timestamp":"2026-11-24T06:30:41.2Z","Canary":false,"ModifyIndex":34}},"FollowupEvalID":"","RescheduleTracker":null,"PreemptedAllocations":null,"PreemptedByAllocation":"","CreateIndex":31,"ModifyIndex":{index},"CreateTime":1795506630891808433,"ModifyTime":1795506641891808433}}"#,
        job = n / 10,
        k = n % 10
    )
}

fn list(rows: impl Iterator<Item = String>) -> String {
    let mut text = String::from("[");
    for (n, row) in rows.enumerate() {
        let comma = if n > 0 { "," } else { "" };
        // A String takes whatever is written.
        let _ = write!(text, "{comma}{row}");
    }
    text.push(']');
    text
}

struct Lists {
    nodes: String,
    allocs: String,
}

fn lists() -> Lists {
    Lists {
        nodes: list((0..NODES).map(node)),
        allocs: list((0..ALLOCS).map(|n| alloc(n, "running", 100 + n))),
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
    format!(
        r#"{{"Index":{index},"Events":[{{"Topic":"Allocation","Type":"AllocationUpdated","Key":"k","Namespace":"default","FilterKeys":["job"],"Index":{index},"Payload":{{"Allocation":{alloc}}}}}]}}"#
    )
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
