//! What each line of the key table does.

use super::keys::Act;
use super::render::end_of_help;
use super::rows;
use super::screen::{Place, Screen};
use super::state::{Cursor, DEEPEST, Overlay, State};
use crate::engine::view::Command;
use crate::model::{PortionId, Ruling};
use std::sync::Arc;

/// What the loop around it has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Something that is shown has changed.
    Draw,
    Send(Command),
    /// What would the plan be after it? Nothing is changed by asking.
    Look(Command),
    /// The screen as text and the view as JSON are to be saved.
    Export,
    /// Into the terminal's clipboard.
    Copy(String),
    /// The mouse is to be taken, or given back.
    Mouse(bool),
    /// Back to the shell until it brings the terminal back.
    Suspend,
    Quit,
}

/// Does what a line of the key table says.
pub fn act(state: &mut State, act: Act, effects: &mut Vec<Effect>) {
    match act {
        Act::Down => step(state, 1),
        Act::Up => step(state, -1),
        Act::PageDown => step(state, 10),
        Act::PageUp => step(state, -10),
        Act::Top => step(state, isize::MIN),
        Act::Bottom => step(state, isize::MAX),
        Act::Left => sideways(state, -1),
        Act::Right => sideways(state, 1),
        Act::NextScreen => go(state, state.screen().beside(1)),
        Act::PrevScreen => go(state, state.screen().beside(-1)),
        Act::Go(screen) => go(state, screen),
        Act::Enter => enter(state),
        Act::Back => back(state),
        Act::Filter => {
            let text = state.filter.clone();
            state.overlay = Overlay::Filter { text };
        }
        Act::Palette => {
            state.overlay = Overlay::Palette {
                text: String::new(),
                at: 0,
            };
        }
        Act::Help => state.overlay = Overlay::Help { scroll: 0 },
        Act::Follow => {
            hold_log_row(state);
            state.follow = !state.follow;
        }
        Act::Freeze => freeze(state),
        Act::Next => search(state, 1),
        Act::Previous => search(state, -1),
        Act::Tree => tree(state),
        Act::Compact => state.compact = !state.compact,
        Act::Copy => copy(state, effects),
        Act::Mouse => take_mouse(state, effects),
        Act::Export => effects.push(Effect::Export),
        Act::Suspend => effects.push(Effect::Suspend),
        Act::Hold
        | Act::Abort
        | Act::Switch
        | Act::Shadow
        | Act::Pin
        | Act::FreezeChanges
        | Act::Approve => ask(state, act, effects),
        Act::Quit => effects.push(Effect::Quit),
    }
}

/// So that a log which stops following stays where it is.
fn hold_log_row(state: &mut State) {
    if let (Some(last), true) = (state.log.back(), state.follow) {
        let row = last.seq.to_string();
        let index = state.log.len() - 1;
        state.cursors.insert(Screen::Log, Cursor { row, index });
    }
}

pub(super) fn step(state: &mut State, by: isize) {
    if state.screen() == Screen::Help {
        let end = end_of_help(state);
        let at = state.cursors.entry(Screen::Help).or_default();
        at.index = at.index.min(end).saturating_add_signed(by).min(end);
        return;
    }
    let rows = rows::listed(state);
    let from = state.cursor_on(&rows);
    let last = rows.len().saturating_sub(1);
    let index = from.saturating_add_signed(by).min(last);
    stand(state, index);
    state.follow &= state.screen() != Screen::Log || by > 0;
}

/// Puts the cursor on a row; the log follows again at its end alone.
pub(super) fn stand(state: &mut State, index: usize) {
    let rows = rows::listed(state);
    let Some(row) = rows.id(index) else {
        return;
    };
    let last = index + 1 == rows.len();
    if state.screen() == Screen::Log {
        state.follow = last;
    }
    state.cursors.insert(state.screen(), Cursor { row, index });
}

/// To the next row (or the one before) that has what was filtered for last, round and round.
fn search(state: &mut State, by: isize) {
    if state.search.is_empty() {
        let filter = state.key(Act::Filter);
        state.notice = Some(format!("nothing to look for: {filter} and a text first"));
        return;
    }
    let found = rows::having(state);
    if found.is_empty() {
        state.notice = Some(format!("no row here has `{}`", state.search));
        return;
    }
    let at = state.cursor_on(&rows::listed(state));
    let k = if by > 0 {
        found.iter().position(|f| *f > at).unwrap_or(0)
    } else {
        let before = found.iter().rposition(|f| *f < at);
        before.unwrap_or(found.len() - 1)
    };
    stand(state, found[k]);
    let (n, all) = (k + 1, found.len());
    state.notice = Some(format!("{n} of {all} with `{}`", state.search));
}

