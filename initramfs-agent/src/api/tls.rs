//! Whom the machine talks to: decided by a pinned key, before a byte of HTTP is sent
//! (`spec/security.md` 4).
//!
//! 1. Some certificate of the presented chain has a pinned SubjectPublicKeyInfo.
//! 2. That certificate alone, as the only anchor, signed the leaf.
//! 3. The leaf names exactly one `<server-id>.agent.internal`: that is how the id is learnt.
//! 4. The peer holds the leaf's key (the handshake's own signature, verified for real).
//!
//! The name under which the server was reached plays no part, so its address may change. Time is
//! judged last: under a doubtful clock a chain that fails on nothing else is accepted and its
//! problem reported.
//!
//! A medium may carry CAs for servers behind a proxy that ends TLS ([`ExtraCa`]). They count only
//! where no pinned key is in the chain, and strictly: path, time whatever the clock, and the name
//! that was dialled. There is no other way to be trusted: no system roots, no flag.

use super::ClockTrust;
use protocol::SERVER_ID_SUFFIX;
use protocol::config::{CaCertificate, is_server_id};
use protocol::ids::SpkiPin;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::{Arc, OnceLock};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Most certificates of a chain that are looked at.
const MAX_CHAIN: usize = 4;
/// Largest certificate that is looked at, in bytes.
const MAX_CERTIFICATE: usize = 16 * 1_024;

/// Whom the machine trusts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// Keys of Muster's own CAs.
    pub(crate) pins: Vec<SpkiPin>,
    /// The medium's CAs, if it carries any.
    pub(crate) extra: Option<ExtraCa>,
}

/// CAs that may vouch for one server where no pinned key does.
#[derive(Debug, Clone)]
pub(crate) struct ExtraCa {
    anchors: Vec<TrustAnchor<'static>>,
    server_id: String,
}

/// A CA certificate of the medium that nobody can read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("CA certificate {0} of the embedded config is not a certificate; customize the medium again")]
pub(crate) struct UnreadableCa(usize);

impl ExtraCa {
    /// CAs for the server of this id; `None` when there are none.
    ///
    /// # Errors
    /// [`UnreadableCa`] counts from 1.
    pub(crate) fn new(
        certificates: &[CaCertificate],
        server_id: Option<&str>,
    ) -> Result<Option<Self>, UnreadableCa> {
        let Some(server_id) = server_id.filter(|_| !certificates.is_empty()) else { return Ok(None) };
        let anchor = |(index, certificate): (usize, &CaCertificate)| {
            let der = CertificateDer::from(certificate.der());
            anchor_from_trusted_cert(&der)
                .map(|anchor| anchor.to_owned())
                .map_err(|_| UnreadableCa(index + 1))
        };
        let anchors = certificates.iter().enumerate().map(anchor).collect::<Result<_, _>>()?;
        Ok(Some(Self { anchors, server_id: server_id.to_owned() }))
    }

    /// Judges a chain by path, name and time, all of them strictly.
    fn judge(
        &self,
        name: &ServerName<'_>,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Verified, TrustError> {
        let got = others.last().or(Some(leaf)).and_then(pin_of);
        let refused = |error: webpki::Error| match time_problem(&error, now) {
            Some((problem, _)) => TrustError::Time(problem),
            None => TrustError::Pin { got, authority: Some(told(&error, name)) },
        };
        let leaf = EndEntityCert::try_from(leaf).map_err(refused)?;
        let path = verify(&leaf, &self.anchors, others, now).map_err(refused)?;
        leaf.verify_is_valid_for_subject_name(name).map_err(refused)?;
        let authority = Some(common_name(path.anchor().subject.as_ref()));
        Ok(Verified { server_id: self.server_id.clone(), authority, time_problem: None })
    }
}

fn told(error: &webpki::Error, name: &ServerName<'_>) -> String {
    use webpki::Error::{CertNotValidForName, InvalidSignatureForPublicKey, UnknownIssuer};
    // Another key under the same name is another issuer.
    if matches!(error, UnknownIssuer | InvalidSignatureForPublicKey) {
        "none of them issued it".to_owned()
    } else if matches!(error, CertNotValidForName(_)) {
        format!("it is not for {}", name.to_str())
    } else {
        error.to_string()
    }
}

