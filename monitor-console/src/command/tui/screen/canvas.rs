//! Text on a buffer of cells: made safe, cut to its room, styled, and turned into ASCII where that is asked for.
//!
//! Every text from a store passes through [`Canvas::text`], which shows controls and invisible characters as boxes, so that no
//! store can move the cursor or hide what it says.

use std::borrow::Cow;
use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};

use crate::terminal;

/// The characters and colours that the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::command::tui) struct Look {
    /// True if only characters of ASCII are drawn.
    pub(in crate::command::tui) is_ascii: bool,
    /// True if colours are drawn; otherwise bold, dim and inverse text remain.
    pub(in crate::command::tui) has_colors: bool,
}

/// A text and its style.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) style: Style,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text, style: Style::new() }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl Text {
    /// Returns a text in a style.
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

pub(super) const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
pub(super) const DIM: Style = Style::new().add_modifier(Modifier::DIM);
pub(super) const SELECTED: Style = Style::new().add_modifier(Modifier::REVERSED);
pub(super) const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
pub(super) const WARNING: Style = Style::new().fg(Color::Yellow);
pub(super) const GOOD: Style = Style::new().fg(Color::Green);
pub(super) const ACCENT: Style = Style::new().fg(Color::Cyan);

/// Returns the text for a screen: each control character as its picture, each other unsafe character as its number in
/// brackets.
pub(super) fn boxed(text: &str) -> Cow<'_, str> {
    if !text.contains(terminal::is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match u32::from(character) {
            code @ 0..=0x1f => safe.push(char::from_u32(0x2400 + code).unwrap_or('?')),
            0x7f => safe.push('␡'),
            code if terminal::is_unsafe(character) => {
                let _ = write!(safe, "⟦U+{code:04X}⟧");
            }
            _ => safe.push(character),
        }
    }
    Cow::Owned(safe)
}

/// A buffer that is drawn on.
pub(super) struct Canvas<'a> {
    pub(super) buffer: &'a mut Buffer,
}

impl Canvas<'_> {
    /// Returns the columns of the screen.
    pub(super) fn width(&self) -> u16 {
        self.buffer.area.width
    }

    /// Draws a text that begins at a place, its end cut to fit `room` columns. Returns the column after the text.
    pub(super) fn text(&mut self, (x, y): (u16, u16), room: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if y >= area.height || x >= area.width {
            return x;
        }
        let room = room.min(area.width - x);
        let safe = boxed(text);
        let cut = terminal::truncate_end(&safe, room.into());
        self.buffer.set_stringn(x, y, cut, room.into(), style).0
    }

    /// Draws a text whose start is cut, so that the end of a name stays.
    pub(super) fn name(&mut self, at: (u16, u16), room: u16, text: &str, style: Style) {
        let safe = boxed(text);
        let cut = terminal::truncate_start(&safe, room.into()).into_owned();
        self.text(at, room, &cut, style);
    }

    /// Draws a text that ends at the right of its room.
    pub(super) fn right(&mut self, (x, y): (u16, u16), room: u16, text: &str, style: Style) {
        let width = u16::try_from(terminal::measure_width(&boxed(text))).unwrap_or(u16::MAX).min(room);
        self.text((x + room - width, y), width, text, style);
    }

    /// Draws texts one after the other. Returns the column behind them.
    pub(super) fn texts(&mut self, (x, y): (u16, u16), room: u16, texts: &[Text]) -> u16 {
        let end = x.saturating_add(room);
        texts.iter().fold(x, |at, text| self.text((at, y), end.saturating_sub(at), &text.text, text.style))
    }

    /// Draws a line across the screen with a title in it.
    pub(super) fn rule(&mut self, y: u16, title: &str) {
        let width = self.width();
        self.text((0, y), width, &"─".repeat(width.into()), DIM);
        if !title.is_empty() {
            let title = format!(" {} ", boxed(title));
            self.text((1, y), width.saturating_sub(2), &title, BOLD);
        }
    }

    /// Gives a stretch of a row a style.
    pub(super) fn restyle(&mut self, (x, y): (u16, u16), width: u16, style: Style) {
        let area = ratatui::layout::Rect { x, y, width, height: 1 };
        self.buffer.set_style(area.intersection(self.buffer.area), style);
    }

    /// Draws a text over several rows, cut between words. Returns the number of rows that it took.
    pub(super) fn paragraph(&mut self, (x, y): (u16, u16), (columns, rows): (u16, u16), text: &Text) -> u16 {
        let lines = wrap(&boxed(&text.text), columns.into());
        let shown = lines.len().min(rows.into());
        for (line, y) in lines[..shown].iter().zip(y..) {
            self.text((x, y), columns, line, text.style);
        }
        u16::try_from(shown).unwrap_or(rows)
    }
}

