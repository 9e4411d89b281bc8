//! Go's time layouts: a reference time, of which each piece stands for a field.

use super::dates::{Civil, Time, days_in_month};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A field of a layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    LongYear,
    Month { zero: bool },
    MonthName { long: bool },
    Weekday { long: bool },
    Day { pad: Option<char> },
    YearDay { pad: char },
    Hour,
    Hour12 { zero: bool },
    Minute { zero: bool },
    Second { zero: bool },
    Half { upper: bool },
    Zone,
    Offset { utc_is_z: bool, colon: bool, minutes: bool, seconds: bool },
    Fraction { digits: usize, trims: bool, mark: char },
}

/// Spellings of fields, longer ones before those that they begin with.
const FIELDS: [(&str, Field); 33] = [
    ("January", Field::MonthName { long: true }),
    ("Jan", Field::MonthName { long: false }),
    ("Monday", Field::Weekday { long: true }),
    ("Mon", Field::Weekday { long: false }),
    ("MST", Field::Zone),
    ("01", Field::Month { zero: true }),
    ("002", Field::YearDay { pad: '0' }),
    ("02", Field::Day { pad: Some('0') }),
    ("03", Field::Hour12 { zero: true }),
    ("04", Field::Minute { zero: true }),
    ("05", Field::Second { zero: true }),
    ("06", Field::Year),
    ("15", Field::Hour),
    ("1", Field::Month { zero: false }),
    ("2006", Field::LongYear),
    ("2", Field::Day { pad: None }),
    ("__2", Field::YearDay { pad: ' ' }),
    ("_2", Field::Day { pad: Some(' ') }),
    ("3", Field::Hour12 { zero: false }),
    ("4", Field::Minute { zero: false }),
    ("5", Field::Second { zero: false }),
    ("PM", Field::Half { upper: true }),
    ("pm", Field::Half { upper: false }),
    ("-070000", offset(false, false, true, true)),
    ("-07:00:00", offset(false, true, true, true)),
    ("-0700", offset(false, false, true, false)),
    ("-07:00", offset(false, true, true, false)),
    ("-07", offset(false, false, false, false)),
    ("Z070000", offset(true, false, true, true)),
    ("Z07:00:00", offset(true, true, true, true)),
    ("Z0700", offset(true, false, true, false)),
    ("Z07:00", offset(true, true, true, false)),
    ("Z07", offset(true, false, false, false)),
];

const fn offset(utc_is_z: bool, colon: bool, minutes: bool, seconds: bool) -> Field {
    Field::Offset { utc_is_z, colon, minutes, seconds }
}

/// The text before the next field, the field, and the rest.
fn next(layout: &str) -> (&str, Option<Field>, &str) {
    for (at, c) in layout.char_indices() {
        let rest = layout.get(at..).unwrap_or_default();
        let before = layout.get(..at).unwrap_or_default();
        if rest.starts_with("_2006") {
            // An underscore, and then the year.
            let year = layout.get(at + 1..).unwrap_or_default();
            return (
                layout.get(..=at).unwrap_or_default(),
                Some(Field::LongYear),
                year.get(4..).unwrap_or_default(),
            );
        }
        if matches!(c, '.' | ',') {
            if let Some((field, length)) = fraction(rest) {
                return (before, Some(field), rest.get(length..).unwrap_or_default());
            }
            continue;
        }
        for (spelling, field) in FIELDS {
            let Some(after) = rest.strip_prefix(spelling) else { continue };
            let is_short_name = spelling == "Jan" || spelling == "Mon";
            if is_short_name && after.starts_with(|c: char| c.is_ascii_lowercase()) {
                continue;
            }
            return (before, Some(field), after);
        }
    }
    (layout, None, "")
}

/// `.000` or `.999`, when no other digit follows.
fn fraction(rest: &str) -> Option<(Field, usize)> {
    let mut chars = rest.chars();
    let mark = chars.next()?;
    let digit = chars.next().filter(|c| matches!(c, '0' | '9'))?;
    let digits = rest.chars().skip(1).take_while(|c| *c == digit).count();
    let ends = !rest.chars().nth(digits + 1).is_some_and(|c| c.is_ascii_digit());
    ends.then_some((Field::Fraction { digits, trims: digit == '9', mark }, digits + 1))
}

