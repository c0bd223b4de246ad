//! SRV records from one given DNS server, as Consul gives them: each with its address and weight, and never from a cache.

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, Record};
use hickory_resolver::{Resolver, TokioResolver};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("cannot ask the DNS server {server}; check that it is an address this host can reach")]
    Setup {
        server: SocketAddr,
        #[source]
        source: Box<NetError>,
    },
    #[error(
        "cannot look up {name} at the DNS server {server}: no answer within {after:?}; check that it serves DNS there (Consul: ports.dns, over UDP and TCP)"
    )]
    Timeout {
        name: String,
        server: SocketAddr,
        after: Duration,
    },
    #[error(
        "cannot look up {name} at the DNS server {server}; check that it serves DNS there (Consul: ports.dns, over UDP and TCP)"
    )]
    Lookup {
        name: String,
        server: SocketAddr,
        #[source]
        source: Box<NetError>,
    },
}

/// One instance as clients are given it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SrvRecord {
    pub target: String,
    /// `None` when the server gave no address for the target and the name holds none.
    pub ip: Option<IpAddr>,
    pub port: u16,
    pub weight: u16,
    pub priority: u16,
}

/// A DNS server. The resolver's connections are made when they are needed and again when they break.
pub struct Dns {
    server: SocketAddr,
    timeout: Duration,
    whole: TokioResolver,
    short: TokioResolver,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Dns({})", self.server)
    }
}

impl Dns {
    /// `timeout` bounds one look-up as a whole; `source` is the address to ask from. Must be made inside a tokio runtime.
    pub fn new(
        server: SocketAddr,
        timeout: Duration,
        source: Option<IpAddr>,
    ) -> Result<Self, DnsError> {
        let from = source.map(|ip| SocketAddr::new(ip, 0));
        Ok(Dns {
            server,
            timeout,
            whole: resolver(server, ConnectionConfig::tcp(), timeout, from)?,
            short: resolver(server, ConnectionConfig::udp(), timeout, from)?,
        })
    }

    /// The whole set, in no order. An unknown name, or a service without a passing instance, is an empty set.
    ///
    /// Asked over TCP, because Consul cuts sets short over UDP (to three records by default, without saying so).
    pub async fn srv(&self, name: &str) -> Result<Vec<SrvRecord>, DnsError> {
        self.bounded(name, self.ask(&self.whole, name)).await
    }

    /// What a client gets that asks over UDP, cut short as the server likes.
    pub async fn srv_over_udp(&self, name: &str) -> Result<Vec<SrvRecord>, DnsError> {
        self.bounded(name, self.ask(&self.short, name)).await
    }

    async fn bounded(
        &self,
        name: &str,
        asked: impl Future<Output = Result<Vec<SrvRecord>, NetError>>,
    ) -> Result<Vec<SrvRecord>, DnsError> {
        match tokio::time::timeout(self.timeout, asked).await {
            Ok(Ok(found)) => Ok(found),
            Err(_) | Ok(Err(NetError::Timeout)) => Err(DnsError::Timeout {
                name: name.to_string(),
                server: self.server,
                after: self.timeout,
            }),
            Ok(Err(source)) => Err(DnsError::Lookup {
                name: name.to_string(),
                server: self.server,
                source: Box::new(source),
            }),
        }
    }

    async fn ask(&self, how: &TokioResolver, name: &str) -> Result<Vec<SrvRecord>, NetError> {
        let full = format!("{}.", name.trim_end_matches('.'));
        let found = match how.srv_lookup(full).await {
            Ok(found) => found,
            Err(e) if e.is_nx_domain() || e.is_no_records_found() => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        Ok(records(found.answers(), found.additionals()))
    }
}

/// The instances of an answer, each with the address that came along or stands in its name. Pure.
pub fn records(answers: &[Record], additionals: &[Record]) -> Vec<SrvRecord> {
    let of = |record: &Record| match &record.data {
        RData::SRV(srv) => Some(SrvRecord {
            target: srv.target.to_utf8(),
            ip: address_of(&srv.target, additionals),
            port: srv.port,
            weight: srv.weight,
            priority: srv.priority,
        }),
        _ => None,
    };
    answers.iter().filter_map(of).collect()
}

fn resolver(
    server: SocketAddr,
    mut connection: ConnectionConfig,
    timeout: Duration,
    from: Option<SocketAddr>,
) -> Result<TokioResolver, DnsError> {
    connection.port = server.port();
    connection.bind_addr = from;
    let config = ResolverConfig::from_name_servers(vec![NameServerConfig::new(
        server.ip(),
        true,
        vec![connection],
    )]);
    let mut options = ResolverOpts::default();
    options.timeout = timeout;
    options.attempts = 1;
    options.cache_size = 0;
    // Consul overshoots the EDNS size by some bytes, and a datagram that is cut off decodes to nothing.
    options.edns0 = false;
    options.use_hosts_file = ResolveHosts::Never;
    Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(|e| DnsError::Setup {
            server,
            source: Box::new(e),
        })
}

/// The target's address among the additional records; Consul's `<hex>.addr.<dc>.<domain>` holds it in the name as well.
fn address_of(
    target: &hickory_resolver::proto::rr::Name,
    additionals: &[Record],
) -> Option<IpAddr> {
    let given = additionals.iter().filter(|r| &r.name == target);
    let found = given.into_iter().find_map(|r| match &r.data {
        RData::A(a) => Some(IpAddr::V4(a.0)),
        RData::AAAA(a) => Some(IpAddr::V6(a.0)),
        _ => None,
    });
    found.or_else(|| in_name(&target.to_utf8()))
}

fn in_name(target: &str) -> Option<IpAddr> {
    let mut labels = target.split('.');
    let hex = labels.next()?;
    if labels.next()? != "addr" {
        return None;
    }
    match hex.len() {
        8 => u32::from_str_radix(hex, 16)
            .ok()
            .map(|n| IpAddr::V4(Ipv4Addr::from(n))),
        32 => u128::from_str_radix(hex, 16)
            .ok()
            .map(|n| IpAddr::V6(Ipv6Addr::from(n))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_a_consul_name_is_read_and_other_names_hold_none() {
        let v4 = in_name("7f00d201.addr.edge.consul.");
        assert_eq!(v4, Some(IpAddr::V4(Ipv4Addr::new(127, 0, 210, 1))));
        let v6 = in_name("00000000000000000000000000000001.addr.edge.consul.");
        assert_eq!(v6, Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(in_name("edge-a.node.edge.consul."), None);
        assert_eq!(in_name("zz00d201.addr.edge.consul."), None);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named_with_what_to_check() {
        let nobody = std::net::TcpListener::bind("127.0.210.250:0").unwrap();
        let server = nobody.local_addr().unwrap();
        drop(nobody);
        let dns = Dns::new(server, Duration::from_secs(2), None).unwrap();
        let error = dns.srv("web.service.consul").await.unwrap_err().to_string();
        assert!(error.contains("web.service.consul"), "{error}");
        assert!(error.contains(&server.to_string()), "{error}");
        assert!(error.contains("ports.dns"), "{error}");
    }
}
