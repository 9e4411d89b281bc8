//! The server's own certificate authority, and the pins that machines carry (`spec/security.md` 4).
//!
//! There are always two P-256 CA keys: the current one signs the leaf, the next one waits for a
//! roll. The pins of both are told from the first day, so that what is made today accepts both.
//! Pins are over the key (SubjectPublicKeyInfo), not the certificate: a certificate may be made
//! again.
//!
//! A roll makes a new next key, then writes `ca.json`, which says who is who. That one file is
//! the step that counts: cut before it, the new key waits for the next try and nobody was told of
//! it; cut after it, the next start finishes what follows from it. The key that has gone is erased
//! last.

use super::KeysError;
use super::files;
use engine::time::Timestamp;
use protocol::ids::SpkiPin;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;

pub(super) const DAY: u64 = 86_400;
/// How long a CA certificate is valid from the day it is made, in seconds.
const CA_VALIDITY: u64 = 30 * 365 * DAY;
/// Last second of the year 9999: certificates cannot tell a later time (RFC 5280 4.1.2.5).
const LAST_SECOND: u64 = 253_402_300_799;
/// Longest label of a CA, in letters: that of the 650th roll.
const MAX_LABEL: usize = 26;
const STATE_FILE: &str = "ca.json";

/// The two CAs.
pub(super) struct Authority {
    server_id: String,
    /// Who signs the leaf.
    pub(super) current: Ca,
    /// Who is to sign it after a roll.
    next: Ca,
    /// When the current CA took over, if it is not the first.
    pub(super) rolled_at: Option<Timestamp>,
}

/// One CA. Its label, a letter to begin with, tells it from its predecessors.
pub(super) struct Ca {
    pub(super) label: String,
    key: KeyPair,
    pem: String,
    /// The certificate.
    pub(super) der: CertificateDer<'static>,
}

/// Who is who, as `ca.json` keeps it.
#[derive(Serialize, Deserialize)]
struct State {
    current: String,
    next: String,
    /// Whose files are to be erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<String>,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rolled_at: Option<u64>,
}

impl State {
    fn first() -> Self {
        Self { current: "a".to_owned(), next: "b".to_owned(), gone: None, rolled_at: None }
    }

    /// Reads it; without a file nobody ever rolled.
    fn read(directory: &Path) -> Result<Self, KeysError> {
        let Some(json) = files::read(&directory.join(STATE_FILE))? else { return Ok(Self::first()) };
        let state: Self = serde_json::from_slice(&json).map_err(|_| KeysError::Damaged(STATE_FILE))?;
        let labels = [Some(&state.current), Some(&state.next), state.gone.as_ref()];
        let distinct = state.current != state.next
            && state.gone.as_ref().is_none_or(|gone| *gone != state.current && *gone != state.next);
        match distinct && labels.into_iter().flatten().all(|label| is_label(label)) {
            true => Ok(state),
            false => Err(KeysError::Damaged(STATE_FILE)),
        }
    }

    fn write(&self, directory: &Path) -> Result<(), KeysError> {
        let json = serde_json::to_vec_pretty(self).map_err(|_| KeysError::Damaged(STATE_FILE))?;
        Ok(files::write(&directory.join(STATE_FILE), &json, 0o600)?)
    }
}

/// Names of the CA key files that must be there once anything is.
///
/// # Errors
/// When `ca.json` cannot be read.
pub(super) fn key_files(directory: &Path) -> Result<[String; 2], KeysError> {
    let state = State::read(directory)?;
    Ok([key_file(&state.current), key_file(&state.next)])
}

impl Authority {
    /// Reads the CAs of `directory`, or makes the first two, and finishes a roll that was cut.
    ///
    /// # Errors
    /// [`KeysError`] names the file.
    pub(super) fn open(directory: &Path, server_id: &str, now: Timestamp) -> Result<Self, KeysError> {
        let mut state = State::read(directory)?;
        if let Some(gone) = state.gone.take() {
            files::remove(&directory.join(certificate_file(&gone)))?;
            files::remove(&directory.join(key_file(&gone)))?;
            state.write(directory)?;
        }
        let current = Ca::read_or_make(directory, server_id, state.current, now)?;
        let next = Ca::read_or_make(directory, server_id, state.next, now)?;
        let rolled_at = state.rolled_at.map(Timestamp::from_seconds);
        Ok(Self { server_id: server_id.to_owned(), current, next, rolled_at })
    }

    /// Lets the next CA take over and makes one to follow it. [`Authority::open`] does the rest.
    ///
    /// # Errors
    /// [`KeysError`] names the file; then nothing has changed.
    pub(super) fn roll(self, directory: &Path, now: Timestamp) -> Result<(), KeysError> {
        let successor = Ca::read_or_make(directory, &self.server_id, label_after(&self.next.label), now)?;
        let state = State {
            current: self.next.label,
            next: successor.label,
            gone: Some(self.current.label),
            rolled_at: Some(now.as_seconds()),
        };
        state.write(directory)
    }

    /// Pins of the current and the next CA.
    pub(super) fn pins(&self) -> Vec<SpkiPin> {
        vec![pin(&self.current.key), pin(&self.next.key)]
    }

