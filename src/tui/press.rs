//! A key: what lies over the screen takes it, or the key table says what it does.

use super::acts::{Effect, act};
use super::overlay;
use super::state::{Overlay, State};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Takes a key that was pressed.
pub fn press(state: &mut State, key: KeyEvent, effects: &mut Vec<Effect>) {
    let noticed = state.notice.take().is_some();
    let ctrl_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    if state.overlay != Overlay::None && !ctrl_c {
        overlay::press(state, key, effects);
        effects.push(Effect::Draw);
        return;
    }
    let Some(binding) = state.options.keys.lookup(&key) else {
        if noticed {
            effects.push(Effect::Draw);
        }
        return;
    };
    effects.push(Effect::Draw);
    if binding.acting && !state.options.allow_act {
        state.notice = Some(format!(
            "read-only: {} does nothing; start with --allow-act to act",
            binding.word
        ));
        return;
    }
    act(state, binding.act, effects);
}
