//! Machine tokens: what a machine's tasks and templates show to speak for their machine. Nothing of
//! them is stored: the MAC's key comes from the server's master key, and the MAC covers the secrets
//! of the machine, of who granted the token and of the preferences, so that a change of any of
//! these ends every token made with it (`spec/machine-model.md` 3.7).

use engine::time::Timestamp;
use protocol::ids::MachineId;
use protocol::token::{base64url, from_base64url};
use ring::hmac;
use uuid::Uuid;

/// Machine tokens begin with this, so that scanners and people know one when they see it.
pub(crate) const PREFIX: &str = "mmt_";
/// Longest name of a grantor, in bytes.
const MAX_GRANTOR: usize = 128;
/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 512;
/// Layout: version (1), end of life in milliseconds (8), machine id (16), the grantor's name; then
/// the MAC (32).
const VERSION: u8 = 1;
const HEAD: usize = 25;
const TAG: usize = 32;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MachineGrant {
    /// The machine it speaks for.
    pub(crate) machine: MachineId,
    /// User who made it; empty for the server itself.
    pub(crate) grantor: String,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

/// What a token depends on, and ends with.
#[derive(Clone, Copy)]
pub(crate) struct GrantSecrets<'a> {
    /// The machine's `Secret`.
    pub(crate) machine: &'a str,
    /// The grantor's; empty for the server itself.
    pub(crate) grantor: &'a str,
    /// The preference `baseTokenSecret`.
    pub(crate) base: &'a str,
    /// The preference `systemGrantorSecret`.
    pub(crate) system: &'a str,
}

/// A token that cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GrantError {
    /// Without a secret a token could never be ended.
    #[error("the machine has no Secret yet; set one, or change the machine once")]
    NoSecret,
    /// The name of the grantor is too long.
    #[error("the user's name has more than {MAX_GRANTOR} bytes")]
    LongName,
}

/// A token as it came: what it says is not known to be true.
pub(crate) struct Unproven {
    said: MachineGrant,
    bytes: Vec<u8>,
}

impl Unproven {
    /// The machine and the grantor whose secrets are needed to prove it.
    pub(crate) fn needs(&self) -> (MachineId, &str) {
        (self.said.machine, &self.said.grantor)
    }
}

/// Makes and checks machine tokens.
pub(crate) struct MachineTokens {
    key: hmac::Key,
}

impl MachineTokens {
    pub(super) fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    /// A token that says this.
    ///
    /// # Errors
    /// [`GrantError`].
    pub(crate) fn issue(
        &self,
        grant: &MachineGrant,
        secrets: &GrantSecrets<'_>,
    ) -> Result<String, GrantError> {
        if secrets.machine.is_empty() {
            return Err(GrantError::NoSecret);
        }
        if grant.grantor.len() > MAX_GRANTOR {
            return Err(GrantError::LongName);
        }
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&grant.expires_at.as_millis().to_be_bytes());
        bytes.extend_from_slice(grant.machine.0.as_bytes());
        bytes.extend_from_slice(grant.grantor.as_bytes());
        let tag = hmac::sign(&self.key, &preimage(&bytes, secrets));
        bytes.extend_from_slice(tag.as_ref());
        Ok(format!("{PREFIX}{}", base64url(&bytes)))
    }

    /// Reads a token; `None` for what has not the shape of one.
    pub(crate) fn read(token: &str) -> Option<Unproven> {
        let text = token.strip_prefix(PREFIX).filter(|text| text.len() <= MAX_TOKEN)?;
        let bytes = from_base64url(text)?;
        let (body, _tag) = bytes.split_at_checked(bytes.len().checked_sub(TAG)?)?;
        let (head, grantor) = body.split_at_checked(HEAD)?;
        let (version, head) = head.split_first()?;
        let (end, machine) = head.split_first_chunk::<8>()?;
        if *version != VERSION || grantor.len() > MAX_GRANTOR {
            return None;
        }
        let said = MachineGrant {
            machine: MachineId(Uuid::from_slice(machine).ok()?),
            grantor: std::str::from_utf8(grantor).ok()?.to_owned(),
            expires_at: Timestamp::from_millis(i64::from_be_bytes(*end)),
        };
        Some(Unproven { said, bytes })
    }

    /// What a token says, when it is ours, in time, and none of the secrets has changed.
    pub(crate) fn prove(
        &self,
        token: Unproven,
        secrets: &GrantSecrets<'_>,
        now: Timestamp,
    ) -> Option<MachineGrant> {
        let (body, tag) = token.bytes.split_at_checked(token.bytes.len().checked_sub(TAG)?)?;
        let ours = hmac::verify(&self.key, &preimage(body, secrets), tag).is_ok();
        (ours && !secrets.machine.is_empty() && token.said.expires_at > now).then_some(token.said)
    }
}