/// Tree or plots of the portion that is shown, or the tree of the one under the cursor.
fn tree(state: &mut State) {
    if state.screen() == Screen::Portion {
        state.tree = !state.tree;
    } else if let Some(id) = portion_or_say(state) {
        open_portion(state, id);
        state.tree = true;
    }
}

/// The name or id under the cursor.
fn copy(state: &mut State, effects: &mut Vec<Effect>) {
    match rows::name_here(state) {
        Some(name) => {
            state.notice = Some(format!(
                "copied {name}, if this terminal lets programs copy"
            ));
            effects.push(Effect::Copy(name));
        }
        None => state.notice = Some("nothing is under the cursor here".into()),
    }
}

fn take_mouse(state: &mut State, effects: &mut Vec<Effect>) {
    state.mouse = !state.mouse;
    effects.push(Effect::Mouse(state.mouse));
    let told = match state.mouse {
        true => "a click selects, one more opens, the wheel scrolls",
        false => "the mouse is the terminal's again",
    };
    state.notice = Some(told.into());
}

fn sideways(state: &mut State, by: isize) {
    match state.screen() {
        Screen::Portion | Screen::Rollout => {}
        Screen::Replay => return step(state, by),
        other => return go(state, other.beside(by)),
    }
    let ids: Vec<PortionId> = state.portions().into_iter().map(|p| p.id.clone()).collect();
    let Some(now) = state.shown_portion().map(|p| p.id.clone()) else {
        return;
    };
    let at = ids.iter().position(|id| *id == now).unwrap_or(0) as isize;
    let next = (at + by).rem_euclid(ids.len() as isize) as usize;
    show_portion(state, ids[next].clone());
}

/// Puts another portion into the portion screen that is shown.
fn show_portion(state: &mut State, id: PortionId) {
    let screen = state.screen();
    state.cursors.remove(&screen);
    if let Some(place) = state.trail.last_mut() {
        place.portion = Some(id);
    }
}

/// Goes to a screen as a tab: the breadcrumbs begin anew.
pub(super) fn go(state: &mut State, screen: Screen) {
    let portion =
        rows::portion_here(state).filter(|_| matches!(screen, Screen::Portion | Screen::Rollout));
    state.filter.clear();
    let place = Place {
        portion,
        ..Place::of(screen)
    };
    state.trail = if screen == Screen::Overview {
        vec![place]
    } else {
        vec![Place::of(Screen::Overview), place]
    };
    state.cursors.remove(&Screen::Help);
}

/// Goes one deeper; at the deepest, the last breadcrumb is replaced.
fn deeper(state: &mut State, place: Place) {
    if state.trail.len() >= DEEPEST {
        state.trail.pop();
    }
    state.filter.clear();
    state.trail.push(place);
}

fn enter(state: &mut State) {
    match state.screen() {
        Screen::Sites => {
            if let Some(site) = rows::site_here(state) {
                let place = Place::of(Screen::Nodes);
                let site = Some(site);
                deeper(state, Place { site, ..place });
                state.cursors.remove(&Screen::Nodes);
            }
        }
        Screen::Portion => open_node(state),
        Screen::Help => {}
        _ => match rows::portion_here(state) {
            Some(id) => open_portion(state, id),
            None => state.notice = Some("this row is about no portion".into()),
        },
    }
}

/// Opens a portion one deeper.
pub fn open_portion(state: &mut State, id: PortionId) {
    state.cursors.remove(&Screen::Portion);
    let place = Place::of(Screen::Portion);
    let portion = Some(id);
    deeper(state, Place { portion, ..place });
}

/// From the instance under the cursor to its node.
fn open_node(state: &mut State) {
    let at = state.cursor_on(&rows::listed(state));
    let found = state.shown_portion().and_then(|p| p.instances.get(at));
    let Some(node) = found.and_then(|i| state.view.nodes.iter().find(|n| n.name == i.node)) else {
        state.notice = Some("its node is not seen now".into());
        return;
    };
    let (row, site) = (node.id.to_string(), Some(node.site.clone()));
    let place = Place::of(Screen::Nodes);
    deeper(state, Place { site, ..place });
    let index = 0;
    state.cursors.insert(Screen::Nodes, Cursor { row, index });
}

