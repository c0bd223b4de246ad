//! Carries a leader's notes to Consul's KV, and reads them for those who follow: beside the wheel, which waits for none of it.

use super::bulletin::{self, Bulletin, Heard};
use super::heritage::{self, Heritage};
use super::state::State;
use super::view::{LogKind, View};
use super::{clock, pack};
use crate::act;
use crate::model::*;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A bulletin that says something else is posted no sooner than this after the one before; one that says the same, so often.
const SOON: Span = Span::secs(2);
const BEAT: Span = Span::secs(30);
/// Beliefs are posted no sooner than this after those before.
const LESSON: Span = Span::secs(10);
/// A follower looks so often, at least.
const OFTEN: Span = Span::secs(5);
/// Consul is given this long.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// What the wheel gives to be posted.
#[derive(Clone, Debug, Default)]
struct Mail {
    bulletin: Option<Arc<Bulletin>>,
    beliefs: Option<Arc<Beliefs>>,
}

/// The wheel's end: what it tells, and what it has heard.
pub struct Desk {
    mail: watch::Sender<Mail>,
    heard: watch::Receiver<Option<Heard>>,
    left: watch::Receiver<Option<Arc<Heritage>>>,
    /// The epoch of ours under which we went on from the last leader's memory.
    succeeded: Option<Epoch>,
    /// Of the beliefs that were given last.
    mark: Option<heritage::Mark>,
}

/// The other end, which waits for Consul.
pub struct Carrier {
    notes: act::Notes,
    mail: watch::Receiver<Mail>,
    heard: watch::Sender<Option<Heard>>,
    left: watch::Sender<Option<Arc<Heritage>>>,
    /// Whether beliefs were read, and under which epoch of ours.
    read: Option<Option<Epoch>>,
    /// ModifyIndex of the bulletin that was read last; 0 where there was none.
    index: Option<u64>,
    /// What was posted last, and when.
    posted: Option<(String, Moment)>,
    taught: Option<(Arc<Beliefs>, Moment)>,
    /// What was told of a failure last.
    told: String,
}

/// Both ends of a new desk.
pub fn desk(notes: act::Notes) -> (Desk, Carrier) {
    let (mail_in, mail) = watch::channel(Mail::default());
    let (heard_in, heard) = watch::channel(None);
    let (left_in, left) = watch::channel(None);
    let desk = Desk {
        mail: mail_in,
        heard,
        left,
        succeeded: None,
        mark: None,
    };
    let carrier = Carrier {
        notes,
        mail,
        heard: heard_in,
        left: left_in,
        read: None,
        index: None,
        posted: None,
        taught: None,
        told: String::new(),
    };
    (desk, carrier)
}

impl Desk {
    /// Before a turn: what earlier leaders learnt is believed, and a new leader goes on from the last one's memory.
    pub fn before(&mut self, state: &mut State, now: Moment) {
        if self.left.has_changed().unwrap_or(false) {
            let left = self.left.borrow_and_update().clone();
            // What is believed then is told, whether or not it is news here.
            self.mark = None;
            let taken = left.and_then(|left| heritage::inherit(state, &left));
            taken
                .into_iter()
                .for_each(|text| state.say(now, LogKind::Notice, None, None, text));
        }
        let Some(epoch) = state.epoch.filter(|e| self.succeeded != Some(*e)) else {
            return;
        };
        let Some(last) = self.heard.borrow().as_ref().map(|h| h.bulletin.clone()) else {
            return;
        };
        self.succeeded = Some(epoch);
        if last.epoch < epoch
            && let Some(text) = bulletin::succeed(state, &last, now)
        {
            state.say(now, LogKind::Notice, None, None, text);
        }
    }

    /// After a turn: a leader tells, a follower shows what it heard. While the hold is set nothing is written.
    pub fn after(&mut self, state: &State, view: &mut View) {
        if state.epoch.is_none() {
            if let Some(heard) = self.heard.borrow().as_ref() {
                bulletin::follow(view, heard);
            }
            return;
        }
        if view.hold.is_some() {
            return;
        }
        let mark = heritage::mark(&state.beliefs);
        // Who has learnt nothing yet has nothing to leave.
        let news = self.mark.as_ref() != Some(&mark) && mark != heritage::Mark::default();
        let beliefs = news.then(|| Arc::new(state.beliefs.clone()));
        self.mark = Some(mark);
        let bulletin = Some(Arc::new(Bulletin::of(state, view)));
        self.mail.send_modify(|mail| {
            mail.bulletin = bulletin;
            mail.beliefs = beliefs.or(mail.beliefs.take());
        });
    }
}

