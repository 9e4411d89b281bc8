//! How a registry says who may read (`WWW-Authenticate`, RFC 9110 11.6.1), and what its token service
//! answers (distribution's token specification). Pure.

use serde::Deserialize;
use std::time::Duration;

/// Longest header that is read, in bytes, and most parameters of it.
const MAX_CHALLENGE: usize = 4_096;
const MAX_PARAMETERS: usize = 16;
/// How long a token lives that does not say so, and at most, in seconds.
const USUAL_LIFE: u64 = 60;
const LONGEST_LIFE: u64 = 3_600;
/// Taken off a token's life: it is on its way for a while.
const MARGIN: u64 = 10;
/// Longest token, in bytes.
const MAX_TOKEN: usize = 16 * 1_024;

/// What a registry wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// User name and password.
    Basic,
    /// A token of this service.
    Bearer {
        /// URL of the token service.
        realm: String,
        /// What the service calls the registry; empty where it has no name.
        service: String,
    },
}

impl Challenge {
    /// The first challenge of a header that can be met; none when there is none.
    pub(crate) fn read(header: &str) -> Option<Self> {
        if header.len() > MAX_CHALLENGE {
            return None;
        }
        let mut rest = header.trim_start();
        while !rest.is_empty() {
            let (scheme, after) = word(rest)?;
            let (parameters, after) = parameters(after);
            rest = after;
            let named = |name: &str| {
                let found = parameters.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("basic") {
                return Some(Self::Basic);
            }
            if scheme.eq_ignore_ascii_case("bearer")
                && let Some(realm) = named("realm")
            {
                return Some(Self::Bearer { realm, service: named("service").unwrap_or_default() });
            }
        }
        None
    }
}

/// A word of RFC 9110's token characters, and what follows it and white space.
fn word(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    (!word.is_empty()).then_some((word, rest.trim_start()))
}

/// `NAME=VALUE, ...` up to the next challenge, and the rest. Stops at what is none.
fn parameters(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    while found.len() < MAX_PARAMETERS {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        let Some((name, after)) = word(rest) else { return (found, "") };
        // A word without `=` begins the next challenge.
        let Some(value) = after.strip_prefix('=') else { return (found, rest) };
        let value = value.trim_start();
        let Some((value, after)) =
            quoted(value).or_else(|| word(value).map(|(word, rest)| (word.to_owned(), rest)))
        else {
            return (found, "");
        };
        found.push((name.to_owned(), value));
        rest = after;
    }
    (found, "")
}

/// A quoted string without its quotes and backslashes, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let (mut value, mut escaped) = (String::new(), false);
    for (index, c) in inner.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return inner.get(index + 1..).map(|rest| (value, rest)),
            _ => value.push(c),
        }
    }
    None
}

/// A token of a registry's token service.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// It.
    pub(crate) text: String,
    /// How long it may be used from now on.
    pub(crate) life: Duration,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Token {
    /// Reads what the service answers; none when it is no token.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let answered: Answered = serde_json::from_slice(body).ok()?;
        let text = if answered.token.is_empty() { answered.access_token } else { answered.token };
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > MAX_TOKEN || !plain {
            return None;
        }
        let seconds = answered.expires_in.unwrap_or(USUAL_LIFE).min(LONGEST_LIFE);
        Some(Self { text, life: Duration::from_secs(seconds.saturating_sub(MARGIN)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: &str) -> Option<Challenge> {
        Some(Challenge::Bearer { realm: realm.to_owned(), service: service.to_owned() })
    }

    #[test]
    fn challenges_are_read_as_registries_write_them() {
        for (header, challenge) in [
            (r#"Basic realm="Registry""#, Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull""#,
                bearer("https://auth.docker.io/token", "registry.docker.io"),
            ),
            (r#"Bearer service=x , realm="https://a/\"b\"""#, bearer(r#"https://a/"b""#, "x")),
            (r#"Negotiate, Bearer realm="https://a""#, bearer("https://a", "")),
            (r#"Digest realm="a, b", nonce="x", Basic realm="r""#, Some(Challenge::Basic)),
            (r#"Bearer service="x""#, None),
            ("", None),
            (r#"Bearer realm="open"#, None),
            ("===", None),
        ] {
            assert_eq!(Challenge::read(header), challenge, "{header}");
        }
        assert_eq!(Challenge::read(&"a=".repeat(4_096)), None);
    }

    #[test]
    fn token_is_used_for_less_than_its_life_and_never_for_long() {
        let life = |body: &str| Token::read(body.as_bytes()).map(|token| token.life.as_secs());
        assert_eq!(life(r#"{"token":"a"}"#), Some(50));
        assert_eq!(life(r#"{"access_token":"a","expires_in":300}"#), Some(290));
        assert_eq!(life(r#"{"token":"a","expires_in":99999999}"#), Some(3_590));
        assert_eq!(life(r#"{"token":"a","expires_in":3}"#), Some(0));
        for none in
            [r#"{"token":""}"#, r#"{}"#, r#"{"token":"a b"}"#, "{\"token\":\"a\\r\\nX: y\"}", "x", "[]"]
        {
            assert_eq!(life(none), None, "{none}");
        }
    }
}
