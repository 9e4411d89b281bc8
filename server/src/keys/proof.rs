//! Verifies the proof that signs every machine call (RFC 9449 with `sid`, `body_sha256` and a
//! mandatory nonce), in two steps: form, signature, target, access token and the nonce's age from
//! the head alone, so that strangers' bodies are not kept; then the body, and the proof is used up.
//!
//! [`MachineCaller`] can only be made here, so whoever holds one holds a verified proof.

use super::Keys;
use super::nonce::Stale;
use engine::time::Timestamp;
use protocol::ids::{KeyThumbprint, MachineId};
use protocol::proof::{self, ProofClaims, ReceivedProof};
use protocol::succession;
use protocol::token::base64url;
use ring::digest::{SHA256, digest};
use std::net::IpAddr;

/// Longest `jti`, in characters: agents send 22.
const MAX_JTI: usize = 64;

/// What a proof has to vouch for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The `DPoP` header.
    pub(crate) proof: &'a str,
    /// HTTP method.
    pub(crate) method: &'a str,
    /// Path without query.
    pub(crate) path: &'a str,
    /// What `Authorization: DPoP` carried.
    pub(crate) access_token: Option<&'a str>,
    /// Address of the peer.
    pub(crate) source: IpAddr,
    /// Id of this request in the log.
    pub(crate) request_id: &'a str,
}

/// A call whose head is proven; its body is still to be compared.
#[derive(Debug)]
pub(crate) struct ProvenHead {
    claims: ProofClaims,
    key: KeyThumbprint,
    machine: Option<MachineId>,
}

impl ProvenHead {
    /// Whether an access token vouches for a registered machine.
    pub(crate) fn is_registered(&self) -> bool {
        self.machine.is_some()
    }
}

/// A machine that proved possession of its key for this very call. It may not be registered.
#[derive(Debug, Clone)]
pub(crate) struct MachineCaller {
    /// Thumbprint of its key.
    pub(crate) key: KeyThumbprint,
    /// Where it called from.
    pub(crate) source: IpAddr,
    /// Id of this request in the log.
    pub(crate) request_id: String,
    /// The machine its access token speaks for, when it sent one.
    pub(crate) machine: Option<MachineId>,
}

/// Why a call is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProofRefusal {
    /// Malformed, forged, replayed or for something else.
    #[error("the proof is damaged, used before or for another call")]
    Invalid,
    /// Missing, or well signed with a nonce that is not usable.
    #[error("the call needs a proof over a fresh nonce")]
    UseNonce,
    /// The access token ended or is not this key's.
    #[error("the access token ended or belongs to another key")]
    AccessToken,
}

impl Keys {
    /// Verifies what a proof says about a call's head. The proof is not used up.
    ///
    /// # Errors
    /// [`ProofRefusal`]; which check failed is for the log only.
    pub(crate) fn verify_head(&self, call: &Call<'_>, now: Timestamp) -> Result<ProvenHead, ProofRefusal> {
        // A machine that does not trust its clock yet asks for the time before it says who it is.
        if call.proof.is_empty() {
            return Err(ProofRefusal::UseNonce);
        }
        let received = proof::parse(call.proof).map_err(|_| ProofRefusal::Invalid)?;
        check_signature(&received)?;
        let claims = received.claims;
        let target = proof::target(self.server_id(), call.path);
        let as_called = claims.htm == call.method
            && claims.htu == target
            && claims.sid == self.server_id()
            && (1..=MAX_JTI).contains(&claims.jti.len());
        let ath = call.access_token.map(|token| base64url(digest(&SHA256, token.as_bytes()).as_ref()));
        if !as_called || claims.ath != ath {
            return Err(ProofRefusal::Invalid);
        }
        self.nonces.check(&claims.nonce, now).map_err(refusal)?;
        let key = thumbprint(&received.public_key);
        let machine = match call.access_token {
            None => None,
            Some(token) => Some(self.access.verify(token, &key, now).ok_or(ProofRefusal::AccessToken)?),
        };
        Ok(ProvenHead { claims, key, machine })
    }

    /// Verifies the body of a call whose head is proven, and uses the proof up.
    ///
    /// # Errors
    /// As [`Keys::verify_head`].
    pub(crate) fn verify_body(
        &self,
        head: ProvenHead,
        call: &Call<'_>,
        body: &[u8],
        now: Timestamp,
    ) -> Result<MachineCaller, ProofRefusal> {
        let ProvenHead { claims, key, machine } = head;
        if claims.body_sha256 != base64url(digest(&SHA256, body).as_ref()) {
            return Err(ProofRefusal::Invalid);
        }
        self.nonces.redeem(&claims.nonce, &key, &claims.jti, now).map_err(refusal)?;
        Ok(MachineCaller { key, source: call.source, request_id: call.request_id.to_owned(), machine })
    }
}

impl Keys {
    /// Which key of which machine says that `successor` is to follow it; whether that is the machine's key is
    /// for the store to say. None for whatever is no statement to this server about this key.
    pub(crate) fn verify_succession(
        &self,
        statement: &str,
        successor: KeyThumbprint,
    ) -> Option<(KeyThumbprint, MachineId)> {
        let received = proof::parse(statement).ok()?;
        check_signature(&received).ok()?;
        let about = base64url(digest(&SHA256, successor.to_string().as_bytes()).as_ref());
        let machine = succession::machine(&received.claims, self.server_id(), &about)?;
        Some((thumbprint(&received.public_key), machine))
    }
}

fn refusal(stale: Stale) -> ProofRefusal {
    match stale {
        Stale::Nonce => ProofRefusal::UseNonce,
        Stale::Replayed => ProofRefusal::Invalid,
    }
}

