//! Consul's DNS on an agent's address, over UDP and TCP.

mod answer;
mod records;
mod reply;
mod trim;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Edns, Message, OpCode, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::world::AgentRef;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Udp,
    Tcp,
}

const IDLE: Duration = Duration::from_secs(10);

/// Answers on UDP until the task is dropped.
pub(super) async fn serve_udp(agent: AgentRef, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; 65535];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let (agent, socket, question) = (
            agent.clone(),
            Arc::clone(&socket),
            buffer[..length].to_vec(),
        );
        let stop = agent.world.stop.clone();
        agent.world.tasks.clone().spawn(async move {
            stop.run_until_cancelled(answer_udp(agent, socket, question, peer))
                .await
        });
    }
}

async fn answer_udp(agent: AgentRef, socket: Arc<UdpSocket>, question: Vec<u8>, peer: SocketAddr) {
    if let Some(reply) = respond(&agent, &question, Network::Udp).await
        && let Err(error) = socket.send_to(&reply, peer).await
    {
        tracing::debug!(%error, %peer, "a DNS answer was not sent");
    }
}

/// Answers on TCP until the task is dropped.
pub(super) async fn serve_tcp(agent: AgentRef, listener: TcpListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let stop = agent.world.stop.clone();
        let conversation = converse(agent.clone(), stream);
        agent
            .world
            .tasks
            .clone()
            .spawn(async move { stop.run_until_cancelled(conversation).await });
    }
}

async fn converse(agent: AgentRef, mut stream: TcpStream) {
    loop {
        let Ok(Ok(length)) = timeout(IDLE, stream.read_u16()).await else {
            return;
        };
        let mut question = vec![0; usize::from(length)];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        let Some(reply) = respond(&agent, &question, Network::Tcp).await else {
            return;
        };
        let Ok(length) = u16::try_from(reply.len()) else {
            return;
        };
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend(reply);
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

async fn respond(agent: &AgentRef, question: &[u8], network: Network) -> Option<Vec<u8>> {
    let request = Message::from_vec(question).ok()?;
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.checking_disabled = request.metadata.checking_disabled;
    response.add_queries(request.queries.iter().cloned());
    let Some(query) = request.queries.first() else {
        response.metadata.response_code = ResponseCode::FormErr;
        return response.to_vec().ok();
    };
    if request.metadata.op_code != OpCode::Query || !records::is_ours(&query.name) {
        response.metadata.response_code = ResponseCode::Refused;
        return response.to_vec().ok();
    }
    let edns_size = request.edns.as_ref().map(Edns::max_payload);
    let reply = answer::answer(agent, query, network, edns_size).await;
    response.metadata.authoritative = true;
    response.metadata.response_code = reply.code;
    response.metadata.truncation = reply.truncated;
    response.add_answers(reply.answers);
    response.add_authorities(reply.authorities);
    response.add_additionals(reply.additionals);
    if let Some(size) = edns_size {
        let mut edns = Edns::new();
        edns.set_max_payload(size);
        response.set_edns(edns);
    }
    response.to_vec().ok()
}
