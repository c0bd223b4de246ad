use super::*;
use crate::tui::look::Look;
use crate::tui::sample;
use crate::tui::screen::{Place, Screen};
use ratatui::style::{Color, Modifier};

pub(super) fn on(view: View, screen: Screen, options: Options) -> State {
    let mut state = at(view, options);
    go_to(&mut state, screen);
    state
}

fn go_to(state: &mut State, screen: Screen) {
    if screen != Screen::Overview {
        state.trail.push(Place::of(screen));
    }
}

fn look(color: bool, ascii: bool) -> Options {
    Options {
        look: Look {
            color,
            ascii,
            ..Look::default()
        },
        ..Options::default()
    }
}

/// Terminals that every screen must read well on.
const SIZES: [(u16, u16); 4] = [(60, 15), (80, 24), (120, 40), (200, 60)];

#[test]
fn every_screen_reads_well_at_four_sizes() {
    for size in SIZES {
        for screen in Screen::ALL {
            let state = on(sample::shop(), screen, Options::default());
            let name = format!("{}_{}x{}", screen.title(), size.0, size.1);
            insta::assert_snapshot!(name, picture(&state, size));
        }
    }
}

/// What no look may change: which words are shown where. Glyphs are told apart by their meaning elsewhere.
fn words(picture: &str) -> Vec<String> {
    let word = |c: char| c.is_ascii_alphanumeric();
    let all = picture.split(|c| !word(c)).filter(|w| w.len() > 3);
    all.map(str::to_string).collect()
}

#[test]
fn every_screen_says_the_same_at_every_size_in_colour_without_and_in_ascii() {
    for size in SIZES {
        for screen in Screen::ALL {
            let shown = |options| picture(&on(sample::shop(), screen, options), size);
            let (full, plain) = (shown(look(true, false)), shown(look(false, false)));
            assert_eq!(words(&full), words(&plain), "{} {size:?}", screen.title());
            let ascii = shown(look(false, true));
            assert!(
                ascii.chars().all(|c| c.is_ascii() || "≤≥×".contains(c)),
                "{ascii}"
            );
            // Arrows are words there, and what is cut is cut elsewhere: most of it is the same all the same.
            let (a, b) = (words(&plain), words(&ascii));
            let kept = a.iter().filter(|w| b.contains(w)).count();
            assert!(
                kept * 100 >= a.len() * 85,
                "{} {size:?}: {kept} of {}",
                screen.title(),
                a.len()
            );
        }
    }
}

