//! Converts between text and values: durations, sizes, percentages, words. Pure. An error names the mistake in
//! words that fit after "it"; this module does not know which setting a text is for.

use std::time::Duration;

use monitor_rules::duration::DurationError;

use crate::limits;

/// Units of a size. Bare letters are binary, as with `dd` and `ls`; `kB`, `MB`, … are decimal.
const SIZE_UNITS: [(&str, f64); 15] = [
    ("", 1.0),
    ("b", 1.0),
    ("k", 1024.0),
    ("kib", 1024.0),
    ("kb", 1e3),
    ("m", 1_048_576.0),
    ("mib", 1_048_576.0),
    ("mb", 1e6),
    ("g", 1_073_741_824.0),
    ("gib", 1_073_741_824.0),
    ("gb", 1e9),
    ("t", 1_099_511_627_776.0),
    ("tib", 1_099_511_627_776.0),
    ("tb", 1e12),
    ("bytes", 1.0),
];

/// Reads a duration such as `250ms`, `1.5s`, `5m`, `6h` or `1d`.
///
/// # Errors
/// The reason why the text is not a duration, to be put after "it".
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let ns = monitor_rules::duration::parse(text.trim()).map_err(|error| match error {
        DurationError::NoNumber => "does not begin with a number".to_owned(),
        DurationError::NoUnit => "has no unit".to_owned(),
        DurationError::UnknownUnit(start) => {
            format!("has the unknown unit `{}`", quote_value(text.trim().get(start..).unwrap_or_default()))
        }
        DurationError::TooLong => "is too long".to_owned(),
    })?;
    let seconds = u64::try_from(ns / 1_000_000_000).map_err(|_| "is too long")?;
    Ok(Duration::new(seconds, (ns % 1_000_000_000) as u32))
}

/// Reads a duration such as `10ms` or `1.5s` into nanoseconds, at compile time: a number and one of `ns`,
/// `us`, `µs`, `ms`, `s`, `m`, `h`, `d`. The settings take the same durations.
///
/// # Panics
/// If the text is not a duration, or one of more than 584 years.
#[must_use]
pub const fn duration(text: &str) -> u64 {
    match monitor_rules::duration::parse(text) {
        Ok(ns) if ns <= u64::MAX as u128 => ns as u64,
        Ok(_) | Err(DurationError::TooLong) => panic!("the duration is too long"),
        Err(DurationError::NoNumber) => panic!("a duration starts with a number, as in `10ms`"),
        Err(DurationError::NoUnit | DurationError::UnknownUnit(_)) => {
            panic!("a duration ends with one of ns, us, ms, s, m, h, d, as in `10ms`")
        }
    }
}

/// Reads a size such as `64MiB`, `1GB`, `512k` or a plain number of bytes.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = number_and_unit(text)?;
    let unit = unit.to_ascii_lowercase();
    let Some((_, factor)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("has the unknown unit `{}`", quote_value(&unit)));
    };
    let bytes = (number * factor).round();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative by construction, and bounded by the line's own condition"
    )]
    if bytes < 9e18 { Ok(bytes as u64) } else { Err("is too large".into()) }
}

/// Reads a percentage such as `1%` into a share, 0.01.
pub(super) fn parse_percent(text: &str) -> Result<f64, String> {
    match number_and_unit(text)? {
        (number, "%") => Ok(number / 100.0),
        (_, "") => Err("has no `%`".into()),
        (_, unit) => Err(format!("has the unknown unit `{}`", quote_value(unit))),
    }
}

/// Reads a whole number; `_` may separate digits.
pub(super) fn parse_whole<N: std::str::FromStr>(text: &str) -> Result<N, String> {
    let digits: String = text.trim().chars().filter(|&character| character != '_').collect();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a whole number".into());
    }
    digits.parse().map_err(|_| "is too large".into())
}

/// Reads a switch.
pub(super) fn parse_switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "on" | "true" | "yes" | "1" => Ok(true),
        "off" | "false" | "no" | "0" => Ok(false),
        _ => Err("is neither on nor off".into()),
    }
}

