//! The loop around the pure update: terminal events and views in, frames and commands out.

use super::acts::Effect;
use super::render::render;
use super::screenshot::text;
use super::state::{Options, State};
use super::update::{Event, update};
use crate::engine::view::{Command, View};
use crate::model::Span;
use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste, EventStream};
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use crossterm::{execute, terminal};
use futures::StreamExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::{DefaultTerminal, Terminal};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Between two frames that only data asks for: four a second.
const FRAME: Span = Span::millis(250);
/// Silence is told from here on, and again each second.
const QUIET: Span = Span::secs(3);

const NO_TERMINAL: &str = "cannot draw on the standard output: it is no terminal; `foreshadow sandbox --headless` and `foreshadow run` tell what is decided as lines, and `foreshadow screenshot` draws one picture";

/// The terminal until `q`, Ctrl-C, the end of the input, or `cancel`. It is put back as it was on
/// every way out, a panic too.
///
/// # Errors
/// When the terminal cannot be prepared, drawn to or read from; the text says which.
pub async fn run(
    views: watch::Receiver<Arc<View>>,
    commands: mpsc::Sender<Command>,
    options: Options,
    cancel: CancellationToken,
) -> io::Result<()> {
    if !io::stdout().is_terminal() {
        return Err(io::Error::other(NO_TERMINAL));
    }
    let _restore = Restore::prepare(options.mouse)?;
    let backend = CrosstermBackend::new(io::stdout());
    let mut terminal = Terminal::new(backend).map_err(told("open the terminal"))?;
    turn(&mut terminal, views, &commands, options, &cancel).await
}

fn told(what: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |e| io::Error::new(e.kind(), format!("cannot {what}: {e}; is this a terminal?"))
}

async fn turn(
    terminal: &mut DefaultTerminal,
    mut views: watch::Receiver<Arc<View>>,
    commands: &mpsc::Sender<Command>,
    options: Options,
    cancel: &CancellationToken,
) -> io::Result<()> {
    let size = terminal.size().map_err(told("measure the terminal"))?;
    let first = Arc::clone(&views.borrow_and_update());
    let mut state = State::new(options, first, (size.width, size.height));
    let mut keys = EventStream::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(FRAME.0 as u64));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut quiet = Span(0);
    let mut alive = true;
    draw(terminal, &state)?;
    loop {
        let event = tokio::select! {
            biased;
            () = cancel.cancelled() => return Ok(()),
            key = keys.next() => match key {
                Some(Ok(key)) => Event::from_terminal(key),
                Some(Err(e)) => return Err(told("read keys")(e)),
                None => return Ok(()),
            },
            // Data is looked at on ticks alone, so it never draws more often than they come.
            _ = ticks.tick() => next(&mut views, &mut quiet, &mut alive),
        };
        let Some(event) = event else { continue };
        let (next, effects) = update(state, event);
        state = next;
        if effects.contains(&Effect::Quit) {
            return Ok(());
        }
        for effect in &effects {
            carry_out(effect, &mut state, commands);
        }
        if effects.contains(&Effect::Suspend) {
            suspend(terminal, &state)?;
        }
        if effects.contains(&Effect::Draw) {
            draw(terminal, &state)?;
        }
    }
}

/// Does what an effect asks for outside of the terminal.
fn carry_out(effect: &Effect, state: &mut State, commands: &mpsc::Sender<Command>) {
    match effect {
        Effect::Send(command) => {
            let asked = Command::By {
                who: state.options.who.clone(),
                asked: Box::new(command.clone()),
            };
            if commands.try_send(asked).is_err() {
                state.notice = Some("not sent: the engine takes no command now; try again".into());
            }
        }
        // Without a plan to look at, the dialog still says what the command means.
        Effect::Look(command) => {
            let of = Box::new(command.clone());
            let _ = commands.try_send(Command::Preview { of });
        }
        Effect::Export => {
            state.notice = Some(match export(state, Path::new(".")) {
                Ok(name) => format!("saved {name}.txt and {name}.json"),
                Err(e) => format!("not saved: {e}; is this folder writable?"),
            });
        }
        Effect::Copy(text) => {
            let _ = execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text));
        }
        Effect::Mouse(on) => {
            let _ = mouse(*on);
        }
        Effect::Draw | Effect::Suspend | Effect::Quit => {}
    }
}

