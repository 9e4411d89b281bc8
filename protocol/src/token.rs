//! The bootstrap token as the agent sees it: opaque text of a known shape.
//!
//! A compact JWE (RFC 7516 section 7.1) with `dir` encryption: five parts of base64url, the
//! second one empty, a 12-byte IV and a 16-byte tag. The shape is checked here so that the
//! agent can say "truncated" (E41) before it talks to anyone, and so that the server never
//! hands a malformed token to its JOSE library, which accepts shortened tags.

use crate::cmdline;
use crate::config::ProxyUrl;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::str::FromStr;

/// Longest token a server accepts, in characters, checked before anything is decoded.
pub const MAX_TOKEN_LEN: usize = 1_024;
/// Longest token a server issues, in characters (`spec/security.md` 3.4).
pub const MAX_ISSUED_TOKEN_LEN: usize = 768;
/// Longest decoded header, in bytes.
pub const MAX_HEADER_LEN: usize = 256;
/// AES-GCM's 96-bit IV as base64url.
const IV_CHARS: usize = 16;
/// AES-GCM's full 128-bit tag as base64url. A shorter tag verifies in josekit, so its length
/// is a rule of ours.
const TAG_CHARS: usize = 22;
/// What stands where a secret was.
const HIDDEN: &str = "[redacted]";

/// Unpadded base64url of `bytes` (RFC 4648 section 5).
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes unpadded base64url; `None` for any other character, padding or stray bits.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Decodes unpadded base64url of exactly 32 bytes.
pub fn from_base64url_exact(text: &str) -> Option<[u8; 32]> {
    if text.len() != 43 {
        return None;
    }
    from_base64url(text)?.try_into().ok()
}

/// Why a text is not a bootstrap token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenShapeError {
    /// Longer than [`MAX_TOKEN_LEN`].
    #[error("bootstrap token has {0} characters, at most {MAX_TOKEN_LEN} are accepted")]
    TooLong(usize),
    /// Not five parts separated by dots: cut off, or not a token.
    #[error("bootstrap token has {0} parts instead of 5: it was cut off or is not a token")]
    Parts(usize),
    /// The encrypted-key part is not empty: not a `dir` token.
    #[error("bootstrap token carries an encrypted key, which is not ours")]
    EncryptedKey,
    /// A part has the wrong length or characters outside base64url.
    #[error("bootstrap token's {0} is cut off or damaged")]
    Part(&'static str),
}

/// A bootstrap token of the right shape. Debug and Display never show it, and its memory is
/// overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapToken(String);

impl Drop for BootstrapToken {
    fn drop(&mut self) {
        wipe(std::mem::take(&mut self.0));
    }
}

/// Overwrites a secret's memory before it is given back.
pub fn wipe(secret: String) {
    let mut bytes = secret.into_bytes();
    bytes.fill(0);
    // Whoever may look at the bytes needs them written: the compiler cannot leave it out.
    std::hint::black_box(&bytes);
}

impl BootstrapToken {
    /// The token's text, for the request that registers the machine and nothing else.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The decoded protected header, at most [`MAX_HEADER_LEN`] bytes.
    pub fn header(&self) -> Vec<u8> {
        self.0.split('.').next().and_then(from_base64url).unwrap_or_default()
    }
}

impl FromStr for BootstrapToken {
    type Err = TokenShapeError;

