//! A client that finds a service by Consul DNS SRV and spreads its requests as the weights say.

use super::http::{Fault, HttpClient, Reply};
use super::srv::{Instance, instances, pick};
use hickory_proto::rr::{Name, RData};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

#[derive(Debug, Error)]
pub enum SrvError {
    #[error(
        "`{name}` is not a DNS name; use a Consul service name such as `shop-web` or a full one such as `shop-web.service.edge.consul`"
    )]
    Name {
        name: String,
        #[source]
        source: Box<hickory_proto::ProtoError>,
    },
    #[error(
        "cannot set up a resolver for the DNS server {dns}; check that the address can be reached from here"
    )]
    Resolver {
        dns: SocketAddr,
        #[source]
        source: Box<NetError>,
    },
}

/// How to find and reach a service.
#[derive(Clone, Debug)]
pub struct SrvConfig {
    /// A Consul service name (`shop-web`), or a full DNS name when it has a dot (`shop-web.service.provider.consul`).
    pub service: String,
    /// Consul's DNS.
    pub dns: SocketAddr,
    /// Local address of requests and DNS queries.
    pub source: Option<IpAddr>,
    /// How often DNS is asked, in the background.
    pub refresh: Duration,
    pub connect_timeout: Duration,
    /// Bound of a whole request.
    pub timeout: Duration,
    /// How long an instance is left out after no connection could be made or one broke.
    pub eject_for: Duration,
    /// How long the last instances are still tried when DNS answers that there are none.
    pub keep_empty_for: Duration,
    /// Of the weighted picks.
    pub seed: u64,
}

impl SrvConfig {
    /// Refresh each 500 ms, connect within 500 ms, answer within 2 s, eject for 3 s, keep the last set for 10 s.
    pub fn new(service: impl Into<String>, dns: SocketAddr) -> Self {
        Self {
            service: service.into(),
            dns,
            source: None,
            refresh: Duration::from_millis(500),
            connect_timeout: Duration::from_millis(500),
            timeout: Duration::from_secs(2),
            eject_for: Duration::from_secs(3),
            keep_empty_for: Duration::from_secs(10),
            seed: 1,
        }
    }
}

/// Sends requests to a service found by DNS SRV. It does not retry: one request, one instance.
///
/// DNS is asked in the background; when it fails, the last known instances stay in use for as long as it fails.
pub struct SrvClient {
    http: HttpClient,
    known: watch::Receiver<Option<Arc<Vec<Instance>>>>,
    dice: Mutex<Xoshiro256PlusPlus>,
    /// Until when, and for the how manieth time.
    ejected: Mutex<HashMap<SocketAddr, (Instant, u32)>>,
    eject_for: Duration,
    _refresher: AbortOnDropHandle<()>,
}

impl SrvClient {
    /// Starts the background refresh; must be called within a tokio runtime. Errors when the name or DNS address is unusable.
    pub fn start(config: SrvConfig) -> Result<Self, SrvError> {
        let name = fqdn(&config.service)?;
        let lookup = SrvLookup::new(config.dns, config.source)?;
        let (tx, known) = watch::channel(None);
        let (every, keep) = (config.refresh, config.keep_empty_for);
        let refresher = tokio::spawn(async move { refresh(lookup, name, every, keep, tx).await });
        Ok(Self {
            http: HttpClient::new(config.source, config.connect_timeout, config.timeout),
            known,
            dice: Mutex::new(Xoshiro256PlusPlus::seed_from_u64(config.seed)),
            ejected: Mutex::default(),
            eject_for: config.eject_for,
            _refresher: AbortOnDropHandle::new(refresher),
        })
    }

    /// The instances in use now; empty before the first answer.
    pub fn instances(&self) -> Arc<Vec<Instance>> {
        self.known.borrow().clone().unwrap_or_default()
    }

    /// Waits until DNS has named an instance, at most for `patience`; says whether it has.
    pub async fn ready(&self, patience: Duration) -> bool {
        let mut known = self.known.clone();
        let some = known.wait_for(|set| set.as_ref().is_some_and(|s| !s.is_empty()));
        matches!(tokio::time::timeout(patience, some).await, Ok(Ok(_)))
    }

    /// GET `path` from one instance, picked by weight. See [`Fault`] for what may come instead of an answer.
    pub async fn get(&self, path: &str, request_id: &str) -> Reply {
        let Some(instance) = self.choose() else {
            return Reply::of(Err(Fault::NoInstance));
        };
        let reply = self.http.get(instance, path, request_id).await;
        self.judge(instance, &reply);
        reply
    }

