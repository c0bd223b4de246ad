//! One portion as a tree: its jobs, their allocations, the nodes below them, and the shadows that run there.

use super::pen::{Pen, Piece, percent, piece, row, window};
use crate::engine::view::{InstanceView, PortionView};
use crate::model::Share;
use crate::tui::look::Tone;
use crate::tui::state::State;
use ratatui::layout::Rect;
use std::collections::BTreeMap;

/// One line, and the instance whose row it is.
type Line<'a> = (Vec<Piece<'a>>, Option<usize>);

pub fn draw(state: &State, pen: &mut Pen, area: Rect, p: &PortionView) {
    let inner = pen.section(area, "Tree", "job, portion, allocation, node, shadow");
    let lines = lines(state, pen, p);
    let own = &p.instances;
    let named = |row: &str| own.iter().position(|i| i.alloc.as_str() == row);
    let at = state.cursor_at(own.len(), named);
    let line_at = lines.iter().position(|l| l.1 == Some(at)).unwrap_or(0);
    let fits = usize::from(inner.height);
    let from = window(line_at, lines.len(), fits);
    for (k, (pieces, own)) in lines.iter().enumerate().skip(from).take(fits) {
        let line = row(inner, k - from);
        pen.line(line.x + 2, line.y, line.width.saturating_sub(2), pieces);
        if let Some(instance) = own {
            pen.listed(line, *instance, at);
        }
    }
}

fn lines<'a>(state: &'a State, pen: &Pen, p: &'a PortionView) -> Vec<Line<'a>> {
    let mut jobs: BTreeMap<&str, Vec<(usize, &InstanceView)>> = BTreeMap::new();
    for (k, i) in p.instances.iter().enumerate() {
        jobs.entry(i.job.as_str()).or_default().push((k, i));
    }
    if jobs.is_empty() {
        let text = "no instance of it is seen now";
        return vec![(vec![piece(text, Tone::Dim)], None)];
    }
    let (glyph, word, tone) = pen.look.health(p.health);
    let mut out: Vec<Line> = Vec::new();
    let mut told = Vec::new();
    for (job, instances) in jobs {
        out.push((
            vec![piece("job ", Tone::Dim), piece(job, Tone::Strong)],
            None,
        ));
        let portion = [
            piece(format!("{} portion ", branch(pen, true)), Tone::Dim),
            piece(format!("{} ", p.id), Tone::Strong),
            piece(format!("{glyph} {word}"), tone),
        ];
        out.push((portion.into(), None));
        for (n, (k, i)) in instances.iter().enumerate() {
            let last = n + 1 == instances.len();
            out.push((alloc(pen, i, last), Some(*k)));
            let stem = if last { " " } else { pen.look.pick("│", "|") };
            node(state, pen, (i, stem), p, (&mut out, &mut told));
        }
    }
    let mut elsewhere = running(state, p).filter(|s| !told.contains(&s.id.as_str()));
    if let Some(first) = elsewhere.next() {
        out.push((vec![piece("shadows where no instance is", Tone::Dim)], None));
        for s in std::iter::once(first).chain(elsewhere) {
            out.push((shadow(pen, "  ", s), None));
        }
    }
    out
}

fn branch(pen: &Pen, last: bool) -> &'static str {
    match last {
        true => pen.look.pick("└─", "`-"),
        false => pen.look.pick("├─", "|-"),
    }
}

fn running<'a>(
    state: &'a State,
    p: &'a PortionView,
) -> impl Iterator<Item = &'a crate::engine::view::ShadowView> {
    let all = state.view.shadows.iter();
    all.filter(|s| s.portion == p.id && s.state != "done")
}

fn alloc<'a>(pen: &Pen, i: &'a InstanceView, last: bool) -> Vec<Piece<'a>> {
    let (glyph, word, tone) = match (i.ready, i.desired) {
        (true, Share::NONE) => (pen.look.pick("◆", "*"), "ready", Tone::Watch),
        (true, _) => (pen.look.pick("●", "o"), "ready", Tone::Good),
        (false, _) => (pen.look.pick("✗", "X"), "not ready", Tone::Bad),
    };
    let seen = i.observed.map_or("?".to_string(), |o| o.to_string());
    vec![
        piece(format!("   {} allocation ", branch(pen, last)), Tone::Dim),
        piece(
            i.alloc.as_str().chars().take(8).collect::<String>(),
            Tone::Strong,
        ),
        piece(format!(" {} ", i.role), Tone::Plain),
        piece(format!("{glyph} {word}"), tone),
        piece(format!("  share {}, seen {seen}", i.desired), Tone::Dim),
    ]
}

/// The node of an instance and the shadows on nodes of its kind at its site, each told once.
fn node<'a>(
    state: &'a State,
    pen: &Pen,
    (i, stem): (&'a InstanceView, &str),
    p: &'a PortionView,
    (out, told): (&mut Vec<Line<'a>>, &mut Vec<&'a str>),
) {
    let lead = format!("   {stem}  {} node ", branch(pen, true));
    let Some(n) = state.view.nodes.iter().find(|n| n.name == i.node) else {
        let text = format!("{} at {}, not seen now", i.node, i.site);
        out.push((vec![piece(lead, Tone::Dim), piece(text, Tone::Warn)], None));
        return;
    };
    let (glyph, word, tone) = pen.look.node(n.status);
    let facts = format!("  {}, {}, hazard {}", n.site, n.class, percent(n.hazard.0));
    let pieces = [
        piece(lead, Tone::Dim),
        piece(format!("{} ", n.name), Tone::Strong),
        piece(format!("{glyph} {word}"), tone),
        piece(facts, Tone::Dim),
    ];
    out.push((pieces.into(), None));
    for s in running(state, p).filter(|s| s.site == n.site && s.class == n.class) {
        if !told.contains(&s.id.as_str()) {
            told.push(s.id.as_str());
            out.push((shadow(pen, &format!("   {stem}     "), s), None));
        }
    }
}

fn shadow<'a>(pen: &Pen, lead: &str, s: &'a crate::engine::view::ShadowView) -> Vec<Piece<'a>> {
    let (glyph, tone) = pen.look.shadow(s);
    vec![
        piece(format!("{lead}{} shadow ", branch(pen, true)), Tone::Dim),
        piece(format!("{} ", s.id), Tone::Strong),
        piece(format!("{glyph} {}", s.state), tone),
        piece(format!("  on {} at {}", s.class.shown(), s.site), Tone::Dim),
    ]
}
