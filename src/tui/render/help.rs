//! Help: the key table as it dispatches, and what the signs mean.

use super::frame::ascii_keys;
use super::pen::{Pen, beside, piece, row};
use crate::engine::view::Health;
use crate::model::Cause;
use crate::tui::keys::{Binding, TABLE};
use crate::tui::look::Tone;
use crate::tui::screen::Screen;
use crate::tui::state::{Options, State};
use ratatui::layout::Rect;

/// How far the help screen is scrolled.
pub fn scroll(state: &State) -> usize {
    state.cursors.get(&Screen::Help).map_or(0, |c| c.index)
}

pub fn draw(state: &State, pen: &mut Pen, area: Rect, from: usize) {
    let side = area.width >= 112;
    let (keys, right) = beside(area, if side { area.width - 42 } else { area.width });
    let signs = signs(pen);
    let inner = pen.section(keys, "Keys", "j and k scroll");
    let shown = usize::from(inner.height);
    let more = if side { 0 } else { signs.len() + 1 };
    let all = TABLE.len() + more;
    let from = from.min(all.saturating_sub(shown));
    for k in from..all.min(from + shown) {
        let line = row(inner, k - from);
        if let Some(binding) = TABLE.get(k) {
            key_line(pen, line, binding, &state.options);
        } else if let Some(sign) = (k - TABLE.len()).checked_sub(1).and_then(|k| signs.get(k)) {
            sign_line(pen, line, sign);
        }
    }
    if side {
        let inner = pen.section(right, "Signs", "");
        for (k, sign) in signs.iter().take(usize::from(inner.height)).enumerate() {
            sign_line(pen, row(inner, k), sign);
        }
    }
}

fn key_line(pen: &mut Pen, row: Rect, b: &'static Binding, options: &Options) {
    let closed = b.acting && !options.allow_act;
    let tone = if closed { Tone::Dim } else { Tone::Plain };
    let note = if closed { "needs --allow-act: " } else { "" };
    let keys = ascii_keys(pen.look.ascii, options.keys.shown(b));
    let pieces = [
        piece(format!("{keys:<9}"), Tone::Accent),
        piece(format!("{:<10} ", b.word), Tone::Strong),
        piece(format!("{note}{}", b.help), tone),
    ];
    pen.line(row.x + 1, row.y, row.width.saturating_sub(1), &pieces);
}

struct Sign {
    glyph: &'static str,
    word: &'static str,
    means: &'static str,
    tone: Tone,
}

fn sign_line(pen: &mut Pen, row: Rect, sign: &Sign) {
    pen.line(
        row.x + 1,
        row.y,
        row.width.saturating_sub(1),
        &[
            piece(format!("{} {:<10}", sign.glyph, sign.word), sign.tone),
            piece(sign.means, Tone::Plain),
        ],
    );
}

fn signs(pen: &Pen) -> Vec<Sign> {
    let healths = [
        (Health::Breach, "breaks its SLO now"),
        (Health::Moving, "traffic is being moved"),
        (Health::Unknown, "cannot be seen; held"),
        (Health::Watch, "need foreseen, prepared"),
        (Health::Good, "nothing to do"),
    ];
    let causes = [
        (Cause::Reactive, "something is wrong now"),
        (Cause::Predicted, "it will be needed"),
        (Cause::Learning, "something is to be learned"),
        (Cause::Upkeep, "tidying"),
    ];
    let health = healths.into_iter().map(|(h, means)| {
        let (glyph, word, tone) = pen.look.health(h);
        Sign {
            glyph,
            word,
            means,
            tone,
        }
    });
    let cause = causes.into_iter().map(|(c, means)| {
        let (glyph, word, tone) = pen.look.cause(c);
        Sign {
            glyph,
            word,
            means,
            tone,
        }
    });
    let (used, idle, free) = pen.look.bar();
    let bars = [
        (used, "used", "in use now", Tone::Good),
        (idle, "reserved", "in Nomad's books, idle", Tone::Foreseen),
        (free, "free", "nobody has asked for it", Tone::Dim),
    ];
    let bars = bars.map(|(glyph, word, means, tone)| Sign {
        glyph,
        word,
        means,
        tone,
    });
    health.chain(cause).chain(bars).collect()
}
