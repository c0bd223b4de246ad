//! What an instance of the shop is told: by arguments of its job, and by the environment Nomad gives a task.

use super::ShopError;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `foreshadow shop-service`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShopArgs {
    /// Name of this part of the shop, such as `web`
    #[arg(long)]
    pub name: String,
    /// CPU time a request burns on a core of 2000 MHz, in milliseconds
    #[arg(long, default_value_t = 1.0)]
    pub cpu_ms: f64,
    /// Requests worked on at once
    #[arg(long, default_value_t = 16)]
    pub concurrency: usize,
    /// Requests that may wait beyond those; more get 503
    #[arg(long, default_value_t = 32)]
    pub queue: usize,
    /// A service called for each request, which fails when the call does (repeatable, called in order)
    #[arg(long = "upstream", value_name = "SERVICE")]
    pub upstreams: Vec<String>,
    /// A service called for each request, which goes on without it when the call fails (repeatable)
    #[arg(long = "soft-upstream", value_name = "SERVICE")]
    pub soft_upstreams: Vec<String>,
    /// Longest wait for an upstream, in milliseconds
    #[arg(long, default_value_t = 1000)]
    pub upstream_timeout_ms: u64,
    /// Longest wait for a soft upstream, in milliseconds
    #[arg(long, default_value_t = 150)]
    pub soft_timeout_ms: u64,
    /// How long a stubbed upstream takes, in milliseconds
    #[arg(long, default_value_t = 5)]
    pub stub_ms: u64,
    /// Keeps an order line for each request in this directory
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<String>,
    /// Address of Consul's DNS (else CONSUL_DNS, else HOST_IP:8600)
    #[arg(long, value_name = "IP:PORT")]
    pub dns: Option<String>,
}

/// How an upstream is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Answered inside after a fixed delay; nothing is called.
    Stub(Duration),
    /// `host:port`.
    Fixed(String),
    /// A service name for Consul's DNS.
    Service(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// As the job names it; labels metrics.
    pub name: String,
    pub route: Route,
    /// Its failure fails the request.
    pub hard: bool,
    pub timeout: Duration,
}

/// One instance of one part of the shop.
#[derive(Clone, Debug, PartialEq)]
pub struct ShopConfig {
    pub name: String,
    pub alloc: String,
    pub listen: SocketAddr,
    /// CPU time of a request on this node.
    pub cpu_time: Duration,
    /// CPU seconds a second that this instance may use; `None` when it has no limit.
    pub cpu_share: Option<f64>,
    /// Says how much of its speed the node gives now; all of it while there is no such file.
    pub speed_file: Option<PathBuf>,
    pub concurrency: usize,
    pub queue: usize,
    pub upstreams: Vec<UpstreamConfig>,
    pub dns: Option<SocketAddr>,
    pub state_dir: Option<PathBuf>,
}

/// Environment variable that names a file with the part of its speed that the node gives: the stand-in for a machine whose
/// neighbours are noisy.
pub const NODE_SPEED_FILE: &str = "FORESHADOW_NODE_SPEED_FILE";
/// The core speed that `--cpu-ms` is meant for.
pub const REFERENCE_MHZ: f64 = 2000.0;

