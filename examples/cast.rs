//! Records a terminal program as an asciicast, and makes a GIF of one: how the animated pictures in `assets/` are made.
//!
//! `cargo run --example cast -- record OUT.cast 100x30 75 '12:3 30:4' -- PROGRAM ARG…` runs the program in a pseudo-terminal of
//! that size for so many seconds, and presses keys at their seconds. `cargo run --example cast -- gif IN.cast OUT.gif 2` plays it
//! twice as fast. The cast is version 2 of the format of asciinema.
#![allow(clippy::disallowed_methods)] // a recording is about time

#[path = "../tests/common/pty.rs"]
#[expect(dead_code, reason = "its size stays as it is")]
mod pty;

use foreshadow::tui::png;
use portable_pty::CommandBuilder;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

type Anything = Box<dyn std::error::Error>;
/// A GIF shows so many pictures a second of the recording's own time, at normal speed.
const PICTURES: f64 = 2.0;
/// Colours of a GIF; the last one means "as before".
const COLOURS: usize = 255;

fn main() -> Result<(), Anything> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["record", out, size, seconds, keys, "--", program @ ..] if !program.is_empty() => {
            record(out, size, seconds.parse()?, keys, program)
        }
        ["gif", cast, out, speed] => gif(cast, out, speed.parse()?),
        _ => Err("record OUT.cast WIDTHxHEIGHT SECONDS 'SECOND:KEYS …' -- PROGRAM ARG…, or gif IN.cast OUT.gif SPEED".into()),
    }
}

fn size(text: &str) -> Result<(u16, u16), Anything> {
    let (w, h) = text.split_once('x').ok_or("a size is such as 100x30")?;
    Ok((w.parse()?, h.parse()?))
}

