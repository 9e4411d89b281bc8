//! Numbers and texts at fixed places.

use protocol::inventory::clean_text;
use uuid::Uuid;

/// A little-endian number of `N` bytes at `at`.
pub(super) fn le<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field = field::<N>(bytes, at)?;
    Some(field.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
}

/// A big-endian number of `N` bytes at `at`.
pub(super) fn be<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let field = field::<N>(bytes, at)?;
    Some(field.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte)))
}

/// `N` bytes at `at`.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

/// Whether `value` stands at `at`.
pub(super) fn is(bytes: &[u8], at: usize, value: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(value))
}

/// The text in `length` bytes at `at`, to its first NUL, cleaned.
pub(super) fn text(bytes: &[u8], at: usize, length: usize) -> String {
    let field = bytes.get(at..).and_then(|rest| rest.get(..length)).unwrap_or_default();
    let field = field.split(|byte| *byte == 0).next().unwrap_or_default();
    clean_text(&String::from_utf8_lossy(field))
}

/// The UUID at `at`; empty for none.
pub(super) fn uuid(bytes: &[u8], at: usize) -> String {
    field(bytes, at)
        .map(Uuid::from_bytes)
        .filter(|uuid| !uuid.is_nil())
        .map(|uuid| uuid.to_string())
        .unwrap_or_default()
}

/// The GUID at `at`, which Microsoft and EFI write with its first three numbers little-endian.
pub(super) fn guid(bytes: &[u8], at: usize) -> Option<Uuid> {
    field(bytes, at).map(Uuid::from_bytes_le)
}
