//! Randomness for pauses, so that machines do not come back in step. Never for secrets.

use ring::rand::{SecureRandom, SystemRandom};

/// Eight random bytes. Without randomness the middle of every interval will do.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => 500,
    }
}
