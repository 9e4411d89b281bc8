//! Number literals, and how Go writes floats.

use crate::lex::Kind;
use crate::quote;

/// A number literal, in every type that it can have exactly.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Number {
    pub(crate) text: String,
    pub(crate) int: Option<i64>,
    pub(crate) float: f64,
    /// Whether it is a float where nothing says which type is wanted.
    pub(crate) is_float: bool,
}

impl Number {
    /// Reads a literal.
    pub(crate) fn parse(kind: Kind, text: &str) -> Result<Number, String> {
        if kind == Kind::Char {
            let code = quote::unquote_char(text)?;
            let (int, float) = (Some(i64::from(code)), f64::from(code));
            return Ok(Number { text: text.to_owned(), int, float, is_float: false });
        }
        if kind == Kind::Complex || text.ends_with('i') {
            return Err(format!("complex numbers are not supported: {text}"));
        }
        let is_hex =
            text.trim_start_matches(['+', '-']).get(..2).is_some_and(|p| p.eq_ignore_ascii_case("0x"));
        let fraction = if is_hex { ".pP" } else { ".eEpP" };
        if !text.contains(|c| fraction.contains(c)) {
            return Number::whole(text);
        }
        let float = parse_float(text).ok_or_else(|| format!("illegal number syntax: {text:?}"))?;
        // As Go: a float without a fraction may stand where an int is wanted.
        #[expect(clippy::cast_possible_truncation, reason = "the next line sees whether something was lost")]
        let int = Some(float as i64);
        #[expect(clippy::cast_precision_loss, reason = "this is the comparison")]
        let int = int.filter(|int| *int as f64 == float && *int != i64::MAX);
        Ok(Number { text: text.to_owned(), int, float, is_float: true })
    }

    fn whole(text: &str) -> Result<Number, String> {
        let wide = parse_int(text).ok_or_else(|| match parse_float(text) {
            Some(_) => format!("integer overflow: {text:?}"),
            None => format!("illegal number syntax: {text:?}"),
        })?;
        #[expect(clippy::cast_precision_loss, reason = "Go promotes integers to floats so")]
        let float = wide as f64;
        Ok(Number { text: text.to_owned(), int: i64::try_from(wide).ok(), float, is_float: false })
    }
}

/// `strconv.ParseInt` with base 0, of 64 bits with or without a sign.
pub(crate) fn parse_int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = if let Some(digits) = lower.strip_prefix("0x") {
        (16, digits)
    } else if let Some(digits) = lower.strip_prefix("0o") {
        (8, digits)
    } else if let Some(digits) = lower.strip_prefix("0b") {
        (2, digits)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.get(1..)?)
    } else {
        (10, lower.as_str())
    };
    let digits = without_underscores(digits, radix != 10)?;
    let number = i128::from(u64::from_str_radix(&digits, radix).ok().filter(|_| !digits.starts_with('+'))?);
    let number = if negative { -number } else { number };
    (number >= i128::from(i64::MIN)).then_some(number)
}

/// Underscores may stand between digits, and after a base's prefix.
fn without_underscores(digits: &str, prefixed: bool) -> Option<String> {
    let wrong = digits.ends_with('_') || digits.contains("__") || (!prefixed && digits.starts_with('_'));
    (!wrong && !digits.is_empty()).then(|| digits.replace('_', ""))
}

/// `strconv.ParseFloat`.
pub(crate) fn parse_float(text: &str) -> Option<f64> {
    let lower = text.to_ascii_lowercase();
    let (sign, digits) = match lower.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, lower.strip_prefix('+').unwrap_or(&lower)),
    };
    if let Some(digits) = digits.strip_prefix("0x") {
        return parse_hex_float(digits).map(|float| sign * float);
    }
    let number = match digits {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => f64::NAN,
        // Rust knows more spellings of these; Go knows no more.
        _ if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => return None,
        _ => between_digits(digits)?.parse::<f64>().ok().filter(|number| number.is_finite())?,
    };
    Some(sign * number)
}

/// A text without its underscores, each of which must stand between two digits.
fn between_digits(text: &str) -> Option<String> {
    let is_digit =
        |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
    let mut underscores = text.match_indices('_').map(|(at, _)| at);
    underscores.all(|at| is_digit(at.checked_sub(1)) && is_digit(Some(at + 1))).then(|| text.replace('_', ""))
}

/// `1.8p3`: hexadecimal digits times a power of two, which is required.
fn parse_hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let mut exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > 16 {
        return None;
    }
    let digits = u64::from_str_radix(&format!("{whole}{fraction}"), 16).ok()?;
    exponent = exponent.checked_sub(i32::try_from(fraction.len()).ok()?.checked_mul(4)?)?;
    #[expect(clippy::cast_precision_loss, reason = "rounded to the nearest float, as it should be")]
    let number = digits as f64 * f64::from(exponent).exp2();
    number.is_finite().then_some(number)
}

/// Digits of a float, without its sign: `d.ddd` times ten to the power of the exponent.
struct Decimal {
    digits: Vec<u8>,
    exponent: i32,
}

