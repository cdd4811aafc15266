//! Figures as people write and read them: durations, counts, bytes, rates, points in time.
//!
//! Parsing takes text of the command line and returns a value, or an error that says what is allowed.
//! Formatting keeps three significant digits, which is what fits a column; json and csv carry the raw
//! numbers. Points in time are UTC. Only [`now_ns`] reads a clock.
//!
//! Formatting is written by hand because crates for human units round to fixed decimals or mix units (`1m 3s`), which
//! would no longer align in columns.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use monitor_runtime::config;
use monitor_runtime::store::schema::WINDOW_NS;
use monitor_runtime::units::{EXPONENT_FROM, format_three_digits};
pub(crate) use monitor_runtime::units::{format_duration, format_short_duration};
use time::OffsetDateTime;

const NS_PER_SECOND: i64 = 1_000_000_000;

const DURATION_ALLOWED: &str = "a duration looks like 10ms, 90s, 15m, 1h30m or 2d";

/// Most characters of a reason.
const REASON_CHARACTERS_MAX: usize = 500;

/// Returns the current time in ns since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

/// Returns the start of the time that `--since` selects, in ns since the Unix epoch; without `--since` the
/// earliest time there is.
pub(crate) fn start_of_span(since: Option<Duration>) -> i64 {
    since.map_or(i64::MIN, |span| now_ns().saturating_sub(to_nanoseconds(span)))
}

/// Returns the latest time that `--since` selects: a minute from now, because the clocks of two hosts may differ by
/// seconds. What lies later was recorded while a clock was wrong, and is within no span before now.
pub(crate) fn end_of_span() -> i64 {
    end_of_span_at(now_ns())
}

/// Returns [`end_of_span`] as of this time.
pub(crate) fn end_of_span_at(now_ns: i64) -> i64 {
    now_ns.saturating_add(60 * NS_PER_SECOND)
}

/// Converts a duration to ns, the store's unit.
pub(crate) fn to_nanoseconds(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// Parses `15m`, `1.5s`, `250us` or `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let unsigned = text.trim_start().strip_prefix('-');
    if unsigned.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return Err(format!("it is less than 0s; {DURATION_ALLOWED}"));
    }
    let mut sum = Duration::ZERO;
    for part in split_at_units(text) {
        let part =
            config::parse_duration(part).map_err(|reason| format!("it {reason}; {DURATION_ALLOWED}"))?;
        sum = sum.checked_add(part).ok_or("it is too long")?;
    }
    Ok(sum)
}

/// Parses the longest time that something may take, which is not 0.
pub(crate) fn parse_time_limit(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("a time limit is longer than 0, such as 500ms, 30s or 5m".to_owned()),
        limit => Ok(limit),
    }
}

/// Splits `1h30m` into `1h` and `30m`: a part begins at each digit that follows a letter.
fn split_at_units(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    loop {
        let unit = rest.find(char::is_alphabetic).unwrap_or(rest.len());
        match rest[unit..].find(|c: char| c.is_ascii_digit()) {
            Some(next) => {
                parts.push(&rest[..unit + next]);
                rest = &rest[unit + next..];
            }
            None => break parts.push(rest),
        }
    }
    parts
}

/// Parses a sampling rate, 0 to 1.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("a rate is a number between 0 (rows for failed calls only) and 1 (a row for every call), \
                  such as 0.01"
            .to_owned()),
    }
}

/// Parses the id of a call, a span or a trace.
pub(crate) fn parse_id(text: &str) -> Result<i64, String> {
    parse_whole_number(text, 1..=i64::MAX).map_err(|allowed| {
        format!("an id is {allowed}, as the column CALL of `monitor calls` and EXAMPLE of `monitor errors` show it")
    })
}

/// Parses the largest number of rows to show.
pub(crate) fn parse_limit(text: &str) -> Result<u32, String> {
    parse_whole_number(text, 0..=u32::MAX).map_err(|allowed| format!("a number of rows is {allowed}"))
}

/// Parses the number of rows that an answer rests on.
pub(crate) fn parse_rows(text: &str) -> Result<u32, String> {
    parse_whole_number(text, 1..=u32::MAX).map_err(|allowed| format!("a number of rows is {allowed}"))
}

/// Parses the number of a run.
pub(crate) fn parse_run(text: &str) -> Result<u32, String> {
    parse_whole_number(text, 1..=u32::MAX)
        .map_err(|allowed| format!("a run is {allowed}, as `monitor health` shows it"))
}

