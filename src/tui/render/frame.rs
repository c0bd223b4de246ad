//! The frame of every screen: who acts and whether, tabs, breadcrumbs, and the keys that matter here.

use super::headline;
use super::pen::{Pen, Piece, Target, clock, piece, row, short, width};
use crate::engine::view::Mode;
use crate::model::Span;
use crate::tui::keys::{self as table, Act};
use crate::tui::look::Tone;
use crate::tui::screen::Screen;
use crate::tui::state::{Overlay, State};
use ratatui::layout::Rect;

/// A view that is this old is called stale.
const STALE: Span = Span::secs(3);

/// Draws the frame; the area that is left for the screen.
pub fn draw(state: &State, pen: &mut Pen, area: Rect) -> Rect {
    verdict(state, pen, area);
    banner(state, pen, area);
    let mut top = area.y + 2;
    if !state.compact {
        tabs(state, pen, row(area, 2));
        top += 1;
    }
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
    if !state.compact || !state.at_home() {
        crumbs(state, pen, row(area, usize::from(top - area.y)));
        top += if area.height >= 20 && !state.compact {
            2
        } else {
            1
        };
    }
    footer(state, pen, area);
    Rect {
        x: area.x + 1,
        y: top,
        width: area.width.saturating_sub(2),
        height: area.bottom().saturating_sub(top + 1),
    }
}

/// What is wrong, and how fresh that is.
fn verdict(state: &State, pen: &mut Pen, area: Rect) {
    let mut right: Vec<Piece> = Vec::new();
    if state.frozen {
        right.push(piece("frozen ", Tone::Warn));
    }
    // Views that come every ten seconds are not stale after three.
    if state.silence >= STALE.max(state.pace.times(3)) {
        right.push(piece(format!("stale {} ", short(state.silence)), Tone::Bad));
    }
    right.push(piece(format!("{}Z ", clock(state.view.at)), Tone::Plain));
    let end = pen.right(area.right(), area.y, &right);
    let (badge, text) = headline::wrong(state);
    let mut x = area.x + 1;
    if let Some(badge) = badge {
        let style = pen.look.badge(Tone::Bad);
        x = pen.text(area.x, area.y, area.width, &badge, style) + 1;
    }
    pen.line(x, area.y, end.saturating_sub(x + 1), &text);
}

/// Whether it acts.
fn acts<'a>(state: &State, pen: &Pen) -> Piece<'a> {
    let look = pen.look;
    let (glyph, word, tone) = match state.view.mode {
        Mode::Act => (look.pick("●", "o"), "acts", Tone::Good),
        Mode::Observe => (look.pick("○", "-"), "observes only", Tone::Watch),
    };
    piece(format!("{glyph} {word}"), tone)
}

/// Whether keys may.
fn keys<'a>(state: &State) -> Piece<'a> {
    match state.options.allow_act {
        true => piece("keys may act", Tone::Warn),
        false => piece("keys read-only", Tone::Dim),
    }
}

/// Narrower than this, what keys may stands in the footer, and narrower than that whether it acts too.
const ROOMY: u16 = 100;
const NARROW: u16 = 76;

/// Who, how, and what it does: one sentence.
fn banner(state: &State, pen: &mut Pen, area: Rect) {
    let y = area.y + 1;
    let style = pen.look.badge(Tone::Accent);
    let mut x = pen.text(area.x, y, area.width, " foreshadow ", style) + 1;
    let dot = pen.look.pick(" · ", " | ");
    let mut mode = Vec::new();
    if area.width >= NARROW {
        mode.extend([acts(state, pen), piece(dot, Tone::Dim)]);
    }
    if area.width >= ROOMY {
        mode.extend([keys(state), piece(dot, Tone::Dim)]);
    }
    x = pen.line(x, y, area.right().saturating_sub(x), &mode);
    let doing = headline::doing(state);
    pen.line(x, y, area.right().saturating_sub(x + 1), &doing);
}

fn tabs(state: &State, pen: &mut Pen, area: Rect) {
    let y = area.y;
    let mut x = area.x;
    for screen in Screen::ALL {
        let key = state.options.keys.first(Act::Go(screen));
        let (begin, title) = (x, screen.title());
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
        pen.spot(Rect::new(begin, y, x - begin, 1), Target::Tab(screen));
        x += u16::from(area.width >= 112);
    }
}