/// Digits of a float beyond which there are only zeros. Rust formats no more than 65,535.
const MAX_DIGITS: usize = 1_100;

/// The digits of a finite float: the fewest that tell it apart, or so many after the point.
fn decimal(number: f64, precision: Option<usize>) -> Decimal {
    let written = match precision.map(|precision| precision.min(MAX_DIGITS)) {
        Some(precision) => format!("{:.precision$e}", number.abs()),
        None => format!("{:e}", number.abs()),
    };
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let mut digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    if let Some(precision) = precision {
        digits.resize(precision + 1, b'0');
    }
    Decimal { digits, exponent: exponent.parse().unwrap_or_default() }
}

/// How a float is written: Go's `e`, `f` and `g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notation {
    Exponent,
    Fixed,
    General,
}

/// `strconv.FormatFloat` without exponents of other shape: `1e+06`, `-0.5`, `NaN`, `+Inf`. No
/// precision is the shortest text that reads back as the same number.
pub(crate) fn format_float(number: f64, notation: Notation, precision: Option<usize>) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_infinite() {
        return format!("{}Inf", if sign.is_empty() { "+" } else { sign });
    }
    let text = match notation {
        Notation::Exponent => exponent(&decimal(number, precision)),
        Notation::Fixed => match precision {
            Some(precision) => {
                let exact = precision.min(MAX_DIGITS);
                format!("{:.exact$}{}", number.abs(), "0".repeat(precision - exact))
            }
            None => format!("{}", number.abs()),
        },
        Notation::General => general(number, precision),
    };
    format!("{sign}{text}")
}

fn exponent(decimal: &Decimal) -> String {
    let mut text = String::new();
    for (index, digit) in decimal.digits.iter().enumerate() {
        if index == 1 {
            text.push('.');
        }
        text.push(char::from(*digit));
    }
    let sign = if decimal.exponent < 0 { '-' } else { '+' };
    format!("{text}e{sign}{:02}", decimal.exponent.abs())
}

fn general(number: f64, precision: Option<usize>) -> String {
    let mut digits = decimal(number, precision.map(|precision| precision.max(1) - 1));
    while digits.digits.len() > 1 && digits.digits.last() == Some(&b'0') {
        digits.digits.pop();
    }
    let length = i32::try_from(digits.digits.len()).unwrap_or(i32::MAX);
    let limit = match precision {
        // The shortest form switches at a million.
        None => 6,
        Some(precision) => {
            let precision = i32::try_from(precision.max(1)).unwrap_or(i32::MAX);
            if precision > length && length > digits.exponent { length } else { precision }
        }
    };
    if digits.exponent < -4 || digits.exponent >= limit {
        return exponent(&digits);
    }
    let places = usize::try_from((length - 1 - digits.exponent).max(0)).unwrap_or_default();
    let all: String = digits.digits.iter().map(|digit| char::from(*digit)).collect();
    match usize::try_from(digits.exponent) {
        Err(_) => {
            let zeros = usize::try_from(-digits.exponent - 1).unwrap_or_default();
            format!("0.{}{all}", "0".repeat(zeros))
        }
        Ok(exponent) => {
            let padded = format!("{all:0<width$}", width = exponent + 1);
            let (whole, fraction) = padded.split_at_checked(exponent + 1).unwrap_or((&padded, ""));
            if places == 0 { whole.to_owned() } else { format!("{whole}.{fraction}") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_have_the_types_of_go() {
        let number = |text: &str| Number::parse(Kind::Number, text);
        assert_eq!(number("0x1F").unwrap().int, Some(31));
        assert_eq!(number("017").unwrap().int, Some(15));
        assert_eq!(number("0b1_0").unwrap().int, Some(2));
        assert_eq!(number("1_000").unwrap().int, Some(1_000));
        assert_eq!(number("-9223372036854775808").unwrap().int, Some(i64::MIN));
        assert_eq!(number("9223372036854775808").unwrap().int, None);
        assert_eq!((number("1e3").unwrap().int, number("1e3").unwrap().is_float), (Some(1_000), true));
        assert_eq!(number("1.5").unwrap().int, None);
        assert_eq!(number("0x1.8p3").unwrap().float, 12.0);
        for wrong in ["089", "1__0", "99999999999999999999", "1e", "1e999", ".", "0x", "3i", "+"] {
            assert!(number(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (3.0, "3"),
            (0.1, "0.1"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (123_456.789, "123456.789"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e100, "1e+100"),
            (-2.5e-7, "-2.5e-07"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(format_float(number, Notation::General, None), text);
        }
        assert_eq!(format_float(2.5, Notation::Fixed, Some(0)), "2");
        assert_eq!(format_float(2.71912, Notation::Fixed, Some(2)), "2.72");
        assert_eq!(format_float(314.159, Notation::Exponent, Some(2)), "3.14e+02");
        assert_eq!(format_float(314.159, Notation::General, Some(2)), "3.1e+02");
        assert_eq!(format_float(100.0, Notation::General, Some(3)), "100");
        assert_eq!(format_float(0.5, Notation::General, Some(3)), "0.5");
    }
}