/// Cuts a text into lines of this many columns, between words where there are some.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut width = 0;
    for word in text.split_inclusive(' ') {
        let word_width = terminal::measure_width(word.trim_end());
        if width > 0 && width + word_width > columns {
            lines.push(std::mem::take(&mut line));
            width = 0;
        }
        for character in word.chars() {
            let wide = terminal::measure_width(character.encode_utf8(&mut [0; 4]));
            if width + wide > columns && character != ' ' {
                lines.push(std::mem::take(&mut line));
                width = 0;
            }
            line.push(character);
            width += wide;
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Adapts a finished buffer to what the terminal can show.
pub(super) fn adapt(buffer: &mut Buffer, look: Look) {
    for cell in &mut buffer.content {
        if !look.has_colors {
            (cell.fg, cell.bg) = (Color::Reset, Color::Reset);
        }
        if look.is_ascii && !cell.symbol().is_ascii() {
            let ascii = to_ascii(cell.symbol());
            cell.set_symbol(ascii);
        }
    }
}

/// Returns the character of ASCII that stands for a symbol.
fn to_ascii(symbol: &str) -> &'static str {
    match symbol {
        "─" | "–" | "·" | "→" | "▄" => "-",
        "│" | "├" | "└" => "|",
        "…" => "~",
        "µ" => "u",
        "×" | "✗" | "☠" => "x",
        "✓" | "▆" | "▓" => "+",
        "⊘" | "○" => "o",
        "●" | "█" => "#",
        "▶" | "▸" | "≥" => ">",
        "▾" => "v",
        "▲" => "^",
        "←" => "<",
        "‖" | "▅" => "=",
        "◷" => "@",
        "▁" | "░" => ".",
        "▂" => ",",
        "▃" | "▒" => ":",
        "▇" => "*",
        "⟦" => "[",
        "⟧" => "]",
        _ => "?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    #[test]
    fn what_acts_on_a_terminal_is_boxed() {
        let table = [
            ("\u{1b}[31mred", "␛[31mred"),
            ("a\nb\0\u{7f}", "a␊b␀␡"),
            ("\u{9b}2J", "⟦U+009B⟧2J"),
            ("user\u{202e}txt", "user⟦U+202E⟧txt"),
            ("größe 漢字", "größe 漢字"),
        ];
        for (text, safe) in table {
            assert_eq!(boxed(text), safe);
        }
    }

    #[test]
    fn lines_are_cut_between_words_and_long_words_within() {
        assert_eq!(wrap("one two three", 8), ["one two ", "three"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij ", "kl"]);
        assert_eq!(wrap("漢字漢字", 5), ["漢字", "漢字"]);
        assert_eq!(wrap("", 5), [""; 0]);
    }

    #[test]
    fn an_adapted_buffer_has_neither_colours_nor_other_characters() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 20, 1));
        let mut canvas = Canvas { buffer: &mut buffer };
        canvas.text((0, 0), 20, "▶ 漢 1.5 µs ▁█ é", BAD);
        adapt(&mut buffer, Look { is_ascii: true, has_colors: false });
        let text: String = buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect();
        assert!(text.starts_with("> ?"), "{text}");
        assert!(text.is_ascii() && text.contains("1.5 us .# ?"), "{text}");
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset));
    }
}
