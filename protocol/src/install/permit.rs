//! The wipe permit (`spec/security.md` 5): signed by the server for one job, without it no disk is
//! opened for writing.
//!
//! A compact JWS: `{"typ":"muster-permit+jwt","alg":"ES256","x5c":[leaf, CA]}`, a [`Permit`], and the signature
//! by the leaf that the server's TLS listener shows. This module lays out and reads the bytes; ring signs and
//! verifies them.

use crate::inventory::{Disk, is_useful_serial};
use crate::token::{base64url, from_base64url};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Longest permit as it is sent, in bytes: a JWS in compact form with the server's chain.
pub const MAX_PERMIT_LEN: usize = 8 * 1_024;

/// What a permit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermittedDisk {
    /// World-wide name, or empty.
    #[serde(default)]
    pub wwn: String,
    /// Serial number, or empty.
    #[serde(default)]
    pub serial: String,
    /// Where it is plugged in: how a disk with neither of those is known, as many virtual ones are.
    #[serde(default)]
    pub path: String,
    /// Size in bytes.
    pub size: u64,
}

/// Longest life of a permit, in seconds.
pub const MAX_PERMIT_LIFE: i64 = 3_600;
/// Most disks of a permit: the most of a RAID 1.
pub const MAX_PERMITTED: usize = 4;
/// Certificates of the chain: leaf and CA.
const CHAIN: usize = 2;
const TYPE: &str = "muster-permit+jwt";
const ALGORITHM: &str = "ES256";
/// Length of an ES256 signature (RFC 7518 section 3.4).
const SIGNATURE_LEN: usize = 64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    x5c: Vec<String>,
}

/// What is asked for a permit: the answer of `POST /provisions/{Uuid}/permit`.
#[derive(Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct PermitAnswer {
    /// The permit, as a compact JWS.
    pub permit: String,
}

/// Tells nothing: whoever has it may erase disks of that machine.
impl fmt::Debug for PermitAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PermitAnswer").finish_non_exhaustive()
    }
}

/// A permit as it arrived: well formed, nothing verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedPermit {
    /// Certificate whose key signed it, DER.
    pub leaf: Vec<u8>,
    /// Certificate of the CA that signed the leaf, DER.
    pub ca: Vec<u8>,
    /// What it says.
    pub permit: Permit,
    /// Bytes the signature covers.
    pub signing_input: Vec<u8>,
    /// ES256 signature: r and s.
    pub signature: Vec<u8>,
}

/// Why text is no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PermitShape {
    /// Longer than [`MAX_PERMIT_LEN`].
    #[error("the permit has more than {MAX_PERMIT_LEN} characters")]
    TooLong,
    /// Not three parts of base64url, or not the JSON expected in them.
    #[error("the permit is not one")]
    Malformed,
    /// Another type or algorithm, or another number of certificates.
    #[error("the permit is not signed with ES256 under a certificate and its CA")]
    Algorithm,
    /// No disk, or more than [`MAX_PERMITTED`].
    #[error("the permit names no disk, or more than {MAX_PERMITTED}")]
    Disks,
}

impl Permit {
    /// The bytes to sign by the key of `leaf`, a certificate that `ca` signed; [`crate::proof::finish`] appends
    /// the signature.
    pub fn signing_input(&self, leaf: &[u8], ca: &[u8]) -> String {
        let x5c = vec![STANDARD.encode(leaf), STANDARD.encode(ca)];
        let header = Header { typ: TYPE.to_owned(), alg: ALGORITHM.to_owned(), x5c };
        // Plain structs of strings and numbers always serialise.
        let part = |json: serde_json::Result<Vec<u8>>| base64url(&json.unwrap_or_default());
        format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(self)))
    }
}

impl ReceivedPermit {
    /// Reads a permit. The caller verifies chain, signature and everything it says.
    ///
    /// # Errors
    /// [`PermitShape`]; nothing longer than [`MAX_PERMIT_LEN`] is decoded.
    pub fn parse(text: &str) -> Result<Self, PermitShape> {
        if text.len() > MAX_PERMIT_LEN {
            return Err(PermitShape::TooLong);
        }
        let (input, signature) = text.rsplit_once('.').ok_or(PermitShape::Malformed)?;
        let (head, body) = input.split_once('.').ok_or(PermitShape::Malformed)?;
        let decode = |part| from_base64url(part).ok_or(PermitShape::Malformed);
        let head: Header = serde_json::from_slice(&decode(head)?).map_err(|_| PermitShape::Malformed)?;
        let signature = decode(signature)?;
        if head.typ != TYPE || head.alg != ALGORITHM || signature.len() != SIGNATURE_LEN {
            return Err(PermitShape::Algorithm);
        }
        let [leaf, ca]: [String; CHAIN] = head.x5c.try_into().map_err(|_| PermitShape::Algorithm)?;
        let certificate = |text: String| STANDARD.decode(text).map_err(|_| PermitShape::Malformed);
        let permit: Permit = serde_json::from_slice(&decode(body)?).map_err(|_| PermitShape::Malformed)?;
        if !(1..=MAX_PERMITTED).contains(&permit.disks.len()) {
            return Err(PermitShape::Disks);
        }
        let (leaf, ca) = (certificate(leaf)?, certificate(ca)?);
        Ok(Self { leaf, ca, permit, signing_input: input.as_bytes().to_vec(), signature })
    }
}

