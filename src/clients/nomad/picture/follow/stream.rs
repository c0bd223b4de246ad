//! The event stream: opened, gone on from where it broke, and blocking lists where it is refused.

use super::super::Which;
use super::{Shared, delays, lists};
use crate::clients::http::HttpError;
use crate::clients::nomad::{EventStream, Topic};
use backon::{Sleeper, TokioSleeper};
use std::time::Duration;

const TOPICS: [Topic; 3] = [Topic::Node, Topic::Allocation, Topic::Evaluation];
/// A refused stream is asked for again after this: a token may have been given the right.
const ASK_AGAIN: Duration = Duration::from_secs(300);

/// How a connection ended.
enum End {
    /// Not for us, or not in this version.
    Refused,
    /// Broken; `lived` when it had said something.
    Lost { lived: bool },
}

pub(super) async fn follow(shared: &Shared) {
    let mut last = 0;
    let mut waits = delays();
    loop {
        let end = connection(shared, &mut last).await;
        {
            let mut inner = shared.lock();
            inner.streamed = 0;
            inner.open = false;
            inner.met = true;
            inner.refused = matches!(end, End::Refused);
        }
        shared.tell();
        match end {
            End::Refused => by_lists(shared).await,
            End::Lost { lived } => {
                if lived {
                    waits = delays();
                }
                TokioSleeper.sleep(waits.next().unwrap_or_default()).await;
            }
        }
    }
}

fn refuses(e: &HttpError) -> bool {
    matches!(e, HttpError::Denied { .. } | HttpError::NotFound { .. })
}

async fn connection(shared: &Shared, last: &mut u64) -> End {
    let stream = match shared.nomad.event_stream(&TOPICS, *last).await {
        Ok(stream) => stream,
        Err(e) if refuses(&e) => {
            tracing::info!("{e}; its lists are watched instead");
            return End::Refused;
        }
        Err(e) => {
            tracing::debug!("{e}");
            return End::Lost { lived: false };
        }
    };
    let mut lived = false;
    tokio::select! {
        () = read(shared, stream, last, &mut lived) => End::Lost { lived },
        () = shared.reconnect.notified() => End::Lost { lived: true },
    }
}

/// Takes in batches until the connection ends.
async fn read(shared: &Shared, mut stream: EventStream, last: &mut u64, lived: &mut bool) {
    let mut whole = false;
    let mut heartbeats = 0;
    loop {
        let batch = match stream.next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => return,
            Err(e @ HttpError::Decode { .. }) if *lived => {
                tracing::warn!("{e}; the lists are read again");
                shared.doubt_all();
                continue;
            }
            Err(e) => return tracing::debug!("{e}"),
        };
        if !whole && *last == 0 {
            whole = true;
            shared.doubt_all();
        }
        opened(shared, lived);
        if batch.is_heartbeat() {
            heartbeats += 1;
            if !whole && heartbeats > 1 {
                whole = true;
                shared.doubt_all();
            }
            continue;
        }
        // The index that we go on from comes first, if it is still in the server's buffer.
        let gap = !whole && batch.index > *last;
        let went_back = batch.index < shared.lock().streamed;
        whole = true;
        *last = batch.index;
        if gap || went_back {
            shared.doubt_all();
        }
        shared.take(batch);
    }
}

fn opened(shared: &Shared, lived: &mut bool) {
    if !std::mem::replace(lived, true) {
        let mut inner = shared.lock();
        inner.open = true;
        inner.met = true;
        drop(inner);
        shared.tell();
    }
}

/// Follows each list with blocking queries for a while.
async fn by_lists(shared: &Shared) {
    let all = async {
        futures::join!(
            block(shared, Which::Nodes),
            block(shared, Which::Allocs),
            block(shared, Which::Evals),
        )
    };
    // The end of the while is what is waited for.
    let _ = tokio::time::timeout(ASK_AGAIN, all).await;
}

async fn block(shared: &Shared, which: Which) {
    let mut waits = delays();
    loop {
        match lists::read(shared, which, true).await {
            Ok(true) => {
                waits = delays();
                continue;
            }
            // A server that does not block is not asked in a busy loop.
            Ok(false) => {}
            Err(e) => tracing::debug!("{e}"),
        }
        TokioSleeper.sleep(waits.next().unwrap_or_default()).await;
    }
}
