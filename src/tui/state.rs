//! What the terminal remembers between events: plain data, no handle of any kind.

use super::keys::{Act, Keys};
use super::look::Look;
use super::screen::{Place, Screen};
use crate::engine::view::{Command, LogLine, PortionView, View};
use crate::model::{Moment, Span};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Log lines kept beyond those of the last view.
pub const KEPT_LINES: usize = 5_000;
/// Breadcrumbs go no deeper.
pub const DEEPEST: usize = 4;

/// A cursor stays on its row's identity; the index is for when that row is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    pub row: String,
    pub index: usize,
}

/// What lies over the screen and takes the keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Overlay {
    #[default]
    None,
    Help {
        scroll: usize,
    },
    Filter {
        text: String,
    },
    Palette {
        text: String,
        at: usize,
    },
    /// Which of these? Each goes on to its confirmation.
    Pick {
        title: String,
        options: Vec<(String, Command)>,
        at: usize,
    },
    /// Cancel has the focus until the operator moves it; what is large wants its name typed first.
    Confirm {
        command: Command,
        yes: bool,
        typed: String,
        /// When it was opened: a plan looked at before that is not its plan.
        since: Moment,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    pub look: Look,
    /// Whether keys may send commands at all.
    pub allow_act: bool,
    /// Who sits here: goes along with each command.
    pub who: String,
    pub keys: Keys,
    /// Whether the mouse is ours from the start.
    pub mouse: bool,
}

#[derive(Clone, Debug)]
pub struct State {
    pub options: Options,
    /// What is shown.
    pub view: Arc<View>,
    /// What came last, while the picture is frozen.
    pub newest: Arc<View>,
    pub frozen: bool,
    /// Breadcrumbs; never empty, the last one is shown.
    pub trail: Vec<Place>,
    pub cursors: BTreeMap<Screen, Cursor>,
    pub overlay: Overlay,
    pub filter: String,
    /// What was filtered for last: `n` and `N` step through rows that have it.
    pub search: String,
    pub follow: bool,
    /// The portion screen shows its tree.
    pub tree: bool,
    /// Rows before frills.
    pub compact: bool,
    /// Clicks and the wheel come here instead of to the terminal.
    pub mouse: bool,
    pub log: VecDeque<LogLine>,
    /// One sentence in the footer until the next key.
    pub notice: Option<String>,
    /// How long no new view has come, and how far apart the last two were.
    pub silence: Span,
    pub pace: Span,
    pub size: (u16, u16),
}

impl State {
    pub fn new(options: Options, view: Arc<View>, size: (u16, u16)) -> Self {
        let log = view.log.iter().cloned().collect();
        State {
            mouse: options.mouse,
            options,
            newest: Arc::clone(&view),
            view,
            frozen: false,
            trail: vec![Place::of(Screen::Overview)],
            cursors: BTreeMap::new(),
            overlay: Overlay::None,
            filter: String::new(),
            search: String::new(),
            follow: true,
            tree: false,
            compact: false,
            log,
            notice: None,
            silence: Span(0),
            pace: Span(0),
            size,
        }
    }

    pub fn look(&self) -> Look {
        self.options.look
    }

    /// The first key that does it, as people read it.
    pub fn key(&self, act: Act) -> &str {
        self.options.keys.first(act)
    }

    /// What is said where rows are, but none passes the filter.
    pub fn filtered_out(&self, what: &str) -> String {
        let back = self.key(Act::Back);
        format!("no {what} passes the filter; {back} drops it")
    }

    pub fn place(&self) -> &Place {
        &self.trail[self.trail.len() - 1]
    }

    pub fn screen(&self) -> Screen {
        self.place().screen
    }

    /// Whether nothing is open but the overview.
    pub fn at_home(&self) -> bool {
        self.trail == [Place::of(Screen::Overview)]
            && self.overlay == Overlay::None
            && self.filter.is_empty()
    }

    /// Portions, worst first.
    pub fn portions(&self) -> Vec<&PortionView> {
        let mut all: Vec<&PortionView> = self.view.portions.iter().map(|p| &**p).collect();
        all.sort_by(|a, b| b.health.cmp(&a.health).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// The portion that the portion screen shows: the one asked for, or the worst. The rollout screen shows one that moves, or
    /// that moved last, where none was asked for.
    pub fn shown_portion(&self) -> Option<&PortionView> {
        if let Some(id) = &self.place().portion {
            let mut all = self.view.portions.iter().map(|p| &**p);
            return all.find(|p| &p.id == id);
        }
        let mut all = self.portions().into_iter();
        if self.screen() == Screen::Rollout {
            let moved = |p: &&PortionView| p.moving.as_ref().map(|m| (m.ended.is_none(), m.since));
            // Of those that moved at the same time, the worst.
            return all.rev().max_by_key(moved);
        }
        all.next()
    }

    /// Whether no filter is set or being typed.
    pub fn unfiltered(&self) -> bool {
        self.filter.is_empty() && !matches!(self.overlay, Overlay::Filter { .. })
    }

    /// Whether a row with this text passes the filter (`!text` inverts; case is not looked at).
    pub fn passes(&self, text: &str) -> bool {
        let filter = match &self.overlay {
            Overlay::Filter { text } => text,
            _ => &self.filter,
        };
        let (invert, wanted) = match filter.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, filter.as_str()),
        };
        wanted.is_empty() || text.to_lowercase().contains(&wanted.to_lowercase()) != invert
    }

    /// Where the cursor stands in `all` rows of which `find` tells where one stands: on its row if that is still there, else near
    /// where it was.
    pub fn cursor_at(&self, all: usize, find: impl FnOnce(&str) -> Option<usize>) -> usize {
        let last = all.saturating_sub(1);
        let screen = self.screen();
        if screen == Screen::Log && self.follow {
            return last;
        }
        match self.cursors.get(&screen) {
            Some(cursor) => find(&cursor.row).unwrap_or(cursor.index.min(last)),
            None if screen == Screen::Replay => last,
            None => 0,
        }
    }
}
