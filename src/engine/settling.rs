//! Closes what died in the middle: our own steps after a restart, those of earlier leaders once the lock is ours.

use super::recover::{inherited, recover};
use super::state::State;
use super::view::LogKind;
use crate::act::SharedJournal;
use crate::model::*;
use crate::store::Store;
use std::collections::BTreeSet;
use std::time::Duration;

/// Consul is given this long; what does not come is asked for at the next look.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How far it has come.
#[derive(Debug, Default)]
pub struct Settling {
    /// Nothing of our own from before is open any more.
    own: bool,
    term: Option<Term>,
}

/// One leadership of ours.
#[derive(Clone, Copy, Debug)]
struct Term {
    epoch: Epoch,
    since: Moment,
    /// Nothing of earlier ones is open any more.
    done: bool,
}

impl Settling {
    /// To be told before each look whether we lead: what is seen from then on shows all that earlier leaders did.
    pub fn leads(&mut self, epoch: Option<Epoch>, now: Moment) {
        if self.term.map(|t| t.epoch) != epoch {
            self.term = epoch.map(|epoch| Term {
                epoch,
                since: now,
                done: false,
            });
        }
    }

    /// Settles what the world tells of; the rest stays open for the next look.
    pub async fn settle(
        &mut self,
        store: &Store,
        shared: Option<&SharedJournal>,
        state: &mut State,
        world: &World,
        now: Moment,
    ) {
        if !self.own {
            let settled = own(store, state, world, now);
            self.own = said(settled, "journal", state, now);
        }
        let term = self
            .term
            .filter(|t| !t.done && state.epoch == Some(t.epoch));
        if let (Some(term), Some(shared)) = (term, shared) {
            let all = left(store, shared, state, world, (term, now));
            let settled = tokio::time::timeout(PATIENCE, all).await;
            let late = || Err(format!("Consul's journal did not come within {PATIENCE:?}"));
            let done = said(
                settled.unwrap_or_else(|_| late()),
                "shared journal",
                state,
                now,
            );
            self.term = Some(Term { done, ..term });
        }
    }
}

/// Whether nothing is open any more; what went wrong is told once.
fn said(settled: Result<bool, String>, topic: &str, state: &mut State, now: Moment) -> bool {
    settled.unwrap_or_else(|why| {
        state.say_once(topic, now, LogKind::Notice, None, why);
        false
    })
}

fn own(store: &Store, state: &mut State, world: &World, now: Moment) -> Result<bool, String> {
    let open = store.open_steps().map_err(|e| e.to_string())?;
    let closed = recover(&open, world, now);
    write(store, state, &closed, now)?;
    Ok(closed.len() == open.len())
}

async fn left(
    store: &Store,
    shared: &SharedJournal,
    state: &mut State,
    world: &World,
    (term, now): (Term, Moment),
) -> Result<bool, String> {
    let left = shared.left(term.epoch).await?;
    for key in &left.unread {
        let text = format!("{key} in Consul's KV is no journal entry of this version: it was left");
        state.say_once(key, now, LogKind::Notice, None, text);
    }
    // A step that was begun here before the lock was lost and won again still has its hand.
    let books = state.workloads.iter().map(|w| &w.book.inflight);
    let ours: BTreeSet<&StepId> = books.flat_map(|steps| steps.keys()).collect();
    let open = left.open.iter();
    let dead: Vec<JournalEntry> = open
        .filter(|e| !ours.contains(&e.step.id))
        .cloned()
        .collect();
    let closed = inherited(&dead, world, term.since, now);
    write(store, state, &closed, now)?;
    shared.close(&closed).await?;
    Ok(closed.len() == left.open.len())
}

fn write(
    store: &Store,
    state: &mut State,
    closed: &[JournalEntry],
    now: Moment,
) -> Result<(), String> {
    for entry in closed {
        store.journal(entry).map_err(|e| e.to_string())?;
        let text = format!("{}: {}", entry.step.action.verb(), entry.note);
        state.say(
            now,
            LogKind::Notice,
            Some(entry.step.cause),
            entry.step.portion.as_ref(),
            text,
        );
    }
    Ok(())
}