/// Writes a size with the largest binary unit in which it is a whole number, as in `512MiB`.
#[must_use]
pub fn format_bytes(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

/// Returns a bad value as a warning repeats it: escaped, on one line, and cut after a bounded length.
pub(super) fn quote_value(text: &str) -> String {
    let start: String = text.chars().take(limits::WARNING_VALUE_CHARS_MAX).collect();
    let rest = if start.len() < text.len() { "…" } else { "" };
    format!("{}{rest}", start.escape_debug())
}

/// Splits `10ms` into 10 and `ms`. The number is decimal, finite and not negative.
fn number_and_unit(text: &str) -> Result<(f64, &str), String> {
    let text = text.trim();
    let end = text.find(|character: char| !(character.is_ascii_digit() || matches!(character, '.' | '_')));
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    let digits: String = digits.chars().filter(|&character| character != '_').collect();
    let number: f64 = digits.parse().map_err(|_| "does not begin with a number".to_string())?;
    if number.is_finite() { Ok((number, unit.trim_start())) } else { Err("is too large".into()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::float_cmp, reason = "tests; exact values are meant")]
    use super::*;

    #[test]
    fn durations_take_a_number_and_a_unit() {
        for (text, nanoseconds) in [
            ("250ms", 250_000_000_u128),
            ("10s", 10_000_000_000),
            ("5m", 300_000_000_000),
            ("6h", 21_600_000_000_000),
            ("1d", 86_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (" 100 µs ", 100_000),
            ("7us", 7_000),
            ("3ns", 3),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text).unwrap().as_nanos(), nanoseconds, "{text}");
        }
    }

    #[test]
    fn durations_without_sense_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "does not begin with a number"),
            ("soon", "does not begin with a number"),
            ("-5s", "does not begin with a number"),
            ("1.2.3s", "does not begin with a number"),
            ("10", "has no unit"),
            ("10 parsecs", "has the unknown unit `parsecs`"),
            ("1e3s", "has the unknown unit `e3s`"),
            ("999999999999999999999999h", "is too long"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err(), reason, "{text}");
        }
    }

    #[test]
    fn a_duration_is_read_into_nanoseconds() {
        for (text, ns) in [
            ("7ns", 7),
            ("3us", 3_000),
            ("3µs", 3_000),
            ("10ms", 10_000_000),
            ("2s", 2_000_000_000),
            ("1.5s", 1_500_000_000),
            ("1h", 3_600_000_000_000),
            ("1d", 86_400_000_000_000),
        ] {
            assert_eq!(duration(text), ns, "{text}");
        }
        for text in ["", "10", "ms", "99999999999999999999ns", "9999999999h"] {
            assert!(std::panic::catch_unwind(|| duration(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_take_binary_and_decimal_units() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1GB", 1_000_000_000),
            ("512k", 512 << 10),
            ("1.5 GiB", 3 << 29),
            ("2t", 2 << 40),
            ("4096", 4096),
            ("10 bytes", 10),
            ("1_000", 1000),
        ] {
            assert_eq!(parse_bytes(text).unwrap(), bytes, "{text}");
        }
        assert_eq!(parse_bytes("5 floppies").unwrap_err(), "has the unknown unit `floppies`");
        assert_eq!(parse_bytes("99999999TB").unwrap_err(), "is too large");
        assert_eq!(parse_bytes("NaN").unwrap_err(), "does not begin with a number");
    }

    #[test]
    fn percentages_need_their_sign() {
        assert_eq!(parse_percent("1%").unwrap(), 0.01);
        assert_eq!(parse_percent("0.5 %").unwrap(), 0.005);
        assert_eq!(parse_percent("0.01").unwrap_err(), "has no `%`");
    }

    #[test]
    fn whole_numbers_have_no_sign_and_no_fraction() {
        assert_eq!(parse_whole::<u32>("10_000").unwrap(), 10_000);
        for text in ["-1", "1.5", "", "+3", "0x10"] {
            assert_eq!(parse_whole::<u32>(text).unwrap_err(), "is not a whole number", "{text}");
        }
        assert_eq!(parse_whole::<u32>("4294967296").unwrap_err(), "is too large");
    }

    #[test]
    fn a_shown_value_stays_on_one_line_and_is_bounded() {
        assert_eq!(quote_value("a\nb\u{1b}[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(quote_value(&"x".repeat(500)).chars().count(), 81);
    }

    #[test]
    fn sizes_are_written_with_a_unit_that_leaves_them_whole() {
        assert_eq!(format_bytes(512 << 20), "512MiB");
        assert_eq!(format_bytes(3 << 30), "3GiB");
        assert_eq!(format_bytes(1000), "1000 bytes");
    }
}
