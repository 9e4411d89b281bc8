//! Bootstrap codes and fingerprints: what a person reads off a console and types.
//!
//! RFC 8628's *user_code*: it selects a pending enrollment and proves nothing. The alphabet
//! holds one of each confusable pair and no vowels, so that no code spells a word
//! (`spec/security.md` 2.1).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The 23 characters a code is made of: 27.1 bits in six characters.
pub const ALPHABET: &[u8; 23] = b"BCDFGHJKMNPQRTVWXY23479";
/// Characters of a code, shown as three, dash, three.
pub const CODE_LEN: usize = 6;
/// Characters of a fingerprint, shown in groups of four: 54 bits.
pub const FINGERPRINT_LEN: usize = 12;
/// Longest text that is looked at as a code, in bytes.
pub const MAX_CODE_TEXT: usize = 16;
/// Longest text that is looked at as a fingerprint, in bytes.
pub const MAX_FINGERPRINT_TEXT: usize = 32;

/// Why a text is not a code. Answered without looking anything up, and never counted as a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// More than [`MAX_CODE_TEXT`] bytes.
    #[error("a bootstrap code has 6 characters, this has more than {MAX_CODE_TEXT}")]
    TooLong,
    /// Not six characters once dashes and spaces are dropped.
    #[error("a bootstrap code has 6 characters such as K7P-3XB, this has {0}")]
    Length(usize),
    /// A character that no code contains.
    #[error("a bootstrap code never contains {0:?}; it uses {alphabet}", alphabet = alphabet())]
    Character(char),
}

fn alphabet() -> &'static str {
    std::str::from_utf8(ALPHABET).unwrap_or_default()
}

/// A bootstrap code in its canonical six characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct BootstrapCode([u8; CODE_LEN]);

impl BootstrapCode {
    /// The code that `random` selects, or `None` when a byte would bias the choice (bytes of
    /// 253 and above are past the last whole multiple of 23): draw again.
    pub fn from_random(random: [u8; CODE_LEN]) -> Option<Self> {
        let mut code = [0; CODE_LEN];
        for (slot, byte) in code.iter_mut().zip(random) {
            *slot = alphabet_character(byte)?;
        }
        Some(Self(code))
    }

    /// The six characters without the dash.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The code as it is read aloud: `Kilo Seven Papa dash Three X-ray Bravo`.
    pub fn spoken(&self) -> String {
        let words: Vec<&str> = self.0.iter().map(|&c| spoken_word(c)).collect();
        let (first, second) = words.split_at(CODE_LEN / 2);
        format!("{} dash {}", first.join(" "), second.join(" "))
    }

    /// Every other code at Damerau-Levenshtein distance 1: the 132 substitutions and up to 5
    /// swaps of neighbours. (An inserted or missing character changes the length.)
    pub fn neighbours(&self) -> Vec<Self> {
        let mut near = Vec::with_capacity(137);
        for position in 0..CODE_LEN {
            for &character in ALPHABET {
                let mut code = *self;
                if let Some(slot) = code.0.get_mut(position) {
                    *slot = character;
                }
                near.push(code);
            }
            if position + 1 < CODE_LEN {
                let mut code = *self;
                code.0.swap(position, position + 1);
                near.push(code);
            }
        }
        near.sort_unstable();
        near.dedup();
        near.retain(|code| code != self);
        near
    }
}

/// Maps a random byte to a character without bias; `None` asks for another byte.
fn alphabet_character(byte: u8) -> Option<u8> {
    let byte = usize::from(byte);
    let fair = 256 - 256 % ALPHABET.len();
    (byte < fair).then(|| ALPHABET.get(byte % ALPHABET.len()).copied()).flatten()
}

fn spoken_word(character: u8) -> &'static str {
    match character {
        b'B' => "Bravo",
        b'C' => "Charlie",
        b'D' => "Delta",
        b'F' => "Foxtrot",
        b'G' => "Golf",
        b'H' => "Hotel",
        b'J' => "Juliett",
        b'K' => "Kilo",
        b'M' => "Mike",
        b'N' => "November",
        b'P' => "Papa",
        b'Q' => "Quebec",
        b'R' => "Romeo",
        b'T' => "Tango",
        b'V' => "Victor",
        b'W' => "Whiskey",
        b'X' => "X-ray",
        b'Y' => "Yankee",
        b'2' => "Two",
        b'3' => "Three",
        b'4' => "Four",
        b'7' => "Seven",
        b'9' => "Nine",
        _ => "?",
    }
}

/// Folds case, drops dashes and white space, and mends the four likely misreadings.
fn normalise(character: char) -> Option<char> {
    match character.to_ascii_uppercase() {
        '-' | '\u{2013}' => None,
        c if c.is_whitespace() => None,
        '8' => Some('B'),
        '6' => Some('G'),
        'Z' => Some('2'),
        'U' => Some('V'),
        c => Some(c),
    }
}

fn normalised_bytes(text: &str) -> Result<Vec<u8>, CodeError> {
    text.chars()
        .filter_map(normalise)
        .map(|c| match u8::try_from(c) {
            Ok(byte) if ALPHABET.contains(&byte) => Ok(byte),
            _ => Err(CodeError::Character(c)),
        })
        .collect()
}

