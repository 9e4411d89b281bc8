//! Go's `fmt.Sprintf`: formats, their arguments, and what it writes when they do not fit.

use crate::print::{Flags, Printer};
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::Value;

/// Largest width and precision that Go takes.
const MAX_WIDTH: usize = 1_000_000;

/// Formats values.
pub(crate) fn sprintf(
    rendering: &mut Rendering,
    format: &str,
    values: &[Value],
) -> Result<String, CallError> {
    let mut formatter = Formatter {
        printer: Printer::new(rendering),
        rest: format,
        values,
        at: 0,
        reordered: false,
        good_index: true,
        after_index: false,
    };
    formatter.run()?;
    Ok(formatter.printer.out)
}

struct Formatter<'a, 'r> {
    printer: Printer<'r>,
    rest: &'a str,
    values: &'a [Value],
    /// Index of the next value.
    at: usize,
    /// Whether the format said which value is next.
    reordered: bool,
    good_index: bool,
    /// Whether an index was just read.
    after_index: bool,
}

impl Formatter<'_, '_> {
    fn run(&mut self) -> Result<(), CallError> {
        while !self.rest.is_empty() {
            let at = self.rest.find('%').unwrap_or(self.rest.len());
            let (literal, rest) = self.rest.split_at_checked(at).unwrap_or((self.rest, ""));
            self.printer.push(literal)?;
            self.rest = rest;
            if self.rest.is_empty() {
                break;
            }
            self.skip(1);
            self.directive()?;
        }
        if !self.reordered && self.at < self.values.len() {
            self.extra()?;
        }
        Ok(())
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn starts(&self, c: char) -> bool {
        self.rest.starts_with(c)
    }

    /// One directive; its percent sign is past.
    fn directive(&mut self) -> Result<(), CallError> {
        self.printer.flags = Flags::default();
        self.good_index = true;
        self.after_index = false;
        self.flags();
        self.index();
        self.width()?;
        if self.starts('.') {
            self.skip(1);
            self.precision()?;
        }
        if !self.after_index {
            self.index();
        }
        let Some(verb) = self.rest.chars().next() else { return self.printer.push("%!(NOVERB)") };
        self.skip(verb.len_utf8());
        if verb == '%' {
            return self.printer.push("%");
        }
        if !self.good_index {
            return self.printer.push(&format!("%!{verb}(BADINDEX)"));
        }
        let Some(value) = self.values.get(self.at) else {
            return self.printer.push(&format!("%!{verb}(MISSING)"));
        };
        self.at += 1;
        let flags = &mut self.printer.flags;
        if verb == 'v' {
            flags.literal = std::mem::take(&mut flags.sharp);
            flags.plus = false;
        }
        self.printer.value(value, verb, 0)
    }

    fn flags(&mut self) {
        let flags = &mut self.printer.flags;
        let mut length = 0;
        for c in self.rest.chars() {
            match c {
                '#' => flags.sharp = true,
                '0' => flags.zero = !flags.minus,
                '+' => flags.plus = true,
                '-' => {
                    flags.minus = true;
                    flags.zero = false;
                }
                ' ' => flags.space = true,
                _ => break,
            }
            length += 1;
        }
        self.skip(length);
    }

    /// `[2]`: which value is next.
    fn index(&mut self) {
        self.after_index = false;
        if !self.starts('[') {
            return;
        }
        self.reordered = true;
        let Some(end) = self.rest.find(']') else {
            self.good_index = false;
            self.skip(1);
            return;
        };
        let index = self.rest.get(1..end).and_then(|digits| match number(digits) {
            (Some(index), "") => index.checked_sub(1),
            _ => None,
        });
        self.skip(end + 1);
        match index.filter(|index| *index < self.values.len()) {
            Some(index) => {
                self.at = index;
                self.after_index = true;
            }
            None => self.good_index = false,
        }
    }

    fn width(&mut self) -> Result<(), CallError> {
        if self.starts('*') {
            self.skip(1);
            let width = self.number_of_values();
            let flags = &mut self.printer.flags;
            match width {
                Some(width) => {
                    flags.width = Some(width.unsigned_abs());
                    if width < 0 {
                        flags.minus = true;
                        flags.zero = false;
                    }
                }
                None => self.printer.push("%!(BADWIDTH)")?,
            }
            self.after_index = false;
            return Ok(());
        }
        self.printer.flags.width = self.number();
        if self.after_index && self.printer.flags.width.is_some() {
            self.good_index = false;
        }
        Ok(())
    }

    fn precision(&mut self) -> Result<(), CallError> {
        if self.after_index {
            self.good_index = false;
        }
        self.index();
        if self.starts('*') {
            self.skip(1);
            match self.number_of_values() {
                Some(precision) => self.printer.flags.precision = usize::try_from(precision).ok(),
                None => self.printer.push("%!(BADPREC)")?,
            }
            self.after_index = false;
            return Ok(());
        }
        self.printer.flags.precision = Some(self.number().unwrap_or_default());
        Ok(())
    }

    /// A number of the format; the rest of the format is lost when it is too large.
    fn number(&mut self) -> Option<usize> {
        let (number, rest) = number(self.rest);
        self.rest = rest;
        number
    }

    /// A number that is the next value.
    fn number_of_values(&mut self) -> Option<isize> {
        let value = self.values.get(self.at)?;
        self.at += 1;
        let (Value::Int(number) | Value::Int64(number)) = value else { return None };
        let number = isize::try_from(*number).ok()?;
        (number.unsigned_abs() <= MAX_WIDTH).then_some(number)
    }

    /// What is said of values that no verb asked for.
    fn extra(&mut self) -> Result<(), CallError> {
        self.printer.flags = Flags::default();
        self.printer.push("%!(EXTRA ")?;
        for (index, value) in self.values.get(self.at..).unwrap_or_default().iter().enumerate() {
            if index > 0 {
                self.printer.push(", ")?;
            }
            if matches!(value, Value::Nil) {
                self.printer.push("<nil>")?;
            } else {
                self.printer.push(&format!("{}=", value.type_name()))?;
                self.printer.value(value, 'v', 0)?;
            }
        }
        self.printer.push(")")
    }
}

/// A number at the beginning of a text, and what follows: nothing when it is too large, as in Go,
/// which looks before it takes another digit.
fn number(text: &str) -> (Option<usize>, &str) {
    let mut number = None;
    let mut rest = text;
    while let Some(digit) = rest.chars().next().and_then(|c| c.to_digit(10)) {
        let before = number.unwrap_or_default();
        if before > MAX_WIDTH {
            return (None, "");
        }
        number = Some(before * 10 + usize::try_from(digit).unwrap_or_default());
        rest = rest.get(1..).unwrap_or_default();
    }
    (number, rest)
}
