//! Checks that really run: HTTP, TCP and TTL, from the agent's own address.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::check_types::CheckType;
use super::go;
use super::local::{LocalCheck, Ttl};
use super::records::{CRITICAL, PASSING, WARNING};
use super::world::AgentRef;

const MIN_INTERVAL: Duration = Duration::from_secs(1);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const OUTPUT_SIZE: usize = 4096;

/// Counts runs in a row before a check's status may change.
struct Streak {
    successes: i64,
    failures: i64,
    success_before_passing: i64,
    failures_before_critical: i64,
}

impl Streak {
    fn new(kind: &CheckType) -> Self {
        let (success_before_passing, failures_before_critical) =
            (kind.success_before_passing, kind.failures_before_critical);
        let (successes, failures) = (success_before_passing, failures_before_critical);
        Self {
            successes,
            failures,
            success_before_passing,
            failures_before_critical,
        }
    }

    /// True when this status now counts.
    fn counts(&mut self, status: &str) -> bool {
        if status == CRITICAL {
            self.failures += 1;
            self.successes = 0;
            self.failures >= self.failures_before_critical
        } else {
            self.successes += 1;
            self.failures = 0;
            self.successes >= self.success_before_passing
        }
    }
}

/// Starts what runs a check; it ends when `held` is dropped or the estate stops.
pub(super) fn start(agent: &AgentRef, held: &mut LocalCheck, kind: &CheckType) {
    let token = agent.world.stop.child_token();
    held.runner = LocalCheck::guard(token.clone());
    let (agent, id, kind) = (agent.clone(), held.check.check_id.clone(), kind.clone());
    let tasks = agent.world.tasks.clone();
    if kind.ttl > 0 {
        let length = go::duration(kind.ttl);
        let moved = Arc::new(Notify::new());
        held.ttl = Some(Ttl {
            length,
            deadline: Some(Instant::now() + length),
            last_output: String::new(),
            moved: Arc::clone(&moved),
        });
        tasks.spawn(async move { token.run_until_cancelled(run_ttl(agent, id, moved)).await });
    } else {
        let cancelled = token.clone();
        tasks.spawn(async move {
            token
                .run_until_cancelled(run_probe(agent, id, kind, cancelled))
                .await
        });
    }
}

async fn run_ttl(agent: AgentRef, id: String, moved: Arc<Notify>) {
    loop {
        let deadline = agent
            .local()
            .checks
            .get(&id)
            .and_then(|held| held.ttl.as_ref())
            .and_then(|ttl| ttl.deadline);
        match deadline {
            None => moved.notified().await,
            Some(deadline) => tokio::select! {
                () = moved.notified() => {}
                () = sleep_until(deadline) => expire(&agent, &id, deadline),
            },
        }
    }
}

fn expire(agent: &AgentRef, id: &str, deadline: Instant) {
    let mut local = agent.local();
    let Some(ttl) = local.checks.get_mut(id).and_then(|held| held.ttl.as_mut()) else {
        return;
    };
    if ttl.deadline != Some(deadline) {
        return;
    }
    ttl.deadline = None;
    let output = match ttl.last_output.as_str() {
        "" => "TTL expired".to_owned(),
        last => format!("TTL expired (last output before timeout follows): {last}"),
    };
    drop(local);
    agent.update_check(id, CRITICAL, output);
}

async fn run_probe(agent: AgentRef, id: String, kind: CheckType, cancelled: CancellationToken) {
    let interval = go::duration(kind.interval).max(MIN_INTERVAL);
    let limit = if kind.timeout > 0 {
        go::duration(kind.timeout)
    } else {
        DEFAULT_TIMEOUT
    };
    let mut streak = Streak::new(&kind);
    let client = http_client(&agent, limit, kind.tls_skip_verify);
    sleep(Duration::from_nanos(
        agent.datacenter.dice(interval.as_nanos() as u64),
    ))
    .await;
    loop {
        let (status, output) = match (&client, kind.http.is_empty()) {
            (_, true) => probe_tcp(&agent, &kind.tcp, limit).await,
            (Ok(client), false) => probe_http(client, &kind, limit).await,
            (Err(error), false) => (CRITICAL, format!("cannot make a client: {error}")),
        };
        if cancelled.is_cancelled() {
            return;
        }
        if streak.counts(status) {
            agent.update_check(&id, status, output);
        }
        sleep(interval).await;
    }
}

