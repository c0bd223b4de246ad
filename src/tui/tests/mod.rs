//! What an operator sees, and what the keys do.

mod bytes;
mod hands;
mod incident;
mod keys;
mod pictures;
mod screens;
mod terminal;
mod themes;
mod walks;

use super::acts::Effect;
use super::render::render;
use super::state::{Options, State};
use super::update::{Event, update};
use crate::engine::view::View;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use std::sync::Arc;

fn at(view: View, options: Options) -> State {
    State::new(options, Arc::new(view), (120, 40))
}

fn acting() -> Options {
    Options {
        allow_act: true,
        ..Options::default()
    }
}

fn press(state: State, code: KeyCode, modifiers: KeyModifiers) -> (State, Vec<Effect>) {
    update(state, Event::Key(KeyEvent::new(code, modifiers)))
}

/// Presses these characters; `⏎` is Enter and `⎋` is Esc.
fn typed(mut state: State, keys: &str) -> (State, Vec<Effect>) {
    let mut all = Vec::new();
    for c in keys.chars() {
        let code = match c {
            '⏎' => KeyCode::Enter,
            '⎋' => KeyCode::Esc,
            '⇥' => KeyCode::Tab,
            c => KeyCode::Char(c),
        };
        let (next, effects) = press(state, code, KeyModifiers::NONE);
        state = next;
        all.extend(effects);
    }
    (state, all)
}

/// The screen as a terminal of that size shows it.
fn shown(state: &State, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let drawn = terminal.draw(|frame| render(state, frame.area(), frame.buffer_mut()));
    drawn.unwrap();
    terminal
}

fn picture(state: &State, size: (u16, u16)) -> String {
    shown(state, size).backend().to_string()
}
