//! The progress of long work: a line on standard error that is drawn over, while standard error is a terminal.
//!
//! Takes a function that describes the progress, and calls it four times a second once the work has taken a second.
//! The line is removed when the work ends, so that notes and reports stand alone.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::terminal;

/// The time of work after which its progress is shown.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// The pause between two drawings.
const PAUSE: Duration = Duration::from_millis(250);
/// The columns of the line, which fit any terminal that people use.
const COLUMNS: usize = 78;

/// A line of progress, which its drop removes.
pub(crate) struct Progress {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Shows the text that `describe` returns until the returned value is dropped. Nothing is shown unless standard error is a terminal.
    pub(crate) fn show(describe: impl Fn() -> String + Send + 'static) -> Self {
        if !io::stderr().is_terminal() {
            return Self { end: None, thread: None };
        }
        let (end, is_ended) = mpsc::channel();
        let draw = move || {
            let start = Instant::now();
            let mut is_drawn = false;
            while is_ended.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                if start.elapsed() >= SHOWN_AFTER {
                    let line = format_line(&describe(), start.elapsed());
                    let _ = write!(io::stderr().lock(), "\r{line}\u{1b}[K");
                    is_drawn = true;
                }
            }
            if is_drawn {
                let _ = write!(io::stderr().lock(), "\r\u{1b}[K");
            }
        };
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(draw).ok();
        Self { end: Some(end), thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn format_line(text: &str, elapsed: Duration) -> String {
    let text = format!("{} · {} s", terminal::escape(text), elapsed.as_secs());
    terminal::truncate_end(&text, COLUMNS).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_short_and_acts_on_no_terminal() {
        assert_eq!(format_line("12 rows\u{1b}[2J", Duration::from_millis(3_900)), "12 rows\\u001b[2J · 3 s");
        assert_eq!(terminal::measure_width(&format_line(&"x".repeat(200), Duration::ZERO)), COLUMNS);
    }
}
