//! What the server takes from strangers: the body of an enrollment, bootstrap tokens, and what is said about terminals and
//! mesh networks.

use crate::documents::is_clean;
use crate::text::{encoded, is_tame, lossy};
use engine::admission::{BootstrapClaims, Constraints};
use protocol::inventory::MAX_INVENTORY;
use protocol::mesh::lease::Leases;
use protocol::mesh::{
    MAX_ENDPOINTS, MAX_MESSAGE, MAX_PEERS, MAX_ROUTES, MAX_VIPS, MeshNews, MeshReadError, MeshReport,
    MeshReportAnswer, read_answer, read_news, read_report,
};
use protocol::terminal::{MAX_TEXT, MachineHears, MachineSays, OperatorHears, OperatorSays, Size, read};
use serde::Serialize;
use serde::de::DeserializeOwned;
use server::fuzzing::{Tokens, enrollment as taken};
use std::fmt::Debug;
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

/// A text message about a terminal, of any side: what is understood is bounded and says the same when it is written
/// again, sizes are ones that terminals have, and a session's token is not in Debug.
pub fn terminal(data: &[u8]) -> bool {
    let text = lossy(data);
    let operator = said::<OperatorSays>(&text);
    match &operator {
        Some(open @ OperatorSays::Open { csrf: _, size }) => {
            is_shown(*size);
            let without = OperatorSays::Open { csrf: String::new(), size: *size };
            assert_eq!(format!("{open:?}"), format!("{without:?}"));
        }
        Some(OperatorSays::Resize { size }) => is_shown(*size),
        Some(OperatorSays::Seen { .. } | OperatorSays::Other) | None => {}
    }
    let machine = said::<MachineHears>(&text);
    match &machine {
        Some(MachineHears::Start { size, .. } | MachineHears::Resize { size }) => is_shown(*size),
        Some(MachineHears::Other) | None => {}
    }
    let others = (said::<OperatorHears>(&text), said::<MachineSays>(&text));
    operator.is_some() || machine.is_some() || others.0.is_some() || others.1.is_some()
}

fn said<T: DeserializeOwned + Serialize + PartialEq + Debug>(text: &str) -> Option<T> {
    let said: T = read(text)?;
    assert!(text.len() <= MAX_TEXT);
    let again = serde_json::to_string(&said).expect("a message is JSON");
    // Escapes may have made it longer than a message may be.
    assert_eq!(serde_json::from_str::<T>(&again).ok().as_ref(), Some(&said), "{again}");
    Some(said)
}

fn is_shown(size: Size) {
    assert!((2..=500).contains(&size.cols()) && (1..=300).contains(&size.rows()), "{size:?}");
}

/// What a member of a mesh network and the server say to each other: what is understood is within every limit and says
/// the same when it is written again, and no answer makes a member hold what it was not granted.
pub fn mesh(data: &[u8]) -> bool {
    let news = meant(data, read_news);
    if let Some(MeshNews { cursor, own, peers, gone, vips, .. }) = &news {
        assert!(
            cursor.len() <= 64
                && peers.len() <= MAX_PEERS
                && gone.len() <= MAX_PEERS
                && vips.len() <= MAX_VIPS
        );
        assert!(
            own.as_ref()
                .is_none_or(|own| own.port > 0 && own.addresses.len() <= 2 && own.networks.len() <= 2)
        );
        for peer in peers {
            assert!(peer.addresses.len() <= 2 && peer.routes.len() <= MAX_ROUTES);
            assert!(peer.endpoints.len() <= MAX_ENDPOINTS && !peer.name.chars().any(char::is_control));
        }
        assert!(vips.iter().all(|vip| vip.check.lease() > 0 && vip.check.renewal() > 0));
    }
    let report = meant(data, read_report);
    if let Some(MeshReport { key, port, addresses, peers, vips, error }) = &report {
        assert!(*port > 0 && key.is_none_or(|key| key.0 != [0; 32]) && addresses.len() <= MAX_ENDPOINTS);
        assert!(peers.len() <= MAX_PEERS && vips.len() <= MAX_VIPS);
        for words in vips.iter().map(|vip| &vip.message).chain([error]) {
            assert!(words.chars().count() <= MAX_MESSAGE && !words.chars().any(char::is_control));
        }
    }
    let answer = meant(data, read_answer);
    if let Some(MeshReportAnswer { grants, .. }) = &answer {
        let mut leases = Leases::default();
        let steps = leases.answered(1_000, grants, 1_500);
        assert!(steps.let_go.is_empty());
        assert!(
            steps.take.iter().all(|name| grants.iter().any(|grant| grant.name == *name && grant.lease > 500))
        );
        assert_eq!(leases.present().count(), steps.take.len());
        assert_eq!(leases.tick(u64::MAX).len(), steps.take.len(), "every lease ends");
    }
    news.is_some() || report.is_some() || answer.is_some()
}

fn meant<T: Serialize + PartialEq + Debug>(
    data: &[u8],
    read: fn(&[u8]) -> Result<T, MeshReadError>,
) -> Option<T> {
    let meant = match read(data) {
        Ok(meant) => meant,
        Err(error) => {
            is_tame(&error.to_string());
            return None;
        }
    };
    let again = serde_json::to_vec(&meant).expect("what is said is JSON");
    assert_eq!(read(&again).ok().as_ref(), Some(&meant), "{}", lossy(&again));
    Some(meant)
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
