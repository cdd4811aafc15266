//! Figures as people write and read them: durations, counts, bytes, rates, moments.
//!
//! Reading is strict, because a wrong figure is wrong usage. Writing keeps three significant digits,
//! which is what fits a column; raw numbers are for json and csv. Moments are UTC. Nothing here
//! reads a clock but [`now_ns`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use monitor_runtime::config;

const NS_PER_SECOND: i64 = 1_000_000_000;

/// Now, in ns since the Unix epoch.
pub(crate) fn now_ns() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}

/// The moment this long before `now_ns`.
pub(crate) fn before(now_ns: i64, span: Duration) -> i64 {
    now_ns.saturating_sub(nanoseconds(span))
}

/// As the store counts.
pub(crate) fn nanoseconds(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

/// Reads `15m`, `1.5s`, `250us` or `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut sum = Duration::ZERO;
    for part in parts(text) {
        let part = config::parse_duration(part)
            .map_err(|reason| format!("it {reason}; a duration looks like 10ms, 90s, 15m, 1h30m or 2d"))?;
        sum = sum.checked_add(part).ok_or("it is too long")?;
    }
    Ok(sum)
}

/// `1h30m` as `1h` and `30m`: a part begins where a digit follows a letter.
fn parts(text: &str) -> Vec<&str> {
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

/// Reads a sampling rate, 0 to 1.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.0..=1.0).contains(&rate) => Ok(rate),
        _ => Err("a rate lies between 0 (no rows but failures) and 1 (every call)".to_owned()),
    }
}

/// Reads a reason: a line that says something, of at most 500 characters.
pub(crate) fn parse_reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("it says nothing".to_owned()),
        text if text.chars().count() > 500 => Err("it is longer than 500 characters".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// `870 ns`, `1.23 µs`, `12.3 ms`, `1.23 s`, `2.05 min`, `1.20 h`, `3.10 d`.
#[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(crate) fn duration(ns: f64) -> String {
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
    let digits = if scale <= 1.0 { format!("{ns:.0}") } else { three_digits(ns / scale) };
    format!("{digits} {unit}")
}

/// `9999`, `12.3 k`, `1.20 M`, `4.00 G`.
pub(crate) fn count(number: f64) -> String {
    let (scale, unit) = match number.abs() {
        size if size < 9_999.5 => {
            return if number.fract() == 0.0 { format!("{number:.0}") } else { three_digits(number) };
        }
        size if size < 999.5e3 => (1e3, "k"),
        size if size < 999.5e6 => (1e6, "M"),
        size if size < 999.5e9 => (1e9, "G"),
        _ => (1e12, "T"),
    };
    format!("{} {unit}", three_digits(number / scale))
}

/// `512 B`, `4.00 KiB`, `1.50 GiB`.
pub(crate) fn bytes(number: f64) -> String {
    let (scale, unit) = match number.abs() {
        size if size < 1024.0 => return format!("{number:.0} B"),
        size if size < 1024.0 * 1023.5 => (1024.0, "KiB"),
        size if size < 1024.0 * 1024.0 * 1023.5 => (1024.0 * 1024.0, "MiB"),
        _ => (1024.0 * 1024.0 * 1024.0, "GiB"),
    };
    format!("{} {unit}", three_digits(number / scale))
}

/// `0`, `0.12`, `12.3`, `100`: a number of per cent.
pub(crate) fn percent(number: f64) -> String {
    if number == 0.0 { "0 %".to_owned() } else { format!("{} %", three_digits(number)) }
}

/// `just now`, `12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`, and `in 3 s` where clocks disagree.
pub(crate) fn ago(ns: i64, now_ns: i64) -> String {
    let seconds = now_ns.saturating_sub(ns) / NS_PER_SECOND;
    let text = |seconds: i64| match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    };
    match seconds {
        0 => "just now".to_owned(),
        1.. => format!("{} ago", text(seconds)),
        _ => format!("in {}", text(seconds.saturating_neg())),
    }
}