fn record(
    out: &str,
    wanted: &str,
    seconds: f64,
    keys: &str,
    program: &[&str],
) -> Result<(), Anything> {
    let (cols, rows) = size(wanted)?;
    let mut keys: Vec<(f64, &str)> = keys
        .split_whitespace()
        .map(|k| k.split_once(':').ok_or("keys are such as 12:3"))
        .map(|k| k.map(|(at, key)| (at.parse().unwrap_or(0.0), key)))
        .collect::<Result<_, _>>()?;
    keys.reverse();
    let mut command = CommandBuilder::new(program[0]);
    command.args(&program[1..]);
    command.cwd(std::env::current_dir()?);
    command.env("TERM", "xterm-256color");
    command.env("LC_ALL", "C.UTF-8");
    let mut pty = pty::start(command, (cols, rows));
    let mut file = BufWriter::new(File::create(out)?);
    let title = program[1..].join(" ");
    writeln!(
        file,
        "{}",
        serde_json::json!({"version": 2, "width": cols, "height": rows, "title": format!("foreshadow {title}")})
    )?;
    let began = Instant::now();
    let mut rest: Vec<u8> = Vec::new();
    while began.elapsed().as_secs_f64() < seconds {
        let now = began.elapsed().as_secs_f64();
        if let Some((_, key)) = keys.pop_if(|(at, _)| *at <= now) {
            pty.writer
                .write_all(key.replace("ENTER", "\r").replace("ESC", "\x1b").as_bytes())?;
        }
        match pty.output.recv_timeout(Duration::from_millis(50)) {
            Ok(bytes) => {
                rest.extend(bytes);
                // A letter may have been cut in two.
                let whole = match std::str::from_utf8(&rest) {
                    Ok(_) => rest.len(),
                    Err(e) => e.valid_up_to(),
                };
                let text: Vec<u8> = rest.drain(..whole).collect();
                let text = String::from_utf8_lossy(&text).into_owned();
                let at = began.elapsed().as_secs_f64();
                writeln!(
                    file,
                    "{}",
                    serde_json::json!([(at * 1000.0).round() / 1000.0, "o", text])
                )?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    file.flush()?;
    pty.writer.write_all(b"q")?;
    pty.child.wait()?;
    Ok(())
}

fn gif(cast: &str, out: &str, speed: f64) -> Result<(), Anything> {
    let text = std::fs::read_to_string(cast)?;
    let mut lines = text.lines();
    let head: serde_json::Value = serde_json::from_str(lines.next().ok_or("an empty cast")?)?;
    let side = |key: &str| head[key].as_u64().unwrap_or(80) as u16;
    let mut screen = vt100::Parser::new(side("height"), side("width"), 0);
    let (mut next, mut frames) = (0.0, Vec::new());
    for line in lines {
        let (at, _, data): (f64, String, String) = serde_json::from_str(line)?;
        while at >= next {
            frames.push(png::paint(&cells(screen.screen()))?);
            next += speed / PICTURES;
        }
        screen.process(data.as_bytes());
    }
    frames.push(png::paint(&cells(screen.screen()))?);
    pack(&frames, out)
}

fn cells(screen: &vt100::Screen) -> Buffer {
    let (rows, cols) = screen.size();
    let mut buffer = Buffer::empty(Rect::new(0, 0, cols, rows));
    for y in 0..rows {
        for x in 0..cols {
            let Some(cell) = screen.cell(y, x) else {
                continue;
            };
            let to = &mut buffer[(x, y)];
            if cell.has_contents() {
                to.set_symbol(cell.contents());
            }
            to.fg = colour(cell.fgcolor());
            to.bg = colour(cell.bgcolor());
            to.modifier.set(Modifier::BOLD, cell.bold());
            to.modifier.set(Modifier::REVERSED, cell.inverse());
        }
    }
    buffer
}

fn colour(of: vt100::Color) -> Color {
    match of {
        vt100::Color::Default => Color::Reset,
        vt100::Color::Idx(n) => Color::Indexed(n),
        vt100::Color::Rgb(r, g, b) => Color::Rgb(r, g, b),
    }
}

/// The nearest of the palette's colours, looked up once each.
struct Palette {
    colours: Vec<[u8; 3]>,
    known: HashMap<[u8; 3], u8>,
}

impl Palette {
    /// The colours that are seen most.
    fn of(frames: &[png::Image]) -> Palette {
        let mut count: HashMap<[u8; 3], usize> = HashMap::new();
        for pixel in frames.iter().flat_map(|f| f.pixels.chunks_exact(3)) {
            *count.entry([pixel[0], pixel[1], pixel[2]]).or_default() += 1;
        }
        let mut all: Vec<([u8; 3], usize)> = count.into_iter().collect();
        all.sort_by_key(|(colour, n)| (std::cmp::Reverse(*n), *colour));
        let colours = all.into_iter().take(COLOURS).map(|(c, _)| c).collect();
        Palette {
            colours,
            known: HashMap::new(),
        }
    }

    fn index(&mut self, pixel: &[u8]) -> u8 {
        let pixel = [pixel[0], pixel[1], pixel[2]];
        let colours = &self.colours;
        *self.known.entry(pixel).or_insert_with(|| {
            let off = |c: &[u8; 3]| -> i32 {
                let parts = c.iter().zip(pixel);
                parts
                    .map(|(a, b)| (i32::from(*a) - i32::from(b)).pow(2))
                    .sum()
            };
            let near = (0..colours.len()).min_by_key(|k| off(&colours[*k]));
            near.unwrap_or(0) as u8
        })
    }
}

/// Each picture as the part of it that changed.
fn pack(frames: &[png::Image], out: &str) -> Result<(), Anything> {
    let first = frames.first().ok_or("no picture")?;
    let (wide, high) = (first.width, first.height);
    let mut palette = Palette::of(frames);
    let mut table: Vec<u8> = palette.colours.concat();
    table.resize((COLOURS + 1) * 3, 0);
    let mut encoder = gif::Encoder::new(File::create(out)?, wide as u16, high as u16, &table)?;
    encoder.set_repeat(gif::Repeat::Infinite)?;
    let mut before: Option<Vec<u8>> = None;
    let (mut delay, hundredths) = (0u16, (100.0 / PICTURES) as u16);
    let mut waiting: Option<gif::Frame<'static>> = None;
    for image in frames {
        let now: Vec<u8> = image
            .pixels
            .chunks_exact(3)
            .map(|p| palette.index(p))
            .collect();
        let changed = before
            .as_ref()
            .map_or(Some((0, 0, wide, high)), |b| rim(b, &now, wide));
        delay += hundredths;
        if let Some((x, y, w, h)) = changed {
            if let Some(mut frame) = waiting.take() {
                frame.delay = delay - hundredths;
                encoder.write_frame(&frame)?;
                delay = hundredths;
            }
            let part = (y..y + h).flat_map(|r| (x..x + w).map(move |c| r * wide + c));
            let pixels: Vec<u8> = part
                .map(|at| match &before {
                    Some(b) if b[at] == now[at] => COLOURS as u8,
                    _ => now[at],
                })
                .collect();
            waiting = Some(gif::Frame {
                left: x as u16,
                top: y as u16,
                width: w as u16,
                height: h as u16,
                transparent: Some(COLOURS as u8),
                dispose: gif::DisposalMethod::Keep,
                buffer: pixels.into(),
                ..gif::Frame::default()
            });
        }
        before = Some(now);
    }
    if let Some(mut frame) = waiting {
        frame.delay = delay.max(200);
        encoder.write_frame(&frame)?;
    }
    Ok(())
}

/// Left, top, width and height of what differs; `None` when nothing does.
fn rim(a: &[u8], b: &[u8], wide: usize) -> Option<(usize, usize, usize, usize)> {
    let differ = || (0..a.len()).filter(|k| a[*k] != b[*k]);
    let (top, bottom) = (differ().next()? / wide, differ().next_back()? / wide);
    let left = differ().map(|k| k % wide).min()?;
    let right = differ().map(|k| k % wide).max()?;
    Some((left, top, right - left + 1, bottom - top + 1))
}
