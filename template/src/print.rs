//! Values as text: the `%v` of Go's fmt and every other verb, with flags, width and precision.

use crate::number::{Notation, format_float};
use crate::quote;
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::{MAX_DEPTH, Value};
use std::fmt::Write;

/// Flags of a verb: `%+-# 012.3v`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Flags {
    pub(crate) plus: bool,
    pub(crate) minus: bool,
    pub(crate) sharp: bool,
    pub(crate) space: bool,
    pub(crate) zero: bool,
    /// `%#v`: as Go writes a literal.
    pub(crate) literal: bool,
    pub(crate) width: Option<usize>,
    pub(crate) precision: Option<usize>,
}

/// Writes values into one text, within the limits of a rendering.
pub(crate) struct Printer<'r> {
    rendering: &'r mut Rendering,
    pub(crate) out: String,
    pub(crate) flags: Flags,
}

/// `%v` of a value.
pub(crate) fn text_of(rendering: &mut Rendering, value: &Value) -> Result<String, CallError> {
    if let Value::Text(text) = value {
        return Ok(text.as_ref().to_owned());
    }
    let mut printer = Printer::new(rendering);
    printer.value(value, 'v', 0)?;
    Ok(printer.out)
}

/// Go's `fmt.Sprint`: a blank between two values that are no text.
pub(crate) fn print(rendering: &mut Rendering, values: &[Value]) -> Result<String, CallError> {
    let mut printer = Printer::new(rendering);
    let mut after_text = true;
    for (index, value) in values.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_));
        if index > 0 && !is_text && !after_text {
            printer.push(" ")?;
        }
        printer.value(value, 'v', 0)?;
        after_text = is_text;
    }
    Ok(printer.out)
}

/// Go's `fmt.Sprintln`: a blank between any two values, and a line's end.
pub(crate) fn print_line(rendering: &mut Rendering, values: &[Value]) -> Result<String, CallError> {
    let mut printer = Printer::new(rendering);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            printer.push(" ")?;
        }
        printer.value(value, 'v', 0)?;
    }
    printer.push("\n")?;
    Ok(printer.out)
}