impl ShopConfig {
    /// Joins arguments and environment (`env` looks a variable up).
    ///
    /// A value in which Nomad left `${…}` standing (a node without that attribute or meta) counts as not set.
    pub fn new(args: ShopArgs, env: impl Fn(&str) -> Option<String>) -> Result<Self, ShopError> {
        let get = |name: &'static str| env(name).and_then(resolved);
        let node = number(&get, "NODE_MHZ")?.unwrap_or(REFERENCE_MHZ);
        let limit = number(&get, "NOMAD_CPU_LIMIT")?;
        if !(args.cpu_ms.is_finite() && args.cpu_ms >= 0.0) {
            return Err(bad("--cpu-ms", args.cpu_ms, "milliseconds, 0 or more"));
        }
        let ip: IpAddr =
            parsed(&get, "NOMAD_IP_http", "an IP address")?.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let port = parsed(&get, "NOMAD_PORT_http", "a port")?.unwrap_or(0);
        let alloc_dir = get("NOMAD_ALLOC_DIR");
        let state_dir = args.state_dir.map(|dir| match (resolved(dir), alloc_dir) {
            (Some(dir), _) => PathBuf::from(dir),
            (None, Some(alloc)) => PathBuf::from(alloc).join("data"),
            (None, None) => PathBuf::from("."),
        });
        let dns = match args.dns.and_then(resolved) {
            Some(text) => Some(address("--dns", &text)?),
            None => dns_from_env(&get)?,
        };
        let stub = Duration::from_millis(args.stub_ms);
        let (hard, soft) = (args.upstream_timeout_ms, args.soft_timeout_ms);
        let hard = args.upstreams.iter().map(|name| (name, true, hard));
        let soft = args.soft_upstreams.iter().map(|name| (name, false, soft));
        // A shadow's environment stubs all of them at once; one by one goes before.
        let all = env("FORESHADOW_UPSTREAMS").and_then(resolved);
        let get_route = |name: &str| env(&override_name(name)).and_then(resolved).or(all.clone());
        let upstreams = hard.chain(soft).map(|(name, hard, ms)| UpstreamConfig {
            name: name.clone(),
            route: route(name, get_route(name), stub),
            hard,
            timeout: Duration::from_millis(ms),
        });
        Ok(Self {
            alloc: get("NOMAD_ALLOC_ID").unwrap_or_else(|| "none".to_string()),
            listen: SocketAddr::new(ip, port),
            cpu_time: Duration::from_secs_f64(args.cpu_ms / 1000.0 * REFERENCE_MHZ / node),
            cpu_share: limit.map(|limit| limit / node),
            speed_file: get(NODE_SPEED_FILE).map(PathBuf::from),
            concurrency: args.concurrency.max(1),
            queue: args.queue,
            upstreams: upstreams.collect(),
            dns,
            state_dir,
            name: args.name,
        })
    }
}

/// Of upstream `shop-cart`: `UPSTREAM_SHOP_CART`.
fn override_name(upstream: &str) -> String {
    let name = upstream.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    format!("UPSTREAM_{}", name.to_ascii_uppercase())
}

fn route(name: &str, by_env: Option<String>, stub: Duration) -> Route {
    match by_env {
        None => Route::Service(name.to_string()),
        Some(v) if v == "stub" => Route::Stub(stub),
        Some(v) if v.contains(':') => Route::Fixed(v),
        Some(v) => Route::Service(v),
    }
}

