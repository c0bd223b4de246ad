//! DNS questions of the contract.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::script::Script;

/// How a question is asked.
#[derive(Clone, Copy, Debug)]
pub enum How {
    Udp,
    UdpWithEdns(u16),
    Tcp,
}

const LIMIT: Duration = Duration::from_secs(10);

pub async fn ask(at: SocketAddr, name: &str, kind: RecordType, how: How) -> Message {
    let mut question = Message::new(4711, MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    let mut asked = Name::from_str_relaxed(name).expect("a name");
    asked.set_fqdn(true);
    question.add_query(Query::query(asked, kind));
    if let How::UdpWithEdns(size) = how {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        question.set_edns(edns);
    }
    let bytes = question.to_vec().expect("a question");
    let exchange = async {
        match how {
            How::Tcp => over_tcp(at, &bytes).await,
            _ => over_udp(at, &bytes).await,
        }
    };
    let reply = timeout(LIMIT, exchange)
        .await
        .expect("an answer in time")
        .expect("an answer");
    Message::from_vec(&reply).expect("a DNS message")
}

async fn over_udp(at: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.send_to(bytes, at).await?;
    let mut buffer = vec![0; 65535];
    let length = socket.recv(&mut buffer).await?;
    buffer.truncate(length);
    Ok(buffer)
}

async fn over_tcp(at: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_u16(bytes.len() as u16).await?;
    stream.write_all(bytes).await?;
    let length = stream.read_u16().await?;
    let mut buffer = vec![0; usize::from(length)];
    stream.read_exact(&mut buffer).await?;
    Ok(buffer)
}

fn shown(record: &Record) -> String {
    match &record.data {
        // The serial is the time.
        RData::SOA(soa) => format!(
            "{} {} SOA {} {} {} {} {} {}",
            record.name,
            record.ttl,
            soa.mname,
            soa.rname,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum
        ),
        data => format!(
            "{} {} {} {data}",
            record.name,
            record.ttl,
            record.record_type()
        ),
    }
}

fn sorted(records: &[Record]) -> Vec<String> {
    let mut lines: Vec<String> = records.iter().map(shown).collect();
    lines.sort();
    lines
}

fn flags(message: &Message) -> String {
    let about = &message.metadata;
    format!(
        "{:?} aa={} tc={} rd={} ra={} edns={:?}",
        about.response_code,
        about.authoritative,
        about.truncation,
        about.recursion_desired,
        about.recursion_available,
        message.edns.as_ref().map(Edns::max_payload),
    )
}

impl Script<'_> {
    /// Asks, and notes flags and all records, sorted.
    pub async fn dig(&mut self, agent: &str, name: &str, kind: RecordType, how: How) -> Message {
        let answer = ask(self.rig.dns(agent), name, kind, how).await;
        let sections = [&answer.answers, &answer.authorities, &answer.additionals]
            .map(|section| sorted(section).join("\n    "));
        let [answers, authorities, additionals] = sections;
        self.note(format!(
            "{agent} {name} {kind} {how:?}\n  {}\n  answers\n    {answers}\n  authorities\n    {authorities}\n  additionals\n    {additionals}",
            flags(&answer)
        ));
        answer
    }

    /// Asks where the answer is a random part: notes flags and how many of each kind there are.
    pub async fn dig_count(&mut self, agent: &str, name: &str, kind: RecordType, how: How) {
        let answer = ask(self.rig.dns(agent), name, kind, how).await;
        let (answers, additionals) = (answer.answers.len(), answer.additionals.len());
        self.note(format!(
            "{agent} {name} {kind} {how:?}\n  {}, {answers} answers, {additionals} additionals",
            flags(&answer)
        ));
    }
}