fn half_of(hour: u32) -> u32 {
    (hour + 11) % 12 + 1
}

/// A time as a layout shows it.
pub(super) fn format(time: &Time, layout: &str) -> String {
    let civil = time.civil();
    let mut out = String::new();
    let mut rest = layout;
    loop {
        let (before, field, after) = next(rest);
        out.push_str(before);
        let Some(field) = field else { return out };
        out.push_str(&shown(time, &civil, field));
        rest = after;
    }
}

fn name(names: &[&'static str], index: u32, long: bool) -> String {
    let name = usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or_default();
    if long { name.to_owned() } else { name.chars().take(3).collect() }
}

pub(super) fn month_name(month: u32) -> String {
    name(&MONTHS, month.saturating_sub(1), true)
}

pub(super) fn weekday_name(weekday: u32) -> String {
    name(&WEEKDAYS, weekday, true)
}

fn shown(time: &Time, civil: &Civil, field: Field) -> String {
    let number = |number: u32, zero: bool| if zero { format!("{number:02}") } else { number.to_string() };
    match field {
        Field::Year => format!("{:02}", civil.year.unsigned_abs() % 100),
        Field::LongYear if civil.year < 0 => format!("-{:04}", civil.year.unsigned_abs()),
        Field::LongYear => format!("{:04}", civil.year),
        Field::Month { zero } => number(civil.month, zero),
        Field::MonthName { long } => name(&MONTHS, civil.month.saturating_sub(1), long),
        Field::Weekday { long } => name(&WEEKDAYS, civil.weekday, long),
        Field::Day { pad: Some(' ') } => format!("{:2}", civil.day),
        Field::Day { pad } => number(civil.day, pad.is_some()),
        Field::YearDay { pad: ' ' } => format!("{:3}", civil.year_day),
        Field::YearDay { .. } => format!("{:03}", civil.year_day),
        Field::Hour => number(civil.hour, true),
        Field::Hour12 { zero } => number(half_of(civil.hour), zero),
        Field::Minute { zero } => number(civil.minute, zero),
        Field::Second { zero } => number(civil.second, zero),
        Field::Half { upper } => {
            let half = if civil.hour >= 12 { "PM" } else { "AM" };
            if upper { half.to_owned() } else { half.to_lowercase() }
        }
        Field::Zone if time.offset == 0 => "UTC".to_owned(),
        Field::Zone => zone(time.offset, false, true, false),
        Field::Offset { utc_is_z: true, .. } if time.offset == 0 => "Z".to_owned(),
        Field::Offset { colon, minutes, seconds, .. } => zone(time.offset, colon, minutes, seconds),
        Field::Fraction { digits, trims, mark } => {
            let nanos = format!("{:09}", time.nanos);
            let digits: String = nanos.chars().take(digits).collect();
            let digits = if trims { digits.trim_end_matches('0') } else { &digits };
            if digits.is_empty() { String::new() } else { format!("{mark}{digits}") }
        }
    }
}

fn zone(offset: i32, colon: bool, minutes: bool, seconds: bool) -> String {
    // Go rounds to minutes first, so that half a minute west has no sign.
    let sign = if offset / 60 < 0 { '-' } else { '+' };
    let size = offset.unsigned_abs();
    let mut text = format!("{sign}{:02}", size / 3_600);
    let colon = if colon { ":" } else { "" };
    if minutes {
        text.push_str(&format!("{colon}{:02}", size / 60 % 60));
    }
    if seconds {
        text.push_str(&format!("{colon}{:02}", size % 60));
    }
    text
}

/// What a text says, field by field.
#[derive(Debug, Default)]
struct Read {
    year: i64,
    month: Option<u32>,
    day: Option<u32>,
    year_day: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    afternoon: Option<bool>,
    offset: i32,
}

/// Reads a time by a layout, in UTC where the text names no offset.
pub(super) fn parse(layout: &str, text: &str) -> Result<Time, String> {
    let wrong = || format!("parsing time {text:?} as {layout:?}: cannot parse it");
    let mut read = Read::default();
    let mut value = text;
    let mut rest = layout;
    loop {
        let (before, field, after) = next(rest);
        value = skip(value, before).ok_or_else(wrong)?;
        let Some(field) = field else { break };
        rest = after;
        value = read.field(field, value, rest).ok_or_else(wrong)?;
    }
    if !value.is_empty() {
        return Err(format!("parsing time {text:?}: extra text: {value:?}"));
    }
    read.time().ok_or_else(|| format!("parsing time {text:?}: out of range"))
}

/// Takes a prefix off, in which any run of blanks stands for any other.
fn skip<'t>(mut value: &'t str, mut prefix: &str) -> Option<&'t str> {
    while let Some(c) = prefix.chars().next() {
        if c == ' ' {
            if !value.is_empty() && !value.starts_with(' ') {
                return None;
            }
            prefix = prefix.trim_start_matches(' ');
            value = value.trim_start_matches(' ');
            continue;
        }
        value = value.strip_prefix(c)?;
        prefix = prefix.get(c.len_utf8()..).unwrap_or_default();
    }
    Some(value)
}

