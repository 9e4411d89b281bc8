//! Signs one call: the `DPoP` header of [`protocol::proof`], by the machine's key.

use crate::identity::{Identity, sha256};
use protocol::ids::{KeyThumbprint, MachineId};
use protocol::proof::{ProofClaims, finish, signing_input, target};
use protocol::token::base64url;
use ring::rand::{SecureRandom, SystemRandom};

/// The kernel gives no randomness for a proof's unique value.
#[derive(Debug, thiserror::Error)]
#[error("no randomness to sign a call with")]
pub(crate) struct NoRandomness;

/// What a proof vouches for, besides who signs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// Server the machine believes it talks to.
    pub(crate) server_id: &'a str,
    /// Path of a `POST`.
    pub(crate) path: &'a str,
    /// The server's nonce, empty on the first call.
    pub(crate) nonce: &'a str,
    /// The request's body.
    pub(crate) body: &'a [u8],
    /// The access token sent beside the proof.
    pub(crate) access_token: Option<&'a str>,
}

/// The header's value; new on every call, also when a call is repeated.
///
/// # Errors
/// [`NoRandomness`].
pub(crate) fn sign(identity: &Identity, call: Signed<'_>) -> Result<String, NoRandomness> {
    let claims = ProofClaims {
        jti: unique()?,
        htm: "POST".to_owned(),
        htu: target(call.server_id, call.path),
        sid: call.server_id.to_owned(),
        nonce: call.nonce.to_owned(),
        body_sha256: base64url(&sha256(call.body)),
        ath: call.access_token.map(|token| base64url(&sha256(token.as_bytes()))),
    };
    Ok(signed(identity, &claims))
}

/// The statement of this key that `successor` is to follow it ([`protocol::succession`]).
///
/// # Errors
/// [`NoRandomness`].
pub(crate) fn succession(
    identity: &Identity,
    server_id: &str,
    machine: MachineId,
    successor: KeyThumbprint,
) -> Result<String, NoRandomness> {
    let digest = base64url(&sha256(successor.to_string().as_bytes()));
    Ok(signed(identity, &protocol::succession::claims(server_id, machine, digest, unique()?)))
}

fn unique() -> Result<String, NoRandomness> {
    let mut unique = [0u8; 16];
    SystemRandom::new().fill(&mut unique).map_err(|_| NoRandomness)?;
    Ok(base64url(&unique))
}

fn signed(identity: &Identity, claims: &ProofClaims) -> String {
    let input = signing_input(identity.public(), claims);
    finish(&input, &identity.sign(input.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ED25519, UnparsedPublicKey};

    #[test]
    fn a_proof_verifies_and_says_what_was_called() {
        let (identity, _) = Identity::establish(None).unwrap();
        let call = Signed {
            server_id: "dc1",
            path: "/api/v3/agent/token",
            nonce: "n1",
            body: b"{}",
            access_token: Some("secret-token"),
        };
        let header = sign(&identity, call).unwrap();
        let received = protocol::proof::parse(&header).unwrap();
        UnparsedPublicKey::new(&ED25519, received.public_key)
            .verify(&received.signing_input, &received.signature)
            .unwrap();
        assert_eq!(received.claims.htu, "https://dc1.agent.internal/api/v3/agent/token");
        assert_eq!(received.claims.body_sha256, base64url(&sha256(b"{}")));
        assert_eq!(received.claims.ath, Some(base64url(&sha256(b"secret-token"))));
        assert!(!header.contains("secret-token"));
        assert_ne!(header, sign(&identity, call).unwrap(), "every proof is unique");
    }
}
