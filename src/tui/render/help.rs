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

pub fn draw(state: &State, pen: &mut Pen, area: Rect, from: usize) {
    let side = area.width >= 112;
    let (keys, right) = beside(area, if side { area.width - 42 } else { area.width });
    let signs = signs(pen);
    let inner = pen.section(keys, "Keys", "j and k scroll");
    let more = if side { 0 } else { signs.len() + 1 };
    let all: Vec<Vec<String>> = TABLE
        .iter()
        .map(|b| sentence(b, &state.options, inner.width))
        .chain((0..more).map(|_| vec![String::new()]))
        .collect();
    let top = from.min(last_top(&all, usize::from(inner.height)));
    let mut at = 0;
    for (k, lines) in all.iter().enumerate().skip(top) {
        if at >= usize::from(inner.height) {
            break;
        }
        if let Some(binding) = TABLE.get(k) {
            key_lines(pen, (inner, at), (binding, lines), &state.options);
        } else if let Some(sign) = (k - TABLE.len()).checked_sub(1).and_then(|k| signs.get(k)) {
            sign_line(pen, row(inner, at), sign);
        }
        at += lines.len();
    }
    if side {
        let inner = pen.section(right, "Signs", "");
        for (k, sign) in signs.iter().take(usize::from(inner.height)).enumerate() {
            sign_line(pen, row(inner, k), sign);
        }
    }
}

/// The furthest that can be scrolled to: what comes from there on still fills the height.
fn last_top(all: &[Vec<String>], height: usize) -> usize {
    let mut left = height;
    let mut top = all.len();
    while let Some(lines) = top.checked_sub(1).map(|k| all[k].len()) {
        if lines > left {
            break;
        }
        left -= lines;
        top -= 1;
    }
    top
}

/// Columns of the keys, and of the words that name what they do: the longest of them and a space.
const KEYS: u16 = 9;
const WORDS: u16 = 15;

fn closed(b: &Binding, options: &Options) -> bool {
    b.acting && !options.allow_act
}

/// What a key does, in lines that fit beside its word.
fn sentence(b: &Binding, options: &Options, wide: u16) -> Vec<String> {
    let note = if closed(b, options) {
        "needs --allow-act: "
    } else {
        ""
    };
    let room = wide.saturating_sub(1 + KEYS + WORDS);
    wrap(&format!("{note}{}", b.help), room)
}

fn key_lines(
    pen: &mut Pen,
    (area, at): (Rect, usize),
    (b, lines): (&'static Binding, &[String]),
    options: &Options,
) {
    let tone = match closed(b, options) {
        true => Tone::Dim,
        false => Tone::Plain,
    };
    let keys = ascii_keys(pen.look.ascii, options.keys.shown(b));
    let (wide, words) = (usize::from(KEYS), usize::from(WORDS));
    for (k, text) in lines.iter().enumerate() {
        if at + k >= usize::from(area.height) {
            return;
        }
        let (keys, word) = if k == 0 {
            (keys.as_ref(), b.word)
        } else {
            ("", "")
        };
        let pieces = [
            piece(format!("{keys:<wide$}"), Tone::Accent),
            piece(format!("{word:<words$}"), Tone::Strong),
            piece(text.as_str(), tone),
        ];
        let row = row(area, at + k);
        pen.line(row.x + 1, row.y, row.width.saturating_sub(1), &pieces);
    }
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
