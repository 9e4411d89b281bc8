//! The server's own certificate authority, its leaf certificate, and the pins that machines carry
//! (`spec/security.md` 4).
//!
//! First start makes two P-256 CA keys. "ca-a" signs the leaf; "ca-b" waits for a roll, and
//! only its pin is told, so that a medium made today accepts both. Pins are over the key
//! (SubjectPublicKeyInfo), not the certificate: a certificate may be made again.

use super::KeysError;
use super::files;
use protocol::ids::SpkiPin;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

const DAY: u64 = 86_400;
/// How long the CA certificate is valid from the day it is made, in seconds.
const CA_VALIDITY: u64 = 30 * 365 * DAY;
/// How long a leaf is valid, in seconds.
const LEAF_VALIDITY: u64 = 90 * DAY;
/// A leaf with less than this left is made again at start, in seconds.
const LEAF_RENEWAL: u64 = 30 * DAY;
/// How far a leaf's validity reaches back, in seconds: clocks in the field are wrong by days.
const LEAF_BACKDATE: u64 = 7 * DAY;
/// Last second of the year 9999: certificates cannot tell a later time (RFC 5280 4.1.2.5).
const LAST_SECOND: u64 = 253_402_300_799;
/// Most names in the leaf: a host with thousands of addresses would make a useless handshake.
const MAX_NAMES: usize = 100;

/// Certificates, the leaf's key, and pins.
pub(crate) struct Authority {
    /// The CA certificate, PEM.
    pub(crate) ca_pem: String,
    /// Pins of the current and the next CA.
    pub(crate) pins: Vec<SpkiPin>,
    /// Leaf, then CA: agents collect the chain before they trust anyone.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    leaf_key: KeyPair,
}

/// The leaf as it is kept: one file, so that certificate and facts always agree.
#[derive(Serialize, Deserialize)]
struct StoredLeaf {
    /// Seconds since 1970.
    not_after: u64,
    names: Vec<String>,
    pem: String,
}

impl Authority {
    /// Reads the keys of `directory`, or makes them; renews the leaf when it is near its end or
    /// when the server has names that it does not carry.
    pub(crate) fn open(
        directory: &Path,
        server_id: &str,
        names: &[String],
        now: u64,
    ) -> Result<Self, KeysError> {
        let ca_key = key_pair(&directory.join("ca-a.key.pem"))?;
        let next_key = key_pair(&directory.join("ca-b.key.pem"))?;
        let leaf_key = key_pair(&directory.join("leaf.key.pem"))?;
        let pins = vec![pin(&ca_key), pin(&next_key)];
        let ca_pem = files::read_or_create(&directory.join("ca-a.pem"), || {
            let certificate = ca_params(server_id, now).self_signed(&ca_key)?;
            Ok::<_, KeysError>(certificate.pem().into_bytes())
        })?;
        let ca_pem = String::from_utf8(ca_pem).map_err(|_| KeysError::Damaged("ca-a.pem"))?;
        let issuer = Issuer::new(ca_params(server_id, now), ca_key);
        let leaf = leaf(directory, server_id, names, now, &leaf_key, &issuer)?;
        let der = |pem: &str, file| {
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeysError::Damaged(file))
        };
        let chain = vec![der(&leaf.pem, "leaf.json")?, der(&ca_pem, "ca-a.pem")?];
        Ok(Self { ca_pem, pins, chain, leaf_key })
    }

    /// The leaf's private key.
    fn leaf_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.leaf_key.serialize_der()))
    }

    /// Chain and key as rustls signs handshakes with them.
    pub(crate) fn certified_key(&self) -> Result<CertifiedKey, rustls::Error> {
        let key = rustls::crypto::ring::sign::any_ecdsa_type(&self.leaf_key())?;
        Ok(CertifiedKey::new(self.chain.clone(), key))
    }
}

/// SHA-256 of a key's SubjectPublicKeyInfo.
fn pin(key: &KeyPair) -> SpkiPin {
    let digest = ring::digest::digest(&ring::digest::SHA256, &key.subject_public_key_info());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    SpkiPin(bytes)
}

fn key_pair(path: &Path) -> Result<KeyPair, KeysError> {
    let pem = files::read_or_create(path, || {
        Ok::<_, KeysError>(
            KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?.serialize_pem().into_bytes(),
        )
    })?;
    let pem = String::from_utf8(pem).map_err(|_| KeysError::Damaged("a key file"))?;
    Ok(KeyPair::from_pem(&pem)?)
}

fn ca_params(server_id: &str, now: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    // Machines with dead clocks say 1970 to 2099: the CA must never be the reason to refuse.
    set_validity(&mut params, None, now.saturating_add(CA_VALIDITY));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Muster CA {server_id} a"));
    params
}