/// A subject's common name, else its organisation, from its DER (RFC 5280 appendix A): enough to
/// tell one CA from another on a console.
fn common_name(subject: &[u8]) -> String {
    // id-at-commonName and id-at-organizationName, each as a whole OBJECT IDENTIFIER.
    const NAMES: [[u8; 5]; 2] = [[6, 3, 0x55, 4, 3], [6, 3, 0x55, 4, 10]];
    let value = |oid: &[u8; 5]| {
        let at = subject.windows(oid.len()).position(|bytes| bytes == oid)?;
        // A string: its tag, its length in one byte, its characters.
        let (&[_tag, length], text) = subject.get(at + oid.len()..)?.split_first_chunk::<2>()?;
        let text = text.get(..usize::from(length)).filter(|text| (1..128).contains(&text.len()))?;
        Some(protocol::inventory::clean_text(&String::from_utf8_lossy(text)))
    };
    NAMES.iter().find_map(value).unwrap_or_else(|| "a CA without a name".to_owned())
}

/// What a chain proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The server's id.
    pub(crate) server_id: String,
    /// The medium's CA that vouched; `None` when a pinned key did.
    pub(crate) authority: Option<String>,
    /// Why it would have failed on time alone.
    pub(crate) time_problem: Option<String>,
}

/// Why a chain proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TrustError {
    /// No pinned key in the chain, or it did not sign the leaf.
    #[error("no pinned key vouches for the certificate")]
    Pin {
        /// Topmost key of the chain when none is pinned.
        got: Option<SpkiPin>,
        /// Why none of the medium's CAs vouches either, when there are some.
        authority: Option<String>,
    },
    /// Trusted, but outside its time.
    #[error("{0}")]
    Time(String),
    /// Trusted, but not a certificate of a Muster server.
    #[error("the certificate names no server id under agent.internal")]
    NoServerId,
    /// More or larger certificates than anybody needs.
    #[error("the certificate chain is larger than {MAX_CHAIN} times {MAX_CERTIFICATE} bytes")]
    TooLarge,
}

/// The pin of a certificate, `None` when it cannot be read.
fn pin_of(certificate: &CertificateDer<'_>) -> Option<SpkiPin> {
    let parsed = EndEntityCert::try_from(certificate).ok()?;
    Some(SpkiPin(crate::identity::sha256(&parsed.subject_public_key_info())))
}

/// Judges a chain: `leaf`, and `others` in any order, of the server that was dialled as `name`.
///
/// # Errors
/// [`TrustError`], the pin before everything else.
pub(crate) fn judge(
    trust: &Trust,
    name: &ServerName<'_>,
    (leaf, others): (&CertificateDer<'_>, &[CertificateDer<'_>]),
    clock: ClockTrust,
    now: UnixTime,
) -> Result<Verified, TrustError> {
    if others.len() >= MAX_CHAIN || others.iter().chain([leaf]).any(|der| der.len() > MAX_CERTIFICATE) {
        return Err(TrustError::TooLarge);
    }
    let pinned = others.iter().find(|der| pin_of(der).is_some_and(|pin| trust.pins.contains(&pin)));
    let Some(pinned) = pinned else {
        return match &trust.extra {
            Some(extra) => extra.judge(name, leaf, others, now),
            None => {
                Err(TrustError::Pin { got: others.last().or(Some(leaf)).and_then(pin_of), authority: None })
            }
        };
    };
    let impostor = || TrustError::Pin { got: None, authority: None };
    let time_problem = match signed_by(leaf, pinned, now) {
        Ok(()) => None,
        // The same path again, at a moment at which the leaf was valid: whatever is wrong
        // besides its time still is.
        Err(error) => {
            let (problem, valid_at) = time_problem(&error, now).ok_or_else(impostor)?;
            signed_by(leaf, pinned, valid_at).map_err(|_| impostor())?;
            Some(problem)
        }
    };
    let server_id = server_id(leaf).ok_or(TrustError::NoServerId)?;
    match (time_problem, clock) {
        (Some(problem), ClockTrust::Set) => Err(TrustError::Time(problem)),
        (time_problem, ClockTrust::Doubtful | ClockTrust::Set) => {
            Ok(Verified { server_id, authority: None, time_problem })
        }
    }
}

