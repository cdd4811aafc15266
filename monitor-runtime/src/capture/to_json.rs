//! Tokens read back: JSON text for values, plain text for errors.
//!
//! Comes in: a token stream, which may come from a file that anybody wrote: every length is checked and nesting is
//! bounded. Goes out: JSON that is always valid. What does not read as a token stream becomes `"[unreadable]"`, what
//! did not fit `"[truncated]"`. The text of each value has a budget of its own, because a token of one byte may
//! need five characters.

use std::fmt::{Display, LowerExp};
use std::io::Write as _;
use std::ops::RangeInclusive;

use super::limits::{DIMENSIONS, VALUE_BYTES};
use super::token;
use super::token_buffer::floor;

/// Deepest nesting that is followed: more than a writer's limit, and little, because a key that is itself a map is
/// quoted once more at each level, which doubles its escapes.
const NESTING: u32 = 8;
/// Stands for what did not fit.
const TRUNCATED: &str = "[truncated]";

/// The stream is not one that a writer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unreadable;

/// An object of the values, by these names. Values beyond the names are left out.
#[must_use]
pub fn to_json(tokens: &[u8], names: &[&str]) -> String {
    let mut reader = Reader { rest: tokens };
    let mut text = Vec::with_capacity(tokens.len() * 2 + 2);
    text.push(b'{');
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            text.push(b',');
        }
        put(&mut text, name);
        text.push(b':');
        next_value(&mut reader, &mut text);
    }
    text.push(b'}');
    into_string(text)
}

/// The JSON text of the first value.
#[must_use]
pub fn to_json_value(tokens: &[u8]) -> String {
    let mut text = Vec::with_capacity(tokens.len() * 2);
    next_value(&mut Reader { rest: tokens }, &mut text);
    into_string(text)
}

/// The first value as plain text: an error's message.
#[must_use]
pub fn to_text(tokens: &[u8]) -> String {
    let json = to_json_value(tokens);
    unquoted(&json).unwrap_or(json)
}

/// Writes the next value; one that is unreadable makes the rest of the stream so.
fn next_value(reader: &mut Reader<'_>, text: &mut Vec<u8>) {
    let start = text.len();
    reader.skip_padding();
    let mut rendering = Rendering { reader, text, start, is_cut: false, is_full: false };
    if rendering.value(0).is_err() {
        rendering.text.truncate(start);
        put(rendering.text, "[unreadable]");
        rendering.reader.rest = &[token::UNREADABLE];
    }
}