impl PermittedDisk {
    /// The disk as a permit names it: by its world-wide name, else its serial number, else its place; none when
    /// it has none of the three.
    pub fn of(disk: &Disk) -> Option<Self> {
        let mut named = Self { wwn: disk.wwn.clone(), size: disk.size_bytes, ..Self::default() };
        if named.wwn.is_empty() && is_useful_serial(&disk.serial) {
            named.serial.clone_from(&disk.serial);
        } else if named.wwn.is_empty() {
            named.path.clone_from(&disk.path);
        }
        named.has_name().then_some(named)
    }

    /// Whether this is that disk.
    pub fn is(&self, disk: &Disk) -> bool {
        self.has_name() && Self::of(disk).as_ref() == Some(self)
    }

    fn has_name(&self) -> bool {
        [&self.wwn, &self.serial, &self.path].iter().any(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(wwn: &str, serial: &str) -> Disk {
        let path = "pci0000:00/0000:00:04.0/virtio1".to_owned();
        Disk { wwn: wwn.to_owned(), serial: serial.to_owned(), path, size_bytes: 1 << 40, ..Disk::default() }
    }

    #[test]
    fn disk_is_known_again_by_wwn_else_serial_else_place_and_always_by_size() {
        let by_wwn = PermittedDisk::of(&disk("naa.5000c500a1b2c3d4", "S1")).unwrap();
        assert!(by_wwn.is(&Disk { path: "moved".to_owned(), ..disk("naa.5000c500a1b2c3d4", "S1") }));
        assert!(!by_wwn.is(&disk("naa.5000c500a1b2c3d5", "S1")) && !by_wwn.is(&disk("", "S1")));
        let by_serial = PermittedDisk::of(&disk("", "S1")).unwrap();
        assert!(by_serial.is(&disk("", "S1")) && !by_serial.is(&disk("", "S2")));
        let by_place = PermittedDisk::of(&disk("", "0")).unwrap();
        assert!(by_place.is(&disk("", "")) && !by_place.is(&disk("", "S1")));
        for known in [by_wwn, by_serial, by_place] {
            for (wwn, serial) in [("naa.5000c500a1b2c3d4", "S1"), ("", "S1"), ("", "")] {
                assert!(!known.is(&Disk { size_bytes: 1, ..disk(wwn, serial) }));
            }
        }
    }

    #[test]
    fn disk_without_any_name_gets_no_permit_and_an_empty_permit_names_no_disk() {
        let nameless = Disk { path: String::new(), ..disk("", "") };
        assert_eq!(PermittedDisk::of(&nameless), None);
        let empty = PermittedDisk { size: 1 << 40, ..PermittedDisk::default() };
        assert!(!empty.is(&nameless));
    }

    fn permit() -> Permit {
        Permit {
            uuid: Uuid::from_u128(1),
            jkt: "thumbprint".to_owned(),
            run: Uuid::from_u128(2),
            job: Uuid::from_u128(3),
            epoch: 4,
            disks: vec![PermittedDisk::of(&disk("", "S1")).unwrap()],
            image: "sha256:00".to_owned(),
            exp: 1_800_000_000,
        }
    }

    fn signed(permit: &Permit) -> String {
        crate::proof::finish(&permit.signing_input(b"leaf", b"ca"), &[7; SIGNATURE_LEN])
    }

    #[test]
    fn permit_is_read_as_it_was_written() {
        let received = ReceivedPermit::parse(&signed(&permit())).unwrap();
        assert_eq!(received.permit, permit());
        assert_eq!((received.leaf.as_slice(), received.ca.as_slice()), (&b"leaf"[..], &b"ca"[..]));
        assert_eq!(received.signing_input, permit().signing_input(b"leaf", b"ca").into_bytes());
    }

    #[test]
    fn other_algorithms_chains_and_lengths_are_no_permits() {
        let text = signed(&permit());
        let (head, rest) = text.split_once('.').unwrap();
        let header = String::from_utf8(from_base64url(head).unwrap()).unwrap();
        let with =
            |from: &str, to: &str| format!("{}.{rest}", base64url(header.replace(from, to).as_bytes()));
        let cases = [
            (with("ES256", "none"), PermitShape::Algorithm),
            (with("ES256", "HS256"), PermitShape::Algorithm),
            (with(TYPE, "JWT"), PermitShape::Algorithm),
            (with("\"Y2E=\"", "\"Y2E=\",\"Y2E=\""), PermitShape::Algorithm),
            (with(",\"Y2E=\"", ""), PermitShape::Algorithm),
            (with("Y2E=", "Y2E"), PermitShape::Malformed),
            (with("\"alg\"", "\"alg\":\"ES256\",\"alg\""), PermitShape::Malformed),
            (with("\"alg\"", "\"crit\":[],\"alg\""), PermitShape::Malformed),
            (signed(&Permit { disks: Vec::new(), ..permit() }), PermitShape::Disks),
            (signed(&Permit { disks: vec![PermittedDisk::default(); 5], ..permit() }), PermitShape::Disks),
            (format!("{text}AAAA"), PermitShape::Algorithm),
            (format!("{text}."), PermitShape::Algorithm),
            ("x".repeat(MAX_PERMIT_LEN + 1), PermitShape::TooLong),
            (String::new(), PermitShape::Malformed),
        ];
        for (text, error) in cases {
            assert_eq!(ReceivedPermit::parse(&text), Err(error), "{text}");
        }
    }
}
