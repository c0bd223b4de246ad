use super::*;
use crate::tui::keys::TABLE;
use crate::tui::sample;
use proptest::prelude::*;

fn key() -> impl Strategy<Value = (KeyCode, KeyModifiers)> {
    let table: Vec<_> = TABLE.iter().flat_map(|b| b.keys.iter().copied()).collect();
    prop_oneof![
        6 => proptest::sample::select(table),
        1 => any::<char>().prop_map(|c| (KeyCode::Char(c), KeyModifiers::NONE)),
        1 => Just((KeyCode::Enter, KeyModifiers::NONE)),
        1 => Just((KeyCode::Tab, KeyModifiers::NONE)),
    ]
}

fn views() -> impl Strategy<Value = View> {
    prop_oneof![
        Just(sample::shop()),
        Just(sample::blind()),
        Just(View::default()),
        Just(sample::crowd(30)),
    ]
}

#[derive(Clone, Debug)]
enum Happens {
    Key((KeyCode, KeyModifiers)),
    View(Box<View>),
    Paste(String),
    Click(u16, u16),
    Wheel(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        12 => key().prop_map(Happens::Key),
        1 => views().prop_map(|v| Happens::View(Box::new(v))),
        1 => ".{0,12}".prop_map(Happens::Paste),
        3 => (0u16..130, 0u16..45).prop_map(|(x, y)| Happens::Click(x, y)),
        1 => any::<bool>().prop_map(Happens::Wheel),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_pressed_nothing_panics_and_esc_leads_home(
        first in views(),
        steps in proptest::collection::vec(happens(), 0..40),
        allow_act in any::<bool>(),
        size in (1u16..130, 1u16..45),
    ) {
        let mut state = at(first, Options { allow_act, mouse: true, ..Options::default() });
        state.size = size;
        for step in steps {
            let event = match step {
                Happens::Key((code, mods)) => Event::Key(KeyEvent::new(code, mods)),
                Happens::View(view) => Event::View(Arc::new(*view)),
                Happens::Paste(text) => Event::Paste(text),
                Happens::Click(x, y) => super::hands::click(x, y),
                Happens::Wheel(down) => super::hands::wheel(down),
            };
            let (next, effects) = update(state, event);
            state = next;
            let sent = effects.iter().any(|e| matches!(e, Effect::Send(_)));
            prop_assert!(allow_act || !sent, "a read-only terminal sent a command");
            prop_assert!(state.trail.len() <= crate::tui::state::DEEPEST);
            picture(&state, size);
        }
        for _ in 0..6 {
            (state, _) = press(state, KeyCode::Esc, KeyModifiers::NONE);
        }
        prop_assert!(state.at_home());
    }
}
