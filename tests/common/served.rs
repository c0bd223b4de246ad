//! A foreshadow's API with a view of the test's own behind it, for faces that attach to it.

use foreshadow::engine::view::{Command, View};
use foreshadow::headless::{self, Api};
use foreshadow::model::{Moment, Span};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// The token with which a face may act.
pub const ACT: &str = "sesame";

pub struct Served {
    pub at: SocketAddr,
    pub asked: mpsc::Receiver<Command>,
    pub views: watch::Sender<Arc<View>>,
    _runtime: tokio::runtime::Runtime,
}

/// Serves the view until it is dropped.
pub fn served(view: View) -> Served {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (views, receive) = watch::channel(Arc::new(view));
    let (commands, asked) = mpsc::channel(64);
    let api = Api {
        views: receive,
        commands,
        act_token: Some(ACT.to_string().into()),
        cycle: Span::secs(1),
        now: Arc::new(|| Moment(0)),
        counted: None,
    };
    let at = runtime.block_on(async {
        let listener = headless::bind("127.0.0.1:0".parse().expect("an address")).await;
        let listener = listener.expect("it listens");
        let at = listener.local_addr().expect("it has an address");
        tokio::spawn(headless::serve(listener, api, CancellationToken::new()));
        at
    });
    Served {
        at,
        asked,
        views,
        _runtime: runtime,
    }
}
