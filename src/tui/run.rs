//! The loop around the pure update: terminal events and views in, frames and commands out.

use super::render::render;
use super::state::{Options, State};
use super::update::{Effect, Event, update};
use crate::engine::view::{Command, View};
use crate::model::Span;
use crossterm::event::{DisableBracketedPaste, EnableBracketedPaste, EventStream};
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use crossterm::{execute, terminal};
use futures::StreamExt;
use ratatui::backend::CrosstermBackend;
use ratatui::{DefaultTerminal, Terminal};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Between two frames that only data asks for: four a second.
const FRAME: Span = Span::millis(250);
/// Silence is told from here on, and again each second.
const QUIET: Span = Span::secs(3);

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
    let _restore = Restore::prepare()?;
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
            if let Effect::Send(command) = effect
                && commands.try_send(command.clone()).is_err()
            {
                state.notice = Some("not sent: the engine takes no command now; try again".into());
            }
        }
        if effects.contains(&Effect::Draw) {
            draw(terminal, &state)?;
        }
    }
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
    fn prepare() -> io::Result<Restore> {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            put_back();
            before(panic);
        }));
        terminal::enable_raw_mode().map_err(told("read keys one by one"))?;
        let guard = Restore;
        execute!(
            io::stdout(),
            terminal::EnterAlternateScreen,
            // ratatui's own clear asks the terminal where its cursor is, and not all answer.
            terminal::Clear(terminal::ClearType::All),
            EnableBracketedPaste,
            crossterm::cursor::Hide
        )?;
        Ok(guard)
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        put_back();
    }
}

/// Best effort: on the way out there is nobody left to tell.
fn put_back() {
    let mut out = io::stdout();
    let _ = execute!(
        out,
        EndSynchronizedUpdate,
        DisableBracketedPaste,
        terminal::LeaveAlternateScreen,
        crossterm::cursor::Show
    );
    let _ = terminal::disable_raw_mode();
    let _ = out.flush();
}
