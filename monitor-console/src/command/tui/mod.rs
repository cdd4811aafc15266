//! `monitor tui`: functions, calls, failures, traces, calls under way, findings, processes and health on a full screen, from the
//! present back over six hours, with rates and breakers set from the keyboard.
//!
//! The view takes a store and a terminal. Keys, signals and answers of the loader arrive as messages; each changes the state, and a
//! changed state is drawn. The state and the screens are pure; the loader has a thread and a connection of its own, so that a
//! slow statement never holds up a key. Whatever ends the view, the terminal is as it was before.

mod span;
mod facts;
mod prompt;
mod state;
mod heat;
mod keys;
mod load;
mod screen;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use crossterm::clipboard::CopyToClipboard;
use crossterm::event::{self, Event, KeyEventKind};
use crossterm::execute;
use crossterm::terminal::{Clear, ClearType};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::{breaker, export, sample};
use crate::arguments::{Common, FormatName, TopKey, Tui, refuse};
use crate::{find, full_screen, store, terminal, units};
use facts::Answer;
use load::Mailbox;
use screen::Look;
use span::Span;
use state::{Effect, SortKey, State};

/// The time between two looks at the clock: ages on the screen count seconds.
const TICK: Duration = Duration::from_secs(1);

/// A message to the view.
enum Message {
    /// A key, a movement of the mouse, a new size.
    Input(Event),
    /// The terminal is gone, for this reason.
    Gone(io::Error),
    /// An answer of the loader.
    Loaded(Box<Answer>),
    /// The result of a change to the store.
    Done(String),
    /// The process goes on after it was stopped.
    Redraw,
}

pub(super) fn run(common: &Common, options: &Tui) -> Result<()> {
    let look = check_terminal(common, options);
    if common.db.len() > 1 {
        bail!("`monitor tui` shows one store, and {} are named: name one with --db PATH", common.db.len());
    }
    let path = find::find_store(common.store_path())?;
    store::require_possible(&path)?;
    let length = common.since.map_or(Span::DEFAULT_LENGTH_NS, units::to_nanoseconds);
    let size = crossterm::terminal::size().context("the terminal does not tell its size")?;
    let mut state = State::new(path.clone(), Span::until_now(length), size, units::now_ns());
    state.filter.clone_from(&options.pattern);
    if let Some(key) = options.sort {
        state.sort = to_sort_key(key);
    }
    let (sender, messages) = mpsc::channel();
    let mailbox = start_loader(path, &sender)?;
    let screen = full_screen::enter().context("the terminal cannot be taken over")?;
    let signals = sender.clone();
    full_screen::watch_signals(move || drop(signals.send(Message::Redraw)))?;
    start_input(sender.clone())?;
    let view = View { look, mailbox, sender, copied: Vec::new() };
    let (outcome, copied) = view.show(&mut state, &messages);
    drop(screen);
    for note in full_screen::take_notes() {
        terminal::print_note(&note);
    }
    for command in copied {
        print_copied(&command)?;
    }
    outcome
}

/// Prints a command that was copied, for terminals whose clipboard cannot be reached.
fn print_copied(command: &str) -> Result<()> {
    use std::io::Write as _;
    let mut out = io::stdout().lock();
    writeln!(out, "{}", terminal::escape(command))?;
    Ok(out.flush()?)
}

/// Ends the process unless the view can work here; returns what the terminal can show.
fn check_terminal(common: &Common, options: &Tui) -> Look {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        refuse(
            "`monitor tui` needs a terminal for its input and its output: use `monitor top --watch` to follow functions \
             in a pipe or a file, or `monitor top` for a table",
        );
    }
    let has_variable = |name: &str, wanted: &dyn Fn(&std::ffi::OsStr) -> bool| {
        monitor_runtime::config::process_variable(name).is_some_and(|value| wanted(&value))
    };
    if has_variable("TERM", &|term| term == "dumb") {
        refuse(
            "`monitor tui` needs a terminal that can move its cursor, and TERM=dumb says that this one cannot: use \
             `monitor top --watch`",
        );
    }
    if common.format != FormatName::Table {
        refuse(
            "`monitor tui` has no output formats: use `monitor top --format json` or another command for data",
        );
    }
    Look { is_ascii: options.ascii, has_colors: !has_variable("NO_COLOR", &|value| !value.is_empty()) }
}

