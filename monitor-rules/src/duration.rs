//! Reads a duration such as `250ms`, `1.5s` or `2 d`.
//!
//! Takes a text; gives nanoseconds. The text is a decimal number, in which `_` may separate digits, and one of
//! the units `ns`, `us`, `µs`, `ms`, `s`, `m`, `h` and `d`, with or without blanks around them. A fraction of a
//! nanosecond is rounded. It does not know which durations an option or a setting allows.

/// The reason why a text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DurationError {
    /// The text does not begin with a decimal number.
    NoNumber,
    /// No unit follows the number.
    NoUnit,
    /// The unit, which starts at this byte, is none of those that [`parse`] knows.
    UnknownUnit(usize),
    /// The nanoseconds do not fit 128 bits.
    TooLong,
}

/// Reads a duration into nanoseconds, also at compile time.
///
/// # Errors
/// [`DurationError`] if the text is not a duration.
pub const fn parse(text: &str) -> Result<u128, DurationError> {
    let bytes = text.as_bytes();
    let start = skip_blanks(bytes, 0);
    let mut at = start;
    let (mut digits, mut fraction_digits, mut number, mut has_point) = (0_usize, 0_u32, 0_u128, false);
    while at < bytes.len() {
        match bytes[at] {
            // Nineteen digits after the point are more than a day has of nanoseconds; the rest is cut off.
            b'0'..=b'9' if has_point && fraction_digits == FRACTION_DIGITS_MAX => digits += 1,
            digit @ b'0'..=b'9' => {
                number = match number.checked_mul(10) {
                    Some(number) => number,
                    None => return Err(DurationError::TooLong),
                };
                number = match number.checked_add((digit - b'0') as u128) {
                    Some(number) => number,
                    None => return Err(DurationError::TooLong),
                };
                digits += 1;
                fraction_digits += has_point as u32;
            }
            b'.' if has_point => return Err(DurationError::NoNumber),
            b'.' => has_point = true,
            b'_' => {}
            _ => break,
        }
        at += 1;
    }
    if digits == 0 {
        return Err(DurationError::NoNumber);
    }
    let unit = skip_blanks(bytes, at);
    let (_, rest) = bytes.split_at(unit);
    let ns: u128 = match rest.trim_ascii_end() {
        b"" => return Err(DurationError::NoUnit),
        b"ns" => 1,
        // The micro sign, and the Greek letter that looks like it.
        b"us" | [0xC2, 0xB5, b's'] | [0xCE, 0xBC, b's'] => 1_000,
        b"ms" => 1_000_000,
        b"s" => 1_000_000_000,
        b"m" => 60_000_000_000,
        b"h" => 3_600_000_000_000,
        b"d" => 86_400_000_000_000,
        _ => return Err(DurationError::UnknownUnit(unit)),
    };
    let scale = 10_u128.pow(fraction_digits);
    match number.checked_mul(ns) {
        // Half a nanosecond is rounded up.
        Some(scaled) => Ok(scaled / scale + (scaled % scale * 2 >= scale) as u128),
        None => Err(DurationError::TooLong),
    }
}

const FRACTION_DIGITS_MAX: u32 = 19;

const fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() && bytes[at].is_ascii_whitespace() {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{DurationError, parse};

    #[test]
    fn a_duration_is_a_decimal_number_and_a_unit() {
        const AT_COMPILE_TIME: Result<u128, DurationError> = parse("1.5s");
        assert_eq!(AT_COMPILE_TIME, Ok(1_500_000_000));
        for (text, ns) in [
            ("10ms", 10_000_000),
            ("0ns", 0),
            ("5us", 5_000),
            ("5µs", 5_000),
            ("5μs", 5_000),
            (" 100 µs ", 100_000),
            ("2m", 120_000_000_000),
            ("6h", 21_600_000_000_000),
            ("1d", 86_400_000_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1_000ms", 1_000_000_000),
            ("0.4ns", 0),
            ("0.5ns", 1),
            ("0.33333333333333333333333333333s", 333_333_333),
            ("18446744073709551616s", 18_446_744_073_709_551_616_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(ns), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        for (text, error) in [
            ("", DurationError::NoNumber),
            ("ms", DurationError::NoNumber),
            ("_ms", DurationError::NoNumber),
            (".ms", DurationError::NoNumber),
            ("-1ms", DurationError::NoNumber),
            ("1.2.3s", DurationError::NoNumber),
            ("10", DurationError::NoUnit),
            ("10 parsecs", DurationError::UnknownUnit(3)),
            ("1e3s", DurationError::UnknownUnit(1)),
            ("999999999999999999999999999999999999h", DurationError::TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }
}
