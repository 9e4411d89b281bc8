//! Digests (`sha256:...`) of what is streamed.

use ring::digest::{Context, SHA256, SHA512};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};
use std::io::{self, Read, Write};
use std::str::FromStr;
use thiserror::Error;

/// Longest digest, SHA-512's, in bytes.
const MAX_LEN: usize = 64;

/// What digests are made with: those that the image-spec registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Its name before the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => MAX_LEN,
        }
    }
}

/// A digest, written `sha256:` or `sha512:` and lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    /// Zeros behind the algorithm's length.
    bytes: [u8; MAX_LEN],
}

/// Why something is no digest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DigestError {
    /// Neither of the algorithms.
    #[error("a digest begins with `sha256:` or `sha512:`")]
    Algorithm,
    /// Something else than digits.
    #[error("a {} digest has {} lower-case hexadecimal digits", .0.name(), .0.length() * 2)]
    Digits(Algorithm),
}

impl Digest {
    /// The SHA-256 digest of bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(bytes);
        hasher.finish()
    }

    /// The SHA-256 digest that these bytes are.
    pub fn from_sha256(bytes: [u8; 32]) -> Self {
        let mut all = [0; MAX_LEN];
        for (to, from) in all.iter_mut().zip(bytes) {
            *to = from;
        }
        Self { algorithm: Algorithm::Sha256, bytes: all }
    }

    /// What it was made with.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at(self.algorithm.length()).0
    }

    /// Its hexadecimal digits, which are safe as the name of a file.
    pub fn hex(&self) -> String {
        self.as_bytes().iter().fold(String::new(), |mut text, byte| {
            text.push(digit(byte >> 4));
            text.push(digit(byte & 15));
            text
        })
    }
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, digits) = [Algorithm::Sha256, Algorithm::Sha512]
            .into_iter()
            .find_map(|a| Some((a, text.strip_prefix(a.name())?.strip_prefix(':')?)))
            .ok_or(DigestError::Algorithm)?;
        let wrong = DigestError::Digits(algorithm);
        if digits.len() != algorithm.length() * 2 {
            return Err(wrong);
        }
        let mut bytes = [0; MAX_LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            for &character in pair {
                let value = match character {
                    b'0'..=b'9' => character - b'0',
                    b'a'..=b'f' => character - b'a' + 10,
                    _ => return Err(wrong),
                };
                *byte = *byte << 4 | value;
            }
        }
        Ok(Self { algorithm, bytes })
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.name())?;
        f.write_char(':')?;
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Makes a digest of what it is given bit by bit.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: Context,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Hasher {
    /// One that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        let context = match algorithm {
            Algorithm::Sha256 => Context::new(&SHA256),
            Algorithm::Sha512 => Context::new(&SHA512),
        };
        Self { algorithm, context }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of all.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; MAX_LEN];
        for (to, from) in bytes.iter_mut().zip(self.context.finish().as_ref()) {
            *to = *from;
        }
        Digest { algorithm: self.algorithm, bytes }
    }
}

/// A reader or writer that makes a digest of what passes.
#[derive(Debug)]
pub struct Hashing<T> {
    inner: T,
    hasher: Hasher,
    length: u64,
}

impl<T> Hashing<T> {
    /// Nothing has passed yet.
    pub fn new(inner: T, algorithm: Algorithm) -> Self {
        Self { inner, hasher: Hasher::new(algorithm), length: 0 }
    }

    /// Bytes that have passed.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// What it was laid around, and the digest.
    pub fn finish(self) -> (T, Digest) {
        (self.inner, self.hasher.finish())
    }

