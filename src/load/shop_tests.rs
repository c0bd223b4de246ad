//! Whole instances on loopback, found through a DNS that answers as Consul's.

use super::*;
use crate::load::dns_stub::DnsStub;
use crate::load::http::{Fault, HttpClient, Reply};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);

fn part(name: &str, dns: Option<SocketAddr>) -> ShopConfig {
    ShopConfig {
        name: name.to_string(),
        alloc: format!("{name}-1"),
        listen: ([127, 0, 0, 1], 0).into(),
        cpu_time: Duration::from_micros(100),
        cpu_share: None,
        speed_file: None,
        concurrency: 16,
        queue: 32,
        upstreams: Vec::new(),
        dns,
        state_dir: None,
    }
}

fn calls(name: &str, hard: bool, route: Route) -> UpstreamConfig {
    UpstreamConfig {
        name: name.to_string(),
        route,
        hard,
        timeout: PATIENCE,
    }
}

fn service(name: &str, hard: bool) -> UpstreamConfig {
    calls(name, hard, Route::Service(name.to_string()))
}

struct Running {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Result<(), ShopError>>,
}

async fn start(config: ShopConfig) -> Running {
    let shop = Shop::bind(config).await.unwrap();
    let addr = shop.addr();
    let (stop, stopped) = oneshot::channel::<()>();
    let done = tokio::spawn(shop.run(async move {
        let _ = stopped.await;
    }));
    Running { addr, stop, done }
}

impl Running {
    async fn end(self) {
        self.stop.send(()).unwrap();
        self.done.await.unwrap().unwrap();
    }
}

fn client() -> HttpClient {
    HttpClient::new(None, PATIENCE, PATIENCE)
}