/// Nothing yet, nothing that can be read, and 5,000 of everything.
fn odd() -> [(&'static str, Arc<View>); 3] {
    [
        ("empty", Arc::new(View::default())),
        ("error", Arc::new(sample::blind())),
        ("crowd", Arc::new(sample::crowd(5_000))),
    ]
}

#[test]
fn an_empty_a_blind_and_a_crowded_estate_are_told_on_every_screen_size_and_look() {
    let looks = [look(true, false), look(false, false), look(false, true)];
    for (name, view) in odd() {
        for screen in Screen::ALL {
            for (size, options) in SIZES.iter().flat_map(|s| looks.iter().map(move |l| (s, l))) {
                let mut state = State::new(options.clone(), Arc::clone(&view), *size);
                go_to(&mut state, screen);
                let terminal = shown(&state, *size);
                let picture = terminal.backend().to_string();
                let said = words(&picture).len();
                assert!(said >= 6, "{name} {} {size:?}: {picture}", screen.title());
                let cells = &terminal.backend().buffer().content;
                let plain =
                    |c: &&ratatui::buffer::Cell| c.fg != Color::Reset || c.bg != Color::Reset;
                assert_eq!(cells.iter().any(|c| plain(&c)), options.look.color);
                let odd = picture
                    .chars()
                    .find(|c| !c.is_ascii() && !"≤≥×".contains(*c));
                assert!(odd.is_none() || !options.look.ascii, "{odd:?} in {picture}");
            }
        }
    }
}

#[test]
fn what_is_empty_wrong_or_too_much_reads_well() {
    for (name, view) in odd() {
        let pictures = Screen::ALL.map(|screen| {
            let mut state = State::new(Options::default(), Arc::clone(&view), (80, 24));
            go_to(&mut state, screen);
            format!("{}\n{}", screen.title(), picture(&state, (80, 24)))
        });
        insta::assert_snapshot!(format!("every_{name}_80x24"), pictures.join("\n"));
    }
}

#[test]
fn nothing_to_show_yet_is_told_in_a_sentence_on_every_screen() {
    let told = |screen: Screen| match screen {
        Screen::Overview | Screen::Portion | Screen::Rollout => "no portion is known yet",
        Screen::Sites => "no site is seen",
        Screen::Nodes => "no node is seen",
        Screen::Shadows => "none runs or ran",
        Screen::Plan => "no step is planned",
        Screen::Log => "nothing has been decided yet",
        Screen::Replay => "nothing to look back at yet",
        Screen::Help => "move down one row",
    };
    for screen in Screen::ALL {
        let empty = picture(&on(View::default(), screen, Options::default()), (80, 24));
        assert!(empty.contains(told(screen)), "{}: {empty}", screen.title());
        let blind = picture(&on(sample::blind(), screen, Options::default()), (80, 24));
        assert!(
            blind.contains("held: foreshadow/hold cannot be read"),
            "{blind}"
        );
    }
}

#[test]
fn what_a_run_showed_is_told_of_the_marked_place_load_by_load() {
    let state = on(sample::shop(), Screen::Shadows, Options::default());
    let (state, _) = typed(state, "jjj");
    insta::assert_snapshot!("measured", picture(&state, (120, 40)));
    let small = picture(&state, (80, 24));
    assert!(!small.contains("Measured"), "there is no room for it");
}

#[test]
fn nothing_known_and_nothing_seen_are_told_in_words() {
    let empty = on(View::default(), Screen::Overview, Options::default());
    insta::assert_snapshot!("empty", picture(&empty, (80, 24)));
    let blind = on(sample::blind(), Screen::Overview, Options::default());
    insta::assert_snapshot!("blind", picture(&blind, (80, 24)));
}

#[test]
fn ascii_is_ascii_on_every_screen() {
    for screen in Screen::ALL {
        let state = on(sample::shop(), screen, look(false, true));
        let size = (120, 40);
        let buffer = shown(&state, size).backend().buffer().clone();
        // What the engine says is shown as it is; everything of ours is ASCII.
        let ours = |s: &str| s.is_ascii() || s == "≤";
        let odd: Vec<&str> = buffer
            .content
            .iter()
            .map(|c| c.symbol())
            .filter(|s| !ours(s))
            .collect();
        assert!(odd.is_empty(), "{}: {odd:?}", screen.title());
    }
    let state = on(sample::shop(), Screen::Portion, look(false, true));
    insta::assert_snapshot!("ascii", picture(&state, (80, 24)));
}

#[test]
fn without_colour_no_cell_has_one_and_the_cursor_row_is_marked() {
    for screen in Screen::ALL {
        let state = on(sample::shop(), screen, look(false, false));
        let terminal = shown(&state, (120, 40));
        let buffer = terminal.backend().buffer();
        let plain = |c: &&ratatui::buffer::Cell| c.fg != Color::Reset || c.bg != Color::Reset;
        assert_eq!(
            buffer.content.iter().find(plain),
            None,
            "{}",
            screen.title()
        );
        let marked = (0..40).any(|y| {
            buffer[(1, y)].symbol() == ">" && buffer[(1, y)].modifier.contains(Modifier::BOLD)
        });
        let has_rows = !matches!(screen, Screen::Help | Screen::Rollout | Screen::Replay);
        assert!(marked || !has_rows, "{}", screen.title());
    }
    let state = on(sample::shop(), Screen::Portion, look(false, false));
    insta::assert_snapshot!("no_color", picture(&state, (80, 24)));
}

/// Style of the cell where `text` begins.
fn style_of(terminal: &Terminal<TestBackend>, text: &str) -> ratatui::buffer::Cell {
    let buffer = terminal.backend().buffer();
    for y in 0..buffer.area.height {
        let line: Vec<&str> = (0..buffer.area.width)
            .map(|x| buffer[(x, y)].symbol())
            .collect();
        let begins = |x: &usize| line[*x..].concat().starts_with(text);
        if let Some(x) = (0..line.len()).find(begins) {
            return buffer[(x as u16, y)].clone();
        }
    }
    panic!("{text:?} is not shown");
}

#[test]
fn what_needs_a_person_is_seen_first() {
    let terminal = shown(
        &on(sample::shop(), Screen::Overview, Options::default()),
        (120, 40),
    );
    let badge = style_of(&terminal, " needs you ");
    assert_eq!(badge.fg, Color::LightRed);
    assert!(badge.modifier.contains(Modifier::REVERSED));
    assert_eq!(style_of(&terminal, "breach").fg, Color::LightRed);
    let first = picture(
        &on(sample::shop(), Screen::Overview, Options::default()),
        (120, 40),
    );
    let place = |word: &str| first.find(word).unwrap();
    assert!(place("✗ web") < place("▸ cart") && place("▸ cart") < place("● search"));
}

#[test]
fn reactive_and_predicted_differ_in_glyph_word_and_colour() {
    let terminal = shown(
        &on(sample::shop(), Screen::Plan, Options::default()),
        (120, 40),
    );
    let (now, foreseen) = (
        style_of(&terminal, "! reactive"),
        style_of(&terminal, "◇ predicted"),
    );
    assert_ne!(now.fg, foreseen.fg);
}

#[test]
fn the_forecast_band_is_behind_the_actual_line() {
    let terminal = shown(
        &on(sample::shop(), Screen::Portion, Options::default()),
        (120, 40),
    );
    let buffer = terminal.backend().buffer();
    let band = buffer.content.iter().filter(|c| c.bg == Color::Indexed(24));
    let over = band.clone().filter(|c| c.symbol() != " ");
    assert!(band.count() > 60 && over.count() > 10);
}

#[test]
fn five_thousand_rows_of_everything_are_walked_through_on_every_screen() {
    let view = sample::crowd(5_000);
    for screen in Screen::ALL {
        for size in [(60, 15), (200, 60)] {
            let mut state = on(view.clone(), screen, Options::default());
            (state, _) = typed(state, "GGkjjg");
            let picture = picture(&state, size);
            assert_eq!(picture.lines().count(), usize::from(size.1));
        }
    }
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    let state = on(sample::shop(), Screen::Overview, Options::default());
    assert!(picture(&state, (39, 9)).contains("foreshadow needs 40x10 or more"));
    for (w, h) in [(1, 1), (3, 2), (40, 10)] {
        picture(&state, (w, h));
    }
}

#[test]
fn dialogs_are_drawn_with_cancel_in_focus() {
    let (state, _) = typed(at(sample::shop(), acting()), "s");
    insta::assert_snapshot!("pick", picture(&state, (80, 24)));
    let (state, _) = typed(state, "jj⏎");
    insta::assert_snapshot!("confirm", picture(&state, (80, 24)));
    let terminal = shown(&state, (80, 24));
    assert!(
        style_of(&terminal, "[> cancel <]")
            .modifier
            .contains(Modifier::REVERSED)
    );
}

#[test]
fn the_palette_is_drawn_from_the_key_table() {
    let (state, _) = typed(at(sample::shop(), Options::default()), ":s");
    insta::assert_snapshot!("palette", picture(&state, (80, 24)));
}

#[test]
fn lines_are_drawn_in_half_blocks_where_there_is_no_braille() {
    let mut options = Options::default();
    options.look.blocks = true;
    let picture = picture(&on(sample::shop(), Screen::Portion, options), (120, 40));
    assert!(
        !picture
            .chars()
            .any(|c| ('\u{2800}'..='\u{28ff}').contains(&c))
    );
    assert!(picture.contains('▀') && picture.contains('▄'));
}

#[test]
fn a_saved_screen_is_what_was_shown_and_its_json_can_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = on(sample::shop(), Screen::Rollout, Options::default());
    let name = crate::tui::run::export(&state, folder.path()).unwrap();
    let read =
        |end: &str| std::fs::read_to_string(folder.path().join(format!("{name}.{end}"))).unwrap();
    assert!(name.starts_with("foreshadow-rollout-"));
    assert!(read("txt").contains("step 2"));
    let again: View = serde_json::from_str(&read("json")).unwrap();
    assert_eq!(again.portions.len(), state.view.portions.len());
}
