//! Durations and numbers as people read them, with three significant digits.
//!
//! Takes nanoseconds and numbers; gives texts. The recorder's events and the reports of `monitor` use the same texts.

/// The size from which numbers are written with an exponent, because nobody counts more than 15 digits.
pub const EXPONENT_FROM: f64 = 999.5e12;

/// Formats ns as `870 ns`, `1.23 µs`, `12.3 ms`, `1.23 s`, `2.05 min`, `1.20 h` or `3.10 d`.
#[must_use]
pub fn format_duration(ns: f64) -> String {
    const STEPS: [(f64, f64, &str); 6] = [
        (999.5, 1.0, "ns"),
        (999.5e3, 1e3, "µs"),
        (999.5e6, 1e6, "ms"),
        (120e9, 1e9, "s"),
        (120.0 * 60e9, 60e9, "min"),
        (48.0 * 3600e9, 3600e9, "h"),
    ];
    let size = ns.abs();
    let (_, scale, unit) =
        STEPS.into_iter().find(|(below, ..)| size < *below).unwrap_or((0.0, 86_400e9, "d"));
    let digits = if scale <= 1.0 { format!("{ns:.0}") } else { format_three_digits(ns / scale) };
    format!("{digits} {unit}")
}

/// Formats ns as [`format_duration`] does, without zeros at the end: `6.2 s`, `41 ms`.
#[must_use]
pub fn format_short_duration(ns: f64) -> String {
    let text = format_duration(ns);
    match text.split_once(' ') {
        Some((digits, unit)) if digits.contains('.') => {
            format!("{} {unit}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// Formats a number as `1.23`, `12.3`, `123`, `1234` or `1.00e15`.
#[must_use]
pub fn format_three_digits(number: f64) -> String {
    match number.abs() {
        size if size < 9.995 => format!("{number:.2}"),
        size if size < 99.95 => format!("{number:.1}"),
        size if size < EXPONENT_FROM => format!("{number:.0}"),
        _ => format!("{number:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_with_three_digits() {
        let table = [
            (0.0, "0 ns"),
            (870.0, "870 ns"),
            (999.6, "1.00 µs"),
            (1_234.0, "1.23 µs"),
            (12_345_678.0, "12.3 ms"),
            (1_234_000_000.0, "1.23 s"),
            (123e9, "2.05 min"),
            (3.0 * 3600e9, "3.00 h"),
            (72.0 * 3600e9, "3.00 d"),
        ];
        for (ns, text) in table {
            assert_eq!(format_duration(ns), text);
        }
        let short =
            [(6.2e9, "6.2 s"), (41e6, "41 ms"), (100e6, "100 ms"), (870.0, "870 ns"), (1.23e3, "1.23 µs")];
        for (ns, text) in short {
            assert_eq!(format_short_duration(ns), text);
        }
    }
}
