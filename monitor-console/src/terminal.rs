//! The terminal: stored text made safe for it, text measured and truncated by columns, and its size.
//!
//! Recorded values come from anywhere. No text reaches a terminal that could move its cursor, change its
//! title or reverse its text: C0 and C1 controls, bidirectional controls and invisible marks are shown as
//! escapes. The set is written here because crates that remove ANSI sequences drop text, and leave the other
//! characters in.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unicode_truncate::UnicodeTruncateStr;
use unicode_width::UnicodeWidthStr;

/// Returns true if a terminal could act on the character or hide it instead of showing it.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Bidirectional marks, embeddings, overrides and isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Line and paragraph separators, zero-width space, byte-order mark, annotations, tags.
            | '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Returns the text for one line of a terminal, with escapes such as `\n`, `\t`, `\u{1b}` for unsafe
/// characters.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            safe.extend(character.escape_default());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
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
/// it.
pub(crate) fn print_note(text: &str) {
    let lines: Vec<_> = text.lines().map(escape).collect();
    let _ = writeln!(io::stderr().lock(), "{}", lines.join("\n"));
}

/// Returns the columns and rows of the terminal on standard output; `None` if standard output is no terminal,
/// or one too small to lay anything out.
pub(crate) fn read_size() -> Option<(usize, usize)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    (size.ws_col >= 20 && size.ws_row >= 5).then(|| (size.ws_col.into(), size.ws_row.into()))
}

/// Returns true if headings may be bold: on a terminal that is not `dumb`, unless `NO_COLOR` is set.
pub(crate) fn is_styled() -> bool {
    io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Waits this long and returns false; returns true at once if the reader of standard output goes away.
pub(crate) fn is_closed_within(pause: Duration) -> bool {
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
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("\u{7f}", "\\u{7f}"),
            ("user\u{202e}txt.exe", "user\\u{202e}txt.exe"),
            ("\u{2066}x\u{2069}", "\\u{2066}x\\u{2069}"),
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