async fn body(addr: SocketAddr, path: &str) -> String {
    use http_body_util::{BodyExt, Empty};
    let request = hyper::Request::get(format!("http://{addr}{path}"))
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let answer = client.build_http().request(request).await.unwrap();
    let bytes = answer.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn an_order_goes_through_all_parts_does_without_the_soft_one_and_fails_with_a_hard_one() {
    let dir = tempfile::tempdir().unwrap();
    let dns = DnsStub::start().await;
    let at = Some(dns.addr());
    let mut ledger = part("ledger", at);
    ledger.state_dir = Some(dir.path().join("state"));
    let ledger = start(ledger).await;
    let pricing = start(part("pricing", at)).await;
    dns.set("shop-ledger.service.consul.", &[(ledger.addr, 1)]);
    dns.set("shop-pricing.service.consul.", &[(pricing.addr, 1)]);
    let mut cart = part("cart", at);
    cart.upstreams = vec![service("shop-pricing", true), service("shop-ledger", false)];
    let cart = start(cart).await;
    dns.set("shop-cart.service.consul.", &[(cart.addr, 1)]);
    let mut web = part("web", at);
    web.upstreams = vec![service("shop-cart", true)];
    let web = start(web).await;

    let http = client();
    assert_eq!(http.get(web.addr, "/", "order-1").await.result, Ok(200));
    let orders = std::fs::read_to_string(dir.path().join("state/orders.log")).unwrap();
    let fields: Vec<_> = orders.split_whitespace().collect();
    assert_eq!(fields[1..], ["order-1", "ledger-1"], "{orders}");

    ledger.end().await;
    assert_eq!(http.get(web.addr, "/", "order-2").await.result, Ok(200));
    assert!(
        body(cart.addr, "/")
            .await
            .contains(r#""without":["shop-ledger"]"#)
    );

    let gone = pricing.addr;
    pricing.end().await;
    let failed = http.get(web.addr, "/", "order-4").await;
    assert_eq!(failed.result, Err(Fault::Status(502)));
    let said = format!(
        "web: upstream shop-cart failed: status_502 at {} (cart: upstream shop-pricing failed: connect at {})",
        cart.addr, gone
    );
    assert_eq!(failed.said.as_deref(), Some(said.as_str()));
    assert_eq!(http.get(web.addr, "/health", "-").await.result, Ok(200));
    let metrics = body(web.addr, "/metrics").await;
    for line in [
        "http_requests_total{code=\"200\"} 2",
        "http_requests_total{code=\"502\"} 1",
        "http_request_duration_seconds_count 3",
        "upstream_requests_total{upstream=\"shop-cart\",outcome=\"status_502\"} 1",
    ] {
        assert!(
            metrics.lines().any(|l| l == line),
            "{line} not in\n{metrics}"
        );
    }
    web.end().await;
    cart.end().await;
}

#[tokio::test]
async fn a_stubbed_upstream_is_answered_inside_and_needs_no_dns() {
    let mut web = part("web", None);
    web.upstreams = vec![calls("shop-cart", true, Route::Stub(Duration::ZERO))];
    let web = start(web).await;
    assert_eq!(client().get(web.addr, "/", "-").await.result, Ok(200));
    web.end().await;

    let mut lost = part("web", None);
    lost.upstreams = vec![service("shop-cart", true)];
    let error = Shop::bind(lost).await.err().unwrap().to_string();
    assert!(
        error.contains("give --dns, CONSUL_DNS or HOST_IP"),
        "{error}"
    );
}

/// An upstream that says when it is asked and answers when it may.
async fn gate() -> (SocketAddr, Arc<Notify>, Arc<Notify>) {
    let (asked, may) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (a, m) = (asked.clone(), may.clone());
    let handler = move || async move {
        a.notify_one();
        m.notified().await;
        "ok"
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let app = Router::new().route("/", get(handler));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (addr, asked, may)
}

async fn web_before_a_gate() -> (Running, JoinHandle<Reply>, Arc<Notify>) {
    let (addr, asked, may) = gate().await;
    let mut web = part("web", None);
    web.upstreams = vec![calls("shop-cart", true, Route::Fixed(addr.to_string()))];
    let web = start(web).await;
    let at = web.addr;
    let request = tokio::spawn(async move { client().get(at, "/", "-").await });
    asked.notified().await;
    (web, request, may)
}

#[tokio::test]
async fn a_stopping_instance_finishes_what_is_in_flight_and_then_refuses() {
    let (web, request, may) = web_before_a_gate().await;
    web.stop.send(()).unwrap();
    may.notify_one();
    assert_eq!(request.await.unwrap().result, Ok(200));
    web.done.await.unwrap().unwrap();
    let refused = client().get(web.addr, "/", "-").await.result;
    assert_eq!(refused, Err(Fault::Connect));
}

#[tokio::test]
async fn a_stopping_instance_does_not_wait_for_ever_for_an_upstream() {
    let (web, request, _may) = web_before_a_gate().await;
    web.stop.send(()).unwrap();
    tokio::time::timeout(PATIENCE, web.done)
        .await
        .expect("the drain has a bound")
        .unwrap()
        .unwrap();
    request.abort();
}

#[tokio::test]
async fn what_has_no_room_is_turned_away_at_once_with_503() {
    let (addr, asked, may) = gate().await;
    let mut web = part("web", None);
    (web.concurrency, web.queue) = (1, 0);
    web.upstreams = vec![calls("shop-cart", true, Route::Fixed(addr.to_string()))];
    let web = start(web).await;
    let at = web.addr;
    let first = tokio::spawn(async move { client().get(at, "/", "-").await });
    asked.notified().await;
    let second = client().get(at, "/", "-").await.result;
    assert_eq!(second, Err(Fault::Status(503)));
    may.notify_one();
    assert_eq!(first.await.unwrap().result, Ok(200));
    web.end().await;
}

/// Of each group in the job file: name, count, MHz, arguments of the command.
fn groups_of_the_job() -> Vec<(String, f64, f64, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/shop.nomad.hcl");
    let body = hcl::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    let job = body.blocks().next().unwrap();
    fn attr(block: &hcl::Block, key: &str) -> hcl::Expression {
        let found = block.body().attributes().find(|a| a.key() == key);
        found.unwrap().expr().clone()
    }
    fn inside<'a>(block: &'a hcl::Block, kind: &str) -> &'a hcl::Block {
        block
            .body()
            .blocks()
            .find(|b| b.identifier() == kind)
            .unwrap()
    }
    let number = |e: hcl::Expression| e.to_string().parse::<f64>().unwrap();
    let groups = job.body().blocks().filter(|b| b.identifier() == "group");
    groups
        .map(|group| {
            let task = inside(group, "task");
            let hcl::Expression::Array(args) = attr(inside(task, "config"), "args") else {
                panic!("args is no list");
            };
            (
                group.labels()[0].as_str().to_string(),
                number(attr(group, "count")),
                number(attr(inside(task, "resources"), "cpu")),
                args.iter()
                    .map(|a| a.to_string().trim_matches('"').to_string())
                    .collect(),
            )
        })
        .collect()
}

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    shop: ShopArgs,
}

#[test]
fn the_job_fits_a_quiet_day_not_the_surge_and_less_than_60_percent_of_a_core() {
    let mut cores_at_80 = 0.0;
    let mut capacity = BTreeMap::new();
    for (group, count, mhz, args) in groups_of_the_job() {
        assert_eq!(args[0], "shop-service");
        let cli = <Cli as clap::Parser>::parse_from(args);
        assert_eq!(cli.shop.name, group);
        cores_at_80 += 80.0 * cli.shop.cpu_ms / 1000.0;
        let of_one = mhz / (cli.shop.cpu_ms / 1000.0 * REFERENCE_MHZ);
        capacity.insert(group, count * of_one);
    }
    assert!(cores_at_80 < 0.6, "{cores_at_80}");
    assert_eq!(capacity.len(), 5);
    for (group, rps) in capacity {
        if group == "web" || group == "cart" {
            assert!((58.0..70.0).contains(&rps), "{group} {rps}");
        } else {
            assert!(rps > 120.0, "{group} {rps}");
        }
    }
}
