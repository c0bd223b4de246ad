//! Looking back: a page for each cycle in which something changed, with what was known then and what was decided.

use super::pen::{Pen, Piece, brief, clock, count, fit, over, percent, piece, row, short};
use crate::engine::view::{Health, LogKind, LogLine, Page, PageRow};
use crate::model::PortionId;
use crate::tui::look::Tone;
use crate::tui::rows;
use crate::tui::state::State;
use ratatui::layout::Rect;
use std::sync::Arc;

pub fn draw(state: &State, pen: &mut Pen, area: Rect) {
    let pages = rows::pages(state);
    let Some(at) = rows::page_at(state, &pages) else {
        let text = if state.view.pages.is_empty() {
            "nothing to look back at yet: a page is kept of each cycle in which something changes"
                .into()
        } else {
            state.filtered_out("page")
        };
        pen.tone(area.x + 1, area.y, area.width, &text, Tone::Dim);
        return;
    };
    let page = pages[at];
    let (top, rest) = over(area, 1);
    head(state, pen, top, &pages, at);
    let (strip, rest) = over(rest, 2);
    timeline(pen, strip, &pages, at);
    let known = rows::known_at(state, page.at);
    let wanted = (count(known.len()) + 2).min(rest.height * 3 / 5).max(2);
    let (upper, lower) = over(rest, wanted);
    table(pen, upper, &known, page);
    decided(pen, lower, &pages, at);
}

fn head(state: &State, pen: &mut Pen, area: Rect, pages: &[&Arc<Page>], at: usize) {
    let (page, all) = (pages[at], pages.len());
    let mut pieces: Vec<Piece> = vec![
        piece(format!("{}Z ", clock(page.at)), Tone::Strong),
        piece(
            format!("{} ago", short(state.view.at.since(page.at))),
            Tone::Plain,
        ),
        piece(
            format!("  cycle {}, page {} of {all}", page.cycle, at + 1),
            Tone::Dim,
        ),
    ];
    // Cycles are counted from each start on.
    let later = pages[at..].windows(2);
    if later.into_iter().any(|w| w[1].cycle < w[0].cycle) {
        pieces.push(piece("  before a restart", Tone::Watch));
    }
    if page.hold {
        pieces.push(piece("  held", Tone::Warn));
    }
    if let Some(first) = &page.first_blind {
        pieces.push(piece(
            format!("  blind to {}: {first}", page.blind),
            Tone::Warn,
        ));
    }
    if at + 1 == all {
        pieces.push(piece("  the newest page", Tone::Accent));
    }
    pen.line(area.x, area.y, area.width, &pieces);
}

/// What weighs most among the lines of a page.
fn gravest(lines: &[LogLine]) -> Option<LogKind> {
    let weight = |k: LogKind| match k {
        LogKind::Fault => 9,
        LogKind::Effect => 8,
        LogKind::Held => 7,
        LogKind::Plan => 6,
        LogKind::Verification => 5,
        LogKind::Verdict => 4,
        LogKind::Lesson => 3,
        LogKind::Shadow => 2,
        _ => 1,
    };
    lines.iter().map(|l| l.kind).max_by_key(|k| weight(*k))
}

/// One sign a page, the gravest of what was decided; the page that is shown is marked below.
fn timeline(pen: &mut Pen, area: Rect, pages: &[&Arc<Page>], at: usize) {
    let cells = usize::from(area.width.saturating_sub(2)).max(1);
    let from = super::pen::window(at, pages.len(), cells);
    for (k, page) in pages.iter().enumerate().skip(from).take(cells) {
        let x = area.x + 1 + (k - from) as u16;
        let (glyph, tone) = match gravest(&page.lines) {
            Some(kind) => {
                let (glyph, _, tone) = pen.look.kind(kind);
                (glyph, tone)
            }
            None => (pen.look.pick("·", "."), Tone::Dim),
        };
        pen.tone(x, area.y, 1, glyph, tone);
        if k == at {
            let mark = pen.look.pick("▲", "^");
            pen.tone(x, area.y + 1, 1, mark, Tone::Accent);
        }
    }
    let last = pages.len().min(from + cells) - 1;
    let (a, b) = (clock(pages[from].at), clock(pages[last].at));
    let x = area.x + 1 + (at - from) as u16;
    if x > area.x + 12 {
        pen.tone(area.x + 1, area.y + 1, 9, &a, Tone::Dim);
    }
    if x + 12 < area.right() {
        pen.right(area.right() - 1, area.y + 1, &[piece(b, Tone::Dim)]);
    }
}