fn http_client(
    agent: &AgentRef,
    limit: Duration,
    skip_verify: bool,
) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .local_address(agent.address)
        .pool_max_idle_per_host(0)
        .timeout(limit)
        .tls_danger_accept_invalid_certs(skip_verify)
        .no_proxy()
        .build()
}

async fn probe_http(
    client: &reqwest::Client,
    kind: &CheckType,
    limit: Duration,
) -> (&'static str, String) {
    let name = if kind.method.is_empty() {
        "GET"
    } else {
        &kind.method
    };
    let request = match http_request(client, kind, name) {
        Ok(request) => request,
        Err(error) => return (CRITICAL, error),
    };
    match client.execute(request).await {
        Err(error) => (CRITICAL, go_http_error(name, &kind.http, &error, limit)),
        Ok(response) => {
            let status = response.status();
            let kept = if kind.output_max_size > 0 {
                OUTPUT_SIZE.min(kind.output_max_size as usize)
            } else {
                OUTPUT_SIZE
            };
            let body = response.bytes().await.unwrap_or_default();
            // A ring buffer in Consul: the end is what stays.
            let body =
                String::from_utf8_lossy(&body[body.len().saturating_sub(kept)..]).into_owned();
            let reason = status.canonical_reason().unwrap_or("");
            let output = format!(
                "HTTP {name} {}: {} {reason} Output: {body}",
                kind.http,
                status.as_u16()
            );
            match status.as_u16() {
                200..300 => (PASSING, output),
                429 => (WARNING, output),
                _ => (CRITICAL, output),
            }
        }
    }
}

fn http_request(
    client: &reqwest::Client,
    kind: &CheckType,
    method: &str,
) -> Result<reqwest::Request, String> {
    let method = reqwest::Method::from_bytes(method.as_bytes())
        .map_err(|_| format!("net/http: invalid method {method:?}"))?;
    let mut request = client.request(method, &kind.http).body(kind.body.clone());
    for (name, values) in &kind.header {
        for value in values {
            request = request.header(name, value);
        }
    }
    let given = |name: &str| kind.header.keys().any(|key| key.eq_ignore_ascii_case(name));
    if !given("User-Agent") {
        request = request.header("User-Agent", "Consul Health Check");
    }
    if !given("Accept") {
        request = request.header("Accept", "text/plain, text/*, */*");
    }
    request
        .build()
        .map_err(|error| format!("parse {:?}: {error}", kind.http))
}

/// The sentence Go's client would have given.
fn go_http_error(method: &str, url: &str, error: &reqwest::Error, limit: Duration) -> String {
    let mut verb = method.to_ascii_lowercase();
    if let Some(first) = verb.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if error.is_timeout() {
        let tail = "(Client.Timeout exceeded while awaiting headers)";
        return format!("{verb} {url:?}: context deadline exceeded {tail}");
    }
    let target = reqwest::Url::parse(url).ok().and_then(|url| {
        Some(format!(
            "{}:{}",
            url.host_str()?,
            url.port_or_known_default()?
        ))
    });
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return format!(
                "{verb} {url:?}: {}",
                go_dial_error(&target.unwrap_or_default(), io, limit)
            );
        }
        cause = inner.source();
    }
    format!("{verb} {url:?}: {error}")
}

async fn probe_tcp(agent: &AgentRef, target: &str, limit: Duration) -> (&'static str, String) {
    let connect = async {
        let address = resolve(target).await?;
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        if address.is_ipv4() == agent.address.is_ipv4() {
            socket.bind(SocketAddr::new(agent.address, 0))?;
        }
        socket.connect(address).await.map(drop)
    };
    match timeout(limit, connect)
        .await
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
    {
        Ok(()) => (PASSING, format!("TCP connect {target}: Success")),
        Err(error) => (CRITICAL, go_dial_error(target, &error, limit)),
    }
}

async fn resolve(target: &str) -> std::io::Result<SocketAddr> {
    let mut found = tokio::net::lookup_host(target).await?;
    found
        .next()
        .ok_or_else(|| std::io::Error::new(ErrorKind::NotFound, "no such host"))
}

fn go_dial_error(target: &str, error: &std::io::Error, limit: Duration) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => format!("dial tcp {target}: connect: connection refused"),
        ErrorKind::TimedOut => format!("dial tcp {target}: i/o timeout"),
        ErrorKind::HostUnreachable => format!("dial tcp {target}: connect: no route to host"),
        ErrorKind::ConnectionReset => format!("read tcp {target}: read: connection reset by peer"),
        ErrorKind::UnexpectedEof => "EOF".into(),
        _ => format!("dial tcp {target} within {limit:?}: {error}"),
    }
}