/// Parses the number of seconds that a demo takes.
pub(crate) fn parse_demo_seconds(text: &str) -> Result<u32, String> {
    parse_whole_number(text, 1..=3600).map_err(|allowed| format!("a demo takes {allowed} seconds"))
}

/// Parses a whole number of this range; the error names the range.
fn parse_whole_number<N: FromStr + PartialOrd + Display>(
    text: &str,
    allowed: RangeInclusive<N>,
) -> Result<N, String> {
    match text.parse() {
        Ok(number) if allowed.contains(&number) => Ok(number),
        _ => Err(format!("a whole number from {} to {}", allowed.start(), allowed.end())),
    }
}

/// Parses a reason: text of 1 to 500 characters, without the white space around it.
pub(crate) fn parse_reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it is empty; a reason is text such as 'the disk is being replaced'".to_owned()),
        text if text.chars().count() > REASON_CHARACTERS_MAX => {
            Err(format!("it is longer than {REASON_CHARACTERS_MAX} characters"))
        }
        text => Ok(text.to_owned()),
    }
}

/// Formats a whole number of ns as a duration.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn format_nanoseconds(ns: i64) -> String {
    format_duration(ns as f64)
}

/// Formats a number as `9999`, `12.3 k`, `1.20 M`, `4.00 G` or `1.00e15`.
pub(crate) fn format_count(number: f64) -> String {
    let (scale, unit) = match number.abs() {
        size if size < 9_999.5 => {
            return if number.fract() == 0.0 { format!("{number:.0}") } else { format_three_digits(number) };
        }
        size if size < 999.5e3 => (1e3, "k"),
        size if size < 999.5e6 => (1e6, "M"),
        size if size < 999.5e9 => (1e9, "G"),
        size if size < EXPONENT_FROM => (1e12, "T"),
        _ => return format!("{number:.2e}"),
    };
    format!("{} {unit}", format_three_digits(number / scale))
}

/// Formats a number of any size with three significant digits: `1.00e-9`, `0.0123`, `2.50`, `12.3 k` or `1.00e308`.
/// Whole numbers below 10 000 keep all digits.
pub(crate) fn format_number(number: f64) -> String {
    match number.abs() {
        0.0 => "0".to_owned(),
        size if size < 0.000_999_5 => format!("{number:.2e}"),
        size if size < 0.009_995 => format!("{number:.5}"),
        size if size < 0.099_95 => format!("{number:.4}"),
        size if size < 0.9995 => format!("{number:.3}"),
        _ => format_count(number),
    }
}

/// Formats a whole number exactly, its digits in groups of three: `20 000`.
pub(crate) fn format_exact(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups =
        digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
    if number < 0 { format!("-{groups}") } else { groups }
}

/// Formats a count with its noun: `1 process`, `2 processes`.
pub(crate) fn format_quantity(number: impl Display, singular: &str, plural: &str) -> String {
    let number = number.to_string();
    format!("{number} {}", if number == "1" { singular } else { plural })
}

/// Formats bytes as `512 B`, `4.00 KiB` or `1.50 GiB`.
pub(crate) fn format_bytes(number: f64) -> String {
    let (scale, unit) = match number.abs() {
        size if size < 1024.0 => return format!("{number:.0} B"),
        size if size < 1024.0 * 1023.5 => (1024.0, "KiB"),
        size if size < 1024.0 * 1024.0 * 1023.5 => (1024.0 * 1024.0, "MiB"),
        _ => (1024.0 * 1024.0 * 1024.0, "GiB"),
    };
    format!("{} {unit}", format_three_digits(number / scale))
}

/// Formats a percentage as `0 %`, `0.12 %`, `12.3 %` or `100 %`.
pub(crate) fn format_percent(number: f64) -> String {
    if number == 0.0 { "0 %".to_owned() } else { format!("{} %", format_three_digits(number)) }
}

/// Formats the moment of something that has happened by its distance from now: `just now`, `12 s ago`, `3 min ago`,
/// `5 h ago`, `2 d ago`. A moment ahead of now by less than a window is `just now`, because the end of the window under
/// way stands for what happened within it; one further ahead is `in 20 s`, because clocks disagree. The moment 0 is `-`,
/// because it stands for a moment that is not known.
pub(crate) fn format_age(ns: i64, now_ns: i64) -> String {
    let past_ns = now_ns.saturating_sub(ns);
    match past_ns / NS_PER_SECOND {
        _ if ns == 0 => "-".to_owned(),
        1.. => format!("{} ago", format_rough_time(past_ns)),
        _ if past_ns > -WINDOW_NS => "just now".to_owned(),
        _ => format_until(ns, now_ns),
    }
}

