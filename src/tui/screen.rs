//! Which screens there are, and what one may be narrowed to.

use crate::model::{PortionId, Site};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Screen {
    Overview,
    Portion,
    Rollout,
    Sites,
    Nodes,
    Shadows,
    Plan,
    Log,
    Replay,
    Help,
}

impl Screen {
    pub const ALL: [Screen; 10] = [
        Screen::Overview,
        Screen::Portion,
        Screen::Rollout,
        Screen::Sites,
        Screen::Nodes,
        Screen::Shadows,
        Screen::Plan,
        Screen::Log,
        Screen::Replay,
        Screen::Help,
    ];
    pub fn title(self) -> &'static str {
        match self {
            Screen::Overview => "Overview",
            Screen::Portion => "Portion",
            Screen::Rollout => "Rollout",
            Screen::Sites => "Sites",
            Screen::Nodes => "Nodes",
            Screen::Shadows => "Shadows",
            Screen::Plan => "Plan",
            Screen::Log => "Log",
            Screen::Replay => "Replay",
            Screen::Help => "Help",
        }
    }
    pub fn number(self) -> usize {
        Screen::ALL.iter().position(|s| *s == self).unwrap_or(0) + 1
    }
    /// The screen of that name, in any case.
    pub fn named(name: &str) -> Option<Screen> {
        Screen::ALL
            .into_iter()
            .find(|s| s.title().eq_ignore_ascii_case(name))
    }
    /// `step` screens on, round and round.
    pub fn beside(self, step: isize) -> Screen {
        let n = Screen::ALL.len() as isize;
        let at = (self.number() as isize - 1 + step).rem_euclid(n);
        Screen::ALL[at as usize]
    }
}

/// A screen and, where it is narrowed to one thing, that thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub screen: Screen,
    pub portion: Option<PortionId>,
    pub site: Option<Site>,
}

impl Place {
    pub fn of(screen: Screen) -> Self {
        Place {
            screen,
            portion: None,
            site: None,
        }
    }
    /// The breadcrumb.
    pub fn crumb(&self) -> String {
        match (&self.portion, &self.site) {
            (Some(p), _) => p.to_string(),
            (None, Some(s)) => format!("{} of {s}", self.screen.title()),
            _ => self.screen.title().to_string(),
        }
    }
}
