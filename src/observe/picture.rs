//! The picture of Nomad's cluster as nouns of the model: only what changed is turned into them again.

use super::nomad;
use crate::clients::nomad::Event;
use crate::clients::nomad::picture::{Glance, Proof};
use crate::model::*;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::mpsc;

/// Rows by ID, and when they were last known to be all there is.
struct Rows<T> {
    by_id: BTreeMap<String, T>,
    proved: Option<Moment>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Rows {
            by_id: BTreeMap::new(),
            proved: None,
        }
    }
}

impl<T: Clone> Rows<T> {
    fn take<R>(&mut self, changes: Vec<(String, Option<R>)>, noun: impl Fn(&R) -> T) {
        for (id, row) in changes {
            match row {
                Some(row) => self.by_id.insert(id, noun(&row)),
                None => self.by_id.remove(&id),
            };
        }
    }

    fn seen(&mut self, proof: Proof, now: Moment) -> Seen<Vec<T>> {
        let at = match proof {
            Proof::Unknown(why) => return Seen::unknown(why),
            Proof::Current => now,
            Proof::Older => match self.proved {
                Some(at) => at,
                None => return Seen::unknown("Nomad's lists were not read whole yet"),
            },
        };
        self.proved = Some(at);
        Seen::known(self.by_id.values().cloned().collect(), at)
    }
}

/// What a look sees of the cluster, from one moment of the picture.
pub struct Sight {
    pub nodes: Seen<Vec<Node>>,
    pub allocs: Seen<Vec<Alloc>>,
    pub blocked: Seen<Vec<Blocked>>,
}

/// The picture in the model's nouns.
#[derive(Default)]
pub struct Mirror {
    nodes: Rows<Node>,
    allocs: Rows<Alloc>,
    blocked: Rows<Blocked>,
}

impl Mirror {
    pub fn take(&mut self, glance: Glance, now: Moment) -> Sight {
        self.nodes.take(glance.changes.nodes, |n| nomad::node(n));
        self.allocs.take(glance.changes.allocs, |a| nomad::alloc(a));
        self.blocked
            .take(glance.changes.evals, |e| nomad::blocked(e));
        Sight {
            nodes: self.nodes.seen(glance.nodes, now),
            allocs: self.allocs.seen(glance.allocs, now),
            blocked: self.blocked.seen(glance.evals, now),
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
