//! Go's quoting: literals read (`strconv.Unquote`) and written (`strconv.Quote`).

use std::fmt::Write;

/// The text of a literal in double quotes, quotes included.
pub(crate) fn unquote(literal: &str) -> Result<String, String> {
    let inside = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let mut rest = inside.ok_or("invalid syntax")?;
    let mut bytes = Vec::with_capacity(rest.len());
    while let Some(c) = rest.chars().next() {
        if c == '\\' {
            let (escape, after) = unescape(rest, '"')?;
            escape.push_to(&mut bytes);
            rest = after;
        } else {
            let (first, after) = rest.split_at(c.len_utf8());
            bytes.extend_from_slice(first.as_bytes());
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| "the escapes of a string must yield UTF-8".to_owned())
}

/// The text of a literal in backquotes. Go takes carriage returns out.
pub(crate) fn unquote_raw(literal: &str) -> String {
    literal.trim_start_matches('`').trim_end_matches('`').replace('\r', "")
}

/// The character of a literal in single quotes.
pub(crate) fn unquote_char(literal: &str) -> Result<u32, String> {
    let malformed = || format!("malformed character constant: {literal}");
    let rest = literal.strip_prefix('\'').ok_or_else(malformed)?;
    let first = rest.chars().next().ok_or_else(malformed)?;
    let (number, tail) = match first {
        '\'' => return Err(malformed()),
        '\\' => {
            let (escape, tail) = unescape(rest, '\'')?;
            (escape.number(), tail)
        }
        _ => (u32::from(first), rest.get(first.len_utf8()..).unwrap_or_default()),
    };
    if tail == "'" { Ok(number) } else { Err(malformed()) }
}

/// What an escape stands for.
enum Escape {
    Char(char),
    Byte(u8),
}

impl Escape {
    fn push_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Escape::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Escape::Byte(byte) => bytes.push(*byte),
        }
    }

    fn number(&self) -> u32 {
        match self {
            Escape::Char(c) => u32::from(*c),
            Escape::Byte(byte) => u32::from(*byte),
        }
    }
}

/// One escape sequence at the beginning of a text, and the rest.
fn unescape(text: &str, quote: char) -> Result<(Escape, &str), String> {
    let invalid = || "invalid escape sequence".to_owned();
    let mut chars = text.chars();
    chars.next();
    let c = chars.next().ok_or_else(invalid)?;
    let rest = chars.as_str();
    let simple = match c {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' => '\\',
        _ if c == quote => c,
        'x' => return byte(rest, 2, 16),
        '0'..='7' => return byte(text.get(1..).unwrap_or_default(), 3, 8),
        'u' | 'U' => {
            let length = if c == 'u' { 4 } else { 8 };
            let (number, rest) = digits(rest, length, 16).ok_or_else(invalid)?;
            return Ok((Escape::Char(char::from_u32(number).ok_or_else(invalid)?), rest));
        }
        _ => return Err(invalid()),
    };
    Ok((Escape::Char(simple), rest))
}

fn byte(text: &str, length: usize, radix: u32) -> Result<(Escape, &str), String> {
    let (number, rest) = digits(text, length, radix).ok_or("invalid escape sequence")?;
    let byte = u8::try_from(number).map_err(|_| "invalid escape sequence")?;
    Ok((Escape::Byte(byte), rest))
}

fn digits(text: &str, length: usize, radix: u32) -> Option<(u32, &str)> {
    let (digits, rest) = text.split_at_checked(length)?;
    let all = digits.chars().all(|c| c.is_digit(radix));
    Some((u32::from_str_radix(digits, radix).ok().filter(|_| all)?, rest))
}

/// A text in double quotes, as `%q` writes it. With `ascii` everything else is escaped, as `%+q`.
pub(crate) fn quote(text: &str, ascii: bool) -> String {
    quote_with(text, '"', ascii)
}

/// A character in single quotes.
pub(crate) fn quote_char(c: char, ascii: bool) -> String {
    quote_with(c.encode_utf8(&mut [0; 4]), '\'', ascii)
}

fn quote_with(text: &str, quote: char, ascii: bool) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        match c {
            _ if c == quote || c == '\\' => quoted.extend(['\\', c]),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            _ if c.is_ascii() || !ascii => {
                if is_print(c) {
                    quoted.push(c);
                } else {
                    escape_number(&mut quoted, c);
                }
            }
            _ => escape_number(&mut quoted, c),
        }
    }
    quoted.push(quote);
    quoted
}

fn escape_number(quoted: &mut String, c: char) {
    let number = u32::from(c);
    let written = match number {
        0..0x20 | 0x7f => write!(quoted, "\\x{number:02x}"),
        0x20..0x10000 => write!(quoted, "\\u{number:04x}"),
        _ => write!(quoted, "\\U{number:08x}"),
    };
    debug_assert!(written.is_ok(), "a String takes everything");
}

/// Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII blank.
pub(crate) fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // Debug escapes the same categories, and combining marks only where nothing is to combine with.
    let mut text = String::from("a");
    text.push(c);
    text.escape_debug().count() == 2
}

/// Go's `strconv.CanBackquote`.
pub(crate) fn can_backquote(text: &str) -> bool {
    text.chars().all(|c| c != '`' && c != '\u{feff}' && (c == '\t' || !c.is_ascii_control()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_as_go_reads_them() {
        for (literal, text) in [
            (r#""a\n\t\"\\""#, "a\n\t\"\\"),
            (r#""\x41\101\u00e9\U0001F600""#, "AAé😀"),
            (r#""\xc3\xa9""#, "é"),
        ] {
            assert_eq!(unquote(literal).as_deref(), Ok(text));
        }
        for wrong in
            [r#""\'""#, r#""\q""#, r#""\x4""#, r#""\400""#, r#""\ud800""#, r#""\xff""#, r#""\u+041""#]
        {
            assert!(unquote(wrong).is_err(), "{wrong}");
        }
        assert_eq!(unquote_raw("`a\\n\r\n`"), "a\\n\n");
        assert_eq!(unquote_char(r"'\''"), Ok(39));
        assert_eq!(unquote_char("'é'"), Ok(0xe9));
        assert!(unquote_char("'ab'").is_err() && unquote_char("''").is_err());
    }

    #[test]
    fn text_is_quoted_as_go_quotes_it() {
        assert_eq!(
            quote("a\"\\\n\x01\u{7f}é\u{a0}\u{301}\u{e000}\u{10ffff}", false),
            "\"a\\\"\\\\\\n\\x01\\x7fé\\u00a0\u{301}\\ue000\\U0010ffff\""
        );
        assert_eq!(quote("é'", true), "\"\\u00e9'\"");
        assert_eq!(quote_char('\'', false), "'\\''");
    }
}
