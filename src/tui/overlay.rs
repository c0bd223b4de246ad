//! Keys while something lies over the screen: help, filter, palette, choice, confirmation.

use super::keys::{self, Binding};
use super::state::{Overlay, State};
use super::update::{Effect, act, open_portion};
use crate::engine::view::Command;
use crate::model::PortionId;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// The longest text that an input keeps.
const LONGEST: usize = 80;

/// One line of the palette.
#[derive(Clone, Debug)]
pub enum Found {
    Key(&'static Binding),
    Portion(PortionId),
}

/// What the palette offers for a text: words of the key table, then portions.
pub fn offers(state: &State, typed: &str) -> Vec<Found> {
    let typed = typed.trim().to_lowercase();
    let name = typed.strip_prefix("portion ").unwrap_or(&typed);
    let portions = state.portions().into_iter();
    let portions = portions
        .filter(|p| !typed.is_empty() && p.id.as_str().to_lowercase().contains(name))
        .take(8)
        .map(|p| Found::Portion(p.id.clone()));
    let mut all: Vec<Found> = keys::matching(&typed).into_iter().map(Found::Key).collect();
    all.extend(portions);
    all
}

/// What a command would do: a title, and what it means in words.
pub fn describe(command: &Command) -> (String, String) {
    match command {
        Command::Hold { on: true } => (
            "Hold every write?".into(),
            "No foreshadow writes to Nomad or Consul until the hold is let go. Weights stay as they are.".into(),
        ),
        Command::Hold { on: false } => (
            "Let go of the hold?".into(),
            "Every foreshadow may write again, from its next cycle on.".into(),
        ),
        Command::Abort => (
            "Abort every move?".into(),
            "Moves under way stop where they are, and what operators asked for is forgotten. Weights stay as they are.".into(),
        ),
        Command::StartShadow { portion, site } => (
            format!("Start a shadow of {portion} at {site}?"),
            format!("A copy of {portion} without production traffic is started at {site}, measured, and stopped."),
        ),
        Command::StopShadow { shadow } => (
            format!("Stop shadow {shadow}?"),
            "Its job is stopped; what it measured so far is not used.".into(),
        ),
        Command::Switch { portion, to } => (
            format!("Switch {portion} to {to}?"),
            format!("Traffic of {portion} moves to {to} by the steps of its policy, through planner and guard. `a` aborts."),
        ),
        Command::Reload => (
            "Read the policies again?".into(),
            "Files that are wrong change nothing, and the log says why.".into(),
        ),
    }
}

/// Text that was pasted goes into an open input; false if there is none.
pub fn paste(state: &mut State, pasted: &str) -> bool {
    match &mut state.overlay {
        Overlay::Filter { text } | Overlay::Palette { text, .. } => {
            let clean = pasted.chars().filter(|c| !c.is_control());
            text.extend(clean);
            *text = text.chars().take(LONGEST).collect();
            true
        }
        _ => false,
    }
}

/// A key while an overlay is open.
pub fn press(state: &mut State, key: KeyEvent, effects: &mut Vec<Effect>) {
    let overlay = std::mem::take(&mut state.overlay);
    state.overlay = match overlay {
        Overlay::None => Overlay::None,
        Overlay::Help { scroll } => help(key, scroll),
        Overlay::Filter { text } => filter(state, key, text),
        Overlay::Palette { text, at } => return palette(state, key, text, at, effects),
        Overlay::Pick { title, options, at } => pick(key, title, options, at),
        Overlay::Confirm { command, yes } => confirm(state, key, command, yes, effects),
    };
}

fn help(key: KeyEvent, scroll: usize) -> Overlay {
    let scroll = match key.code {
        KeyCode::Char('j') | KeyCode::Down => (scroll + 1).min(keys::TABLE.len()),
        KeyCode::Char('k') | KeyCode::Up => scroll.saturating_sub(1),
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?' | 'q') => return Overlay::None,
        _ => scroll,
    };
    Overlay::Help { scroll }
}

/// Edits one line of text; true if the key was for it.
fn edit(text: &mut String, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => text.clear(),
        KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
            if text.chars().count() < LONGEST {
                text.push(c);
            }
        }
        KeyCode::Backspace => {
            text.pop();
        }
        _ => return false,
    }
    true
}

fn filter(state: &mut State, key: KeyEvent, mut text: String) -> Overlay {
    match key.code {
        KeyCode::Esc => {
            state.filter.clear();
            return Overlay::None;
        }
        KeyCode::Enter => {
            state.filter = text;
            return Overlay::None;
        }
        _ => edit(&mut text, key),
    };
    Overlay::Filter { text }
}

fn palette(
    state: &mut State,
    key: KeyEvent,
    mut text: String,
    mut at: usize,
    effects: &mut Vec<Effect>,
) {
    let offers = offers(state, &text);
    match key.code {
        KeyCode::Esc => return,
        KeyCode::Enter => {
            match offers.get(at) {
                Some(Found::Key(b)) if b.acting && !state.options.allow_act => {
                    state.notice = Some(format!("read-only: {} needs --allow-act", b.word));
                }
                Some(Found::Key(b)) => act(state, b.act, effects),
                Some(Found::Portion(id)) => open_portion(state, id.clone()),
                None => {
                    state.notice = Some(format!("nothing is called `{text}`; ? lists the words"))
                }
            }
            return;
        }
        KeyCode::Down | KeyCode::Tab => at = (at + 1).min(offers.len().saturating_sub(1)),
        KeyCode::Up | KeyCode::BackTab => at = at.saturating_sub(1),
        _ => {
            if edit(&mut text, key) {
                at = 0;
            }
        }
    }
    state.overlay = Overlay::Palette { text, at };
}

fn pick(key: KeyEvent, title: String, options: Vec<(String, Command)>, at: usize) -> Overlay {
    let at = match key.code {
        KeyCode::Char('j') | KeyCode::Down | KeyCode::Tab => {
            (at + 1).min(options.len().saturating_sub(1))
        }
        KeyCode::Char('k') | KeyCode::Up | KeyCode::BackTab => at.saturating_sub(1),
        KeyCode::Esc | KeyCode::Char('q') => return Overlay::None,
        KeyCode::Enter => {
            return options
                .into_iter()
                .nth(at)
                .map_or(Overlay::None, |(_, command)| Overlay::Confirm {
                    command,
                    yes: false,
                });
        }
        _ => at,
    };
    Overlay::Pick { title, options, at }
}

fn confirm(
    state: &mut State,
    key: KeyEvent,
    command: Command,
    yes: bool,
    effects: &mut Vec<Effect>,
) -> Overlay {
    match key.code {
        KeyCode::Char('h') | KeyCode::Left => Overlay::Confirm {
            command,
            yes: false,
        },
        KeyCode::Char('l') | KeyCode::Right => Overlay::Confirm { command, yes: true },
        KeyCode::Tab | KeyCode::BackTab => Overlay::Confirm { command, yes: !yes },
        KeyCode::Esc | KeyCode::Char('n' | 'q') => Overlay::None,
        KeyCode::Enter => {
            if yes {
                let (title, _) = describe(&command);
                state.notice = Some(format!("asked: {}", title.trim_end_matches('?')));
                effects.push(Effect::Send(command));
            }
            Overlay::None
        }
        _ => Overlay::Confirm { command, yes },
    }
}
