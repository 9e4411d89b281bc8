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
pub(crate) mod tests;
