use super::*;
use crate::tui::look::Look;
use crate::tui::state::{Place, Screen};
use crate::tui::{Format, ScreenshotError, sample, screenshot};
use ratatui::style::{Color, Modifier};

fn on(view: View, screen: Screen, options: Options) -> State {
    let mut state = at(view, options);
    if screen != Screen::Overview {
        state.trail.push(Place::of(screen));
    }
    state
}

fn look(color: bool, ascii: bool) -> Options {
    Options {
        look: Look { color, ascii },
        allow_act: false,
    }
}

#[test]
fn overview_and_portion_read_well_at_four_sizes() {
    for size in [(60, 15), (80, 24), (120, 40), (200, 60)] {
        for screen in [Screen::Overview, Screen::Portion] {
            let state = on(sample::shop(), screen, Options::default());
            let name = format!("{}_{}x{}", screen.title(), size.0, size.1);
            insta::assert_snapshot!(name, picture(&state, size));
        }
    }
}

#[test]
fn every_other_screen_reads_well() {
    for screen in &Screen::ALL[2..] {
        let state = on(sample::shop(), *screen, Options::default());
        insta::assert_snapshot!(screen.title(), picture(&state, (120, 40)));
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
        let has_rows = !matches!(screen, Screen::Help | Screen::Sites);
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
fn five_thousand_rows_of_everything_fit_every_screen() {
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
fn pictures_come_as_text_and_svg() {
    let view = sample::shop();
    for screen in Screen::ALL {
        let svg =
            String::from_utf8(screenshot(&view, screen.title(), (120, 40), Format::Svg).unwrap())
                .unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert_eq!(
            svg.matches("<text ").count(),
            svg.matches("</text>").count()
        );
        assert!(
            svg.len() < 600_000,
            "{}: {} bytes",
            screen.title(),
            svg.len()
        );
    }
    let text =
        String::from_utf8(screenshot(&view, "portion", (80, 24), Format::Txt).unwrap()).unwrap();
    assert_eq!(text.lines().count(), 24);
    assert!(text.contains('░'), "the band shows in text too");
}

#[test]
fn what_cannot_be_pictured_is_refused_with_what_can() {
    let view = View::default();
    let refused = |screen, size, format| screenshot(&view, screen, size, format).unwrap_err();
    let unknown = refused("overvew", (80, 24), Format::Txt);
    assert!(unknown.to_string().contains("overview, portion"));
    assert_eq!(
        refused("log", (10, 10), Format::Txt),
        ScreenshotError::Size(10, 10)
    );
    assert_eq!(refused("log", (80, 24), Format::Png), ScreenshotError::Png);
    assert!(
        "gif"
            .parse::<Format>()
            .unwrap_err()
            .to_string()
            .contains("txt, svg")
    );
}
