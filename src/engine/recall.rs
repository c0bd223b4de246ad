//! What faces can look back at: shares of each side over time, the last move of each portion, and a page for each cycle
//! that changed something.

use super::state::{State, Workload, kept_each};
use super::view::{
    InstanceView, LogLine, MoveView, Page, PageRow, PortionView, Stair, StepView, View,
};
use crate::model::*;
use crate::planner::book::{Move, MoveKind};
use crate::store::StoredPage;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Points of shares kept of each portion.
const STAIRS: usize = 240;
/// Pages kept, and rows on all of them.
const PAGES: usize = 400;
const ROWS: usize = 4_000;
/// Readings older than this tell nothing of now.
const RECENT: Span = Span::secs(5);

/// What is kept for looking back. It is for faces alone: nothing is decided by it.
#[derive(Clone, Debug, Default)]
pub struct Recall {
    stairs: BTreeMap<PortionId, VecDeque<Stair>>,
    moves: BTreeMap<PortionId, MoveView>,
    pages: VecDeque<Arc<Page>>,
    rows: usize,
    /// The newest row of each portion.
    known: BTreeMap<PortionId, Arc<PageRow>>,
    /// The last line that stands on a page.
    seq: u64,
}

/// Notes portions at one turn, and puts what is kept of each into its view.
pub(super) struct Looking<'a> {
    recall: &'a mut Recall,
    readings: Recent<'a>,
    /// Points of shares that each keeps.
    most: usize,
    now: Moment,
}

impl Looking<'_> {
    pub(super) fn note(&mut self, of: &Workload, portion: &mut PortionView) {
        self.recall.moving(of, portion, self.now);
        self.recall
            .stair(&self.readings, portion, self.now, self.most);
    }
}

/// A page as the store keeps it.
///
/// # Errors
/// When it cannot be written as JSON.
pub(super) fn stored(page: &Page) -> serde_json::Result<StoredPage> {
    let row = |r: &Arc<PageRow>| Ok((r.id.clone(), serde_json::to_string(&**r)?));
    let bare = Page {
        rows: Vec::new(),
        ..page.clone()
    };
    Ok(StoredPage {
        at: page.at,
        json: serde_json::to_string(&bare)?,
        rows: page
            .rows
            .iter()
            .map(row)
            .collect::<serde_json::Result<_>>()?,
    })
}

impl Recall {
    /// What an earlier process left to look back at. Pages of a version that cannot be read are left out.
    pub(super) fn of(pages: &[StoredPage]) -> Recall {
        let read = |stored: &StoredPage| {
            let page: Page = serde_json::from_str(&stored.json).ok()?;
            let rows = stored.rows.iter();
            let rows = rows.filter_map(|(_, json)| serde_json::from_str(json).ok().map(Arc::new));
            let rows = rows.collect();
            Some(Arc::new(Page { rows, ..page }))
        };
        let pages: VecDeque<Arc<Page>> = pages.iter().filter_map(read).collect();
        Recall {
            rows: pages.iter().map(|p| p.rows.len()).sum(),
            pages,
            ..Recall::default()
        }
    }

    /// What is left of it when its process is gone and another one begins: the pages, as the store has them.
    pub(super) fn kept(self) -> Recall {
        Recall {
            pages: self.pages,
            rows: self.rows,
            ..Recall::default()
        }
    }

