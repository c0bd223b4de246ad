//! Cells to PNG, with a font of its own: the same picture on a machine without any.

use super::paint::{self, Shape};
use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use ratatui::buffer::Buffer;
use ratatui::style::Modifier;

const REGULAR: &[u8] = include_bytes!("../../assets/fonts/dejavu-sans-mono.ttf");
const BOLD: &[u8] = include_bytes!("../../assets/fonts/dejavu-sans-mono-bold.ttf");

/// A cell and the rim around all of them, in pixels.
const W: usize = 10;
const H: usize = 20;
const PAD: usize = 14;
/// Height of the font, so that a letter is as wide as a cell.
const SIZE: f32 = 19.3;

#[derive(Debug, thiserror::Error)]
pub enum PngError {
    #[error("the built-in font cannot be read; this program was built wrongly")]
    Font(#[from] ab_glyph::InvalidFont),
    #[error("the picture could not be packed as PNG")]
    Pack(#[from] png::EncodingError),
}

/// Pixels, red, green and blue a byte each.
pub struct Image {
    pub width: usize,
    pub height: usize,
    pub pixels: Vec<u8>,
}

/// The buffer as a PNG file.
///
/// # Errors
/// Only when the program itself is broken: its font, or the packing.
pub fn render(buffer: &Buffer) -> Result<Vec<u8>, PngError> {
    let image = paint(buffer)?;
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, image.width as u32, image.height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.write_header()?.write_image_data(&image.pixels)?;
    Ok(out)
}

/// The buffer as pixels.
///
/// # Errors
/// Only when the built-in font cannot be read.
pub fn paint(buffer: &Buffer) -> Result<Image, PngError> {
    let fonts = [
        FontRef::try_from_slice(REGULAR)?,
        FontRef::try_from_slice(BOLD)?,
    ];
    let area = buffer.area;
    let (width, height) = (
        usize::from(area.width) * W + 2 * PAD,
        usize::from(area.height) * H + 2 * PAD,
    );
    let ground = paint::ground(buffer);
    let mut canvas = Canvas {
        image: Image {
            width,
            height,
            pixels: bytes(ground).repeat(width * height),
        },
    };
    for y in 0..area.height {
        for x in 0..area.width {
            let cell = &buffer[(area.x + x, area.y + y)];
            let (ink, under) = paint::colours(cell, ground);
            let (l, t) = (PAD + usize::from(x) * W, PAD + usize::from(y) * H);
            if under != ground {
                canvas.rect((l, t), (W, H), under, 1.0);
            }
            match paint::shape(cell.symbol()) {
                Some(shape) => canvas.shape((l, t), &shape, ink),
                None => {
                    let bold = cell.modifier.contains(Modifier::BOLD);
                    let font = &fonts[usize::from(bold)];
                    for c in cell.symbol().chars().filter(|c| *c != ' ') {
                        canvas.letter(font, (l, t), c, ink);
                    }
                }
            }
        }
    }
    Ok(canvas.image)
}

/// Whether all of a cell's text is in the font or drawn as a shape.
#[cfg(test)]
pub fn can_draw(symbol: &str) -> bool {
    let font = FontRef::try_from_slice(REGULAR).expect("the font is built in");
    paint::shape(symbol).is_some() || symbol.chars().all(|c| font.glyph_id(c) != GlyphId(0))
}

fn bytes(colour: u32) -> [u8; 3] {
    [(colour >> 16) as u8, (colour >> 8) as u8, colour as u8]
}

struct Canvas {
    image: Image,
}

impl Canvas {
    /// Lays a colour over a pixel, `part` of it.
    fn dot(&mut self, x: usize, y: usize, colour: u32, part: f32) {
        if x >= self.image.width || y >= self.image.height {
            return;
        }
        let at = (y * self.image.width + x) * 3;
        for (k, new) in bytes(colour).into_iter().enumerate() {
            let old = f32::from(self.image.pixels[at + k]);
            let mixed = old + (f32::from(new) - old) * part.clamp(0.0, 1.0);
            self.image.pixels[at + k] = mixed.round() as u8;
        }
    }

    fn rect(&mut self, (l, t): (usize, usize), (w, h): (usize, usize), colour: u32, part: f32) {
        for y in t..t + h {
            for x in l..l + w {
                self.dot(x, y, colour, part);
            }
        }
    }

    fn shape(&mut self, (l, t): (usize, usize), shape: &Shape, ink: u32) {
        match shape {
            Shape::Block { from, to } => {
                let at = |part: f64| (part * H as f64).round() as usize;
                let (top, end) = (H - at(*to), H - at(*from));
                self.rect((l, t + top), (W, end - top), ink, 1.0);
            }
            Shape::Shade(part) => self.rect((l, t + 3), (W, H - 6), ink, *part as f32),
            Shape::Braille(bits) => {
                for (x, y) in paint::dots(*bits) {
                    let (cx, cy) = (2 + x as usize * 5, 2 + y as usize * 5);
                    self.rect((l + cx, t + cy), (2, 2), ink, 1.0);
                    for (dx, dy) in [
                        (-1, 0),
                        (-1, 1),
                        (2, 0),
                        (2, 1),
                        (0, -1),
                        (1, -1),
                        (0, 2),
                        (1, 2),
                    ] {
                        let px = (l + cx).saturating_add_signed(dx);
                        let py = (t + cy).saturating_add_signed(dy);
                        self.dot(px, py, ink, 0.35);
                    }
                }
            }
        }
    }

    /// A letter as wide as its cell; one that the font lacks is an empty box.
    fn letter(&mut self, font: &FontRef, (l, t): (usize, usize), c: char, ink: u32) {
        let id = font.glyph_id(c);
        if id == GlyphId(0) {
            return self.rect((l + 2, t + 5), (W - 4, H - 9), ink, 0.4);
        }
        let scaled = font.as_scaled(PxScale::from(SIZE));
        let base = t as f32 + (H as f32 + scaled.ascent() + scaled.descent()) / 2.0;
        let glyph = id.with_scale_and_position(PxScale::from(SIZE), point(l as f32, base));
        let Some(outline) = font.outline_glyph(glyph) else {
            return;
        };
        let bounds = outline.px_bounds();
        let (left, top) = (bounds.min.x as usize, bounds.min.y as usize);
        outline.draw(|x, y, part| self.dot(left + x as usize, top + y as usize, ink, part));
    }
}
