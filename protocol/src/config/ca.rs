//! A CA certificate as PEM (RFC 7468) in the embedded config: whom a machine trusts behind a
//! proxy that ends TLS. Only the wrapping is read here; the certificate is the reader's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most extra CAs a config carries.
pub const MAX_CA: usize = 4;
/// Longest PEM of all extra CAs together, in bytes.
pub const MAX_CA_LEN: usize = 16 * 1_024;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// A text that is not one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CaError {
    /// Longer than [`MAX_CA_LEN`].
    #[error("CA certificate has {0} bytes, all of them together may have {MAX_CA_LEN}")]
    TooLong(usize),
    /// Not `-----BEGIN CERTIFICATE-----` to `-----END CERTIFICATE-----`, or several of them.
    #[error("CA certificate must be PEM, one certificate from {BEGIN} to {END} an entry")]
    Form,
    /// Not base64, or not DER within.
    #[error("CA certificate is damaged between {BEGIN} and {END}")]
    Damaged,
}

/// One certificate, unwrapped. Written as PEM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CaCertificate(Vec<u8>);

impl CaCertificate {
    /// The certificate's DER, not looked into.
    pub fn der(&self) -> &[u8] {
        &self.0
    }

    /// The certificate as PEM.
    pub fn pem(&self) -> String {
        wrapped(&self.0)
    }
}

pub(super) fn wrapped(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(String::from_utf8_lossy);
    lines.fold(format!("{BEGIN}\n"), |pem, line| pem + &line + "\n") + END + "\n"
}

impl TryFrom<String> for CaCertificate {
    type Error = CaError;

    fn try_from(text: String) -> Result<Self, CaError> {
        if text.len() > MAX_CA_LEN {
            return Err(CaError::TooLong(text.len()));
        }
        // What stands before it is a remark, as openssl writes them.
        let (_, body) = text.split_once(BEGIN).ok_or(CaError::Form)?;
        let (body, after) = body.split_once(END).ok_or(CaError::Form)?;
        if body.contains("-----") || !after.trim().is_empty() {
            return Err(CaError::Form);
        }
        let body: String = body.split_whitespace().collect();
        let der = STANDARD.decode(body).map_err(|_| CaError::Damaged)?;
        // A certificate is a SEQUENCE (X.690 8.9).
        if der.first() == Some(&0x30) { Ok(Self(der)) } else { Err(CaError::Damaged) }
    }
}

impl From<CaCertificate> for String {
    fn from(certificate: CaCertificate) -> String {
        certificate.pem()
    }
}

impl fmt::Debug for CaCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CaCertificate({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_is_unwrapped_and_written_again() {
        let certificate = CaCertificate(vec![0x30; 100]);
        let pem = certificate.pem();
        assert_eq!(pem.lines().count(), 5);
        for text in [pem.clone(), format!("subject=Corp\n{}", pem.replace('\n', "\r\n"))] {
            assert_eq!(CaCertificate::try_from(text).unwrap(), certificate);
        }
        assert_eq!(CaCertificate::try_from(pem.repeat(2)), Err(CaError::Form));
        assert_eq!(CaCertificate::try_from(pem.replace(END, "")), Err(CaError::Form));
        assert_eq!(CaCertificate::try_from(pem.replace("MDAw", "M*Aw")), Err(CaError::Damaged));
        assert_eq!(CaCertificate::try_from(format!("{BEGIN}\n{END}\n")), Err(CaError::Damaged));
        assert_eq!(CaCertificate::try_from("x".repeat(20_000)), Err(CaError::TooLong(20_000)));
    }
}
