use super::*;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener as StdListener};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

const PORT: u16 = 20_000;
const EDGE_A: u8 = 1;
const EDGE_B: u8 = 2;
const PROVIDER_B: u8 = 4;

/// A block of its own for each test, with an echo behind edge-a-1's port.
struct Yard {
    block: Block,
    links: Arc<Links>,
    nic: Nic,
    _held: StdListener,
}

impl Yard {
    async fn new() -> Yard {
        let (block, held) = Block::first_free().unwrap();
        let estate = Estate::builtin(block);
        let links = Arc::new(Links::new(&estate));
        let inner = SocketAddr::from((block.inner(EDGE_A, 1), PORT));
        let listener = TcpListener::bind(inner).await.unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    // The test ends when it likes.
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let outer = SocketAddr::from((block.outer(EDGE_A, 1), PORT));
        let site = Site::from("edge-a");
        let nic = Nic::open(&links, outer, inner, &site, Some("edge-a-1")).unwrap();
        nic.reached(PortState::Listening).await;
        Yard {
            block,
            links,
            nic,
            _held: held,
        }
    }

    async fn client(&self, site: u8) -> TcpStream {
        self.connect_from(self.block.clients(site)).await.unwrap()
    }

    async fn connect_from(&self, source: Ipv4Addr) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        socket.connect(self.nic.address()).await
    }
}

async fn ask(client: &mut TcpStream) {
    client.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello");
}

async fn time_to_ask(client: &mut TcpStream) -> Duration {
    let asked = Instant::now();
    ask(client).await;
    asked.elapsed()
}

#[tokio::test]
async fn an_answer_from_another_site_takes_a_round_trip_and_the_first_one_a_handshake_more() {
    let yard = Yard::new().await;
    let round_trip = Duration::from_millis(28);
    let connecting = Instant::now();
    let mut client = yard.client(PROVIDER_B).await;
    ask(&mut client).await;
    assert!(connecting.elapsed() >= 2 * round_trip);
    assert!(time_to_ask(&mut client).await >= round_trip);
    assert_eq!(yard.links.line(Some(EDGE_A), EDGE_A).delay, Duration::ZERO);
    assert_eq!(yard.links.line(None, EDGE_A).delay, Duration::ZERO);
}

