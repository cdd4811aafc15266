//! Converts tokens back to text: JSON text for values, plain text for errors.
//!
//! Takes a token stream; gives text that is always valid JSON. The stream may come from a file that anybody can have
//! written, so every length is checked and nesting is bounded. Bytes that are no token stream become `"[unreadable]"`,
//! and values that did not fit `"[truncated]"`. Secrets within strings, which only their form shows, are `[redacted]`
//! here, before any text reaches a store or a subscriber. The text of each value has a budget of its own, because a
//! token of one byte may need five characters. The file does not know the types that were captured.

use std::fmt::Display;
use std::ops::Range;

use monitor_rules::text::{REDACTED, without_secrets};
use serde::Serialize;

use super::json_text::JsonText;
use super::limits::{DIMENSIONS, VALUE_BYTES};
use super::secret::is_secret;
use super::token;
use super::token_buffer::first_bytes;
use crate::growth::MakeRoom as _;
use crate::limits::VALUES_BYTES_MAX;

/// Deepest nesting that is read. It is more than a writer's limit, but small, because a key that is itself a map is
/// quoted again at each level, which doubles its escapes.
const NESTING: u32 = 8;
/// The fewest bytes of a name and its value: a word for each.
const PAIR_BYTES_MIN: usize = 16;
/// The text in place of a value that did not fit.
const TRUNCATED: &str = "[truncated]";
/// The text in place of a text for which the machine has no memory.
const NO_MEMORY: &str = "[no memory]";

/// The error for a stream that no writer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unreadable;

/// Returns a JSON object of the values, by these names. Values beyond the names are omitted. Without names, the values
/// are pairs of a name and a value. Without memory for the text it is `"[no memory]"`.
#[must_use]
pub fn to_json(tokens: &[u8], names: &[&str]) -> String {
    object_text(tokens, names).unwrap_or_else(no_memory)
}

/// Returns a JSON object of the values, as [`to_json`] does; `None` if there is no memory for it.
pub(crate) fn object_text(tokens: &[u8], names: &[&str]) -> Option<String> {
    if names.is_empty() {
        return pairs_text(tokens);
    }
    let mut reader = Reader { rest: tokens };
    let mut text = JsonText::with_room(tokens.len() * 2 + 2);
    text.push(b'{');
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        write_json(&mut text, name);
        text.push(b':');
        next_value(&mut reader, &mut text);
    }
    text.push(b'}');
    into_string(text)
}

/// Returns a JSON object of pairs of a name and a value; `None` if there is no memory for it. The last value of a name
/// counts.
fn pairs_text(tokens: &[u8]) -> Option<String> {
    let mut entries: Vec<(&str, Vec<u8>)> = Vec::new();
    for (name, _, value) in pairs(tokens) {
        entries.retain(|(earlier, _)| *earlier != name);
        if !entries.make_room(1) {
            return None;
        }
        entries.push((name, value.into_bytes()?));
    }
    let mut text = JsonText::with_room(tokens.len() * 2 + 2);
    text.push(b'{');
    for (at, (name, value)) in entries.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        write_json(&mut text, name);
        text.push(b':');
        text.extend_from_slice(value);
    }
    text.push(b'}');
    into_string(text)
}

/// Returns the pairs of a name and a value: the name, the place of both tokens, and the value's JSON text. There are no
/// more of them than fit into the values of a call.
pub(super) fn pairs(tokens: &[u8]) -> impl Iterator<Item = (&str, Range<usize>, JsonText)> {
    let mut reader = Reader { rest: tokens };
    std::iter::from_fn(move || {
        reader.skip_padding();
        let start = tokens.len() - reader.rest.len();
        let name = reader.name()?;
        let mut value = JsonText::default();
        next_value(&mut reader, &mut value);
        reader.skip_padding();
        let end =
            if reader.rest == [token::UNREADABLE] { tokens.len() } else { tokens.len() - reader.rest.len() };
        Some((name, start..end, value))
    })
    .take(VALUES_BYTES_MAX / PAIR_BYTES_MIN)
}

/// Returns the JSON text of the first value. Without memory for the text it is `"[no memory]"`.
#[must_use]
pub fn to_json_value(tokens: &[u8]) -> String {
    value_text(tokens).unwrap_or_else(no_memory)
}

/// Returns the JSON text of the first value; `None` if there is no memory for it.
pub(crate) fn value_text(tokens: &[u8]) -> Option<String> {
    let mut text = JsonText::with_room(tokens.len() * 2);
    next_value(&mut Reader { rest: tokens }, &mut text);
    into_string(text)
}

