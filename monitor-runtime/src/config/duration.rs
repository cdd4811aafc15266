//! The duration of the attribute's option `slow`, read while the program is compiled.

use monitor_rules::duration::DurationError;

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
