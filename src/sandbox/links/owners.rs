//! Which site a process is at: for peers whose source address does not say it.

use super::socket_owner::{Kernel, has_open};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use tokio::sync::oneshot;

/// The processes that the sandbox started, and a thread that finds out which of them made a connection.
///
/// A thread of its own because /proc blocks; it lives as long as the `Owners`.
pub struct Owners {
    /// Process or process group leader → site number.
    sites: Arc<Mutex<BTreeMap<u32, u8>>>,
    questions: mpsc::Sender<Question>,
}

struct Question {
    peer: SocketAddr,
    local: SocketAddr,
    answer: oneshot::Sender<Option<u8>>,
}

impl Default for Owners {
    fn default() -> Self {
        let sites = Arc::new(Mutex::new(BTreeMap::new()));
        let (questions, asked) = mpsc::channel::<Question>();
        let known = sites.clone();
        let looking = std::thread::Builder::new()
            .name("socket-owners".into())
            .spawn(move || {
                let kernel = Kernel::open();
                while let Ok(q) = asked.recv() {
                    let found = look(&kernel, &known, q.peer, q.local);
                    // The connection may have ended meanwhile; then nobody wants to know.
                    let _ = q.answer.send(found);
                }
            });
        if let Err(e) = looking {
            tracing::error!(
                "no thread to look up sockets' owners, so unbound peers count as strangers: {e}"
            );
        }
        Owners { sites, questions }
    }
}

impl Owners {
    /// The process (and its process group, if it leads one) is at this site from now on.
    pub fn register(&self, pid: u32, site_number: u8) {
        lock(&self.sites).insert(pid, site_number);
    }

    /// The process has ended.
    pub fn forget(&self, pid: u32) {
        lock(&self.sites).remove(&pid);
    }

    /// The site number of the process that connected from `peer` to `local`.
    pub(super) async fn site_of(&self, peer: SocketAddr, local: SocketAddr) -> Option<u8> {
        if lock(&self.sites).is_empty() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        let question = Question {
            peer,
            local,
            answer,
        };
        self.questions.send(question).ok()?;
        answered.await.ok()?
    }
}

fn lock(sites: &Mutex<BTreeMap<u32, u8>>) -> MutexGuard<'_, BTreeMap<u32, u8>> {
    sites.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(
    kernel: &Kernel,
    sites: &Mutex<BTreeMap<u32, u8>>,
    peer: SocketAddr,
    local: SocketAddr,
) -> Option<u8> {
    let inode = kernel.inode(peer, local)?;
    let known = lock(sites).clone();
    let itself = known.iter().find(|(pid, _)| has_open(**pid, inode));
    itself
        .map(|(_, site)| *site)
        .or_else(|| in_a_group(&known, inode))
}

/// A child of a task makes its connections in the task's name.
fn in_a_group(known: &BTreeMap<u32, u8>, inode: u64) -> Option<u8> {
    crate::sandbox::runtime::processes()
        .into_iter()
        .filter(|p| p.pid != p.group)
        .find_map(|p| {
            let site = known.get(&p.group)?;
            has_open(p.pid, inode).then_some(*site)
        })
}
