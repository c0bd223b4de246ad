use super::*;
use crate::engine::view::Command;
use crate::tui::keys::Keys;
use crate::tui::render::{Target, spots};
use crate::tui::sample;
use crate::tui::screen::Screen;
use crate::tui::state::Overlay;
use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

pub fn click(column: u16, row: u16) -> Event {
    Event::Mouse(MouseEvent {
        kind: MouseEventKind::Down(MouseButton::Left),
        column,
        row,
        modifiers: KeyModifiers::NONE,
    })
}

pub fn wheel(down: bool) -> Event {
    let kind = match down {
        true => MouseEventKind::ScrollDown,
        false => MouseEventKind::ScrollUp,
    };
    Event::Mouse(MouseEvent {
        kind,
        column: 1,
        row: 1,
        modifiers: KeyModifiers::NONE,
    })
}

fn with_mouse(options: Options) -> State {
    let mouse = true;
    at(sample::shop(), Options { mouse, ..options })
}

fn cursor(state: &State) -> usize {
    state.cursor_on(&crate::tui::rows::listed(state))
}

/// Clicks the first spot that is meant for `what`.
fn click_on(state: State, what: Target) -> (State, Vec<Effect>) {
    let found = spots(&state).into_iter().find(|s| s.what == what);
    let area = found.expect("it is shown").area;
    update(state, click(area.x + 1, area.y))
}

#[test]
fn a_click_selects_a_row_and_one_more_opens_it_on_every_screen_with_rows() {
    for screen in [
        Screen::Overview,
        Screen::Nodes,
        Screen::Shadows,
        Screen::Plan,
        Screen::Log,
    ] {
        let (state, _) = click_on(with_mouse(Options::default()), Target::Tab(screen));
        assert_eq!(state.screen(), screen);
        let (state, effects) = click_on(state, Target::Row(2));
        assert_eq!((cursor(&state), effects), (2, vec![Effect::Draw]));
        let (after, _) = click_on(state.clone(), Target::Row(2));
        let opened = after.trail.len() > state.trail.len() || after.notice.is_some();
        assert!(opened, "{}", screen.title());
    }
}

#[test]
fn the_wheel_moves_three_rows_and_pauses_the_log() {
    let (state, _) = update(with_mouse(Options::default()), wheel(true));
    assert_eq!(cursor(&state), 3);
    let (state, _) = typed(state, "8");
    let last = cursor(&state);
    let (state, _) = update(state, wheel(false));
    assert_eq!((cursor(&state), state.follow), (last - 3, false));
}

#[test]
fn the_mouse_is_the_terminals_until_it_is_asked_for() {
    let state = at(sample::shop(), Options::default());
    let (state, effects) = update(state, click(10, 12));
    assert_eq!((cursor(&state), effects), (0, vec![]));
    let (state, effects) = typed(state, "m");
    assert!(effects.contains(&Effect::Mouse(true)));
    let (state, _) = click_on(state, Target::Row(3));
    assert_eq!(cursor(&state), 3);
}

#[test]
fn no_single_click_does_anything_to_the_estate() {
    let (state, _) = typed(with_mouse(acting()), "p");
    let sent = |effects: &[Effect]| effects.iter().any(|e| matches!(e, Effect::Send(_)));
    let (state, effects) = click_on(state, Target::Button(true));
    assert!(!sent(&effects), "the first click moves the focus");
    assert!(matches!(state.overlay, Overlay::Confirm { yes: true, .. }));
    let (_, effects) = click_on(state.clone(), Target::Button(true));
    let portion = "web".into();
    let pin = Command::Pin { portion, on: true };
    assert!(effects.contains(&Effect::Send(pin)));
    // What lies below a dialog is not clicked through it.
    let (after, effects) = update(state.clone(), click(60, 7));
    assert_eq!(after.overlay, state.overlay);
    assert!(!sent(&effects));
}

#[test]
fn n_steps_through_rows_that_have_what_was_filtered_for() {
    let (state, _) = typed(at(sample::shop(), Options::default()), "8/web⏎⎋");
    assert!(state.filter.is_empty(), "all lines are shown again");
    let all = state.log.len();
    let text = |state: &State| {
        let line = crate::tui::rows::log(state)[cursor(state)];
        let about = line.portion.as_ref().map_or("", |p| p.as_str());
        format!("{about} {}", line.text)
    };
    let (mut state, mut seen) = (state, Vec::new());
    let hits = crate::tui::rows::having(&state);
    assert!(hits.len() > 2 && hits.len() < all);
    for _ in 0..=hits.len() {
        (state, _) = typed(state, "n");
        assert!(text(&state).contains("web"), "{}", text(&state));
        seen.push(cursor(&state));
    }
    assert_eq!(seen[0], hits[0], "from the end round to the first");
    assert_eq!(seen[hits.len()], seen[0], "and round again");
    let told = format!("1 of {} with `web`", hits.len());
    assert_eq!(state.notice.as_deref(), Some(told.as_str()));
    let (state, _) = typed(state, "N");
    assert_eq!(cursor(&state), hits[hits.len() - 1]);
    let (state, _) = typed(state, "5/xyzzy⏎⎋n");
    assert_eq!(state.notice.as_deref(), Some("no row here has `xyzzy`"));
}

