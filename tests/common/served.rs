//! A foreshadow's API with a view of the test's own behind it, for faces that attach to it.

use foreshadow::engine::view::{Command, View};
use foreshadow::headless::{self, Api, Door, Keys, Place};
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
        journal: None,
    };
    let at = runtime.block_on(async {
        let place = Place::Http("127.0.0.1:0".parse().expect("an address"));
        let door = Door::open(&place, &Keys::default()).await;
        let door = door.expect("it listens");
        let Place::Http(at) = door.place() else {
            panic!("{} is another place", door.place())
        };
        tokio::spawn(headless::serve(door, api, CancellationToken::new()));
        at
    });
    Served {
        at,
        asked,
        views,
        _runtime: runtime,
    }
}
