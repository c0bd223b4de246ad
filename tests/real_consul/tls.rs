//! Ways to reach an agent other than plain HTTP.

use super::agent::{Agent, pki};
use foreshadow::clients::consul::Consul;
use foreshadow::clients::http::{Address, HttpError, Peer, System, Tls};

#[tokio::test]
async fn tls_with_a_client_certificate_and_a_unix_socket_reach_the_same_agent() {
    let folder = tempfile::tempdir().unwrap();
    let Some(pki) = pki(folder.path()) else {
        return;
    };
    let socket = folder.path().join("consul.sock");
    let more = format!(
        r#", "ports": {{"https": 8501}}, "addresses": {{"http": "127.0.210.10 unix://{}"}},
        "ca_file": {:?}, "cert_file": {:?}, "key_file": {:?}, "verify_incoming_https": true"#,
        socket.display(),
        pki.ca,
        pki.server.0,
        pki.server.1
    );
    let agent = Agent::start("tls", "127.0.210.10", &more).unwrap();
    let secure = |tls: Tls| {
        let address = Address::parse("test", "https://127.0.210.10:8501", false, 0).unwrap();
        let mut peer = Peer::new(System::Consul, address);
        peer.tls = tls;
        Consul::new(&peer).unwrap()
    };
    let right = Tls {
        ca: Some(pki.ca.clone()),
        identity: Some(pki.client.clone()),
        server_name: Some("server.edge.consul".into()),
    };
    let me = secure(right.clone()).agent_self().await.unwrap();
    assert_eq!(me.node_name(), "tls");
    assert!(
        secure(right.clone())
            .kv_put("k", b"over TLS", None)
            .await
            .unwrap()
    );

    let by_socket = Peer::new(System::Consul, Address::Unix(socket));
    let pair = Consul::new(&by_socket)
        .unwrap()
        .kv_get("k", None, true, None)
        .await
        .unwrap();
    assert_eq!(pair.value.unwrap().value, b"over TLS");
    assert_eq!(
        agent.client().agent_self().await.unwrap().node_name(),
        "tls"
    );

    let wrong = [
        (
            "no CA of its own",
            Tls {
                ca: None,
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
            "another name",
            Tls {
                server_name: Some("server.moon.consul".into()),
                ..right.clone()
            },
        ),
        (
            "the address as name",
            Tls {
                server_name: None,
                ..right
            },
        ),
    ];
    for (what, tls) in wrong {
        let outcome = secure(tls).leader(None).await;
        // The certificate of Consul's own tool names 127.0.0.1, not this address.
        assert!(
            matches!(outcome, Err(HttpError::Unreachable { .. })),
            "{what}: {outcome:?}"
        );
    }
}
