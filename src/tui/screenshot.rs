//! Any screen as text, SVG or PNG, drawn from the same buffer that a terminal gets.

use super::render::render;
use super::screen::{Place, Screen};
use super::state::{Options, State};
use super::{png, svg};
use crate::engine::view::View;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::sync::Arc;

/// Smallest and largest picture, in columns and rows.
const SIZES: ((u16, u16), (u16, u16)) = ((40, 10), (400, 200));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Txt,
    Svg,
    Png,
}

impl std::str::FromStr for Format {
    type Err = ScreenshotError;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "txt" => Ok(Format::Txt),
            "svg" => Ok(Format::Svg),
            "png" => Ok(Format::Png),
            _ => Err(ScreenshotError::Format(name.to_string())),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ScreenshotError {
    #[error(
        "there is no screen `{0}`; it is one of overview, portion, rollout, sites, nodes, shadows, plan, log, replay, help"
    )]
    Screen(String),
    #[error("there is no picture format `{0}`; it is one of txt, svg, png")]
    Format(String),
    #[error("a picture of {0}x{1} cannot be drawn; from 40x10 to 400x200 can")]
    Size(u16, u16),
    #[error(transparent)]
    Png(#[from] png::PngError),
}

/// The screen of that name, of the worst portion where it shows one, in the look and with the keys given.
///
/// # Errors
/// An unknown screen or a size out of bounds, with what can be asked for.
pub fn screenshot(
    view: &View,
    screen: &str,
    size: (u16, u16),
    format: Format,
    options: &Options,
) -> Result<Vec<u8>, ScreenshotError> {
    let mut options = options.clone();
    // Text has no background to show a band by; without colour it is drawn in glyphs.
    options.look.color &= format != Format::Txt;
    let buffer = draw(view, screen, size, options)?;
    Ok(match format {
        Format::Txt => text(&buffer).into_bytes(),
        Format::Svg => svg::render(&buffer).into_bytes(),
        Format::Png => png::render(&buffer)?,
    })
}

/// The same as cells, with the look of `options`.
///
/// # Errors
/// An unknown screen, or a size out of bounds.
pub fn draw(
    view: &View,
    screen: &str,
    size: (u16, u16),
    options: Options,
) -> Result<Buffer, ScreenshotError> {
    let shown = Screen::named(screen).ok_or_else(|| ScreenshotError::Screen(screen.to_string()))?;
    let (least, most) = SIZES;
    if size.0 < least.0 || size.1 < least.1 || size.0 > most.0 || size.1 > most.1 {
        return Err(ScreenshotError::Size(size.0, size.1));
    }
    let mut state = State::new(options, Arc::new(view.clone()), size);
    if shown != Screen::Overview {
        let portion = (shown == Screen::Portion)
            .then(|| state.portions().first().map(|p| p.id.clone()))
            .flatten();
        let place = Place::of(shown);
        state.trail.push(Place { portion, ..place });
    }
    let area = Rect::new(0, 0, size.0, size.1);
    let mut buffer = Buffer::empty(area);
    render(&state, area, &mut buffer);
    Ok(buffer)
}

/// The cells as lines, without blanks at their ends.
pub fn text(buffer: &Buffer) -> String {
    let mut out = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut line = String::new();
        let mut skip = 0;
        for x in buffer.area.left()..buffer.area.right() {
            let symbol = buffer[(x, y)].symbol();
            if skip == 0 {
                line.push_str(symbol);
                skip = ratatui::text::Span::raw(symbol).width().saturating_sub(1);
            } else {
                skip -= 1;
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
