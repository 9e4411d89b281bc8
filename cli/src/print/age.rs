//! How long ago: RFC 3339 in, `4d` out, as on the dashboard.

use std::time::{SystemTime, UNIX_EPOCH};

/// How long ago a time of the server's was, in one unit; the text itself when it is no time.
pub(crate) fn since(rfc3339: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match seconds(rfc3339) {
        Some(then) => label(now.saturating_sub(then)),
        None => rfc3339.to_owned(),
    }
}

/// Seconds in the largest whole unit.
pub(crate) fn label(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Seconds since 1970 of `2026-01-31T12:00:00.250Z`. Only UTC, which is all our servers write.
fn seconds(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time =
        time.split(':').map(|part| part.split('.').next().and_then(|whole| whole.parse::<u64>().ok()));
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    if !(1970..=9_999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days(year, month, day)? * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// Days since 1970-01-01 of a Gregorian date, counting years from March so that the leap day
/// comes last.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    days.checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_across_leap_days() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400),
            ("2026-11-22T01:27:23.512Z", 1_795_310_843),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in
            ["", "yesterday", "2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T25:00:00Z", "1-1-1T0:0:0Z"]
        {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let told: Vec<String> = [0, 59, 60, 3_599, 86_399, 4 * 86_400].into_iter().map(label).collect();
        assert_eq!(told, ["0s", "59s", "1m", "59m", "23h", "4d"]);
    }
}
