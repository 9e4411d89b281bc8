//! Whom the machine talks to: decided by a pinned key, before a byte of HTTP is sent
//! (`spec/security.md` 4).
//!
//! 1. Some certificate of the presented chain has a pinned SubjectPublicKeyInfo.
//! 2. That certificate alone, as the only anchor, signed the leaf.
//! 3. The leaf names exactly one `<server-id>.agent.internal`: that is how the id is learnt.
//! 4. The peer holds the leaf's key (the handshake's own signature, verified for real).
//!
//! There is no other way to be trusted: no system roots, no flag. The name under which the
//! server was reached plays no part, so its address may change. Time is judged last: under a
//! doubtful clock a chain that fails on nothing else is accepted and its problem reported.

use super::ClockTrust;
use protocol::SERVER_ID_SUFFIX;
use protocol::ids::SpkiPin;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use std::sync::{Arc, OnceLock};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};

/// Most certificates of a chain that are looked at.
const MAX_CHAIN: usize = 4;
/// Largest certificate that is looked at, in bytes.
const MAX_CERTIFICATE: usize = 16 * 1_024;

/// What a chain proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    /// The server's id.
    pub(crate) server_id: String,
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

/// Judges a chain: `leaf`, and `others` in any order.
///
/// # Errors
/// [`TrustError`], the pin before everything else.
pub(crate) fn judge(
    pins: &[SpkiPin],
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    clock: ClockTrust,
    now: UnixTime,
) -> Result<Verified, TrustError> {
    if others.len() >= MAX_CHAIN || others.iter().chain([leaf]).any(|der| der.len() > MAX_CERTIFICATE) {
        return Err(TrustError::TooLarge);
    }
    let pinned = others.iter().find(|der| pin_of(der).is_some_and(|pin| pins.contains(&pin)));
    let Some(pinned) = pinned else {
        return Err(TrustError::Pin { got: others.last().or(Some(leaf)).and_then(pin_of) });
    };
    let time_problem = match signed_by(leaf, pinned, now) {
        Ok(()) => None,
        // The same path again, at a moment at which the leaf was valid: whatever is wrong
        // besides its time still is.
        Err(webpki::Error::CertNotValidYet { not_before, .. }) => {
            signed_by(leaf, pinned, not_before).map_err(|_| TrustError::Pin { got: None })?;
            Some(format!("it is valid from {} on, the clock says {}", day(not_before), day(now)))
        }
        Err(webpki::Error::CertExpired { not_after, .. }) => {
            signed_by(leaf, pinned, not_after).map_err(|_| TrustError::Pin { got: None })?;
            Some(format!("it was valid until {}, the clock says {}", day(not_after), day(now)))
        }
        Err(_) => return Err(TrustError::Pin { got: None }),
    };
    let server_id = server_id(leaf).ok_or(TrustError::NoServerId)?;
    match (time_problem, clock) {
        (Some(problem), ClockTrust::Set) => Err(TrustError::Time(problem)),
        (time_problem, ClockTrust::Doubtful | ClockTrust::Set) => Ok(Verified { server_id, time_problem }),
    }
}

fn signed_by(
    leaf: &CertificateDer<'_>,
    pinned: &CertificateDer<'_>,
    at: UnixTime,
) -> Result<(), webpki::Error> {
    let anchor = anchor_from_trusted_cert(pinned)?;
    EndEntityCert::try_from(leaf)?
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &[],
            at,
            KeyUsage::server_auth(),
            None,
            None,
        )
        .map(|_path| ())
}

/// The one id among the leaf's names; none when there are two.
fn server_id(leaf: &CertificateDer<'_>) -> Option<String> {
    let parsed = EndEntityCert::try_from(leaf).ok()?;
    let mut ids = parsed.valid_dns_names().filter_map(|name| name.strip_suffix(SERVER_ID_SUFFIX));
    let id = ids.next().filter(|id| is_server_id(id))?;
    ids.next().is_none().then(|| id.to_owned())
}

fn is_server_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
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
    pins: Vec<SpkiPin>,
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
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verdict = judge(&self.pins, end_entity, intermediates, self.clock, now);
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
    pins: &[SpkiPin],
    clock: ClockTrust,
) -> Result<(ClientConfig, Arc<PinVerifier>), rustls::Error> {
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PinVerifier {
        pins: pins.to_vec(),
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
        for pins in [[ca.pin(), other], [other, ca.pin()]] {
            let verified = judge(&pins, &leaf, &[ca.der()], ClockTrust::Set, at(2026)).unwrap();
            assert_eq!(verified, Verified { server_id: "dc1".to_owned(), time_problem: None });
        }
    }

    #[test]
    fn nobody_else_is_trusted() {
        let (ours, evil) = (Authority::new(), Authority::new());
        let pins = [ours.pin()];
        let (leaf, _) = evil.leaf(&NAMES, 2026..=2026);
        let verdict = |others: &[CertificateDer<'static>]| {
            judge(&pins, &leaf, others, ClockTrust::Doubtful, at(2026)).unwrap_err()
        };
        assert_eq!(verdict(&[evil.der()]), TrustError::Pin { got: Some(evil.pin()) });
        assert_eq!(verdict(&[]), TrustError::Pin { got: pin_of(&leaf) });
        // Our CA's certificate is public: shown beside a leaf it did not sign, it proves nothing.
        assert_eq!(verdict(&[ours.der()]), TrustError::Pin { got: None });
        assert_eq!(verdict(&[evil.der(), ours.der()]), TrustError::Pin { got: None });
        let many = vec![ours.der(); 4];
        assert_eq!(verdict(&many), TrustError::TooLarge);
        assert_eq!(
            judge(&[], &leaf, &[evil.der()], ClockTrust::Set, at(2026)).unwrap_err(),
            TrustError::Pin { got: Some(evil.pin()) }
        );
    }

    #[test]
    fn a_pinned_key_cannot_lend_its_name_through_another_ca() {
        // The pinned CA did issue the one between: still, only what it signs itself counts.
        let ours = Authority::new();
        let middle = Authority::under(&ours);
        let (leaf, _) = middle.leaf(&NAMES, 2026..=2026);
        let verdict = judge(&[ours.pin()], &leaf, &[middle.der(), ours.der()], ClockTrust::Set, at(2026));
        assert_eq!(verdict.unwrap_err(), TrustError::Pin { got: None });
    }

    #[test]
    fn time_alone_is_forgiven_once_and_said() {
        let ca = Authority::new();
        let (leaf, _) = ca.leaf(&NAMES, 2026..=2026);
        let judged = |clock, year| judge(&[ca.pin()], &leaf, &[ca.der()], clock, at(year));
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
        let verdict = judge(&[ca.pin()], &forged, &[ca.der()], ClockTrust::Doubtful, at(2099));
        assert_eq!(verdict.unwrap_err(), TrustError::Pin { got: None });
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
            let verdict = judge(&[ca.pin()], &leaf, &[ca.der()], ClockTrust::Set, at(2026));
            assert_eq!(verdict.unwrap_err(), TrustError::NoServerId, "{names:?}");
        }
    }
}