impl FromStr for BootstrapCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > MAX_CODE_TEXT {
            return Err(CodeError::TooLong);
        }
        let bytes = normalised_bytes(text)?;
        let length = bytes.len();
        bytes.try_into().map(Self).map_err(|_| CodeError::Length(length))
    }
}

impl fmt::Display for BootstrapCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = self.as_str().split_at(CODE_LEN / 2);
        write!(f, "{first}-{second}")
    }
}

impl TryFrom<String> for BootstrapCode {
    type Error = CodeError;
    fn try_from(text: String) -> Result<Self, CodeError> {
        text.parse()
    }
}

impl From<BootstrapCode> for String {
    fn from(code: BootstrapCode) -> String {
        code.to_string()
    }
}

/// Why a text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint has 12 characters such as QM4T-9HXR-2VKD")]
pub struct FingerprintError;

/// What the operator compares between console and dialog: 54 bits of the machine's key and
/// the server's id (`spec/security.md` 2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(value_type = String))]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; FINGERPRINT_LEN]);

impl Fingerprint {
    /// The bytes whose SHA-256 makes the fingerprint: `"pair/v1" || thumbprint || server id`.
    pub fn preimage(key: &crate::ids::KeyThumbprint, server_id: &str) -> Vec<u8> {
        let mut bytes = b"pair/v1".to_vec();
        bytes.extend_from_slice(&key.0);
        bytes.extend_from_slice(server_id.as_bytes());
        bytes
    }

    /// The first twelve alphabet characters of a SHA-256 value, read as one big number in
    /// base 23 from the least significant digit of its first 128 bits: no byte is skipped, so
    /// every digest has a fingerprint.
    pub fn from_digest(digest: [u8; 32]) -> Self {
        let mut head = [0u8; 16];
        head.copy_from_slice(digest.first_chunk::<16>().unwrap_or(&[0; 16]));
        let mut number = u128::from_be_bytes(head);
        let base = 23u128;
        let mut characters = [0u8; FINGERPRINT_LEN];
        for slot in &mut characters {
            let digit = usize::try_from(number % base).unwrap_or_default();
            *slot = ALPHABET.get(digit).copied().unwrap_or(b'B');
            number /= base;
        }
        Self(characters)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        if text.len() > MAX_FINGERPRINT_TEXT {
            return Err(FingerprintError);
        }
        let bytes = normalised_bytes(text).map_err(|_| FingerprintError)?;
        bytes.try_into().map(Self).map_err(|_| FingerprintError)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.chunks(4).enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            f.write_str(std::str::from_utf8(group).unwrap_or_default())?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;
    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> String {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_people_type_is_understood() {
        let code: BootstrapCode = "K7P-3XB".parse().unwrap();
        for text in ["k7p3xb", " K7P 3XB ", "k7p-3x8", "K7P–3XB"] {
            assert_eq!(text.parse::<BootstrapCode>().unwrap(), code, "{text}");
        }
        assert_eq!(code.to_string(), "K7P-3XB");
        assert_eq!(code.spoken(), "Kilo Seven Papa dash Three X-ray Bravo");
        assert_eq!("zu6823".parse::<BootstrapCode>().unwrap().to_string(), "2VG-B23");
    }

    #[test]
    fn every_refusal_says_what_a_code_looks_like() {
        let told = |text: &str| text.parse::<BootstrapCode>().unwrap_err().to_string();
        assert_eq!(told("K7P"), "a bootstrap code has 6 characters such as K7P-3XB, this has 3");
        assert_eq!(told("K7P-3XO"), "a bootstrap code never contains 'O'; it uses BCDFGHJKMNPQRTVWXY23479");
        assert_eq!(told(&"K".repeat(17)), "a bootstrap code has 6 characters, this has more than 16");
    }

    #[test]
    fn neighbours_are_one_slip_away() {
        let code: BootstrapCode = "K7P3XB".parse().unwrap();
        let near = code.neighbours();
        assert_eq!(near.len(), 137);
        assert!(near.contains(&"K7P3XC".parse().unwrap()));
        assert!(near.contains(&"7KP3XB".parse().unwrap()));
        assert!(!near.contains(&code));
    }

    #[test]
    fn biased_bytes_are_drawn_again() {
        assert!(BootstrapCode::from_random([252, 0, 0, 0, 0, 0]).is_some());
        assert!(BootstrapCode::from_random([253, 0, 0, 0, 0, 0]).is_none());
    }

    proptest! {
        #[test]
        fn parsing_is_total(text in "\\PC{0,40}") {
            let _code = text.parse::<BootstrapCode>();
            let _fingerprint = text.parse::<Fingerprint>();
        }

        #[test]
        fn shown_and_typed_agree(random in proptest::array::uniform6(0u8..253), digest in proptest::array::uniform32(any::<u8>())) {
            let code = BootstrapCode::from_random(random).unwrap();
            prop_assert_eq!(code.to_string().to_lowercase().parse::<BootstrapCode>().unwrap(), code);
            let fingerprint = Fingerprint::from_digest(digest);
            prop_assert_eq!(fingerprint.to_string().parse::<Fingerprint>().unwrap(), fingerprint);
        }
    }
}