    /// Certificates of the current and the next CA, PEM: whoever trusts both survives a roll.
    pub(super) fn bundle(&self) -> String {
        format!("{}{}", self.current.pem, self.next.pem)
    }

    /// The current CA as the one who signs.
    pub(super) fn issuer(&self, now: Timestamp) -> Issuer<'_, &KeyPair> {
        Issuer::new(ca_params(&self.server_id, &self.current.label, now), &self.current.key)
    }
}

impl Ca {
    fn read_or_make(
        directory: &Path,
        server_id: &str,
        label: String,
        now: Timestamp,
    ) -> Result<Self, KeysError> {
        let key = key_pair(&directory.join(key_file(&label)))?;
        let pem = files::read_or_create(&directory.join(certificate_file(&label)), || {
            let certificate = ca_params(server_id, &label, now).self_signed(&key)?;
            Ok::<_, KeysError>(certificate.pem().into_bytes())
        })?;
        let damaged = KeysError::Damaged("a CA's certificate");
        let Ok(pem) = String::from_utf8(pem) else { return Err(damaged) };
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else { return Err(damaged) };
        Ok(Self { label, key, pem, der })
    }
}

fn key_file(label: &str) -> String {
    format!("ca-{label}.key.pem")
}

fn certificate_file(label: &str) -> String {
    format!("ca-{label}.pem")
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// `a`, `b` to `z`, `za` to `zz`, `zza` and so on: never one that was there before.
fn label_after(label: &str) -> String {
    match label.as_bytes().split_last() {
        Some((&last, start)) if last < b'z' => {
            let start = String::from_utf8_lossy(start);
            format!("{start}{}", char::from(last.saturating_add(1)))
        }
        _ => format!("{label}a"),
    }
}

/// SHA-256 of a key's SubjectPublicKeyInfo.
pub(super) fn pin(key: &KeyPair) -> SpkiPin {
    let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    SpkiPin(bytes)
}

/// Reads a P-256 key, or makes it the first time.
pub(super) fn key_pair(path: &Path) -> Result<KeyPair, KeysError> {
    let pem = files::read_or_create(path, || {
        Ok::<_, KeysError>(
            KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?.serialize_pem().into_bytes(),
        )
    })?;
    let pem = String::from_utf8(pem).map_err(|_| KeysError::Damaged("a key file"))?;
    Ok(KeyPair::from_pem(&pem)?)
}

fn ca_params(server_id: &str, label: &str, now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Machines with dead clocks say 1970 to 2099: the CA must never be the reason to refuse.
    set_validity(&mut params, None, now.as_seconds().saturating_add(CA_VALIDITY));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Muster CA {server_id} {label}"));
    params
}

/// Sets validity from seconds since 1970, in rcgen's own date type.
pub(super) fn set_validity(params: &mut CertificateParams, not_before: Option<u64>, not_after: u64) {
    let date = |at: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(at.min(LAST_SECOND));
    params.not_before = not_before.map_or(date_time_ymd(2000, 1, 1), date);
    params.not_after = date(not_after);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn open(directory: &Path) -> Authority {
        Authority::open(directory, "abc", NOW).unwrap()
    }

    fn rolled(directory: &Path) -> Authority {
        open(directory).roll(directory, NOW).unwrap();
        open(directory)
    }

    #[test]
    fn authority_survives_restarts() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (open(directory.path()), open(directory.path()));
        assert_eq!((first.pins(), first.bundle()), (second.pins(), second.bundle()));
        assert_ne!(first.pins().first(), first.pins().last());
        assert_eq!((first.current.label.as_str(), first.rolled_at), ("a", None));
    }

    #[test]
    fn roll_lets_the_next_ca_take_over_and_erases_the_one_before() {
        let directory = tempfile::tempdir().unwrap();
        let before = open(directory.path());
        let after = rolled(directory.path());
        assert_eq!(after.pins().first(), before.pins().last());
        assert!(!before.pins().contains(after.pins().last().unwrap()));
        assert!(after.bundle().starts_with(&before.next.pem));
        assert_eq!(after.rolled_at, Some(NOW));
        for file in ["ca-a.pem", "ca-a.key.pem"] {
            assert!(!directory.path().join(file).exists(), "{file}");
        }
        assert_eq!(key_files(directory.path()).unwrap(), ["ca-b.key.pem", "ca-c.key.pem"]);
    }

    #[test]
    fn no_label_comes_twice() {
        let mut labels = BTreeSet::new();
        let mut label = "a".to_owned();
        for _ in 0..650 {
            assert!(is_label(&label), "{label}");
            assert!(labels.insert(label.clone()), "{label}");
            label = label_after(&label);
        }
    }

    #[test]
    fn state_that_names_other_files_is_damaged() {
        for json in [
            "{",
            r#"{"current":"a","next":"a"}"#,
            r#"{"current":"../a","next":"b"}"#,
            r#"{"current":"b","next":"c","gone":"b"}"#,
            r#"{"current":"","next":"c"}"#,
        ] {
            let directory = tempfile::tempdir().unwrap();
            files::write(&directory.path().join(STATE_FILE), json.as_bytes(), 0o600).unwrap();
            let error = Authority::open(directory.path(), "abc", NOW).err().unwrap();
            assert!(matches!(error, KeysError::Damaged(STATE_FILE)), "{json}: {error}");
        }
    }
}
