//! The pure heart of the terminal: `(State, Event) -> (State, Vec<Effect>)`.

use super::acts::Effect;
use super::press::press;
use super::state::{KEPT_LINES, State};
use super::{mouse, overlay};
use crate::engine::view::View;
use crate::model::Span;
use crossterm::event::{KeyEvent, KeyEventKind, MouseEvent};
use std::sync::Arc;

/// What can happen to the terminal.
#[derive(Clone, Debug)]
pub enum Event {
    Key(KeyEvent),
    Paste(String),
    Mouse(MouseEvent),
    Resize(u16, u16),
    View(Arc<View>),
    /// No new view has come for this long.
    Silence(Span),
}

/// The next state and what is to be done.
pub fn update(mut state: State, event: Event) -> (State, Vec<Effect>) {
    let mut effects = Vec::new();
    match event {
        Event::View(view) => {
            if take_view(&mut state, view) {
                effects.push(Effect::Draw);
            }
        }
        Event::Resize(width, height) => {
            state.size = (width, height);
            effects.push(Effect::Draw);
        }
        Event::Silence(span) => {
            state.silence = span;
            effects.push(Effect::Draw);
        }
        Event::Paste(text) => {
            if overlay::paste(&mut state, &text) {
                effects.push(Effect::Draw);
            }
        }
        Event::Mouse(event) => {
            if mouse::turn(&mut state, event, &mut effects) {
                effects.push(Effect::Draw);
            }
        }
        Event::Key(key) => {
            if key.kind != KeyEventKind::Release {
                press(&mut state, key, &mut effects);
            }
        }
    }
    (state, effects)
}

/// The first view may be as old as the epoch: that says nothing of how often views come.
const LONGEST_PACE: Span = Span::secs(60);

/// Takes in what came; false when nothing shown has changed.
fn take_view(state: &mut State, view: Arc<View>) -> bool {
    let newest = view.log.last().map(|l| l.seq);
    if newest < state.log.back().map(|l| l.seq) && newest.is_some() {
        // Another engine: its log begins anew.
        state.log.clear();
    }
    let last = state.log.back().map(|l| l.seq);
    let fresh = view.log.iter().filter(|l| last.is_none_or(|n| l.seq > n));
    state.log.extend(fresh.cloned());
    let over = state.log.len().saturating_sub(KEPT_LINES);
    state.log.drain(..over);
    let silent = std::mem::take(&mut state.silence) != Span(0);
    if view.cycle != state.newest.cycle {
        state.pace = Span(view.at.since(state.newest.at).0.clamp(0, LONGEST_PACE.0));
    }
    state.newest = Arc::clone(&view);
    if state.frozen {
        return silent;
    }
    let changed = *state.view != *view;
    state.view = view;
    changed || silent
}
