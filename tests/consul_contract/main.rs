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
        println!(
            "SKIPPED: no real consul 1.8.7 on PATH, and tests/setup has not been run: nothing to compare with"
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

#[tokio::test]
async fn checks_of_the_embedded_consul_come_from_their_agents_own_address() {
    let estate = rig::embedded().await;
    let target = target::Target::start(200).await;
    let script = Script::new(&estate);
    for agent in ["a", "b"] {
        let body = format!(
            r#"{{"Name":"probed","Check":{{"HTTP":"http://127.0.0.1:{}/","Interval":"1s"}}}}"#,
            target.port
        );
        script
            .do_put(agent, "/v1/agent/service/register", &body)
            .await;
        let own = estate.http(agent).ip();
        let came = rig::until(std::time::Duration::from_secs(10), || async {
            target.last_peer().is_some_and(|peer| peer.ip() == own)
        });
        assert!(came.await, "a check of agent {agent} comes from {own}");
        script
            .do_put(agent, "/v1/agent/service/deregister/probed", "")
            .await;
    }
    estate.stop().await;
}
