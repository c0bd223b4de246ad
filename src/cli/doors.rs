//! Where a foreshadow's API is served, and what it stands on.

use super::{Exit, chain};
use crate::engine::clock;
use crate::engine::house::House;
use crate::headless::{self, Api, Certificates, Door, Journal, Keys, Place};
use crate::model::Span;
use crate::settings::{self, Config};
use crate::store::Store;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Certificate and token of HTTPS.
pub(super) fn keys(config: &Config) -> Result<Keys, Exit> {
    let certificates = config.api_tls.as_ref();
    let certificates = certificates.map(|(cert, key)| Certificates::read(cert, key));
    Ok(Keys {
        certificates: certificates.transpose().map_err(Exit::usage)?,
        read_token: settings::secret("FORESHADOW_READ_TOKEN").map_err(Exit::usage)?,
    })
}

pub(super) fn journal(store: &Arc<Store>) -> Journal {
    let store = Arc::clone(store);
    Arc::new(move |before, n| store.page(before, n).map_err(|e| chain(&e)))
}

pub(super) fn api(house: &House, cycle: Span, journal: Journal) -> Result<Api, Exit> {
    Ok(Api {
        views: house.views.clone(),
        commands: house.commands.clone(),
        act_token: settings::secret("FORESHADOW_ACT_TOKEN").map_err(Exit::usage)?,
        cycle,
        now: Arc::new(clock::now),
        counted: Some(headless::Counted::begin().map_err(Exit::usage)?),
        journal: Some(journal),
    })
}

fn places(config: &Config) -> Vec<Place> {
    config.api.clone().unwrap_or_else(|| {
        let own = settings::own_socket();
        if own.is_none() {
            tracing::warn!(
                "the API is not served: there is neither XDG_RUNTIME_DIR nor RUNTIME_DIRECTORY; say where with `api = \"unix:///…\"`"
            );
        }
        own.map(Place::Unix).into_iter().collect()
    })
}

/// Serves it at all of its places; they are closed with `cancel`.
pub(super) async fn open(
    config: &Config,
    keys: &Keys,
    api: &Api,
    cancel: &CancellationToken,
) -> Result<Vec<JoinHandle<()>>, Exit> {
    if let Some(counted) = api.counted.clone() {
        let cancel = cancel.clone();
        tokio::spawn(async move { cancel.run_until_cancelled(counted.keep()).await });
    }
    let mut doors = Vec::new();
    for place in places(config) {
        let door = Door::open(&place, keys)
            .await
            .map_err(|e| Exit::failed(&e))?;
        tracing::info!("its API is served at {place}");
        doors.push(tokio::spawn(headless::serve(
            door,
            api.clone(),
            cancel.clone(),
        )));
    }
    if doors.is_empty() {
        tracing::info!("its API is served nowhere");
    }
    Ok(doors)
}

/// Where the Consul agent beside it can ask whether it is ready; an agent asks no socket, and might not trust the certificate.
pub(super) fn asked_by_agents(config: &Config) -> Option<SocketAddr> {
    config.api.iter().flatten().find_map(|place| match place {
        Place::Http(at) => Some(*at),
        Place::Unix(_) | Place::Https(_) => None,
    })
}
