//! The buffer of bytes that tokens are written to.
//!
//! Takes scalars; gives whole tokens, or nothing: a token that does not fit leaves the buffer as it was, and the
//! function returns false. The file does not know containers, budgets or values.

use super::token;

/// Most bytes of a token's text, because its length has two bytes.
pub(super) const LONGEST: usize = 0xFFFF;

/// A bounded run of bytes that is filled from the front. Only padding is written at or past `end`.
#[derive(Debug)]
pub(super) struct TokenBuffer<'a> {
    bytes: &'a mut [u8],
    len: usize,
    end: usize,
}

impl<'a> TokenBuffer<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a mut [u8]) -> Self {
        let end = bytes.len();
        Self { bytes, len: 0, end }
    }

    /// Lends the same bytes. The borrower's length is handed back with [`TokenBuffer::rewind`].
    pub(super) fn reborrow(&mut self) -> TokenBuffer<'_> {
        TokenBuffer { bytes: &mut *self.bytes, len: self.len, end: self.end }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Moves the end. If the end is beyond the memory, further tokens do not fit.
    #[inline]
    pub(super) fn set_end(&mut self, end: usize) {
        self.end = end;
    }

    /// Returns the number of bytes that still fit.
    pub(super) fn room(&self) -> usize {
        self.end.saturating_sub(self.len)
    }

    /// Sets the length: back, to discard what was written since, or forward, over the bytes that a borrower wrote.
    #[inline]
    pub(super) fn rewind(&mut self, len: usize) {
        self.len = len;
    }

    /// Returns the bytes that were written from `start` on.
    pub(super) fn written_from(&self, start: usize) -> &[u8] {
        self.bytes.get(start..self.len).unwrap_or_default()
    }

    /// Returns the whole memory.
    #[inline]
    pub(super) fn memory(&self) -> &[u8] {
        self.bytes
    }

    /// Overwrites written bytes.
    pub(super) fn patch(&mut self, at: usize, bytes: &[u8]) {
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Moves bytes to an earlier place and sets the length to the end of the moved bytes.
    pub(super) fn shift(&mut self, from: usize, to: usize, len: usize) {
        if let Some(place) = self.bytes.get_mut(to..from + len) {
            place.copy_within(from - to.., 0);
            self.len = to + len;
        }
    }

    #[inline]
    fn next<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        self.bytes.get_mut(self.len..self.end)?.first_chunk_mut()
    }

    #[inline]
    pub(super) fn tag(&mut self, tag: u8) -> bool {
        let Some(place) = self.next::<1>() else { return false };
        place[0] = tag;
        self.len += 1;
        true
    }

    #[inline]
    pub(super) fn raw(&mut self, bytes: &[u8]) -> bool {
        let Some(place) = self.bytes.get_mut(self.len..self.end).and_then(|room| room.get_mut(..bytes.len()))
        else {
            return false;
        };
        place.copy_from_slice(bytes);
        self.len += bytes.len();
        true
    }

    /// Copies whole words, up to the end of the memory. One or two words are copied without a function call, because
    /// there are seldom more.
    #[inline]
    pub(super) fn copied_words(&mut self, words: &[[u8; WORD]]) -> bool {
        let Some(room) = self.bytes.get_mut(self.len..) else { return false };
        let Some(place) = room.as_chunks_mut().0.get_mut(..words.len()) else { return false };
        match (place, words) {
            ([], []) => {}
            ([to], [from]) => *to = *from,
            ([to, and_to], [from, and_from]) => (*to, *and_to) = (*from, *and_from),
            (place, words) => place.copy_from_slice(words),
        }
        self.len += words.len() * WORD;
        true
    }

    /// Writes bytes if they end at or before `limit`.
    #[inline]
    pub(super) fn raw_before(&mut self, limit: usize, bytes: &[u8]) -> bool {
        let end = self.len + bytes.len();
        if end > limit {
            return false;
        }
        let Some(place) = self.bytes.get_mut(self.len..end) else { return false };
        copy(place, bytes);
        self.len = end;
        true
    }

    /// Writes a tag and its content, or neither.
    #[inline]
    pub(super) fn fixed(&mut self, tag: u8, content: &[u8]) -> bool {
        self.headed([tag], content)
    }

    /// Writes a header and its content, or neither.
    #[inline]
    fn headed<const N: usize>(&mut self, header: [u8; N], content: &[u8]) -> bool {
        let Some((head, rest)) =
            self.bytes.get_mut(self.len..self.end).and_then(<[u8]>::split_first_chunk_mut::<N>)
        else {
            return false;
        };
        let Some(place) = rest.get_mut(..content.len()) else { return false };
        *head = header;
        copy(place, content);
        self.len += N + content.len();
        true
    }

    #[inline]
    pub(super) fn unsigned(&mut self, value: u64) -> bool {
        if value <= u64::from(token::SMALL_MAX) {
            return self.tag(value.to_le_bytes()[0]);
        }
        self.integer(token::UNSIGNED, value)
    }

    #[inline]
    pub(super) fn signed(&mut self, value: i64) -> bool {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => self.integer(token::NEGATIVE, (!value).unsigned_abs()),
        }
    }

    #[inline]
    pub(super) fn boolean(&mut self, value: bool) -> bool {
        self.tag(boolean_tag(value))
    }

    pub(super) fn unsigned_wide(&mut self, value: u128) -> bool {
        match u64::try_from(value) {
            Ok(value) => self.unsigned(value),
            Err(_) => self.fixed(token::UNSIGNED_WIDE, &value.to_le_bytes()),
        }
    }

    pub(super) fn signed_wide(&mut self, value: i128) -> bool {
        match i64::try_from(value) {
            Ok(value) => self.signed(value),
            Err(_) => self.fixed(token::SIGNED_WIDE, &value.to_le_bytes()),
        }
    }

    #[inline]
    pub(super) fn float(&mut self, value: f32) -> bool {
        self.fixed(token::FLOAT, &value.to_le_bytes())
    }

    #[inline]
    pub(super) fn double(&mut self, value: f64) -> bool {
        self.fixed(token::DOUBLE, &value.to_le_bytes())
    }

    /// Writes an integer. The function stores all eight bytes and keeps as many as the number needs, so that no branch
    /// depends on its size.
    #[inline]
    fn integer(&mut self, kind: u8, value: u64) -> bool {
        let width = 8 - (value | 1).leading_zeros() as usize / 8;
        let tag = kind + (width - 1).to_le_bytes()[0];
        if let Some([first, rest @ ..]) = self.next::<9>() {
            *first = tag;
            rest.copy_from_slice(&value.to_le_bytes());
            self.len += 1 + width;
            return true;
        }
        self.fixed(tag, &value.to_le_bytes()[..width])
    }

    /// Writes a number of at most seven bytes as one whole word.
    #[inline]
    pub(super) fn unsigned_word(&mut self, value: u64) -> bool {
        self.integer_word(token::UNSIGNED, value)
    }

    /// Writes a negative number whose complement has at most seven bytes as one whole word.
    #[inline]
    pub(super) fn negative_word(&mut self, value: i64) -> bool {
        self.integer_word(token::NEGATIVE, (!value).cast_unsigned())
    }

    #[inline]
    fn integer_word(&mut self, kind: u8, value: u64) -> bool {
        if value >> 56 != 0 {
            return false;
        }
        let Some(place) = self.next::<WORD>() else { return false };
        *place = (value << 8 | u64::from(kind | 6)).to_le_bytes();
        self.len += WORD;
        true
    }

    /// Writes a token of at most seven bytes as one whole word.
    #[inline]
    fn short_word(&mut self, token: u64, bytes: u32) -> bool {
        let Some(place) = self.next::<WORD>() else { return false };
        *place = (token | u64::MAX << (bytes * 8)).to_le_bytes();
        self.len += WORD;
        true
    }

    #[inline]
    pub(super) fn tag_word(&mut self, tag: u8) -> bool {
        self.short_word(tag.into(), 1)
    }

    #[inline]
    pub(super) fn boolean_word(&mut self, value: bool) -> bool {
        self.tag_word(boolean_tag(value))
    }

    #[inline]
    pub(super) fn float_word(&mut self, value: f32) -> bool {
        self.short_word(u64::from(token::FLOAT) | u64::from(value.to_bits()) << 8, 5)
    }

    #[inline]
    pub(super) fn double_words(&mut self, value: f64) -> bool {
        let Some(place) = self.next::<{ 2 * WORD }>() else { return false };
        let bits = u128::from(token::DOUBLE) | u128::from(value.to_bits()) << 8;
        *place = (bits | u128::MAX << 72).to_le_bytes();
        self.len += 2 * WORD;
        true
    }

    /// Writes a string of at most 22 bytes in whole words.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(super) fn string_words(&mut self, text: &[u8]) -> bool {
        let place = self.next::<{ WORD * STRING_WORDS }>();
        let words = place.and_then(|place| place.as_chunks_mut().0.first_chunk_mut::<STRING_WORDS>());
        let Some([first, second, third]) = words else { return false };
        let tag = u64::from(token::SHORT) | text.len() as u64;
        let bits = text.len() as u32 * 8;
        let Some(head) = text.first_chunk() else {
            *first = (load_short(text) << 8 | tag | u64::MAX.unbounded_shl(bits + 8)).to_le_bytes();
            self.len += WORD;
            return true;
        };
        let Some(tail) = text.get(text.len() - WORD..).and_then(<[u8]>::first_chunk) else { return false };
        // The first word holds the tag and seven bytes. The last word holds the end of the text; the bytes before are
        // shifted out. The shift is by 64 bits if the word before ends the text, hence the two steps.
        *first = (u64::from_le_bytes(*head) << 8 | tag).to_le_bytes();
        let used = (bits + 8) % 64;
        let last = (u64::from_le_bytes(*tail) >> 1 >> (63 - used) | u64::MAX << used).to_le_bytes();
        let whole = (1 + text.len()) / WORD;
        if whole == 1 {
            *second = last;
        } else if whole == 2
            && let Some(middle) = text.get(WORD - 1..).and_then(<[u8]>::first_chunk)
        {
            *second = *middle;
            *third = last;
        } else {
            return false;
        }
        self.len += WORD * (whole + usize::from(used != 0));
        true
    }

    /// Writes a tag, the length of a name and the name in whole words. Returns false for a name of fewer than eight
    /// bytes, and if there is no room.
    #[inline]
    pub(super) fn name_words(&mut self, tag: u8, name: &[u8]) -> bool {
        let is_written = self.text_words(self.len, self.end, tag, name);
        if is_written {
            self.len += (TEXT_HEADER_BYTES + name.len()).next_multiple_of(WORD);
        }
        is_written
    }

    /// Writes a tag, the length of a text, the text and padding in whole words between two places, and leaves the
    /// length of the buffer. The words of a record are read soon after they were written, and the processor would first
    /// have to combine a word that was written in pieces.
    #[inline]
    pub(super) fn text_words(&mut self, start: usize, end: usize, tag: u8, text: &[u8]) -> bool {
        let (Some(head), Some(tail)) = (text.first_chunk(), text.last_chunk()) else { return false };
        let bytes = TEXT_HEADER_BYTES + text.len();
        let room = self.bytes.get_mut(start..end);
        let room = room.and_then(|room| room.get_mut(..bytes.next_multiple_of(WORD)));
        let Some(([first, place @ ..], [])) = room.map(<[u8]>::as_chunks_mut) else { return false };
        let header = u64::from(tag) | (text.len() as u64 & LONGEST as u64) << 8;
        *first = (u64::from_le_bytes(*head) << (TEXT_HEADER_BYTES * 8) | header).to_le_bytes();
        // The first word holds five bytes of the text. The last word, unless it is full, holds the end of the text and
        // padding.
        let full = text.get(WORD - TEXT_HEADER_BYTES..).map_or(&[][..], |rest| rest.as_chunks().0);
        match (&mut *place, full) {
            ([to, ..], [from]) => *to = *from,
            ([to, and_to, ..], [from, and_from]) => (*to, *and_to) = (*from, *and_from),
            ([to, and_to, and_last_to, ..], [from, and_from, and_last]) => {
                (*to, *and_to, *and_last_to) = (*from, *and_from, *and_last);
            }
            (place, full) => place.iter_mut().zip(full).for_each(|(to, from)| *to = *from),
        }
        let used = bytes % WORD * 8;
        if used != 0
            && let Some(last) = place.last_mut()
        {
            *last = (u64::from_le_bytes(*tail) >> (64 - used) | u64::MAX << used).to_le_bytes();
        }
        true
    }

    /// Pads the last word. There is room for the padding if `end` lies at the end of a word. The last word is not read,
    /// because the processor would first have to combine the pieces in which it was written.
    #[inline]
    pub(super) fn pad(&mut self) {
        let end = self.len.next_multiple_of(WORD);
        if end == self.len {
            return;
        }
        let filling = [token::PADDING; WORD];
        if let Some(place) = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut) {
            *place = filling;
        } else if let Some(place) = self.bytes.get_mut(self.len..end) {
            place.copy_from_slice(&filling[..place.len()]);
        } else {
            return;
        }
        self.len = end;
    }

    /// Writes a string. A string of more than `chars_max` characters, or one that does not fit, is cut.
    #[inline]
    pub(super) fn string(&mut self, text: &str, chars_max: usize) -> bool {
        if text.len() <= chars_max && self.whole_string(text) {
            return true;
        }
        self.cut_string(text, chars_max)
    }

    #[inline]
    fn whole_string(&mut self, text: &str) -> bool {
        let [low, high, ..] = text.len().to_le_bytes();
        match text.len() {
            0..=63 => self.headed([token::SHORT | low], text.as_bytes()),
            64..=LONGEST => self.headed([token::STRING, low, high], text.as_bytes()),
            _ => false,
        }
    }

    #[cold]
    fn cut_string(&mut self, text: &str, chars_max: usize) -> bool {
        let head = first_chars(first_bytes(text, self.room().saturating_sub(3).min(LONGEST)), chars_max);
        if head.len() == text.len() {
            return self.whole_string(text);
        }
        let head = first_bytes(head, self.room().saturating_sub(3 + 8));
        if head.is_empty() {
            return false;
        }
        let before = self.len;
        let total = text.len() as u64;
        let [low, high, ..] = head.len().to_le_bytes();
        let is_whole =
            self.headed([token::STRING_CUT, low, high], head.as_bytes()) && self.raw(&total.to_le_bytes());
        if !is_whole {
            self.len = before;
        }
        is_whole
    }

    /// Writes a tag, the length of a name and the name. A long name is cut.
    pub(super) fn name(&mut self, tag: u8, name: &str, chars_max: usize) -> bool {
        let [low, high, ..] = name.len().to_le_bytes();
        (name.len() <= chars_max.min(LONGEST) && self.headed([tag, low, high], name.as_bytes()))
            || self.cut_name(tag, name, chars_max)
    }

    #[cold]
    fn cut_name(&mut self, tag: u8, name: &str, chars_max: usize) -> bool {
        let name = first_bytes(first_chars(name, chars_max), self.room().saturating_sub(3).min(LONGEST));
        let [low, high, ..] = name.len().to_le_bytes();
        self.headed([tag, low, high], name.as_bytes())
    }
}

