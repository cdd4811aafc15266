//! Times and dates.
//!
//! Takes the text at a digit, or at the name of a month or day; gives the time stamp that begins there: `2024-01-15T10:00:00Z`,
//! `Mon, 15 Jan 2024 10:00:00 GMT`, `Jan 15`. Dates of digits alone are read as numbers.

use super::piece::{Piece, peek};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const ZONES: [&str; 10] = ["UTC", "GMT", "Z", "AM", "PM", "CET", "CEST", "EST", "PST", "am"];

/// The parts of the longest date: day, month, year, time, zone and their names.
const PARTS_MAX: usize = 8;

/// Reads a date.
pub(super) fn read(rest: &str) -> Option<Piece> {
    if !rest.starts_with(|first: char| first.is_ascii_digit() || first.is_ascii_uppercase()) {
        return None;
    }
    let text = peek(rest);
    iso(text).or_else(|| named(text)).map(Piece::number)
}

/// Returns the length of a time stamp that begins with `yyyy-mm-dd`, with its time and zone.
fn iso(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let shape = |at: usize, shape: &[u8]| {
        bytes.get(at..at + shape.len()).is_some_and(|found| {
            found
                .iter()
                .zip(shape)
                .all(|(byte, mark)| if *mark == b'0' { byte.is_ascii_digit() } else { byte == mark })
        })
    };
    if !shape(0, b"0000-00-00") && !shape(0, b"0000/00/00") {
        return None;
    }
    let mut end = 10;
    if shape(end + 1, b"00:00") && matches!(bytes[end], b'T' | b't' | b' ' | b'_') {
        end += 1;
        let time = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b',');
        end += bytes[end..].iter().take_while(time).count();
        let skipped = usize::from(bytes.get(end) == Some(&b' '));
        if shape(end + skipped + 1, b"00") && matches!(bytes[end + skipped], b'+' | b'-') {
            end += skipped + 1;
            end += bytes[end..].iter().take_while(|byte| byte.is_ascii_digit() || **byte == b':').count();
        } else if matches!(bytes.get(end), Some(b'Z' | b'z')) {
            end += 1;
        }
        while matches!(bytes[end - 1], b'.' | b',' | b':') {
            end -= 1;
        }
    }
    let is_word_end = text[end..].chars().next().is_none_or(|next| !next.is_alphanumeric());
    is_word_end.then_some(end)
}

/// Returns the length of a date that has the name of a month or of a day.
fn named(text: &str) -> Option<usize> {
    let (mut end, mut at, mut names, mut numbers) = (0, 0, 0, 0);
    for _ in 0..PARTS_MAX {
        let word =
            text[at..].split(|char: char| !char.is_ascii_alphanumeric() && char != ':').next().unwrap_or("");
        let word = word.trim_end_matches(':');
        if is_name(word) {
            names += 1;
        } else if is_number(word) {
            numbers += 1;
        } else if !ZONES.contains(&word) || names == 0 {
            break;
        }
        end = at + word.len();
        let gap = text[end..].len() - text[end..].trim_start_matches([' ', ',', '-', '/', '+']).len();
        if gap == 0 || gap > 3 {
            break;
        }
        at = end + gap;
        if names == 0 && numbers > 1 {
            break;
        }
    }
    (names > 0 && numbers > 0).then_some(end)
}

/// Returns true for a name or its first three letters (`Sept` has four).
fn is_name(word: &str) -> bool {
    let is_short_for = |name: &str| word == name || (word.len() == 3 && name.starts_with(word));
    word == "Sept" || (word.len() >= 3 && MONTHS.iter().chain(&DAYS).any(|name| is_short_for(name)))
}

/// Returns true for a day (`1` or `1st`), a year or a time.
fn is_number(word: &str) -> bool {
    let digits = ["st", "nd", "rd", "th"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word);
    !digits.is_empty()
        && digits.len() <= 8
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':')
}
