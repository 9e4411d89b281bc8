//! Certificates of strangers: a CA made on the spot, and a leaf under it.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use protocol::ids::SpkiPin;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::machine::sha256;

/// What a stranger answers TLS with.
#[derive(Debug)]
pub(crate) struct Identity {
    /// Certificate, chain and key.
    pub(crate) config: Arc<ServerConfig>,
    /// Pin of the CA.
    pub(crate) pin: SpkiPin,
    /// The CA's certificate.
    pub(crate) ca_pem: String,
}

impl Identity {
    /// A leaf for these names or addresses under a new CA called `ca_name`.
    pub(crate) fn of(names: &[String], ca_name: &str) -> Result<Self> {
        let ca_key = KeyPair::generate().context("no key")?;
        let mut ca = CertificateParams::default();
        ca.distinguished_name.push(DnType::CommonName, ca_name);
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_certificate = ca.self_signed(&ca_key).context("no CA certificate")?;
        let pin = SpkiPin(sha256(&ca_key.subject_public_key_info())?);
        let key = KeyPair::generate().context("no key")?;
        let leaf = CertificateParams::new(names).context("not a name")?;
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, &ca_key)).context("no certificate")?;
        let chain = vec![leaf.der().clone(), ca_certificate.der().clone()];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("no TLS versions")?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("certificate and key do not fit")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), pin, ca_pem: ca_certificate.pem() })
    }
}