/// The size of a word, in bytes. Each value in a record begins at a whole word.
pub(super) const WORD: usize = size_of::<u64>();
/// The bytes of the tag and the length, which are before a text or a name.
pub(super) const TEXT_HEADER_BYTES: usize = 3;
/// Words of the longest string that is copied by words.
const STRING_WORDS: usize = 3;

#[inline]
fn boolean_tag(value: bool) -> u8 {
    if value { token::TRUE } else { token::FALSE }
}

/// Returns up to seven bytes as a little-endian number. The pieces overlap, so each length takes two loads.
#[inline]
fn load_short(text: &[u8]) -> u64 {
    let shift = |piece: usize| (text.len() - piece) as u32 * 8;
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk()) {
        u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << shift(4)
    } else if let (Some(first), Some(last)) = (text.first_chunk::<2>(), text.last_chunk()) {
        u64::from(u16::from_le_bytes(*first)) | u64::from(u16::from_le_bytes(*last)) << shift(2)
    } else {
        text.first().copied().map_or(0, u64::from)
    }
}

/// Copies bytes to a place of the same length. From 8 to 32 of them are copied without a call, as two pieces that
/// overlap.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    match from.len() {
        WORD..=16 => copy_ends::<WORD>(to, from),
        17..=32 => copy_ends::<16>(to, from),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first and the last `N` bytes.
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk()) {
        *to = *from;
    }
}

