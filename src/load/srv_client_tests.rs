use super::*;
use crate::load::dns_stub::{DnsStub, Mood};
use tokio::net::{TcpListener, TcpSocket};

const NAME: &str = "shop-web.service.consul.";
const PATIENCE: Duration = Duration::from_secs(30);

/// Addresses that nothing listens on, for tests that only read the set.
fn paper(n: u8) -> Vec<(SocketAddr, u16)> {
    (1..=n)
        .map(|i| (([127, 0, 10, i], 20000).into(), u16::from(i)))
        .collect()
}

fn quick(dns: &DnsStub) -> SrvConfig {
    SrvConfig {
        refresh: Duration::from_millis(5),
        timeout: PATIENCE,
        connect_timeout: PATIENCE,
        eject_for: PATIENCE,
        ..SrvConfig::new("shop-web", dns.addr())
    }
}

async fn until_set_is(client: &SrvClient, n: usize) {
    let mut known = client.known.clone();
    let wait = known.wait_for(|set| set.as_ref().map_or(0, |s| s.len()) == n);
    tokio::time::timeout(PATIENCE, wait).await.unwrap().unwrap();
}

async fn web() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = axum::Router::new()
        .route("/", axum::routing::get(|| async { "ok" }))
        .route(
            "/busy",
            axum::routing::get(|| async { http::StatusCode::SERVICE_UNAVAILABLE }),
        );
    tokio::spawn(async move { axum::serve(listener, app).await });
    addr
}

/// A port that refuses: bound, so that nobody else gets it, but not listening.
fn refusing() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket
}

#[tokio::test]
async fn a_set_of_more_than_three_is_read_whole_and_changes_are_followed() {
    let dns = DnsStub::start().await;
    dns.set(NAME, &paper(7));
    let client = SrvClient::start(quick(&dns)).unwrap();
    until_set_is(&client, 7).await;
    assert_eq!(client.instances()[6].weight, 7);
    dns.set(NAME, &paper(5));
    until_set_is(&client, 5).await;
}

#[tokio::test]
async fn where_tcp_does_not_answer_udp_is_asked() {
    let dns = DnsStub::start().await;
    dns.mood(Mood::UdpOnly);
    dns.set(NAME, &paper(2));
    let client = SrvClient::start(quick(&dns)).unwrap();
    until_set_is(&client, 2).await;
}

#[tokio::test]
async fn the_last_known_instances_stay_in_use_while_dns_is_silent() {
    let dns = DnsStub::start().await;
    dns.set(NAME, &paper(4));
    let mut config = quick(&dns);
    config.keep_empty_for = Duration::ZERO;
    let client = SrvClient::start(config).unwrap();
    until_set_is(&client, 4).await;
    dns.mood(Mood::Silent);
    dns.asked_again(4).await;
    assert_eq!(client.instances().len(), 4);
}

#[tokio::test]
async fn an_empty_answer_is_believed_after_its_time_and_then_requests_fail_for_want_of_an_instance()
{
    let dns = DnsStub::start().await;
    dns.set(NAME, &paper(2));
    let mut config = quick(&dns);
    config.keep_empty_for = Duration::ZERO;
    let client = SrvClient::start(config).unwrap();
    until_set_is(&client, 2).await;
    dns.set(NAME, &[]);
    until_set_is(&client, 0).await;
    let reply = client.get("/", "1").await;
    assert_eq!(
        (reply.instance, reply.result),
        (None, Err(Fault::NoInstance))
    );
}

#[tokio::test]
async fn an_instance_that_refuses_is_tried_once_and_then_left_out() {
    let dns = DnsStub::start().await;
    let refusing = refusing();
    let (good, bad) = (web().await, refusing.local_addr().unwrap());
    dns.set(NAME, &[(good, 1), (bad, 9)]);
    let client = SrvClient::start(quick(&dns)).unwrap();
    assert!(client.ready(PATIENCE).await);
    let mut refused = 0;
    for n in 0..40 {
        let reply = client.get("/", &n.to_string()).await;
        match reply.result {
            Ok(code) => assert_eq!((code, reply.instance), (200, Some(good))),
            Err(fault) => {
                assert_eq!((fault, reply.instance), (Fault::Connect, Some(bad)));
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1);
}

#[tokio::test]
async fn an_instance_whose_connections_break_is_left_out_like_one_that_refuses() {
    let dns = DnsStub::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (good, bad) = (web().await, listener.local_addr().unwrap());
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });
    dns.set(NAME, &[(good, 1), (bad, 9)]);
    let client = SrvClient::start(quick(&dns)).unwrap();
    assert!(client.ready(PATIENCE).await);
    let mut faults = Vec::new();
    for n in 0..40 {
        faults.extend(client.get("/", &n.to_string()).await.result.err());
    }
    assert_eq!(faults, [Fault::Broken]);
}

#[tokio::test]
async fn a_bad_status_is_a_fault_but_ejects_nobody_and_nothing_is_retried() {
    let dns = DnsStub::start().await;
    dns.set(NAME, &[(web().await, 1)]);
    let client = SrvClient::start(quick(&dns)).unwrap();
    assert!(client.ready(PATIENCE).await);
    let busy = client.get("/busy", "1").await;
    assert_eq!(busy.result, Err(Fault::Status(503)));
    assert!(lock(&client.ejected).is_empty());
}

#[tokio::test]
async fn a_name_that_dns_cannot_carry_is_refused_with_a_remedy() {
    let error = SrvClient::start(SrvConfig::new(
        "shop web…".repeat(40),
        ([127, 0, 0, 1], 53).into(),
    ));
    let text = error.err().unwrap().to_string();
    assert!(text.contains("is not a DNS name; use"), "{text}");
}
