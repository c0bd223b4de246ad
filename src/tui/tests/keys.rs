use super::*;
use crate::engine::view::Command;
use crate::model::Span;
use crate::tui::keys::{Act, Keys, TABLE};
use crate::tui::sample;
use crate::tui::screen::Screen;
use crate::tui::state::Overlay;

fn cursor(state: &State) -> usize {
    state.cursor_on(&crate::tui::rows::listed(state))
}

/// Whether `act` did to `before` what its help says.
fn kept_its_word(act: Act, before: &State, after: &State, effects: &[Effect]) -> bool {
    match act {
        Act::Down | Act::Bottom | Act::PageDown => cursor(after) > cursor(before),
        Act::Up | Act::Top | Act::PageUp => cursor(after) < cursor(before),
        Act::Left => after.screen() == before.screen().beside(-1),
        Act::Right => after.screen() == before.screen().beside(1),
        Act::NextScreen => after.screen() == before.screen().beside(1),
        Act::PrevScreen => after.screen() == before.screen().beside(-1),
        Act::Enter => after.place().portion.as_ref().map(|p| p.as_str()) == Some("cart"),
        Act::Back => after.at_home() && !before.at_home(),
        Act::Go(screen) => after.screen() == screen,
        Act::Filter => matches!(after.overlay, Overlay::Filter { .. }),
        Act::Palette => matches!(after.overlay, Overlay::Palette { .. }),
        Act::Help => matches!(after.overlay, Overlay::Help { .. }),
        Act::Follow => after.follow != before.follow,
        Act::Freeze => after.frozen != before.frozen,
        Act::Next | Act::Previous => {
            let told = after.notice.as_deref();
            told == Some("nothing to look for: / and a text first")
        }
        Act::Tree => after.tree && after.place().crumb() == "cart",
        Act::Compact => after.compact != before.compact,
        Act::Copy => effects.contains(&Effect::Copy("cart".into())),
        Act::Mouse => after.mouse && effects.contains(&Effect::Mouse(true)),
        Act::Hold => asks(after, &Command::Hold { on: true }),
        Act::Abort => asks(after, &Command::Abort),
        Act::Switch | Act::Shadow => {
            matches!(&after.overlay, Overlay::Pick { options, .. } if options.len() == 4)
        }
        Act::Pin => asks(
            after,
            &Command::Pin {
                portion: "cart".into(),
                on: true,
            },
        ),
        Act::FreezeChanges => asks(after, &Command::Freeze { minutes: 30 }),
        Act::Approve => after
            .notice
            .as_ref()
            .is_some_and(|n| n.contains("no verdict on cart")),
        Act::Export => effects.contains(&Effect::Export),
        Act::Suspend => effects.contains(&Effect::Suspend),
        Act::Quit => effects.contains(&Effect::Quit),
    }
}

/// A confirmation of that command is open, and cancel has the focus.
fn asks(state: &State, wanted: &Command) -> bool {
    matches!(&state.overlay, Overlay::Confirm { command, yes: false, .. } if command == wanted)
}

#[test]
fn every_key_of_the_table_does_what_its_help_says() {
    for binding in TABLE {
        for (code, modifiers) in binding.keys {
            let (mut before, _) = typed(at(sample::shop(), acting()), "j");
            if binding.act == Act::Back {
                (before, _) = typed(before, "5");
            }
            let (after, effects) = press(before.clone(), *code, *modifiers);
            let kept = kept_its_word(binding.act, &before, &after, &effects);
            assert!(
                kept,
                "{} ({code:?}) did not: {}",
                binding.word, binding.help
            );
            assert!(
                effects.iter().all(|e| !matches!(e, Effect::Send(_))),
                "{} acts at once",
                binding.word
            );
        }
    }
}

#[test]
fn no_two_lines_of_the_table_share_a_key_or_a_word() {
    for (k, a) in TABLE.iter().enumerate() {
        for b in &TABLE[k + 1..] {
            assert_ne!(a.word, b.word);
            assert!(
                a.keys.iter().all(|key| !b.keys.contains(key)),
                "{} and {}",
                a.word,
                b.word
            );
        }
        let (code, modifiers) = a.keys[0];
        let event = KeyEvent::new(code, modifiers);
        let found = Keys::default().lookup(&event).map(|b| b.word);
        assert_eq!(found, Some(a.word));
    }
}