/// What is wrong with a certificate's time, and a moment at which it was not; `None` when
/// something else is wrong.
fn time_problem(error: &webpki::Error, now: UnixTime) -> Option<(String, UnixTime)> {
    let says = day(now);
    if let webpki::Error::CertNotValidYet { not_before: from, .. } = error {
        Some((format!("it is valid from {} on, the clock says {says}", day(*from)), *from))
    } else if let webpki::Error::CertExpired { not_after: until, .. } = error {
        Some((format!("it was valid until {}, the clock says {says}", day(*until)), *until))
    } else {
        None
    }
}

fn signed_by(
    leaf: &CertificateDer<'_>,
    pinned: &CertificateDer<'_>,
    at: UnixTime,
) -> Result<(), webpki::Error> {
    let anchor = anchor_from_trusted_cert(pinned)?;
    verify(&EndEntityCert::try_from(leaf)?, &[anchor], &[], at).map(|_path| ())
}

fn verify<'a>(
    leaf: &'a EndEntityCert<'a>,
    anchors: &'a [TrustAnchor<'a>],
    others: &'a [CertificateDer<'a>],
    at: UnixTime,
) -> Result<webpki::VerifiedPath<'a>, webpki::Error> {
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    leaf.verify_for_usage(algorithms, anchors, others, at, KeyUsage::server_auth(), None, None)
}

/// The one id among the leaf's names; none when there are two.
fn server_id(leaf: &CertificateDer<'_>) -> Option<String> {
    let parsed = EndEntityCert::try_from(leaf).ok()?;
    let mut ids = parsed.valid_dns_names().filter_map(|name| name.strip_suffix(SERVER_ID_SUFFIX));
    let id = ids.next().filter(|id| is_server_id(id))?;
    ids.next().is_none().then(|| id.to_owned())
}

/// `2026-11-22`: a date is all that a clock question needs (proleptic Gregorian, from days
/// since 1970).
fn day(at: UnixTime) -> String {
    let days = i64::try_from(at.as_secs() / 86_400).unwrap_or_default() + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The verifier of one connection; keeps its verdict for the one who connects.
#[derive(Debug)]
pub(crate) struct PinVerifier {
    trust: Trust,
    clock: ClockTrust,
    algorithms: WebPkiSupportedAlgorithms,
    verdict: OnceLock<Result<Verified, TrustError>>,
}

impl PinVerifier {
    /// What was decided; `None` while no certificate arrived.
    pub(crate) fn verdict(&self) -> Option<&Result<Verified, TrustError>> {
        self.verdict.get()
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = (end_entity, intermediates);
        let verdict = judge(&self.trust, server_name, chain, self.clock, now);
        match self.verdict.get_or_init(|| verdict) {
            Ok(_) => Ok(ServerCertVerified::assertion()),
            Err(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The set-up of one connection. Nothing is shared between connections: no resumption, so
/// that every one of them is judged.
///
/// # Errors
/// Never with ring's own defaults; the error is rustls's.
pub(crate) fn config(
    trust: &Trust,
    clock: ClockTrust,
) -> Result<(ClientConfig, Arc<PinVerifier>), rustls::Error> {
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PinVerifier {
        trust: trust.clone(),
        clock,
        algorithms: provider.signature_verification_algorithms,
        verdict: OnceLock::new(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok((config, verifier))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
    use std::ops::RangeInclusive;
    use std::time::Duration;

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
            assert_eq!(
                verified,
                Verified { server_id: "dc1".to_owned(), authority: None, time_problem: None }
            );
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
        let verdict =
            judge(&pins(&[ours.pin()]), &leaf, &[middle.der(), ours.der()], ClockTrust::Set, at(2026));
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
        assert_eq!(
            judged(&leaf, &others, 2099),
            Err(TrustError::Time(problem)),
            "whatever the clock's repute"
        );
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
}
