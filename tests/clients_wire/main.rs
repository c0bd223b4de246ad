//! What goes over the wire and what never leaves it: certificates, connections, repeats, and the token.

mod pki;
mod secrets;

use axum::Router;
use axum::routing::get;
use foreshadow::clients::consul::Consul;
use foreshadow::clients::http::{Address, HttpError, Peer, System, Tls};
use foreshadow::clients::nomad::Nomad;
use pki::Authority;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use wiremock::matchers::{any, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

fn secure(system: System, port: u16, tls: &Tls) -> Peer {
    let address = Address::parse("test", &format!("https://127.0.0.1:{port}"), false, 0).unwrap();
    let mut peer = Peer::new(system, address);
    peer.tls = tls.clone();
    peer
}

async fn ask(system: System, port: u16, tls: &Tls) -> Result<Vec<String>, HttpError> {
    let peer = secure(system, port, tls);
    match system {
        System::Nomad => Nomad::new(&peer)?.regions().await,
        _ => Consul::new(&peer)?.datacenters().await,
    }
}

#[tokio::test]
async fn only_the_right_certificates_on_both_sides_make_a_connection() {
    let folder = tempfile::tempdir().unwrap();
    let ours = Authority::new(folder.path(), "ours");
    let theirs = Authority::new(folder.path(), "theirs");
    let right = Tls {
        ca: Some(ours.ca.clone()),
        identity: Some(ours.pair(&["client.global.nomad"])),
        server_name: Some("server.global.nomad".into()),
    };
    let port = ours.serve(&["server.global.nomad"]).await;
    let elsewhere = theirs.serve(&["server.global.nomad"]).await;
    let wrong = [
        (
            "another CA signs the client",
            Tls {
                identity: Some(theirs.pair(&["client.global.nomad"])),
                ..right.clone()
            },
        ),
        (
            "no client certificate",
            Tls {
                identity: None,
                ..right.clone()
            },
        ),
        (
            "another CA is trusted",
            Tls {
                ca: Some(theirs.ca.clone()),
                ..right.clone()
            },
        ),
        (
            "another name is expected",
            Tls {
                server_name: Some("server.moon.nomad".into()),
                ..right.clone()
            },
        ),
    ];
    for system in [System::Nomad, System::Consul] {
        let answer = ask(system, port, &right).await;
        assert_eq!(answer.unwrap(), ["edge"], "{system}");
        for (what, tls) in &wrong {
            let refused = ask(system, port, tls).await;
            let unreachable = matches!(refused, Err(HttpError::Unreachable { .. }));
            assert!(unreachable, "{system}: {what}: {refused:?}");
        }
        let refused = ask(system, elsewhere, &right).await;
        assert!(refused.is_err(), "{system}: a server of another CA");
    }
}

#[tokio::test]
async fn a_certificate_file_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let tls = Tls {
        ca: Some(file.clone()),
        ..Tls::default()
    };
    let missing = ask(System::Nomad, 1, &tls).await.unwrap_err().to_string();
    assert!(
        missing.contains("ca.pem") && missing.contains("check"),
        "{missing}"
    );
    std::fs::write(
        &file,
        "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let broken = ask(System::Nomad, 1, &tls).await.unwrap_err().to_string();
    assert!(broken.contains("PEM") || broken.contains("TLS"), "{broken}");
}

/// Answers every request with `[]` and counts its connections; each is closed after `requests` answers.
async fn counting(requests: usize) -> (Peer, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let mut buffer = [0; 8192];
                for _ in 0..requests {
                    if tcp.read(&mut buffer).await.ok().is_none_or(|n| n == 0) {
                        return;
                    }
                    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]";
                    if tcp.write_all(reply).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (Peer::plain(System::Nomad, &address).unwrap(), connections)
}

#[tokio::test]
async fn requests_one_after_the_other_share_a_connection() {
    let (peer, connections) = counting(usize::MAX).await;
    let nomad = Nomad::new(&peer).unwrap();
    for _ in 0..20 {
        nomad.nodes(None).await.unwrap();
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_replaced_without_an_error() {
    let (peer, connections) = counting(3).await;
    let nomad = Nomad::new(&peer).unwrap();
    for n in 0..12 {
        let answer = nomad.nodes(None).await;
        assert!(answer.is_ok(), "request {n}: {answer:?}");
    }
    assert!(connections.load(Ordering::Relaxed) >= 4);
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_were_allowed() {
    // Three must meet before any is answered: with fewer at once nothing would ever be.
    let (meet, now, most) = (
        Arc::new(Barrier::new(3)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (now_in, most_in) = (now.clone(), most.clone());
    let app = Router::new().route(
        "/v1/nodes",
        get(move || {
            let (meet, now, most) = (meet.clone(), now_in.clone(), most_in.clone());
            async move {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                meet.wait().await;
                now.fetch_sub(1, Ordering::SeqCst);
                axum::Json(json!([]))
            }
        }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut peer = Peer::plain(System::Nomad, &address).unwrap();
    peer.in_flight = 3;
    let nomad = Nomad::new(&peer).unwrap();
    let all = futures::future::join_all((0..21).map(|_| nomad.nodes(None))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

async fn busy_then_well(times: u64) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(503))
        .up_to_n_times(times)
        .with_priority(1)
        .mount(&server)
        .await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!([])))
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn what_only_reads_is_asked_again_twice_and_no_more() {
    for (failures, well) in [(2, true), (3, false)] {
        let server = busy_then_well(failures).await;
        let nomad = Nomad::new(&Peer::plain(System::Nomad, &server.uri()).unwrap()).unwrap();
        assert_eq!(nomad.nodes(None).await.is_ok(), well, "{failures} failures");
        assert_eq!(server.received_requests().await.unwrap().len(), 3);
    }
}

#[tokio::test]
async fn what_writes_and_what_waits_is_never_repeated_behind_the_callers_back() {
    let server = busy_then_well(10).await;
    let peer = Peer::plain(System::Nomad, &server.uri()).unwrap();
    let nomad = Nomad::new(&peer).unwrap();
    assert!(nomad.scale("shop", "web", 2, "more").await.is_err());
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
    let wait = foreshadow::clients::http::Wait {
        index: 3,
        longest: Duration::from_secs(1),
    };
    assert!(nomad.nodes(Some(wait)).await.is_err());
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}