    /// An instance that cannot be reached is left alone for a while, twice as long each time until it answers again. Behind a
    /// proxy or NAT that still listens, a dead one shows as a connection that breaks; behind a cut link, as a timeout.
    fn judge(&self, instance: SocketAddr, reply: &Reply) {
        let mut ejected = lock(&self.ejected);
        match reply.result {
            Err(Fault::Connect | Fault::Broken | Fault::Timeout) => {
                let (until, times) = ejected.entry(instance).or_insert((Instant::now(), 0));
                *times += 1;
                *until = Instant::now() + self.eject_for * (1 << (*times - 1).min(4));
            }
            Ok(_) => {
                ejected.remove(&instance);
            }
            Err(_) => {}
        }
    }

    fn choose(&self) -> Option<SocketAddr> {
        let set = self.instances();
        let now = Instant::now();
        let ejected = lock(&self.ejected);
        let usable = |i: &Instance| ejected.get(&i.addr).is_none_or(|(until, _)| *until <= now);
        pick(&set, usable, &mut *lock(&self.dice)).map(|i| i.addr)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is guarded here (dice, ejections) is sound after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fqdn(service: &str) -> Result<Name, SrvError> {
    let full = if service.contains('.') {
        format!("{}.", service.trim_end_matches('.'))
    } else {
        format!("{service}.service.consul.")
    };
    Name::from_ascii(&full).map_err(|source| SrvError::Name {
        name: service.to_string(),
        source: Box::new(source),
    })
}

async fn refresh(
    lookup: SrvLookup,
    name: Name,
    every: Duration,
    keep_empty_for: Duration,
    known: watch::Sender<Option<Arc<Vec<Instance>>>>,
) {
    let mut last_full = Instant::now();
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let now = Instant::now();
        match lookup.ask(&name).await {
            Ok(set) if set.is_empty() => {
                // Often a moment in which all checks fail at once; but addresses are reused, so not for long.
                if now.duration_since(last_full) > keep_empty_for {
                    known.send_replace(Some(Arc::default()));
                }
            }
            Ok(set) => {
                last_full = now;
                known.send_if_modified(|old| {
                    let new = old.as_deref() != Some(&set);
                    if new {
                        *old = Some(Arc::new(set));
                    }
                    new
                });
            }
            Err(error) => {
                last_full = now;
                tracing::debug!(%name, %error, "DNS does not answer; the last known instances stay in use");
            }
        }
    }
}

/// Asks one DNS server for SRV sets, never from a cache: over TCP first, since Consul cuts UDP answers
/// to three records without saying so; over UDP only when TCP fails.
struct SrvLookup {
    tcp: TokioResolver,
    udp: TokioResolver,
}

impl SrvLookup {
    fn new(dns: SocketAddr, source: Option<IpAddr>) -> Result<Self, SrvError> {
        let of = |connection: ConnectionConfig| {
            resolver(dns, source, connection).map_err(|source| SrvError::Resolver {
                dns,
                source: Box::new(source),
            })
        };
        Ok(Self {
            tcp: of(ConnectionConfig::tcp())?,
            udp: of(ConnectionConfig::udp())?,
        })
    }

    /// The whole set; empty when the name does not exist or has no records.
    async fn ask(&self, name: &Name) -> Result<Vec<Instance>, NetError> {
        match ask(&self.tcp, name).await {
            Ok(set) => Ok(set),
            Err(_) => ask(&self.udp, name).await,
        }
    }
}

fn resolver(
    dns: SocketAddr,
    source: Option<IpAddr>,
    mut connection: ConnectionConfig,
) -> Result<TokioResolver, NetError> {
    connection.port = dns.port();
    connection.bind_addr = source.map(|ip| SocketAddr::new(ip, 0));
    let server = NameServerConfig::new(dns.ip(), true, vec![connection]);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut options = ResolverOpts::default();
    options.cache_size = 0;
    options.timeout = Duration::from_millis(400);
    options.attempts = 1;
    options.edns0 = true;
    options.use_hosts_file = ResolveHosts::Never;
    Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
}

async fn ask(resolver: &TokioResolver, name: &Name) -> Result<Vec<Instance>, NetError> {
    let lookup = match resolver.srv_lookup(name.clone()).await {
        Ok(lookup) => lookup,
        Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (mut found, unresolved) = instances(lookup.answers(), lookup.additionals());
    for (target, instance) in unresolved {
        let addresses = resolver.ipv4_lookup(target).await?;
        let ip = addresses.answers().iter().find_map(|r| match &r.data {
            RData::A(a) => Some(IpAddr::V4(a.0)),
            _ => None,
        });
        found.extend(ip.map(|ip| Instance {
            addr: SocketAddr::new(ip, instance.addr.port()),
            ..instance
        }));
    }
    Ok(found)
}

#[cfg(test)]
#[path = "srv_client_tests.rs"]
mod tests;
