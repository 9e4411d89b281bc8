//! The one-time boot nonce: what the server renders into the boot of a machine that it knows, so that
//! the machine keeps its identity when it comes up without its key (`spec/security.md` 5).
//!
//! It opens one machine's door once, within an hour and for the same hardware. It is a secret like a
//! bootstrap token.

use crate::token::{base64url, from_base64url};
use std::fmt;
use std::str::FromStr;

/// Length of a nonce as text, in characters: 128 bits as unpadded base64url.
pub const NONCE_CHARS: usize = 22;

/// A text that is no boot nonce: cut off, damaged or something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("boot nonce must have {NONCE_CHARS} characters of base64url: it was cut off or damaged")]
pub struct NonceShapeError;

/// A boot nonce. Debug never shows it, and its memory is overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct BootNonce([u8; 16]);

impl BootNonce {
    /// A nonce of these random bytes.
    pub const fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, of which the server keeps a digest.
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Its text, for the boot that it is rendered into and the request that uses it.
    pub fn reveal(&self) -> String {
        base64url(&self.0)
    }
}

impl Drop for BootNonce {
    fn drop(&mut self) {
        self.0.fill(0);
        // Whoever may look at the bytes needs them written: the compiler cannot leave it out.
        std::hint::black_box(&self.0);
    }
}

impl FromStr for BootNonce {
    type Err = NonceShapeError;

    fn from_str(text: &str) -> Result<Self, NonceShapeError> {
        let whole = Some(text).filter(|text| text.len() == NONCE_CHARS);
        let bytes = whole.and_then(from_base64url).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(NonceShapeError)
    }
}

impl fmt::Debug for BootNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BootNonce([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonce_has_one_spelling_and_is_never_shown() {
        let nonce = BootNonce::from_random(std::array::from_fn(|at| u8::try_from(at * 16).unwrap()));
        assert_eq!(nonce.reveal(), "ABAgMEBQYHCAkKCwwNDg8A");
        assert_eq!(nonce.reveal().parse(), Ok(nonce.clone()));
        assert_eq!(format!("{nonce:?}"), "BootNonce([redacted])");
        // The last character has two bits more than there are; only zeros are accepted there.
        for text in ["", "ABAgMEBQYHCAkKCwwNDg8", "ABAgMEBQYHCAkKCwwNDg8AA", "ABAgMEBQYHCAkKCwwNDg8B"] {
            assert_eq!(text.parse::<BootNonce>(), Err(NonceShapeError), "{text}");
        }
        assert_eq!("ABAgMEBQYHCAkKCwwNDg8+".parse::<BootNonce>(), Err(NonceShapeError));
        assert_eq!(
            NonceShapeError.to_string(),
            "boot nonce must have 22 characters of base64url: it was cut off or damaged"
        );
    }
}
