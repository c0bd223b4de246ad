//! What the transport makes of servers that are busy, broken, slow, cut short or that refuse.

use crate::clients::consul::{Consul, HealthQuery, KvQuery};
use crate::clients::http::{HttpError, Peer, System, Token, Wait};
use crate::clients::nomad::{Nomad, Topic};
use crate::model::JobSpec;
use secrecy::SecretString;
use serde_json::json;
use std::error::Error;
use std::time::Duration;
use wiremock::matchers::{any, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

const CANARY: &str = "canary-7f3a-never-shown";

fn peer(system: System, server: &MockServer) -> Peer {
    Peer::plain(system, &server.uri()).unwrap()
}

fn nomad(server: &MockServer) -> Nomad {
    Nomad::new(&peer(System::Nomad, server)).unwrap()
}

async fn answering(template: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(template)
        .mount(&server)
        .await;
    server
}

/// An error as the edge prints it: itself and its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = error.source();
    while let Some(e) = cause {
        text.push_str(&format!("; {e} {e:?}"));
        cause = e.source();
    }
    text
}

#[tokio::test]
async fn busy_servers_are_transient_and_say_so() {
    for status in [429, 503] {
        let server = answering(ResponseTemplate::new(status).set_body_string("slow down")).await;
        let error = nomad(&server).nodes(None).await.unwrap_err();
        assert!(matches!(&error, HttpError::Busy { status: s, .. } if *s == status));
        assert!(error.is_transient());
        let text = error.to_string();
        assert!(
            text.contains("list Nomad's nodes") && text.contains("slow down"),
            "{text}"
        );
        assert!(text.contains(&server.uri()), "{text}");
    }
}

#[tokio::test]
async fn a_broken_server_is_transient_and_a_refusal_in_a_500_is_not() {
    let server = answering(ResponseTemplate::new(500).set_body_string("No cluster leader")).await;
    let error = nomad(&server).jobs("", None).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(!error.is_stale_index());

    let stale = "Enforcing job modify index 1: job exists with conflicting job modify index: 153";
    let server = answering(ResponseTemplate::new(500).set_body_string(stale)).await;
    let job = JobSpec::new(json!({"ID": "shop"}));
    let error = nomad(&server).register(&job, Some(1)).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert!(error.is_stale_index());
    assert!(error.to_string().contains("register job"), "{error}");
}

#[tokio::test]
async fn a_reply_that_was_cut_short_is_transient_and_one_of_another_kind_is_not() {
    let server = answering(ResponseTemplate::new(200).set_body_string("[{\"ID\": \"a")).await;
    let error = nomad(&server).nodes(None).await.unwrap_err();
    assert!(matches!(error, HttpError::Decode { .. }), "{error}");
    assert!(error.is_transient());

    let page = ResponseTemplate::new(200).set_body_string("<html>welcome</html>");
    let server = answering(page).await;
    let error = nomad(&server).nodes(None).await.unwrap_err();
    assert!(!error.is_transient(), "{error}");
    assert!(
        error
            .to_string()
            .contains("check that the address is an API of Nomad")
    );
}

#[tokio::test]
async fn a_slow_server_is_a_timeout() {
    let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(60));
    let server = answering(late).await;
    let mut peer = peer(System::Nomad, &server);
    peer.timeout = Duration::from_millis(50);
    let error = Nomad::new(&peer).unwrap().leader().await.unwrap_err();
    assert!(matches!(error, HttpError::Timeout { .. }), "{error}");
    assert!(error.is_transient());
    assert!(error.to_string().contains("50ms"), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable_and_names_the_variable() {
    let closed = std::net::TcpListener::bind("127.0.210.240:0").unwrap();
    let address = closed.local_addr().unwrap().to_string();
    drop(closed);
    let nomad = Nomad::new(&Peer::plain(System::Nomad, &address).unwrap()).unwrap();
    let error = nomad.leader().await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error}");
    assert!(error.is_transient());
    assert!(error.to_string().contains("NOMAD_ADDR"), "{error}");
    assert!(error.to_string().contains(&address), "{error}");

    let consul = Consul::new(&Peer::plain(System::Consul, &address).unwrap()).unwrap();
    let error = consul.datacenters().await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("CONSUL_HTTP_ADDR"), "{error}");
}

#[tokio::test]
async fn a_missing_job_is_none_and_a_missing_node_is_an_error() {
    let absent = ResponseTemplate::new(404)
        .insert_header("X-Nomad-Index", "190")
        .set_body_string("job not found");
    let server = answering(absent).await;
    let found = nomad(&server).job("nope", None).await.unwrap();
    assert_eq!((found.value, found.index), (None, 190));
    let error = nomad(&server).node("nope").await.unwrap_err();
    assert!(matches!(error, HttpError::NotFound { .. }));
    assert!(!error.is_transient());
}

