//! What was painted of a large estate before, while it still shows how things are: of many portions and nodes few differ from one
//! turn to the next.

use crate::engine::state::{State, Workload};
use crate::engine::view::{NodeView, OutlookView, PortionView, SiteView};
use crate::model::*;
use crate::planner::FRESH;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

/// However still its workload is, a portion is painted anew once in this time: what its instances use is not looked at before.
const LONGEST: Span = Span::secs(10);
/// Of more nodes than this, nodes, sites and hazards are painted anew no sooner than after a respite.
const FEW: usize = 1_000;
const RESPITE: Span = Span::secs(2);

/// Pictures that may be shown again. It is for faces alone: nothing is decided by it.
#[derive(Clone, Debug, Default)]
pub struct Gallery {
    portions: FxHashMap<PortionId, Painted>,
    outlooks: BTreeMap<String, (Moment, Shared<OutlookView>)>,
    ground: Option<Ground>,
}

#[derive(Clone, Debug)]
struct Painted {
    at: Moment,
    of: Sight,
    view: Shared<PortionView>,
}

/// What may differ in a portion while its workload stays as it was planned.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    traffic: Option<Traffic>,
    dns: Vec<Option<SharedList<SrvSeen>>>,
    origin: Option<SharedList<AllocId>>,
    /// Its last point of the past, with which forecasts are scored.
    past: Option<Moment>,
    /// When it was last worked out what is known of its places.
    known: Option<Moment>,
    pub(super) pinned: Option<String>,
}

/// Nodes, sites, and what may befall them.
#[derive(Clone, Debug)]
pub(super) struct Ground {
    pub(super) at: Moment,
    pub(super) nodes: SharedList<NodeView>,
    pub(super) sites: SharedList<SiteView>,
    pub(super) hazards: SharedList<Arc<Hazard>>,
}

impl Sight {
    pub(super) fn of(
        state: &State,
        workload: &Workload,
        world: &World,
        portion: &PortionPolicy,
        now: Moment,
    ) -> Sight {
        let traffic = world.traffic.get(&portion.id);
        let front = portion.front.as_ref().and_then(|f| world.fronts.get(f));
        let past = state.past.get(&portion.id);
        let dns = front.into_iter().flat_map(|f| f.dns.values());
        Sight {
            traffic: traffic.and_then(|t| t.fresh(now, FRESH)).copied(),
            dns: dns.map(|d| d.fresh(now, super::ASKED).cloned()).collect(),
            origin: front.and_then(|f| super::origin(f, now)).cloned(),
            past: past.and_then(|p| Some(p.back()?.at)),
            known: workload.known_from.map(|(at, _)| at),
            pinned: state.pins.get(&portion.id).cloned(),
        }
    }
}

impl Gallery {
    /// The portion of a workload that stayed as it was planned, if it still looks so.
    pub(super) fn shows(
        &self,
        portion: &PortionPolicy,
        of: &Sight,
        now: Moment,
    ) -> Option<Shared<PortionView>> {
        let painted = self.portions.get(&portion.id)?;
        let same = painted.of == *of && now.since(painted.at) < LONGEST;
        same.then(|| painted.view.clone())
    }

    pub(super) fn hang(&mut self, of: Sight, view: &Shared<PortionView>, at: Moment) {
        let view = view.clone();
        self.portions
            .insert(view.id.clone(), Painted { at, of, view });
    }

    /// A workload's futures: they stay until they are told anew.
    pub(super) fn outlook(&mut self, workload: &Workload) -> Shared<OutlookView> {
        let (name, at) = (&workload.policy.workload, workload.outlook.at);
        if let Some((of, view)) = self.outlooks.get(name)
            && *of == at
        {
            return view.clone();
        }
        let view = Shared::new(OutlookView::of(workload));
        self.outlooks.insert(name.clone(), (at, view.clone()));
        view
    }

    /// The ground as it was painted, or as it is painted now where that is due.
    pub(super) fn ground(
        &mut self,
        nodes: usize,
        now: Moment,
        paint: impl FnOnce() -> Ground,
    ) -> Ground {
        let due = |g: &Ground| nodes <= FEW || now.since(g.at) >= RESPITE || g.at > now;
        match &self.ground {
            Some(ground) if !due(ground) => ground.clone(),
            _ => self.ground.insert(paint()).clone(),
        }
    }
}
