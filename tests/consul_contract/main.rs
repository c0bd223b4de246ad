//! The same questions to the sandbox's Consul and to a real Consul 1.8.7: every answer must be alike.
//!
//! The real one is `consul` on PATH, or what `tests/setup` has unpacked.
#![allow(clippy::disallowed_methods)] // The test looks for a program in the environment.

mod cases_agent;
mod cases_catalog;
mod cases_dns;
mod cases_kv;
mod cases_session;
mod dns;
mod embedded;
mod rig;
mod script;
mod target;

use script::{Case, Script};

fn cases() -> Vec<(&'static str, Case)> {
    let mut all = cases_kv::all();
    all.extend(cases_session::all());
    all.extend(cases_agent::all());
    all.extend(cases_catalog::all());
    all.extend(cases_dns::all());
    all.extend(cases_agent::last());
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_consul_answers_like_a_real_one() {
    let embedded = rig::embedded().await;
    let Some(real) = rig::real().await else {
        for (_, case) in cases() {
            case(&mut Script::new(&embedded)).await;
        }
        println!(
            "SKIPPED the comparison: no consul 1.8.7 on PATH nor unpacked by tests/setup; the embedded one ran alone"
        );
        return;
    };
    let (mut count, mut differing) = (0, 0);
    for (name, case) in cases() {
        count += 1;
        let (mut ours, mut theirs) = (Script::new(&embedded), Script::new(&real));
        tokio::join!(case(&mut ours), case(&mut theirs));
        if ours.log != theirs.log {
            differing += 1;
            println!(
                "DIFFERS: {name}\n{}",
                script::difference(&ours.log, &theirs.log)
            );
        }
    }
    println!("consul contract cases: {count}, differing: {differing}");
    embedded.stop().await;
    assert_eq!(
        differing, 0,
        "cases in which the embedded Consul does not answer as the real one"
    );
}
