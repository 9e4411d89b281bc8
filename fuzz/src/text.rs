//! What people type and loaders hand on: command line, code, token, network set-up, proof.

use protocol::cmdline::{KernelArgs, MAX_CMDLINE, check};
use protocol::code::{ALPHABET, BootstrapCode, Fingerprint, MAX_CODE_TEXT, MAX_FINGERPRINT_TEXT};
use protocol::net::{MAX_SPECS, NetPlan, Prefix};
use protocol::proof::{self, MAX_PROOF_LEN};
use protocol::token::{BootstrapToken, MAX_HEADER_LEN, MAX_TOKEN_LEN, base64url, from_base64url, redact};

/// Longest sentence about outside text: a screen's width has to suffice twice or thrice.
const MAX_SENTENCE: usize = 512;

/// Bytes as text, whatever they are.
pub(crate) fn lossy(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// Sentences end on consoles: nothing of outside text that a terminal would obey is in them.
pub(crate) fn is_tame(sentence: &str) {
    assert!(sentence.len() <= MAX_SENTENCE, "a sentence of {} bytes: {sentence:?}", sentence.len());
    let wild = sentence.chars().find(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(c));
    assert_eq!(wild, None, "in {sentence:?}");
}

/// The kernel command line: parsing is total, what is rendered reads back the same and fits, and
/// no secret of it is shown.
pub fn cmdline(data: &[u8]) -> bool {
    let line = lossy(data);
    let args = KernelArgs::parse(&line);
    args.problems.iter().for_each(|problem| is_tame(problem));
    let shown = redact(&line);
    assert_eq!(redact(&shown), shown, "what is shown stays as it is");
    if let Some(token) = args.token.as_ref().filter(|token| token.reveal().starts_with("eyJ")) {
        assert!(!shown.contains(token.reveal()), "the token is shown");
        assert!(!format!("{args:?}").contains(token.reveal()), "the token is in Debug");
    }
    // A quote within its name hides the name from whoever looks for it; no loader writes one there.
    if !line.contains('"') {
        assert_eq!(KernelArgs::parse(&shown).nonce, None, "the nonce is shown");
    }
    let Ok(rendered) = args.render() else { return false };
    assert!(rendered.len() <= MAX_CMDLINE && check(&rendered).is_ok());
    let kept = KernelArgs { problems: Vec::new(), token_error: None, ..args };
    assert_eq!(KernelArgs::parse(&rendered), kept, "{rendered}");
    kept != KernelArgs::default()
}

/// Codes and fingerprints as people type them: what is accepted has one spelling, and lies in the
/// alphabet.
pub fn code(data: &[u8]) -> bool {
    let text = lossy(data);
    let parsed = text.parse::<BootstrapCode>();
    match &parsed {
        Ok(code) => {
            assert!(text.len() <= MAX_CODE_TEXT);
            assert!(code.as_str().bytes().all(|byte| ALPHABET.contains(&byte)));
            let lower = code.to_string().to_lowercase();
            for spelled in [code.to_string(), lower, code.as_str().to_owned(), format!(" {code} ")] {
                assert_eq!(spelled.parse(), Ok(*code), "{spelled:?}");
            }
            let near = code.neighbours();
            assert!((133..=137).contains(&near.len()) || code_repeats(code), "{code}: {}", near.len());
            assert!(!near.contains(code));
        }
        Err(error) => is_tame(&error.to_string()),
    }
    let fingerprint = text.parse::<Fingerprint>();
    if let Ok(fingerprint) = fingerprint {
        assert!(text.len() <= MAX_FINGERPRINT_TEXT);
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }
    if let Some(code) = data.first_chunk().and_then(|bytes| BootstrapCode::from_random(*bytes)) {
        assert_eq!(code.to_string().parse(), Ok(code));
    }
    parsed.is_ok() || fingerprint.is_ok()
}

/// Whether two neighbours of a code are the same character: then there are fewer swaps.
fn code_repeats(code: &BootstrapCode) -> bool {
    code.as_str().as_bytes().windows(2).any(|pair| pair.first() == pair.last())
}

/// The shape of a bootstrap token: agrees with RFC 7516's parts, and no cut token is whole. The
/// input is a token, and also the contents of one, a line for each part.
pub fn token(data: &[u8]) -> bool {
    token_of(&lossy(data)) | token_of(&encoded(data))
}

fn token_of(text: &str) -> bool {
    let parsed = text.parse::<BootstrapToken>();
    assert_eq!(parsed.is_ok(), has_shape(text), "{parsed:?}");
    match &parsed {
        Ok(token) => {
            assert_eq!(token.reveal(), text);
            assert!(!token.header().is_empty() && token.header().len() <= MAX_HEADER_LEN);
            assert!(!format!("{token:?}").contains(text));
            for cut in 1..=22 {
                let shorter = text.get(..text.len() - cut).unwrap_or_default();
                assert!(shorter.parse::<BootstrapToken>().is_err(), "{cut} characters short");
            }
        }
        Err(error) => is_tame(&error.to_string()),
    }
    parsed.is_ok()
}

/// Lines as parts in base64url, joined by dots: how JOSE writes what is inside.
pub(crate) fn encoded(data: &[u8]) -> String {
    let parts: Vec<String> = data.split(|&byte| byte == b'\n').map(base64url).collect();
    parts.join(".")
}

/// The same rules, written down a second time.
fn has_shape(text: &str) -> bool {
    let parts: Vec<Option<Vec<u8>>> = text.split('.').map(from_base64url).collect();
    let [Some(header), Some(key), Some(iv), Some(content), Some(tag)] = parts.as_slice() else {
        return false;
    };
    text.len() <= MAX_TOKEN_LEN
        && (1..=MAX_HEADER_LEN).contains(&header.len())
        && (key.len(), iv.len(), tag.len()) == (0, 12, 16)
        && !content.is_empty()
}

/// Network set-up: what is understood is written down the one way, and read back the same.
pub fn net(data: &[u8]) -> bool {
    let text = lossy(data);
    let plan = text.parse::<NetPlan>();
    match &plan {
        Ok(plan) => {
            assert!(plan.words().len() <= MAX_SPECS);
            assert!(plan.words().iter().all(|word| !word.contains(char::is_whitespace)));
            assert_eq!(plan.to_string().parse().as_ref(), Ok(plan));
        }
        Err(error) => is_tame(&error.to_string()),
    }
    let prefix = text.parse::<Prefix>();
    if let Ok(prefix) = prefix {
        assert_eq!(prefix.to_string().parse(), Ok(prefix));
        assert!(prefix.contains(prefix.address) && prefix.contains(prefix.network().address));
    }
    plan.is_ok() || prefix.is_ok()
}

/// A machine's proof: bounded, and made again of its own claims it says the same. The input is a
/// header, and also the contents of one, a line for each part.
pub fn proof(data: &[u8]) -> bool {
    proof_of(&lossy(data)) | proof_of(&encoded(data))
}

fn proof_of(header: &str) -> bool {
    let Ok(received) = proof::parse(header) else { return false };
    assert!(header.len() <= MAX_PROOF_LEN);
    assert!(header.as_bytes().starts_with(&received.signing_input));
    let input = proof::signing_input(&received.public_key, &received.claims);
    let again = proof::finish(&input, &received.signature);
    if again.len() <= MAX_PROOF_LEN {
        let again = proof::parse(&again).expect("a proof we write is one we read");
        assert_eq!(again.claims, received.claims);
        assert_eq!(again.public_key, received.public_key);
        assert_eq!(again.signature, received.signature);
    }
    true
}
