//! Converts points in time to days and dates.
//!
//! Takes ns since the Unix epoch; gives the day since 1 January 1970, and the date of a day in UTC. It is pure.

const DAY_NS: i64 = 86_400_000_000_000;

/// Returns the day that holds a point in time.
pub(crate) fn day(at_ns: i64) -> i64 {
    at_ns.div_euclid(DAY_NS)
}

/// Returns the date of a day in the Gregorian calendar, such as `2024-02-29`. The computation counts years from 1 March, so
/// that a leap day is the last day of a year, and in eras of 400 years, which all have the same number of days.
pub(crate) fn date(day: i64) -> String {
    let since_march_0 = day + 719_468;
    let (era, day) = (since_march_0.div_euclid(146_097), since_march_0.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_before_1970() {
        let cases = [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_782, "2024-02-29"),
            (47_541, "2100-03-01"),
            (47_540, "2100-02-28"),
        ];
        for (day, expected) in cases {
            assert_eq!(date(day), expected);
        }
        assert_eq!(day(-1), -1);
        assert_eq!(day(1_709_164_800_000_000_000), 19_782);
    }
}