fn to_sort_key(key: TopKey) -> SortKey {
    match key {
        TopKey::Total => SortKey::Total,
        TopKey::Mean => SortKey::Mean,
        TopKey::SelfTime => SortKey::SelfTime,
        TopKey::Calls => SortKey::Calls,
        TopKey::P50 => SortKey::P50,
        TopKey::P95 => SortKey::P95,
        TopKey::P99 => SortKey::P99,
        TopKey::Max => SortKey::Max,
        TopKey::Errors => SortKey::Failed,
    }
}

fn start_loader(path: PathBuf, sender: &Sender<Message>) -> Result<Arc<Mailbox>> {
    let mailbox = Arc::new(Mailbox::default());
    let (asked, sender) = (Arc::clone(&mailbox), sender.clone());
    let answer =
        move || load::run(path, &asked, |answer| sender.send(Message::Loaded(Box::new(answer))).is_ok());
    thread::Builder::new().name("loader".to_owned()).spawn(answer)?;
    Ok(mailbox)
}

/// Starts the thread that reads keys. It ends with the process, because nothing interrupts a read.
fn start_input(sender: Sender<Message>) -> Result<()> {
    let read = move || {
        loop {
            let message = match event::read() {
                Ok(event) => Message::Input(event),
                Err(error) => Message::Gone(error),
            };
            let is_last = matches!(message, Message::Gone(_));
            if sender.send(message).is_err() || is_last {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".to_owned()).spawn(read)?;
    Ok(())
}

/// The parts of the view outside of its state: the look of the terminal, the loader's mailbox, and the sender of
/// messages.
struct View {
    look: Look,
    mailbox: Arc<Mailbox>,
    sender: Sender<Message>,
    /// The commands that were copied.
    copied: Vec<String>,
}

impl View {
    /// Shows the state until the view ends. Returns the outcome, and the commands that were copied.
    fn show(mut self, state: &mut State, messages: &Receiver<Message>) -> (Result<()>, Vec<String>) {
        let outcome = self.run(state, messages);
        (outcome, self.copied)
    }

    fn run(&mut self, state: &mut State, messages: &Receiver<Message>) -> Result<()> {
        let mut terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        self.ask(state);
        self.draw(&mut terminal, state)?;
        loop {
            let mut is_changed = false;
            let mut next = match messages.recv_timeout(TICK) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => bail!("the threads of the view have ended"),
            };
            let now = units::now_ns();
            // Ages on the screen count seconds; nothing else changes by itself.
            is_changed |= now / 1_000_000_000 != state.now_ns / 1_000_000_000;
            state.now_ns = now;
            // Everything that waits is taken before the screen is drawn, so that a storm of sizes or keys is drawn once.
            while let Some(message) = next {
                match self.take(&mut terminal, state, message)? {
                    Taken::Quit => return Ok(()),
                    Taken::Changed => is_changed = true,
                    Taken::Unchanged => {}
                }
                self.ask(state);
                next = messages.try_recv().ok();
            }
            if let Some(note) = full_screen::take_notes().pop() {
                state.status = Some(note);
                is_changed = true;
            }
            if is_changed {
                self.draw(&mut terminal, state)?;
            }
        }
    }

    fn ask(&self, state: &mut State) {
        if let Some(question) = state.ask() {
            self.mailbox.ask(question);
        }
    }

    fn draw(&self, terminal: &mut Terminal<CrosstermBackend<io::Stdout>>, state: &mut State) -> Result<()> {
        let size = crossterm::terminal::size()?;
        if size != state.size {
            state.resize(size);
        }
        let drawn = full_screen::draw(|| {
            let frame = terminal.draw(|frame| screen::render(state, self.look, frame.buffer_mut()));
            frame.map(|_| ())
        });
        match drawn {
            Some(drawn) => Ok(drawn?),
            // A thread that panicked has given the terminal back and printed the reason.
            None if full_screen::has_panicked() => bail!("the view ended because one of its threads failed"),
            // The process stops or has just gone on: a message to draw anew follows.
            None => Ok(()),
        }
    }

    fn take(
        &mut self,
        terminal: &mut Terminal<CrosstermBackend<io::Stdout>>,
        state: &mut State,
        message: Message,
    ) -> Result<Taken> {
        let effect = match message {
            Message::Input(Event::Key(key)) if key.kind != KeyEventKind::Release => state.press(key),
            Message::Input(Event::Mouse(mouse)) => {
                state.point(mouse);
                None
            }
            Message::Input(Event::Paste(text)) => {
                state.paste(&text);
                None
            }
            Message::Input(Event::Resize(columns, rows)) => {
                state.resize((columns, rows));
                None
            }
            Message::Input(_) => return Ok(Taken::Unchanged),
            Message::Gone(error) => return Err(error).context("the terminal is gone"),
            Message::Loaded(answer) => {
                let is_changed = state.accept(*answer);
                return Ok(if is_changed { Taken::Changed } else { Taken::Unchanged });
            }
            Message::Done(text) => {
                state.status = Some(text);
                None
            }
            Message::Redraw => Some(Effect::Redraw),
        };
        match effect {
            Some(Effect::Quit) => return Ok(Taken::Quit),
            Some(Effect::Suspend) => full_screen::suspend(),
            Some(Effect::Redraw) => {
                // Every cell is drawn, because other programs may have drawn meanwhile. A new `Terminal` assumes that
                // all cells are empty. It does not ask the terminal where the cursor is, because the thread that
                // reads keys would take the answer.
                full_screen::draw(|| execute!(io::stdout(), Clear(ClearType::All))).transpose()?;
                *terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
            }
            Some(Effect::Copy(command)) => {
                let copy = CopyToClipboard::to_clipboard_from(&command);
                full_screen::draw(|| execute!(io::stdout(), copy)).transpose()?;
                state.status = Some(format!("copied: {command}"));
                self.copied.retain(|earlier| *earlier != command);
                self.copied.push(command);
            }
            Some(Effect::SetRate(pattern, rate)) => {
                self.change(state, "setting the rate …", move |path| {
                    sample::write_rate(path, &pattern, rate)
                })?;
            }
            Some(Effect::Export(picture)) => {
                self.change(state, "exporting …", move |path| export::write_picture(path, &picture))?;
            }
            Some(Effect::Hold(hold, reason)) => {
                self.change(state, "holding the breakers …", move |path| {
                    breaker::write_hold(path, hold, &reason)
                })?;
            }
            None => {}
        }
        Ok(Taken::Changed)
    }

    /// Runs a change to the store on a thread of its own, because another process may hold the store's lock. Its outcome comes
    /// as a message.
    fn change(
        &self,
        state: &mut State,
        begun: &str,
        change: impl FnOnce(&Path) -> Result<String> + Send + 'static,
    ) -> Result<()> {
        state.status = Some(begun.to_owned());
        let (path, sender) = (state.store.clone(), self.sender.clone());
        let run = move || {
            // A paused loader does not notice that programs have moved to another file.
            let path = find::follow_programs(&path);
            let told = change(&path).unwrap_or_else(|error| format!("not done: {error:#}"));
            let _ = sender.send(Message::Done(told));
        };
        thread::Builder::new().name("change".to_owned()).spawn(run)?;
        Ok(())
    }
}

/// The outcome of a message.
enum Taken {
    /// The view ends.
    Quit,
    /// The screen may look different.
    Changed,
    /// The screen has not changed.
    Unchanged,
}
