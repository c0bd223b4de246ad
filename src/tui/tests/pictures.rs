//! Screens as files: text, SVG and PNG.

use super::*;
use crate::tui::screen::Screen;
use crate::tui::{Format, ScreenshotError, sample, screenshot};

#[test]
fn pictures_come_as_text_and_svg() {
    let view = sample::shop();
    for screen in Screen::ALL {
        let svg = String::from_utf8(
            screenshot(
                &view,
                screen.title(),
                (120, 40),
                Format::Svg,
                &Options::default(),
            )
            .unwrap(),
        )
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
    let text = String::from_utf8(
        screenshot(&view, "portion", (80, 24), Format::Txt, &Options::default()).unwrap(),
    )
    .unwrap();
    assert_eq!(text.lines().count(), 24);
    assert!(text.contains('░'), "the band shows in text too");
}

#[test]
fn what_cannot_be_pictured_is_refused_with_what_can() {
    let view = View::default();
    let refused = |screen, size, format| {
        screenshot(&view, screen, size, format, &Options::default()).unwrap_err()
    };
    let unknown = refused("overvew", (80, 24), Format::Txt);
    assert!(unknown.to_string().contains("overview, portion"));
    let small = refused("log", (10, 10), Format::Txt);
    assert!(matches!(small, ScreenshotError::Size(10, 10)));
    assert!(
        "gif"
            .parse::<Format>()
            .unwrap_err()
            .to_string()
            .contains("txt, svg, png")
    );
}

#[test]
fn a_png_is_drawn_with_a_font_of_its_own_and_every_glyph_of_every_screen_is_in_it() {
    let view = sample::shop();
    for screen in Screen::ALL {
        let file = screenshot(
            &view,
            screen.title(),
            (120, 40),
            Format::Png,
            &Options::default(),
        )
        .unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file))
            .read_info()
            .unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((frame.width, frame.height), (120 * 10 + 28, 40 * 20 + 28));
        let ink = pixels
            .chunks(3)
            .filter(|p| *p != [0x11, 0x15, 0x1c])
            .count();
        assert!(ink > 10_000, "{}: {ink} pixels", screen.title());
        let buffer =
            crate::tui::draw(&view, screen.title(), (120, 40), Options::default()).unwrap();
        let lacks: Vec<&str> = buffer
            .content
            .iter()
            .map(ratatui::buffer::Cell::symbol)
            .filter(|s| !crate::tui::png::can_draw(s))
            .collect();
        assert!(lacks.is_empty(), "{}: {lacks:?}", screen.title());
    }
}
