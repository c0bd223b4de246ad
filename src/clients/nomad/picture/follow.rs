//! Keeps a picture up to date, and proves before each use that nothing is missing.
//!
//! The stream is opened before the lists are read, so nothing falls between them. After a break it goes on from the last
//! index; when that index is no longer in the server's buffer (its first batch is a later one), the lists are read anew.
//! Each use asks Nomad for the index of each table's last write, which costs the same whatever the table holds: a table
//! that stands there is current. Else the event is waited for; a write that came without one (Nomad's garbage collection
//! sends none) has the list read again.

use super::super::Nomad;
use super::{Change, Drained, Picture, Which};
use crate::clients::http::HttpError;
use crate::clients::nomad::{Event, EventBatch};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

mod lists;
mod stream;

/// An event follows its write within milliseconds; after this a list is read instead.
const GRACE: Duration = Duration::from_millis(250);
/// Where the stream is refused, lists carry the news: they take longer.
const LIST_GRACE: Duration = Duration::from_millis(1_000);
/// A look is not held up longer by a list that is on its way.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// A list that was read again in vain (the write was in a namespace that we do not see) is not for this many looks.
const LOOKS_LEFT_OUT: u32 = 2;

/// Called for each event as it is taken in; it must be quick.
pub type OnEvent = Box<dyn Fn(&Event) + Send + Sync>;

/// A picture that follows a Nomad for as long as it lives.
pub struct Follower {
    shared: Arc<Shared>,
    /// For the short questions, with little patience.
    brief: Arc<Nomad>,
    task: JoinHandle<()>,
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How sure a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing that Nomad had written when it was asked is missing.
    Current,
    /// What was current at an earlier glance; newer writes may be missing.
    Older,
    /// Nothing is known, or Nomad could not be asked; the reason.
    Unknown(String),
}

/// What changed since the last glance, at one moment, and how sure each table is.
#[derive(Debug)]
pub struct Glance {
    pub changes: Drained,
    pub nodes: Proof,
    pub allocs: Proof,
    pub evals: Proof,
}

/// What is known of one table's reading.
#[derive(Default)]
struct Book {
    /// Lists taken in so far.
    reads: u64,
    wanted: bool,
    /// A list is on its way.
    reading: bool,
    /// Times that something may have been missed, and how many of these a list has settled.
    doubts: u64,
    settled: u64,
    /// Why the last list could not be read.
    error: Option<String>,
    /// Attempts to read a list, failed ones too.
    attempts: u64,
    /// The last list brought nothing new.
    in_vain: bool,
    /// Looks for which no list is asked for.
    leave_out: u32,
}

#[derive(Default)]
struct Inner {
    picture: Picture,
    books: [Book; 3],
    /// Highest index that this connection's stream has brought; 0 without one.
    streamed: u64,
    /// The stream is open and has said something.
    open: bool,
    /// The stream was opened, or could not be.
    met: bool,
    /// The stream is refused: blocking lists take its place.
    refused: bool,
    /// Nodes whose attributes could not be read.
    bare: bool,
}

struct Shared {
    /// With patience for long lists.
    nomad: Arc<Nomad>,
    inner: Mutex<Inner>,
    /// Counts whatever was taken in.
    moved: watch::Sender<u64>,
    lists: [Notify; 3],
    reconnect: Notify,
    on_event: OnEvent,
}

/// The delays of one run of failures, with jitter.
fn delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .build()
}

impl Follower {
    /// Begins at once, on the current tokio runtime. `nomad` reads lists and the stream, `brief` asks the short questions.
    pub fn start(nomad: Arc<Nomad>, brief: Arc<Nomad>, on_event: OnEvent) -> Follower {
        let shared = Arc::new(Shared {
            nomad,
            inner: Mutex::default(),
            moved: watch::Sender::new(0),
            lists: std::array::from_fn(|_| Notify::new()),
            reconnect: Notify::new(),
            on_event,
        });
        let own = shared.clone();
        let task = tokio::spawn(async move {
            futures::join!(stream::follow(&own), lists::read_when_wanted(&own));
        });
        Follower {
            shared,
            brief,
            task,
        }
    }

    /// Proves each table and takes what changed. Takes two seconds at most beyond the patience of the brief client.
    pub async fn glance(&self) -> Glance {
        let (nodes, allocs, evals) = futures::join!(
            self.prove(Which::Nodes),
            self.prove(Which::Allocs),
            self.prove(Which::Evals),
        );
        let changes = self.shared.lock().picture.drain();
        Glance {
            changes,
            nodes,
            allocs,
            evals,
        }
    }

    /// Whether the stream is refused, so that blocking lists take its place.
    pub fn by_lists(&self) -> bool {
        self.shared.lock().refused
    }

