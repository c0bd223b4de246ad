//! The frame of every screen: who acts and whether, tabs, breadcrumbs, and the keys that matter here.

use super::pen::{Pen, Piece, clock, piece, short};
use crate::engine::view::Mode;
use crate::model::Span;
use crate::tui::keys::{self, Act};
use crate::tui::look::Tone;
use crate::tui::state::{Overlay, Screen, State};
use ratatui::layout::Rect;

/// A view that is this old is called stale.
const STALE: Span = Span::secs(3);

/// Draws the frame; the area that is left for the screen.
pub fn draw(state: &State, pen: &mut Pen, area: Rect) -> Rect {
    banner(state, pen, area);
    tabs(state, pen, area);
    let mut top = area.y + 2;
    if let Some(text) = warning(state) {
        let style = pen.look.badge(Tone::Warn);
        let x = pen.text(area.x + 1, top, area.width, " ! ", style);
        pen.line(
            x + 1,
            top,
            area.right().saturating_sub(x + 1),
            &[piece(text, Tone::Warn)],
        );
        top += 1;
    }
    crumbs(
        state,
        pen,
        Rect {
            y: top,
            height: 1,
            ..area
        },
    );
    top += if area.height >= 20 { 2 } else { 1 };
    footer(state, pen, area);
    Rect {
        x: area.x + 1,
        y: top,
        width: area.width.saturating_sub(2),
        height: area.bottom().saturating_sub(top + 1),
    }
}

fn banner(state: &State, pen: &mut Pen, area: Rect) {
    let view = &state.view;
    let look = pen.look;
    let style = look.badge(Tone::Accent);
    let x = pen.text(area.x, area.y, area.width, " foreshadow ", style) + 1;
    let mut right: Vec<Piece> = Vec::new();
    if state.frozen {
        right.push(piece("frozen ", Tone::Warn));
    }
    // Views that come every ten seconds are not stale after three.
    if state.silence >= STALE.max(state.pace.times(3)) {
        right.push(piece(format!("stale {} ", short(state.silence)), Tone::Bad));
    }
    right.push(piece(format!("{}Z ", clock(view.at)), Tone::Plain));
    let end = pen.right(area.right(), area.y, &right);
    let (glyph, word, tone) = match view.mode {
        Mode::Act => (look.pick("●", "o"), "acts", Tone::Good),
        Mode::Observe => (look.pick("○", "-"), "observes only", Tone::Watch),
    };
    let keys = if state.options.allow_act {
        "keys may act"
    } else {
        "read-only"
    };
    let tone_keys = if state.options.allow_act {
        Tone::Warn
    } else {
        Tone::Dim
    };
    let dot = look.pick(" · ", " | ");
    let mut left = vec![
        piece(format!("{glyph} {word}"), tone),
        piece(dot, Tone::Dim),
        piece(keys, tone_keys),
    ];
    if area.width >= 100 {
        left.push(piece(dot, Tone::Dim));
        left.push(piece(format!("leader {}", view.leader), Tone::Plain));
        left.push(piece(
            format!("{dot}epoch {}{dot}cycle {}", view.epoch.0, view.cycle),
            Tone::Dim,
        ));
    }
    pen.line(x, area.y, end.saturating_sub(x + 1), &left);
}

fn tabs(state: &State, pen: &mut Pen, area: Rect) {
    let y = area.y + 1;
    let mut x = area.x;
    for screen in Screen::ALL {
        let key = keys::of(Act::Go(screen)).shown;
        let title = screen.title();
        let brief = &title[..title.len().min(4)];
        let text = match area.width {
            0..=69 => format!("{key} {}", &brief[..brief.len().min(3)]),
            70..=97 => format!(" {key} {brief}"),
            _ => format!(" {key} {title} "),
        };
        let room = area.right().saturating_sub(x);
        if screen == state.screen() {
            let style = pen.look.badge(Tone::Plain);
            x = pen.text(x, y, room, &text, style);
            // Without reverse video (a plain text copy), the tab still shows.
            let mark = if text.ends_with(' ') { x - 1 } else { x };
            x = pen.text(mark, y, 1, pen.look.pick("◂", "<"), style);
        } else {
            x = pen.tone(x, y, room, &text, Tone::Dim);
            x += u16::from(area.width < 70);
        }
        x += u16::from(area.width >= 112);
    }
}

