//! Keeps one reading of Consul known by blocking queries: asked again as soon as it has answered, so that a look costs nothing
//! and news is there when it happens.

use crate::clients::http::{HttpError, Indexed, Wait};
use crate::model::{Moment, Seen};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How one reading is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
    /// One blocking query. A reading is no older than this, a sixteenth (Consul's jitter) and the client's timeout.
    pub longest: Duration,
    /// Between an answer with news and the next question.
    pub rest: Duration,
}

impl Asking {
    /// Always young by itself.
    pub const OFTEN: Asking = Asking {
        longest: Duration::from_secs(5),
        rest: Duration::ZERO,
    };
    /// A long answer that changes often.
    pub const AT_EASE: Asking = Asking {
        longest: Duration::from_secs(5),
        rest: Duration::from_secs(2),
    };
}

/// Between an answer without news and the next question, so that a server that does not block is not asked in a circle.
const GAP: Duration = Duration::from_millis(250);
/// A look waits this long for the first answer, and this long for the one after an error.
const PATIENCE: Duration = Duration::from_millis(1_500);
const AGAIN: Duration = Duration::from_millis(400);

/// One reading that is kept up to date for as long as this lives.
pub struct Watch<T> {
    last: watch::Receiver<Reading<T>>,
    again: Arc<Notify>,
    /// None where another feeds it.
    task: Option<JoinHandle<()>>,
}

/// What was answered last, and how many answers there were before.
struct Reading<T> {
    seen: Seen<Arc<T>>,
    answers: u64,
    /// Nothing is known to have changed since.
    settled: bool,
}

impl<T> Default for Reading<T> {
    fn default() -> Self {
        Reading {
            seen: Seen::unknown("not read yet"),
            answers: 0,
            settled: false,
        }
    }
}

impl<T> Drop for Watch<T> {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The other end of a watch that is fed by whoever watches many things at once.
pub struct Feed<T>(watch::Sender<Reading<T>>);

impl<T> Feed<T> {
    /// A reading, and whether it is still as things are.
    pub fn say(&self, seen: Seen<Arc<T>>, settled: bool) {
        say(&self.0, seen, settled);
    }

    /// Something has changed since the last reading.
    pub fn unsettle(&self) {
        self.0.send_if_modified(|reading| {
            reading.settled = false;
            false
        });
    }
}

/// Each reading of a watch from now on, beginning with the last one there is.
pub struct Follow<T>(watch::Receiver<Reading<T>>);

impl<T> Follow<T> {
    /// The next one that was not seen; of several, the last. Never once the watch is gone.
    pub async fn next(&mut self) -> Seen<Arc<T>> {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.0.borrow_and_update().seen.clone()
    }
}

impl<T: Send + Sync + 'static> Watch<T> {
    /// Begins at once, on the current tokio runtime. `read` is one query, blocking where it is given a wait; `news` is called
    /// with each reading that may differ from the one before.
    pub fn start<R, F, V>(
        read: R,
        news: impl Fn(&T) + Send + 'static,
        clock: fn() -> Moment,
        asking: Asking,
    ) -> Self
    where
        R: Fn(Option<Wait>) -> F + Send + 'static,
        F: Future<Output = Result<Indexed<V>, HttpError>> + Send,
        V: Into<Arc<T>> + Send,
    {
        let (tell, last) = watch::channel(Reading::default());
        let again = Arc::new(Notify::new());
        let kicked = again.clone();
        let task = tokio::spawn(async move {
            let mut index = 0;
            let mut delays = delays();
            while !tell.is_closed() {
                let wait = (index > 0).then_some(Wait {
                    index,
                    longest: asking.longest,
                });
                let answer = read(wait).await;
                let pause = match &answer {
                    Ok(found) if found.index > 0 && found.index != index => {
                        (!asking.rest.is_zero()).then_some(asking.rest)
                    }
                    Ok(_) => Some(GAP),
                    Err(_) => delays.next(),
                };
                match answer {
                    Ok(found) => {
                        delays = self::delays();
                        index = found.index;
                        let value = found.value.into();
                        news(&value);
                        say(&tell, Seen::known(value, clock()), true);
                    }
                    Err(e) => {
                        index = 0;
                        say(&tell, Seen::unknown(e.to_string()), true);
                    }
                }
                if let Some(pause) = pause {
                    // Either way the next question is due.
                    let _ = tokio::time::timeout(pause, kicked.notified()).await;
                }
            }
        });
        let task = Some(task);
        Watch { last, again, task }
    }

    /// One that knows what its feed is given.
    pub fn fed() -> (Feed<T>, Self) {
        let (tell, last) = watch::channel(Reading::default());
        let (again, task) = (Arc::new(Notify::new()), None);
        (Feed(tell), Watch { last, again, task })
    }

    pub fn follow(&self) -> Follow<T> {
        let mut last = self.last.clone();
        last.mark_changed();
        Follow(last)
    }

    /// Whether nothing is known to have changed since the last reading.
    pub fn settled(&self) -> bool {
        self.last.borrow().settled
    }

    /// The reading with the time of the answer it is from. One that is unknown is asked for again first, and waited for a little.
    pub async fn seen(&self) -> Seen<Arc<T>> {
        let answers = {
            let last = self.last.borrow();
            if let Seen::Known { .. } = last.seen {
                return last.seen.clone();
            }
            last.answers
        };
        self.again.notify_one();
        let mut last = self.last.clone();
        let next = last.wait_for(|r| r.answers > answers);
        // Not in time is an answer too: it stays unknown, for the reason that was known.
        let longest = if answers == 0 { PATIENCE } else { AGAIN };
        let _ = tokio::time::timeout(longest, next).await;
        self.last.borrow().seen.clone()
    }

    /// Wakes at the next answer, or after `longest`.
    pub async fn moved(&self, longest: Duration) {
        let mut last = self.last.clone();
        last.mark_unchanged();
        let _ = tokio::time::timeout(longest, last.changed()).await;
    }
}

fn say<T>(tell: &watch::Sender<Reading<T>>, seen: Seen<Arc<T>>, settled: bool) {
    tell.send_modify(|reading| {
        reading.seen = seen;
        reading.settled = settled;
        reading.answers += 1;
    });
}

/// The pauses of one run of failures, with jitter, so that watchers of a Consul that comes back do not ask together.
fn delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_jitter()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .build()
}