    async fn prove(&self, which: Which) -> Proof {
        let fence = match self.brief.table_index(which).await {
            Ok(fence) => fence,
            Err(e) => return Proof::Unknown(e.to_string()),
        };
        let (grace, attempts, at, first) = {
            let mut inner = self.shared.lock();
            if inner.is_current(which, fence) {
                if which == Which::Nodes && inner.bare {
                    self.shared.want(&mut inner, which);
                }
                return Proof::Current;
            }
            let book = &inner.books[which as usize];
            let grace = if inner.refused { LIST_GRACE } else { GRACE };
            (
                grace,
                book.attempts,
                inner.picture.at(which),
                book.reads == 0,
            )
        };
        if first {
            // The stream is opened before the first list, or the list would have to be read twice.
            self.until(GRACE, |inner| inner.met).await;
        } else if fence > at {
            let moved_on = |inner: &Inner| {
                inner.is_current(which, fence)
                    || inner.streamed >= fence
                    || inner.books[which as usize].attempts > attempts
            };
            self.until(grace, moved_on).await;
        }
        self.settle(which, fence).await
    }

    /// After the event had its time: current, or by a list, or as it was.
    async fn settle(&self, which: Which, fence: u64) -> Proof {
        let known = {
            let mut inner = self.shared.lock();
            if inner.is_current(which, fence) {
                return Proof::Current;
            }
            let passed = inner.streamed >= fence;
            let book = &mut inner.books[which as usize];
            if book.leave_out > 0 && fence > 0 {
                book.leave_out -= 1;
                // The stream has gone past the write, so no event of ours is missing.
                return if passed { Proof::Current } else { Proof::Older };
            }
            book.reads > 0
        };
        // A list that is on its way may be older than the question: then the next one answers it.
        for _ in 0..2 {
            if let Some(proof) = self.by_list(which, fence, known).await {
                return proof;
            }
        }
        match known {
            true => Proof::Older,
            false => Proof::Unknown(format!(
                "Nomad's {} are still being read for the first time",
                which.path()
            )),
        }
    }

    /// Waits for one list: what it proves, or `None` when it did not come in time or was too old.
    async fn by_list(&self, which: Which, fence: u64, known: bool) -> Option<Proof> {
        let (attempts, own) = {
            let mut inner = self.shared.lock();
            let book = &inner.books[which as usize];
            let (attempts, own) = (book.attempts, !book.reading && !book.wanted);
            if own {
                self.shared.want(&mut inner, which);
            }
            (attempts, own)
        };
        let tried = |inner: &Inner| inner.books[which as usize].attempts > attempts;
        self.until(PATIENCE, tried).await;
        let mut inner = self.shared.lock();
        let current = inner.is_current(which, fence) || fence == 0;
        let open = inner.open;
        let book = &mut inner.books[which as usize];
        if book.attempts == attempts {
            return None;
        }
        if let Some(why) = &book.error {
            return Some(Proof::Unknown(why.clone()));
        }
        if own && known && open && book.in_vain {
            book.leave_out = LOOKS_LEFT_OUT;
        }
        current.then_some(Proof::Current)
    }

    async fn until(&self, longest: Duration, wanted: impl Fn(&Inner) -> bool) {
        let mut moved = self.shared.moved.subscribe();
        let waiting = moved.wait_for(|_| wanted(&self.shared.lock()));
        // Not in time is an answer too: the caller looks for itself.
        let _ = tokio::time::timeout(longest, waiting).await;
    }
}

impl Inner {
    /// Whether the table stands where Nomad's did when it was asked. Without an index (0) nothing can be proved.
    fn is_current(&self, which: Which, fence: u64) -> bool {
        let at = self.picture.at(which);
        // An older index than ours is another state store, unless the stream has brought newer writes since the question.
        let went_back = fence < at && self.streamed < at;
        let book = &self.books[which as usize];
        let whole = book.reads > 0 && book.settled == book.doubts;
        fence > 0 && whole && fence <= at && !went_back
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.moved.send_modify(|n| *n += 1);
    }

    /// Has a list read again.
    fn want(&self, inner: &mut Inner, which: Which) {
        inner.books[which as usize].wanted = true;
        self.lists[which as usize].notify_one();
    }

    /// Something may have been missed: nothing is current until the lists are read again.
    fn doubt_all(&self) {
        let mut inner = self.lock();
        for which in Which::ALL {
            inner.books[which as usize].doubts += 1;
            self.want(&mut inner, which);
        }
    }

    fn take(&self, batch: EventBatch) {
        for event in &batch.events {
            (self.on_event)(event);
        }
        {
            let mut inner = self.lock();
            inner.streamed = inner.streamed.max(batch.index);
            inner.picture.apply(batch);
        }
        self.tell();
    }

    /// Books a list that was read, asked for when there were so many doubts.
    fn listed(&self, which: Which, change: Change, doubts: u64) {
        let mut inner = self.lock();
        let open = inner.open;
        if change.went_back {
            inner.streamed = 0;
        }
        let book = &mut inner.books[which as usize];
        let again = book.reads > 0;
        book.reads += 1;
        book.attempts += 1;
        book.error = None;
        book.settled = doubts;
        book.in_vain = change == Change::default();
        book.leave_out = 0;
        drop(inner);
        // Rows that no event had told of: this connection is not to be trusted any more.
        if change.went_back || (open && again && change.put > 0) {
            self.reconnect.notify_one();
        }
        self.tell();
    }

    fn failed(&self, which: Which, error: &HttpError) {
        let mut inner = self.lock();
        let book = &mut inner.books[which as usize];
        book.attempts += 1;
        book.error = Some(error.to_string());
        drop(inner);
        self.tell();
    }
}
