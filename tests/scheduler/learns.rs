//! A node class that gives less than its books say: found by shadows, avoided by placement, learned anew and used once it is well.

use crate::estate::{Estate, a_real_consul};
use crate::program::{Program, alone, kind, text};
use foreshadow::sandbox::fault::Fault;
use foreshadow::sandbox::world::ConsulKind;
use serde_json::Value;
use std::time::Duration;

/// Each thing awaited comes within seconds on a machine that has nothing else to do.
const PATIENCE: Duration = Duration::from_secs(150);

/// Two instances at the edge, one a node, with room for the day's surge; were it not for what shadows find, standbys would go to
/// class `std`. Each carries 187 requests a second, three times what shadows are tried with: no class falls short but the slow one.
const JOB: &str = r#"
job "web" {
  datacenters = ["edge-a"]
  type        = "service"
  meta {
    release = "1"
  }
  constraint {
    operator = "distinct_hosts"
    value    = "true"
  }
  affinity {
    attribute = "${node.class}"
    value     = "std"
    weight    = 100
  }
  group "web" {
    count = 2
    reschedule {
      delay          = "5s"
      delay_function = "constant"
      unlimited      = true
    }
    ephemeral_disk {
      size = 50
    }
    network {
      port "http" {}
    }
    service {
      name = "shop-web-origin"
      port = "http"
      check {
        type     = "http"
        path     = "/health"
        interval = "1s"
        timeout  = "1s"
      }
    }
    task "web" {
      driver = "raw_exec"
      config {
        command = "foreshadow"
        args    = ["shop-service", "--name", "web", "--cpu-ms", "0.8"]
      }
      env {
        NODE_MHZ = "${attr.cpu.frequency}"
      }
      resources {
        cpu    = 300
        memory = 32
      }
      logs {
        max_files     = 2
        max_file_size = 5
      }
    }
  }
}
"#;

/// Nothing breaks but what the test breaks, clients stay as long as it takes, and always ask for more than the slow class carries.
const CALM: &str = "length = \"900s\"\nrps = 20\n";

/// A day that asked for so much is remembered: shadows are tried with up to as much from the first to the last, and more than
/// what a node's loss has clients ask for at once. Were it less, a class that is tried after such a moment would be known to carry
/// more than one that was tried before, and would rightly be preferred.
const REMEMBERED: f64 = 60.0;

/// The part of it that a class which is well is found to carry at least, on a machine that has other things to do: an affinity
/// outweighs what is missing.
const WELL: f64 = 0.85;

/// Percent of its speed that the slow class gives: an instance there carries less than two requests a second, and the queue before
/// it soon outlasts everybody's patience, so that a shadow may answer none of its requests in time.
const SLOW: u32 = 1;

/// A loose SLO, so that a dead node is no breach that would end shadows, and a cadence of some twenty seconds. Verdicts rest on more
/// requests than they need, and what a busy machine adds to an answer is within their margin.
fn policy(estate: &Estate) -> String {
    let clients: Vec<String> = estate
        .world
        .metrics
        .iter()
        .map(|(_, at)| format!("\"http://{at}/metrics\""))
        .collect();
    format!(
        r#"
workload "web" {{
  job            = "web"
  risk_tolerance = 0.9
  sites          = ["edge-a", "provider-a", "provider-b"]
  slo {{
    quantile = 0.5
    latency  = "400ms"
    success  = 0.5
  }}
  budget {{
    shadow_core_hours  = 1
    standby_core_hours = 1
    max_shadows        = 1
    max_standbys       = 1
  }}
  ramp {{
    steps       = [50, 100]
    soak        = "1s"
    settle      = "2s"
    keep_warm   = "2s"
    min_samples = 5
  }}
  judge {{
    twin     = false
    margin   = "50ms"
    requests = 60
    longest  = "4s"
  }}
  step     = "1s"
  season   = "12s"
  horizon  = "1s"
  peak_rps = 80
  portion "web" {{
    front = "shop-web"
    load {{
      each  = "1s"
      lasts = "6s"
    }}
    metrics {{
      clients  = [{}]
      requests = "client_requests_total"
      duration = "client_request_duration_seconds"
      failed   = "outcome=lost"
      only     = ["service=shop-web"]
    }}
  }}
}}
"#,
        clients.join(", ")
    )
}

/// The place in what was said of the first line from `from` on that is as wanted; reads on until there is one.
fn after(program: &mut Program, from: usize, what: &str, wanted: impl Fn(&Value) -> bool) -> usize {
    let found = program.said.iter().skip(from).position(&wanted);
    if let Some(at) = found {
        return from + at;
    }
    program.until(what, PATIENCE, wanted);
    program.said.len() - 1
}

fn lesson(line: &Value, place: &str) -> bool {
    kind(line) == "lesson" && text(line).starts_with(&format!("web at {place}: carries"))
}

/// A lesson that the class which is there carries what it was tried with.
fn well(line: &Value, place: &str) -> bool {
    lesson(line, place) && carries(line) >= REMEMBERED * WELL
}

fn places(line: &Value) -> bool {
    kind(line) == "plan" && text(line).starts_with("place standby")
}

