//! Numbers and dates, which `#` replaces.
//!
//! Takes the text where one may begin; gives the date that begins there (`2024-01-15T10:00:00Z`, `Jan 15`,
//! `Mon, 15 Jan 2024 10:00:00 GMT`), the number with its sign, point, exponent, separators and unit, or the address
//! that consists of numbers. A word that only begins with digits is not a number. Digits are those of every script.

use super::words::{Piece, belongs_to_word, long_id, peek};

/// Reads a date, a number or an address. `before` is the character before it.
pub(super) fn read(rest: &str, before: char) -> Option<Piece> {
    date(rest).or_else(|| number(rest, before))
}

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

/// Reads a date. Dates of digits alone are read as numbers.
fn date(rest: &str) -> Option<Piece> {
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

/// Units that follow their number without a space.
const UNITS_ATTACHED: [&str; 14] = ["h", "m", "d", "w", "y", "K", "M", "G", "T", "k", "st", "nd", "rd", "th"];

/// Units that follow their number with or without a space.
const UNITS: [&str; 60] = [
    "ns",
    "us",
    "µs",
    "μs",
    "ms",
    "s",
    "sec",
    "secs",
    "second",
    "seconds",
    "min",
    "mins",
    "minute",
    "minutes",
    "hr",
    "hrs",
    "hour",
    "hours",
    "day",
    "days",
    "millisecond",
    "milliseconds",
    "microseconds",
    "nanoseconds",
    "week",
    "weeks",
    "B",
    "b",
    "kB",
    "KB",
    "MB",
    "GB",
    "TB",
    "kb",
    "mb",
    "gb",
    "KiB",
    "MiB",
    "GiB",
    "TiB",
    "byte",
    "bytes",
    "bit",
    "bits",
    "Kbps",
    "Mbps",
    "Hz",
    "kHz",
    "MHz",
    "GHz",
    "%",
    "°C",
    "km",
    "kg",
    "AM",
    "PM",
    "am",
    "pm",
    "UTC",
    "GMT",
];

/// The digits of the longest exponent. A number with a longer one is the beginning of a hexadecimal id.
const EXPONENT_DIGITS_MAX: usize = 3;

/// Reads a number or an address.
fn number(rest: &str, before: char) -> Option<Piece> {
    let begins_number = |first: char| {
        is_digit(first)
            || first.is_ascii_hexdigit()
            || first == '['
            || first == ':'
            || first == '.'
            || is_sign(first)
    };
    if !rest.starts_with(begins_number) {
        return None;
    }
    let text = peek(rest);
    address(text, before).or_else(|| long_id(text)).or_else(|| quantity(text, before)).map(Piece::number)
}

/// Returns the length of a MAC or IPv6 address, or of a time with two colons.
fn address(text: &str, before: char) -> Option<usize> {
    if before == ':' {
        return None;
    }
    if let Some(inside) = text.strip_prefix('[') {
        if !inside.starts_with(|first: char| first.is_ascii_hexdigit() || first == ':') {
            return None;
        }
        // `[::1]:80`
        let length = address(inside, '[').filter(|length| inside[..*length].contains(':'))?;
        let port = inside[length..].strip_prefix("]:")?;
        let digits = digits(port);
        return (digits > 0).then_some(1 + length + 2 + digits);
    }
    let groups = |mark: char| {
        let end = text.find(|char: char| !char.is_ascii_hexdigit() && char != mark).unwrap_or(text.len());
        &text[..end]
    };
    for mark in [':', '-', '.'] {
        let found = groups(mark).trim_end_matches(['-', '.']);
        let pieces = || found.split(mark);
        let count = pieces().count();
        let has_digit = found.bytes().any(|byte| byte.is_ascii_digit());
        let is_mac = (count == 6 && pieces().all(|piece| piece.len() == 2))
            || (mark == '.' && count == 3 && pieces().all(|piece| piece.len() == 4));
        let is_six =
            mark == ':' && (3..=9).contains(&count) && has_digit && pieces().all(|piece| piece.len() <= 4);
        if !(is_mac || is_six) {
            continue;
        }
        let found = found.strip_suffix(':').filter(|inner| !inner.ends_with(':')).unwrap_or(found);
        let mut end = found.len();
        // The zone of an address, an IPv4 address behind the address, its network, or the fraction of a second may
        // follow.
        if let Some(more) = text[end..].strip_prefix(['%', '.', '/']) {
            let length =
                more.find(|char: char| !char.is_ascii_alphanumeric() && char != '.').unwrap_or(more.len());
            if length > 0 {
                end += 1 + more[..length].trim_end_matches('.').len();
            }
        }
        if text[end..].chars().next().is_none_or(|next| !belongs_to_word(next)) {
            return Some(end);
        }
    }
    None
}

/// Returns the length of a number with its sign and unit.
fn quantity(text: &str, before: char) -> Option<usize> {
    let mut at = 0;
    let after_operand = belongs_to_word(before) || matches!(before, '#' | ')' | ']');
    if text.starts_with(is_sign) && !after_operand {
        at = text.chars().next().map_or(0, char::len_utf8);
        at += usize::from(text[at..].starts_with(['$', '-']) && text.len() > at + 1);
    }
    if text[at..].starts_with('.') && text[at + 1..].starts_with(is_digit) && !after_operand {
        at += 1;
    }
    if text[at..].starts_with("0x") || text[at..].starts_with("0X") {
        let digits = text[at + 2..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let end = at + 2 + digits;
        return (digits > 0 && is_boundary(&text[end..])).then_some(end);
    }
    let mut end = at + plain(&text[at..])?;
    end += exponent(&text[end..]);
    loop {
        let unit = attached_unit(&text[end..]);
        if unit == 0 {
            break;
        }
        end += unit;
        match plain(&text[end..]) {
            Some(length) => end += length,
            None => break,
        }
    }
    if !is_boundary(&text[end..]) {
        return None;
    }
    Some(end + unit_after_space(&text[end..]))
}

/// Returns the length of digits in groups: `1,234.5`, `1_000`, `10:30`, `10.0.0.1`.
fn plain(text: &str) -> Option<usize> {
    let mut end = digits(text);
    if end == 0 {
        return None;
    }
    while let Some(mark) = text[end..].chars().next() {
        let next = end + mark.len_utf8();
        let length = digits(&text[next..]);
        let is_group = match mark {
            '.' | ',' | ':' | '_' | '\'' | '’' | '٫' | '٬' => length > 0,
            '\u{a0}' | '\u{2009}' | '\u{202f}' => length == 3,
            _ => false,
        };
        if !is_group {
            break;
        }
        end = next + length;
    }
    Some(end)
}

fn exponent(text: &str) -> usize {
    let Some(digits_at) = text.strip_prefix(['e', 'E']) else { return 0 };
    let sign = usize::from(digits_at.starts_with(['-', '+']));
    match digits(&digits_at[sign..]) {
        length @ 1..=EXPONENT_DIGITS_MAX => 1 + sign + length,
        _ => 0,
    }
}

/// Returns true for signs of numbers and for marks of currencies.
fn is_sign(char: char) -> bool {
    matches!(char, '-' | '+' | '−' | '±' | '~' | '$' | '€' | '£' | '¥')
}

fn is_digit(char: char) -> bool {
    char.is_numeric()
}

fn digits(text: &str) -> usize {
    text.find(|char: char| !is_digit(char)).unwrap_or(text.len())
}

/// Returns true if no word goes on here.
fn is_boundary(text: &str) -> bool {
    text.chars().next().is_none_or(|next| !belongs_to_word(next))
}

/// Returns the length of the unit that the text begins with, which ends the word or is followed by a further number.
fn attached_unit(text: &str) -> usize {
    let units = UNITS.iter().chain(&UNITS_ATTACHED);
    let fits = |unit: &&&str| {
        let after = text.strip_prefix(**unit);
        after.is_some_and(|after| is_boundary(after) || after.starts_with(is_digit))
    };
    units.filter(fits).map(|unit| unit.len()).max().unwrap_or(0)
}

fn unit_after_space(text: &str) -> usize {
    let Some(after) = text.strip_prefix([' ', '\u{a0}', '\u{202f}']) else { return 0 };
    let unit = UNITS
        .iter()
        .filter(|unit| after.strip_prefix(**unit).is_some_and(is_boundary))
        .map(|unit| unit.len())
        .max();
    unit.map_or(0, |unit| text.len() - after.len() + unit)
}