fn table(pen: &mut Pen, area: Rect, known: &[&PageRow], page: &Page) {
    let inner = pen.section(area, "What was known", "marked: new on this page");
    let wide = inner.width >= 100;
    let about = if wide { "shares" } else { "why" };
    let head = format!(
        "  {:<11}{:<9}{:>8}{:>9}{:>7}{:>10}{:>10}  {}",
        "portion", "state", "rate/s", "p99", "ok", "foreseen", "capacity", about
    );
    pen.tone(inner.x, inner.y, inner.width, &head, Tone::Dim);
    let fits = usize::from(inner.height.saturating_sub(1));
    for (k, r) in known.iter().take(fits).enumerate() {
        let line = row(inner, k + 1);
        let fresh = page.rows.iter().any(|p| p.id == r.id);
        let (glyph, word, tone) = pen.look.health(r.health);
        let number = |v: Option<f64>| v.map_or("-".to_string(), brief);
        let shares: Vec<String> = r
            .shares
            .iter()
            .map(|(node, _, asked, _)| format!("{node} {asked}"))
            .collect();
        let name = fit(pen.look, r.id.as_str(), 10);
        let last = if wide {
            shares.join(", ")
        } else {
            r.sentence.clone()
        };
        let mut pieces = vec![
            piece(if fresh { "+ " } else { "  " }, Tone::Accent),
            piece(format!("{name:<11}"), Tone::Strong),
            piece(format!("{:<9}", format!("{glyph} {word}")), tone),
            piece(
                format!(
                    "{:>8}{:>9}{:>7}{:>10}{:>10}  ",
                    number(r.rate),
                    number(r.p99),
                    r.success.map_or("-".into(), percent),
                    number(r.foreseen),
                    number(r.capacity)
                ),
                if r.health == Health::Breach {
                    Tone::Bad
                } else {
                    Tone::Plain
                },
            ),
            piece(last, Tone::Dim),
        ];
        if wide {
            pieces.push(piece(format!("  {}", r.sentence), Tone::Plain));
        }
        pen.line(line.x, line.y, line.width, &pieces);
    }
}

/// The decisions of this page, then of those after it as far as there is room.
fn decided(pen: &mut Pen, area: Rect, pages: &[&Arc<Page>], at: usize) {
    let inner = pen.section(area, "What was decided", "then what followed, dimmed");
    let mut y = 0;
    if pages[at].lines.is_empty() && inner.height > 0 {
        let text = "nothing: what was known changed by itself";
        pen.tone(inner.x + 1, inner.y, inner.width, text, Tone::Dim);
        y = 1;
    }
    let lines = pages[at..].iter().enumerate();
    for (after, l) in lines.flat_map(|(k, p)| p.lines.iter().map(move |l| (k, l))) {
        if y >= usize::from(inner.height) {
            break;
        }
        let (glyph, word, tone) = pen.look.kind(l.kind);
        let now = after == 0;
        let line = row(inner, y);
        let about = l.portion.as_ref().map_or("", PortionId::as_str);
        let about = fit(pen.look, about, 10);
        pen.line(
            line.x + 1,
            line.y,
            line.width.saturating_sub(1),
            &[
                piece(format!("{}  ", clock(l.at)), Tone::Dim),
                piece(
                    format!("{glyph} {word:<9} "),
                    if now { tone } else { Tone::Dim },
                ),
                piece(
                    format!("{about:<11}"),
                    if now { Tone::Strong } else { Tone::Dim },
                ),
                piece(l.text.as_str(), if now { Tone::Plain } else { Tone::Dim }),
            ],
        );
        y += 1;
    }
}
