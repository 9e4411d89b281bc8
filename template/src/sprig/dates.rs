//! Dates of times that are given. There is no clock, and no zone but UTC and fixed offsets.

use super::layout;
use crate::function::{Args, Function, Param};
use crate::receiver::{CallError, Receiver};
use crate::render::Rendering;
use crate::value::Value;
use std::any::Any;
use std::fmt::{self, Display, Formatter};

type Outcome = Result<Value, CallError>;

use Param::Text;

const DAY: i64 = 86_400;
const NANOS: i128 = 1_000_000_000;
/// How Go prints a time.
const SHOWN: &str = "2006-01-02 15:04:05.999999999 -0700 MST";

pub(super) static FUNCTIONS: [Function; 14] = [
    Function::new("date", &[Text, Param::Any], |_, a| show(a.any(1), a.text(0)?, "Local")),
    Function::new("dateInZone", &[Text, Param::Any, Text], |_, a| show(a.any(1), a.text(0)?, a.text(2)?)),
    Function::new("date_in_zone", &[Text, Param::Any, Text], |_, a| show(a.any(1), a.text(0)?, a.text(2)?)),
    Function::new("htmlDate", &[Param::Any], |_, a| show(a.any(0), "2006-01-02", "Local")),
    Function::new("htmlDateInZone", &[Param::Any, Text], |_, a| show(a.any(0), "2006-01-02", a.text(1)?)),
    Function::new("dateModify", &[Text, Param::Any], modify_or_keep),
    Function::new("date_modify", &[Text, Param::Any], modify_or_keep),
    Function::new("mustDateModify", &[Text, Param::Any], modify),
    Function::new("must_date_modify", &[Text, Param::Any], modify),
    Function::new("toDate", &[Text, Text], |_, a| {
        // Sprig takes what is no date for the first day of the year one.
        let time = layout::parse(a.text(0)?, a.text(1)?).unwrap_or(Time::new(1, 1, 1, 0, 0, 0));
        Ok(Value::receiver(time))
    }),
    Function::new("mustToDate", &[Text, Text], |_, a| {
        Ok(Value::receiver(layout::parse(a.text(0)?, a.text(1)?)?))
    }),
    Function::new("unixEpoch", &[Param::Any], |_, a| Ok(time_of(a.any(0))?.seconds.to_string().into())),
    Function::new("duration", &[Param::Any], |_, a| {
        // As sprig: text and int64, and nothing else.
        let seconds = match a.any(0) {
            Value::Text(text) => text.parse().unwrap_or_default(),
            Value::Int64(seconds) => *seconds,
            Value::Nil
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::List(_)
            | Value::Map(_)
            | Value::Receiver(_) => 0,
        };
        Ok(shown_duration(i128::from(seconds) * NANOS).into())
    }),
    Function::new("durationRound", &[Param::Any], |_, a| round(a.any(0))),
];

/// A moment and the offset in which it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    /// Since 1970 in UTC.
    seconds: i64,
    pub(super) nanos: u32,
    /// Seconds east of UTC.
    pub(super) offset: i32,
}

/// A moment as calendars and clocks show it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) year_day: u32,
    /// From Sunday, which is zero.
    pub(super) weekday: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

pub(super) fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to a date: Howard Hinnant's algorithm, in which years begin in March.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = i64::from(month);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

impl Time {
    /// A moment so many seconds after the beginning of a day in UTC.
    pub(super) fn new(year: i64, month: u32, day: u32, seconds: i64, nanos: u32, offset: i32) -> Time {
        Time { seconds: days_from_civil(year, month, day) * DAY + seconds, nanos, offset }
    }

    pub(super) fn civil(&self) -> Civil {
        let local = self.seconds.saturating_add(i64::from(self.offset));
        let (days, clock) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Civil {
            year,
            month: small(month),
            day: small(day),
            year_day: small(days - days_from_civil(year, 1, 1) + 1),
            weekday: small((days + 4).rem_euclid(7)),
            hour: small(clock / 3_600),
            minute: small(clock / 60 % 60),
            second: small(clock % 60),
        }
    }

    /// As Go's `encoding/json` writes it.
    pub(super) fn rfc3339(&self) -> String {
        layout::format(self, "2006-01-02T15:04:05.999999999Z07:00")
    }

    fn later(&self, nanos: i128) -> Option<Time> {
        let total = i128::from(self.seconds) * NANOS + i128::from(self.nanos) + nanos;
        Some(Time {
            seconds: i64::try_from(total.div_euclid(NANOS)).ok()?,
            nanos: u32::try_from(total.rem_euclid(NANOS)).ok()?,
            offset: self.offset,
        })
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&layout::format(self, SHOWN))
    }
}

