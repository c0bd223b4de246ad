//! What a click or the wheel asks for, by what was drawn there: selecting and opening, never acting without the dialog's yes.

use super::acts::{Effect, act, go, stand, step};
use super::keys::Act;
use super::press;
use super::render::{self, Target};
use super::rows;
use super::state::{Overlay, State};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};

/// Rows that one notch of the wheel moves.
const NOTCH: isize = 3;

/// Takes a mouse's event; false when it changes nothing.
pub fn turn(state: &mut State, mouse: MouseEvent, effects: &mut Vec<Effect>) -> bool {
    if !state.mouse {
        return false;
    }
    match mouse.kind {
        MouseEventKind::ScrollDown => wheel(state, 1, effects),
        MouseEventKind::ScrollUp => wheel(state, -1, effects),
        MouseEventKind::Down(MouseButton::Left) => {
            let here = ratatui::layout::Position::new(mouse.column, mouse.row);
            let spots = render::spots(state);
            // What was drawn last lies above.
            let hit = spots.iter().rev().find(|s| s.area.contains(here));
            let Some(hit) = hit else { return false };
            click(state, hit.what, effects);
        }
        _ => return false,
    }
    true
}

fn press(state: &mut State, code: KeyCode, effects: &mut Vec<Effect>) {
    press::press(state, KeyEvent::new(code, KeyModifiers::NONE), effects);
}

fn wheel(state: &mut State, by: isize, effects: &mut Vec<Effect>) {
    if state.overlay == Overlay::None {
        return step(state, by * NOTCH);
    }
    let code = if by > 0 { KeyCode::Down } else { KeyCode::Up };
    press(state, code, effects);
}

fn click(state: &mut State, what: Target, effects: &mut Vec<Effect>) {
    state.notice = None;
    match what {
        Target::Cover => {}
        Target::Tab(screen) => go(state, screen),
        Target::Row(k) => {
            let at = state.cursor_on(&rows::listed(state));
            if at == k && state.cursors.contains_key(&state.screen()) {
                return act(state, Act::Enter, effects);
            }
            stand(state, k);
        }
        Target::Offer(k) => {
            let at = match &mut state.overlay {
                Overlay::Palette { at, .. } | Overlay::Pick { at, .. } => at,
                _ => return,
            };
            if std::mem::replace(at, k) == k {
                press(state, KeyCode::Enter, effects);
            }
        }
        Target::Button(does) => {
            let Overlay::Confirm { yes, .. } = &mut state.overlay else {
                return;
            };
            // The first click only moves the focus, as Tab does.
            if std::mem::replace(yes, does) == does {
                press(state, KeyCode::Enter, effects);
            }
        }
    }
}
