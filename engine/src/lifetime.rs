//! How long something lasts, as people and clients write it (`spec/machine-model.md` 5.2): seconds,
//! or numbers with units such as `90m`, `1h30m`, `1.5h`, `2w`, or `never`.

use std::time::Duration;

/// Longest text that is looked at, in bytes.
const MAX_TEXT: usize = 64;
/// Most digits behind the point that count: nanoseconds of a second.
const MAX_FRACTION: usize = 9;

/// A length of time, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It ends after this.
    Of(Duration),
    /// It does not end by itself.
    Never,
}

impl Lifetime {
    /// The length, at most this.
    pub fn at_most(self, longest: Duration) -> Duration {
        match self {
            Self::Of(length) => length.min(longest),
            Self::Never => longest,
        }
    }
}

/// A text that is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a lifetime is a number of seconds, or numbers with ns, us, ms, s, m, h, d, w, mo or y, such as 90m; or never"
)]
pub struct LifetimeError;

impl std::str::FromStr for Lifetime {
    type Err = LifetimeError;

    fn from_str(text: &str) -> Result<Self, LifetimeError> {
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(LifetimeError);
        }
        if text == "never" {
            return Ok(Self::Never);
        }
        let (mut rest, mut nanos) = (text, 0_u128);
        while !rest.is_empty() {
            let (part, behind) = part(rest).ok_or(LifetimeError)?;
            nanos = nanos.checked_add(part).ok_or(LifetimeError)?;
            rest = behind;
        }
        let seconds = u64::try_from(nanos / NANOS).map_err(|_| LifetimeError)?;
        let rest = u32::try_from(nanos % NANOS).map_err(|_| LifetimeError)?;
        Ok(Self::Of(Duration::new(seconds, rest)))
    }
}

const NANOS: u128 = 1_000_000_000;

/// Nanoseconds of a unit; seconds without one.
fn unit(name: &str) -> Option<u128> {
    let hour = 3_600 * NANOS;
    Some(match name {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "" | "s" => NANOS,
        "m" => 60 * NANOS,
        "h" => hour,
        "d" => 24 * hour,
        "w" => 7 * 24 * hour,
        "mo" => 30 * 24 * hour,
        "y" => 365 * 24 * hour,
        _ => return None,
    })
}

/// Nanoseconds of the first number with its unit, and what is behind it.
fn part(text: &str) -> Option<(u128, &str)> {
    let (number, rest) = split(text, |c| !(c.is_ascii_digit() || c == '.'));
    let (name, rest) = split(rest, |c| c.is_ascii_digit() || c == '.');
    let unit = unit(name)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > MAX_FRACTION || number.ends_with('.') {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    Some((digits.checked_mul(unit)?.checked_div(scale)?, rest))
}

fn split(text: &str, ends: impl FnMut(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_seconds_and_units_are_gos_and_a_few_more() {
        for (text, millis) in [
            ("600", 600_000),
            ("0", 0),
            ("1.5", 1_500),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("250ms", 250),
            ("2000us", 2),
            ("3000000ns", 3),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("1mo", 2_592_000_000),
            ("1y", 31_536_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Lifetime::Of(Duration::from_millis(millis))), "{text}");
        }
        assert_eq!("never".parse(), Ok(Lifetime::Never));
        for text in [
            "",
            "soon",
            "-1",
            "1x",
            "h",
            "1h h",
            ".5",
            "1.",
            "1..2",
            "1.0000000001s",
            &"9".repeat(65),
            &"9".repeat(60),
        ] {
            assert_eq!(text.parse::<Lifetime>(), Err(LifetimeError), "{text}");
        }
    }

    #[test]
    fn lifetime_is_capped() {
        let longest = Duration::from_secs(60);
        assert_eq!(Lifetime::Never.at_most(longest), longest);
        assert_eq!(Lifetime::Of(Duration::from_secs(5)).at_most(longest), Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn reading_never_fails_otherwise(text in "[0-9a-zµ. ]{0,70}") {
            if let Ok(Lifetime::Of(length)) = text.parse() {
                prop_assert!(length <= Duration::MAX);
            }
        }
    }
}