#[test]
fn acting_keys_do_nothing_without_allow_act() {
    for binding in TABLE.iter().filter(|b| b.acting) {
        let (code, modifiers) = binding.keys[0];
        let (state, effects) = press(at(sample::shop(), Options::default()), code, modifiers);
        assert_eq!(state.overlay, Overlay::None);
        assert_eq!(effects, [Effect::Draw]);
        assert!(state.notice.unwrap().contains("--allow-act"));
        let (state, effects) = typed(
            at(sample::shop(), Options::default()),
            &format!(":{}⏎", binding.word),
        );
        assert_eq!(state.overlay, Overlay::None);
        assert!(!effects.iter().any(|e| matches!(e, Effect::Send(_))));
    }
}

#[test]
fn a_command_is_sent_only_after_moving_off_cancel() {
    let (_, effects) = typed(at(sample::shop(), acting()), "H⏎");
    assert!(!effects.iter().any(|e| matches!(e, Effect::Send(_))));
    let sent = |keys: &str| {
        let (_, effects) = typed(at(sample::shop(), acting()), keys);
        effects.into_iter().find_map(|e| match e {
            Effect::Send(command) => Some(command),
            _ => None,
        })
    };
    assert_eq!(sent("H⇥⏎"), Some(Command::Hold { on: true }));
    assert_eq!(sent("Hlh⏎"), None);
    assert_eq!(sent("Hl⎋"), None);
    let portion = "web".into();
    assert_eq!(sent("pl⏎"), Some(Command::Pin { portion, on: true }));
    assert_eq!(sent("Fl⏎"), Some(Command::Freeze { minutes: 30 }));
    let (portion, site) = ("search".into(), "provider-b".into());
    assert_eq!(sent("GA⏎l⏎"), Some(Command::Approve { portion, site }));
    let (portion, site) = ("cart".into(), "edge-b".into());
    assert_eq!(sent("jxj⏎l⏎"), Some(Command::StartShadow { portion, site }));
    assert_eq!(
        sent("6xl⏎"),
        Some(Command::StopShadow {
            shadow: "sh-0010".into()
        })
    );
}

#[test]
fn what_is_large_is_done_only_once_its_name_was_typed() {
    let sent = |keys: &str| {
        let (state, effects) = typed(at(sample::shop(), acting()), keys);
        let sent = effects.into_iter().find_map(|e| match e {
            Effect::Send(command) => Some(command),
            _ => None,
        });
        (sent, state.overlay == Overlay::None)
    };
    let (portion, to) = ("web".into(), "provider-a".into());
    let switch = Command::Switch { portion, to };
    assert_eq!(sent("sjj⏎web⇥⏎"), (Some(switch), true));
    assert_eq!(sent("sjj⏎⇥⏎"), (None, false));
    assert_eq!(sent("sjj⏎wbe⇥⏎"), (None, false));
    assert_eq!(sent("sjj⏎web⏎"), (None, true), "cancel has the focus");
    assert_eq!(sent("aabort⇥⏎"), (Some(Command::Abort), true));
    assert_eq!(sent("a⇥⏎"), (None, false));
}

#[test]
fn a_dialog_asks_what_the_plan_would_be_and_shows_the_answer_alone() {
    let (state, effects) = typed(at(sample::shop(), acting()), "H");
    assert!(effects.contains(&Effect::Look(Command::Hold { on: true })));
    assert!(picture(&state, (120, 40)).contains("is being worked out"));
    let step = sample::shop().steps[0].clone();
    let answer = |ago: i64, on: bool| {
        let mut view = sample::shop();
        view.preview = Some(crate::engine::view::Preview {
            command: Command::Hold { on },
            at: view.at - Span::secs(ago),
            comes: vec![],
            goes: vec![step.clone()],
            waits: vec![],
        });
        let (state, _) = update(state.clone(), Event::View(Arc::new(view)));
        picture(&state, (120, 40))
    };
    let shown = answer(0, true);
    assert!(shown.contains(&format!("- {} web", step.verb)), "{shown}");
    assert!(
        answer(0, false).contains("is being worked out"),
        "another command's plan"
    );
    assert!(
        answer(1, true).contains("is being worked out"),
        "a plan of before"
    );
}

