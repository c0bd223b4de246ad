//! Keys while something lies over the screen: help, filter, palette, choice, confirmation.

use super::acts::{self, Effect, act, open_portion};
use super::keys::{self, Act, Binding};
use super::render::end_of_help;
use super::state::{Overlay, State};
use crate::engine::view::Command;
use crate::model::{Moment, PortionId};
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
            format!("Traffic of {portion} moves to {to} by the steps of its policy, through planner and guard; aborting stops it."),
        ),
        Command::Pin { portion, on: true } => (
            format!("Pin {portion}?"),
            "Its shares stay as they are: no planned move of it goes on until it is let go. What fails is still answered.".into(),
        ),
        Command::Pin { portion, on: false } => (
            format!("Let go of {portion}?"),
            "Planned moves of it go on, from the next cycle.".into(),
        ),
        Command::Freeze { minutes: 0 } => (
            "End the freeze?".into(),
            "What was put off is begun again, from the next cycle on.".into(),
        ),
        Command::Freeze { minutes } => (
            format!("Freeze changes for {minutes} min?"),
            "No shadow and no planned move is begun. What is wrong now is still answered.".into(),
        ),
        Command::Approve { portion, site } => (
            format!("Approve {portion} at {site}?"),
            format!("The inconclusive verdict counts as a pass: placement no longer shuns {site} for {portion}."),
        ),
        Command::Reload => (
            "Read the policies again?".into(),
            "Files that are wrong change nothing, and the log says why.".into(),
        ),
        Command::LogLevel { filter } => (
            match filter {
                Some(filter) => format!("Filter the log by {filter}?"),
                None => "Filter the log as at the start?".into(),
            },
            "The log on its stderr alone: what is decided and shown stays the same.".into(),
        ),
        Command::Preview { of } | Command::By { asked: of, .. } => describe(of),
    }
}

/// What has to be typed before a large command is done: the name of what it touches.
pub fn name_to_type(command: &Command) -> Option<&str> {
    match command {
        Command::Switch { portion, .. } => Some(portion.as_str()),
        Command::Abort => Some("abort"),
        _ => None,
    }
}

/// Text that was pasted goes into an open input; false if there is none.
pub fn paste(state: &mut State, pasted: &str) -> bool {
    match &mut state.overlay {
        Overlay::Filter { text }
        | Overlay::Palette { text, .. }
        | Overlay::Confirm { typed: text, .. } => {
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
        Overlay::Help { scroll } => help(key, scroll, end_of_help(state)),
        Overlay::Filter { text } => filter(state, key, text),
        Overlay::Palette { text, at } => return palette(state, key, text, at, effects),
        Overlay::Pick { title, options, at } => {
            return pick(state, key, (title, options, at), effects);
        }
        Overlay::Confirm {
            command,
            yes,
            typed,
            since,
        } => {
            let asked = Asked {
                command,
                yes,
                typed,
                since,
            };
            confirm(state, key, asked, effects)
        }
    };
}

/// `end` is the furthest that it scrolls.
fn help(key: KeyEvent, scroll: usize, end: usize) -> Overlay {
    let scroll = match key.code {
        KeyCode::Char('j') | KeyCode::Down => (scroll + 1).min(end),
        KeyCode::Char('k') | KeyCode::Up => scroll.min(end).saturating_sub(1),
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
            if !text.is_empty() {
                state.search.clone_from(&text);
            }
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
                    let help = state.key(Act::Help);
                    let told = format!("nothing is called `{text}`; {help} lists the words");
                    state.notice = Some(told);
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

type Choice = (String, Vec<(String, Command)>, usize);

fn pick(state: &mut State, key: KeyEvent, (title, options, at): Choice, effects: &mut Vec<Effect>) {
    let at = match key.code {
        KeyCode::Char('j') | KeyCode::Down | KeyCode::Tab => {
            (at + 1).min(options.len().saturating_sub(1))
        }
        KeyCode::Char('k') | KeyCode::Up | KeyCode::BackTab => at.saturating_sub(1),
        KeyCode::Esc | KeyCode::Char('q') => return,
        KeyCode::Enter => {
            if let Some((_, command)) = options.into_iter().nth(at) {
                acts::confirm(state, command, effects);
            }
            return;
        }
        _ => at,
    };
    state.overlay = Overlay::Pick { title, options, at };
}

/// Whether a switch asks for what is so.
fn already_there(state: &State, command: &Command) -> bool {
    let Command::Switch { portion, to } = command else {
        return false;
    };
    let mut portions = state.newest.portions.iter();
    let known = portions.find(|p| &p.id == portion);
    known.is_some_and(|p| p.served_from(to))
}

/// An open confirmation.
struct Asked {
    command: Command,
    yes: bool,
    typed: String,
    since: Moment,
}

fn confirm(
    state: &mut State,
    key: KeyEvent,
    mut asked: Asked,
    effects: &mut Vec<Effect>,
) -> Overlay {
    let name = name_to_type(&asked.command).map(str::to_string);
    match (key.code, &name) {
        (KeyCode::Esc, _) => return Overlay::None,
        (KeyCode::Left, _) => asked.yes = false,
        (KeyCode::Right, _) => asked.yes = true,
        (KeyCode::Tab | KeyCode::BackTab, _) => asked.yes = !asked.yes,
        (KeyCode::Enter, name) => {
            let named = name.as_ref().is_none_or(|n| *n == asked.typed.trim());
            if asked.yes && named {
                let (title, _) = describe(&asked.command);
                let title = title.trim_end_matches('?');
                let there = match already_there(state, &asked.command) {
                    true => "; it serves all of it already, nothing is to be moved",
                    false => "",
                };
                state.notice = Some(format!("asked: {title}{there}"));
                effects.push(Effect::Send(asked.command));
                return Overlay::None;
            }
            if !asked.yes {
                return Overlay::None;
            }
        }
        (_, Some(_)) => {
            edit(&mut asked.typed, key);
        }
        (KeyCode::Char('h'), None) => asked.yes = false,
        (KeyCode::Char('l'), None) => asked.yes = true,
        (KeyCode::Char('n' | 'q'), None) => return Overlay::None,
        _ => {}
    }
    Overlay::Confirm {
        command: asked.command,
        yes: asked.yes,
        typed: asked.typed,
        since: asked.since,
    }
}
