//! Collects the text of a pattern, and joins placeholders that follow each other as a list into one.
//!
//! Takes words, marks and placeholders in order; gives text. `[#, #, #]`, `IN (#, #)` and `('…', #), ('…', #)` have the
//! same text whatever their lengths. The file does not know what a placeholder stands for.

/// A part of the text, from byte `start` up to byte `end`.
#[derive(Debug, Clone, Copy)]
struct Part {
    start: usize,
    end: usize,
}

/// The pattern so far.
#[derive(Debug, Default)]
pub(super) struct Output {
    text: String,
    /// The last placeholder, or the last bracketed group that holds only a placeholder.
    last: Option<Part>,
    /// The last bracketed group that holds only a placeholder.
    group: Option<Part>,
}

impl Output {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn finish(mut self) -> String {
        self.text.truncate(self.text.trim_end().len());
        self.text
    }

    /// Writes one space for any white space.
    pub(super) fn space(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with(' ') {
            self.text.push(' ');
        }
    }

    pub(super) fn word(&mut self, word: &str) {
        self.text.push_str(word);
    }

    /// Writes a mark of punctuation. A closing bracket may end a group.
    pub(super) fn mark(&mut self, mark: char) {
        self.text.push(mark);
        let open = match mark {
            ')' => '(',
            ']' => '[',
            '}' => '{',
            _ => return,
        };
        let Some(inner) = self.last else { return };
        let before = &self.text[..inner.start];
        if inner.end + 1 != self.text.len() || !before.ends_with(open) {
            return;
        }
        let group = Part { start: inner.start - 1, end: self.text.len() };
        if let Some(last) = self.group.filter(|last| last.end <= group.start)
            && is_separator(&self.text[last.end..group.start])
        {
            self.text.truncate(last.end);
            self.last = Some(last);
            return;
        }
        self.group = Some(group);
        self.last = Some(group);
    }

    /// Writes a placeholder, unless it continues a list.
    pub(super) fn placeholder(&mut self, shown: &str) {
        if let Some(last) = self.last
            && is_separator(&self.text[last.end..])
        {
            self.text.truncate(last.end);
            return;
        }
        let start = self.text.len();
        self.text.push_str(shown);
        self.last = Some(Part { start, end: self.text.len() });
    }
}

/// Returns true for the text between two items of a list.
fn is_separator(between: &str) -> bool {
    let inner = between.trim();
    let is_wide = inner.len() < between.len();
    match inner {
        "" | "and" | "or" | "&" => is_wide,
        "," | ";" | "|" | ", and" | ", or" => true,
        _ => false,
    }
}