#[tokio::test]
async fn the_404_of_some_other_server_is_no_proof_of_absence() {
    let server = answering(ResponseTemplate::new(404).set_body_string("page not found")).await;
    assert!(nomad(&server).job("shop", None).await.is_err());
    let consul = Consul::new(&peer(System::Consul, &server)).unwrap();
    assert!(consul.kv_get("k", None, true, None).await.is_err());
    assert!(consul.kv_list("k", KvQuery::default()).await.is_err());
    assert!(consul.session_renew("s", None).await.is_err());
    assert!(consul.deregister("web-1").await.is_err());
}

#[tokio::test]
async fn an_index_that_goes_backwards_is_reset_to_zero_and_said() {
    let server = MockServer::start().await;
    let reply = |index: &str| {
        ResponseTemplate::new(200)
            .insert_header("X-Nomad-Index", index)
            .set_body_json(json!([]))
    };
    Mock::given(query_param("index", "119"))
        .and(query_param("wait", "5000ms"))
        .respond_with(reply("7"))
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(reply("119"))
        .mount(&server)
        .await;
    let nomad = nomad(&server);
    let first = nomad.nodes(None).await.unwrap();
    assert_eq!((first.index, first.went_back), (119, false));
    let second = nomad
        .nodes(Some(first.next(Duration::from_secs(5))))
        .await
        .unwrap();
    assert_eq!((second.index, second.went_back), (0, true));
}

#[tokio::test]
async fn an_index_of_zero_never_makes_a_busy_loop() {
    let template = ResponseTemplate::new(404).insert_header("X-Consul-Index", "0");
    let server = answering(template).await;
    let consul = Consul::new(&peer(System::Consul, &server)).unwrap();
    let found = consul.kv_get("a/b", None, false, None).await.unwrap();
    assert_eq!((found.value, found.index), (None, 1));
}

#[tokio::test]
async fn a_token_file_is_read_again_after_a_403_and_the_request_repeated_once() {
    let server = MockServer::start().await;
    Mock::given(header("X-Consul-Token", "new"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!(["edge"])))
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(403).set_body_string("ACL not found"))
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old\n").unwrap();
    let mut peer = peer(System::Consul, &server);
    peer.token = Token::File(file.clone());
    let consul = Consul::new(&peer).unwrap();

    let error = consul.datacenters().await.unwrap_err();
    assert!(matches!(error, HttpError::Denied { .. }), "{error}");
    assert!(
        error.to_string().contains("CONSUL_HTTP_TOKEN_FILE"),
        "{error}"
    );
    assert!(!error.is_transient());
    let before = server.received_requests().await.unwrap().len();
    assert_eq!(before, 1, "an unchanged file is no reason to ask again");

    std::fs::write(&file, "new\n").unwrap();
    assert_eq!(consul.datacenters().await.unwrap(), ["edge"]);
    assert_eq!(consul.datacenters().await.unwrap(), ["edge"]);
    let after = server.received_requests().await.unwrap().len() - before;
    assert_eq!(
        after, 3,
        "refused, repeated with the new token, and at once with it"
    );
}

#[tokio::test]
async fn the_event_stream_too_is_opened_again_with_the_token_that_is_in_the_file_by_then() {
    let server = MockServer::start().await;
    let line = "{\"Index\":7,\"Events\":[]}\n";
    Mock::given(header("X-Nomad-Token", "new"))
        .respond_with(ResponseTemplate::new(200).set_body_string(line))
        .mount(&server)
        .await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(403).set_body_string("Permission denied"))
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "old").unwrap();
    let mut peer = peer(System::Nomad, &server);
    peer.token = Token::File(file.clone());
    let nomad = Nomad::new(&peer).unwrap();

    let refused = nomad.event_stream(&[Topic::Node], 0).await.err().unwrap();
    assert!(matches!(refused, HttpError::Denied { .. }), "{refused}");
    std::fs::write(&file, "new").unwrap();
    let mut stream = nomad.event_stream(&[Topic::Node], 0).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap().index, 7);
}

#[tokio::test]
async fn a_token_is_sent_trimmed_and_never_shown() {
    let echo = format!("Permission denied for token {CANARY}");
    let server = answering(ResponseTemplate::new(403).set_body_string(echo)).await;
    let given = Token::Given(SecretString::from(format!(" {CANARY}\n")));
    let mut shown = format!("{given:?}");
    for system in [System::Nomad, System::Consul] {
        let mut peer = peer(system, &server);
        peer.token = given.clone();
        shown += &format!("{peer:?}");
        let error = match system {
            System::Nomad => {
                let nomad = Nomad::new(&peer).unwrap();
                shown += &format!("{nomad:?}");
                nomad.leader().await.unwrap_err()
            }
            _ => {
                let consul = Consul::new(&peer).unwrap();
                shown += &format!("{consul:?}");
                consul.datacenters().await.unwrap_err()
            }
        };
        shown += &chain(&error);
    }
    for request in server.received_requests().await.unwrap() {
        let mut tokens = ["x-nomad-token", "x-consul-token"]
            .iter()
            .filter_map(|h| request.headers.get(*h));
        assert_eq!(tokens.next().unwrap(), CANARY);
    }
    drop(server);
    let mut peer = Peer::plain(System::Nomad, "127.0.0.1:1").unwrap();
    peer.token = given;
    shown += &chain(&Nomad::new(&peer).unwrap().leader().await.unwrap_err());
    assert!(!shown.contains(CANARY), "{shown}");
    assert!(
        shown.contains("[token]"),
        "the server's echo is redacted: {shown}"
    );
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_an_error_without_the_token() {
    let server = answering(ResponseTemplate::new(200)).await;
    let mut peer = peer(System::Nomad, &server);
    peer.token = Token::Given(SecretString::from(format!("{CANARY}\nsecond line")));
    let error = Nomad::new(&peer).unwrap().leader().await.unwrap_err();
    assert!(error.to_string().contains("NOMAD_TOKEN"), "{error}");
    assert!(!chain(&error).contains(CANARY));
}

#[tokio::test]
async fn a_missing_token_file_is_named() {
    let server = answering(ResponseTemplate::new(200)).await;
    let mut peer = peer(System::Consul, &server);
    peer.token = Token::File("/nonexistent/token".into());
    let error = Consul::new(&peer)
        .unwrap()
        .members(false)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("/nonexistent/token"), "{error}");
}