/// What the MAC covers: every part behind its length, so that none runs into the next.
fn preimage(body: &[u8], secrets: &GrantSecrets<'_>) -> Vec<u8> {
    let GrantSecrets { machine, grantor, base, system } = secrets;
    let mut bytes = Vec::new();
    for part in [body, machine.as_bytes(), grantor.as_bytes(), base.as_bytes(), system.as_bytes()] {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
    const SECRETS: GrantSecrets<'_> = GrantSecrets { machine: "m", grantor: "g", base: "b", system: "s" };

    fn tokens() -> MachineTokens {
        MachineTokens::new(hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]))
    }

    fn grant() -> MachineGrant {
        MachineGrant {
            machine: MachineId(Uuid::from_bytes([9; 16])),
            grantor: "admin".into(),
            expires_at: NOW.plus(Duration::from_secs(60)),
        }
    }

    fn proven(token: &str, secrets: &GrantSecrets<'_>, now: Timestamp) -> Option<MachineGrant> {
        tokens().prove(MachineTokens::read(token)?, secrets, now)
    }

    #[test]
    fn token_speaks_for_its_machine_until_it_ends() {
        let token = tokens().issue(&grant(), &SECRETS).unwrap();
        assert!(token.starts_with(PREFIX));
        assert_eq!(MachineTokens::read(&token).unwrap().needs(), (grant().machine, "admin"));
        assert_eq!(proven(&token, &SECRETS, NOW), Some(grant()));
        assert_eq!(proven(&token, &SECRETS, grant().expires_at), None);
    }

    #[test]
    fn another_secret_of_anybody_ends_it() {
        let token = tokens().issue(&grant(), &SECRETS).unwrap();
        for secrets in [
            GrantSecrets { machine: "x", ..SECRETS },
            GrantSecrets { grantor: "x", ..SECRETS },
            GrantSecrets { base: "x", ..SECRETS },
            GrantSecrets { system: "x", ..SECRETS },
            // Moved from one to the next.
            GrantSecrets { machine: "mg", grantor: "", ..SECRETS },
        ] {
            assert_eq!(proven(&token, &secrets, NOW), None);
        }
        let other = MachineTokens::new(hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]));
        assert_eq!(other.prove(MachineTokens::read(&token).unwrap(), &SECRETS, NOW), None);
    }

    #[test]
    fn every_changed_byte_and_every_cut_ends_it() {
        let token = tokens().issue(&grant(), &SECRETS).unwrap();
        let bytes = from_base64url(token.strip_prefix(PREFIX).unwrap()).unwrap();
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let text = |bytes: &[u8]| format!("{PREFIX}{}", base64url(bytes));
            assert_eq!(proven(&text(&forged), &SECRETS, NOW), None, "byte {at}");
            assert_eq!(proven(&text(&bytes[..at]), &SECRETS, NOW), None, "cut at {at}");
        }
    }

    #[test]
    fn machine_without_a_secret_has_no_token() {
        let nothing = GrantSecrets { machine: "", ..SECRETS };
        assert_eq!(tokens().issue(&grant(), &nothing), Err(GrantError::NoSecret));
        let long = MachineGrant { grantor: "x".repeat(MAX_GRANTOR + 1), ..grant() };
        assert_eq!(tokens().issue(&long, &SECRETS), Err(GrantError::LongName));
    }

    proptest! {
        /// Whatever is shown, reading it neither fails nor proves anything.
        #[test]
        fn strangers_prove_nothing(text in "(mmt_)?[A-Za-z0-9_-]{0,700}") {
            prop_assert_eq!(proven(&text, &SECRETS, NOW), None);
        }
    }
}