fn dns_from_env(
    get: &impl Fn(&'static str) -> Option<String>,
) -> Result<Option<SocketAddr>, ShopError> {
    if let Some(text) = get("CONSUL_DNS") {
        return address("CONSUL_DNS", &text).map(Some);
    }
    let host = parsed::<IpAddr>(get, "HOST_IP", "an IP address")?;
    Ok(host.map(|ip| SocketAddr::new(ip, 8600)))
}

fn resolved(value: String) -> Option<String> {
    (!value.is_empty() && !value.contains("${")).then_some(value)
}

fn number(
    get: &impl Fn(&'static str) -> Option<String>,
    name: &'static str,
) -> Result<Option<f64>, ShopError> {
    let wanted = "a number of MHz above 0";
    match parsed::<f64>(get, name, wanted)? {
        Some(n) if !(n.is_finite() && n > 0.0) => Err(bad(name, n, wanted)),
        n => Ok(n),
    }
}

fn parsed<T: std::str::FromStr>(
    get: &impl Fn(&'static str) -> Option<String>,
    name: &'static str,
    wanted: &'static str,
) -> Result<Option<T>, ShopError> {
    get(name)
        .map(|text| text.trim().parse().map_err(|_| bad(name, &text, wanted)))
        .transpose()
}

fn address(name: &'static str, text: &str) -> Result<SocketAddr, ShopError> {
    text.parse()
        .map_err(|_| bad(name, text, "IP:PORT, such as 127.0.0.1:8600"))
}

fn bad(name: &'static str, value: impl ToString, wanted: &'static str) -> ShopError {
    ShopError::Setting {
        name,
        value: value.to_string(),
        wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        shop: ShopArgs,
    }

    fn config(args: &str, env: &[(&str, &str)]) -> Result<ShopConfig, ShopError> {
        let cli = Cli::parse_from(std::iter::once("shop").chain(args.split_whitespace()));
        ShopConfig::new(cli.shop, |name| {
            let found = env.iter().find(|(n, _)| *n == name);
            found.map(|(_, v)| v.to_string())
        })
    }

    #[test]
    fn cpu_time_shrinks_with_a_faster_node_while_the_capacity_of_the_same_mhz_stays() {
        for (mhz, cpu_us) in [("2000", 1600), ("3200", 1000), ("1600", 2000)] {
            let env = [("NODE_MHZ", mhz), ("NOMAD_CPU_LIMIT", "100")];
            let shop = config("--name web --cpu-ms 1.6", &env).unwrap();
            assert_eq!(shop.cpu_time.as_micros(), cpu_us);
            let capacity = shop.cpu_share.unwrap() / shop.cpu_time.as_secs_f64();
            assert!((capacity - 31.25).abs() < 0.01, "{capacity}");
        }
    }

    #[test]
    fn dns_falls_back_to_the_host_when_the_node_has_no_meta_for_it() {
        let dns = |env: &[(&str, &str)]| {
            let shop = config("--name web", env).unwrap();
            shop.dns.map(|d| d.to_string())
        };
        let host = ("HOST_IP", "10.0.0.7");
        assert_eq!(
            dns(&[("CONSUL_DNS", "127.0.10.250:8600"), host]).as_deref(),
            Some("127.0.10.250:8600")
        );
        assert_eq!(
            dns(&[("CONSUL_DNS", "${meta.consul_dns}"), host]).as_deref(),
            Some("10.0.0.7:8600")
        );
        assert_eq!(dns(&[]), None);
    }

    #[test]
    fn upstreams_keep_their_order_and_may_be_overridden_for_shadows() {
        let args = "--name cart --upstream shop-pricing --upstream shop-tax --soft-upstream shop-ledger --upstream shop-user";
        let env = [
            ("UPSTREAM_SHOP_PRICING", "stub"),
            ("UPSTREAM_SHOP_TAX", "127.0.10.1:20001"),
            ("UPSTREAM_SHOP_LEDGER", "shop-shadow-ledger"),
        ];
        let shop = config(args, &env).unwrap();
        let seen: Vec<_> = shop
            .upstreams
            .iter()
            .map(|u| (u.name.as_str(), u.route.clone(), u.hard))
            .collect();
        let service = |name: &str| Route::Service(name.to_string());
        assert_eq!(
            seen,
            [
                ("shop-pricing", Route::Stub(Duration::from_millis(5)), true),
                ("shop-tax", Route::Fixed("127.0.10.1:20001".into()), true),
                ("shop-user", service("shop-user"), true),
                ("shop-ledger", service("shop-shadow-ledger"), false),
            ]
        );
    }

    #[test]
    fn state_lies_on_the_volume_or_else_in_the_allocations_own_data() {
        let alloc = ("NOMAD_ALLOC_DIR", "/alloc");
        let dir = |arg: &str| {
            let args = format!("--name ledger --state-dir {arg}");
            config(&args, &[alloc]).unwrap().state_dir.unwrap()
        };
        assert_eq!(dir("/srv/ledger"), PathBuf::from("/srv/ledger"));
        assert_eq!(dir("${meta.ledger_dir}"), PathBuf::from("/alloc/data"));
    }

    #[test]
    fn a_bad_setting_is_refused_by_name() {
        let error = |env: &[(&str, &str)]| config("--name web", env).unwrap_err().to_string();
        assert_eq!(
            error(&[("NODE_MHZ", "fast")]),
            "NODE_MHZ is `fast`; it must be a number of MHz above 0"
        );
        assert!(error(&[("NOMAD_CPU_LIMIT", "0")]).starts_with("NOMAD_CPU_LIMIT is `0`"));
        assert!(error(&[("CONSUL_DNS", "localhost")]).contains("IP:PORT"));
    }
}