/// What stands in the way of everything: a hold, or that little can be seen.
fn warning(state: &State) -> Option<String> {
    let view = &state.view;
    let blind = match (view.blind.len(), one_place(&view.blind)) {
        (0, _) => None,
        (1, _) => Some(format!("blind to {}", view.blind[0])),
        (n, Some((place, why))) => Some(format!("blind to {n} things at {place}: {why}")),
        (n, None) => Some(format!("blind to {n} things; first {}", view.blind[0])),
    };
    let hold = view.hold.as_ref().map(|hold| format!("held: {hold}"));
    let frozen = view.frozen.as_ref().map(|(who, until)| {
        let left = short(until.since(view.at));
        format!("changes are frozen by {who} for {left}")
    });
    let all: Vec<String> = [hold, frozen, blind].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// The gateway that all of it is at, and why the first cannot be seen.
fn one_place(blind: &[String]) -> Option<(&str, &str)> {
    let first = at_place(blind.first()?)?;
    let same = |b: &String| at_place(b).is_some_and(|(place, _)| place == first.0);
    blind.iter().all(same).then_some(first)
}

fn at_place(blind: &str) -> Option<(&str, &str)> {
    let (what, why) = blind.split_once(": ")?;
    Some((what.rsplit_once(" at ")?.1, why))
}

fn crumbs(state: &State, pen: &mut Pen, area: Rect) {
    let arrow = format!(" {} ", pen.look.arrow());
    let home = state.trail.len() == 1;
    let mut pieces: Vec<Piece> = if home { states(state, pen) } else { Vec::new() };
    let shown = if home { 0 } else { state.trail.len() };
    for (k, place) in state.trail.iter().take(shown).enumerate() {
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
    let x = pen.line(area.x + 1, area.y, area.width.saturating_sub(2), &pieces);
    let (view, dot) = (&state.view, pen.look.pick(" · ", " | "));
    let who = match &view.following {
        Some(f) => format!("follows {}, {} old", f.leader, short(f.age)),
        None => format!("leader {}", view.leader),
    };
    let when = format!("{dot}epoch {}{dot}cycle {} ", view.epoch.0, view.cycle);
    let right = [piece(who, Tone::Plain), piece(when, Tone::Dim)];
    let wide: u16 = right.iter().map(|p| width(&p.0)).sum();
    if area.width >= 100 && x + 2 + wide <= area.right() {
        pen.right(area.right(), area.y, &right);
    }
}

/// How many portions are in each state, the worst first.
fn states<'a>(state: &State, pen: &Pen) -> Vec<Piece<'a>> {
    let counts = headline::counts(state);
    let told = counts.iter().rev().map(|(health, n)| {
        let (glyph, word, tone) = pen.look.health(*health);
        piece(format!("{glyph} {n} {word}  "), tone)
    });
    told.collect()
}

fn footer(state: &State, pen: &mut Pen, area: Rect) {
    let y = area.bottom() - 1;
    let mut wide = area.width.saturating_sub(2);
    if area.width < ROOMY {
        let mut mode = vec![keys(state)];
        if area.width < NARROW {
            let dot = piece(pen.look.pick(" · ", " | "), Tone::Dim);
            mode.splice(0..0, [acts(state, pen), dot]);
        }
        let begin = pen.right(area.right() - 1, y, &mode);
        wide = begin.saturating_sub(area.x + 2);
    }
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
    acts.extend([Act::Help, Act::NextScreen, Act::Palette, Act::Quit]);
    let mut x = area.x + 1;
    for act in acts {
        let binding = table::of(act);
        let keys = &state.options.keys;
        let (shown, word) = match act {
            Act::Right => {
                let both = format!("{} {}", keys.first(Act::Left), keys.first(act));
                (both, "beside")
            }
            _ => (keys.shown(binding).to_string(), binding.word),
        };
        let shown = ascii_keys(pen.look.ascii, &shown);
        let need = width(&shown) + width(word) + 3;
        if x + need > area.x + 2 + wide {
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
