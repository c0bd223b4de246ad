//! What a tap costs production: latency of requests through it, with every one copied, against the same requests sent directly.
//!
//! `cargo bench --bench tap` prints p50 and p99 of both and what the tap adds. Requests go out one after the other, direct and
//! tapped in turn, so that whatever else the machine does falls on both alike.

#![allow(clippy::disallowed_methods)] // a bench measures time

use bytes::Bytes;
use foreshadow::load::Tally;
use foreshadow::load::tap::{TapConfig, safe, secrets, serve};
use hdrhistogram::Histogram;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A server that answers a kilobyte at once.
async fn null_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).expect("TCP");
            let service = service_fn(|_: Request<hyper::body::Incoming>| async {
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(&[b'x'; 1024]))))
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    at
}

fn main() {
    let measured = std::env::args().any(|a| a == "--bench");
    let requests = if measured { 20_000 } else { 50 };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (production, shadow) = (null_server().await, null_server().await);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let tap = listener.local_addr().expect("its address");
        let config = TapConfig {
            production: format!("http://{production}").parse().expect("a URL"),
            shadow: format!("http://{shadow}").parse().expect("a URL"),
            share: 1.0,
            methods: safe(),
            scrub: secrets(),
            queue: 256,
            timeout: Duration::from_secs(5),
            copy_timeout: Duration::from_secs(5),
            seed: 1,
        };
        let tally = Arc::new(Tally::default());
        tokio::spawn(serve(
            listener,
            config,
            tally.clone(),
            CancellationToken::new(),
        ));
        let client = reqwest::Client::new();
        let empty = || Histogram::<u64>::new(3).expect("three digits");
        let (mut direct, mut tapped) = (empty(), empty());
        for _ in 0..requests {
            for (at, into) in [(production, &mut direct), (tap, &mut tapped)] {
                let began = Instant::now();
                let answer = client
                    .get(format!("http://{at}/"))
                    .send()
                    .await
                    .expect("an answer");
                answer.bytes().await.expect("whole");
                into.record(began.elapsed().as_micros() as u64)
                    .expect("a latency");
            }
        }
        let micros = |h: &Histogram<u64>, q| h.value_at_quantile(q);
        for (name, q) in [("p50", 0.5), ("p99", 0.99)] {
            let (d, t) = (micros(&direct, q), micros(&tapped, q));
            println!(
                "{name}: {d} µs direct (baseline), {t} µs through the tap: {} µs added",
                t.saturating_sub(d)
            );
        }
        let counts = tally.counts();
        println!(
            "{} copies compared, {} dropped, of {requests} requests",
            counts.compared, counts.dropped
        );
    });
}