/// `2025-06-01 14:03:22.123`, UTC.
pub(crate) fn moment(ns: i64) -> String {
    let seconds = ns.div_euclid(NS_PER_SECOND);
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let ms = ns.rem_euclid(NS_PER_SECOND) / 1_000_000;
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}")
}

/// `14:03:22.123` within a day of now, else with its date; UTC.
pub(crate) fn clock(ns: i64, now_ns: i64) -> String {
    let moment = moment(ns);
    let is_near = now_ns.abs_diff(ns) < 86_400 * NS_PER_SECOND.unsigned_abs();
    match moment.split_once(' ') {
        Some((_, clock)) if is_near => clock.to_owned(),
        _ => moment,
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar without end.
/// Years are counted from March, so that the leap day is the last of its year.
fn date(day: i64) -> (i64, i64, i64) {
    const DAYS_PER_400_YEARS: i64 = 146_097;
    const DAYS_FROM_MARCH_OF_YEAR_0: i64 = 719_468;
    let day = day + DAYS_FROM_MARCH_OF_YEAR_0;
    let era = day.div_euclid(DAYS_PER_400_YEARS);
    let day = day.rem_euclid(DAYS_PER_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    // Months from March have 31, 30, 31, 30, 31 days, over and over: 153 days for five.
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + next, month, day_of_month)
}

fn three_digits(number: f64) -> String {
    match number.abs() {
        size if size < 9.995 => format!("{number:.2}"),
        size if size < 99.95 => format!("{number:.1}"),
        _ => format!("{number:.0}"),
    }
}

/// A rate with three digits: `1`, `0.125`, `4.24e-7`.
pub(crate) fn rate(rate: f64) -> String {
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
    fn rates_have_three_digits() {
        for (number, text) in
            [(1.0, "1"), (0.0, "0"), (0.125, "0.125"), (0.0004, "0.0004"), (4.2406e-7, "4.24e-7")]
        {
            assert_eq!(rate(number), text);
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
    fn rates_lie_between_zero_and_one() {
        assert_eq!(parse_rate("0.25"), Ok(0.25));
        for bad in ["", "1.1", "-0.1", "NaN", "10%", "inf"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }

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
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn counts_and_bytes_are_written_short() {
        let table =
            [(0.0, "0"), (9_999.0, "9999"), (12_345.0, "12.3 k"), (999_900.0, "1.00 M"), (2.5, "2.50")];
        for (number, text) in table {
            assert_eq!(count(number), text);
        }
        assert_eq!(bytes(1_023.0), "1023 B");
        assert_eq!(bytes(1_572_864.0), "1.50 MiB");
    }

    #[test]
    fn moments_are_utc_in_the_gregorian_calendar() {
        assert_eq!(moment(0), "1970-01-01 00:00:00.000");
        assert_eq!(moment(951_782_399_999_000_000), "2000-02-28 23:59:59.999");
        assert_eq!(moment(951_782_400_000_000_000), "2000-02-29 00:00:00.000");
        assert_eq!(moment(4_107_542_400_000_000_000), "2100-03-01 00:00:00.000");
        assert_eq!(moment(-1), "1969-12-31 23:59:59.999");
        assert_eq!(clock(0, 86_399_000_000_000), "00:00:00.000");
        assert_eq!(clock(0, 86_400_000_000_000), "1970-01-01 00:00:00.000");
    }

    #[test]
    fn time_past_is_told_roughly() {
        let now = 1_000_000 * NS_PER_SECOND;
        let table =
            [(0, "just now"), (12, "12 s ago"), (200, "3 min ago"), (-5, "in 5 s"), (200_000, "2 d ago")];
        for (seconds, text) in table {
            assert_eq!(ago(now - seconds * NS_PER_SECOND, now), text);
        }
    }
}
