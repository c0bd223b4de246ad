//! Asks the kernel which socket (inode) an established TCP connection of this machine is, and which process has it open.

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsRawFd, OwnedFd};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NO_COOKIE: u32 = u32::MAX;
/// Netlink header and `inet_diag_req_v2`.
const REQUEST_BYTES: u32 = 16 + 56;
/// Where `idiag_inode` lies in an answer: behind the netlink header and 68 bytes of `inet_diag_msg`.
const INODE_AT: usize = 16 + 68;

/// A way to the inode of a connection's socket: one exact netlink question of some microseconds, or, where netlink is forbidden,
/// the whole of /proc/net/tcp (milliseconds on a machine with much memory, whose hash table is long).
pub(super) enum Kernel {
    Netlink(OwnedFd),
    Proc,
}

impl Kernel {
    pub(super) fn open() -> Kernel {
        match netlink() {
            Ok(fd) => Kernel::Netlink(fd),
            Err(e) => {
                tracing::warn!(
                    "no netlink socket ({e}); sockets are looked up in /proc/net/tcp, which is slower"
                );
                Kernel::Proc
            }
        }
    }

    /// The inode of the socket bound to `near` and connected to `far`.
    pub(super) fn inode(&self, near: SocketAddr, far: SocketAddr) -> Option<u64> {
        let (near, far) = (v4(near)?, v4(far)?);
        match self {
            Kernel::Netlink(fd) => ask(fd, near, far),
            Kernel::Proc => ["/proc/net/tcp", "/proc/net/tcp6"]
                .iter()
                .filter_map(|table| std::fs::read_to_string(table).ok())
                .find_map(|table| inode_in(&table, near, far)),
        }
    }
}

fn netlink() -> nix::Result<OwnedFd> {
    let fd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkSockDiag,
    )?;
    // The kernel answers within the call; the limit only keeps a surprise from hanging us.
    setsockopt(&fd, ReceiveTimeout, &TimeVal::new(1, 0))?;
    let probe = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
    send(
        fd.as_raw_fd(),
        &question(AddressFamily::Inet, probe, probe),
        MsgFlags::empty(),
    )?;
    recv(fd.as_raw_fd(), &mut [0; 512], MsgFlags::empty())?;
    Ok(fd)
}

fn v4(address: SocketAddr) -> Option<SocketAddrV4> {
    match address {
        SocketAddr::V4(v4) => Some(v4),
        SocketAddr::V6(v6) => Some(SocketAddrV4::new(v6.ip().to_ipv4_mapped()?, v6.port())),
    }
}

fn ask(fd: &OwnedFd, near: SocketAddrV4, far: SocketAddrV4) -> Option<u64> {
    let fd = fd.as_raw_fd();
    [AddressFamily::Inet, AddressFamily::Inet6]
        .into_iter()
        .find_map(|family| {
            send(fd, &question(family, near, far), MsgFlags::empty()).ok()?;
            let mut answer = [0; 512];
            let n = recv(fd, &mut answer, MsgFlags::empty()).ok()?;
            inode_of(&answer[..n])
        })
}

/// `nlmsghdr` and `inet_diag_req_v2` in the machine's byte order, ports and addresses in the network's.
fn question(family: AddressFamily, near: SocketAddrV4, far: SocketAddrV4) -> Vec<u8> {
    let mut q = Vec::with_capacity(REQUEST_BYTES as usize);
    q.extend(REQUEST_BYTES.to_ne_bytes());
    q.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    q.extend(NLM_F_REQUEST.to_ne_bytes());
    q.extend([0; 8]); // sequence, sender
    let tcp = 6;
    q.extend([family as u8, tcp, 0, 0]);
    q.extend(u32::MAX.to_ne_bytes()); // any state
    q.extend(near.port().to_be_bytes());
    q.extend(far.port().to_be_bytes());
    for end in [near, far] {
        if family == AddressFamily::Inet {
            q.extend(end.ip().octets());
            q.extend([0; 12]);
        } else {
            q.extend(end.ip().to_ipv6_mapped().octets());
        }
    }
    q.extend([0; 4]); // any interface
    q.extend(NO_COOKIE.to_ne_bytes());
    q.extend(NO_COOKIE.to_ne_bytes());
    q
}

fn inode_of(answer: &[u8]) -> Option<u64> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    let inode = u32::from_ne_bytes(answer.get(INODE_AT..INODE_AT + 4)?.try_into().ok()?);
    (kind == SOCK_DIAG_BY_FAMILY && inode != 0).then_some(u64::from(inode))
}

/// The inode in a table as /proc/net/tcp and tcp6 have it.
fn inode_in(table: &str, near: SocketAddrV4, far: SocketAddrV4) -> Option<u64> {
    let shown = |a: SocketAddrV4| {
        let ip = u32::from_ne_bytes(a.ip().octets());
        format!("{ip:08X}:{:04X}", a.port())
    };
    let (near, far) = (shown(near), shown(far));
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let matches = fields.next()?.ends_with(&near) && fields.next()?.ends_with(&far);
        let inode = fields.nth(6)?.parse().ok()?;
        (matches && inode != 0).then_some(inode)
    })
}

/// Whether the process has the socket open.
pub(super) fn has_open(pid: u32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(fds) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false; // it has ended
    };
    fds.flatten()
        .any(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.as_os_str() == wanted.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netlink_and_proc_name_the_same_socket_and_it_is_open_here() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let far = listener.local_addr().unwrap();
        let near = std::net::TcpStream::connect(far).unwrap();
        let from = near.local_addr().unwrap();
        let by_proc = Kernel::Proc.inode(from, far).unwrap();
        if let Kernel::Netlink(fd) = Kernel::open() {
            assert_eq!(Kernel::Netlink(fd).inode(from, far), Some(by_proc));
        }
        assert!(has_open(std::process::id(), by_proc));
        assert!(!has_open(1, by_proc));
    }

    #[test]
    fn a_connection_that_does_not_exist_has_no_socket() {
        let nowhere = "127.0.0.1:1".parse().unwrap();
        assert_eq!(Kernel::open().inode(nowhere, nowhere), None);
        assert_eq!(Kernel::Proc.inode(nowhere, nowhere), None);
    }

    #[test]
    fn a_table_of_version_six_shows_version_four_at_its_end() {
        let table = "head\n  1: 0000000000000000FFFF00000100007F:1F90 0000000000000000FFFF0000010A007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 20 4 30 10 -1\n";
        let near = "127.0.0.1:8080".parse().unwrap();
        let far = "127.0.10.1:80".parse().unwrap();
        if cfg!(target_endian = "little") {
            assert_eq!(inode_in(table, near, far), Some(4711));
        }
    }
}
