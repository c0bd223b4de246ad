//! The lists: read when they are wanted, or as blocking queries.

use super::super::{Change, Which};
use super::Shared;
use crate::clients::http::{HttpError, Indexed, Wait};
use crate::clients::nomad::{Node, NodeStub};
use futures::StreamExt;
use std::sync::Arc;
use std::time::Duration;

/// A blocking query's wait.
const WAIT: Duration = Duration::from_secs(60);
/// Nodes read at once for what the list does not carry.
const AT_ONCE: usize = 16;

pub(super) async fn read_when_wanted(shared: &Shared) {
    futures::join!(
        serve(shared, Which::Nodes),
        serve(shared, Which::Allocs),
        serve(shared, Which::Evals),
    );
}

async fn serve(shared: &Shared, which: Which) {
    loop {
        shared.lists[which as usize].notified().await;
        while wanted(shared, which) {
            if let Err(e) = read(shared, which, false).await {
                tracing::debug!("{e}");
                shared.failed(which, &e);
            }
            shared.lock().books[which as usize].reading = false;
        }
    }
}

fn wanted(shared: &Shared, which: Which) -> bool {
    let mut inner = shared.lock();
    let book = &mut inner.books[which as usize];
    let wanted = std::mem::take(&mut book.wanted);
    book.reading = wanted;
    wanted
}

/// Reads a list and takes it in; `blocking`: when something newer than what is known is there. Whether anything changed.
pub(super) async fn read(shared: &Shared, which: Which, blocking: bool) -> Result<bool, HttpError> {
    let (wait, doubts) = {
        let mut inner = shared.lock();
        inner.picture.begin(which);
        let index = inner.picture.at(which);
        let wait = (blocking && index > 0).then_some(Wait {
            index,
            longest: WAIT,
        });
        (wait, inner.books[which as usize].doubts)
    };
    let change = match which {
        Which::Nodes => nodes(shared, wait).await?,
        Which::Allocs => {
            let (all, index) = shared_rows(shared.nomad.allocations(wait).await?);
            shared.lock().picture.list_allocs(all, index)
        }
        Which::Evals => {
            let (all, index) = shared_rows(shared.nomad.all_evaluations(None, wait).await?);
            shared.lock().picture.list_evals(all, index)
        }
    };
    shared.listed(which, change, doubts);
    Ok(change != Change::default())
}

fn shared_rows<T>(list: Indexed<Vec<T>>) -> (Vec<Arc<T>>, u64) {
    (list.value.into_iter().map(Arc::new).collect(), list.index)
}

async fn nodes(shared: &Shared, wait: Option<Wait>) -> Result<Change, HttpError> {
    let stubs = shared.nomad.nodes(wait).await?;
    let index = stubs.index;
    let rows = futures::stream::iter(stubs.value)
        .map(|stub| whole(shared, stub))
        .buffer_unordered(AT_ONCE);
    let rows: Vec<Arc<Node>> = rows.collect().await;
    let mut inner = shared.lock();
    let change = inner.picture.list_nodes(rows, index);
    inner.bare = inner.picture.nodes().is_bare();
    Ok(change)
}

/// A node with its attributes, read anew; without them where it is known whole already, and when that fails, until the next list.
async fn whole(shared: &Shared, stub: NodeStub) -> Arc<Node> {
    let known = shared.lock().picture.nodes().known_whole(&stub.id);
    if known.is_some_and(|known| known >= stub.modify_index) {
        return Arc::new(stub.into());
    }
    match shared.nomad.node(&stub.id).await {
        Ok(node) => Arc::new(node),
        Err(e) => {
            tracing::debug!("{e}");
            Arc::new(stub.into())
        }
    }
}
