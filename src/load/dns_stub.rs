//! For tests: a DNS server on loopback that answers SRV as Consul does: whole over TCP, at most three records over UDP.

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Answers,
    /// Takes questions and says nothing.
    Silent,
    /// Closes TCP connections unanswered.
    UdpOnly,
}

struct Inside {
    sets: Mutex<HashMap<Name, Vec<(SocketAddr, u16)>>>,
    mood: Mutex<Mood>,
    asked: watch::Sender<u64>,
}

pub struct DnsStub {
    addr: SocketAddr,
    inside: Arc<Inside>,
}

impl DnsStub {
    pub async fn start() -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(addr).await.unwrap();
        let inside = Arc::new(Inside {
            sets: Mutex::default(),
            mood: Mutex::new(Mood::Answers),
            asked: watch::Sender::new(0),
        });
        tokio::spawn(serve_udp(udp, inside.clone()));
        tokio::spawn(serve_tcp(tcp, inside.clone()));
        Self { addr, inside }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
    pub fn mood(&self, mood: Mood) {
        *self.inside.mood.lock().unwrap() = mood;
    }
    pub fn set(&self, name: &str, set: &[(SocketAddr, u16)]) {
        let name = Name::from_ascii(name).unwrap();
        self.inside.sets.lock().unwrap().insert(name, set.to_vec());
    }
    /// Waits until so many more questions have come in.
    pub async fn asked_again(&self, times: u64) {
        let mut asked = self.inside.asked.subscribe();
        let until = *asked.borrow() + times;
        asked.wait_for(|n| *n >= until).await.unwrap();
    }
}

impl Inside {
    fn answer(&self, question: &[u8], at_most: usize) -> Option<Vec<u8>> {
        self.asked.send_modify(|n| *n += 1);
        if *self.mood.lock().unwrap() == Mood::Silent {
            return None;
        }
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        let sets = self.sets.lock().unwrap();
        match sets.get(query.name()) {
            Some(set) => {
                for (addr, weight) in set.iter().take(at_most) {
                    let IpAddr::V4(ip) = addr.ip() else { continue };
                    let target =
                        Name::from_ascii(format!("{:08x}.addr.edge.consul.", u32::from(ip)))
                            .unwrap();
                    let srv = SRV::new(1, *weight, addr.port(), target.clone());
                    let name = query.name().clone();
                    answer
                        .answers
                        .push(Record::from_rdata(name, 0, RData::SRV(srv)));
                    let a = RData::A(A(ip));
                    answer.additionals.push(Record::from_rdata(target, 0, a));
                }
            }
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        answer.queries.push(query);
        answer.to_vec().ok()
    }
}

async fn serve_udp(socket: UdpSocket, inside: Arc<Inside>) {
    let mut buffer = [0; 1500];
    while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
        if let Some(answer) = inside.answer(&buffer[..n], 3) {
            socket.send_to(&answer, from).await.unwrap();
        }
    }
}

async fn serve_tcp(listener: TcpListener, inside: Arc<Inside>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(talk(stream, inside.clone()));
    }
}

async fn talk(mut stream: TcpStream, inside: Arc<Inside>) -> std::io::Result<()> {
    loop {
        let length = stream.read_u16().await?;
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await?;
        if *inside.mood.lock().unwrap() == Mood::UdpOnly {
            return Ok(());
        }
        if let Some(answer) = inside.answer(&question, usize::MAX) {
            stream.write_u16(answer.len() as u16).await?;
            stream.write_all(&answer).await?;
        }
    }
}