/// Saves the screen as text and the view as JSON; gives their common name.
pub(super) fn export(state: &State, folder: &Path) -> io::Result<String> {
    let (width, height) = state.size;
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    render(state, area, &mut buffer);
    let screen = state.screen().title().to_lowercase();
    let name = format!("foreshadow-{screen}-{}", state.view.at.0 / 1000);
    let json = serde_json::to_vec_pretty(&*state.view)?;
    std::fs::write(folder.join(format!("{name}.txt")), text(&buffer))?;
    std::fs::write(folder.join(format!("{name}.json")), json)?;
    Ok(name)
}

/// What a tick brings: a new view, a second more of silence, or nothing.
fn next(
    views: &mut watch::Receiver<Arc<View>>,
    quiet: &mut Span,
    alive: &mut bool,
) -> Option<Event> {
    if *alive {
        match views.has_changed() {
            Ok(true) => {
                *quiet = Span(0);
                return Some(Event::View(Arc::clone(&views.borrow_and_update())));
            }
            Ok(false) => {}
            Err(_) => *alive = false,
        }
    }
    *quiet = Span(quiet.0 + FRAME.0);
    (*quiet >= QUIET && quiet.0 % 1000 == 0).then_some(Event::Silence(*quiet))
}

impl Event {
    /// A terminal's event, if it is one that matters here.
    pub fn from_terminal(event: crossterm::event::Event) -> Option<Event> {
        match event {
            crossterm::event::Event::Key(key) => Some(Event::Key(key)),
            crossterm::event::Event::Paste(text) => Some(Event::Paste(text)),
            crossterm::event::Event::Mouse(mouse) => Some(Event::Mouse(mouse)),
            crossterm::event::Event::Resize(width, height) => Some(Event::Resize(width, height)),
            _ => None,
        }
    }
}

fn draw(terminal: &mut DefaultTerminal, state: &State) -> io::Result<()> {
    execute!(io::stdout(), BeginSynchronizedUpdate)?;
    let drawn = terminal.draw(|frame| render(state, frame.area(), frame.buffer_mut()));
    execute!(io::stdout(), EndSynchronizedUpdate)?;
    drawn.map(|_| ()).map_err(told("draw"))
}

/// Puts the terminal back when it goes, however that comes about.
struct Restore;

impl Restore {
    fn prepare(with_mouse: bool) -> io::Result<Restore> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            put_back();
            before(panic);
        }));
        let guard = Restore;
        take(with_mouse)?;
        Ok(guard)
    }
}

/// Presses and the wheel alone: a terminal that tells of each move would keep us busy.
fn mouse(on: bool) -> io::Result<()> {
    let end = if on { 'h' } else { 'l' };
    let mut out = io::stdout();
    write!(out, "\x1b[?1000{end}\x1b[?1006{end}")?;
    out.flush()
}

/// Takes the terminal: keys one by one, and a screen of its own.
fn take(with_mouse: bool) -> io::Result<()> {
    terminal::enable_raw_mode().map_err(told("read keys one by one"))?;
    execute!(
        io::stdout(),
        terminal::EnterAlternateScreen,
        // ratatui's own clear asks the terminal where its cursor is, and not all answer.
        terminal::Clear(terminal::ClearType::All),
        EnableBracketedPaste,
        crossterm::cursor::Hide
    )?;
    if with_mouse { mouse(true) } else { Ok(()) }
}

/// Gives the terminal back and stops, with all of its process group, as a shell expects; when the shell brings it back,
/// everything is drawn anew.
fn suspend(terminal: &mut DefaultTerminal, state: &State) -> io::Result<()> {
    put_back();
    kill(Pid::from_raw(0), Signal::SIGTSTP)?;
    take(state.mouse)?;
    // What was on the screen is forgotten.
    terminal.swap_buffers();
    Ok(())
}

impl Drop for Restore {
    fn drop(&mut self) {
        put_back();
    }
}

/// Best effort: on the way out there is nobody left to tell. Keys come first: who sees the shell's screen may type, and a line
/// that ends while keys are still read one by one has no end for the shell.
fn put_back() {
    let mut out = io::stdout();
    let _ = terminal::disable_raw_mode();
    let _ = mouse(false);
    let _ = execute!(
        out,
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        terminal::LeaveAlternateScreen,
        crossterm::cursor::Show
    );
    let _ = out.flush();
}
