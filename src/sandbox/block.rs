//! The loopback addresses of one sandbox: a block of two /16 networks, so that several sandboxes can stand side by side.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// The port by which a sandbox takes its block: its Nomad API.
const NOMAD_PORT: u16 = 4646;
/// How many blocks fit below 127.128.0.0.
const BLOCKS: u8 = 64;
/// Host number of a site's clients, Consul agent and gateway within the site's /24.
const CLIENTS: u8 = 200;
const CONSUL: u8 = 250;
const GATEWAY: u8 = 251;

/// Which half of a block an address is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What Nomad and Consul publish; the sandbox listens there.
    Outer,
    /// Where the tasks and agents themselves bind.
    Inner,
}

/// Block k: outer addresses 127.{2k}.x.y, inner ones 127.{2k+1}.x.y. Site numbers start at 1; site s has the /24 `127._.{10s}.0`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Block(u8);

/// Why no block could be taken.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    #[error(
        "no free block of loopback addresses: port 4646 is taken on all of 127.0.0.1 to 127.126.0.1; stop what listens on 0.0.0.0:4646 (a Nomad?) or name another address with --nomad-bind"
    )]
    AllTaken(#[source] io::Error),
    #[error(
        "cannot listen on {address}: loopback addresses beyond 127.0.0.1 are needed, which only Linux gives without set-up"
    )]
    Listen {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
}

impl Block {
    /// Block k; `None` when it would leave the lower half of 127.0.0.0/8.
    pub fn new(k: u8) -> Option<Block> {
        (k < BLOCKS).then_some(Block(k))
    }

    /// The first block that no other sandbox holds, and the listener that holds it: the Nomad API is to be served there.
    ///
    /// # Errors
    /// When every block is taken, or the machine has no 127.0.0.0/8.
    pub fn first_free() -> Result<(Block, TcpListener), BlockError> {
        Self::first_free_at(NOMAD_PORT)
    }

    /// The same for a sandbox whose Nomad API is served elsewhere: the block is held by its listener alone.
    ///
    /// # Errors
    /// As [`Block::first_free`]; a Nomad on 0.0.0.0:4646 does not matter here.
    pub fn first_free_without_api() -> Result<(Block, TcpListener), BlockError> {
        Self::first_free_at(NOMAD_PORT).or_else(|_| Self::first_free_at(NOMAD_PORT + 1))
    }

    fn first_free_at(port: u16) -> Result<(Block, TcpListener), BlockError> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for block in (0..BLOCKS).map(Block) {
            let address = SocketAddr::from((block.control(), port));
            match TcpListener::bind(address) {
                Ok(listener) => return Ok((block, listener)),
                Err(e) if e.kind() == io::ErrorKind::AddrInUse => last = e,
                Err(source) => return Err(BlockError::Listen { address, source }),
            }
        }
        Err(BlockError::AllTaken(last))
    }

    pub fn number(self) -> u8 {
        self.0
    }

    fn address(self, side: Side, third: u8, fourth: u8) -> Ipv4Addr {
        let second = 2 * self.0 + u8::from(side == Side::Inner);
        Ipv4Addr::new(127, second, third, fourth)
    }

    /// The servers' address, 127.{2k}.0.1, which is in no site.
    pub fn control(self) -> Ipv4Addr {
        self.address(Side::Outer, 0, 1)
    }

    pub fn nomad_api(self) -> SocketAddr {
        SocketAddr::from((self.control(), NOMAD_PORT))
    }

    /// Where a site's clients show what they see, as Prometheus text.
    pub fn metrics(self, site: u8) -> SocketAddr {
        SocketAddr::from((self.clients(site), 9102))
    }

    /// foreshadow's own HTTP API.
    pub fn api(self) -> SocketAddr {
        SocketAddr::from((self.control(), 4680))
    }

    /// A node's published address; `node` counts from 1 within the site.
    pub fn outer(self, site: u8, node: u8) -> Ipv4Addr {
        self.address(Side::Outer, 10 * site, node)
    }

    /// Where the tasks of a node bind.
    pub fn inner(self, site: u8, node: u8) -> Ipv4Addr {
        self.address(Side::Inner, 10 * site, node)
    }

    /// The source address of a site's clients.
    pub fn clients(self, site: u8) -> Ipv4Addr {
        self.address(Side::Outer, 10 * site, CLIENTS)
    }

    /// The source address of the foreshadow at a site.
    pub fn gateway(self, site: u8) -> Ipv4Addr {
        self.address(Side::Outer, 10 * site, GATEWAY)
    }

    /// A site's Consul agent, as others reach it.
    pub fn consul(self, site: u8) -> Ipv4Addr {
        self.address(Side::Outer, 10 * site, CONSUL)
    }

    /// Where a real Consul agent of a site binds its gossip and RPC.
    pub fn consul_inner(self, site: u8) -> Ipv4Addr {
        self.address(Side::Inner, 10 * site, CONSUL)
    }

    /// The number of the site that an address of this block belongs to, whichever half.
    pub fn site_of(self, ip: IpAddr) -> Option<u8> {
        let IpAddr::V4(ip) = ip else { return None };
        let [first, second, third, _] = ip.octets();
        let ours = first == 127 && second / 2 == self.0;
        (ours && third != 0 && third.is_multiple_of(10)).then_some(third / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_either_half_belongs_to_its_site_and_others_to_none() {
        let block = Block::new(3).unwrap();
        assert_eq!(block.outer(2, 1).to_string(), "127.6.20.1");
        assert_eq!(block.inner(2, 1).to_string(), "127.7.20.1");
        assert_eq!(block.site_of(block.outer(2, 1).into()), Some(2));
        assert_eq!(block.site_of(block.inner(4, 3).into()), Some(4));
        assert_eq!(block.site_of(block.clients(1).into()), Some(1));
        for stranger in ["127.0.0.1", "127.6.0.1", "127.8.20.1", "10.6.20.1", "::1"] {
            assert_eq!(block.site_of(stranger.parse().unwrap()), None, "{stranger}");
        }
        assert_eq!(Block::new(64), None);
    }

    #[test]
    fn two_sandboxes_get_different_blocks() {
        let (first, _held) = Block::first_free().unwrap();
        let (second, _also_held) = Block::first_free().unwrap();
        assert_ne!(first, second);
    }
}
