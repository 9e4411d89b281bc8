//! The wipe permit (`spec/security.md` 5): signed by the server for one job, without it no disk is
//! opened for writing.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest permit as it is sent, in bytes: a JWS in compact form with the server's chain.
pub const MAX_PERMIT_LEN: usize = 8 * 1_024;

/// What a permit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// The machine.
    pub uuid: Uuid,
    /// Thumbprint of its key.
    pub jkt: String,
    /// The run.
    pub run: Uuid,
    /// The job that writes.
    pub job: Uuid,
    /// The job's lease.
    pub epoch: i64,
    /// The disks that may be erased.
    pub disks: Vec<PermittedDisk>,
    /// Digest of the image that is written.
    pub image: String,
    /// Seconds since 1970 after which it is nothing; at most an hour ahead.
    pub exp: i64,
}

/// A disk by what does not change when cables do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermittedDisk {
    /// World-wide name, or empty.
    #[serde(default)]
    pub wwn: String,
    /// Serial number, or empty.
    #[serde(default)]
    pub serial: String,
    /// Size in bytes.
    pub size: u64,
}
