//! Signs wipe permits with the key of the leaf that the TLS listener shows (`spec/security.md` 5): a machine
//! believes them for the same reason for which it believes the server, a pinned CA.

use super::KeysError;
use super::identity::Shown;
use protocol::install::Permit;
use protocol::proof;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

/// What signs permits.
pub(super) struct PermitKey(EcdsaKeyPair);

impl PermitKey {
    /// The leaf's key, PKCS #8.
    ///
    /// # Errors
    /// [`KeysError::Damaged`] for anything but a P-256 key.
    pub(super) fn new(leaf_key: &[u8]) -> Result<Self, KeysError> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, leaf_key, &random);
        pair.map(Self).map_err(|_| KeysError::Damaged("leaf.key.pem"))
    }
}

impl Shown {
    /// A permit as machines take it: a compact JWS with the chain of the TLS listener.
    ///
    /// # Errors
    /// [`KeysError::Random`].
    pub(crate) fn sign_permit(&self, permit: &Permit) -> Result<String, KeysError> {
        let [leaf, ca] = self.chain();
        let input = permit.signing_input(leaf, ca);
        let signature = self.permit_key.0.sign(&SystemRandom::new(), input.as_bytes());
        Ok(proof::finish(&input, signature.map_err(|_| KeysError::Random)?.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Keys;
    use super::super::authority::key_pair;
    use super::*;
    use engine::time::Timestamp;
    use protocol::install::{MAX_PERMIT_LEN, MAX_PERMITTED, PermittedDisk, ReceivedPermit};
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    #[test]
    fn permit_carries_the_chain_that_the_listener_shows_and_its_leafs_signature() {
        let directory = tempfile::tempdir().unwrap();
        // As many names as a leaf has at most: the permit must have room for it.
        let names: Vec<String> = (0..100).map(|n| format!("server-{n}.example")).collect();
        let keys = Keys::open(directory.path(), &names, NOW).unwrap();
        let text = "x".repeat(protocol::inventory::MAX_TEXT);
        let permit = Permit {
            uuid: Uuid::from_u128(1),
            jkt: "A".repeat(43),
            run: Uuid::from_u128(2),
            job: Uuid::from_u128(3),
            epoch: i64::MAX,
            disks: vec![
                PermittedDisk { wwn: text, size: u64::MAX, ..PermittedDisk::default() };
                MAX_PERMITTED
            ],
            image: format!("sha256:{}", "0".repeat(64)),
            exp: i64::MAX,
        };
        let text = keys.shown().sign_permit(&permit).unwrap();
        assert!(text.len() <= MAX_PERMIT_LEN, "{} bytes", text.len());
        let received = ReceivedPermit::parse(&text).unwrap();
        assert_eq!(received.permit, permit);
        assert_eq!([received.leaf.as_slice(), received.ca.as_slice()], keys.shown().chain());
        let leaf = key_pair(&directory.path().join("keys/leaf.key.pem")).unwrap();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, leaf.public_key_raw());
        key.verify(&received.signing_input, &received.signature).unwrap();
        assert!(key.verify(b"another", &received.signature).is_err());
    }
}