impl Receiver for Time {
    fn type_name(&self) -> &str {
        "time.Time"
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn call(&self, name: &str, args: &[Value], _: &mut Rendering) -> Option<Result<Value, CallError>> {
        let civil = self.civil();
        let int = |number: u32| Some(Ok(Value::Int(i64::from(number))));
        match name {
            "Year" => Some(Ok(Value::Int(civil.year))),
            "Month" => Some(Ok(layout::month_name(civil.month).into())),
            "Weekday" => Some(Ok(layout::weekday_name(civil.weekday).into())),
            "Day" => int(civil.day),
            "YearDay" => int(civil.year_day),
            "Hour" => int(civil.hour),
            "Minute" => int(civil.minute),
            "Second" => int(civil.second),
            "Nanosecond" => int(self.nanos),
            "Unix" => Some(Ok(Value::Int64(self.seconds))),
            "UTC" => Some(Ok(Value::receiver(Time { offset: 0, ..*self }))),
            "String" => Some(Ok(self.to_string().into())),
            "IsZero" => Some(Ok((*self == Time::new(1, 1, 1, 0, 0, self.offset)).into())),
            "Format" => Some(Args(args).text(0).map(|wanted| layout::format(self, wanted).into())),
            _ => None,
        }
    }

    fn plain(&self) -> Option<Value> {
        Some(self.to_string().into())
    }
}

/// A time, or seconds since 1970.
fn time_of(value: &Value) -> Result<Time, CallError> {
    match value {
        Value::Int(seconds) | Value::Int64(seconds) => Ok(Time { seconds: *seconds, nanos: 0, offset: 0 }),
        Value::Receiver(receiver) => {
            let any: &dyn Any = receiver.as_ref();
            any.downcast_ref::<Time>()
                .copied()
                .ok_or_else(|| CallError::Failed(format!("a {} is no time", receiver.type_name())))
        }
        Value::Nil | Value::Bool(_) | Value::Float(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            Err(CallError::Failed(format!(
                "a value of type {} is no time: pass seconds as int or int64, or a time of toDate",
                value.type_name()
            )))
        }
    }
}

fn show(value: &Value, format: &str, zone: &str) -> Outcome {
    if !matches!(zone, "UTC" | "Local" | "") {
        return Err(CallError::Failed(format!("the time zone {zone:?} is not known: dates are in UTC")));
    }
    Ok(layout::format(&Time { offset: 0, ..time_of(value)? }, format).into())
}

fn modify(_: &mut Rendering, args: Args<'_>) -> Outcome {
    let nanos = parse_duration(args.text(0)?)?;
    let moved = time_of(args.any(1))?.later(nanos);
    moved.map(Value::receiver).ok_or_else(|| CallError::failed("the date is out of range"))
}

/// Sprig leaves the time alone when it does not understand the duration.
fn modify_or_keep(rendering: &mut Rendering, args: Args<'_>) -> Outcome {
    match parse_duration(args.text(0)?) {
        Ok(_) => modify(rendering, args),
        Err(_) => Ok(Value::receiver(time_of(args.any(1))?)),
    }
}

/// Nanoseconds of `1h30m`, as Go's `time.ParseDuration`.
fn parse_duration(text: &str) -> Result<i128, CallError> {
    let invalid = || CallError::Failed(format!("time: invalid duration {text:?}"));
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits == "0" {
        return Ok(0);
    }
    let mut rest = digits;
    let mut total = 0_i128;
    while !rest.is_empty() || digits.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let (number, after) = rest.split_at_checked(end).ok_or_else(invalid)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end).ok_or_else(invalid)?;
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => NANOS,
            "m" => 60 * NANOS,
            "h" => 3_600 * NANOS,
            _ => return Err(invalid()),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(invalid());
        }
        let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        let fraction: String = fraction.chars().take(18).collect();
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).unwrap_or(18)).ok_or_else(invalid)?;
        let fraction: i128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| invalid())? };
        total += whole.checked_mul(unit).ok_or_else(invalid)? + fraction * unit / scale;
        if total > i128::from(i64::MAX) {
            return Err(invalid());
        }
        rest = after;
    }
    Ok(if text.starts_with('-') { -total } else { total })
}

/// Go's `Duration.String`: `1h2m3.5s`.
fn shown_duration(nanos: i128) -> String {
    // Sprig multiplies in 64 bits.
    #[expect(clippy::cast_possible_truncation, reason = "it wraps in Go too")]
    let nanos = nanos as i64;
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let fraction = |number: u64, unit: u64| {
        let width = unit.ilog10();
        let rest = format!("{:0width$}", number % unit, width = usize::try_from(width).unwrap_or_default());
        let rest = rest.trim_end_matches('0');
        if rest.is_empty() { (number / unit).to_string() } else { format!("{}.{rest}", number / unit) }
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", fraction(size, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", fraction(size, 1_000_000)),
        _ => {
            let minutes = size / 60_000_000_000;
            let seconds = fraction(size % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// A duration in its largest unit.
fn round(value: &Value) -> Outcome {
    let nanos = match value {
        Value::Text(text) => parse_duration(text).unwrap_or_default().unsigned_abs(),
        Value::Int64(nanos) => u128::from(nanos.unsigned_abs()),
        Value::Receiver(_) => return Err(CallError::failed("how long ago a time is needs the clock")),
        Value::Nil | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::List(_) | Value::Map(_) => 0,
    };
    let second = NANOS.unsigned_abs();
    let units = [(365 * 86_400, "y"), (30 * 86_400, "mo"), (86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let found = units.iter().map(|(seconds, unit)| (seconds * second, unit)).find(|(size, _)| nanos > *size);
    Ok(found.map_or("0s".to_owned(), |(size, unit)| format!("{}{unit}", nanos / size)).into())
}
