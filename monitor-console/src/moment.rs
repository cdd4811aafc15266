//! Moments as people type them: `5m` (before now), `14:05`, `14:05:30`, `2026-11-29T14:05`; UTC. Parts of a second may
//! follow the seconds.
//!
//! Takes text and the present time; gives ns since the Unix epoch, or an error that says what is allowed. A time of day
//! without a date is the latest one that has passed. The parsing is written by hand because the calendar is used without
//! its parser, which would bring its macros.

use std::time::Duration;

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

use crate::units;

const ALLOWED: &str = "a moment is a time before now such as 90s, 15m or 1h30m, a time of day in UTC such as 14:05 or \
                       14:05:30, or a date and time such as 2026-11-29T14:05";
const DAY_NS: i64 = 86_400_000_000_000;

/// A point in time, in ns since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(pub(crate) i64);

/// Parses a moment of the command line.
pub(crate) fn parse(text: &str) -> Result<Moment, String> {
    parse_before(text, units::now_ns()).map(Moment)
}

/// Parses a moment as its distance from now.
pub(crate) fn parse_since(text: &str) -> Result<Duration, String> {
    let now = units::now_ns();
    let at = parse_before(text, now)?;
    let span = u64::try_from(now.saturating_sub(at)).map_err(|_| "it lies in the future".to_owned())?;
    Ok(Duration::from_nanos(span))
}

#[allow(clippy::single_match_else, reason = "both forms of a moment are equal")]
fn parse_before(text: &str, now_ns: i64) -> Result<i64, String> {
    let text = text.trim();
    if !text.contains(':') {
        let explain = |reason| format!("{}; {ALLOWED}", explain_date(text).unwrap_or(reason));
        let span = units::parse_duration(text).map_err(explain)?;
        return Ok(now_ns.saturating_sub(units::to_nanoseconds(span)));
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let refused = || ALLOWED.to_owned();
    let (text, part_ns) = match text.split_once('.') {
        Some((whole, digits)) if whole.matches(':').count() == 2 => {
            (whole, parse_part(digits).ok_or_else(refused)?)
        }
        Some(_) => return Err(refused()),
        None => (text, 0),
    };
    match text.split_once(['T', ' ']) {
        Some((date, time)) => {
            let date = parse_date(date).ok_or_else(refused)?;
            let time = parse_time(time).ok_or_else(refused)?;
            let at = to_ns(PrimitiveDateTime::new(date, time)).ok_or_else(refused)?;
            Ok(at.saturating_add(part_ns))
        }
        None => {
            let time = parse_time(text).ok_or_else(refused)?;
            let today = OffsetDateTime::from_unix_timestamp_nanos(now_ns.into()).map_err(|_| refused())?;
            let at = to_ns(PrimitiveDateTime::new(today.date(), time)).ok_or_else(refused)?;
            let at = at.saturating_add(part_ns);
            Ok(if at > now_ns { at.saturating_sub(DAY_NS) } else { at })
        }
    }
}

/// Explains why a date alone is no moment; `None` for a text that is not written like a date.
fn explain_date(text: &str) -> Option<String> {
    let is_date =
        text.matches('-').count() == 2 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    is_date.then(|| match parse_date(text) {
        Some(_) => format!("it is a date without a time of day, such as {text}T00:00"),
        None => "it is no date of the calendar, such as 2026-11-29".to_owned(),
    })
}

/// Parses the digits behind the point of a second, in ns. Digits behind the ninth are left out.
fn parse_part(digits: &str) -> Option<i64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let ns: String = digits.chars().chain(std::iter::repeat('0')).take(9).collect();
    is_number.then(|| ns.parse().ok())?
}

fn to_ns(at: PrimitiveDateTime) -> Option<i64> {
    at.assume_utc().unix_timestamp_nanos().try_into().ok()
}

fn parse_date(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let month = Month::try_from(parse_digits(month)?).ok()?;
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    Date::from_calendar_date(year.parse().ok()?, month, parse_digits(day)?).ok()
}

fn parse_time(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let (hour, minute) = (parse_digits(parts.next()?)?, parse_digits(parts.next()?)?);
    let second = parts.next().map_or(Some(0), parse_digits)?;
    if parts.next().is_some() {
        return None;
    }
    Time::from_hms(hour, minute, second).ok()
}

/// Parses one or two digits.
fn parse_digits(text: &str) -> Option<u8> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-29 10:00:00 UTC.
    const NOW: i64 = 1_795_946_400_000_000_000;

    #[test]
    fn moments_are_read_in_every_form() {
        let second = 1_000_000_000;
        let table = [
            ("15m", NOW - 900 * second),
            ("09:59", NOW - 60 * second),
            ("9:59:30", NOW - 30 * second),
            ("10:00", NOW),
            // A time of day that is yet to come was yesterday.
            ("10:01", NOW + 60 * second - DAY_NS),
            ("2026-11-29T09:00", NOW - 3600 * second),
            ("2026-11-28 10:00:00Z", NOW - DAY_NS),
            ("2026-11-29T09:59:59.5Z", NOW - second / 2),
            ("09:59:59.999999999999", NOW - 1),
        ];
        for (text, at) in table {
            assert_eq!(parse_before(text, NOW), Ok(at), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_what_is_allowed() {
        for bad in [
            "",
            "25:00",
            "10:60",
            "1:2:3:4",
            "2026-02-30T10:00",
            "26-11-29T10:00",
            "soon",
            "+1:00",
            "12",
            "10:00.5",
            "10:00:00.",
            "10:00:00.x",
        ] {
            let reason = parse_before(bad, NOW).expect_err(bad);
            assert!(reason.contains("14:05"), "{bad}: {reason}");
            assert!(parse_since(bad).expect_err(bad).contains("14:05"), "{bad}");
        }
    }

    #[test]
    fn a_date_alone_is_refused_as_a_date() {
        for (bad, expected) in [
            ("2026-11-29", "a date without a time of day, such as 2026-11-29T00:00;"),
            ("2026-02-30", "no date of the calendar"),
            ("29-11-2026", "no date of the calendar"),
            ("-5m", "less than 0s"),
        ] {
            for reason in [parse(bad).expect_err(bad), parse_since(bad).expect_err(bad)] {
                assert!(reason.contains(expected) && reason.contains("14:05"), "{bad}: {reason}");
            }
        }
    }

    #[test]
    fn a_span_is_the_distance_of_its_start_from_now() {
        assert_eq!(parse_since("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_since("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_since("2200-01-01T00:00"), Err("it lies in the future".to_owned()));
    }
}