#[tokio::test]
async fn megabytes_arrive_whole_and_in_order() {
    let yard = Yard::new().await;
    let sent: Vec<u8> = (0..6_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let client = yard.client(EDGE_B).await;
    let (mut from, mut to) = client.into_split();
    let data = sent.clone();
    let sending = tokio::spawn(async move {
        to.write_all(&data).await.unwrap();
        to.shutdown().await.unwrap();
    });
    let mut got = Vec::new();
    from.read_to_end(&mut got).await.unwrap();
    sending.await.unwrap();
    assert!(
        got == sent,
        "{} of {} bytes, or in disorder",
        got.len(),
        sent.len()
    );
}

#[tokio::test]
async fn a_cut_holds_what_crosses_it_while_other_sites_pass() {
    let yard = Yard::new().await;
    let mut cut_off = yard.client(EDGE_B).await;
    let mut idle = yard.client(EDGE_B).await;
    ask(&mut cut_off).await;
    ask(&mut idle).await;
    yard.links.cut(&Site::from("edge-b")).unwrap();
    assert!(yard.links.is_cut(&Site::from("edge-b")));
    cut_off.write_all(b"hello").await.unwrap();
    let mut late = yard.client(EDGE_B).await; // accepted, and held
    late.write_all(b"hello").await.unwrap();
    // This way is longer than theirs: an answer to them would have come by then.
    ask(&mut yard.client(PROVIDER_B).await).await;
    ask(&mut yard.client(EDGE_A).await).await;
    for held in [&cut_off, &late, &idle] {
        let nothing = held.try_read(&mut [0; 1]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    }
    yard.links.heal(&Site::from("edge-b")).unwrap();
    for torn in [&mut cut_off, &mut late] {
        let reset = torn.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    }
    ask(&mut idle).await;
    ask(&mut yard.client(EDGE_B).await).await;
}

#[tokio::test]
async fn inside_a_cut_site_everything_works() {
    let yard = Yard::new().await;
    yard.links.cut(&Site::from("edge-a")).unwrap();
    ask(&mut yard.client(EDGE_A).await).await;
    let mut outside = yard.client(PROVIDER_B).await;
    outside.write_all(b"hello").await.unwrap();
    yard.links.cut(&Site::from("provider-b")).unwrap();
    yard.links.heal(&Site::from("edge-a")).unwrap();
    ask(&mut yard.client(EDGE_B).await).await;
    let nothing = outside.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(
        nothing.kind(),
        ErrorKind::WouldBlock,
        "one end is still cut"
    );
}

#[tokio::test]
async fn a_dead_node_resets_and_refuses_and_can_be_opened_again_when_revived() {
    let yard = Yard::new().await;
    let mut client = yard.client(EDGE_A).await;
    ask(&mut client).await;
    yard.links.kill_node("edge-a-1").unwrap();
    let reset = client.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    yard.nic.reached(PortState::Closed).await;
    let source = yard.block.clients(EDGE_A);
    let refused = yard.connect_from(source).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    let inner = SocketAddr::from((yard.block.inner(EDGE_A, 1), PORT));
    let site = Site::from("edge-a");
    let open = || {
        Nic::open(
            &yard.links,
            yard.nic.address(),
            inner,
            &site,
            Some("edge-a-1"),
        )
    };
    assert!(matches!(open(), Err(LinkError::DeadNode { .. })));
    yard.links.revive_node("edge-a-1").unwrap();
    let nic = open().unwrap();
    nic.reached(PortState::Listening).await;
    ask(&mut yard.client(EDGE_A).await).await;
}

#[tokio::test]
async fn a_port_refuses_until_its_task_listens_and_a_taken_one_is_an_error() {
    let yard = Yard::new().await;
    let (outer, inner) = (yard.block.outer(EDGE_A, 2), yard.block.inner(EDGE_A, 2));
    let site = Site::from("edge-a");
    let open = |port: u16| {
        let (outer, inner) = (
            SocketAddr::from((outer, port)),
            SocketAddr::from((inner, port)),
        );
        Nic::open(&yard.links, outer, inner, &site, Some("edge-a-2"))
    };
    let nic = open(PORT).unwrap();
    let refused = TcpStream::connect(nic.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let _task = TcpListener::bind((inner, PORT)).await.unwrap();
    nic.reached(PortState::Listening).await;
    TcpStream::connect(nic.address()).await.unwrap();
    let taken = open(PORT).unwrap_err();
    assert!(matches!(taken, LinkError::Bind { .. }), "{taken}");
}

#[tokio::test]
async fn a_peer_is_known_by_its_address_or_by_its_process_or_by_its_process_group() {
    let yard = Yard::new().await;
    let listener = TcpListener::bind((yard.block.outer(EDGE_A, 3), 0)).await;
    let listener = listener.unwrap();
    let local = listener.local_addr().unwrap();
    let connect = format!(
        "exec 3<>/dev/tcp/{}/{}; read -u 3 end",
        local.ip(),
        local.port()
    );
    let nested = format!("bash -c '{connect}'; true");
    for script in [&connect, &nested] {
        let mut child = {
            use std::os::unix::process::CommandExt;
            let mut bash = Command::new("bash");
            bash.args(["-c", script]).process_group(0).spawn().unwrap()
        };
        yard.links.owners().register(child.id(), PROVIDER_B);
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer.ip(), Ipv4Addr::LOCALHOST);
        let site = yard.links.attribute(peer, local).await;
        assert_eq!(site, Some(PROVIDER_B), "{script}");
        yard.links.owners().forget(child.id());
        assert_eq!(yard.links.attribute(peer, local).await, None);
        drop(stream);
        child.wait().unwrap();
    }
    let inner_peer = SocketAddr::from((yard.block.inner(EDGE_B, 2), 50_000));
    assert_eq!(yard.links.attribute(inner_peer, local).await, Some(EDGE_B));
}

#[tokio::test]
async fn gossip_comes_from_the_advertised_address_until_a_cut_swallows_it() {
    let yard = Yard::new().await;
    let end = |name: &str, n: u8| GossipEnd {
        site: Site::from(name),
        outer: yard.block.consul(n),
        inner: yard.block.consul_inner(n),
    };
    let ends = [
        end("edge-a", EDGE_A),
        end("edge-b", EDGE_B),
        end("provider-b", PROVIDER_B),
    ];
    let relay = GossipRelay::open(&yard.links, 8301, &ends).await.unwrap();
    let agent = |n: usize| UdpSocket::bind((ends[n].inner, 8301));
    let (a, b) = (agent(0).await.unwrap(), agent(1).await.unwrap());
    let c = agent(2).await.unwrap();
    let mut buffer = [0; 16];
    b.send_to(b"ping", (ends[0].outer, 8301)).await.unwrap();
    let (n, from) = a.recv_from(&mut buffer).await.unwrap();
    assert_eq!(
        (&buffer[..n], from),
        (&b"ping"[..], SocketAddr::from((ends[1].outer, 8301)))
    );
    a.send_to(b"ack", from).await.unwrap();
    let (n, from) = b.recv_from(&mut buffer).await.unwrap();
    assert_eq!(
        (&buffer[..n], from),
        (&b"ack"[..], SocketAddr::from((ends[0].outer, 8301)))
    );

    yard.links.cut(&Site::from("edge-b")).unwrap();
    b.send_to(b"lost", (ends[0].outer, 8301)).await.unwrap();
    c.send_to(b"kept", (ends[0].outer, 8301)).await.unwrap();
    let (n, _) = a.recv_from(&mut buffer).await.unwrap();
    assert_eq!(
        &buffer[..n],
        b"kept",
        "the other datagram had the shorter way"
    );
    drop(relay);
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let links = Links::new(&Estate::builtin(Block::default()));
    let error = links.cut(&Site::from("edge-c")).unwrap_err().to_string();
    assert!(
        error.contains("edge-c") && error.contains("edge-b"),
        "{error}"
    );
    let error = links.kill_node("edge-a-9").unwrap_err().to_string();
    assert!(
        error.contains("edge-a-9") && error.contains("edge-a-3"),
        "{error}"
    );
}
