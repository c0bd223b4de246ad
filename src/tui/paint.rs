//! What both kinds of pictures share: colours as they are seen, and glyphs that are drawn as shapes, so that no font has to
//! have them.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::collections::BTreeMap;

/// Behind everything and of plain text where a theme leaves them to the terminal.
const GROUND: u32 = 0x0011_151c;
const TEXT: u32 = 0x00d5_dae3;

/// The sixteen colours that a terminal would choose.
const PALETTE: [u32; 16] = [
    0x1b212b, 0xe0616b, 0x8cc570, 0xe0b568, 0x74a8f4, 0xc07be0, 0x56b6c2, 0xc5ccd8, 0x8e98aa,
    0xff7b85, 0xa5e087, 0xffd07f, 0x82b8ff, 0xd79bf5, 0x7fd8e0, 0xffffff,
];

/// A terminal's colour as red, green and blue in one number.
pub fn seen(colour: Color, default: u32) -> u32 {
    let named = match colour {
        Color::Reset => return default,
        Color::Rgb(r, g, b) => return (u32::from(r) << 16) | (u32::from(g) << 8) | u32::from(b),
        Color::Indexed(n) => return indexed(n),
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::Gray => 7,
        Color::DarkGray => 8,
        Color::LightRed => 9,
        Color::LightGreen => 10,
        Color::LightYellow => 11,
        Color::LightBlue => 12,
        Color::LightMagenta => 13,
        Color::LightCyan => 14,
        Color::White => 15,
    };
    PALETTE[named]
}

/// A colour of the 256: sixteen named ones, a cube, and greys.
fn indexed(n: u8) -> u32 {
    let join = |r: u32, g: u32, b: u32| (r << 16) | (g << 8) | b;
    match n {
        0..=15 => PALETTE[usize::from(n)],
        16..=231 => {
            let n = u32::from(n) - 16;
            let part = |k: u32| if k == 0 { 0 } else { 55 + 40 * k };
            join(part(n / 36), part(n / 6 % 6), part(n % 6))
        }
        _ => {
            let v = 8 + 10 * (u32::from(n) - 232);
            join(v, v, v)
        }
    }
}

/// The ground that most cells have.
pub fn ground(buffer: &Buffer) -> u32 {
    let mut count: BTreeMap<u32, usize> = BTreeMap::new();
    for cell in &buffer.content {
        *count.entry(seen(cell.bg, GROUND)).or_default() += 1;
    }
    count
        .into_iter()
        .max_by_key(|(_, n)| *n)
        .map_or(GROUND, |(colour, _)| colour)
}

/// Colour of the ink and of what is under it, reverse video worked in.
pub fn colours(cell: &Cell, ground: u32) -> (u32, u32) {
    let (fg, bg) = (seen(cell.fg, TEXT), seen(cell.bg, ground));
    if cell.modifier.contains(Modifier::REVERSED) {
        (bg, fg)
    } else {
        (fg, bg)
    }
}

/// What is drawn as a shape instead of a letter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Filled between two heights of the cell, 0 at its foot and 1 at its head.
    Block {
        from: f64,
        to: f64,
    },
    /// How much of the colour shows.
    Shade(f64),
    Braille(u32),
}

pub fn shape(symbol: &str) -> Option<Shape> {
    let c = symbol.chars().next()?;
    match c {
        '▁'..='█' => Some(Shape::Block {
            from: 0.0,
            to: f64::from(c as u32 - '▁' as u32 + 1) / 8.0,
        }),
        '▀' => Some(Shape::Block { from: 0.5, to: 1.0 }),
        '░' => Some(Shape::Shade(0.25)),
        '▒' => Some(Shape::Shade(0.55)),
        '\u{2800}'..='\u{28ff}' => Some(Shape::Braille(c as u32 - 0x2800)),
        _ => None,
    }
}

/// Column and row of each dot of a braille glyph, from its upper left.
pub fn dots(bits: u32) -> impl Iterator<Item = (u32, u32)> {
    const ALL: [(u32, u32, u32); 8] = [
        (0x01, 0, 0),
        (0x02, 0, 1),
        (0x04, 0, 2),
        (0x40, 0, 3),
        (0x08, 1, 0),
        (0x10, 1, 1),
        (0x20, 1, 2),
        (0x80, 1, 3),
    ];
    let set = move |(bit, _, _): &(u32, u32, u32)| bits & bit != 0;
    ALL.into_iter().filter(set).map(|(_, x, y)| (x, y))
}