/// What stands in the way of everything: a hold, or that little can be seen.
fn warning(state: &State) -> Option<String> {
    let view = &state.view;
    let blind = match view.blind.len() {
        0 => None,
        1 => Some(format!("blind to {}", view.blind[0])),
        n => Some(format!("blind to {n} things; first {}", view.blind[0])),
    };
    let hold = view.hold.as_ref().map(|hold| format!("held: {hold}"));
    let frozen = view.frozen.as_ref().map(|(who, until)| {
        let left = short(until.since(view.at));
        format!("changes are frozen by {who} for {left}")
    });
    let all: Vec<String> = [hold, frozen, blind].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn crumbs(state: &State, pen: &mut Pen, area: Rect) {
    let arrow = format!(" {} ", pen.look.arrow());
    let mut pieces: Vec<Piece> = Vec::new();
    for (k, place) in state.trail.iter().enumerate() {
        if k > 0 {
            pieces.push(piece(arrow.clone(), Tone::Dim));
        }
        let last = k + 1 == state.trail.len();
        pieces.push(piece(
            place.crumb(),
            if last { Tone::Strong } else { Tone::Dim },
        ));
    }
    let filter = match &state.overlay {
        Overlay::Filter { text } => Some(format!("/{text}{}", pen.look.pick("▏", "|"))),
        _ if !state.filter.is_empty() => Some(format!("/{}", state.filter)),
        _ => None,
    };
    if let Some(filter) = filter {
        pieces.push(piece("   ", Tone::Plain));
        pieces.push(piece(filter, Tone::Accent));
    }
    pen.line(area.x + 1, area.y, area.width.saturating_sub(2), &pieces);
}

fn footer(state: &State, pen: &mut Pen, area: Rect) {
    let y = area.bottom() - 1;
    let wide = area.width.saturating_sub(2);
    if let Some(notice) = &state.notice {
        pen.line(area.x + 1, y, wide, &[piece(notice.as_str(), Tone::Accent)]);
        return;
    }
    let mut acts = match state.screen() {
        Screen::Overview | Screen::Plan => vec![Act::Enter, Act::Filter],
        Screen::Portion | Screen::Rollout => vec![Act::Right, Act::Enter, Act::Back],
        Screen::Replay => vec![Act::Right, Act::Filter, Act::Enter, Act::Back],
        Screen::Sites | Screen::Nodes | Screen::Shadows => vec![Act::Enter, Act::Filter, Act::Back],
        Screen::Log => vec![Act::Filter, Act::Follow, Act::Enter, Act::Back],
        Screen::Help => vec![Act::Down, Act::Back],
    };
    if state.options.allow_act {
        acts.extend([Act::Hold, Act::Abort, Act::Switch, Act::Shadow, Act::Pin]);
    }
    acts.extend([Act::NextScreen, Act::Palette, Act::Help, Act::Quit]);
    let mut x = area.x + 1;
    for act in acts {
        let binding = keys::of(act);
        let shown = if act == Act::Right {
            "h l"
        } else {
            binding.shown
        };
        let word = if act == Act::Right {
            "beside"
        } else {
            binding.word
        };
        let shown = ascii_keys(pen.look.ascii, shown);
        let need = super::pen::width(&shown) + super::pen::width(word) + 3;
        if x + need > area.right() {
            break;
        }
        x = pen.tone(x, y, wide, &shown, Tone::Accent) + 1;
        x = pen.tone(x, y, wide, word, Tone::Dim) + 2;
    }
}

/// Arrows as words where only ASCII can be shown.
pub fn ascii_keys(ascii: bool, shown: &str) -> String {
    if !ascii {
        return shown.to_string();
    }
    let words = [("↓", "Down"), ("↑", "Up"), ("←", "Left"), ("→", "Right")];
    words.iter().fold(shown.to_string(), |text, (sign, word)| {
        text.replace(sign, word)
    })
}
