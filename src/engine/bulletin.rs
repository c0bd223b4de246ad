//! What the leader decides and knows by hand, as those who follow it show it and whoever leads next goes on from it.

use super::command;
use super::pack;
use super::state::State;
use super::view::{Following, Health, LogLine, MoveView, PortionView, ShadowView, StepView, View};
use crate::model::*;
use crate::planner::{self, Book};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Lines of its log that the leader tells.
const LINES: usize = 60;

/// A portion as the leader sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    id: PortionId,
    health: Health,
    sentence: String,
    moving: Option<MoveView>,
    pinned: Option<String>,
}

/// A leader's cycle, without what any gateway sees by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bulletin {
    pub epoch: Epoch,
    /// By the leader's clock.
    pub at: Moment,
    portions: Vec<Told>,
    steps: Vec<StepView>,
    waiting: Vec<Shared<Waiting>>,
    shadows: Vec<ShadowView>,
    frozen: Option<(String, Moment)>,
    log: Vec<LogLine>,
    /// What people asked for.
    pins: BTreeMap<PortionId, String>,
    freezes: Vec<(String, Freeze)>,
    /// What planners remember, by workload, without what died with the leader's hands.
    books: BTreeMap<String, Book>,
}

/// A bulletin as a follower has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    pub bulletin: Arc<Bulletin>,
    /// When this one was first read here, and when it was last found to be the newest: no two clocks are compared.
    pub since: Moment,
    pub read: Moment,
    /// Why it could not be read since, if so.
    pub deaf: Option<String>,
}

impl Bulletin {
    pub fn of(state: &State, view: &View) -> Bulletin {
        let told = |p: &PortionView| Told {
            id: p.id.clone(),
            health: p.health,
            sentence: p.sentence.clone(),
            moving: p.moving.clone(),
            pinned: p.pinned.clone(),
        };
        let of_workload = |w: &super::Workload| (w.policy.workload.clone(), left(&w.book));
        let log = view.log.iter().rev().take(LINES).rev();
        Bulletin {
            epoch: view.epoch,
            at: view.at,
            portions: view.portions.iter().map(|p| told(p)).collect(),
            steps: view.steps.clone(),
            waiting: view.waiting.clone(),
            shadows: view.shadows.clone(),
            frozen: view.frozen.clone(),
            log: log.cloned().collect(),
            pins: state.pins.clone(),
            freezes: command::freezes_by_hand(state),
            books: state.workloads.iter().map(of_workload).collect(),
        }
    }

    /// Packed for Consul's KV, in `most` bytes: the log goes first where it is too much.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn packed(&self, most: usize) -> Result<Vec<u8>, String> {
        let whole = pack::pack(self)?;
        if whole.len() <= most {
            return Ok(whole);
        }
        let log = Vec::new();
        pack::pack(&Bulletin {
            log,
            ..self.clone()
        })
    }

    /// The same, but for figures: countdowns and times differ in each cycle.
    pub fn matter(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_default();
        text.chars().filter(|c| !c.is_ascii_digit()).collect()
    }
}

/// What another leader can go on from. Moves go on from the weights that are seen, shadows end with the hands that drove them, and
/// what each place is worth is worked out anew.
fn left(book: &Book) -> Book {
    Book {
        shadowed: book.shadowed.clone(),
        retreats: book.retreats.clone(),
        falls: book.falls.clone(),
        node_falls: book.node_falls.clone(),
        needed: book.needed.clone(),
        leaving: book.leaving.clone(),
        calm: book.calm.clone(),
        refused: book.refused.clone(),
        asked: book.asked.clone(),
        asked_shadows: book.asked_shadows.clone(),
        spent: book.spent,
        purse: book.purse,
        ..Book::default()
    }
}