/// Closes the innermost thing that is open: the filter, then the place; the overview is home.
fn back(state: &mut State) {
    if !state.filter.is_empty() {
        state.filter.clear();
    } else if state.trail.len() > 1 {
        state.trail.pop();
    }
}

fn freeze(state: &mut State) {
    state.frozen = !state.frozen;
    if !state.frozen {
        state.view = Arc::clone(&state.newest);
    }
}

/// How long changes are frozen by one key, in minutes.
const FREEZE: u32 = 30;

/// Opens the dialog of an acting key; nothing is done from here.
fn ask(state: &mut State, act: Act, effects: &mut Vec<Effect>) {
    match act {
        Act::Hold => {
            let on = state.view.hold.is_none();
            confirm(state, Command::Hold { on }, effects);
        }
        Act::Abort => confirm(state, Command::Abort, effects),
        Act::FreezeChanges => {
            let minutes = if state.view.frozen.is_some() {
                0
            } else {
                FREEZE
            };
            confirm(state, Command::Freeze { minutes }, effects);
        }
        Act::Pin => {
            let Some(portion) = portion_or_say(state) else {
                return;
            };
            let known = state.view.portions.iter().find(|p| p.id == portion);
            let on = known.is_none_or(|p| p.pinned.is_none());
            confirm(state, Command::Pin { portion, on }, effects);
        }
        Act::Approve => approve(state),
        Act::Shadow => match state.shadow_here() {
            Some(shadow) => confirm(state, Command::StopShadow { shadow }, effects),
            None => pick_site(state, "Shadow", |portion, site| Command::StartShadow {
                portion,
                site,
            }),
        },
        _ => pick_site(state, "Switch", |portion, to| Command::Switch {
            portion,
            to,
        }),
    }
}

/// Asks whether it is meant, and looks up what the plan would be.
pub fn confirm(state: &mut State, command: Command, effects: &mut Vec<Effect>) {
    effects.push(Effect::Look(command.clone()));
    state.overlay = Overlay::Confirm {
        command,
        yes: false,
        typed: String::new(),
        since: state.newest.at,
    };
}

fn portion_or_say(state: &mut State) -> Option<PortionId> {
    let found = rows::portion_here(state);
    if found.is_none() {
        state.notice = Some("put the cursor on a row of a portion first".into());
    }
    found
}

fn approve(state: &mut State) {
    let Some(portion) = portion_or_say(state) else {
        return;
    };
    let known = state.view.portions.iter().find(|p| p.id == portion);
    let open = known.into_iter().flat_map(|p| &p.verdicts);
    let mut options: Vec<(String, Command)> = open
        .filter(|v| v.ruling == Ruling::Inconclusive)
        .map(|v| {
            let (portion, site) = (portion.clone(), v.key.site.clone());
            let text = format!("{site}  {}", v.because);
            (text, Command::Approve { portion, site })
        })
        .collect();
    options.dedup_by(|a, b| a.1 == b.1);
    if options.is_empty() {
        state.notice = Some(format!("no verdict on {portion} is inconclusive"));
        return;
    }
    state.overlay = Overlay::Pick {
        title: format!("Approve {portion}: which verdict?"),
        options,
        at: 0,
    };
}

fn pick_site(
    state: &mut State,
    verb: &str,
    command: impl Fn(PortionId, crate::model::Site) -> Command,
) {
    let Some(portion) = portion_or_say(state) else {
        return;
    };
    if state.view.sites.is_empty() {
        state.notice = Some("no site is seen now, so there is none to choose".into());
        return;
    }
    let shown = state.view.portions.iter().find(|p| p.id == portion);
    let options = state.view.sites.iter().map(|s| {
        let note = match (s.reachable, shown.is_some_and(|p| p.served_from(&s.site))) {
            (false, _) => "  (cut off)",
            (true, true) => "  (serves all of it)",
            (true, false) => "",
        };
        let text = format!("{}{note}", s.site);
        (text, command(portion.clone(), s.site.clone()))
    });
    state.overlay = Overlay::Pick {
        title: format!("{verb} {portion}: where?"),
        options: options.collect(),
        at: 0,
    };
}
