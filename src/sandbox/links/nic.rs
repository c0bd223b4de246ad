//! A node's network card for one port: listens where the world connects, forwards to where the task listens.

use super::hold::{Held, hold};
use super::pipe::{UnderWay, carry};
use super::{Line, LinkError, Links};
use crate::model::Site;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

const BACKLOG: u32 = 1024;
/// How often a task that does not listen yet is looked at: at first, and at last.
const FIRST_LOOK: Duration = Duration::from_millis(2);
const LAST_LOOK: Duration = Duration::from_millis(50);
/// When the kernel of an agent's host gives up a connection whose bytes nobody acknowledges: two retransmissions (`tcp_retries2`).
/// Consul 1.8 sends a changed check to its server under the lock of its local state, so that it would answer nobody for as long as that takes.
const AGENT_PATIENCE: Duration = Duration::from_secs(1);

/// An open port. Dropping it refuses new connections and lets the established ones end by themselves.
#[derive(Debug)]
pub struct Nic {
    outer: SocketAddr,
    state: watch::Receiver<PortState>,
    _open: DropGuard,
}

/// How far a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// Held, and refusing: nothing listens behind it yet.
    Waiting,
    Listening,
    /// Its node is dead.
    Closed,
}

/// What a port's connections share.
struct Port {
    links: Arc<Links>,
    inner: SocketAddr,
    site: u8,
    dead: CancellationToken,
    /// For how long lost bytes are retransmitted; a task's host does so for minutes.
    patience: Option<Duration>,
}

impl Nic {
    /// Take `outer` at once and forward to `inner`, which is at `site`, from when something listens there: until then `outer` refuses.
    /// `node` is the node whose death closes the port; `None` for a Consul agent, which stands beside the nodes, and whose connections
    /// break a second after a cut has swallowed some of them.
    ///
    /// # Errors
    /// When `outer` is taken, the site or node is unknown, or the node is dead.
    pub fn open(
        links: &Arc<Links>,
        outer: SocketAddr,
        inner: SocketAddr,
        site: &Site,
        node: Option<&str>,
    ) -> Result<Nic, LinkError> {
        let dead = match node {
            Some(node) => links.node(node)?,
            None => CancellationToken::new(),
        };
        if dead.is_cancelled() {
            let node = node.unwrap_or_default().to_string();
            return Err(LinkError::DeadNode { node });
        }
        let port = Arc::new(Port {
            links: links.clone(),
            inner,
            site: links.number(site)?,
            dead,
            patience: node.is_none().then_some(AGENT_PATIENCE),
        });
        let socket = bind(outer).map_err(|source| LinkError::Bind {
            address: outer,
            node: node.unwrap_or(site.as_str()).to_string(),
            source,
        })?;
        let closed = CancellationToken::new();
        let until = closed.clone();
        let (reached, state) = watch::channel(PortState::Waiting);
        tokio::spawn(async move {
            tokio::select! {
                () = until.cancelled() => {}
                () = port.dead.cancelled() => {}
                () = serve(&port, socket, &reached) => {}
            }
            reached.send_replace(PortState::Closed);
        });
        Ok(Nic {
            outer,
            state,
            _open: closed.drop_guard(),
        })
    }

    /// Where the world connects.
    pub fn address(&self) -> SocketAddr {
        self.outer
    }

    /// Ends when the port has come to this state, or can no longer come to it.
    pub fn reached(&self, wanted: PortState) -> impl Future<Output = ()> + use<> {
        let mut state = self.state.clone();
        async move {
            // An error means that the port's task has ended: it is closed.
            let _ = state.wait_for(|s| *s == wanted).await;
        }
    }
}

/// A socket that holds its address without listening yet: connections are refused.
fn bind(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn serve(port: &Arc<Port>, socket: TcpSocket, reached: &watch::Sender<PortState>) {
    until_listening(port.inner).await;
    let listener = match socket.listen(BACKLOG) {
        Ok(listener) => listener,
        Err(e) => {
            tracing::error!(inner = %port.inner, "cannot listen for a task's port, it stays closed: {e}");
            return;
        }
    };
    reached.send_replace(PortState::Listening);
    loop {
        match accept(&listener).await {
            Ok((outer, peer)) => {
                tokio::spawn(connection(port.clone(), outer, peer));
            }
            Err(e) => {
                tracing::warn!(inner = %port.inner, "cannot accept a connection: {e}");
                tokio::time::sleep(LAST_LOOK).await; // out of file descriptors: let some be closed
            }
        }
    }
}

async fn accept(listener: &TcpListener) -> std::io::Result<(TcpStream, SocketAddr)> {
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer))
}

/// Nothing tells when another process begins to listen, so knock.
async fn until_listening(inner: SocketAddr) {
    let mut look = FIRST_LOOK;
    while TcpStream::connect(inner).await.is_err() {
        tokio::time::sleep(look).await;
        look = (look * 3 / 2).min(LAST_LOOK);
    }
}

/// Carry one connection to its end; when the node dies it is reset.
async fn connection(port: Arc<Port>, mut outer: TcpStream, peer: SocketAddr) {
    let clean = tokio::select! {
        clean = conduct(&port, &mut outer, peer) => clean,
        () = port.dead.cancelled() => false,
    };
    if !clean {
        reset(&outer);
    }
}

/// Close with RST and not with FIN, as a network does that has lost a connection. A stream that is closed already has nothing to reset.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Whether the connection came to a clean end.
async fn conduct(port: &Port, outer: &mut TcpStream, peer: SocketAddr) -> bool {
    let Ok(local) = outer.local_addr() else {
        return false;
    };
    let from = port.links.attribute(peer, local).await;
    let mut line = port.links.line(from, port.site);
    if !line.is_open() {
        let held = hold(&mut line, outer, None, false, port.patience).await;
        if held != Held::Unharmed {
            return false;
        }
    }
    if !line.delay.is_zero() {
        // The handshake's round trip, which the kernel answered at once.
        tokio::time::sleep(line.delay * 2).await;
    }
    let Ok(mut inner) = TcpStream::connect(port.inner).await else {
        return false;
    };
    let clean =
        inner.set_nodelay(true).is_ok() && exchange(port, &mut line, outer, &mut inner).await;
    if !clean {
        reset(&inner);
    }
    clean
}

/// Carry both directions; whether they came to a clean end.
async fn exchange(
    port: &Port,
    line: &mut Line,
    outer: &mut TcpStream,
    inner: &mut TcpStream,
) -> bool {
    let under_way = UnderWay::default();
    loop {
        {
            let (from_outer, to_outer) = outer.split();
            let (from_inner, to_inner) = inner.split();
            let both = futures::future::try_join(
                carry(from_outer, to_inner, line.delay, &under_way),
                carry(from_inner, to_outer, line.delay, &under_way),
            );
            tokio::select! {
                ended = both => return ended.is_ok(),
                () = line.severed() => {}
            }
        }
        let lost = !under_way.is_empty();
        let held = hold(line, outer, Some(inner), lost, port.patience).await;
        if held != Held::Unharmed {
            return false;
        }
    }
}
