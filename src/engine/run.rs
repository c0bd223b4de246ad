//! The async shell around the pure cycle: it looks, turns, hands on, and keeps what must be kept.

use super::notes::Desk;
use super::recall::stored;
use super::state::State;
use super::turn::Turn;
use super::view::{Command, LogKind, Mode, Page, View};
use super::{Rules, Settling, absorb, adopt, ask, clock, cycle, preview};
use crate::act::SharedJournal;
use crate::guard::{Hands, Lease};
use crate::model::*;
use crate::store::{self, Store};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the hands may take to bring a step to its end when the house is closed.
const DRAIN: Duration = Duration::from_secs(5);

/// What waits for the write budget is looked at again so soon.
const HURRY: Span = Span::millis(500);

/// Makes the eyes for policies.
pub type OpenEyes = Box<dyn Fn(&Rules) -> Arc<dyn Eyes> + Send + Sync>;

/// Filters the log from now on, or as at the start; why not, if it cannot.
pub type Tune = Arc<dyn Fn(Option<&LogFilter>) -> Result<(), String> + Send + Sync>;

/// What the engine is given to look and act with.
pub struct Shell {
    pub eyes: Arc<dyn Eyes>,
    /// Policies, as they are read again …
    pub rules: watch::Receiver<Rules>,
    /// … and the eyes for them.
    pub open_eyes: OpenEyes,
    pub hands: Arc<dyn Hands>,
    pub store: Arc<Store>,
    /// Open steps of all gateways; nobody's without the right to act.
    pub shared: Option<Arc<SharedJournal>>,
    /// What leaders leave for each other and for those who follow; nobody's without the right to act.
    pub notes: Option<Desk>,
    /// Our right to act, renewed by whoever keeps the lock.
    pub leases: watch::Receiver<Option<Arc<Lease>>>,
    /// Something changed: look now rather than at the next tick.
    pub wake: mpsc::Receiver<()>,
    pub commands: mpsc::Receiver<Command>,
    /// Asks whoever read the policies to read them again.
    pub reload: mpsc::Sender<()>,
    /// Filters the log.
    pub tune: Tune,
    /// Sets or clears `foreshadow/hold`.
    pub hold: Box<dyn Fn(bool) -> Later<'static, Result<(), String>> + Send + Sync>,
    pub every: Span,
    pub clock: fn() -> Moment,
    pub seed: u64,
    /// The other end of `wake`: it stays open as long as the shell.
    pub waker: mpsc::Sender<()>,
}

/// Turns until cancelled; then lets running steps come to their end. Weights stay as they are.
pub async fn run(
    mut shell: Shell,
    mut state: State,
    views: watch::Sender<Arc<View>>,
    cancel: CancellationToken,
) -> State {
    let mut dice = clock::dice(shell.seed);
    let mut ticks = clock::ticks(shell.every);
    let mut hurry = clock::ticks(HURRY);
    let mut work: JoinSet<Outcome> = JoinSet::new();
    let mut settling = Settling::default();
    let mut tidied = Moment::default();
    // What was seen last: previews are planned over it.
    let mut seen: Option<World> = None;
    loop {
        let mut looked = false;
        tokio::select! {
            biased;
            () = cancel.cancelled() => break,
            Some(done) = work.join_next(), if !work.is_empty() => match done {
                Ok(outcome) => absorb(&mut state, outcome),
                Err(e) => state.say((shell.clock)(), LogKind::Notice, None, None, format!("a step's hand was lost: {e}")),
            },
            Some(command) = shell.commands.recv() => {
                let asked = (command, seen.as_ref());
                command_in(&shell, &mut state, asked, &dice, &views).await;
            }
            Ok(()) = shell.rules.changed() => read_again(&mut shell, &mut state).await,
            Some(()) = shell.wake.recv() => looked = true,
            _ = ticks.tick() => looked = true,
            _ = hurry.tick(), if state.writes.waiting > 0 => looked = true,
        }
        if !looked {
            continue;
        }
        let mut turn = Turn::begin();
        let before = (shell.clock)();
        let since = leading(&shell, before).map(|l| l.epoch());
        settling.leads(since, before);
        let mut world = shell.eyes.look(before).await;
        let now = (shell.clock)();
        let lease = leading(&shell, now);
        state.epoch = lease.as_ref().map(|l| l.epoch());
        if let Some(epoch) = state.epoch {
            world.leadership = Seen::known(Leadership::Ours { epoch }, now);
        }
        let (store, shared) = (&shell.store, shell.shared.as_deref());
        settling
            .settle(store, shared, &mut state, &world, now)
            .await;
        if let Some(notes) = &mut shell.notes {
            notes.before(&mut state, now);
        }
        turn.part("look");
        let (next, steps, mut view) = cycle(state, &world, now, &mut dice);
        state = next;
        turn.part("plan");
        if let Some(lease) = lease {
            for step in steps {
                let (hands, lease) = (shell.hands.clone(), lease.clone());
                work.spawn(async move { hands.apply(step, &lease).await });
            }
        }
        seen = Some(world);
        let page = turned(&view);
        keep(&shell.store, &mut state, page, now).await;
        if let Some(notes) = &mut shell.notes {
            notes.after(&state, &mut view);
        }
        if now.since(tidied) >= shell.store.compact_every() {
            tidied = now;
            tidy(shell.store.clone(), now);
        }
        views.send_replace(Arc::new(view));
        turn.part("keep");
        turn.end();
    }
    drain(&shell, &mut state, work).await;
    state
}

