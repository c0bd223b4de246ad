//! What only the embedded estate can be asked: cuts, and where its checks come from.

use std::time::Duration;

use serde_json::json;

use crate::rig::{self, until};
use crate::script::{Reply, Script};
use crate::target::Target;

#[tokio::test]
async fn checks_of_the_embedded_consul_come_from_their_agents_own_address() {
    let estate = rig::embedded().await;
    let target = Target::start(200).await;
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
        let came = until(Duration::from_secs(10), || async {
            target.last_peer().is_some_and(|peer| peer.ip() == own)
        });
        assert!(came.await, "a check of agent {agent} comes from {own}");
        script
            .do_put(agent, "/v1/agent/service/deregister/probed", "")
            .await;
    }
    estate.stop().await;
}

#[tokio::test]
async fn a_service_that_is_critical_for_too_long_is_deregistered() {
    let estate = rig::embedded().await;
    let mut script = Script::new(&estate);
    let body = r#"{"Name":"doomed","Check":{"TCP":"127.0.0.1:9","Interval":"1s","DeregisterCriticalServiceAfter":"1s"}}"#;
    script.do_put("b", "/v1/agent/service/register", body).await;
    let doomed = "/v1/catalog/service/doomed";
    assert_eq!(
        script.look("a", doomed).await.json[0]["ServiceName"],
        "doomed"
    );
    script
        .eventually("a", doomed, "gone", |reply| reply.json == json!([]))
        .await;
    assert_eq!(script.log, ["gone: true"]);
    assert_eq!(script.look("b", "/v1/agent/checks").await.json, json!({}));
    estate.stop().await;
}

/// The answer to a blocking query from where things are now.
async fn next(script: &Script<'_>, agent: &str, path: &str, index: u64) -> Reply {
    script
        .look(agent, &format!("{path}?index={index}&wait=10s"))
        .await
}

#[tokio::test]
async fn a_cut_agent_is_critical_for_its_servers_and_its_sessions_end() {
    let estate = rig::embedded().await;
    let mut script = Script::new(&estate);
    let session = script.session("b", "session", "").await;
    let path = "/v1/health/node/b";
    let index = script.look("a", path).await.index;
    let watch = script.look("b", "/v1/kv/k").await.index;
    let watch = format!("/v1/kv/k?index={watch}&wait=60s");
    estate.set_cut("b", true);
    let (seen, watched) = tokio::join!(next(&script, "a", path, index), script.look("b", &watch));
    assert_eq!(
        seen.json[0]["Status"], "critical",
        "gossip's check of b turns critical"
    );
    assert_eq!(
        (watched.status, watched.text.as_str()),
        (500, "No known Consul servers"),
        "a watch does not outlive the cut"
    );
    assert_eq!(
        script
            .look("a", &format!("/v1/session/info/{session}"))
            .await
            .json,
        json!([])
    );
    assert_eq!(
        script.look("b", "/v1/kv/k").await.text,
        "No known Consul servers"
    );
    estate.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_back_syncs_what_it_has_done_meanwhile() {
    let estate = rig::embedded().await;
    let mut script = Script::new(&estate);
    script
        .do_put(
            "b",
            "/v1/agent/service/register",
            r#"{"Name":"before","Port":1}"#,
        )
        .await;
    let path = "/v1/health/node/b";
    let index = script.look("a", path).await.index;
    estate.set_cut("b", true);
    let cut = next(&script, "a", path, index).await;
    script
        .do_put(
            "b",
            "/v1/agent/service/register",
            r#"{"Name":"during","Port":2}"#,
        )
        .await;
    script
        .do_put("b", "/v1/agent/service/deregister/before", "")
        .await;
    assert_eq!(
        script.look("a", "/v1/catalog/service/during").await.json,
        json!([])
    );
    assert_eq!(
        script.look("a", "/v1/catalog/service/before").await.json[0]["ServicePort"],
        1
    );
    estate.set_cut("b", false);
    assert_eq!(
        next(&script, "a", path, cut.index).await.json[0]["Status"],
        "passing"
    );
    script
        .eventually("a", "/v1/catalog/service/during", "synced", |reply| {
            reply.json[0]["ServicePort"] == 2
        })
        .await;
    script
        .eventually("a", "/v1/catalog/service/before", "removed", |reply| {
            reply.json == json!([])
        })
        .await;
    assert_eq!(script.log, ["synced: true", "removed: true"]);
    estate.stop().await;
}

#[tokio::test]
async fn a_cut_server_is_out_of_reach_for_other_datacenters_but_not_for_itself() {
    let estate = rig::embedded().await;
    let mut script = Script::new(&estate);
    estate.set_cut("p", true);
    let lost = "Remote DC has no server currently reachable";
    let far = script.look("a", "/v1/catalog/nodes?dc=provider").await;
    assert_eq!((far.status, far.text.as_str()), (500, lost));
    let far = script.look("b", "/v1/catalog/nodes?dc=provider").await;
    assert_eq!(far.text, format!("rpc error making call: {lost}"));
    assert_eq!(
        script.look("p", "/v1/catalog/nodes").await.json[0]["Node"],
        "p"
    );
    assert_eq!(
        script.look("a", "/v1/catalog/datacenters").await.json,
        json!(["edge", "provider"])
    );
    estate.set_cut("p", false);
    script
        .eventually("a", "/v1/catalog/nodes?dc=provider", "back", |reply| {
            reply.status == 200
        })
        .await;
    assert_eq!(script.log, ["back: true"]);
    estate.stop().await;
}
