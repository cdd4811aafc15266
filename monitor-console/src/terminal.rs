//! The terminal: stored text made safe for it, text measured and truncated by columns, and its size.
//!
//! Recorded values come from anywhere. No text reaches a terminal that could move its cursor, change its
//! title or reverse its text: C0 and C1 controls, bidirectional controls and invisible marks are shown as
//! escapes. The set is written here because crates that remove ANSI sequences drop text, and leave the other
//! characters in.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use unicode_truncate::UnicodeTruncateStr;
use unicode_width::UnicodeWidthStr;

use crate::full_screen;

/// The program that opens an address or a file in the browser.
pub(crate) const BROWSER_OPENER: &str = if cfg!(windows) {
    "explorer"
} else if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};

/// Returns true if a terminal could act on the character or hide it instead of showing it.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Bidirectional marks, embeddings, overrides and isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Line and paragraph separators, zero-width space, word joiner, invisible operators, byte-order mark.
            | '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{feff}'
            // Other characters without a shape: soft hyphen, grapheme joiner, fillers, vowel separators.
            | '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{3164}' | '\u{ffa0}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Annotations, tags and the other variation selectors. Joiners and the selectors of emoji stay.
            | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns the text for one line of a terminal, with the escapes of JSON (`\n`, `\t`, `\u001b`) for unsafe
/// characters, so that every format shows a character in one way.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            push_escape(character, &mut safe);
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

fn push_escape(character: char, safe: &mut String) {
    match character {
        '\n' => safe.push_str("\\n"),
        '\r' => safe.push_str("\\r"),
        '\t' => safe.push_str("\\t"),
        '\u{8}' => safe.push_str("\\b"),
        '\u{c}' => safe.push_str("\\f"),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
}

/// Returns the number of columns that a text takes.
pub(crate) fn measure_width(text: &str) -> usize {
    text.width()
}

/// Keeps the start of a text that fits into this many columns, and puts `…` in place of the rest.
pub(crate) fn truncate_end(text: &str, columns: usize) -> Cow<'_, str> {
    if measure_width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let (start, _) = text.unicode_truncate(columns.saturating_sub(1));
    Cow::Owned(format!("{start}…"))
}

/// Keeps the end of a text that fits into this many columns, and puts `…` in place of the rest.
pub(crate) fn truncate_start(text: &str, columns: usize) -> Cow<'_, str> {
    if measure_width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let (end, _) = text.unicode_truncate_start(columns.saturating_sub(1));
    Cow::Owned(format!("…{end}"))
}

/// Writes escaped lines to standard error. A failure to write is ignored, because nothing else could report
/// it. While a view fills the screen, the view shows the note instead.
pub(crate) fn print_note(text: &str) {
    let lines: Vec<_> = text.lines().map(escape).collect();
    let text = lines.join("\n");
    if !full_screen::keep_note(&text) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}

/// Writes a note as [`print_note`] does, once however often it is asked for: a view that is redrawn would repeat it.
pub(crate) fn print_note_once(text: &str) {
    static PRINTED: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let mut printed = PRINTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !printed.iter().any(|earlier| earlier == text) {
        print_note(text);
        printed.push(text.to_owned());
    }
}

/// Returns the columns and rows of the terminal on standard output; `None` if standard output is no terminal,
/// or one that does not know its size.
pub(crate) fn read_size() -> Option<(usize, usize)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let (columns, rows) = terminal_size::terminal_size_of(&stdout)?;
    (columns.0 > 0 && rows.0 > 0).then(|| (columns.0.into(), rows.0.into()))
}

/// Returns true if headings may be bold: on a terminal that is not `dumb`, unless `NO_COLOR` is set.
pub(crate) fn is_styled() -> bool {
    io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        && is_style_understood()
}

/// Returns true: a terminal of a Unix system understands bold text.
#[cfg(not(windows))]
fn is_style_understood() -> bool {
    true
}

/// Makes the console understand escape sequences. Returns false if the console is too old for them.
#[cfg(windows)]
fn is_style_understood() -> bool {
    anstyle_query::windows::enable_ansi_colors() == Some(true)
}

/// Waits this long and returns false; returns true at once if the reader of standard output goes away.
#[cfg(unix)]
pub(crate) fn is_closed_within(pause: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let stdout = io::stdout();
    // The set of requested events is empty because poll(2) always reports errors and hang-ups.
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let pause = Timespec {
        tv_sec: pause.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: pause.subsec_nanos().into(),
    };
    match poll(&mut watched, Some(&pause)) {
        Ok(0) | Err(_) => false,
        Ok(_) => watched[0].revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL),
    }
}

/// Waits this long and returns false: the system does not report whether the reader is gone, and the next write finds
/// out.
#[cfg(not(unix))]
pub(crate) fn is_closed_within(pause: Duration) -> bool {
    std::thread::sleep(pause);
    false
}

/// Makes Ctrl-C end the process with exit code 0, because it is the usual way to leave an endless view.
pub(crate) fn end_on_interrupt() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            std::process::exit(0);
        }
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_acts_on_a_terminal_is_escaped() {
        let table = [
            ("\u{1b}[31mred", "\\u001b[31mred"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\u{9b}2J", "\\u009b2J"),
            ("\u{7f}", "\\u007f"),
            ("\u{8}\u{c}\0", "\\b\\f\\u0000"),
            ("a\u{2060}b\u{ad}c\u{e0100}", "a\\u2060b\\u00adc\\udb40\\udd00"),
            ("user\u{202e}txt.exe", "user\\u202etxt.exe"),
            ("\u{2066}x\u{2069}", "\\u2066x\\u2069"),
            ("größe 漢字 👍", "größe 漢字 👍"),
        ];
        for (text, safe) in table {
            assert_eq!(escape(text), safe);
        }
    }

    #[test]
    fn cutting_counts_columns_and_not_characters() {
        assert_eq!(truncate_end("abcdef", 6), "abcdef");
        assert_eq!(truncate_end("abcdefg", 6), "abcde…");
        assert_eq!(truncate_end("漢字漢字", 5), "漢字…");
        assert_eq!(truncate_start("abcdefg", 4), "…efg");
        assert_eq!(measure_width("漢字"), 4);
    }

    #[test]
    fn cutting_keeps_characters_whole_that_consist_of_several() {
        let family = "👩\u{200d}👩\u{200d}👧";
        assert_eq!(truncate_end(&format!("{family}abc"), 4), format!("{family}a…"));
        assert_eq!(truncate_end(&format!("a{family}bc"), 3), "a…");
        assert_eq!(truncate_start(&format!("abc{family}"), 4), format!("…c{family}"));
    }
}