impl Carrier {
    /// Reads and posts until cancelled.
    pub async fn carry(mut self, every: Span, cancel: CancellationToken) {
        let mut ticks = clock::ticks(every.min(OFTEN));
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = ticks.tick() => {}
                Ok(()) = self.mail.changed() => {}
            }
            let turned = tokio::time::timeout(PATIENCE, self.turn()).await;
            let turned = turned.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")));
            match turned {
                Ok(()) => self.told.clear(),
                Err(why) => self.failed(why),
            }
        }
    }

    /// Says what went wrong once, and lets those who show the last bulletin say so.
    fn failed(&mut self, why: String) {
        if self.told != why {
            tracing::warn!("a leader's notes in Consul's KV: {why}");
        }
        self.heard.send_if_modified(|heard| {
            let heard = heard.as_mut().filter(|h| h.deaf.as_ref() != Some(&why));
            heard.map(|h| h.deaf = Some(why.clone())).is_some()
        });
        self.told = why;
    }

    async fn turn(&mut self) -> Result<(), String> {
        let epoch = self.notes.epoch();
        let unread = self.read.is_none() || (epoch.is_some() && self.read != Some(epoch));
        if unread {
            let learnt = self.learn().await?;
            self.read = Some(epoch);
            if learnt {
                // What the wheel believed before it heard of this is not to take its place; it tells again.
                let before = self.mail.borrow().beliefs.clone();
                self.taught = before.map(|b| (b, clock::now()));
            }
        }
        // Who leads has heard the last leader before it says a word.
        if epoch.is_none() || self.index.is_none() {
            self.hear().await?;
        }
        match epoch {
            Some(epoch) => self.post(epoch).await,
            None => Ok(()),
        }
    }

    /// Hands on what earlier leaders left, if they left something.
    async fn learn(&mut self) -> Result<bool, String> {
        let Some(note) = self.notes.read(keys::BELIEFS).await? else {
            return Ok(false);
        };
        // One of another version is no help, and no hindrance.
        let left = pack::unpack::<Heritage>(&note.bytes).ok();
        let found = left.is_some();
        if found {
            self.left.send_replace(left.map(Arc::new));
        }
        Ok(found)
    }

    async fn hear(&mut self) -> Result<(), String> {
        let note = self.notes.read(keys::BULLETIN).await?;
        let (now, before) = (clock::now(), self.index);
        self.index = Some(note.as_ref().map_or(0, |n| n.index));
        let new = note.filter(|n| before != Some(n.index));
        let new = new.and_then(|n| pack::unpack::<Bulletin>(&n.bytes).ok());
        self.heard.send_modify(|heard| match (new, heard) {
            (Some(bulletin), heard) => {
                *heard = Some(Heard {
                    bulletin: Arc::new(bulletin),
                    since: now,
                    read: now,
                    deaf: None,
                });
            }
            (None, Some(heard)) => (heard.read, heard.deaf) = (now, None),
            (None, None) => {}
        });
        Ok(())
    }

    async fn post(&mut self, epoch: Epoch) -> Result<(), String> {
        let Mail { bulletin, beliefs } = self.mail.borrow_and_update().clone();
        let now = clock::now();
        if let Some(bulletin) = bulletin.filter(|b| b.epoch == epoch) {
            let matter = bulletin.matter();
            let due = self.posted.as_ref().is_none_or(|(last, at)| {
                now.since(*at) >= if *last == matter { BEAT } else { SOON }
            });
            if due {
                let bytes = bulletin.packed(act::LARGEST_NOTE)?;
                self.notes.post(epoch, keys::BULLETIN, bytes).await?;
                self.posted = Some((matter, now));
            }
        }
        let Some(beliefs) = beliefs else {
            return Ok(());
        };
        let due = self
            .taught
            .as_ref()
            .is_none_or(|(last, at)| !Arc::ptr_eq(last, &beliefs) && now.since(*at) >= LESSON);
        if due {
            let bytes = heritage::packed(&beliefs, act::LARGEST_NOTE)?;
            self.notes.post(epoch, keys::BELIEFS, bytes).await?;
            self.taught = Some((beliefs, now));
        }
        Ok(())
    }
}
