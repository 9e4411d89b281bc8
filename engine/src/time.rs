//! Points in time as a type: milliseconds since 1970, UTC, written as RFC 3339.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const MILLIS_PER_DAY: i64 = 86_400_000;
/// 9999-12-31T23:59:59.999Z, the last moment RFC 3339 can write.
const LAST: i64 = 253_402_300_799_999;

/// Milliseconds since 1970-01-01T00:00:00Z, between then and the year 9999. Arithmetic
/// saturates at both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first moment.
    pub const EPOCH: Self = Self(0);

    /// The first moment, for what was stored before it had a time.
    pub const fn epoch() -> Self {
        Self::EPOCH
    }

    /// From milliseconds since 1970.
    pub const fn from_millis(millis: i64) -> Self {
        match millis {
            ..0 => Self(0),
            0..=LAST => Self(millis),
            _ => Self(LAST),
        }
    }

    /// From seconds since 1970, as tokens carry them.
    pub fn from_seconds(seconds: u64) -> Self {
        Self::EPOCH.plus(Duration::from_secs(seconds))
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970.
    pub fn as_seconds(self) -> u64 {
        self.0.unsigned_abs() / 1_000
    }

    /// Time passed since `earlier`; zero when that is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// This much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }
}

/// Why a text is no point in time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no time; write RFC 3339 such as 2026-11-22T01:21:41Z")]
pub struct TimeError(String);

impl FromStr for Timestamp {
    type Err = TimeError;

    /// Reads RFC 3339, in UTC or with an offset, from 1970 to 9999.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let wrong = || TimeError(text.chars().take(40).collect());
        if text.len() > 40 || !text.is_ascii() {
            return Err(wrong());
        }
        parse(text).map(Self).ok_or_else(wrong)
    }
}

/// Milliseconds since 1970 of an RFC 3339 text.
fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let (time, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let (time, offset) = time.split_at(time.rfind(['+', '-'])?);
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let minutes = number(hours, 2, 0..=23)? * 60 + number(minutes, 2, 0..=59)?;
            (time, if offset.starts_with('-') { -minutes } else { minutes })
        }
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month) = (number(year, 4, 1970..=9_999)?, number(month, 2, 1..=12)?);
    let day = days(year, month, number(day, 2, 1..=31)?)?;
    let (clock, fraction) = time.split_once('.').map_or((time, ""), |(clock, fraction)| (clock, fraction));
    let mut units = clock.split(':');
    let hour = number(units.next()?, 2, 0..=23)?;
    let minute = number(units.next()?, 2, 0..=59)?;
    let second = number(units.next()?, 2, 0..=59)?;
    if parts.next().is_some() || units.next().is_some() || (fraction.is_empty() && time.contains('.')) {
        return None;
    }
    let thousandths =
        fraction.bytes().chain(*b"000").take(3).try_fold(0_i64, |sum, digit| {
            digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
        })?;
    let rest_is_digits = fraction.bytes().all(|digit| digit.is_ascii_digit());
    let minutes = (day * 24 + hour) * 60 + minute - offset;
    let millis = (minutes * 60 + second) * 1_000 + thousandths;
    (rest_is_digits && (0..=LAST).contains(&millis)).then_some(millis)
}

fn number(text: &str, digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let written = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|value| written && range.contains(value))
}

/// Days since 1970-01-01 of a date that exists.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let (shifted_year, shifted_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = shifted_year / 4 - shifted_year / 100 + shifted_year / 400;
    let days = 365 * shifted_year + leap_days + (153 * shifted_month + 2) / 5 + day - 1 - 719_468;
    // The 31st of April would be the 1st of May.
    (civil(days) == (year, month, day)).then_some(days)
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with milliseconds: `2026-11-22T01:21:41.250Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(MILLIS_PER_DAY));
        let millis = self.0.rem_euclid(MILLIS_PER_DAY);
        let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
        let (second, milli) = (millis / 1_000 % 60, millis % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Year, month and day of the proleptic Gregorian calendar for a day counted from 1970-01-01.
/// Years begin in March here, so that the leap day comes last and months fall on a line.
fn civil(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn time_is_written_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_210_096_007, "2024-02-29T12:34:56.007Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (i64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn time_is_read_with_and_without_fraction_and_offset() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2024-02-29t12:34:56.007z", 1_709_210_096_007),
            ("2024-02-29 14:04:56.0079+01:30", 1_709_210_096_007),
            ("2024-02-29T11:34:56.1-01:00", 1_709_210_096_100),
        ] {
            assert_eq!(text.parse(), Ok(Timestamp::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "now",
            "2026-11-22",
            "2026-11-22T01:21:41",
            "2026-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T01:21:41.Z",
            "2026-11-22T01:21Z",
            "2026-11-22T01:21:41.5x9Z",
            "+026-11-22T01:21:41Z",
            "1970-01-01T00:00:00+00:01",
            "2026-11-22T01:21:41+1:0",
            "2026-11-22-01T01:21:41Z",
            "2026-11-22T01:21:41:00Z",
            "é",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        assert_eq!(
            "noon".parse::<Timestamp>().unwrap_err().to_string(),
            "\"noon\" is no time; write RFC 3339 such as 2026-11-22T01:21:41Z"
        );
    }

    proptest! {
        #[test]
        fn time_that_was_written_is_read_again(millis in 0..=LAST) {
            let time = Timestamp::from_millis(millis);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }

        #[test]
        fn reading_is_total(text in "[0-9TtZz:.+ -]{0,44}") {
            let read = text.parse::<Timestamp>();
            prop_assert!(read.is_err() || text.len() >= 20);
        }
    }

    #[test]
    fn arithmetic_saturates() {
        let now = Timestamp::from_seconds(5);
        assert_eq!(now.minus(Duration::from_secs(9)), Timestamp::EPOCH);
        assert_eq!(now.plus(Duration::MAX), Timestamp::from_millis(i64::MAX));
        assert_eq!(now.since(now.plus(Duration::from_secs(1))), Duration::ZERO);
    }
}