    fn saw(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length = self.length.saturating_add(bytes.len() as u64);
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.saw(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.saw(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What came is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Mismatch {
    /// Other bytes.
    #[error("the digest is {found}, not {expected}: what was received is damaged or not what was asked for")]
    Digest {
        /// That of what came.
        found: Box<Digest>,
        /// The one asked for.
        expected: Box<Digest>,
    },
    /// Another length.
    #[error("{found} bytes or more were received instead of {expected}")]
    TooLong {
        /// How many came until it was noticed.
        found: u64,
        /// How many were announced.
        expected: u64,
    },
    /// The end came early.
    #[error("only {found} of {expected} bytes were received")]
    TooShort {
        /// How many came.
        found: u64,
        /// How many were announced.
        expected: u64,
    },
}

/// A reader that fails at its end, with [`Mismatch`] inside the error, when what it read has another digest or
/// length than announced.
///
/// Whoever reads from it has seen the last byte only when a read answered `Ok(0)`.
#[derive(Debug)]
pub struct Verifying<R> {
    inner: Hashing<R>,
    expected: Digest,
    size: Option<u64>,
    verified: bool,
}

impl<R: Read> Verifying<R> {
    /// Reads what shall have this digest and, where it is known, this size in bytes.
    pub fn new(inner: R, expected: Digest, size: Option<u64>) -> Self {
        Self { inner: Hashing::new(inner, expected.algorithm), expected, size, verified: false }
    }

    /// Whether the end came and digest and size were right.
    pub const fn verified(&self) -> bool {
        self.verified
    }

    /// Bytes read so far.
    pub const fn length(&self) -> u64 {
        self.inner.length()
    }

    fn judge(&mut self) -> Result<(), Mismatch> {
        let length = self.inner.length;
        if let Some(expected) = self.size.filter(|&size| length < size) {
            return Err(Mismatch::TooShort { found: length, expected });
        }
        let found = self.inner.hasher.clone().finish();
        if found != self.expected {
            return Err(Mismatch::Digest { found: Box::new(found), expected: Box::new(self.expected) });
        }
        self.verified = true;
        Ok(())
    }
}

impl<R: Read> Read for Verifying<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = self.inner.read(buffer)?;
        let found = self.inner.length;
        if let Some(expected) = self.size.filter(|&size| found > size) {
            return Err(invalid(Mismatch::TooLong { found, expected }));
        }
        if read == 0 && !self.verified {
            self.judge().map_err(invalid)?;
        }
        Ok(read)
    }
}

/// An input that is not what it must be, as an I/O error.
pub(crate) fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn read(bytes: &[u8], expected: Digest, size: Option<u64>) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let mut reader = Verifying::new(bytes, expected, size);
        reader.read_to_end(&mut out).map_err(|error| error.to_string())?;
        assert!(reader.verified());
        Ok(out)
    }

    #[test]
    fn digests_are_known_ones() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        assert!(hasher.finish().to_string().starts_with("sha512:ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let digits = EMPTY.strip_prefix("sha256:").unwrap();
        for text in
            ["", "sha256", "sha256:", "md5:00", digits, "sha256:E3", &EMPTY.to_uppercase(), "sha512:00"]
        {
            assert!(text.parse::<Digest>().is_err(), "{text}");
        }
        let long = format!("{EMPTY}00").parse::<Digest>().unwrap_err();
        assert_eq!(long.to_string(), "a sha256 digest has 64 lower-case hexadecimal digits");
        assert!(format!("sha512:{digits}").parse::<Digest>().is_err());
    }

    #[test]
    fn other_bytes_fail_at_the_end() {
        let expected = Digest::of(b"hello");
        assert_eq!(read(b"hello", expected, Some(5)).unwrap(), b"hello");
        assert!(read(b"hellO", expected, Some(5)).unwrap_err().contains("not sha256:2cf24dba"));
        assert_eq!(read(b"hell", expected, Some(5)).unwrap_err(), "only 4 of 5 bytes were received");
        assert!(read(b"hello!", expected, Some(5)).unwrap_err().contains("instead of 5"));
        assert!(read(b"hello!", expected, None).is_err());
    }

    proptest! {
        #[test]
        fn digests_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..300), long: bool) {
            let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let mut hashing = Hashing::new(Vec::new(), algorithm);
            hashing.write_all(&bytes).unwrap();
            prop_assert_eq!(hashing.length(), bytes.len() as u64);
            let (written, digest) = hashing.finish();
            prop_assert_eq!(&written, &bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
            let json = serde_json::to_string(&digest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
            prop_assert_eq!(read(&bytes, digest, None).unwrap(), bytes);
        }

        #[test]
        fn every_flipped_bit_is_caught(bytes in proptest::collection::vec(any::<u8>(), 1..200), at: usize) {
            let digest = Digest::of(&bytes);
            let mut flipped = bytes.clone();
            let bit = at % (bytes.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(read(&flipped, digest, Some(bytes.len() as u64)).is_err());
        }
    }
}
