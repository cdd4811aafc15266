//! What stands between stored text and someone's terminal.
//!
//! Recorded values come from anywhere, so nothing reaches a terminal that could move its cursor,
//! change its title or turn its text around: C0 and C1 controls, bidirectional controls and invisible
//! marks are shown as escapes. The rest knows the terminal's size and whether the reader is still there.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a character could act on a terminal or hide in it instead of being shown.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            // Bidirectional marks, embeddings, overrides and isolates.
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Line and paragraph separators, zero-width space, byte-order mark, annotations, tags.
            | '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Text safe to show on one line: `\n`, `\t`, `\u{1b}` in place of what is unsafe.
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

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text's start in at most `columns`, with `…` where something is left out.
pub(crate) fn cut(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut used = 1;
    let end = text.char_indices().find(|(_, character)| {
        used += character.width().unwrap_or(0);
        used > columns
    });
    Cow::Owned(format!("{}…", &text[..end.map_or(text.len(), |(at, _)| at)]))
}

/// The text's end in at most `columns`, with `…` where something is left out.
pub(crate) fn cut_start(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut used = 1;
    let start = text.char_indices().rev().take_while(|(_, character)| {
        used += character.width().unwrap_or(0);
        used <= columns
    });
    Cow::Owned(format!("…{}", &text[start.last().map_or(text.len(), |(at, _)| at)..]))
}

/// Writes a line to standard error, made safe; where nobody listens there is nobody to tell.
pub(crate) fn remark(text: &str) {
    let lines: Vec<_> = text.lines().map(escape).collect();
    let _ = writeln!(io::stderr().lock(), "{}", lines.join("\n"));
}

/// Columns and rows of the terminal on standard output, where there is one.
pub(crate) fn size() -> Option<(usize, usize)> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok()?;
    (size.ws_col >= 20 && size.ws_row >= 5).then(|| (size.ws_col.into(), size.ws_row.into()))
}

/// Whether headings may be set in bold.
pub(crate) fn is_styled() -> bool {
    io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether the reader of standard output went away while waiting this long; returns at once if so.
pub(crate) fn is_closed_within(pause: Duration) -> bool {
    let stdout = io::stdout();
    // No event is asked for: poll(2) reports errors and hang-ups unasked.
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

/// Ends the process with success on Ctrl-C, which is how one leaves a view that has no end.
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
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("漢字漢字", 5), "漢字…");
        assert_eq!(cut_start("abcdefg", 4), "…efg");
        assert_eq!(width("漢字"), 4);
    }
}
