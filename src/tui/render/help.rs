//! Help: the key table as it dispatches, and what the signs mean.

use super::frame::ascii_keys;
use super::pen::{Pen, beside, piece, row, wrap};
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

/// One line of the keys: of a binding, or of a sign below them.
enum Line {
    Key {
        binding: &'static Binding,
        first: bool,
        text: String,
    },
    Blank,
    Sign(Sign),
}

/// Draws it from line `from` on, or from the last one that leaves no line empty; which that is.
pub fn draw(state: &State, pen: &mut Pen, area: Rect, from: usize) -> usize {
    let side = area.width >= 112;
    let (keys, right) = beside(area, if side { area.width - 42 } else { area.width });
    let signs = signs(pen);
    let inner = pen.section(keys, "Keys", "j and k scroll");
    let mut lines: Vec<Line> = TABLE
        .iter()
        .flat_map(|b| sentence(b, &state.options, inner.width))
        .collect();
    if side {
        let inner = pen.section(right, "Signs", "");
        for (k, sign) in signs.iter().take(usize::from(inner.height)).enumerate() {
            sign_line(pen, row(inner, k), sign);
        }
    } else {
        lines.push(Line::Blank);
        lines.extend(signs.into_iter().map(Line::Sign));
    }
    let high = usize::from(inner.height);
    let last = lines.len().saturating_sub(high);
    let shown = lines.iter().skip(from.min(last)).take(high);
    for (k, line) in shown.enumerate() {
        match line {
            Line::Key {
                binding,
                first,
                text,
            } => key_line(pen, row(inner, k), (binding, *first, text), &state.options),
            Line::Blank => {}
            Line::Sign(sign) => sign_line(pen, row(inner, k), sign),
        }
    }
    last
}

/// Columns of the keys, and of the words that name what they do: the longest of them and a space.
const KEYS: u16 = 9;
const WORDS: u16 = 15;

fn closed(b: &Binding, options: &Options) -> bool {
    b.acting && !options.allow_act
}

/// What a key does, in lines that fit beside its word.
fn sentence(binding: &'static Binding, options: &Options, wide: u16) -> Vec<Line> {
    let note = match closed(binding, options) {
        true => "needs --allow-act: ",
        false => "",
    };
    let room = wide.saturating_sub(1 + KEYS + WORDS);
    let lines = wrap(&format!("{note}{}", binding.help), room).into_iter();
    let of = |(k, text)| Line::Key {
        binding,
        first: k == 0,
        text,
    };
    lines.enumerate().map(of).collect()
}

fn key_line(
    pen: &mut Pen,
    row: Rect,
    (b, first, text): (&'static Binding, bool, &str),
    options: &Options,
) {
    let tone = match closed(b, options) {
        true => Tone::Dim,
        false => Tone::Plain,
    };
    let keys = ascii_keys(pen.look.ascii, options.keys.shown(b));
    let (keys, word) = match first {
        true => (keys.as_ref(), b.word),
        false => ("", ""),
    };
    let (wide, words) = (usize::from(KEYS), usize::from(WORDS));
    let pieces = [
        piece(format!("{keys:<wide$}"), Tone::Accent),
        piece(format!("{word:<words$}"), Tone::Strong),
        piece(text, tone),
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
