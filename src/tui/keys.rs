//! The one key table: dispatch, the footer, `?` help and the `:` palette are all read from it.

use super::state::Screen;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Down,
    Up,
    PageDown,
    PageUp,
    Top,
    Bottom,
    Left,
    Right,
    NextScreen,
    PrevScreen,
    Enter,
    Back,
    Go(Screen),
    Filter,
    Palette,
    Help,
    Follow,
    Freeze,
    Hold,
    Abort,
    Switch,
    Shadow,
    Pin,
    FreezeChanges,
    Approve,
    Export,
    Suspend,
    Quit,
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    pub keys: &'static [(KeyCode, KeyModifiers)],
    /// The keys as people read them.
    pub shown: &'static str,
    /// The word of the palette and of the footer.
    pub word: &'static str,
    /// What it does, one sentence.
    pub help: &'static str,
    pub act: Act,
    /// Changes the cluster: needs `--allow-act` and a confirmation.
    pub acting: bool,
}

const NONE: KeyModifiers = KeyModifiers::NONE;
const CTRL: KeyModifiers = KeyModifiers::CONTROL;

const fn key(c: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(c), NONE)
}
const fn ctrl(c: char) -> (KeyCode, KeyModifiers) {
    (KeyCode::Char(c), CTRL)
}
const fn code(code: KeyCode) -> (KeyCode, KeyModifiers) {
    (code, NONE)
}

macro_rules! bind {
    ($act:expr, [$($key:expr),+], $shown:literal, $word:literal, $help:literal) => {
        Binding { keys: &[$($key),+], shown: $shown, word: $word, help: $help, act: $act, acting: false }
    };
    ($act:expr, [$($key:expr),+], $shown:literal, $word:literal, $help:literal, acting) => {
        Binding { keys: &[$($key),+], shown: $shown, word: $word, help: $help, act: $act, acting: true }
    };
}