/// Takes new policies over. Eyes that look for something else have no memory: rates are known again after two looks.
async fn read_again(shell: &mut Shell, state: &mut State) {
    let rules = shell.rules.borrow_and_update().clone();
    let now = (shell.clock)();
    let changed = adopt(state, &rules, now);
    if changed.looked_at {
        shell.eyes = (shell.open_eyes)(&rules);
    }
    if changed.history {
        let (store, policies) = (shell.store.clone(), rules.policies.clone());
        let read = tokio::task::spawn_blocking(move || store.histories(&policies, now)).await;
        match read {
            Ok(Ok(history)) => state.history = history,
            Ok(Err(e)) => state.say(now, LogKind::Notice, None, None, e.to_string()),
            Err(e) => state.say(
                now,
                LogKind::Notice,
                None,
                None,
                format!("the store's hand was lost: {e}"),
            ),
        }
    }
}

fn leading(shell: &Shell, now: Moment) -> Option<Arc<Lease>> {
    let lease = shell.leases.borrow().clone();
    lease.filter(|l| l.left(now).is_some())
}

async fn command_in(
    shell: &Shell,
    state: &mut State,
    (command, seen): (Command, Option<&World>),
    dice: &clock::Dice,
    views: &watch::Sender<Arc<View>>,
) {
    let now = (shell.clock)();
    let bare = command.bare();
    if let (Command::Preview { of }, Some(world)) = (bare, seen) {
        let shown = preview(state, (**of).clone(), world, now, &mut dice.clone());
        state.preview = Some(shown.clone());
        return views.send_modify(|view| Arc::make_mut(view).preview = Some(shown));
    }
    if let Command::Hold { on } = *bare
        && let Err(why) = (shell.hold)(on).await
    {
        return state.say(
            now,
            LogKind::Notice,
            None,
            None,
            format!("hold could not be written: {why}"),
        );
    }
    if let Command::LogLevel { filter } = bare
        && let Err(why) = (shell.tune)(filter.as_ref())
    {
        let text = format!("the log is filtered as it was: {why}");
        return state.say(now, LogKind::Notice, None, None, text);
    }
    let reads = *bare == Command::Reload;
    let elsewhere = leads_elsewhere(state, bare, &views.borrow());
    ask(state, command, now);
    if let Some(text) = elsewhere {
        state.say(now, LogKind::Notice, None, None, text);
    }
    if reads && shell.reload.try_send(()).is_err() {
        let text = "nobody reads policies again here: start foreshadow anew";
        state.say(now, LogKind::Notice, None, None, text);
    }
}

/// What a person is told who asks a follower for what the leader alone plans.
fn leads_elsewhere(state: &State, asked: &Command, view: &View) -> Option<String> {
    let here = matches!(
        asked,
        Command::Hold { .. } | Command::Reload | Command::LogLevel { .. }
    );
    let follows = state.mode == Mode::Act && state.epoch.is_none();
    (follows && !here).then(|| {
        let leader = &view.leader;
        format!("this foreshadow does not lead ({leader} does): what was asked for counts once it leads; ask the leader")
    })
}

/// A page that was added, and when the oldest one that is kept was.
type Turned = (Arc<Page>, Moment);

/// The page that this cycle added to its view, if it did.
fn turned(view: &View) -> Option<Turned> {
    let last = view.pages.last().filter(|p| p.at == view.at)?;
    Some((last.clone(), view.pages.first()?.at))
}

/// A store that cannot be written holds nothing up; it is said, and what was to be kept is tried again. The disk is waited
/// for beside the wheel's threads.
async fn keep(store: &Arc<Store>, state: &mut State, page: Option<Turned>, now: Moment) {
    let memos = std::mem::take(&mut state.memos);
    let store = store.clone();
    let write = move || {
        let turned = page.map_or(Ok(()), |(page, oldest)| {
            let damaged = |source| store::Error::Damaged {
                what: "a page of the past",
                source,
            };
            store.turn_page(&stored(&page).map_err(damaged)?, oldest)
        });
        (turned.and_then(|()| store.remember(&memos)), memos)
    };
    let kept = tokio::task::spawn_blocking(write).await;
    match kept {
        Ok((Ok(()), _)) => {}
        Ok((Err(e), memos)) => {
            state.say_once("store", now, LogKind::Notice, None, e.to_string());
            state.memos = waiting(memos);
        }
        Err(e) => state.say(
            now,
            LogKind::Notice,
            None,
            None,
            format!("the store's hand was lost: {e}"),
        ),
    }
}

/// Readings that wait for a disk at most: some hours of a gateway's. What was learned and asked for waits however long it takes.
const WAITING: usize = 50_000;

fn waiting(mut memos: Vec<Memo>) -> Vec<Memo> {
    let mut excess = memos.len().saturating_sub(WAITING);
    memos.retain(|memo| {
        let gone = excess > 0 && matches!(memo, Memo::Sample { .. });
        excess -= usize::from(gone);
        !gone
    });
    memos
}

/// Rolls history up beside the wheel; what fails is tried again at the next time.
fn tidy(store: Arc<Store>, now: Moment) {
    tokio::task::spawn_blocking(move || match store.compact(now) {
        Ok(done) => tracing::debug!(
            done.rolled,
            done.dropped,
            "the store's history was rolled up"
        ),
        Err(e) => tracing::warn!("{e}"),
    });
}

async fn drain(shell: &Shell, state: &mut State, mut work: JoinSet<Outcome>) {
    let all = async {
        while let Some(done) = work.join_next().await {
            if let Ok(outcome) = done {
                absorb(state, outcome);
            }
        }
    };
    // What does not end in time stays open in the journal and is settled at the next start.
    let _ = tokio::time::timeout(DRAIN, all).await;
    keep(&shell.store, state, None, (shell.clock)()).await;
}