#[test]
fn a_pinned_portion_and_a_freeze_are_let_go_by_the_same_keys() {
    let mut view = sample::shop();
    view.portions[0].pinned = Some("ann".into());
    view.frozen = Some(("ann".into(), view.at + Span::secs(90)));
    let (state, _) = typed(at(view, acting()), "p");
    let portion = "web".into();
    assert!(asks(&state, &Command::Pin { portion, on: false }));
    let (state, _) = typed(state, "⎋F");
    assert!(asks(&state, &Command::Freeze { minutes: 0 }));
    assert!(picture(&state, (120, 40)).contains("changes are frozen by ann for 90 s"));
}

#[test]
fn the_replay_goes_back_page_by_page_and_keeps_its_page_while_new_ones_come() {
    let (state, _) = typed(at(sample::shop(), Options::default()), "9");
    let page = |state: &State| {
        let pages = crate::tui::rows::pages(state);
        crate::tui::rows::page_at(state, &pages).map(|k| pages[k].cycle)
    };
    assert_eq!(page(&state), Some(706), "it begins with the newest");
    let (state, _) = typed(state, "hk");
    assert_eq!(page(&state), Some(704));
    let mut view = sample::shop();
    let mut newer = crate::engine::view::Page::clone(&view.pages[6]);
    (newer.cycle, newer.at) = (812, view.at);
    view.pages.push(Arc::new(newer));
    view.pages.remove(0);
    let (state, _) = update(state, Event::View(Arc::new(view)));
    assert_eq!(page(&state), Some(704));
    let (state, _) = typed(state, "lG");
    assert_eq!(page(&state), Some(812));
    let (state, _) = typed(state, "g");
    assert_eq!(page(&state), Some(701));
}

#[test]
fn the_replay_shows_what_was_known_then_and_not_what_came_later() {
    let (state, _) = typed(at(sample::shop(), Options::default()), "9");
    let now = crate::tui::rows::known_at(&state, sample::NOW);
    let then = crate::tui::rows::known_at(&state, sample::shop().pages[0].at);
    let web = |rows: &[&crate::engine::view::PageRow]| {
        rows.iter()
            .find(|r| r.id.as_str() == "web")
            .map(|r| r.health)
    };
    use crate::engine::view::Health;
    assert_eq!(
        (web(&then), web(&now)),
        (Some(Health::Good), Some(Health::Breach))
    );
}

#[test]
fn the_rollout_screen_shows_what_moves_and_else_what_moved_last() {
    let shown = |keys: &str| {
        let (state, _) = typed(at(sample::shop(), Options::default()), keys);
        state.shown_portion().map(|p| p.id.0.clone())
    };
    assert_eq!(
        shown("j3").as_deref(),
        Some("cart"),
        "the row that was left"
    );
    assert_eq!(shown(":rollout⏎").as_deref(), Some("web"));
    let mut view = sample::shop();
    view.portions.iter_mut().for_each(|p| {
        if p.id.as_str() == "web" {
            p.moving = None;
        }
    });
    let mut state = at(view, Options::default());
    state
        .trail
        .push(crate::tui::screen::Place::of(Screen::Rollout));
    assert_eq!(state.shown_portion().map(|p| p.id.as_str()), Some("cart"));
}

#[test]
fn hold_offers_to_let_go_when_it_is_set() {
    let mut view = sample::shop();
    view.hold = Some("foreshadow/hold is set".into());
    let (state, _) = typed(at(view, acting()), "H");
    assert!(asks(&state, &Command::Hold { on: false }));
}