    /// Begins to note so many portions.
    pub(super) fn look<'a>(
        &'a mut self,
        world: &'a World,
        portions: usize,
        now: Moment,
    ) -> Looking<'a> {
        Looking {
            recall: self,
            readings: recent(world, now),
            most: kept_each(STAIRS, portions),
            now,
        }
    }

    /// The move under way, or the last one with its end.
    fn moving(&mut self, w: &Workload, portion: &mut PortionView, now: Moment) {
        let found = portion.front.as_ref();
        match found.and_then(|front| w.book.moves.get(front)) {
            Some(mv) => {
                let what = format!(
                    "move of {}",
                    portion
                        .front
                        .as_ref()
                        .map_or("", |f: &ServiceName| f.as_str())
                );
                let waiting = w.plan.iter().flat_map(|p| &p.waiting);
                let mut waits = waiting.filter(|x| x.what == what).map(|x| x.why.clone());
                let shown = shown(mv, &w.policy.ramp, portion, waits.next());
                self.moves.insert(portion.id.clone(), shown);
            }
            None => {
                if let Some(last) = self.moves.get_mut(&portion.id)
                    && last.ended.is_none()
                {
                    end(last, portion, now);
                }
            }
        }
        portion.moving = self.moves.get(&portion.id).cloned();
    }

    fn stair(&mut self, readings: &Recent, portion: &mut PortionView, now: Moment, most: usize) {
        let all = self.stairs.entry(portion.id.clone()).or_default();
        if portion.front.is_some() {
            let stair = stair(readings, portion, now);
            // What lies between two alike points says nothing.
            let alike = |a: &Stair, b: &Stair| Stair { at: a.at, ..*b } == *a;
            let n = all.len();
            if n >= 2 && alike(&all[n - 1], &stair) && alike(&all[n - 2], &stair) {
                all[n - 1].at = now;
            } else {
                all.push_back(stair);
            }
            while all.len() > most {
                all.pop_front();
            }
        }
        portion.stairs = all.iter().copied().collect();
    }

    /// Adds a page when something was said or some portion stands otherwise than before; those that were not painted afresh do
    /// not. All pages that are kept.
    pub(super) fn turn(
        &mut self,
        state: &State,
        view: &View,
        fresh: &FxHashSet<PortionId>,
    ) -> Vec<Arc<Page>> {
        let new = state.log.iter().rev().take_while(|l| l.seq > self.seq);
        let mut lines: Vec<_> = new.cloned().collect();
        lines.reverse();
        self.seq = state.seq;
        let told: BTreeSet<&PortionId> = lines.iter().filter_map(|l| l.portion.as_ref()).collect();
        let differs = |p: &PortionView| self.known.get(&p.id).is_none_or(|k| otherwise(k, p));
        let moved = |p: &&Shared<PortionView>| {
            told.contains(&p.id) || (fresh.contains(&p.id) && differs(p))
        };
        let rows: Vec<Arc<PageRow>> = view
            .portions
            .iter()
            .filter(moved)
            .map(|p| Arc::new(row(p)))
            .collect();
        if !rows.is_empty() || !lines.is_empty() {
            self.add(view, rows, lines);
        }
        self.pages.iter().cloned().collect()
    }

    fn add(&mut self, view: &View, rows: Vec<Arc<PageRow>>, lines: Vec<LogLine>) {
        // A clock that was set back does not leave two pasts.
        while self.pages.back().is_some_and(|p| p.at >= view.at) {
            let gone = self.pages.pop_back();
            self.rows -= gone.map_or(0, |p| p.rows.len());
        }
        for r in &rows {
            self.known.insert(r.id.clone(), r.clone());
        }
        self.rows += rows.len();
        self.pages.push_back(Arc::new(Page {
            at: view.at,
            cycle: view.cycle,
            hold: view.hold.is_some(),
            blind: view.blind.len(),
            first_blind: view.blind.first().cloned(),
            rows,
            lines,
        }));
        while self.pages.len() > PAGES || (self.rows > ROWS && self.pages.len() > 2) {
            self.drop_oldest();
        }
    }

    /// What only the oldest page knew is carried over to the next.
    fn drop_oldest(&mut self) {
        let (Some(old), Some(next)) = (self.pages.pop_front(), self.pages.front_mut()) else {
            return;
        };
        let next = Arc::make_mut(next);
        let before = old.rows.len() + next.rows.len();
        let newer: BTreeSet<&PortionId> = next.rows.iter().map(|r| &r.id).collect();
        let lost = old.rows.iter().filter(|o| !newer.contains(&o.id));
        let lost: Vec<Arc<PageRow>> = lost.cloned().collect();
        next.rows.extend(lost);
        self.rows = self.rows + next.rows.len() - before;
    }
}

fn shown(mv: &Move, ramp: &Ramp, portion: &PortionView, waits: Option<String>) -> MoveView {
    let standbys = |shares: &BTreeMap<AllocId, Share>| {
        let own = portion.instances.iter().filter(|i| i.role == "standby");
        Share(own.filter_map(|i| shares.get(&i.alloc)).map(|s| s.0).sum())
    };
    MoveView {
        kind: match mv.kind {
            MoveKind::Surge => "surge",
            MoveKind::Drain => "drain",
            MoveKind::Emergency => "emergency",
            MoveKind::Failback => "failback",
            MoveKind::Retreat => "retreat",
            MoveKind::Asked => "asked for",
            MoveKind::Kept => "kept",
        }
        .into(),
        cause: mv.cause,
        why: mv.why.clone(),
        from: standbys(&mv.from),
        to: standbys(&mv.to),
        steps: mv.steps.clone(),
        done: mv.done,
        since: mv.since,
        verified: mv.verified,
        soak: ramp.soak,
        min_samples: ramp.min_samples,
        waits,
        ended: None,
    }
}