#[test]
fn compact_shows_more_rows_and_the_same_words_about_them() {
    let full = at(sample::crowd(600), Options::default());
    let (compact, _) = press(full.clone(), KeyCode::Char('h'), KeyModifiers::CONTROL);
    for size in [(60, 15), (80, 24), (120, 40), (200, 60)] {
        let rows = |state: &State| {
            let picture = picture(state, size);
            picture.lines().filter(|l| l.contains("breach")).count()
        };
        assert!(rows(&compact) > rows(&full), "{size:?}");
    }
    for size in [(60, 15), (120, 40)] {
        let state = State {
            compact: true,
            ..at(sample::shop(), Options::default())
        };
        let name = format!("compact_{}x{}", size.0, size.1);
        insta::assert_snapshot!(name, picture(&state, size));
    }
}

#[test]
fn what_is_copied_is_what_other_tools_call_it() {
    let copied = |keys: &str| {
        let (_, effects) = typed(at(sample::shop(), Options::default()), keys);
        effects.into_iter().find_map(|e| match e {
            Effect::Copy(text) => Some(text),
            _ => None,
        })
    };
    let alloc = sample::shop().portions[0].instances[0].alloc.to_string();
    assert_eq!(copied("jy").as_deref(), Some("cart"));
    assert_eq!(copied("⏎y"), Some(alloc));
    assert_eq!(copied("4y").as_deref(), Some("edge-a"));
    assert_eq!(copied("5y").as_deref(), Some("edge-b-1-id"));
    assert_eq!(copied("6y").as_deref(), Some("sh-0010"));
    assert_eq!(copied("3y").as_deref(), Some("web"));
    assert!(copied("8y").is_some_and(|text| text.contains("renewed")));
    let (state, effects) = typed(at(View::default(), Options::default()), "y");
    assert_eq!(effects, [Effect::Draw]);
    assert!(state.notice.is_some_and(|n| n.contains("nothing is under")));
}

#[test]
fn keys_of_ones_own_are_what_help_footer_and_sentences_say() {
    let keys = Keys::with([("back", "ctrl-b"), ("palette", "f2")]).unwrap();
    let options = Options {
        keys,
        ..Options::default()
    };
    let (state, _) = press(
        at(sample::shop(), options),
        KeyCode::F(2),
        KeyModifiers::NONE,
    );
    assert!(matches!(state.overlay, Overlay::Palette { .. }));
    let (state, _) = typed(state, "⎋/xyzzy⏎");
    let shown = picture(&state, (120, 40));
    assert!(
        shown.contains("no portion passes the filter; ^b drops it"),
        "{shown}"
    );
    assert!(shown.contains("F2 palette"), "{shown}");
    let (state, _) = press(state, KeyCode::Char('b'), KeyModifiers::CONTROL);
    assert!(state.filter.is_empty());
    assert!(picture(&typed(state, "?").0, (120, 40)).contains("^b       back"));
}

#[test]
fn a_portion_is_shown_as_a_tree_down_to_nodes_and_shadows() {
    let (state, _) = typed(at(sample::shop(), Options::default()), "t");
    assert_eq!(state.place().crumb(), "web");
    insta::assert_snapshot!("tree", picture(&state, (120, 40)));
    let (below, _) = typed(state.clone(), "G");
    assert!(cursor(&below) > cursor(&state), "rows are its allocations");
    let (plots, _) = typed(state, "t");
    assert!(picture(&plots, (120, 40)).contains("Requests a second"));
    let mut view = sample::shop();
    view.portions[0].instances.clear();
    let (state, _) = typed(at(view, Options::default()), "t");
    assert!(picture(&state, (80, 24)).contains("no instance of it is seen now"));
}

#[test]
fn help_scrolls_to_its_last_sign_and_back_at_once() {
    let last = "nobody has asked";
    for size in [(40, 10), (80, 24)] {
        let mut state = at(sample::shop(), Options::default());
        state.size = size;
        let (over, _) = typed(state.clone(), &format!("?{}", "j".repeat(400)));
        let (screen, _) = typed(state, "9⇥G");
        for state in [over, screen] {
            let end = picture(&state, size);
            assert!(end.contains(last), "{end}");
            let (back, _) = typed(state, "k");
            let up = picture(&back, size);
            assert_ne!(up, end, "one line up is seen at once");
            assert!(!up.contains(last), "{up}");
        }
    }
}

#[test]
fn a_switch_to_where_all_is_served_says_so_and_one_to_elsewhere_does_not() {
    let mut view = sample::shop();
    let web = view.portions.iter_mut().find(|p| p.id.as_str() == "web");
    let web = web.unwrap();
    web.moving = None;
    let first = web.instances[0].site.clone();
    web.instances.retain(|i| i.site == first);
    web.instances[0].desired = crate::model::Share::ALL;
    let at_site = view.sites.iter().position(|s| s.site == first).unwrap();
    let notice = |down: usize| {
        let keys = format!("s{}⏎web⇥⏎", "j".repeat(down));
        let (state, _) = typed(at(view.clone(), acting()), &keys);
        state.notice.unwrap_or_default()
    };
    let told = "it serves all of it already, nothing is to be moved";
    assert!(notice(at_site).contains(told), "{}", notice(at_site));
    let elsewhere = notice((at_site + 1) % view.sites.len());
    assert!(elsewhere.starts_with("asked: Switch web") && !elsewhere.contains(told));
}