/// Returns the first value as plain text, and the name that follows as the second value, if one does: the message of an
/// error and its type. Returns `None` if there is no memory for them.
#[must_use]
pub fn text_and_type(tokens: &[u8]) -> Option<(String, Option<String>)> {
    let mut json = JsonText::with_room(tokens.len() * 2);
    let mut reader = Reader { rest: tokens };
    next_value(&mut reader, &mut json);
    let json = into_string(json)?;
    reader.skip_padding();
    let name = match reader.tag() {
        Some(token::NAME) => reader.text().ok().filter(|name| !name.is_empty()).map(str::to_owned),
        _ => None,
    };
    Some((serde_json::from_str(&json).unwrap_or(json), name))
}

/// Returns the first value as plain text, as for the message of an error. Without memory for the text it is `[no
/// memory]`.
#[must_use]
pub fn to_text(tokens: &[u8]) -> String {
    plain_text(tokens).unwrap_or_else(|| NO_MEMORY.to_owned())
}

/// Returns the first value as plain text; `None` if there is no memory for it.
pub(crate) fn plain_text(tokens: &[u8]) -> Option<String> {
    let json = value_text(tokens)?;
    Some(serde_json::from_str(&json).unwrap_or(json))
}

/// Returns the JSON text in place of a text for which there is no memory.
fn no_memory() -> String {
    format!("\"{NO_MEMORY}\"")
}

/// Writes the next value. After an unreadable value the rest of the stream is unreadable.
fn next_value(reader: &mut Reader<'_>, text: &mut JsonText) {
    let start = text.len();
    reader.skip_padding();
    let mut rendering = Rendering { reader, text, start, is_cut: false, is_full: false };
    if rendering.value(0).is_err() {
        rendering.text.truncate(start);
        write_json(rendering.text, "[unreadable]");
        rendering.reader.rest = &[token::UNREADABLE];
    }
}

/// Writes a scalar as `serde_json` does. Writing into memory reports no error.
fn write_json(out: &mut JsonText, scalar: impl Serialize) {
    let _ = serde_json::to_writer(out, &scalar);
}

/// Writes a float. The values for which JSON has no representation become strings: `"NaN"`, `"inf"` and `"-inf"`.
fn write_float<T: Serialize + Display + Into<f64> + Copy>(out: &mut JsonText, value: T) {
    if value.into().is_finite() { write_json(out, value) } else { write_json(out, value.to_string()) }
}

fn into_string(text: JsonText) -> Option<String> {
    Some(String::from_utf8(text.into_bytes()?).unwrap_or_else(|_| String::from("\"[unreadable]\"")))
}

/// A reader that takes pieces from the front of a stream.
#[derive(Debug)]
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Moves on to the next value.
    fn skip_padding(&mut self) {
        while let [token::PADDING, rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Returns true if the next value is a string.
    fn is_at_string(&self) -> bool {
        let strings = [token::STRING, token::STRING_CUT, token::TEXT_CUT];
        self.rest
            .first()
            .is_some_and(|tag| (token::SHORT..=token::SHORT_MAX).contains(tag) || strings.contains(tag))
    }

    fn tag(&mut self) -> Option<u8> {
        let (&tag, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(tag)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Unreadable)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        self.take(N)?.try_into().map_err(|_| Unreadable)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Takes a number of `more` + 1 bytes, at most eight.
    fn short_number(&mut self, more: u8) -> Result<u64, Unreadable> {
        let given = self.take(usize::from(more) + 1)?;
        let mut bytes = [0; 8];
        bytes.get_mut(..given.len()).ok_or(Unreadable)?.copy_from_slice(given);
        Ok(u64::from_le_bytes(bytes))
    }

    fn text_of_length(&mut self, len: usize) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.take(len)?).map_err(|_| Unreadable)
    }

    /// Takes a string that is the name of the next value; `None` if there is none.
    fn name(&mut self) -> Option<&'a str> {
        match self.tag()? {
            tag @ token::SHORT..=token::SHORT_MAX => {
                self.text_of_length(usize::from(tag - token::SHORT)).ok()
            }
            token::STRING => self.text().ok(),
            _ => None,
        }
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        let len = u16::from_le_bytes(self.array()?);
        self.text_of_length(len.into())
    }
}

/// A value that is being rendered.
#[derive(Debug)]
struct Rendering<'r, 'a> {
    reader: &'r mut Reader<'a>,
    text: &'r mut JsonText,
    start: usize,
    /// True if the tokens were cut: every container ends here.
    is_cut: bool,
    /// True if the text has used up its budget: the following tokens are read, but not shown.
    is_full: bool,
}

