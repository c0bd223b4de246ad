//! A link between a client and a server that can be spoilt in every way a network or a server spoils one, and that counts what is
//! asked over it.
#![allow(clippy::disallowed_methods)] // a delay is one of the faults
#![allow(dead_code)] // each test binary uses a part of it

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The connection is closed once the request is there.
    Cut,
    /// Everything arrives, this much later.
    Delay(Duration),
    /// The request is taken, and then there is silence on an open connection.
    HalfOpen,
    /// Bytes that are no HTTP.
    Garbage,
    /// The answer breaks off before its announced length.
    Truncated,
    /// A whole answer whose JSON is not.
    TruncatedJson,
    Status(u16),
    /// Headers at once, then a byte, then nothing.
    SlowBody,
}

/// Takes one request for each connection, so that a change of fault holds from the next request on.
pub struct Proxy {
    pub at: SocketAddr,
    way: Arc<Way>,
}

struct Way {
    server: SocketAddr,
    fault: Mutex<Fault>,
    /// The first line of each request since it was last counted, without the protocol.
    asked: Mutex<Vec<String>>,
    open: AtomicUsize,
    waiting: AtomicUsize,
    most_open: AtomicUsize,
    given_up: AtomicUsize,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let way = Arc::new(Way {
            server,
            fault: Mutex::new(Fault::None),
            asked: Mutex::default(),
            open: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            given_up: AtomicUsize::new(0),
        });
        let over = way.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let over = over.clone();
                tokio::spawn(async move {
                    let open = 1 + over.open.fetch_add(1, Ordering::SeqCst);
                    over.most_open.fetch_max(open, Ordering::SeqCst);
                    serve(client, &over).await;
                    over.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Proxy { at, way }
    }

    pub fn set(&self, fault: Fault) {
        *self.way.fault.lock().unwrap() = fault;
    }

    /// What was asked since this was last called.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.way.asked.lock().unwrap())
    }

    /// How many questions wait at the server for something to change.
    pub fn waiting(&self) -> usize {
        self.way.waiting.load(Ordering::SeqCst)
    }

    /// How many connections there were at once at most.
    pub fn most_open(&self) -> usize {
        self.way.most_open.load(Ordering::SeqCst)
    }

    /// How many requests their client gave up before they were answered.
    pub fn given_up(&self) -> usize {
        self.way.given_up.load(Ordering::SeqCst)
    }
}

/// The request, with a wish to close the connection after its answer; bodies come with the head or are not there.
async fn request(client: &mut TcpStream) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    let end = loop {
        let n = client.read(&mut piece).await.ok().filter(|n| *n > 0)?;
        read.extend_from_slice(&piece[..n]);
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break end;
        }
    };
    read.splice(end..end, b"\r\nConnection: close".iter().copied());
    Some(read)
}

async fn serve(mut client: TcpStream, way: &Way) -> Option<()> {
    let request = request(&mut client).await?;
    let line = request.split(|b| *b == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(" HTTP/1.1").to_string();
    let waits = usize::from(line.contains("index="));
    way.waiting.fetch_add(waits, Ordering::SeqCst);
    way.asked.lock().unwrap().push(line);
    answer(client, &request, way).await;
    way.waiting.fetch_sub(waits, Ordering::SeqCst);
    Some(())
}

async fn answer(mut client: TcpStream, request: &[u8], way: &Way) -> Option<()> {
    let fault = *way.fault.lock().unwrap();
    let said: &[u8] = match fault {
        Fault::None => return pass(client, way, request).await,
        Fault::Delay(span) => {
            tokio::time::sleep(span).await;
            return pass(client, way, request).await;
        }
        Fault::Cut => return None,
        Fault::HalfOpen => b"",
        Fault::Garbage => b"\x16\x03\x01 what is this\r\n\r\n\x00\xff",
        Fault::Truncated => b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n[{\"ID\": \"a",
        Fault::TruncatedJson => b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n[{\"ID\": \"a",
        Fault::SlowBody => b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n[",
        Fault::Status(status) => {
            let text = format!("HTTP/1.1 {status} Trouble\r\nContent-Length: 7\r\n\r\ntrouble");
            client.write_all(text.as_bytes()).await.ok()?;
            return None;
        }
    };
    client.write_all(said).await.ok()?;
    if matches!(fault, Fault::HalfOpen | Fault::SlowBody) {
        // Until the client gives up.
        let mut rest = [0; 64];
        while client.read(&mut rest).await.is_ok_and(|n| n > 0) {}
    }
    Some(())
}

async fn pass(mut client: TcpStream, way: &Way, request: &[u8]) -> Option<()> {
    let mut server = TcpStream::connect(way.server).await.ok()?;
    server.write_all(request).await.ok()?;
    let (mut of_client, mut to_client) = client.split();
    let (mut of_server, mut to_server) = server.split();
    let answered = AtomicBool::new(false);
    let answer = async {
        let _ = of_server.peek(&mut [0]).await;
        answered.store(true, Ordering::SeqCst);
        tokio::io::copy(&mut of_server, &mut to_client).await
    };
    tokio::select! {
        _ = answer => {}
        _ = tokio::io::copy(&mut of_client, &mut to_server) => {
            let early = usize::from(!answered.load(Ordering::SeqCst));
            way.given_up.fetch_add(early, Ordering::SeqCst);
        }
    }
    Some(())
}
