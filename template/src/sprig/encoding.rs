//! Encodings: base 64, base 32 and JSON.

use super::json::{Style, write};
use crate::function::{Function, Param};
use crate::receiver::CallError;
use crate::render::Rendering;
use crate::value::Value;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use Param::{Any, Text};

pub(super) static FUNCTIONS: [Function; 8] = [
    Function::new("fromJson", &[Text], |r, a| match parse(r, a.text(0)?) {
        // Sprig takes what is no JSON for null.
        Err(CallError::Failed(_)) => Ok(Value::Nil),
        other => other,
    }),
    Function::new("mustFromJson", &[Text], |r, a| parse(r, a.text(0)?)),
    Function::new("toJson", &[Any], |r, a| lenient(write(r, a.any(0), Style::Compact))),
    Function::new("mustToJson", &[Any], |r, a| Ok(write(r, a.any(0), Style::Compact)?.into())),
    Function::new("toPrettyJson", &[Any], |r, a| lenient(write(r, a.any(0), Style::Pretty))),
    Function::new("mustToPrettyJson", &[Any], |r, a| Ok(write(r, a.any(0), Style::Pretty)?.into())),
    Function::new("toRawJson", &[Any], |r, a| Ok(write(r, a.any(0), Style::Raw)?.into())),
    Function::new("mustToRawJson", &[Any], |r, a| Ok(write(r, a.any(0), Style::Raw)?.into())),
];

fn parse(rendering: &mut Rendering, text: &str) -> Result<Value, CallError> {
    // An item takes two characters at least.
    rendering.work_on_items(text.len() / 2)?;
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => Ok(Value::from(json)),
        Err(error) => Err(CallError::Failed(format!("not JSON: {error}"))),
    }
}

/// What JSON cannot say is nothing, as sprig has it; limits stay limits.
fn lenient(written: Result<String, CallError>) -> Result<Value, CallError> {
    match written {
        Ok(text) => Ok(text.into()),
        Err(CallError::Failed(_)) => Ok("".into()),
        Err(error @ (CallError::Limit(_) | CallError::Inside(_))) => Err(error),
    }
}

pub(super) fn base64_encode(text: &str) -> String {
    STANDARD.encode(text)
}

/// Decoded text; sprig hands out the sentence of an error as if it were the text.
pub(super) fn base64_decode(text: &str) -> Result<Value, CallError> {
    let clean = text.replace(['\r', '\n'], "");
    match STANDARD.decode(&clean) {
        Ok(bytes) => decoded(bytes),
        Err(_) => Ok(format!(
            "illegal base64 data at input byte {}",
            illegal(text, |b| { b.is_ascii_alphanumeric() || b == b'+' || b == b'/' }, 4)
        )
        .into()),
    }
}

/// Our text is UTF-8; Go would go on with the bytes.
fn decoded(bytes: Vec<u8>) -> Result<Value, CallError> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => Err(CallError::failed("what was decoded is not UTF-8 text")),
    }
}

/// Where Go finds the fault: at the first character that is none, or where the last group begins.
fn illegal(text: &str, is_digit: fn(u8) -> bool, group: usize) -> usize {
    let bytes = text.as_bytes();
    let is_line_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let wrong = bytes.iter().position(|byte| !is_digit(*byte) && !is_line_end(byte));
    let Some(wrong) = wrong else { return bytes.len() / group * group };
    let before = bytes.iter().take(wrong).filter(|byte| !is_line_end(byte)).count();
    let ends = bytes.iter().skip(wrong + 1).all(is_line_end);
    // One padding character where there have to be two.
    if group == 4 && before % 4 == 2 && ends && bytes.get(wrong) == Some(&b'=') { bytes.len() } else { wrong }
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

pub(super) fn base32_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len().div_ceil(5) * 8);
    for chunk in text.as_bytes().chunks(5) {
        let bits =
            chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)) << (8 * (5 - chunk.len()));
        let used = (chunk.len() * 8).div_ceil(5);
        for place in 0..8 {
            let digit = usize::try_from(bits >> (35 - 5 * place) & 31).unwrap_or_default();
            let digit = BASE32.get(digit).filter(|_| place < used).map_or('=', |digit| char::from(*digit));
            encoded.push(digit);
        }
    }
    encoded
}

pub(super) fn base32_decode(text: &str) -> Result<Value, CallError> {
    let clean: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let mut bytes = Vec::with_capacity(clean.len() / 8 * 5);
    let mut groups = clean.chunks(8).peekable();
    while let Some(group) = groups.next() {
        let is_last = groups.peek().is_none();
        match base32_group(group, is_last) {
            Some(mut decoded) => bytes.append(&mut decoded),
            None => {
                let is_digit = |byte| BASE32.contains(&byte);
                return Ok(format!("illegal base32 data at input byte {}", illegal(text, is_digit, 8)).into());
            }
        }
    }
    decoded(bytes)
}

fn base32_group(group: &[u8], is_last: bool) -> Option<Vec<u8>> {
    let digits = group.iter().take_while(|byte| **byte != b'=').count();
    let padded = group.get(digits..)?.iter().all(|byte| *byte == b'=');
    let length = match digits {
        2 => 1,
        4 => 2,
        5 => 3,
        7 => 4,
        8 => 5,
        _ => return None,
    };
    if group.len() != 8 || !padded || (digits < 8 && !is_last) {
        return None;
    }
    let mut bits = 0_u64;
    for place in 0..8 {
        let digit = match group.get(place) {
            Some(byte) if place < digits => BASE32.iter().position(|known| known == byte)?,
            Some(_) | None => 0,
        };
        bits = bits << 5 | u64::try_from(digit).ok()?;
    }
    Some(bits.to_be_bytes().get(3..3 + length)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_goes_there_and_back() {
        for text in ["", "f", "fo", "foo", "foob", "fooba", "foobar"] {
            let decoded = base32_decode(&base32_encode(text)).unwrap();
            assert_eq!(decoded.as_text(), Some(text));
        }
        assert_eq!(base32_encode("foobar"), "MZXW6YTBOI======");
    }
}
