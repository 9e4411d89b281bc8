//! Access tokens of machines: 15 minutes, bound to the machine's key, nothing stored.

use engine::time::Timestamp;
use protocol::ids::{KeyThumbprint, MachineId};
use protocol::token::{base64url, from_base64url};
use ring::hmac;
use std::time::Duration;

/// How long an access token is accepted.
pub(crate) const ACCESS_LIFETIME: Duration = Duration::from_secs(900);
/// Layout: end of life in milliseconds (8), key thumbprint (32), machine id (16); then the HMAC.
const BODY: usize = 56;

/// Makes and checks access tokens.
pub(crate) struct AccessTokens {
    key: hmac::Key,
}

impl AccessTokens {
    pub(crate) fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    /// A token for this machine, of use only to the holder of this key.
    pub(crate) fn issue(&self, machine: MachineId, key: &KeyThumbprint, now: Timestamp) -> String {
        let mut bytes = now.plus(ACCESS_LIFETIME).as_millis().to_be_bytes().to_vec();
        bytes.extend_from_slice(&key.0);
        bytes.extend_from_slice(machine.0.as_bytes());
        let tag = hmac::sign(&self.key, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        base64url(&bytes)
    }

    /// The machine a token speaks for, when it is ours, in time and bound to `key`.
    pub(crate) fn verify(&self, token: &str, key: &KeyThumbprint, now: Timestamp) -> Option<MachineId> {
        if token.len() > 256 {
            return None;
        }
        let bytes = from_base64url(token)?;
        let (body, tag) = bytes.split_at_checked(BODY)?;
        hmac::verify(&self.key, body, tag).ok()?;
        let (end, rest) = body.split_first_chunk::<8>()?;
        let (bound_to, machine) = rest.split_first_chunk::<32>()?;
        let in_time = Timestamp::from_millis(i64::from_be_bytes(*end)) > now;
        (in_time && bound_to == &key.0).then(|| uuid::Uuid::from_slice(machine).ok().map(MachineId))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const KEY: KeyThumbprint = KeyThumbprint([7; 32]);

    fn machine() -> MachineId {
        MachineId(uuid::Uuid::from_bytes([9; 16]))
    }

    fn tokens() -> AccessTokens {
        AccessTokens::new(hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]))
    }

    #[test]
    fn token_speaks_for_one_machine_for_fifteen_minutes() {
        let token = tokens().issue(machine(), &KEY, NOW);
        assert_eq!(tokens().verify(&token, &KEY, NOW.plus(Duration::from_millis(899_999))), Some(machine()));
        assert_eq!(tokens().verify(&token, &KEY, NOW.plus(ACCESS_LIFETIME)), None);
    }

    #[test]
    fn token_is_useless_with_another_key_or_a_changed_byte() {
        let token = tokens().issue(machine(), &KEY, NOW);
        assert_eq!(tokens().verify(&token, &KeyThumbprint([8; 32]), NOW), None);
        let bytes = from_base64url(&token).unwrap();
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            assert_eq!(tokens().verify(&base64url(&forged), &KEY, NOW), None, "byte {at}");
            assert_eq!(tokens().verify(&base64url(&bytes[..at]), &KEY, NOW), None, "cut at {at}");
        }
    }
}
