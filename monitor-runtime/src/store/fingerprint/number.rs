//! Reads numbers with sign, point, exponent, separators and unit, and addresses that consist of numbers.
//!
//! Takes the text where a number or an address may begin: at a digit, a hexadecimal letter, a sign, a mark of currency,
//! `.`, `:` or `[`. Gives the number that begins there. A word that only begins with digits is not a number. Digits
//! are those of every script.

use super::piece::{Piece, belongs_to_word, peek};
use super::word;

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

/// Reads a number.
pub(super) fn read(rest: &str, before: char) -> Option<Piece> {
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
    address(text, before)
        .or_else(|| word::long_id(text))
        .or_else(|| quantity(text, before))
        .map(Piece::number)
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