/// The texts in which sequences and maps differ.
#[derive(Debug, Clone, Copy)]
struct Kind {
    open: u8,
    close: u8,
    /// The last key of a map that does not show all of its entries. A sequence has no keys.
    note_key: &'static str,
    noun: &'static str,
}

const SEQUENCE: Kind = Kind { open: b'[', close: b']', note_key: "", noun: "items" };
const MAP: Kind = Kind { open: b'{', close: b'}', note_key: "\"...\":", noun: "entries" };

impl Rendering<'_, '_> {
    /// Renders the next value. `depth` is the number of containers around it.
    fn value(&mut self, depth: u32) -> Result<(), Unreadable> {
        match self.reader.tag().unwrap_or(token::PADDING) {
            // The stream ends where a value should be.
            token::PADDING => {
                self.is_cut = true;
                write_json(self.text, TRUNCATED);
                Ok(())
            }
            token::SEQUENCE => self.container(SEQUENCE, None, depth),
            token::MAP => self.container(MAP, None, depth),
            token::SEQUENCE_CUT => {
                let total = self.reader.number()?;
                self.container(SEQUENCE, Some(total), depth)
            }
            token::MAP_CUT => {
                let total = self.reader.number()?;
                self.container(MAP, Some(total), depth)
            }
            tag => self.scalar(tag, depth),
        }
    }

    fn container(&mut self, kind: Kind, total: Option<u64>, depth: u32) -> Result<(), Unreadable> {
        if depth == NESTING {
            return Err(Unreadable);
        }
        self.text.push(kind.open);
        let first = self.text.len();
        let mut note = total.map(|total| format!("[{total} {}, truncated]", kind.noun));
        while !self.is_cut {
            match self.reader.rest.first() {
                None | Some(&(token::CUT | token::PADDING)) => {
                    self.reader.tag();
                    self.is_cut = true;
                    note.get_or_insert_with(|| TRUNCATED.into());
                }
                Some(&token::END) => {
                    self.reader.tag();
                    break;
                }
                Some(&token::MORE) => {
                    self.reader.tag();
                    note = Some(format!("[{}+ {}, truncated]", self.reader.number()?, kind.noun));
                }
                Some(_) => {
                    if !self.item(kind, first, depth)? {
                        note.get_or_insert_with(|| TRUNCATED.into());
                    }
                }
            }
        }
        if let Some(note) = note {
            self.separate(first);
            self.text.extend_from_slice(kind.note_key.as_bytes());
            write_json(self.text, note);
        }
        self.text.push(kind.close);
        Ok(())
    }

    /// Renders an item of a container, unless the text is full. Returns false if the item was omitted.
    fn item(&mut self, kind: Kind, first: usize, depth: u32) -> Result<bool, Unreadable> {
        let before = self.text.len();
        let was_full = self.is_full;
        let follows_option = kind.note_key.is_empty() && is_secret_option(&self.text[first..]);
        self.separate(first);
        if follows_option && self.reader.is_at_string() {
            let start = self.text.len();
            self.value(depth + 1)?;
            // An option without a value is followed by another option, which is no secret.
            if !self.text[start..].starts_with(b"\"-") {
                self.text.truncate(start);
                write_json(self.text, REDACTED);
            }
        } else if kind.note_key.is_empty() {
            self.value(depth + 1)?;
        } else {
            self.entry(depth + 1)?;
        }
        let fits = self.is_full || self.text.len() - self.start <= VALUE_BYTES;
        if was_full || !fits {
            self.text.truncate(before);
            self.is_full = true;
        }
        Ok(fits && !was_full)
    }

    fn separate(&mut self, first: usize) {
        if self.text.len() > first {
            self.text.push(b',');
        }
    }

    fn entry(&mut self, depth: u32) -> Result<(), Unreadable> {
        let start = self.text.len();
        self.value(depth)?;
        if self.text.get(start) != Some(&b'"') {
            let key = String::from_utf8_lossy(&self.text[start..]).into_owned();
            self.text.truncate(start);
            write_json(self.text, &key);
        }
        self.text.push(b':');
        if self.is_cut {
            write_json(self.text, TRUNCATED);
            return Ok(());
        }
        self.value(depth)
    }