/// A number of one digit or so many, of exactly so many when it is fixed.
fn digits(value: &str, most: usize, fixed: bool) -> Option<(u32, &str)> {
    let count = value.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count == 0 || (fixed && count < most) {
        return None;
    }
    let (number, rest) = value.split_at_checked(count)?;
    Some((number.parse().ok()?, rest))
}

fn lookup<'t>(names: &[&str], value: &'t str, long: bool) -> Option<(u32, &'t str)> {
    for (index, name) in (0_u32..).zip(names) {
        let length = if long { name.len() } else { 3 };
        let Some((begin, rest)) = value.split_at_checked(length) else { continue };
        if name.get(..length).is_some_and(|name| name.eq_ignore_ascii_case(begin)) {
            return Some((index, rest));
        }
    }
    None
}

fn nanos(digits: &str) -> Option<u32> {
    let digits: String = digits.chars().take(9).collect();
    format!("{digits:0<9}").parse().ok()
}

impl Read {
    /// Reads a field; answers what follows it. `layout` is what the layout has after it.
    fn field<'t>(&mut self, field: Field, value: &'t str, layout: &str) -> Option<&'t str> {
        let rest = match field {
            Field::Year => {
                let (year, rest) = digits(value, 2, true)?;
                self.year = i64::from(year) + if year >= 69 { 1_900 } else { 2_000 };
                rest
            }
            Field::LongYear => {
                let (year, rest) = digits(value, 4, true)?;
                self.year = i64::from(year);
                rest
            }
            Field::Month { zero } => {
                let (month, rest) = digits(value, 2, zero)?;
                self.month = Some(month).filter(|month| (1..=12).contains(month));
                self.month?;
                rest
            }
            Field::MonthName { long } => {
                let (month, rest) = lookup(&MONTHS, value, long)?;
                self.month = Some(month + 1);
                rest
            }
            Field::Weekday { long } => lookup(&WEEKDAYS, value, long)?.1,
            Field::Day { pad } => {
                let value = if pad == Some(' ') { value.strip_prefix(' ').unwrap_or(value) } else { value };
                let (day, rest) = digits(value, 2, pad == Some('0'))?;
                self.day = Some(day);
                rest
            }
            Field::YearDay { pad } => {
                let value = if pad == ' ' { value.trim_start_matches(' ') } else { value };
                let (day, rest) = digits(value, 3, pad == '0')?;
                self.year_day = Some(day);
                rest
            }
            Field::Hour => self.clock(value, false, 23, |read| &mut read.hour)?,
            Field::Hour12 { zero } => self.clock(value, zero, 12, |read| &mut read.hour)?,
            Field::Minute { zero } => self.clock(value, zero, 59, |read| &mut read.minute)?,
            Field::Second { zero } => {
                let rest = self.clock(value, zero, 59, |read| &mut read.second)?;
                self.stray_fraction(rest, layout)?
            }
            Field::Half { upper } => self.half(value, upper)?,
            Field::Zone => value.strip_prefix("UTC")?,
            Field::Offset { utc_is_z: true, .. } if value.starts_with('Z') => value.get(1..)?,
            Field::Offset { colon, minutes, seconds, .. } => self.offset(value, colon, minutes, seconds)?,
            Field::Fraction { digits, trims: false, mark: _ } => {
                let (fraction, rest) = value.split_at_checked(digits + 1)?;
                let fraction = fraction.strip_prefix(['.', ','])?;
                if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                self.nanos = nanos(fraction)?;
                rest
            }
            Field::Fraction { .. } => self.fraction(value, 9)?,
        };
        Some(rest)
    }

    fn clock<'t>(
        &mut self,
        value: &'t str,
        fixed: bool,
        most: u32,
        field: impl Fn(&mut Read) -> &mut u32,
    ) -> Option<&'t str> {
        let (number, rest) = digits(value, 2, fixed)?;
        *field(self) = Some(number).filter(|number| *number <= most)?;
        Some(rest)
    }

    /// A fraction that the text has and the layout has not.
    fn stray_fraction<'t>(&mut self, value: &'t str, layout: &str) -> Option<&'t str> {
        if matches!(next(layout).1, Some(Field::Fraction { .. })) {
            return Some(value);
        }
        self.fraction(value, usize::MAX)
    }

    fn fraction<'t>(&mut self, value: &'t str, most: usize) -> Option<&'t str> {
        let Some(rest) = value.strip_prefix(['.', ',']) else { return Some(value) };
        let count = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return Some(value);
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        self.nanos = nanos(digits)?;
        Some(rest)
    }

    fn half<'t>(&mut self, value: &'t str, upper: bool) -> Option<&'t str> {
        let (half, rest) = value.split_at_checked(2)?;
        let (before, after) = if upper { ("AM", "PM") } else { ("am", "pm") };
        self.afternoon = Some(match half {
            _ if half == before => false,
            _ if half == after => true,
            _ => return None,
        });
        Some(rest)
    }

    fn offset<'t>(&mut self, value: &'t str, colon: bool, minutes: bool, seconds: bool) -> Option<&'t str> {
        let west = value.starts_with('-');
        let mut rest = value.strip_prefix(['+', '-'])?;
        let mut total = 0_u32;
        for (unit, wanted) in [(3_600, true), (60, minutes), (1, seconds)] {
            if !wanted {
                continue;
            }
            if colon && unit < 3_600 {
                rest = rest.strip_prefix(':')?;
            }
            let (number, after) = digits(rest, 2, true)?;
            total += number * unit;
            rest = after;
        }
        let total = i32::try_from(total).ok()?;
        self.offset = if west { -total } else { total };
        Some(rest)
    }

    /// The time, when all fields agree.
    fn time(&self) -> Option<Time> {
        let hour = match self.afternoon {
            Some(true) if self.hour < 12 => self.hour + 12,
            Some(false) if self.hour == 12 => 0,
            Some(_) | None => self.hour,
        };
        let (month, day) = match self.year_day {
            Some(day) => self.of_year_day(day)?,
            None => (self.month.unwrap_or(1), self.day.unwrap_or(1)),
        };
        if day < 1 || day > days_in_month(self.year, month) {
            return None;
        }
        let seconds = i64::from(hour * 3_600 + self.minute * 60 + self.second) - i64::from(self.offset);
        Some(Time::new(self.year, month, day, seconds, self.nanos, self.offset))
    }

    fn of_year_day(&self, year_day: u32) -> Option<(u32, u32)> {
        let (mut month, mut day) = (1, year_day);
        while month < 12 && day > days_in_month(self.year, month) {
            day -= days_in_month(self.year, month);
            month += 1;
        }
        let agrees =
            self.month.is_none_or(|known| known == month) && self.day.is_none_or(|known| known == day);
        (agrees && day >= 1).then_some((month, day))
    }
}