/// Returns the first `chars` characters of a text.
#[inline]
pub(super) fn first_chars(text: &str, chars: usize) -> &str {
    // A text has at least as many bytes as characters.
    if text.len() <= chars { text } else { first_chars_of_more(text, chars) }
}

fn first_chars_of_more(text: &str, chars: usize) -> &str {
    match text.char_indices().nth(chars) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// Returns as much of a text as fits into `bytes`, without dividing a character.
#[inline]
pub(super) fn first_bytes(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_words_is_the_name_in_bytes_and_padding() {
        let text: String = ('!'..='~').cycle().take(120).collect();
        for length in 0..=text.len() {
            for room in [WORD * 17, length.next_multiple_of(WORD)] {
                let name = &text[..length];
                let (mut words, mut bytes) = (vec![0; room], vec![0; room]);
                let (mut by_words, mut by_bytes) =
                    (TokenBuffer::new(&mut words), TokenBuffer::new(&mut bytes));
                let is_written = by_words.name_words(token::NAME, name.as_bytes());
                let fits = (TEXT_HEADER_BYTES + length).next_multiple_of(WORD) <= room;
                assert_eq!(is_written, length >= WORD && fits, "{length} bytes into {room}");
                if is_written {
                    by_bytes.name(token::NAME, name, usize::MAX);
                    by_bytes.pad();
                }
                let written = by_bytes.len();
                assert_eq!(by_words.len(), written);
                assert_eq!(words[..written], bytes[..written], "{length} bytes into {room}");
            }
        }
    }

    #[test]
    fn short_and_long_runs_of_bytes_are_copied_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        for length in 0..bytes.len() {
            let mut place = vec![0; length];
            copy(&mut place, &bytes[..length]);
            assert_eq!(place, bytes[..length]);
        }
    }
}