/// Sets validity from seconds since 1970, in rcgen's own date type.
fn set_validity(params: &mut CertificateParams, not_before: Option<u64>, not_after: u64) {
    let date = |at: u64| date_time_ymd(1970, 1, 1) + Duration::from_secs(at.min(LAST_SECOND));
    params.not_before = not_before.map_or(date_time_ymd(2000, 1, 1), date);
    params.not_after = date(not_after);
}

fn leaf(
    directory: &Path,
    server_id: &str,
    names: &[String],
    now: u64,
    key: &KeyPair,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<StoredLeaf, KeysError> {
    let path = directory.join("leaf.json");
    let names = leaf_names(server_id, names);
    if let Some(bytes) = files::read(&path)? {
        let stored: StoredLeaf =
            serde_json::from_slice(&bytes).map_err(|_| KeysError::Damaged("leaf.json"))?;
        let current = stored.not_after > now.saturating_add(LEAF_RENEWAL);
        if current && names.iter().all(|name| stored.names.contains(name)) {
            return Ok(stored);
        }
    }
    let not_after = now.saturating_add(LEAF_VALIDITY);
    let mut params = CertificateParams::default();
    set_validity(&mut params, Some(now.saturating_sub(LEAF_BACKDATE)), not_after);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Muster {server_id}"));
    params.subject_alt_names = names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
    let pem = params.signed_by(key, issuer)?.pem();
    let stored = StoredLeaf { not_after, names, pem };
    let json = serde_json::to_vec_pretty(&stored).map_err(|_| KeysError::Damaged("leaf.json"))?;
    files::write(&path, &json, 0o600)?;
    Ok(stored)
}

/// The name agents verify, then what people and scripts type, without doubles.
fn leaf_names(server_id: &str, names: &[String]) -> Vec<String> {
    let own = format!("{server_id}{}", protocol::SERVER_ID_SUFFIX);
    let mut all = vec![own, "localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    for name in names.iter().filter(|name| is_usable_name(name)) {
        if !all.contains(name) && all.len() < MAX_NAMES {
            all.push(name.clone());
        }
    }
    all
}

fn is_usable_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

fn alternative_name(name: &str) -> Result<SanType, KeysError> {
    match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => Ok(SanType::DnsName(name.try_into()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn open(directory: &Path, names: &[&str], now: u64) -> Authority {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        Authority::open(directory, "abc", &names, now).unwrap()
    }

    #[test]
    fn authority_survives_restarts_and_keeps_its_leaf() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path(), &["db.example"], NOW);
        let second = open(directory.path(), &["db.example"], NOW + DAY);
        assert_eq!(first.pins, second.pins);
        assert_eq!(first.chain, second.chain);
        assert_ne!(first.pins.first(), first.pins.last());
    }

    #[test]
    fn leaf_is_renewed_with_thirty_days_left_and_keeps_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path(), &[], NOW);
        let kept = open(directory.path(), &[], NOW + 59 * DAY);
        let renewed = open(directory.path(), &[], NOW + 60 * DAY);
        assert_eq!(first.chain, kept.chain);
        assert_ne!(first.chain.first(), renewed.chain.first());
        assert_eq!(first.chain.get(1), renewed.chain.get(1));
        assert_eq!(first.leaf_key(), renewed.leaf_key());
    }

    #[test]
    fn new_address_makes_a_new_leaf_and_an_unusable_name_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let first = open(directory.path(), &[], NOW);
        let same = open(directory.path(), &["not a name", ""], NOW);
        let other = open(directory.path(), &["10.0.0.5"], NOW);
        assert_eq!(first.chain, same.chain);
        assert_ne!(first.chain, other.chain);
    }

    #[test]
    fn rustls_accepts_the_chain_for_the_servers_id() {
        let directory = tempfile::tempdir().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let authority = open(directory.path(), &["10.0.0.5"], now.as_secs());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.chain.last().unwrap().clone()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(roots.into(), provider)
            .build()
            .unwrap();
        for (name, accepted) in
            [("abc.agent.internal", true), ("10.0.0.5", true), ("other.agent.internal", false)]
        {
            let verified = rustls::client::danger::ServerCertVerifier::verify_server_cert(
                verifier.as_ref(),
                authority.chain.first().unwrap(),
                authority.chain.get(1..).unwrap(),
                &name.try_into().unwrap(),
                &[],
                rustls::pki_types::UnixTime::since_unix_epoch(now),
            );
            assert_eq!(verified.is_ok(), accepted, "{name}: {verified:?}");
        }
    }
}