/// Every key there is.
pub const TABLE: &[Binding] = &[
    bind!(
        Act::Down,
        [key('j'), code(KeyCode::Down)],
        "j ↓",
        "down",
        "move down one row; in the log, the end follows again"
    ),
    bind!(
        Act::Up,
        [key('k'), code(KeyCode::Up)],
        "k ↑",
        "up",
        "move up one row; in the log, this pauses following"
    ),
    bind!(
        Act::Left,
        [key('h'), code(KeyCode::Left)],
        "h ←",
        "left",
        "on a portion, the portion before; in the replay, a page back; elsewhere the screen before"
    ),
    bind!(
        Act::Right,
        [key('l'), code(KeyCode::Right)],
        "l →",
        "right",
        "on a portion, the next portion; in the replay, a page on; elsewhere the next screen"
    ),
    bind!(
        Act::PageDown,
        [ctrl('d'), code(KeyCode::PageDown)],
        "^d PgDn",
        "page-down",
        "move down ten rows"
    ),
    bind!(
        Act::PageUp,
        [ctrl('u'), code(KeyCode::PageUp)],
        "^u PgUp",
        "page-up",
        "move up ten rows"
    ),
    bind!(
        Act::Top,
        [key('g'), code(KeyCode::Home)],
        "g Home",
        "top",
        "go to the first row"
    ),
    bind!(
        Act::Bottom,
        [key('G'), code(KeyCode::End)],
        "G End",
        "bottom",
        "go to the last row"
    ),
    bind!(
        Act::Enter,
        [code(KeyCode::Enter)],
        "Enter",
        "open",
        "look into the row under the cursor"
    ),
    bind!(
        Act::Back,
        [code(KeyCode::Esc), code(KeyCode::Backspace)],
        "Esc",
        "back",
        "close what is open, drop the filter, step out; in the end, home"
    ),
    bind!(
        Act::NextScreen,
        [code(KeyCode::Tab)],
        "Tab",
        "next",
        "the next screen"
    ),
    bind!(
        Act::PrevScreen,
        [
            (KeyCode::BackTab, NONE),
            (KeyCode::BackTab, KeyModifiers::SHIFT)
        ],
        "S-Tab",
        "previous",
        "the screen before"
    ),
    bind!(
        Act::Go(Screen::Overview),
        [key('1')],
        "1",
        "overview",
        "every portion, worst first"
    ),
    bind!(
        Act::Go(Screen::Portion),
        [key('2')],
        "2",
        "portion",
        "one portion: forecast, shares, shadows, profile"
    ),
    bind!(
        Act::Go(Screen::Rollout),
        [key('3')],
        "3",
        "rollout",
        "a move of traffic: steps, weights against latency, decisions"
    ),
    bind!(
        Act::Go(Screen::Sites),
        [key('4')],
        "4",
        "sites",
        "a map of sites and links, and what lives where"
    ),
    bind!(
        Act::Go(Screen::Nodes),
        [key('5')],
        "5",
        "nodes",
        "nodes, their room and their hazard"
    ),
    bind!(
        Act::Go(Screen::Shadows),
        [key('6')],
        "6",
        "shadows",
        "shadows that run or ran, and what is worth one"
    ),
    bind!(
        Act::Go(Screen::Plan),
        [key('7')],
        "7",
        "plan",
        "steps with cause and reason, and what waits"
    ),
    bind!(
        Act::Go(Screen::Log),
        [key('8')],
        "8",
        "log",
        "decisions, one sentence each"
    ),
    bind!(
        Act::Go(Screen::Replay),
        [key('9')],
        "9",
        "replay",
        "look back: what was known, what was decided"
    ),
    bind!(
        Act::Go(Screen::Help),
        [key('0')],
        "0",
        "help",
        "keys and signs"
    ),
    bind!(
        Act::Help,
        [key('?')],
        "?",
        "keys",
        "keys and signs, from anywhere; again to close"
    ),
    bind!(
        Act::Filter,
        [key('/')],
        "/",
        "filter",
        "keep rows that contain a text; ! before it inverts"
    ),
    bind!(
        Act::Palette,
        [key(':')],
        ":",
        "palette",
        "run any of these by its name, or go to a portion"
    ),
    bind!(
        Act::Follow,
        [key('f')],
        "f",
        "follow",
        "follow the log's end, or stop"
    ),
    bind!(
        Act::Freeze,
        [ctrl('f')],
        "^f",
        "freeze",
        "freeze the picture, or let it run"
    ),
    bind!(
        Act::Hold,
        [key('H')],
        "H",
        "hold",
        "hold every write of every foreshadow, or let go",
        acting
    ),
    bind!(
        Act::Abort,
        [key('a')],
        "a",
        "abort",
        "drop every move under way and all that was asked for",
        acting
    ),
    bind!(
        Act::Switch,
        [key('s')],
        "s",
        "switch",
        "move the portion's traffic to another site",
        acting
    ),
    bind!(
        Act::Shadow,
        [key('x')],
        "x",
        "shadow",
        "stop the shadow under the cursor, or start one of the portion",
        acting
    ),
    bind!(
        Act::Pin,
        [key('p')],
        "p",
        "pin",
        "keep the portion's shares as they are, or let go; failures are still answered",
        acting
    ),
    bind!(
        Act::FreezeChanges,
        [key('F')],
        "F",
        "freeze-changes",
        "begin nothing that nothing forces for 30 min, or end that",
        acting
    ),
    bind!(
        Act::Approve,
        [key('A')],
        "A",
        "approve",
        "take an inconclusive verdict on the portion for a pass",
        acting
    ),
    bind!(
        Act::Export,
        [ctrl('s')],
        "^s",
        "export",
        "save this screen as text, and the whole view as JSON, in the folder it was started in"
    ),
    bind!(
        Act::Suspend,
        [ctrl('z')],
        "^z",
        "suspend",
        "back to the shell until `fg`; nothing stops meanwhile if it is attached"
    ),
    bind!(
        Act::Quit,
        [key('q'), ctrl('c')],
        "q ^c",
        "quit",
        "leave; foreshadow goes on without the screen if it is attached"
    ),
];

/// What a key asks for, if anything. Shift is part of the character, so it is not looked at there.
pub fn lookup(event: &KeyEvent) -> Option<&'static Binding> {
    let mut mods = event.modifiers;
    if matches!(event.code, KeyCode::Char(_)) {
        mods.remove(KeyModifiers::SHIFT);
    }
    TABLE.iter().find(|b| b.keys.contains(&(event.code, mods)))
}

/// The binding that does `act`.
pub fn of(act: Act) -> &'static Binding {
    TABLE
        .iter()
        .find(|b| b.act == act)
        .unwrap_or(&TABLE[TABLE.len() - 1])
}

/// Palette words that fit what was typed: those that begin with it first, then those that contain it.
pub fn matching(typed: &str) -> Vec<&'static Binding> {
    let (mut begin, rest): (Vec<&'static Binding>, Vec<&'static Binding>) =
        TABLE.iter().partition(|b| b.word.starts_with(typed));
    begin.extend(rest.into_iter().filter(|b| b.word.contains(typed)));
    begin
}