impl<'r> Printer<'r> {
    pub(crate) fn new(rendering: &'r mut Rendering) -> Printer<'r> {
        Printer { rendering, out: String::new(), flags: Flags::default() }
    }

    /// Appends text as it is.
    pub(crate) fn push(&mut self, text: &str) -> Result<(), CallError> {
        self.rendering.work_on_text(text.len())?;
        self.rendering.check_length(self.out.len().saturating_add(text.len()))?;
        self.out.push_str(text);
        Ok(())
    }

    /// Appends text, padded to the width.
    fn pad(&mut self, text: &str) -> Result<(), CallError> {
        let missing = self.flags.width.unwrap_or_default().saturating_sub(text.chars().count());
        if missing == 0 {
            return self.push(text);
        }
        self.rendering.check_length(self.out.len().saturating_add(missing))?;
        let padding = if self.flags.zero { "0" } else { " " }.repeat(missing);
        if self.flags.minus {
            self.push(text)?;
            return self.push(&padding);
        }
        self.push(&padding)?;
        self.push(text)
    }

    /// Writes a value by a verb. `depth` tells elements from arguments.
    pub(crate) fn value(&mut self, value: &Value, verb: char, depth: usize) -> Result<(), CallError> {
        self.rendering.work(1)?;
        if depth > MAX_DEPTH {
            return Err(CallError::Limit(format!("lists and maps are nested more than {MAX_DEPTH} deep")));
        }
        match (verb, value) {
            ('T', _) if depth == 0 => {
                let name = value.type_name().to_owned();
                self.string(&name, 's', value)
            }
            (_, Value::Nil) => self.nil(verb, depth),
            // Go knows these verbs, but not for a template's values.
            ('p' | 'w', _) => self.bad_verb(verb, value),
            (_, Value::Bool(truth)) => match verb {
                't' | 'v' => self.pad(if *truth { "true" } else { "false" }),
                _ => self.bad_verb(verb, value),
            },
            (_, Value::Int(number) | Value::Int64(number)) => self.int(*number, verb, value),
            (_, Value::Float(number)) => self.float(*number, verb, value),
            (_, Value::Text(text)) => self.string(text, verb, value),
            (_, Value::List(list)) => {
                self.push(if self.flags.literal { "[]interface {}{" } else { "[" })?;
                for (index, item) in list.iter().enumerate() {
                    if index > 0 {
                        self.push(if self.flags.literal { ", " } else { " " })?;
                    }
                    self.value(item, verb, depth + 1)?;
                }
                self.push(if self.flags.literal { "}" } else { "]" })
            }
            (_, Value::Map(map)) => {
                self.push(if self.flags.literal { "map[string]interface {}{" } else { "map[" })?;
                for (index, (key, item)) in map.entries().into_iter().enumerate() {
                    if index > 0 {
                        self.push(if self.flags.literal { ", " } else { " " })?;
                    }
                    self.value(&Value::Text(key), verb, depth + 1)?;
                    self.push(":")?;
                    self.value(&item, verb, depth + 1)?;
                }
                self.push(if self.flags.literal { "}" } else { "]" })
            }
            (_, Value::Receiver(receiver)) => match receiver.plain() {
                Some(plain) => self.value(&plain, verb, depth + 1),
                None => {
                    Err(CallError::Failed(format!("a {} cannot be printed as a whole", receiver.type_name())))
                }
            },
        }
    }

    fn nil(&mut self, verb: char, depth: usize) -> Result<(), CallError> {
        match verb {
            _ if depth > 0 => self.push(if self.flags.literal { "interface {}(nil)" } else { "<nil>" }),
            'v' => self.pad("<nil>"),
            _ => self.bad_verb(verb, &Value::Nil),
        }
    }

    /// `%!d(string=text)`: what a verb says of a value that it is not for.
    fn bad_verb(&mut self, verb: char, value: &Value) -> Result<(), CallError> {
        self.push(&format!("%!{verb}("))?;
        if matches!(value, Value::Nil) {
            self.push("<nil>")?;
        } else {
            self.push(&format!("{}=", value.type_name()))?;
            self.value(value, 'v', 0)?;
        }
        self.push(")")
    }

    fn string(&mut self, text: &str, verb: char, value: &Value) -> Result<(), CallError> {
        let cut: String = match self.flags.precision {
            Some(precision) if verb != 'x' && verb != 'X' => text.chars().take(precision).collect(),
            _ => text.to_owned(),
        };
        match verb {
            'v' if self.flags.literal => self.quoted(&cut),
            'v' | 's' => self.pad(&cut),
            'q' => self.quoted(&cut),
            'x' | 'X' => {
                let hex = self.hex_of(text.as_bytes(), verb == 'X');
                self.pad(&hex)
            }
            _ => self.bad_verb(verb, value),
        }
    }

    fn quoted(&mut self, text: &str) -> Result<(), CallError> {
        let quoted = if self.flags.sharp && quote::can_backquote(text) {
            format!("`{text}`")
        } else {
            quote::quote(text, self.flags.plus)
        };
        self.pad(&quoted)
    }

    fn hex_of(&self, bytes: &[u8], upper: bool) -> String {
        let bytes = bytes.get(..self.flags.precision.unwrap_or(bytes.len())).unwrap_or(bytes);
        let mut hex = String::with_capacity(bytes.len() * 2);
        let prefix = if upper { "0X" } else { "0x" };
        for (index, byte) in bytes.iter().enumerate() {
            if self.flags.space && index > 0 {
                hex.push(' ');
            }
            if self.flags.sharp && (self.flags.space || index == 0) {
                hex.push_str(prefix);
            }
            let written = if upper { write!(hex, "{byte:02X}") } else { write!(hex, "{byte:02x}") };
            debug_assert!(written.is_ok(), "a String takes everything");
        }
        hex
    }

    fn int(&mut self, number: i64, verb: char, value: &Value) -> Result<(), CallError> {
        let magnitude = number.unsigned_abs();
        let (prefix, digits) = match verb {
            'v' | 'd' => ("", magnitude.to_string()),
            'b' => ("0b", format!("{magnitude:b}")),
            'o' => ("0", format!("{magnitude:o}")),
            'O' => ("0o", format!("{magnitude:o}")),
            'x' => ("0x", format!("{magnitude:x}")),
            'X' => ("0X", format!("{magnitude:X}")),
            'c' | 'q' => {
                let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
                let text = if verb == 'c' { c.to_string() } else { quote::quote_char(c, self.flags.plus) };
                return self.pad(&text);
            }
            'U' => return self.code_point(number),
            _ => return self.bad_verb(verb, value),
        };
        self.padded_int(number, verb, prefix, digits)
    }

    fn padded_int(
        &mut self,
        number: i64,
        verb: char,
        prefix: &str,
        mut digits: String,
    ) -> Result<(), CallError> {
        let sign = match number {
            ..0 => "-",
            _ if self.flags.plus => "+",
            _ if self.flags.space => " ",
            _ => "",
        };
        let mut least = self.flags.precision;
        if least == Some(0) && number == 0 {
            // Nothing but padding, and that of blanks.
            let zero = std::mem::replace(&mut self.flags.zero, false);
            let padded = self.pad("");
            self.flags.zero = zero;
            return padded;
        }
        if least.is_none() && self.flags.zero && !self.flags.minus {
            least = self.flags.width.map(|width| width.saturating_sub(sign.len()));
        }
        if let Some(missing) = least.map(|least| least.saturating_sub(digits.len())) {
            self.rendering.check_length(missing)?;
            digits.insert_str(0, &"0".repeat(missing));
        }
        let prefix = match verb {
            'O' => prefix,
            'o' if self.flags.sharp && digits.starts_with('0') => "",
            'b' | 'o' | 'x' | 'X' if self.flags.sharp => prefix,
            _ => "",
        };
        let zero = std::mem::replace(&mut self.flags.zero, false);
        let padded = self.pad(&format!("{sign}{prefix}{digits}"));
        self.flags.zero = zero;
        padded
    }

    fn code_point(&mut self, number: i64) -> Result<(), CallError> {
        let least = self.flags.precision.unwrap_or_default().max(4);
        self.rendering.check_length(least)?;
        #[expect(clippy::cast_sign_loss, reason = "Go shows the bits of a negative number")]
        let digits = format!("{:X}", number as u64);
        let mut text = format!("U+{}{digits}", "0".repeat(least.saturating_sub(digits.len())));
        let c = u32::try_from(number).ok().and_then(char::from_u32).filter(|c| quote::is_print(*c));
        if let Some(c) = c.filter(|_| self.flags.sharp) {
            text.push_str(&format!(" '{c}'"));
        }
        let zero = std::mem::replace(&mut self.flags.zero, false);
        let padded = self.pad(&text);
        self.flags.zero = zero;
        padded
    }

    fn float(&mut self, number: f64, verb: char, value: &Value) -> Result<(), CallError> {
        let flags = self.flags;
        if let Some(precision) = flags.precision {
            self.rendering.check_length(precision)?;
        }
        let mut text = match verb {
            'v' | 'g' | 'G' => format_float(number, Notation::General, flags.precision),
            'e' | 'E' => format_float(number, Notation::Exponent, Some(flags.precision.unwrap_or(6))),
            'f' | 'F' => format_float(number, Notation::Fixed, Some(flags.precision.unwrap_or(6))),
            'b' => binary(number),
            'x' | 'X' => hexadecimal(number, flags.precision),
            _ => return self.bad_verb(verb, value),
        };
        if verb.is_ascii_uppercase() && number.is_finite() {
            text = text.to_ascii_uppercase();
        }
        if flags.sharp && verb != 'b' && number.is_finite() && !matches!(verb, 'x' | 'X') {
            text = with_point(&text, verb, flags.precision);
        }
        if !text.starts_with(['-', '+']) {
            text.insert(0, '+');
        }
        if flags.space && !flags.plus && text.starts_with('+') {
            text.replace_range(..1, " ");
        }
        let signed = flags.plus || !text.starts_with('+');
        // Zeros stand between the sign and the digits; what is no number is padded with blanks.
        if flags.zero && number.is_finite() && !flags.minus {
            if signed {
                if let Some(width) = flags.width.filter(|width| *width > text.len()) {
                    self.rendering.check_length(width)?;
                    text.insert_str(1, &"0".repeat(width - text.len()));
                }
                return self.push(&text);
            }
            return self.pad(text.get(1..).unwrap_or_default());
        }
        let shown = if signed { text.as_str() } else { text.get(1..).unwrap_or_default() };
        // As Go: infinity keeps its plus only where a sign is asked for.
        let zero = std::mem::replace(&mut self.flags.zero, false);
        let padded = self.pad(if number.is_infinite() && number > 0.0 && !flags.plus && !flags.space {
            "+Inf"
        } else {
            shown
        });
        self.flags.zero = zero;
        padded
    }
}

/// `%#g`: always a decimal point, and trailing zeros.
fn with_point(text: &str, verb: char, precision: Option<usize>) -> String {
    let at = text.find(['e', 'E']).unwrap_or(text.len());
    let (mantissa, tail) = text.split_at_checked(at).unwrap_or((text, ""));
    let mut mantissa = mantissa.to_owned();
    let has_point = mantissa.contains('.');
    if !has_point {
        mantissa.push('.');
    }
    if matches!(verb, 'v' | 'g' | 'G') {
        let wanted = precision.unwrap_or(6);
        let digits = mantissa.chars().filter(char::is_ascii_digit).skip_while(|c| *c == '0').count();
        let digits = if digits == 0 { 1 } else { digits };
        mantissa.push_str(&"0".repeat(wanted.saturating_sub(digits)));
    }
    format!("{mantissa}{tail}")
}

/// `%b` of a float: the mantissa as a whole number, times a power of two.
fn binary(number: f64) -> String {
    if !number.is_finite() {
        return format_float(number, Notation::General, None);
    }
    let (mantissa, exponent) = parts(number);
    let sign = if number.is_sign_negative() { "-" } else { "" };
    format!("{sign}{mantissa}p{}{}", if exponent < 0 { "-" } else { "+" }, exponent.abs())
}

/// A finite float's mantissa as a whole number, and its power of two.
fn parts(number: f64) -> (u64, i64) {
    let bits = number.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52) & 0x7ff);
    let exponent = i64::try_from(exponent).unwrap_or_default();
    if exponent == 0 { (fraction, -1_074) } else { (fraction | (1 << 52), exponent - 1_075) }
}

