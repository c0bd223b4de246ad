//! Changes a view where it lies: a change costs what it says, not what the whole estate is. Pure.

use super::delta::{Misfit, Patch, apply};
use crate::engine::view::*;
use crate::model::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Cow;
use std::sync::Arc;

/// What a patch can change as if it were its own document.
pub trait Change: Serialize + DeserializeOwned {
    /// # Errors
    /// `Misfit` when the patch was made for something else; this is then of no use any more.
    fn change(&mut self, patch: &Patch) -> Result<(), Misfit> {
        whole(self, patch)
    }
}

/// By way of its document: for what is small, or seldom changes in part.
fn whole<T: Serialize + DeserializeOwned>(it: &mut T, patch: &Patch) -> Result<(), Misfit> {
    let misfit = |e: serde_json::Error| Misfit::of(&e);
    *it = match patch {
        Patch::Set(new) => T::deserialize(new).map_err(misfit)?,
        _ => {
            let mut document = serde_json::to_value(&*it).map_err(misfit)?;
            apply(&mut document, patch)?;
            T::deserialize(&document).map_err(misfit)?
        }
    };
    Ok(())
}

impl<T: Change> Change for Vec<T> {
    fn change(&mut self, patch: &Patch) -> Result<(), Misfit> {
        let Patch::Array(drop, changed, added) = patch else {
            return whole(self, patch);
        };
        if *drop > self.len() {
            return Err(Misfit::of("an array's front"));
        }
        self.drain(..drop);
        for (k, patch) in changed {
            let element = self.get_mut(*k).ok_or_else(|| Misfit::of("an element"))?;
            element.change(patch)?;
        }
        for new in added {
            self.push(T::deserialize(new).map_err(|e| Misfit::of(&e))?);
        }
        Ok(())
    }
}

impl<T: Change> Change for Option<T> {
    fn change(&mut self, patch: &Patch) -> Result<(), Misfit> {
        match (self, patch) {
            (Some(it), Patch::Object(..) | Patch::Array(..)) => it.change(patch),
            (it, patch) => whole(it, patch),
        }
    }
}

impl<T: Change + Clone> Change for Arc<T> {
    fn change(&mut self, patch: &Patch) -> Result<(), Misfit> {
        Arc::make_mut(self).change(patch)
    }
}

impl<T: Change + Clone> Change for Shared<T> {
    fn change(&mut self, patch: &Patch) -> Result<(), Misfit> {
        T::change(self, patch)
    }
}

impl Change for Arc<str> {
    fn change(&mut self, patch: &Patch) -> Result<(), Misfit> {
        whole(self, patch)
    }
}

/// Changed member by member. All members must stand here: one that is missing does not compile.
macro_rules! members {
    ($($type:ident { $($member:ident),+ $(,)? })+) => {$(
        impl Change for $type {
            fn change(&mut self, patch: &Patch) -> Result<(), Misfit> {
                let changed = match patch {
                    Patch::Object(changed, gone) if gone.is_empty() => changed,
                    other => return whole(self, other),
                };
                let $type { $($member),+ } = self;
                for (name, patch) in changed {
                    match name.as_str() {
                        $(stringify!($member) => $member.change(patch)?,)+
                        // A later version's: it is not known here.
                        _ => {}
                    }
                }
                Ok(())
            }
        }
    )+};
}

macro_rules! wholes {
    ($($type:ty),+ $(,)?) => { $(impl Change for $type {})+ };
}

members! {
    View {
        at, cycle, mode, hold, leader, epoch, following, blind, portions, sites, links, nodes, shadows, candidates, steps, waiting,
        hazards, outlook, readings, budgets, log, tally, coverage_80, reaction_ms, reactions, pages, preview, frozen,
    }
    PortionView {
        id, workload, groups, depends_on, front, health, sentence, not_shadowable, slo, traffic, instances, capacity, past,
        band, model, models, components, because, coverage_80, error, need, profiles, verdicts, known, calibration, moving,
        stairs, pinned,
    }
    Traffic { rate, success, samples, p50, p99, at_slo }
    InstanceView { alloc, job, node, site, role, ready, desired, observed, cpu, memory }
    PastPoint { at, rate, p99, success, forecast }
    BandPoint { at, low, mid, high }
    Stair { at, desired, observed, step, p99, success }
    SiteView { site, kind, nodes_up, nodes, capacity, reserved, used, hazard, reachable }
    NodeView {
        id, name, site, class, status, eligible, capacity, reserved, used, hazard, portions,
    }
    Resources { cpu, memory, disk, network }
    ShadowView { id, portion, site, class, state, since, verdict, judged, twin, along }
    CandidateView {
        portion, site, class, use_probability, wanted, chosen, unknown, age, own, borrowed, spread, cost, value, due_in,
        after,
    }
    StepView { id, verb, portion, cause, why, state }
    Waiting { what, why }
    ReadingView { what, age }
    Tally {
        portions, shadows, measurements, profiles, forecasts, preallocations, switchovers, failbacks, lessons, held, writes,
        writes_waited, decisions, holds,
    }
    Page { at, cycle, hold, blind, first_blind, rows, lines }
}

wholes! {
    bool, u64, usize, f64, String, Cow<'static, str>, (Cow<'static, str>, f64), (String, Moment), (f64, f64, f64),
    (Option<f64>, Option<f64>), std::collections::BTreeMap<String, u64>,
    std::collections::BTreeMap<String, std::collections::BTreeMap<String, u64>>,
    Moment, Span, Epoch, Share, Rps, Millis, Mhz, MiB, Mbps, Probability,
    PortionId, AllocId, JobId, NodeId, ShadowId, StepId, Site, NodeClass, ServiceName, Group,
    Mode, Health, NodeStatus, Cause, LogLine, PageRow, Preview, MoveView, OutlookView, BudgetView, Link, Hazard,
    Slo, Components, ResourceNeed, Profile, Judged, Known, Calibration, Following, ReactionCount,
}

/// Two copies of a view that take turns: one is shown while the other one takes in what has changed. So nothing is copied
/// unless somebody still looks at what was shown before.
pub struct Turns {
    shown: Arc<View>,
    other: Arc<View>,
    /// What the other copy has not taken in yet.
    missed: Vec<Patch>,
}

impl Turns {
    pub fn new(view: View) -> Turns {
        let shown = Arc::new(view);
        Turns {
            other: Arc::clone(&shown),
            shown,
            missed: Vec::new(),
        }
    }

    pub fn shown(&self) -> &Arc<View> {
        &self.shown
    }

    /// Takes in what changed, and shows it.
    ///
    /// # Errors
    /// `Misfit` when a patch was made for another view: then only a new snapshot helps.
    pub fn take(&mut self, patches: Vec<Patch>) -> Result<(), Misfit> {
        let view = Arc::make_mut(&mut self.other);
        for patch in self.missed.iter().chain(&patches) {
            view.change(patch)?;
        }
        std::mem::swap(&mut self.shown, &mut self.other);
        self.missed = patches;
        Ok(())
    }
}