    fn from_str(text: &str) -> Result<Self, TokenShapeError> {
        if text.len() > MAX_TOKEN_LEN {
            return Err(TokenShapeError::TooLong(text.len()));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, key, iv, ciphertext, tag] = parts.as_slice() else {
            return Err(TokenShapeError::Parts(parts.len()));
        };
        if !key.is_empty() {
            return Err(TokenShapeError::EncryptedKey);
        }
        let decoded = |name, part: &str| from_base64url(part).ok_or(TokenShapeError::Part(name));
        let header = decoded("header", header)?;
        if header.is_empty() || header.len() > MAX_HEADER_LEN {
            return Err(TokenShapeError::Part("header"));
        }
        if iv.len() != IV_CHARS || from_base64url(iv).is_none() {
            return Err(TokenShapeError::Part("initialisation vector"));
        }
        if decoded("content", ciphertext)?.is_empty() {
            return Err(TokenShapeError::Part("content"));
        }
        if tag.len() != TAG_CHARS || from_base64url(tag).is_none() {
            return Err(TokenShapeError::Part("authentication tag"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BootstrapToken([redacted])")
    }
}

/// Hides every secret that a text may carry: for logs, for the console, and for what is shown of
/// a kernel command line.
///
/// 1. The values of `muster.token=` and `muster.nonce=`, whatever they are, and the password of
///    `muster.proxy=`, read as the kernel reads quotes. A damaged secret is as secret as a whole one.
/// 2. Every JWE-shaped word.
/// 3. The password of every address, `scheme://user:password@host`.
pub fn redact(text: &str) -> String {
    let text = redact_values(text, cmdline::TOKEN, |_| HIDDEN.to_owned());
    let text = redact_values(&text, cmdline::NONCE, |_| HIDDEN.to_owned());
    let text = redact_values(&text, cmdline::PROXY, |value| {
        let proxy: Option<ProxyUrl> = value.trim_matches('"').parse().ok();
        proxy.map_or_else(|| HIDDEN.to_owned(), |proxy| proxy.to_string())
    });
    redact_logins(&redact_tokens(&text))
}

/// Replaces what follows each `key=`.
fn redact_values(text: &str, key: &str, shown: impl Fn(&str) -> String) -> String {
    let key = format!("{key}=");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(&key) {
        let (before, value) = rest.split_at(start + key.len());
        out.push_str(before);
        let quoted = rest.get(..start).is_some_and(|before| before.ends_with('"'));
        let (value, after) = value.split_at(value_end(value, quoted));
        if !value.is_empty() {
            out.push_str(&shown(value));
        }
        rest = after;
    }
    out + rest
}

/// Where a kernel argument's value ends: at white space outside double quotes, or before the
/// quote that closes one that stood before the key.
fn value_end(value: &str, quoted: bool) -> usize {
    if let Some(end) = value.find('"').filter(|_| quoted) {
        return end;
    }
    let mut open = false;
    let ends = |c: char| {
        open ^= c == '"';
        c.is_whitespace() && !open
    };
    value.find(ends).unwrap_or(value.len())
}

fn redact_tokens(text: &str) -> String {
    let is_token_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("eyJ") {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c| !is_token_char(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        out.push_str(before);
        // Two dots are enough to hide what was cut off.
        out.push_str(if word.matches('.').count() >= 2 { HIDDEN } else { word });
        rest = after;
    }
    out + rest
}

fn redact_logins(text: &str) -> String {
    let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '<' | '>');
    let mut parts = text.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (authority, after) = part.split_at(part.find(ends).unwrap_or(part.len()));
        out.push_str("://");
        match authority.rsplit_once('@').and_then(|(login, host)| Some((login.split_once(':')?.0, host))) {
            Some((user, host)) => out.extend([user, ":", HIDDEN, "@", host]),
            None => out.push_str(authority),
        }
        out.push_str(after);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> String {
        let header = base64url(br#"{"alg":"dir","enc":"A256GCM","kid":"k1","typ":"bst+jwt"}"#);
        format!("{header}..{}.{}.{}", base64url(&[1; 12]), base64url(&[2; 90]), base64url(&[3; 16]))
    }

    #[test]
    fn whole_token_is_accepted_and_never_shown() {
        let token: BootstrapToken = sample().parse().unwrap();
        assert_eq!(token.reveal(), sample());
        assert_eq!(format!("{token:?}"), "BootstrapToken([redacted])");
    }

    #[test]
    fn token_cut_anywhere_is_refused_unless_only_content_could_tell() {
        let whole = sample();
        for length in 0..whole.len() {
            assert!(whole[..length].parse::<BootstrapToken>().is_err(), "cut at {length}");
        }
    }

    #[test]
    fn short_tag_is_refused_by_name() {
        let token = sample();
        let (head, _) = token.rsplit_once('.').unwrap();
        for bytes in [1usize, 4, 8, 12, 15, 17] {
            let forged = format!("{head}.{}", base64url(&vec![3; bytes]));
            assert_eq!(
                forged.parse::<BootstrapToken>().unwrap_err().to_string(),
                "bootstrap token's authentication tag is cut off or damaged"
            );
        }
    }

    #[test]
    fn overlong_token_is_refused_with_both_numbers() {
        let error = "a".repeat(1_025).parse::<BootstrapToken>().unwrap_err();
        assert_eq!(error.to_string(), "bootstrap token has 1025 characters, at most 1024 are accepted");
    }

    #[test]
    fn redaction_hides_tokens_and_leaves_the_rest() {
        let line = format!("quiet muster.token={} console=ttyS0", sample());
        assert_eq!(redact(&line), "quiet muster.token=[redacted] console=ttyS0");
        assert_eq!(redact("eyJust a word. And more."), "eyJust a word. And more.");
        // Damaged, quoted or something else altogether: what the key names is hidden.
        assert_eq!(redact("muster.token=hunter2 ro"), "muster.token=[redacted] ro");
        assert_eq!(redact("muster.token=\"a b\" ro"), "muster.token=[redacted] ro");
        assert_eq!(redact("\"muster.token=a b\" ro"), "\"muster.token=[redacted]\" ro");
        assert_eq!(redact("muster.token= ro muster.token=x"), "muster.token= ro muster.token=[redacted]");
        assert_eq!(redact("muster.nonce=ABAg muster.net=dhcp"), "muster.nonce=[redacted] muster.net=dhcp");
    }

    #[test]
    fn redaction_hides_the_passwords_of_proxies() {
        for (text, shown) in [
            ("muster.proxy=http://ann:s3cret@p:1 ro", "muster.proxy=http://ann:[redacted]@p:1 ro"),
            ("muster.proxy=http://p:1 ro", "muster.proxy=http://p:1 ro"),
            ("muster.proxy=ann:s3/cret@p ro", "muster.proxy=[redacted] ro"),
            ("\"muster.proxy=http://ann:s3 cret@p:1\" ro", "\"muster.proxy=http://ann:[redacted]@p:1\" ro"),
            ("{\"proxy\":\"http://ann:s3@cret@p:1\"}", "{\"proxy\":\"http://ann:[redacted]@p:1\"}"),
            ("see https://10.0.0.5:8092/a@b and x", "see https://10.0.0.5:8092/a@b and x"),
            ("mail://ann@host", "mail://ann@host"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }
}
