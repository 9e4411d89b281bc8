//! What the server takes from strangers: the body of an enrollment, and bootstrap tokens.

use crate::documents::is_clean;
use crate::text::{encoded, lossy};
use engine::admission::{BootstrapClaims, Constraints};
use protocol::inventory::MAX_INVENTORY;
use server::fuzzing::{Tokens, enrollment as taken};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Largest body of an enrollment, in bytes (`spec/security.md` 2.5).
const MAX_BODY: usize = 64 * 1_024;
/// Longest id of a medium, in bytes.
const MAX_IMAGE_ID: usize = 64;

/// The body of an enrollment: what is kept is bounded, clean, and accepted again as it is.
pub fn enrollment(data: &[u8]) -> bool {
    let Some(request) = taken(data) else { return false };
    assert!(data.len() <= MAX_BODY);
    is_clean(&request.inventory);
    assert!(request.image_id.as_ref().is_none_or(|id| id.len() <= MAX_IMAGE_ID && id.is_ascii()));
    let inventory = serde_json::to_vec(&request.inventory).expect("an inventory is JSON");
    assert!(inventory.len() <= MAX_INVENTORY, "{} bytes are kept", inventory.len());
    let body = serde_json::to_vec(&request).expect("a request is JSON");
    assert_eq!(taken(&body), Some(request));
    true
}

/// Bootstrap tokens: nothing but what our keys sealed opens, whatever is tried; and what they sealed
/// opens exactly when it holds the claims, as they were, until one bit of it changes.
pub fn jwe(data: &[u8]) -> bool {
    let tokens = tokens();
    assert_eq!(tokens.open(&lossy(data)), None, "a forged token opens");
    assert_eq!(tokens.open(&encoded(data)), None, "a forged token opens");
    let Some(sealed) = tokens.seal(data) else { return false };
    let opened = tokens.open(&sealed);
    if sealed.len() <= protocol::token::MAX_TOKEN_LEN {
        assert_eq!(opened, serde_json::from_slice::<BootstrapClaims>(data).ok());
    } else {
        assert_eq!(opened, None);
    }
    let place = data.iter().fold(0, |sum: usize, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
    assert_eq!(tokens.open(&changed(&sealed, place)), None, "a changed token opens");
    if let Some(claims) = &opened {
        are_kept(claims);
    }
    opened.is_some()
}

/// Constraints that are understood say the same when they are written again.
fn are_kept(claims: &BootstrapClaims) {
    if let Ok(constraints) = Constraints::parse(&claims.c) {
        let again = constraints.claim().expect("constraints are JSON");
        assert_eq!(Constraints::parse(&again), Ok(constraints));
    }
}

/// The text with one character replaced by its neighbour in the alphabet.
fn changed(text: &str, place: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let place = place % bytes.len().max(1);
    if let Some(byte) = bytes.get_mut(place) {
        *byte = if *byte == b'A' { b'B' } else { b'A' };
    }
    lossy(&bytes)
}

fn tokens() -> &'static Tokens {
    static TOKENS: OnceLock<Tokens> = OnceLock::new();
    TOKENS.get_or_init(|| {
        let folder = TempDir::new().expect("a folder for keys");
        Tokens::make(folder.path()).expect("keys")
    })
}