/// Writes a string. What JSON allows there is escaped only where it has to be.
fn put(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte < b' ' || matches!(byte, b'"' | b'\\')) {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        let &[byte, ref after @ ..] = special else { break };
        match ESCAPES.iter().find(|(escaped, _)| *escaped == byte) {
            Some(&(_, letter)) => out.extend_from_slice(&[b'\\', letter]),
            None => put_plain(out, format_args!("\\u{byte:04x}")),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Characters that have an escape of their own, and its letter.
const ESCAPES: [(u8, u8); 7] =
    [(b'"', b'"'), (b'\\', b'\\'), (b'\n', b'n'), (b'\r', b'r'), (b'\t', b't'), (0x08, b'b'), (0x0C, b'f')];

/// What a string is that [`put`] wrote. None for any other value.
fn unquoted(json: &str) -> Option<String> {
    let mut rest = json.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(rest.len());
    while let Some((plain, escaped)) = rest.split_once('\\') {
        text.push_str(plain);
        let letter = escaped.chars().next()?;
        let (character, length) = match ESCAPES.iter().find(|(_, name)| char::from(*name) == letter) {
            Some(&(character, _)) => (char::from(character), 1),
            None => (char::from_u32(u32::from_str_radix(escaped.get(1..5)?, 16).ok()?)?, 5),
        };
        text.push(character);
        rest = escaped.get(length..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// Writes a number, a truth value or `null`: what JSON writes as Rust does.
fn put_plain(out: &mut Vec<u8>, scalar: impl Display) {
    // Writing into memory cannot fail.
    let _ = write!(out, "{scalar}");
}

/// Writes a float as `serde_json` does: in full where its power of ten is one of these, else by that power. (Of two
/// texts that are as short and as near, either may be shown.) One that JSON has no word for becomes a string.
fn put_float(out: &mut Vec<u8>, value: impl Display + LowerExp, in_full: RangeInclusive<i32>) {
    let by_power = format!("{value:e}");
    let parts =
        by_power.split_once('e').and_then(|(digits, power)| Some((digits, power.parse::<i32>().ok()?)));
    match parts {
        Some((_, power)) if in_full.contains(&power) => {
            let text = value.to_string();
            let point = if text.contains('.') { "" } else { ".0" };
            put_plain(out, format_args!("{text}{point}"));
        }
        Some((digits, power)) => put_plain(out, format_args!("{digits}e{power:+}")),
        None => put(out, &by_power),
    }
}

fn into_string(text: Vec<u8>) -> String {
    String::from_utf8(text).unwrap_or_else(|_| String::from("\"[unreadable]\""))
}

/// Takes pieces from the front of a stream.
#[derive(Debug)]
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Goes on to the next value.
    fn skip_padding(&mut self) {
        while let [token::PADDING, rest @ ..] = self.rest {
            self.rest = rest;
        }
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

    /// A number of one byte more than stated, at most eight.
    fn short_number(&mut self, more: u8) -> Result<u64, Unreadable> {
        let given = self.take(usize::from(more) + 1)?;
        let mut bytes = [0; 8];
        bytes.get_mut(..given.len()).ok_or(Unreadable)?.copy_from_slice(given);
        Ok(u64::from_le_bytes(bytes))
    }

    fn text_of(&mut self, len: usize) -> Result<&'a str, Unreadable> {
        std::str::from_utf8(self.take(len)?).map_err(|_| Unreadable)
    }

    fn text(&mut self) -> Result<&'a str, Unreadable> {
        let len = u16::from_le_bytes(self.array()?);
        self.text_of(len.into())
    }
}

/// One value being rendered.
#[derive(Debug)]
struct Rendering<'r, 'a> {
    reader: &'r mut Reader<'a>,
    text: &'r mut Vec<u8>,
    start: usize,
    /// The tokens were cut: every container ends here.
    is_cut: bool,
    /// The text has used up its budget: what follows is read, but not shown.
    is_full: bool,
}

/// A container, by what differs.
#[derive(Debug, Clone, Copy)]
struct Kind {
    open: u8,
    close: u8,
    /// What a map's last key is called when not all of its entries are shown; a sequence has no keys.
    note_key: &'static str,
    noun: &'static str,
}

const SEQUENCE: Kind = Kind { open: b'[', close: b']', note_key: "", noun: "items" };
const MAP: Kind = Kind { open: b'{', close: b'}', note_key: "\"...\":", noun: "entries" };

impl Rendering<'_, '_> {
    /// Renders the next value. `depth` is the number of containers around it.
    fn value(&mut self, depth: u32) -> Result<(), Unreadable> {
        match self.reader.tag().unwrap_or(token::PADDING) {
            // Where a value should be there is none.
            token::PADDING => {
                self.is_cut = true;
                put(self.text, TRUNCATED);
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
            put(self.text, &note);
        }
        self.text.push(kind.close);
        Ok(())
    }

    /// Renders an item of a container, unless the text is full. False if it was left out.
    fn item(&mut self, kind: Kind, first: usize, depth: u32) -> Result<bool, Unreadable> {
        let before = self.text.len();
        let was_full = self.is_full;
        self.separate(first);
        if kind.note_key.is_empty() {
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
            put(self.text, &key);
        }
        self.text.push(b':');
        if self.is_cut {
            put(self.text, TRUNCATED);
            return Ok(());
        }
        self.value(depth)
    }

    fn scalar(&mut self, tag: u8, depth: u32) -> Result<(), Unreadable> {
        match tag {
            token::CUT => {
                self.is_cut = true;
                put(self.text, TRUNCATED);
            }
            0..=token::SMALL_MAX => put_plain(self.text, tag),
            token::NULL => put_plain(self.text, "null"),
            token::FALSE => put_plain(self.text, false),
            token::TRUE => put_plain(self.text, true),
            token::UNSIGNED..token::NEGATIVE => {
                put_plain(self.text, self.reader.short_number(tag - token::UNSIGNED)?);
            }
            token::NEGATIVE..token::STRING => {
                let complement = self.reader.short_number(tag - token::NEGATIVE)?;
                put_plain(self.text, -1 - i128::from(complement));
            }
            token::UNSIGNED_WIDE => put_plain(self.text, u128::from_le_bytes(self.reader.array()?)),
            token::SIGNED_WIDE => put_plain(self.text, i128::from_le_bytes(self.reader.array()?)),
            token::FLOAT => put_float(self.text, f32::from_le_bytes(self.reader.array()?), -6..=12),
            token::DOUBLE => put_float(self.text, f64::from_le_bytes(self.reader.array()?), -5..=15),
            _ => self.words(tag, depth)?,
        }
        Ok(())
    }

    /// Scalars whose text is a string.
    fn words(&mut self, tag: u8, depth: u32) -> Result<(), Unreadable> {
        let reader = &mut *self.reader;
        match tag {
            token::SHORT..=token::SHORT_MAX => {
                let text = reader.text_of(usize::from(tag - token::SHORT))?;
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
            token::NAME => put(self.text, &format!("[{}]", reader.text()?)),
            token::PANICKED => {
                put(self.text, &format!("[{}: panicked while being captured]", reader.text()?));
            }
            token::SLOW => put(self.text, &format!("[{}: takes too long to capture]", reader.text()?)),
            token::FAILED => put(self.text, &format!("[{}: could not be captured]", reader.text()?)),
            token::SUMMARY => put(self.text, &shape(reader)?),
            token::DEEP => put(self.text, "..."),
            token::REDACTED => put(self.text, "[redacted]"),
            _ => return Err(Unreadable),
        }
        Ok(())
    }

    /// A string whose whole has `total` bytes. Within a container it is shortened to what the budget leaves.
    fn string(&mut self, text: &str, total: Option<u64>, depth: u32) {
        let before = self.text.len();
        put_string(self.text, text, total);
        let budget = (self.start + VALUE_BYTES).saturating_sub(before);
        let len = self.text.len() - before;
        if depth > 0 && len > budget && !self.is_full {
            self.text.truncate(before);
            // Characters that need an escape are longer in the text than in the string.
            put_string(self.text, floor(text, text.len() * budget / len), total);
            self.is_full = true;
        }
    }
}

/// Writes what there is of a string of `total` bytes.
fn put_string(out: &mut Vec<u8>, text: &str, total: Option<u64>) {
    match total {
        Some(total) if total == text.len() as u64 => put(out, text),
        Some(total) => put(out, &format!("{text}… [{total} bytes, truncated]")),
        None => put(out, &format!("{text}… [truncated]")),
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