fn check_signature(received: &ReceivedProof) -> Result<(), ProofRefusal> {
    ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, received.public_key)
        .verify(&received.signing_input, &received.signature)
        .map_err(|_| ProofRefusal::Invalid)
}

/// What the server calls a machine's key (RFC 7638).
pub(crate) fn thumbprint(public_key: &[u8; 32]) -> KeyThumbprint {
    let digest = digest(&SHA256, proof::thumbprint_preimage(public_key).as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    KeyThumbprint(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use std::net::Ipv4Addr;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const PATH: &str = "/api/v3/bootstrap/enrollments";
    const BODY: &[u8] = b"{}";

    struct Machine {
        keys: Keys,
        pair: Ed25519KeyPair,
        _directory: tempfile::TempDir,
    }

    impl Machine {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let keys = Keys::open(directory.path(), &[], NOW).unwrap();
            let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
            Self { keys, pair, _directory: directory }
        }

        fn claims(&self) -> ProofClaims {
            ProofClaims {
                jti: base64url(&[5; 16]),
                htm: "POST".to_owned(),
                htu: proof::target(self.keys.server_id(), PATH),
                sid: self.keys.server_id().to_owned(),
                nonce: self.keys.nonce(NOW),
                body_sha256: base64url(digest(&SHA256, BODY).as_ref()),
                ath: None,
            }
        }

        fn sign(&self, claims: &ProofClaims) -> String {
            let public = self.pair.public_key().as_ref().try_into().unwrap();
            let input = proof::signing_input(&public, claims);
            proof::finish(&input, self.pair.sign(input.as_bytes()).as_ref())
        }

        fn verify(&self, proof: &str, access_token: Option<&str>) -> Result<MachineCaller, ProofRefusal> {
            let call = Call {
                proof,
                method: "POST",
                path: PATH,
                access_token,
                source: Ipv4Addr::LOCALHOST.into(),
                request_id: "r",
            };
            let head = self.keys.verify_head(&call, NOW)?;
            self.keys.verify_body(head, &call, BODY, NOW)
        }
    }

    #[test]
    fn signed_call_proves_the_key() {
        let machine = Machine::new();
        let caller = machine.verify(&machine.sign(&machine.claims()), None).unwrap();
        let public: [u8; 32] = machine.pair.public_key().as_ref().try_into().unwrap();
        assert_eq!(caller.key, thumbprint(&public));
        assert_eq!(caller.machine, None);
    }

    #[test]
    fn proof_for_anything_else_is_refused() {
        type Change = fn(&mut ProofClaims);
        let changes: [(&str, Change); 7] = [
            ("method", |c| c.htm = "GET".into()),
            ("path", |c| c.htu.push('x')),
            ("another server's target", |c| c.htu = proof::target("other", PATH)),
            ("server id", |c| c.sid = "other".into()),
            ("body", |c| c.body_sha256 = base64url(&[0; 32])),
            ("unused access token", |c| c.ath = Some(base64url(&[0; 32]))),
            ("overlong jti", |c| c.jti = "j".repeat(65)),
        ];
        let machine = Machine::new();
        for (what, change) in changes {
            let mut claims = machine.claims();
            change(&mut claims);
            let refusal = machine.verify(&machine.sign(&claims), None).unwrap_err();
            assert_eq!(refusal, ProofRefusal::Invalid, "{what}");
        }
    }

    #[test]
    fn proof_changed_at_any_character_is_refused() {
        let machine = Machine::new();
        let proof = machine.sign(&machine.claims());
        for at in 0..proof.len() {
            let mut forged = proof.clone().into_bytes();
            forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(machine.verify(&forged, None).is_err(), "character {at}");
        }
        assert!(machine.verify(&proof, None).is_ok());
    }

    #[test]
    fn proof_is_single_use_and_first_call_is_given_a_nonce() {
        let machine = Machine::new();
        let proof = machine.sign(&machine.claims());
        assert!(machine.verify(&proof, None).is_ok());
        assert_eq!(machine.verify(&proof, None).unwrap_err(), ProofRefusal::Invalid);
        let first = ProofClaims { nonce: String::new(), ..machine.claims() };
        assert_eq!(machine.verify(&machine.sign(&first), None).unwrap_err(), ProofRefusal::UseNonce);
    }

    #[test]
    fn access_token_counts_only_with_its_digest_in_the_proof() {
        let machine = Machine::new();
        let public: [u8; 32] = machine.pair.public_key().as_ref().try_into().unwrap();
        let id = MachineId(uuid::Uuid::from_bytes([4; 16]));
        let token = machine.keys.access_token(id, &thumbprint(&public), NOW);
        let mut claims = machine.claims();
        assert_eq!(machine.verify(&machine.sign(&claims), Some(&token)).unwrap_err(), ProofRefusal::Invalid);
        claims.ath = Some(base64url(digest(&SHA256, token.as_bytes()).as_ref()));
        assert_eq!(machine.verify(&machine.sign(&claims), Some(&token)).unwrap().machine, Some(id));
    }

    #[test]
    fn access_token_of_another_key_is_refused_by_its_own_word() {
        let machine = Machine::new();
        let id = MachineId(uuid::Uuid::from_bytes([4; 16]));
        let token = machine.keys.access_token(id, &KeyThumbprint([1; 32]), NOW);
        let ath = Some(base64url(digest(&SHA256, token.as_bytes()).as_ref()));
        let claims = ProofClaims { ath, ..machine.claims() };
        assert_eq!(
            machine.verify(&machine.sign(&claims), Some(&token)).unwrap_err(),
            ProofRefusal::AccessToken
        );
    }
}