#[test]
fn enter_leads_from_portion_to_node_and_esc_back_the_same_way() {
    let (state, _) = typed(at(sample::shop(), Options::default()), "⏎j⏎");
    let crumbs: Vec<String> = state.trail.iter().map(|p| p.crumb()).collect();
    assert_eq!(crumbs, ["Overview", "web", "Nodes of edge-b"]);
    let (state, _) = typed(state, "⎋");
    assert_eq!(state.screen(), Screen::Portion);
    let (state, _) = typed(state, "⎋");
    assert!(state.at_home());
}

#[test]
fn left_and_right_on_a_portion_show_the_ones_beside_it() {
    let shown = |keys: &str| {
        let (state, _) = typed(at(sample::shop(), Options::default()), keys);
        state.shown_portion().map(|p| p.id.0.clone())
    };
    assert_eq!(shown("⏎l").as_deref(), Some("cart"));
    assert_eq!(shown("⏎lh").as_deref(), Some("web"));
    assert_eq!(shown("⏎h").as_deref(), Some("search"));
}

#[test]
fn the_filter_keeps_and_inverts() {
    let rows =
        |keys: &str| crate::tui::rows::rows(&typed(at(sample::shop(), Options::default()), keys).0);
    assert_eq!(rows("/CAR⏎"), ["cart"]);
    assert_eq!(rows("/!ar⏎").len(), 3);
    assert_eq!(rows("/car⎋").len(), 5);
    assert_eq!(rows("/car").len(), 1, "it filters while it is typed");
}

#[test]
fn the_log_follows_until_one_scrolls_up() {
    let (state, _) = typed(at(sample::shop(), Options::default()), "8");
    assert!(state.follow);
    let (state, _) = typed(state, "k");
    assert!(!state.follow);
    let here = cursor(&state);
    let mut view = sample::shop();
    view.log.push(crate::engine::view::LogLine {
        seq: 99,
        ..view.log[0].clone()
    });
    let (state, effects) = update(state, Event::View(Arc::new(view)));
    assert_eq!((cursor(&state), effects), (here, vec![Effect::Draw]));
    let (state, _) = typed(state, "G");
    assert!(state.follow);
    assert_eq!(state.log.len(), 15);
}

#[test]
fn the_cursor_stays_on_its_row_when_rows_move() {
    let (state, _) = typed(at(sample::shop(), Options::default()), "j");
    let mut view = sample::shop();
    view.portions[1].health = crate::engine::view::Health::Good;
    let (state, _) = update(state, Event::View(Arc::new(view)));
    assert_eq!(crate::tui::rows::rows(&state)[cursor(&state)], "cart");
}

#[test]
fn a_frozen_picture_waits_and_a_same_view_draws_nothing() {
    let state = at(sample::shop(), Options::default());
    let (state, effects) = update(state, Event::View(Arc::new(sample::shop())));
    assert_eq!(effects, []);
    let (state, _) = press(state, KeyCode::Char('f'), KeyModifiers::CONTROL);
    let mut view = sample::shop();
    view.cycle += 1;
    let (state, effects) = update(state, Event::View(Arc::new(view)));
    assert_eq!((state.view.cycle, effects), (812, vec![]));
    let (state, _) = press(state, KeyCode::Char('f'), KeyModifiers::CONTROL);
    assert_eq!(state.view.cycle, 813);
}

#[test]
fn silence_is_told_and_ends_with_the_next_view() {
    let (state, effects) = update(
        at(sample::shop(), Options::default()),
        Event::Silence(Span::secs(5)),
    );
    assert_eq!(effects, [Effect::Draw]);
    assert!(picture(&state, (120, 40)).contains("stale 5 s"));
    let (state, effects) = update(state, Event::View(Arc::new(sample::shop())));
    assert_eq!(effects, [Effect::Draw]);
    assert!(!picture(&state, (120, 40)).contains("stale"));
}

#[test]
fn the_palette_runs_words_and_goes_to_portions() {
    let (state, _) = typed(at(sample::shop(), Options::default()), ":nod⏎");
    assert_eq!(state.screen(), Screen::Nodes);
    let (state, _) = typed(state, ":portion led⏎");
    assert_eq!(state.place().crumb(), "ledger");
    let (state, _) = typed(state, ":xyzzy⏎");
    assert!(state.notice.unwrap().contains("xyzzy"));
}
