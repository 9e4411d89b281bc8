//! The proof that signs every machine call: one `DPoP` header (RFC 9449 with `sid`,
//! `body_sha256` and a mandatory server `nonce`).
//!
//! A compact JWS: `{"typ":"dpop+jwt","alg":"EdDSA","jwk":{...}}`, claims, an Ed25519
//! signature. This module lays out and reads the bytes; ring signs and verifies them.

use crate::token::{base64url, from_base64url, from_base64url_exact};
use serde::{Deserialize, Serialize};

/// Request header that carries a proof.
pub const PROOF_HEADER: &str = "dpop";
/// Response header that carries a fresh nonce.
pub const NONCE_HEADER: &str = "dpop-nonce";
/// Longest proof that is looked at, in characters.
pub const MAX_PROOF_LEN: usize = 2_048;

/// What a proof vouches for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofClaims {
    /// Unique value of this proof: 16 random bytes as base64url. Remembered for the nonce's life.
    pub jti: String,
    /// HTTP method.
    pub htm: String,
    /// `https://<server-id>.agent.internal` and the path, without query.
    pub htu: String,
    /// Server id the machine believes it talks to.
    pub sid: String,
    /// The server's nonce; empty on the very first call, which is answered `use_nonce`.
    pub nonce: String,
    /// base64url of the request body's SHA-256.
    pub body_sha256: String,
    /// base64url of the access token's SHA-256, when one is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ath: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    typ: String,
    alg: String,
    jwk: Jwk,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Jwk {
    kty: String,
    crv: String,
    x: String,
}

/// Why a header is not a proof. One answer for all: 401 `invalid_proof`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Longer than [`MAX_PROOF_LEN`].
    #[error("proof has more than {MAX_PROOF_LEN} characters")]
    TooLong,
    /// Not three parts of base64url, or not the JSON expected in them.
    #[error("proof is not a signed DPoP header")]
    Shape,
    /// Another type or algorithm than Ed25519's.
    #[error("proof must be dpop+jwt signed with EdDSA by an Ed25519 key")]
    Algorithm,
}

/// A proof as it arrived: well formed, signature not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedProof {
    /// The machine's raw Ed25519 public key.
    pub public_key: [u8; 32],
    /// What it vouches for.
    pub claims: ProofClaims,
    /// Bytes the signature covers.
    pub signing_input: Vec<u8>,
    /// Ed25519 signature.
    pub signature: Vec<u8>,
}

/// The bytes to sign for `claims` by the holder of `public_key`.
pub fn signing_input(public_key: &[u8; 32], claims: &ProofClaims) -> String {
    let header = Header {
        typ: "dpop+jwt".to_owned(),
        alg: "EdDSA".to_owned(),
        jwk: Jwk { kty: "OKP".to_owned(), crv: "Ed25519".to_owned(), x: base64url(public_key) },
    };
    // Plain structs of strings always serialise.
    let part = |json: serde_json::Result<Vec<u8>>| base64url(&json.unwrap_or_default());
    format!("{}.{}", part(serde_json::to_vec(&header)), part(serde_json::to_vec(claims)))
}

/// The header's value: what was signed, and the signature.
pub fn finish(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", base64url(signature))
}

/// Reads a proof header. The caller verifies the signature, nonce, method, target and body.
///
/// # Errors
/// [`ProofError`]; nothing longer than [`MAX_PROOF_LEN`] is decoded.
pub fn parse(header: &str) -> Result<ReceivedProof, ProofError> {
    if header.len() > MAX_PROOF_LEN {
        return Err(ProofError::TooLong);
    }
    let (input, signature) = header.rsplit_once('.').ok_or(ProofError::Shape)?;
    let (head, body) = input.split_once('.').ok_or(ProofError::Shape)?;
    let decode = |part| from_base64url(part).ok_or(ProofError::Shape);
    let head: Header = serde_json::from_slice(&decode(head)?).map_err(|_| ProofError::Shape)?;
    if head.typ != "dpop+jwt" || head.alg != "EdDSA" || head.jwk.kty != "OKP" || head.jwk.crv != "Ed25519" {
        return Err(ProofError::Algorithm);
    }
    Ok(ReceivedProof {
        public_key: from_base64url_exact(&head.jwk.x).ok_or(ProofError::Algorithm)?,
        claims: serde_json::from_slice(&decode(body)?).map_err(|_| ProofError::Shape)?,
        signing_input: input.as_bytes().to_vec(),
        signature: decode(signature)?,
    })
}

/// The bytes whose SHA-256 is the key's thumbprint (RFC 7638 section 3, RFC 8037 appendix A.3).
pub fn thumbprint_preimage(public_key: &[u8; 32]) -> String {
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(public_key))
}

/// The `htu` claim for a path of the server with this id.
pub fn target(server_id: &str, path: &str) -> String {
    format!("https://{server_id}{}{path}", crate::SERVER_ID_SUFFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn claims() -> ProofClaims {
        ProofClaims {
            jti: "j".into(),
            htm: "POST".into(),
            htu: target("dc1", "/api/v3/agent/heartbeat"),
            sid: "dc1".into(),
            nonce: "n".into(),
            body_sha256: base64url(&[0; 32]),
            ath: None,
        }
    }

    #[test]
    fn proof_round_trips() {
        let input = signing_input(&[9; 32], &claims());
        let received = parse(&finish(&input, &[5; 64])).unwrap();
        assert_eq!(received.public_key, [9; 32]);
        assert_eq!(received.claims, claims());
        assert_eq!(received.signing_input, input.as_bytes());
        assert_eq!(received.signature, [5; 64]);
    }

    #[test]
    fn thumbprint_follows_rfc_8037() {
        // RFC 8037 appendix A.3.
        let x = from_base64url_exact("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(
            thumbprint_preimage(&x),
            r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#
        );
    }

    #[test]
    fn other_algorithms_and_extra_members_are_refused() {
        let forged = |header: &str| {
            format!(
                "{}.{}.{}",
                base64url(header.as_bytes()),
                base64url(&serde_json::to_vec(&claims()).unwrap()),
                base64url(&[0; 64])
            )
        };
        let x = base64url(&[1; 32]);
        for header in [
            format!(r#"{{"typ":"dpop+jwt","alg":"none","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#),
            format!(r#"{{"typ":"JWT","alg":"EdDSA","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#),
            format!(
                r#"{{"typ":"dpop+jwt","alg":"EdDSA","crit":["b64"],"jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}}}"#
            ),
            format!(
                r#"{{"typ":"dpop+jwt","alg":"EdDSA","jwk":{{"kty":"OKP","crv":"Ed25519","x":"{x}","d":"{x}"}}}}"#
            ),
        ] {
            assert!(parse(&forged(&header)).is_err(), "{header}");
        }
        assert_eq!(parse(&"a".repeat(2_049)).unwrap_err(), ProofError::TooLong);
    }

    proptest! {
        #[test]
        fn parsing_is_total(text in "[a-zA-Z0-9._{}\":-]{0,200}") {
            let _proof = parse(&text);
        }
    }
}
