//! Draws a `State` into a buffer; one file a panel, and nothing here changes anything.

mod dialog;
mod frame;
mod headline;
mod help;
mod living;
mod log;
mod map;
mod measured;
mod nodes;
mod overview;
mod pen;
mod plan;
mod plot;
mod portion;
mod profile;
mod pulse;
mod replay;
mod rollout;
mod shadows;
mod sites;
mod strip;
mod tree;
mod weights;

use super::screen::Screen;
use super::state::State;
use pen::Pen;
pub use pen::{Spot, Target};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Smaller than this, there is only a sentence that says so.
const SMALLEST: (u16, u16) = (40, 10);

/// Draws everything: banner, tabs, the screen, the footer and what lies over it.
pub fn render(state: &State, area: Rect, buf: &mut Buffer) {
    drawn(state, area, buf);
}

/// What can be clicked of what is shown, the uppermost last.
pub fn spots(state: &State) -> Vec<Spot> {
    let area = Rect::new(0, 0, state.size.0, state.size.1);
    drawn(state, area, &mut Buffer::empty(area))
}

/// The furthest that help can be scrolled to, as a screen or over another one.
pub fn end_of_help(state: &State) -> usize {
    let area = Rect::new(0, 0, state.size.0, state.size.1);
    let mut buf = Buffer::empty(area);
    let mut pen = Pen {
        buf: &mut buf,
        look: state.look(),
        spots: Vec::new(),
    };
    let body = frame::draw(state, &mut pen, area);
    help::draw(state, &mut pen, body, 0)
}

fn drawn(state: &State, area: Rect, buf: &mut Buffer) -> Vec<Spot> {
    let mut pen = Pen {
        buf,
        look: state.look(),
        spots: Vec::new(),
    };
    if let (Some((ground, text)), true) = (pen.look.theme.ground, pen.look.color) {
        pen.paint(area, Style::new().bg(ground).fg(text));
    }
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let (w, h) = SMALLEST;
        let text = format!("foreshadow needs {w}x{h} or more");
        let lines = pen::wrap(&text, area.width);
        for (k, line) in lines.iter().take(usize::from(area.height)).enumerate() {
            let y = area.y + k as u16;
            pen.tone(area.x, y, area.width, line, super::look::Tone::Warn);
        }
        return pen.spots;
    }
    let body = frame::draw(state, &mut pen, area);
    match state.screen() {
        Screen::Overview => overview::draw(state, &mut pen, body),
        Screen::Portion => portion::draw(state, &mut pen, body),
        Screen::Rollout => rollout::draw(state, &mut pen, body),
        Screen::Sites => sites::draw(state, &mut pen, body),
        Screen::Nodes => nodes::draw(state, &mut pen, body),
        Screen::Shadows => shadows::draw(state, &mut pen, body),
        Screen::Plan => plan::draw(state, &mut pen, body),
        Screen::Log => log::draw(state, &mut pen, body),
        Screen::Replay => replay::draw(state, &mut pen, body),
        Screen::Help => {
            help::draw(state, &mut pen, body, help::scroll(state));
        }
    }
    dialog::draw(state, &mut pen, body);
    pen.spots
}
