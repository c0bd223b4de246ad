use super::*;
use crate::tui::sample;
use crate::tui::screen::{Place, Screen};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{TerminalOptions, Viewport};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what it is sent.
#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A terminal whose bytes are counted.
struct Wire {
    terminal: Terminal<CrosstermBackend<Count>>,
    sent: Count,
}

fn wire((width, height): (u16, u16)) -> Wire {
    let viewport = Viewport::Fixed(Rect::new(0, 0, width, height));
    let sent = Count::default();
    let backend = CrosstermBackend::new(sent.clone());
    let terminal = Terminal::with_options(backend, TerminalOptions { viewport }).unwrap();
    Wire { terminal, sent }
}

/// Bytes of one frame.
fn frame(wire: &mut Wire, state: &State) -> usize {
    wire.sent.0.store(0, Ordering::Relaxed);
    let drawn = wire
        .terminal
        .draw(|f| render(state, f.area(), f.buffer_mut()));
    drawn.unwrap();
    wire.sent.0.load(Ordering::Relaxed)
}

fn on(view: View, screen: Screen, size: (u16, u16)) -> State {
    let mut state = State::new(Options::default(), Arc::new(view), size);
    state.trail.push(Place::of(screen));
    state
}

#[test]
fn a_frame_is_bounded_whatever_the_screen_and_the_size() {
    for screen in Screen::ALL {
        for (size, most) in [
            ((60, 15), 6_000),
            ((80, 24), 12_000),
            ((120, 40), 30_000),
            ((200, 60), 70_000),
        ] {
            for view in [sample::shop(), sample::crowd(200)] {
                let bytes = frame(&mut wire(size), &on(view, screen, size));
                assert!(
                    bytes < most,
                    "{} at {size:?}: {bytes} bytes",
                    screen.title()
                );
            }
        }
    }
}

#[test]
fn the_same_state_sends_nothing_that_is_seen() {
    for screen in Screen::ALL {
        let mut wire = wire((120, 40));
        let state = on(sample::shop(), screen, (120, 40));
        frame(&mut wire, &state);
        // Resetting colours at the end of a frame is all that is left.
        let again = frame(&mut wire, &state);
        assert!(again < 40, "{}: {again} bytes", screen.title());
    }
}

#[test]
fn moving_the_cursor_sends_two_rows_and_the_next_second_of_an_estate_a_part_of_the_screen() {
    let mut wire = wire((120, 40));
    let state = on(sample::shop(), Screen::Overview, (120, 40));
    let whole = frame(&mut wire, &state);
    let (state, _) = typed(state, "j");
    let moved = frame(&mut wire, &state);
    assert!(moved < whole / 3, "{moved} of {whole} bytes");
    let mut view = sample::shop();
    view.at = view.at + crate::model::Span::secs(1);
    view.cycle += 1;
    view.portions[0].traffic.as_mut().unwrap().rate.0 += 3.0;
    let (state, _) = update(state, Event::View(Arc::new(view)));
    let ticked = frame(&mut wire, &state);
    assert!(
        ticked < 400,
        "{ticked} bytes for a clock, a cycle and a rate"
    );
}
