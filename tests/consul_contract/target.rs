//! A small HTTP server that checks can knock at.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[derive(Default)]
struct State {
    status: u16,
    requests: Vec<String>,
    peers: Vec<SocketAddr>,
}

/// Answers every request with one status, and keeps what was asked.
pub struct Target {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Target {
    pub async fn start(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let state = Arc::new(Mutex::new(State {
            status,
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((mut stream, peer)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    let mut buffer = vec![0; 8192];
                    let length = stream.read(&mut buffer).await.unwrap_or(0);
                    let reply = {
                        let mut state = shared.lock().expect("no one panics with it");
                        state
                            .requests
                            .push(String::from_utf8_lossy(&buffer[..length]).into_owned());
                        state.peers.push(peer);
                        let reason = reqwest::StatusCode::from_u16(state.status)
                            .ok()
                            .and_then(|code| code.canonical_reason());
                        let reason = reason.unwrap_or("");
                        format!(
                            "HTTP/1.1 {} {reason}\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody",
                            state.status
                        )
                    };
                    // The other side may have hung up.
                    let _ = stream.write_all(reply.as_bytes()).await;
                });
            }
        });
        Self { port, state }
    }

    pub fn answer_with(&self, status: u16) {
        self.state.lock().expect("no one panics with it").status = status;
    }

    /// The last request with small header names, sorted; without what names the port.
    pub fn last_request(&self) -> String {
        let state = self.state.lock().expect("no one panics with it");
        let mut lines: Vec<String> = state
            .requests
            .last()
            .cloned()
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.retain(|line| {
            let name = line.to_lowercase();
            !line.is_empty()
                && ![
                    "host:",
                    "connection:",
                    "accept-encoding:",
                    "content-length:",
                ]
                .iter()
                .any(|own| name.starts_with(own))
        });
        for line in lines.iter_mut().skip(1) {
            if let Some((name, value)) = line.split_once(':') {
                *line = format!("{}:{value}", name.to_lowercase());
            }
        }
        if let Some(headers) = lines.get_mut(1..) {
            headers.sort();
        }
        lines.join("\n")
    }

    pub fn last_peer(&self) -> Option<SocketAddr> {
        self.state
            .lock()
            .expect("no one panics with it")
            .peers
            .last()
            .copied()
    }
}
