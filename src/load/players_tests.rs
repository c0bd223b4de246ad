use super::*;
use crate::load::dns_stub::DnsStub;
use crate::load::http::Reply;

fn record(index: u64, at_ms: u64, took_ms: u64, result: Result<u16, Fault>) -> Record {
    Record {
        index,
        intended: Duration::from_millis(at_ms),
        lag: Duration::ZERO,
        latency: Duration::from_millis(took_ms),
        reply: Reply {
            instance: Some(([127, 0, 10, 1], 20000).into()),
            result,
            bytes: 0,
            said: None,
        },
    }
}

#[test]
fn losses_are_kept_by_second_site_instance_and_kind_with_the_time_until_they_ended() {
    let board = Board::new("shop-web", Duration::from_millis(300));
    let (a, start) = (Site::new("edge-a"), Moment(10_250));
    board.record(&a, start, &record(0, 0, 20, Ok(200)));
    board.record(&a, start, &record(1, 100, 301, Ok(200)));
    board.record(&a, start, &record(2, 800, 2000, Err(Fault::Timeout)));
    board.record(&a, start, &record(3, 900, 2000, Err(Fault::Timeout)));
    board.record(
        &Site::new("edge-b"),
        start,
        &record(0, 900, 1, Err(Fault::Connect)),
    );
    let summary = board.summary();
    assert_eq!((summary.requests, summary.lost, summary.late), (5, 3, 1));
    let seen: Vec<_> = summary
        .losses
        .iter()
        .map(|l| (l.at.0, l.until.0, l.site.as_str(), l.fault, l.requests))
        .collect();
    assert_eq!(
        seen,
        [
            (10_000, 10_653, "edge-a", None, 1),
            (11_000, 13_152, "edge-a", Some(Fault::Timeout), 2),
            (11_000, 11_153, "edge-b", Some(Fault::Connect), 1),
        ]
    );
    let text = board.metrics(&"edge-a".into()) + &board.metrics(&"edge-b".into());
    for line in [
        "client_requests_total{service=\"shop-web\",site=\"edge-a\",outcome=\"ok\"} 1",
        "client_requests_total{service=\"shop-web\",site=\"edge-a\",outcome=\"late\"} 1",
        "client_requests_total{service=\"shop-web\",site=\"edge-a\",outcome=\"lost\"} 2",
        "client_request_duration_seconds_count{service=\"shop-web\",site=\"edge-a\"} 4",
        // A refused connection took no time that would say anything.
        "client_request_duration_seconds_count{service=\"shop-web\",site=\"edge-b\"} 0",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_breaks_at_the_instant_of_a_fault_has_not_ended_before_it() {
    let board = Board::new("shop-web", Duration::from_millis(300));
    // The clock read 10.250 s anywhere within that millisecond: the request may have ended at 11.0015 s.
    let mut broken = record(0, 0, 0, Err(Fault::Broken));
    broken.intended = Duration::from_micros(600);
    broken.latency = Duration::from_micros(749_900);
    board.record(&Site::new("edge-a"), Moment(10_250), &broken);
    assert!(board.summary().losses[0].until >= Moment(11_002));
}

#[tokio::test]
async fn players_find_the_service_by_dns_play_their_share_and_book_every_request() {
    let app = axum::Router::new().route("/", axum::routing::get(|| async { "ok" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let dns = DnsStub::start().await;
    dns.set("shop-web.service.consul.", &[(web, 10)]);
    let at = |site: &str, share| SiteClients {
        site: Site::new(site),
        dns: dns.addr(),
        source: Some([127, 0, 0, 1].into()),
        share,
    };
    let config = PlayersConfig {
        service: "shop-web".into(),
        path: "/".into(),
        sites: vec![at("edge-a", 0.75), at("edge-b", 0.25)],
        rate: Rate::new(&[(Moment(0), 40.0)], Moment(0), 6.0),
        lasts: Duration::from_millis(990),
        limit: Duration::from_secs(5),
        timeout: Duration::from_secs(10),
        poisson: false,
        seed: 1,
    };
    let players = Players::new(config).unwrap();
    assert!(players.ready(Duration::from_secs(20)).await);
    let board = Arc::new(Board::new("shop-web", Duration::from_secs(5)));
    let books = board.clone();
    let playing =
        tokio::spawn(async move { players.play(&books, &CancellationToken::new()).await });
    playing.await.unwrap();
    let summary = board.summary();
    assert_eq!((summary.requests, summary.lost), (40, 0), "{summary:?}");
    assert!(
        board
            .metrics(&"edge-a".into())
            .contains("site=\"edge-a\",outcome=\"ok\"} 30\n")
    );
}
