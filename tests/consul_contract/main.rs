//! The same questions to the sandbox's Consul and to a real Consul 1.8.7: every answer must be alike.
//!
//! The real one is `consul` on PATH, or what `tests/setup` has unpacked.
#![allow(clippy::disallowed_methods)] // The test looks for a program in the environment.

mod cases_acl;
mod cases_agent;
mod cases_catalog;
mod cases_cli;
mod cases_config;
mod cases_dns;
mod cases_filter;
mod cases_health;
mod cases_kv;
mod cases_query;
mod cases_session;
mod cases_txn;
mod cli;
#[path = "../common/mod.rs"]
mod common;
mod crowd;
mod dns;
mod embedded;
mod keeping;
#[path = "../faults/proxy.rs"]
mod proxy;
mod rig;
mod script;
mod target;

use rig::Rig;
use script::{Case, Script};

fn cases() -> Vec<(&'static str, Case)> {
    let mut all = cases_agent::first();
    all.extend(cases_kv::all());
    all.extend(cases_txn::all());
    all.extend(cases_session::all());
    all.extend(cases_agent::all());
    all.extend(cases_catalog::all());
    all.extend(cases_health::all());
    all.extend(cases_filter::all());
    all.extend(cases_config::all());
    all.extend(cases_query::all());
    all.extend(cases_dns::all());
    all
}

/// Asks both the same; the number of cases that differ.
async fn compare(embedded: &Rig, real: &Rig, cases: &[(&'static str, Case)]) -> usize {
    let mut differing = 0;
    for (name, case) in cases {
        let (mut ours, mut theirs) = (Script::new(embedded), Script::new(real));
        tokio::join!(case(&mut ours), case(&mut theirs));
        if ours.log != theirs.log {
            differing += 1;
            println!(
                "DIFFERS: {name}\n{}",
                script::difference(&ours.log, &theirs.log)
            );
        }
    }
    differing
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_consul_answers_like_a_real_one() {
    let (mut open, mut guarded) = (cases(), cases_acl::all());
    guarded.extend(cases_health::guarded());
    let (embedded, secure) = (rig::embedded().await, rig::embedded_with_acl().await);
    let (Some(real), Some(real_secure)) = (rig::real().await, rig::real_with_acl().await) else {
        open.extend(cases_agent::last());
        for (rig, cases) in [(&embedded, &open), (&secure, &guarded)] {
            for (_, case) in cases {
                case(&mut Script::new(rig)).await;
            }
        }
        println!(
            "SKIPPED the comparison: no consul 1.8.7 on PATH nor unpacked by tests/setup; the embedded one ran alone"
        );
        return;
    };
    open.extend(cases_cli::all());
    open.extend(cases_agent::last());
    guarded.extend(cases_cli::guarded());
    let differing =
        compare(&embedded, &real, &open).await + compare(&secure, &real_secure, &guarded).await;
    let count = open.len() + guarded.len();
    println!("consul contract cases: {count}, differing: {differing}");
    embedded.stop().await;
    secure.stop().await;
    assert_eq!(
        differing, 0,
        "cases in which the embedded Consul does not answer as the real one"
    );
}
