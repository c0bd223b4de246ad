//! The one key table: dispatch, the footer, `?` help and the `:` palette are all read from it.

mod own;

pub use own::{KeyError, Keys, of, words};

use super::screen::Screen;
use crossterm::event::{KeyCode, KeyModifiers};

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
    Next,
    Previous,
    Tree,
    Compact,
    Copy,
    Mouse,
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

pub type Key = (KeyCode, KeyModifiers);

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its keys, unless the operator's own file gives it others.
    pub keys: &'static [Key],
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

const fn key(c: char) -> Key {
    (KeyCode::Char(c), NONE)
}
const fn ctrl(c: char) -> Key {
    (KeyCode::Char(c), CTRL)
}
const fn code(code: KeyCode) -> Key {
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
        Act::Next,
        [key('n')],
        "n",
        "next-match",
        "go to the next row that has what was last filtered for, round and round"
    ),
    bind!(
        Act::Previous,
        [key('N')],
        "N",
        "prev-match",
        "go to the one before"
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
        Act::Tree,
        [key('t')],
        "t",
        "tree",
        "the portion as a tree: job, allocations, nodes, shadows; or its plots again"
    ),
    bind!(
        Act::Compact,
        [ctrl('h')],
        "^h",
        "compact",
        "more rows: no tabs, no loop, one line a row; or all again"
    ),
    bind!(
        Act::Copy,
        [key('y')],
        "y",
        "copy",
        "copy the name or id under the cursor into this terminal's clipboard (OSC 52)"
    ),
    bind!(
        Act::Mouse,
        [key('m')],
        "m",
        "mouse",
        "clicks select and open, the wheel scrolls; or leave the mouse to the terminal"
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

/// Palette words that fit what was typed: those that begin with it first, then those that contain it.
pub fn matching(typed: &str) -> Vec<&'static Binding> {
    let (mut begin, rest): (Vec<&'static Binding>, Vec<&'static Binding>) =
        TABLE.iter().partition(|b| b.word.starts_with(typed));
    begin.extend(rest.into_iter().filter(|b| b.word.contains(typed)));
    begin
}
