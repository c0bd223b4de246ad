//! The picture of Nomad's cluster as nouns of the model: only what changed is turned into them again.

use super::names::Names;
use super::nomad;
use crate::clients::nomad::Event;
use crate::clients::nomad::picture::{Glance, Proof};
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::mpsc;

/// A table and when it was last known to be all there is.
struct Known<T> {
    rows: T,
    proved: Option<Moment>,
}

impl<T: Default> Default for Known<T> {
    fn default() -> Self {
        Known {
            rows: T::default(),
            proved: None,
        }
    }
}

impl<T: Clone> Known<T> {
    fn seen(&mut self, proof: Proof, now: Moment) -> Seen<T> {
        let at = match proof {
            Proof::Unknown(why) => return Seen::unknown(why),
            Proof::Current => now,
            Proof::Older => match self.proved {
                Some(at) => at,
                None => return Seen::unknown("Nomad's lists were not read whole yet"),
            },
        };
        self.proved = Some(at);
        Seen::known(self.rows.clone(), at)
    }
}

/// What a look sees of the cluster, from one moment of the picture.
pub struct Sight {
    pub nodes: Seen<Table<Node>>,
    pub allocs: Seen<Table<Alloc>>,
    pub blocked: Seen<Vec<Blocked>>,
}

/// The picture in the model's nouns.
#[derive(Default)]
pub struct Mirror {
    nodes: Known<Table<Node>>,
    allocs: Known<Table<Alloc>>,
    blocked: Known<BTreeMap<Arc<str>, Blocked>>,
}

impl Mirror {
    pub fn take(&mut self, glance: Glance, names: &Names, now: Moment) -> Sight {
        for (mut id, row) in glance.changes.nodes {
            names.share(&mut id);
            match row {
                Some(row) => self.nodes.rows.renew(nomad::node(&row, names)),
                None => self.nodes.rows.remove(&NodeId(id)),
            }
        }
        for (mut id, row) in glance.changes.allocs {
            names.share(&mut id);
            match row {
                Some(row) => self.allocs.rows.renew(nomad::alloc(&row, names)),
                None => self.allocs.rows.remove(&AllocId(id)),
            }
        }
        for (id, row) in glance.changes.evals {
            match row {
                Some(row) => self.blocked.rows.insert(id, nomad::blocked(&row)),
                None => self.blocked.rows.remove(&id),
            };
        }
        let blocked = self.blocked.seen(glance.evals, now);
        Sight {
            nodes: self.nodes.seen(glance.nodes, now),
            allocs: self.allocs.seen(glance.allocs, now),
            blocked: blocked.map(|rows| rows.into_values().collect()),
        }
    }
}

/// Has the wheel look at once when a node or a watched allocation stops serving.
pub fn waker(
    jobs: BTreeSet<String>,
    ours: &'static str,
    wake: Option<mpsc::Sender<()>>,
) -> Box<dyn Fn(&Event) + Send + Sync> {
    Box::new(move |event| {
        let node = event.payload.node.as_ref();
        let alloc = event.payload.allocation.as_ref();
        let away = node.is_some_and(|n| n.status == "down" || n.status == "disconnected")
            || alloc.is_some_and(|a| {
                (jobs.contains(&a.job_id) || a.job_id.starts_with(ours))
                    && matches!(a.client_status.as_str(), "failed" | "lost" | "unknown")
            });
        if let Some(wake) = wake.as_ref().filter(|_| away) {
            // A full channel has the wheel turning already.
            let _ = wake.try_send(());
        }
    })
}
