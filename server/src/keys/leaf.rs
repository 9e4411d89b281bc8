//! The certificate of the TLS listener: 90 days, renewed when 30 are left, when the server has a
//! name that it does not carry, and when another CA took over. Its key stays, since scripts may
//! pin it.

use super::KeysError;
use super::authority::{Authority, DAY, set_validity};
use super::files;
use engine::time::Timestamp;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::Path;

/// How long a leaf is valid, in seconds.
const LEAF_VALIDITY: u64 = 90 * DAY;
/// A leaf with less than this left is made again, in seconds.
const LEAF_RENEWAL: u64 = 30 * DAY;
/// How far a leaf's validity reaches back, in seconds: clocks in the field are wrong by days.
const LEAF_BACKDATE: u64 = 7 * DAY;
/// Most names in the leaf: a host with thousands of addresses would make a useless handshake.
const MAX_NAMES: usize = 100;
const FILE: &str = "leaf.json";

/// The leaf as it is kept: one file, so that certificate and facts always agree.
#[derive(Serialize, Deserialize)]
struct StoredLeaf {
    /// Label of the CA that signed it.
    #[serde(default = "first_ca")]
    ca: String,
    /// Seconds since 1970.
    not_after: u64,
    names: Vec<String>,
    pem: String,
}

/// Leaves from before there was a roll do not say who signed them.
fn first_ca() -> String {
    "a".to_owned()
}

/// A leaf in use.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) der: CertificateDer<'static>,
    server_id: String,
    not_after: u64,
    names: Vec<String>,
}

impl Leaf {
    /// Whether it goes on: in time, and for all of `names`.
    pub(super) fn is_good(&self, names: &[String], now: Timestamp) -> bool {
        is_in_time(self.not_after, now) && carries(&self.names, &all_names(&self.server_id, names))
    }
}

/// The leaf for `names`, by the current CA: the one that is kept, or a new one.
///
/// # Errors
/// [`KeysError`] names the file, or says why no certificate can be made.
pub(super) fn read_or_renew(
    directory: &Path,
    server_id: &str,
    names: &[String],
    now: Timestamp,
    key: &KeyPair,
    authority: &Authority,
) -> Result<Leaf, KeysError> {
    let path = directory.join(FILE);
    let names = all_names(server_id, names);
    let kept = match files::read(&path)? {
        Some(json) => Some(serde_json::from_slice(&json).map_err(|_| KeysError::Damaged(FILE))?),
        None => None,
    };
    let good = |leaf: &StoredLeaf| {
        leaf.ca == authority.current.label && is_in_time(leaf.not_after, now) && carries(&leaf.names, &names)
    };
    let leaf = match kept.filter(good) {
        Some(leaf) => leaf,
        None => {
            let leaf = issue(server_id, names, now, key, authority)?;
            let json = serde_json::to_vec_pretty(&leaf).map_err(|_| KeysError::Damaged(FILE))?;
            files::write(&path, &json, 0o600)?;
            leaf
        }
    };
    let der = CertificateDer::from_pem_slice(leaf.pem.as_bytes()).map_err(|_| KeysError::Damaged(FILE))?;
    Ok(Leaf { der, server_id: server_id.to_owned(), not_after: leaf.not_after, names: leaf.names })
}

/// Whether a leaf has enough of its time left. One that ends later than one made now was made
/// while the clock was ahead: for everybody else it may not have begun.
fn is_in_time(not_after: u64, now: Timestamp) -> bool {
    let now = now.as_seconds();
    not_after > now.saturating_add(LEAF_RENEWAL) && not_after <= now.saturating_add(LEAF_VALIDITY)
}

fn carries(names: &[String], wanted: &[String]) -> bool {
    wanted.iter().all(|name| names.contains(name))
}

fn issue(
    server_id: &str,
    names: Vec<String>,
    now: Timestamp,
    key: &KeyPair,
    authority: &Authority,
) -> Result<StoredLeaf, KeysError> {
    let seconds = now.as_seconds();
    let not_after = seconds.saturating_add(LEAF_VALIDITY);
    let mut params = CertificateParams::default();
    set_validity(&mut params, Some(seconds.saturating_sub(LEAF_BACKDATE)), not_after);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Muster {server_id}"));
    params.subject_alt_names = names.iter().map(|name| alternative_name(name)).collect::<Result<_, _>>()?;
    let pem = params.signed_by(key, &authority.issuer(now))?.pem();
    Ok(StoredLeaf { ca: authority.current.label.clone(), not_after, names, pem })
}

/// The name agents verify, then what people and scripts type, without doubles.
fn all_names(server_id: &str, names: &[String]) -> Vec<String> {
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
    use super::super::authority::key_pair;
    use super::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn days(days: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(days * DAY))
    }

    fn leaf(directory: &Path, names: &[&str], now: Timestamp) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = key_pair(&directory.join("leaf.key.pem")).unwrap();
        let authority = Authority::open(directory, "abc", now).unwrap();
        let leaf = read_or_renew(directory, "abc", &names, now, &key, &authority).unwrap();
        assert!(leaf.is_good(&names, now));
        leaf.der
    }

    #[test]
    fn leaf_is_kept_for_sixty_days_and_renewed_with_thirty_left() {
        let directory = tempfile::tempdir().unwrap();
        let first = leaf(directory.path(), &["db.example"], NOW);
        assert_eq!(leaf(directory.path(), &["db.example"], days(59)), first);
        assert_ne!(leaf(directory.path(), &["db.example"], days(60)), first);
    }

    #[test]
    fn new_address_makes_a_new_leaf_and_an_unusable_name_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let first = leaf(directory.path(), &[], NOW);
        assert_eq!(leaf(directory.path(), &["not a name", ""], NOW), first);
        assert_ne!(leaf(directory.path(), &["10.0.0.5"], NOW), first);
    }

    #[test]
    fn leaf_of_a_clock_that_was_ahead_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        let ahead = leaf(directory.path(), &[], days(3_650));
        assert_ne!(leaf(directory.path(), &[], NOW), ahead);
    }

    #[test]
    fn leaf_from_before_rolls_existed_is_the_first_cas() {
        let directory = tempfile::tempdir().unwrap();
        let first = leaf(directory.path(), &[], NOW);
        let path = directory.path().join(FILE);
        let mut json: serde_json::Value =
            serde_json::from_slice(&files::read(&path).unwrap().unwrap()).unwrap();
        json.as_object_mut().unwrap().remove("ca").unwrap();
        files::write(&path, json.to_string().as_bytes(), 0o600).unwrap();
        assert_eq!(leaf(directory.path(), &[], NOW), first);
        Authority::open(directory.path(), "abc", NOW).unwrap().roll(directory.path(), NOW).unwrap();
        assert_ne!(leaf(directory.path(), &[], NOW), first);
    }
}