/// It is over: gone all the way where what it led to is asked for now.
fn end(mv: &mut MoveView, portion: &PortionView, now: Moment) {
    mv.ended = Some(now);
    mv.waits = None;
    let standbys = portion.instances.iter().filter(|i| i.role == "standby");
    if standbys.map(|i| i.desired.0).sum::<u32>() == mv.to.0 {
        mv.done = mv.steps.len();
    }
}

/// Readings of each instance that tell of now.
type Recent<'a> = FxHashMap<&'a AllocId, Vec<&'a Reading>>;

fn recent(world: &World, now: Moment) -> Recent<'_> {
    let mut recent = Recent::default();
    for reading in &world.readings {
        if let Some(instance) = reading.instance.as_ref()
            && now.since(reading.at) <= RECENT
        {
            recent.entry(instance).or_default().push(reading);
        }
    }
    recent
}

fn stair(readings: &Recent, portion: &PortionView, now: Moment) -> Stair {
    let standby = |i: &&super::view::InstanceView| i.role == "standby";
    let standbys = || portion.instances.iter().filter(standby);
    let seen = portion.instances.iter().any(|i| i.observed.is_some());
    let sum = || standbys().filter_map(|i| i.observed).map(|s| s.0).sum();
    let side = |standby: bool| {
        let mut all = Latencies::default();
        let own = portion.instances.iter();
        let own = own.filter(|i| (i.role == "standby") == standby);
        for reading in own.filter_map(|i| readings.get(&i.alloc)).flatten() {
            all.add(&reading.latencies);
        }
        let n = all.requests();
        (
            quantile(&all, 0.99),
            (n > 0).then(|| 1.0 - all.failed as f64 / n as f64),
        )
    };
    let (old, new) = (side(false), side(true));
    Stair {
        at: now,
        desired: Share(standbys().map(|i| i.desired.0).sum()),
        observed: seen.then(|| Share(sum())),
        step: portion
            .moving
            .as_ref()
            .filter(|m| m.ended.is_none())
            .map(|m| m.done),
        p99: (old.0, new.0),
        success: (old.1, new.1),
    }
}

/// The upper bound of the bucket in which the quantile lies, in ms.
fn quantile(of: &Latencies, q: f64) -> Option<f64> {
    let all: u64 = of.buckets.iter().map(|b| b.1).sum();
    let wanted = (all as f64 * q).ceil().max(1.0) as u64;
    let mut seen = 0;
    let mut reached = of.buckets.iter().filter(|b| {
        seen += b.1;
        seen >= wanted
    });
    reached.next().map(|b| b.0.0)
}

fn row(p: &PortionView) -> PageRow {
    let traffic = p.traffic.as_ref();
    PageRow {
        id: p.id.clone(),
        health: p.health,
        sentence: p.sentence.clone(),
        rate: traffic.map(|t| t.rate.0),
        p99: traffic.map(|t| t.p99.0),
        success: traffic.map(|t| t.success),
        foreseen: p.band.iter().map(|b| b.high).reduce(f64::max),
        capacity: p.capacity.map(|c| c.0),
        shares: carrying(p)
            .map(|i| {
                (
                    i.node.to_string(),
                    i.role.to_string(),
                    i.desired,
                    i.observed,
                )
            })
            .collect(),
    }
}

/// Whether a portion stands otherwise than was known: its numbers alone may change at any time.
fn otherwise(known: &PageRow, now: &PortionView) -> bool {
    let was = known
        .shares
        .iter()
        .map(|(node, _, d, _)| (node.as_str(), *d));
    let is = carrying(now).map(|i| (&*i.node, i.desired));
    known.health != now.health || !was.eq(is)
}

/// Its instances that have a share, or should have one.
fn carrying(p: &PortionView) -> impl Iterator<Item = &InstanceView> {
    let carries =
        |i: &&InstanceView| i.desired > Share::NONE || i.observed.is_some_and(|o| o > Share::NONE);
    p.instances.iter().filter(carries)
}

/// A plan's steps as faces see them, with what the guard says of those that it holds.
pub(super) fn drafted(state: &State) -> Vec<StepView> {
    let plans = state.workloads.iter().filter_map(|w| w.plan.as_ref());
    plans
        .flat_map(|p| &p.steps)
        .map(|s| StepView {
            id: s.id.clone(),
            verb: s.action.verb().to_string(),
            portion: s.portion.clone(),
            cause: s.cause,
            why: s.why.clone(),
            state: state
                .held
                .iter()
                .find(|(h, _)| h.id == s.id)
                .map_or_else(|| "would be done".into(), |(_, why)| format!("held: {why}")),
        })
        .collect()
}

#[cfg(test)]
#[path = "recall_tests.rs"]
mod tests;