#[tokio::test]
async fn redirects_are_not_followed_so_that_a_token_stays_where_it_was_meant() {
    let elsewhere = answering(ResponseTemplate::new(200)).await;
    let away = ResponseTemplate::new(307).insert_header("Location", elsewhere.uri().as_str());
    let server = answering(away).await;
    let error = nomad(&server).leader().await.unwrap_err();
    assert!(
        matches!(error, HttpError::Status { status: 307, .. }),
        "{error}"
    );
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn namespace_region_and_datacenter_are_asked_for() {
    let server = MockServer::start().await;
    Mock::given(path("/v1/job/a%2Fb%20c"))
        .and(query_param("namespace", "shop"))
        .and(query_param("region", "eu"))
        .respond_with(ResponseTemplate::new(404).insert_header("X-Nomad-Index", "1"))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(path("/v1/health/service/web"))
        .and(query_param("dc", "provider"))
        .and(query_param("ns", "team"))
        .and(query_param("passing", "true"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!([])))
        .expect(1)
        .mount(&server)
        .await;
    let mut to_nomad = peer(System::Nomad, &server);
    to_nomad.namespace = Some("shop".into());
    to_nomad.region = Some("eu".into());
    let found = Nomad::new(&to_nomad).unwrap().job("a/b c", None).await;
    assert_eq!(found.unwrap().value, None);
    let mut to_consul = peer(System::Consul, &server);
    to_consul.namespace = Some("team".into());
    let consul = Consul::new(&to_consul)
        .unwrap()
        .in_datacenter(Some("provider".into()));
    let query = HealthQuery {
        passing: true,
        ..HealthQuery::default()
    };
    assert!(
        consul
            .health_service("web", query)
            .await
            .unwrap()
            .value
            .is_empty()
    );
}

#[tokio::test]
async fn a_blocking_query_waits_a_sixteenth_longer_than_it_asked_for() {
    let wait = Wait {
        index: 1,
        longest: Duration::from_secs(16),
    };
    assert_eq!(wait.longest_answer(), Duration::from_secs(17));
    let late = ResponseTemplate::new(200)
        .set_delay(Duration::from_millis(120))
        .set_body_json(json!([]));
    let server = answering(late).await;
    let mut peer = peer(System::Nomad, &server);
    peer.timeout = Duration::from_millis(50);
    let nomad = Nomad::new(&peer).unwrap();
    assert!(
        nomad.nodes(None).await.is_err(),
        "no wait: the plain timeout holds"
    );
    assert!(nomad.nodes(Some(wait)).await.is_ok());
}

#[tokio::test]
async fn an_event_stream_gives_batches_across_chunks_and_ends_with_the_server() {
    let body = "{}\n{\"Index\":31,\"Events\":[{\"Topic\":\"Node\",\"Type\":\"NodeDrain\",\"Key\":\"n\",\"Index\":31,\"Payload\":{\"Node\":{\"ID\":\"n\"}}}]}\n{\"Index\":32,\"Ev";
    let server = answering(ResponseTemplate::new(200).set_body_string(body)).await;
    let mut stream = nomad(&server).event_stream(&[], 5).await.unwrap();
    assert!(stream.next().await.unwrap().unwrap().is_heartbeat());
    let batch = stream.next().await.unwrap().unwrap();
    assert_eq!((batch.index, batch.events.len()), (31, 1));
    assert_eq!(batch.events[0].payload.node.as_ref().unwrap().id, "n");
    assert_eq!(batch.events[0].payload.allocation, None);
    assert!(
        stream.next().await.unwrap().is_none(),
        "half a line is no event"
    );

    let server = answering(ResponseTemplate::new(403)).await;
    let refused = nomad(&server).event_stream(&[], 0).await.err().unwrap();
    assert!(matches!(refused, HttpError::Denied { .. }), "{refused}");
}
