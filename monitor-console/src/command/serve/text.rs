//! Stored text as a page shows it. Recorded values come from anywhere: what HTML would read as markup is escaped by the
//! templates, and what acts on a reader's eye (controls, marks that turn text around, marks without a shape) becomes a box
//! with its code. Texts are cut, because a value may be megabytes long.

use maud::{Markup, html};

use crate::terminal;

/// The most characters of a text in a cell of a table.
pub(super) const CELL_CHARACTERS: usize = 256;
/// The most characters of a text on a page about one thing.
pub(super) const DETAIL_CHARACTERS: usize = 4096;

/// Shows a text in a cell.
pub(super) fn cell(text: &str) -> Markup {
    shorten(text, CELL_CHARACTERS)
}

/// Shows a text, cut to this number of characters.
pub(super) fn shorten(text: &str, characters: usize) -> Markup {
    let end = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    let shown = &text[..end];
    html! {
        @for piece in split(shown) {
            @match piece {
                Piece::Plain(text) => { (text) }
                Piece::Unsafe(character) => { span.code { (name(character)) } }
            }
        }
        @if end < text.len() { span.more { "… " (text.len() - end) " more bytes" } }
    }
}

/// Returns a text for places that take no markup: titles, choices, texts in pictures, labels for screen readers.
pub(super) fn flat(text: &str, characters: usize) -> String {
    let end = text.char_indices().nth(characters).map_or(text.len(), |(at, _)| at);
    let mut shown = String::new();
    for piece in split(&text[..end]) {
        match piece {
            Piece::Plain(text) => shown.push_str(text),
            Piece::Unsafe(character) => shown.push_str(&name(character)),
        }
    }
    if end < text.len() {
        shown.push('…');
    }
    shown
}

/// A part of a text.
enum Piece<'a> {
    Plain(&'a str),
    Unsafe(char),
}

fn split(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(terminal::is_unsafe) {
        let (plain, from) = rest.split_at(at);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        let mut characters = from.chars();
        pieces.extend(characters.next().map(Piece::Unsafe));
        rest = characters.as_str();
    }
    if !rest.is_empty() {
        pieces.push(Piece::Plain(rest));
    }
    pieces
}

/// Names a character that is not shown as it is.
fn name(character: char) -> String {
    match character {
        '\n' => "␊".to_owned(),
        '\r' => "␍".to_owned(),
        '\t' => "␉".to_owned(),
        '\u{1b}' => "␛".to_owned(),
        '\0' => "␀".to_owned(),
        other => format!("U+{:04X}", u32::from(other)),
    }
}

/// Shows the name of a function: its last segment stands out.
pub(super) fn function(name: &str) -> Markup {
    // A generic type may have `::` in its brackets, so the last segment begins after the last `::` outside of
    // brackets.
    let mut depth = 0_usize;
    let mut last = 0;
    let mut previous = ' ';
    for (at, character) in name.char_indices() {
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth = depth.saturating_sub(1),
            ':' if previous == ':' && depth == 0 => last = at + 1,
            _ => {}
        }
        previous = character;
    }
    html! { span.path { (cell(&name[..last])) } span.name { (cell(&name[last..])) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_controls_and_turned_text_are_harmless() {
        let shown = cell("<script>\"'&\u{1b}[2J\u{202e}\0\n").into_string();
        assert!(!shown.contains("<script") && !shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
        assert!(
            shown.contains("&lt;script&gt;&quot;") && shown.contains("U+202E") && shown.contains("␀"),
            "{shown}"
        );
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let shown = shorten(&"ü".repeat(10), 3).into_string();
        assert_eq!(shown, "üüü<span class=\"more\">… 14 more bytes</span>");
    }

    #[test]
    fn the_last_segment_of_a_name_stands_out() {
        let shown = |name: &str| function(name).into_string();
        assert!(shown("shop::orders::place").ends_with("<span class=\"name\">place</span>"));
        assert!(shown("<a::B as c::D>::run").ends_with("<span class=\"name\">run</span>"));
        assert!(shown("main").ends_with("<span class=\"name\">main</span>"));
    }
}