/// A follower shows what the leader decides; what it sees by itself stays its own.
pub fn follow(view: &mut View, heard: &Heard) {
    let (bulletin, now) = (&heard.bulletin, view.at);
    let read = Span(now.since(heard.read).0.max(0));
    view.following = Some(Following {
        leader: view.leader.clone(),
        epoch: bulletin.epoch,
        at: bulletin.at,
        age: Span(now.since(heard.since).0.max(0)),
        read,
        deaf: heard.deaf.clone(),
        log: bulletin.log.clone(),
    });
    if let Some(why) = &heard.deaf {
        let s = read.0 / 1000;
        view.blind
            .push(format!("the leader's plan: last read {s} s ago: {why}"));
    }
    // Cut off, its own eyes are better than what the leader once said.
    if read > planner::FRESH {
        return;
    }
    view.steps.clone_from(&bulletin.steps);
    view.waiting.clone_from(&bulletin.waiting);
    view.shadows.clone_from(&bulletin.shadows);
    view.frozen.clone_from(&bulletin.frozen);
    let told: BTreeMap<&PortionId, &Told> = bulletin.portions.iter().map(|t| (&t.id, t)).collect();
    for portion in &mut view.portions {
        if let Some(told) = told.get(&portion.id) {
            portion.health = told.health;
            portion.sentence.clone_from(&told.sentence);
            portion.moving.clone_from(&told.moving);
            portion.pinned.clone_from(&told.pinned);
        }
    }
}

/// A new leader goes on from the last one's memory, where its own says nothing; what it took over, in a sentence.
pub fn succeed(state: &mut State, last: &Bulletin, now: Moment) -> Option<String> {
    let mut taken = 0;
    for (portion, who) in &last.pins {
        let known = state
            .workloads
            .iter()
            .any(|w| w.policy.portion(portion).is_some());
        if known && !state.pins.contains_key(portion) {
            state.pins.insert(portion.clone(), who.clone());
            taken += 1;
        }
    }
    for w in &mut state.workloads {
        let workload = &w.policy.workload;
        let theirs = last
            .freezes
            .iter()
            .filter(|(of, f)| of == workload && f.window.to > now);
        let theirs: Vec<Freeze> = theirs.map(|(_, f)| f.clone()).collect();
        for freeze in theirs {
            if !w.policy.freezes.contains(&freeze) {
                w.policy.freezes.push(freeze);
                taken += 1;
            }
        }
        if let Some(book) = last.books.get(&w.policy.workload) {
            taken += merge(&mut w.book, book);
        }
    }
    (taken > 0).then(|| {
        format!(
            "{} of the book of the leader of epoch {} taken over: what was asked for, fell, turned back or was spent",
            counted(taken, "entry"),
            last.epoch.0
        )
    })
}

/// Puts what is not known yet into a book; how much that was.
fn merge(own: &mut Book, last: &Book) -> usize {
    fn add<K: Ord + Clone, V: Clone>(own: &mut BTreeMap<K, V>, last: &BTreeMap<K, V>) -> usize {
        let before = own.len();
        for (key, value) in last {
            own.entry(key.clone()).or_insert_with(|| value.clone());
        }
        own.len() - before
    }
    let sets = (own.leaving.len(), own.asked_shadows.len());
    own.leaving.extend(last.leaving.iter().cloned());
    own.asked_shadows.extend(last.asked_shadows.iter().cloned());
    let newer = last.spent.at > own.spent.at;
    if newer {
        (own.spent, own.purse) = (last.spent, last.purse);
    }
    usize::from(newer)
        + (own.leaving.len() - sets.0)
        + (own.asked_shadows.len() - sets.1)
        + add(&mut own.shadowed, &last.shadowed)
        + add(&mut own.retreats, &last.retreats)
        + add(&mut own.falls, &last.falls)
        + add(&mut own.node_falls, &last.node_falls)
        + add(&mut own.needed, &last.needed)
        + add(&mut own.calm, &last.calm)
        + add(&mut own.refused, &last.refused)
        + add(&mut own.asked, &last.asked)
}

#[cfg(test)]
#[path = "bulletin_tests.rs"]
mod tests;
