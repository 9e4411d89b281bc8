//! Who is trusted, and who is not.

use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;

/// A CA and what it issues, as a server has them.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params.distinguished_name.push(rcgen::DnType::CommonName, "Corp Root");
    params
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self(CertifiedIssuer::self_signed(ca_params(), KeyPair::generate().unwrap()).unwrap())
    }

    fn under(parent: &Self) -> Self {
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::signed_by(ca_params(), key, &parent.0).unwrap())
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn pin(&self) -> SpkiPin {
        pin_of(&self.der()).unwrap()
    }

    /// A leaf for these names, valid from the first to the last day of these years.
    pub(crate) fn leaf(
        &self,
        names: &[&str],
        years: RangeInclusive<i32>,
    ) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(*years.start(), 1, 1);
        params.not_after = date_time_ymd(*years.end(), 12, 31);
        (params.signed_by(&key, &self.0).unwrap().der().clone(), key)
    }

    /// A server's end of TLS, with such a leaf.
    pub(crate) fn acceptor(&self, names: &[&str], years: RangeInclusive<i32>) -> TlsAcceptor {
        let (leaf, key) = self.leaf(names, years);
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf, self.der()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

const NAMES: [&str; 3] = ["dc1.agent.internal", "muster.example", "10.0.2.2"];

fn pins(pins: &[SpkiPin]) -> Trust {
    Trust { pins: pins.to_vec(), extra: None }
}

fn judge(
    trust: &Trust,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    clock: ClockTrust,
    now: UnixTime,
) -> Result<Verified, TrustError> {
    super::judge(trust, &ServerName::try_from("muster.example").unwrap(), (leaf, others), clock, now)
}

fn impostor(got: Option<SpkiPin>) -> TrustError {
    TrustError::Pin { got, authority: None }
}

/// Noon of 23 June.
fn at(year: u64) -> UnixTime {
    let seconds = match year {
        1970 => 14_990_400,
        2026 => 1_782_216_000,
        2099 => 4_085_899_200,
        _ => panic!("no such year in these tests"),
    };
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

#[test]
fn a_leaf_under_a_pinned_key_names_its_server() {
    let ca = Authority::new();
    let (leaf, _) = ca.leaf(&NAMES, 2026..=2026);
    let other = SpkiPin([0; 32]);
    for order in [[ca.pin(), other], [other, ca.pin()]] {
        let verified = judge(&pins(&order), &leaf, &[ca.der()], ClockTrust::Set, at(2026)).unwrap();
        assert_eq!(verified, Verified { server_id: "dc1".to_owned(), authority: None, time_problem: None });
    }
}

#[test]
fn nobody_else_is_trusted() {
    let (ours, evil) = (Authority::new(), Authority::new());
    let trust = pins(&[ours.pin()]);
    let (leaf, _) = evil.leaf(&NAMES, 2026..=2026);
    let verdict = |others: &[CertificateDer<'static>]| {
        judge(&trust, &leaf, others, ClockTrust::Doubtful, at(2026)).unwrap_err()
    };
    assert_eq!(verdict(&[evil.der()]), impostor(Some(evil.pin())));
    assert_eq!(verdict(&[]), impostor(pin_of(&leaf)));
    // Our CA's certificate is public: shown beside a leaf it did not sign, it proves nothing.
    assert_eq!(verdict(&[ours.der()]), impostor(None));
    assert_eq!(verdict(&[evil.der(), ours.der()]), impostor(None));
    let many = vec![ours.der(); 4];
    assert_eq!(verdict(&many), TrustError::TooLarge);
    assert_eq!(
        judge(&pins(&[]), &leaf, &[evil.der()], ClockTrust::Set, at(2026)).unwrap_err(),
        impostor(Some(evil.pin()))
    );
}

#[test]
fn a_pinned_key_cannot_lend_its_name_through_another_ca() {
    // The pinned CA did issue the one between: still, only what it signs itself counts.
    let ours = Authority::new();
    let middle = Authority::under(&ours);
    let (leaf, _) = middle.leaf(&NAMES, 2026..=2026);
    let verdict = judge(&pins(&[ours.pin()]), &leaf, &[middle.der(), ours.der()], ClockTrust::Set, at(2026));
    assert_eq!(verdict.unwrap_err(), impostor(None));
}

#[test]
fn time_alone_is_forgiven_once_and_said() {
    let ca = Authority::new();
    let (leaf, _) = ca.leaf(&NAMES, 2026..=2026);
    let judged = |clock, year| judge(&pins(&[ca.pin()]), &leaf, &[ca.der()], clock, at(year));
    let early = judged(ClockTrust::Doubtful, 1970).unwrap();
    assert_eq!(early.time_problem.unwrap(), "it is valid from 2026-01-01 on, the clock says 1970-06-23");
    let late = judged(ClockTrust::Doubtful, 2099).unwrap();
    assert_eq!(late.time_problem.unwrap(), "it was valid until 2026-12-31, the clock says 2099-06-23");
    assert_eq!(
        judged(ClockTrust::Set, 2099).unwrap_err(),
        TrustError::Time("it was valid until 2026-12-31, the clock says 2099-06-23".to_owned())
    );
    // Wrong time does not excuse a wrong signer.
    let evil = Authority::new();
    let (forged, _) = evil.leaf(&NAMES, 2026..=2026);
    let verdict = judge(&pins(&[ca.pin()]), &forged, &[ca.der()], ClockTrust::Doubtful, at(2099));
    assert_eq!(verdict.unwrap_err(), impostor(None));
}

#[test]
fn a_leaf_without_exactly_one_id_is_no_server_of_ours() {
    let ca = Authority::new();
    for names in [
        &["muster.example"][..],
        &["agent.internal"],
        &["dc1.agent.internal", "dc2.agent.internal"],
        &["a.b.agent.internal"],
    ] {
        let (leaf, _) = ca.leaf(names, 2026..=2026);
        let verdict = judge(&pins(&[ca.pin()]), &leaf, &[ca.der()], ClockTrust::Set, at(2026));
        assert_eq!(verdict.unwrap_err(), TrustError::NoServerId, "{names:?}");
    }
}

/// A chain as a proxy that ends TLS shows it: a leaf for its names, and the CA between.
fn corporate(names: &[&str]) -> (Trust, CertificateDer<'static>, Vec<CertificateDer<'static>>) {
    let root = Authority::new();
    let (leaf, _) = root.leaf(names, 2026..=2026);
    let pem = protocol::config::CaCertificate::try_from(root.pem()).unwrap();
    let extra = ExtraCa::new(&[pem], Some("muster-4k2p")).unwrap();
    (Trust { pins: vec![SpkiPin([1; 32])], extra }, leaf, vec![root.der()])
}

#[test]
fn an_authority_of_the_medium_vouches_where_no_pin_does() {
    let (trust, leaf, others) = corporate(&["muster.example"]);
    for others in [&others[..], &[]] {
        let verified = judge(&trust, &leaf, others, ClockTrust::Doubtful, at(2026)).unwrap();
        assert_eq!((verified.server_id.as_str(), verified.time_problem), ("muster-4k2p", None));
        assert_eq!(verified.authority.as_deref(), Some("Corp Root"));
    }
    // A pinned chain is trusted as ever, and its own id counts.
    let ours = Authority::new();
    let (leaf, _) = ours.leaf(&NAMES, 2026..=2026);
    let both = Trust { pins: vec![ours.pin()], ..trust };
    let verified = judge(&both, &leaf, &[ours.der()], ClockTrust::Set, at(2026)).unwrap();
    assert_eq!((verified.server_id.as_str(), verified.authority), ("dc1", None));
}

#[test]
fn an_authority_of_the_medium_is_strict_in_everything() {
    let (trust, leaf, others) = corporate(&["muster.example"]);
    let judged = |leaf, others: &[_], year| judge(&trust, leaf, others, ClockTrust::Doubtful, at(year));
    let problem = "it was valid until 2026-12-31, the clock says 2099-06-23".to_owned();
    assert_eq!(judged(&leaf, &others, 2099), Err(TrustError::Time(problem)), "whatever the clock's repute");
    let refused = |outcome: Result<Verified, TrustError>| match outcome {
        Err(TrustError::Pin { authority: Some(cause), .. }) => cause,
        other => panic!("{other:?}"),
    };
    let (_, stranger, strangers) = corporate(&["muster.example"]);
    assert_eq!(refused(judged(&stranger, &strangers, 2026)), "none of them issued it");
    let (trust, leaf, others) = corporate(&["other.example"]);
    let outcome = judge(&trust, &leaf, &others, ClockTrust::Set, at(2026));
    assert_eq!(refused(outcome), "it is not for muster.example");
    // A pinned key in the chain that did not sign is an impostor, whoever else vouches.
    let (trust, leaf, others) = corporate(&["muster.example"]);
    let ours = Authority::new();
    let trust = Trust { pins: vec![ours.pin()], ..trust };
    let chain = [others[0].clone(), ours.der()];
    assert_eq!(judge(&trust, &leaf, &chain, ClockTrust::Set, at(2026)), Err(impostor(None)));
    // Without CAs in the medium nothing of this exists.
    let trust = Trust { extra: None, ..trust };
    let got = pin_of(&others[0]);
    assert_eq!(judge(&trust, &leaf, &others, ClockTrust::Set, at(2026)), Err(impostor(got)));
}

#[test]
fn authorities_are_read_or_named() {
    let good = protocol::config::CaCertificate::try_from(Authority::new().pem()).unwrap();
    let junk = "-----BEGIN CERTIFICATE-----\nMDAw\n-----END CERTIFICATE-----".to_owned();
    let junk = protocol::config::CaCertificate::try_from(junk).unwrap();
    assert_eq!(ExtraCa::new(&[good.clone(), junk], Some("a")).unwrap_err(), UnreadableCa(2));
    assert!(ExtraCa::new(&[], Some("a")).unwrap().is_none());
    assert!(ExtraCa::new(&[good], None).unwrap().is_none(), "nobody to vouch for");
}

#[test]
fn a_subject_is_named_or_called_nameless() {
    let attribute = |oid: u8, text: &str| {
        let mut der = vec![6, 3, 0x55, 4, oid, 12, u8::try_from(text.len()).unwrap()];
        der.extend(text.bytes());
        der
    };
    let subject = [attribute(10, "Corp"), attribute(3, "Corp\u{1b}[2J Root")].concat();
    assert_eq!(common_name(&subject), "Corp[2J Root");
    assert_eq!(common_name(&attribute(10, "Corp")), "Corp");
    for broken in
        [&b""[..], &[6, 3, 0x55, 4, 3], &[6, 3, 0x55, 4, 3, 12, 9, b'x'], &[6, 3, 0x55, 4, 3, 12, 0]]
    {
        assert_eq!(common_name(broken), "a CA without a name");
    }
}