/// A standby that was placed for what was foreseen goes first: it would stand in for what is lost.
fn none_stands(scheduler: &mut Program) {
    let stands = |l: &Value| {
        let done = ["place standby applied", "place standby verified"];
        done.iter().any(|done| text(l).starts_with(done))
    };
    if let Some(at) = scheduler.said.iter().rposition(stands) {
        after(scheduler, at, "the standby's release", |l| {
            kind(l) == "effect" && text(l).starts_with("release standby")
        });
    }
}

/// What was said is shown when it is not so.
fn check(program: &Program, holds: bool, what: &str) {
    if !holds {
        program.fail(&format!("not so: {what}"));
    }
}

/// Requests a second that a lesson says one instance carries.
fn carries(line: &Value) -> f64 {
    let words = text(line).split("carries ").nth(1).expect("a lesson");
    let number = words.trim_start_matches("at least ").split(' ').next();
    number.and_then(|n| n.parse().ok()).expect("a number")
}

/// The class of provider-a at a part of its speed.
fn speed(percent: u32) -> Fault {
    Fault::ClassSpeed {
        class: "std".into(),
        percent,
    }
}

async fn happens(estate: &Estate, fault: Fault) {
    let done = estate.world.break_or_mend(&fault).await;
    done.unwrap_or_else(|e| panic!("{fault}: {e}"));
}

/// A node goes on which an instance runs; its name.
async fn lose_one(estate: &Estate) -> String {
    let name = estate.nodes_of("web").await.remove(0);
    happens(estate, Fault::KillNode(name.as_str().into())).await;
    name
}

async fn a_slow_class_is_found_avoided_learned_anew_and_used(consul: ConsulKind) {
    let mut estate = Estate::of(JOB, consul, Some(CALM)).await;
    happens(&estate, speed(SLOW)).await;
    estate.remember("web", REMEMBERED);
    estate.play();
    let policy = policy(&estate);
    let config = estate.configure(|_| policy);
    let mut scheduler = estate.schedule(&config);
    let (placed, before) = found_and_avoided(&estate, &mut scheduler).await;
    used_again(&estate, &mut scheduler, placed, before).await;
    let tells = |l: &&Value| {
        matches!(kind(l), "lesson" | "verdict" | "fault")
            || text(l).contains("standby")
            || text(l).contains("shadow")
    };
    for line in scheduler.said.iter().filter(tells) {
        println!("{} {}: {}", line["at"], kind(line), text(line));
    }
    drop(scheduler);
    estate.stop().await;
}

/// The line of the placement, the node that was lost for it, and what the slow class carries.
async fn found_and_avoided(estate: &Estate, scheduler: &mut Program) -> ((usize, String), f64) {
    let slow = after(scheduler, 0, "a lesson of the slow class", |l| {
        lesson(l, "provider-a (std)")
    });
    let other = after(scheduler, 0, "a lesson of the other class", |l| {
        well(l, "provider-b (spot)")
    });
    let (before, well) = (
        carries(&scheduler.said[slow]),
        carries(&scheduler.said[other]),
    );
    check(
        scheduler,
        before * 2.0 < well,
        &format!("{before} is found slow beside {well}"),
    );

    none_stands(scheduler);
    let known = scheduler.said.len();
    let lost = lose_one(estate).await;
    let placed = after(scheduler, known, "a standby", places);
    let why = text(&scheduler.said[placed]).to_string();
    check(
        scheduler,
        why.contains("at provider-b"),
        "the slow class is avoided",
    );
    check(
        scheduler,
        why.contains("counts on"),
        "it is said what is counted on there",
    );

    after(scheduler, placed, "the standby's registration", |l| {
        ["place standby applied", "place standby verified"]
            .iter()
            .any(|done| text(l).starts_with(done))
    });
    ((placed, lost), before)
}

/// Its class is fast again, and the next standby goes there.
async fn used_again(
    estate: &Estate,
    scheduler: &mut Program,
    (placed, lost): (usize, String),
    before: f64,
) {
    happens(estate, speed(100)).await;
    happens(estate, Fault::ReviveNode(lost)).await;
    let again = after(scheduler, placed, "a lesson that it has changed", |l| {
        lesson(l, "provider-a (std)") && text(l).contains("it has changed")
    });
    let now = carries(&scheduler.said[again]);
    check(
        scheduler,
        now > before * 2.0,
        &format!("{before} before, {now} now"),
    );
    // The first shadow that found so may have begun while it was slow.
    let again = after(scheduler, again, "a lesson that it is well", |l| {
        well(l, "provider-a (std)")
    });
    after(scheduler, again, "a verdict that it will do", |l| {
        kind(l) == "verdict" && text(l).starts_with("shadow at provider-a (std): pass")
    });

    none_stands(scheduler);
    let known = scheduler.said.len();
    // Nomad has put the lost instance elsewhere meanwhile.
    lose_one(estate).await;
    let placed = after(scheduler, known, "another standby", places);
    let why = text(&scheduler.said[placed]).to_string();
    check(
        scheduler,
        why.contains("at provider-a"),
        "the class is used again",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_node_class_is_found_by_shadows_avoided_by_placement_and_used_again_once_it_is_fast()
{
    let _alone = alone();
    a_slow_class_is_found_avoided_learned_anew_and_used(ConsulKind::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_node_class_is_found_avoided_and_used_again_on_a_real_consul() {
    let Some(consul) = a_real_consul() else {
        return;
    };
    let _alone = alone();
    a_slow_class_is_found_avoided_learned_anew_and_used(consul).await;
}