/// `%x` of a float: `-0x1.23p+20`.
fn hexadecimal(number: f64, precision: Option<usize>) -> String {
    if !number.is_finite() {
        return format_float(number, Notation::General, None);
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let (mut mantissa, mut exponent) = parts(number);
    if mantissa == 0 {
        exponent = 0;
    } else {
        let shift = mantissa.leading_zeros();
        mantissa <<= shift;
        exponent += 63 - i64::from(shift);
    }
    // The leading one is bit 63; fifteen hexadecimal digits follow it in sixty bits.
    if let Some(precision) = precision.filter(|precision| *precision < 15) {
        let cut = u32::try_from(63 - precision * 4).unwrap_or_default();
        let (kept, lost, half) = (mantissa >> cut, mantissa & ((1 << cut) - 1), 1_u64 << (cut - 1));
        let up = lost > half || (lost == half && kept & 1 == 1);
        let kept = kept + u64::from(up);
        if kept >> (precision * 4 + 1) > 0 {
            mantissa = 1 << 63;
            exponent += 1;
        } else {
            mantissa = kept << cut;
        }
    }
    let whole = mantissa >> 63;
    let mut digits = format!("{:016x}", mantissa << 1);
    match precision {
        None => digits.truncate(digits.trim_end_matches('0').len()),
        Some(precision) => {
            digits.truncate(precision);
            digits.push_str(&"0".repeat(precision.saturating_sub(digits.len())));
        }
    }
    let point = if digits.is_empty() { "" } else { "." };
    format!("{sign}0x{whole}{point}{digits}p{}{:02}", if exponent < 0 { "-" } else { "+" }, exponent.abs())
}
