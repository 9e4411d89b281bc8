//! The ticket for `tools.cpio.zst`: programs that the boot image leaves out (mkfs, fsck, sfdisk) and fetches from
//! its server only when they are wanted.
//!
//! The builder puts the ticket into the initial ramdisk, so whoever trusts the image trusts the digest; the agent
//! holds what it downloads against it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Path of the ticket in the initial ramdisk, and so in the machine's root file system.
pub const TICKET_PATH: &str = "muster/tools.json";
/// Name of the archive in the media directory.
pub const TOOLS_FILE: &str = "tools.cpio.zst";
/// Longest ticket, in bytes.
pub const MAX_TICKET_LEN: usize = 4 * 1_024;
/// Largest archive as it is downloaded, in bytes: it lies in a machine's memory.
pub const MAX_PACKED: u64 = 64 * 1_024 * 1_024;
/// Largest unpacked archive, in bytes.
pub const MAX_UNPACKED: u64 = 256 * 1_024 * 1_024;
/// Longest file name, in bytes.
const MAX_NAME: usize = 64;
/// Hexadecimal digits of a SHA-256.
const DIGITS: usize = 64;

/// What an image knows about the archive that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The file's name in the server's `/media/`.
    pub file: String,
    /// Its length in bytes.
    pub size: u64,
    /// Length in bytes of the cpio archive in it.
    pub unpacked_size: u64,
    /// SHA-256 of the file in 64 lower-case hexadecimal digits.
    pub sha256: String,
}

/// Why a ticket is not used.
#[derive(Debug, Error)]
pub enum TicketError {
    /// More than [`MAX_TICKET_LEN`].
    #[error("{TICKET_PATH} has {0} bytes, at most {MAX_TICKET_LEN}; build the media again")]
    TooLong(usize),
    /// Not JSON, or JSON of another shape.
    #[error("{TICKET_PATH} is not valid; build the media again")]
    Json(#[from] serde_json::Error),
    /// A value that no builder of ours writes.
    #[error("{TICKET_PATH} has an unusable {0}; build the media again")]
    Value(&'static str),
}

impl Ticket {
    /// Reads and checks a ticket. Unknown keys are ignored.
    ///
    /// # Errors
    /// [`TicketError`] names the key.
    pub fn parse(bytes: &[u8]) -> Result<Self, TicketError> {
        if bytes.len() > MAX_TICKET_LEN {
            return Err(TicketError::TooLong(bytes.len()));
        }
        let ticket: Self = serde_json::from_slice(bytes)?;
        ticket.check()?;
        Ok(ticket)
    }

    /// The document, ending in a line feed.
    ///
    /// # Errors
    /// [`TicketError`] for a ticket that [`Ticket::parse`] would refuse.
    pub fn render(&self) -> Result<Vec<u8>, TicketError> {
        self.check()?;
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Whether every value is one that a builder of ours writes.
    ///
    /// # Errors
    /// [`TicketError::Value`] names the key.
    pub fn check(&self) -> Result<(), TicketError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let named = (1..=MAX_NAME).contains(&self.file.len()) && self.file.chars().all(plain);
        if !named || self.file.starts_with('.') {
            return Err(TicketError::Value("file"));
        }
        if !(1..=MAX_PACKED).contains(&self.size) {
            return Err(TicketError::Value("size"));
        }
        if !(1..=MAX_UNPACKED).contains(&self.unpacked_size) {
            return Err(TicketError::Value("unpacked_size"));
        }
        let digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        if self.sha256.len() != DIGITS || !self.sha256.chars().all(digit) {
            return Err(TicketError::Value("sha256"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket { file: TOOLS_FILE.to_owned(), size: 9, unpacked_size: 30, sha256: "0f".repeat(32) }
    }

    #[test]
    fn a_ticket_survives_a_round_trip() {
        let bytes = ticket().render().unwrap();
        assert_eq!(Ticket::parse(&bytes).unwrap(), ticket());
        assert!(matches!(Ticket::parse(&[b' '; MAX_TICKET_LEN + 1]), Err(TicketError::TooLong(_))));
        assert!(matches!(Ticket::parse(b"{"), Err(TicketError::Json(_))));
    }

    #[test]
    fn a_ticket_that_no_builder_writes_is_refused_by_key() {
        for (bad, key) in [
            (Ticket { file: "../keys".to_owned(), ..ticket() }, "file"),
            (Ticket { file: "..".to_owned(), ..ticket() }, "file"),
            (Ticket { file: "a?b".to_owned(), ..ticket() }, "file"),
            (Ticket { size: 0, ..ticket() }, "size"),
            (Ticket { size: MAX_PACKED + 1, ..ticket() }, "size"),
            (Ticket { unpacked_size: MAX_UNPACKED + 1, ..ticket() }, "unpacked_size"),
            (Ticket { sha256: "0F".repeat(32), ..ticket() }, "sha256"),
            (Ticket { sha256: String::new(), ..ticket() }, "sha256"),
        ] {
            let error = Ticket::parse(&serde_json::to_vec(&bad).unwrap()).unwrap_err();
            assert!(matches!(error, TicketError::Value(found) if found == key), "{bad:?}: {error}");
        }
    }
}