/// Formats the moment of something that is still to happen by its distance from now: `in 12 s`, and `now` if the moment
/// has passed.
pub(crate) fn format_until(ns: i64, now_ns: i64) -> String {
    match ns.saturating_sub(now_ns) {
        NS_PER_SECOND.. => format!("in {}", format_rough_time(ns.saturating_sub(now_ns))),
        _ => "now".to_owned(),
    }
}

/// Formats a time in one unit, rounded down: `12 s`, `3 min`, `5 h`, `2 d`.
fn format_rough_time(ns: i64) -> String {
    match ns / NS_PER_SECOND {
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

/// Formats a point in time as `2025-06-01 14:03:22.123`, UTC.
pub(crate) fn format_date_and_time(ns: i64) -> String {
    // Any number of ns in 64 bits lies in the years 1677 to 2262, which the calendar knows.
    let at = OffsetDateTime::from_unix_timestamp_nanos(ns.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    let (hour, minute, second, ms) = (at.hour(), at.minute(), at.second(), at.millisecond());
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}")
}

/// Formats a point in time as the command line takes it, to the ns: `2026-11-29T14:03:22.123456789`; UTC.
pub(crate) fn format_moment(ns: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(ns.into()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let whole = format_date_and_time(ns);
    let whole = whole.split_once('.').map_or(whole.as_str(), |(whole, _)| whole).replace(' ', "T");
    match at.nanosecond() {
        0 => whole,
        part => format!("{whole}.{part:09}"),
    }
}

/// Formats a point in time as `14:03:22.123` within a day of now, otherwise with its date; UTC.
pub(crate) fn format_time(ns: i64, now_ns: i64) -> String {
    let text = format_date_and_time(ns);
    let is_near = now_ns.abs_diff(ns) < 86_400 * NS_PER_SECOND.unsigned_abs();
    match text.split_once(' ') {
        Some((_, time)) if is_near => time.to_owned(),
        _ => text,
    }
}

/// Formats a rate with three digits: `1`, `0.125`, `4.24e-7`.
pub(crate) fn format_rate(rate: f64) -> String {
    if rate > 0.0 && rate < 1e-4 {
        return format!("{rate:.2e}");
    }
    let digits = if rate >= 0.1 { 3 } else { 6 };
    let text = format!("{rate:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn exact_numbers_have_groups_and_short_durations_no_zeros_at_the_end() {
        let exact = [(7, "7"), (999, "999"), (20_000, "20 000"), (-1_234_567, "-1 234 567")];
        for (number, text) in exact {
            assert_eq!(format_exact(number), text);
        }
    }

    #[test]
    fn rates_have_three_digits() {
        for (number, text) in
            [(1.0, "1"), (0.0, "0"), (0.125, "0.125"), (0.0004, "0.0004"), (4.2406e-7, "4.24e-7")]
        {
            assert_eq!(format_rate(number), text);
        }
    }

    #[test]
    fn durations_are_read_with_their_units() {
        let table = [
            ("15m", 900_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            ("250us", 250_000),
            ("250µs", 250_000),
            ("10ms", 10_000_000),
            ("7ns", 7),
            ("2d", 172_800_000_000_000),
        ];
        for (text, ns) in table {
            assert_eq!(parse_duration(text).unwrap().as_nanos(), ns, "{text}");
        }
        for bad in ["", "15", "m", "1x", "-5s", "1e99s", "1.2.3s", "5s foo", "1h30"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_time_limit_is_longer_than_0() {
        assert_eq!(parse_time_limit("500ms"), Ok(Duration::from_millis(500)));
        for zero in ["0s", "0ns", "0h0m", "0.0s"] {
            assert!(parse_time_limit(zero).unwrap_err().contains("longer than 0"), "{zero}");
        }
        assert!(parse_time_limit("30").unwrap_err().contains("unit"));
    }

    #[test]
    fn rates_lie_between_zero_and_one() {
        assert_eq!(parse_rate("0.25"), Ok(0.25));
        for bad in ["", "1.1", "-0.1", "NaN", "10%", "inf"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_number_that_is_refused_says_which_are_allowed() {
        assert_eq!(parse_id("1042"), Ok(1042));
        for bad in ["abc", "0", "-1", "1.5", "9223372036854775808"] {
            assert!(parse_id(bad).unwrap_err().contains("from 1 to 9223372036854775807"), "{bad}");
        }
        assert_eq!(parse_limit("0"), Ok(0));
        assert!(parse_limit("many").unwrap_err().contains("from 0 to 4294967295"));
        assert!(parse_rows("0").unwrap_err().contains("from 1 to 4294967295"));
        assert!(parse_run("0").unwrap_err().contains("from 1 to"));
        assert!(parse_demo_seconds("3601").unwrap_err().contains("from 1 to 3600"));
    }

    #[test]
    fn counts_and_bytes_are_written_short() {
        let table =
            [(0.0, "0"), (9_999.0, "9999"), (12_345.0, "12.3 k"), (999_900.0, "1.00 M"), (2.5, "2.50")];
        for (number, text) in table {
            assert_eq!(format_count(number), text);
        }
        for (number, text) in [
            (0.0, "0"),
            (1e-9, "1.00e-9"),
            (-0.000_25, "-2.50e-4"),
            (0.001_234, "0.00123"),
            (0.0125, "0.0125"),
            (-0.375, "-0.375"),
            (0.99999, "1.00"),
            (12_345.0, "12.3 k"),
            (999.4e12, "999 T"),
            (1e15, "1.00e15"),
            (-1e308, "-1.00e308"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(format_number(number), text);
        }
        assert_eq!(format_bytes(1e300), "9.31e290 GiB");
        assert_eq!(format_bytes(1_023.0), "1023 B");
        assert_eq!(format_bytes(1_572_864.0), "1.50 MiB");
    }

    #[test]
    fn moments_are_utc_in_the_gregorian_calendar() {
        assert_eq!(format_date_and_time(0), "1970-01-01 00:00:00.000");
        assert_eq!(format_date_and_time(951_782_399_999_000_000), "2000-02-28 23:59:59.999");
        assert_eq!(format_date_and_time(951_782_400_000_000_000), "2000-02-29 00:00:00.000");
        assert_eq!(format_date_and_time(4_107_542_400_000_000_000), "2100-03-01 00:00:00.000");
        assert_eq!(format_date_and_time(-1), "1969-12-31 23:59:59.999");
        assert_eq!(format_date_and_time(i64::MIN), "1677-09-21 00:12:43.145");
        assert_eq!(format_date_and_time(i64::MAX), "2262-04-11 23:47:16.854");
        assert_eq!(format_time(0, 86_399_000_000_000), "00:00:00.000");
        assert_eq!(format_time(0, 86_400_000_000_000), "1970-01-01 00:00:00.000");
    }

    #[test]
    fn time_past_is_told_roughly() {
        let now = 1_000_000 * NS_PER_SECOND;
        let table = [(0, "just now"), (12, "12 s ago"), (200, "3 min ago"), (200_000, "2 d ago")];
        for (seconds, text) in table {
            assert_eq!(format_age(now - seconds * NS_PER_SECOND, now), text);
        }
    }

    #[test]
    fn the_end_of_the_window_under_way_is_now_and_only_clocks_that_disagree_lead_further_ahead() {
        let now = 1_000_000 * NS_PER_SECOND;
        let table = [(1, "just now"), (5, "just now"), (9, "just now"), (10, "in 10 s"), (200, "in 3 min")];
        for (seconds, text) in table {
            assert_eq!(format_age(now + seconds * NS_PER_SECOND, now), text);
        }
    }

    #[test]
    fn a_moment_that_is_not_known_has_no_age() {
        for now in [1, NS_PER_SECOND, 1_790_000_000 * NS_PER_SECOND] {
            assert_eq!(format_age(0, now), "-");
        }
    }

    #[test]
    fn what_is_still_to_happen_is_told_by_the_time_that_is_left() {
        let now = 1_000_000 * NS_PER_SECOND;
        let table =
            [(1, "in 1 s"), (5, "in 5 s"), (200, "in 3 min"), (8_000, "in 2 h"), (0, "now"), (-30, "now")];
        for (seconds, text) in table {
            assert_eq!(format_until(now + seconds * NS_PER_SECOND, now), text);
        }
    }
}