    fn scalar(&mut self, tag: u8, depth: u32) -> Result<(), Unreadable> {
        match tag {
            token::CUT => {
                self.is_cut = true;
                write_json(self.text, TRUNCATED);
            }
            0..=token::SMALL_MAX => write_json(self.text, tag),
            token::NULL => write_json(self.text, ()),
            token::FALSE => write_json(self.text, false),
            token::TRUE => write_json(self.text, true),
            token::UNSIGNED..token::NEGATIVE => {
                write_json(self.text, self.reader.short_number(tag - token::UNSIGNED)?);
            }
            token::NEGATIVE..token::STRING => {
                let complement = self.reader.short_number(tag - token::NEGATIVE)?;
                write_json(self.text, -1 - i128::from(complement));
            }
            token::UNSIGNED_WIDE => write_json(self.text, u128::from_le_bytes(self.reader.array()?)),
            token::SIGNED_WIDE => write_json(self.text, i128::from_le_bytes(self.reader.array()?)),
            token::FLOAT => write_float(self.text, f32::from_le_bytes(self.reader.array()?)),
            token::DOUBLE => write_float(self.text, f64::from_le_bytes(self.reader.array()?)),
            _ => self.string_scalar(tag, depth)?,
        }
        Ok(())
    }

    /// Renders a scalar whose text is a string.
    fn string_scalar(&mut self, tag: u8, depth: u32) -> Result<(), Unreadable> {
        let reader = &mut *self.reader;
        match tag {
            token::SHORT..=token::SHORT_MAX => {
                let text = reader.text_of_length(usize::from(tag - token::SHORT))?;
                self.string(text, Some(text.len() as u64), depth);
            }
            token::STRING => {
                let text = reader.text()?;
                self.string(text, Some(text.len() as u64), depth);
            }
            token::STRING_CUT => {
                let (text, total) = (reader.text()?, reader.number()?);
                self.string(text, Some(total), depth);
            }
            token::TEXT_CUT => {
                let text = reader.text()?;
                self.string(text, None, depth);
            }
            token::NAME => write_json(self.text, format!("[{}]", reader.text()?)),
            token::PANICKED => {
                write_json(self.text, format!("[{}: panicked while being captured]", reader.text()?));
            }
            token::SLOW => write_json(self.text, format!("[{}: takes too long to capture]", reader.text()?)),
            token::FAILED => write_json(self.text, format!("[{}: could not be captured]", reader.text()?)),
            token::SUMMARY => write_json(self.text, shape(reader)?),
            token::DEEP => write_json(self.text, "..."),
            token::REDACTED => write_json(self.text, REDACTED),
            _ => return Err(Unreadable),
        }
        Ok(())
    }

    /// Renders a string of `total` bytes. Within a container the string is shortened to the remaining budget.
    fn string(&mut self, text: &str, total: Option<u64>, depth: u32) {
        let is_whole = total == Some(text.len() as u64);
        let text = &*without_secrets(text);
        // A text that was cut when it was captured keeps the length of the whole text.
        let total = if is_whole { Some(text.len() as u64) } else { total };
        let before = self.text.len();
        write_string(self.text, text, total);
        let budget = (self.start + VALUE_BYTES).saturating_sub(before);
        let len = self.text.len() - before;
        if depth > 0 && len > budget && !self.is_full {
            self.text.truncate(before);
            // The budget counts JSON text, in which an escaped character is longer than in the string.
            write_string(self.text, first_bytes(text, text.len() * budget / len), total);
            self.is_full = true;
        }
    }
}

/// Returns true if a list of command-line words ends with an option whose value is a secret: `"--password"`.
fn is_secret_option(written: &[u8]) -> bool {
    let Some(inside) = written.strip_suffix(b"\"") else { return false };
    let start = inside.iter().rposition(|byte| *byte == b'"').map_or(0, |at| at + 1);
    let word = std::str::from_utf8(&inside[start..]).unwrap_or_default();
    word.strip_prefix("--").or_else(|| word.strip_prefix('-')).is_some_and(|name| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && is_secret(name)
    })
}

/// Writes the available part of a string of `total` bytes.
fn write_string(out: &mut JsonText, text: &str, total: Option<u64>) {
    match total {
        Some(total) if total == text.len() as u64 => write_json(out, text),
        Some(total) => write_json(out, format!("{text}… [{total} bytes, truncated]")),
        None => write_json(out, format!("{text}… [truncated]")),
    }
}

fn shape(reader: &mut Reader<'_>) -> Result<String, Unreadable> {
    let name = reader.text()?;
    let [len] = reader.array()?;
    if usize::from(len) > DIMENSIONS {
        return Err(Unreadable);
    }
    let extents: Vec<String> =
        (0..len).map(|_| reader.number().map(|extent| extent.to_string())).collect::<Result<_, _>>()?;
    let separator = if extents.is_empty() { "" } else { " " };
    Ok(format!("[{name}{separator}{}]", extents.join("×")))
}
