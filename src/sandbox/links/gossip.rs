//! Relays Consul's gossip datagrams, so that delay and cuts reach them too.

use super::{Line, LinkError, Links};
use crate::model::Site;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Larger than any datagram that loopback carries.
const DATAGRAM: usize = 65_536;

/// One member of a gossip pool.
#[derive(Clone, Debug)]
pub struct GossipEnd {
    pub site: Site,
    /// What it advertises; the relay binds it.
    pub outer: Ipv4Addr,
    /// What it binds, and so the source of what it sends.
    pub inner: Ipv4Addr,
}

/// A pool's relay: what comes from a member's inner address to another's outer one leaves from the first's outer to the second's inner,
/// so that each sees the addresses that are advertised. Dropping it ends it.
#[derive(Debug)]
pub struct GossipRelay {
    _open: DropGuard,
}

/// Where one end's datagrams come in and go out.
struct Member {
    number: u8,
    socket: Arc<UdpSocket>,
    inner: SocketAddr,
}

impl GossipRelay {
    /// Relay one UDP port among these members.
    ///
    /// # Errors
    /// When an outer address is taken or a site is unknown.
    pub async fn open(
        links: &Arc<Links>,
        port: u16,
        ends: &[GossipEnd],
    ) -> Result<GossipRelay, LinkError> {
        let mut members = BTreeMap::new();
        for end in ends {
            let address = SocketAddr::from((end.outer, port));
            let socket = UdpSocket::bind(address).await;
            let socket = socket.map_err(|source| LinkError::Bind {
                address,
                node: format!("the Consul agent of {}", end.site),
                source,
            })?;
            let member = Member {
                number: links.number(&end.site)?,
                socket: Arc::new(socket),
                inner: SocketAddr::from((end.inner, port)),
            };
            members.insert(member.inner, Arc::new(member));
        }
        let members = Arc::new(members);
        let closed = CancellationToken::new();
        for to in members.values() {
            let (links, members, to) = (links.clone(), members.clone(), to.clone());
            let closed = closed.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = closed.cancelled() => {}
                    () = receive(&links, &members, &to) => {}
                }
            });
        }
        Ok(GossipRelay {
            _open: closed.drop_guard(),
        })
    }
}

async fn receive(links: &Links, members: &BTreeMap<SocketAddr, Arc<Member>>, to: &Arc<Member>) {
    let lines: BTreeMap<SocketAddr, Line> = members
        .iter()
        .map(|(inner, m)| (*inner, links.line(Some(m.number), to.number)))
        .collect();
    let mut buffer = vec![0; DATAGRAM];
    loop {
        let (n, peer) = match to.socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            // A member that does not listen yet answers with ICMP, which surfaces here.
            Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(e) => {
                tracing::error!(inner = %to.inner, "gossip is no longer relayed: {e}");
                return;
            }
        };
        let (Some(from), Some(line)) = (members.get(&peer), lines.get(&peer)) else {
            continue; // not a member
        };
        if line.is_open() {
            let datagram = buffer[..n].to_vec();
            tokio::spawn(deliver(from.clone(), to.inner, line.delay, datagram));
        }
    }
}

async fn deliver(from: Arc<Member>, to: SocketAddr, delay: std::time::Duration, datagram: Vec<u8>) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    // Datagrams may be lost; gossip is made for that.
    let _ = from.socket.send_to(&datagram, to).await;
}
