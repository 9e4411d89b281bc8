//! `http://[user:password@]HOST:PORT`: an HTTP proxy that a machine reaches its servers through
//! (RFC 9110 9.3.6, RFC 7617 for the login).

use super::{ServerUrlError, host_and_port, write_host};
use std::fmt;
use std::str::FromStr;

/// Longest user name and longest password, in bytes.
const MAX_LOGIN: usize = 128;

/// Why a text is not a proxy's address. Never carries the text: there may be a password in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyUrlError {
    /// Not `http://`.
    #[error("proxy address must begin with http://, such as http://10.0.0.3:3128")]
    Scheme,
    /// Empty or impossible host.
    #[error("proxy address has no usable host name or IP address")]
    Host,
    /// No port, or outside 1 to 65535.
    #[error("proxy address has no usable port (1 to 65535), such as http://10.0.0.3:3128")]
    Port,
    /// User without password, control characters, a bad percent sign, or too long.
    #[error(
        "proxy address needs user:password before the @, each at most {MAX_LOGIN} bytes, special characters as %40"
    )]
    Login,
    /// Path, query or fragment.
    #[error("proxy address must end after host and port")]
    Rest,
}

/// The address of an HTTP proxy. Display and Debug never show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyUrl {
    host: String,
    port: u16,
    login: Option<Login>,
}

#[derive(Clone, PartialEq, Eq)]
struct Login {
    user: String,
    password: String,
}

impl ProxyUrl {
    /// The host: a DNS name, an IPv4 address or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// User and password, decoded, for the proxy and nobody else.
    pub fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|login| (login.user.as_str(), login.password.as_str()))
    }

    /// The same proxy with this user and password, as they are.
    ///
    /// # Errors
    /// [`ProxyUrlError::Login`] when they cannot be sent.
    pub fn with_login(self, user: &str, password: &str) -> Result<Self, ProxyUrlError> {
        Ok(Self { login: Some(Login::new(user.to_owned(), password.to_owned())?), ..self })
    }

    /// The whole address with its password, for a line or config that carries it on.
    pub fn reveal(&self) -> String {
        self.written(|login| format!("{}:{}@", encoded(&login.user), encoded(&login.password)))
    }

    fn written(&self, login: impl Fn(&Login) -> String) -> String {
        let login = self.login.as_ref().map(login).unwrap_or_default();
        format!("http://{login}{}:{}", write_host(&self.host), self.port)
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written(|login| format!("{}:[redacted]@", encoded(&login.user))))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProxyUrl({self})")
    }
}

impl FromStr for ProxyUrl {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, ProxyUrlError> {
        let rest = text.strip_prefix("http://").ok_or(ProxyUrlError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The last @ ends the login: people do not always write theirs as %40.
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(read_login(login)?), rest),
            None => (None, rest),
        };
        if rest.contains(['/', '?', '#', ' ']) {
            return Err(ProxyUrlError::Rest);
        }
        let (host, port) = host_and_port(rest).map_err(|error| match error {
            ServerUrlError::Port => ProxyUrlError::Port,
            ServerUrlError::Scheme | ServerUrlError::Host | ServerUrlError::Rest => ProxyUrlError::Host,
        })?;
        Ok(Self { host, port: port.ok_or(ProxyUrlError::Port)?, login })
    }
}

fn read_login(text: &str) -> Result<Login, ProxyUrlError> {
    let (user, password) = text.split_once(':').ok_or(ProxyUrlError::Login)?;
    let part = |text: &str| decoded(text).ok_or(ProxyUrlError::Login);
    Login::new(part(user)?, part(password)?)
}

impl Login {
    fn new(user: String, password: String) -> Result<Self, ProxyUrlError> {
        let is_short = user.len() <= MAX_LOGIN && password.len() <= MAX_LOGIN;
        // RFC 7617 section 2: a colon ends the user name, and control characters are not sent.
        let is_sent = !user.contains(':') && !user.chars().chain(password.chars()).any(char::is_control);
        if user.is_empty() || !is_short || !is_sent {
            Err(ProxyUrlError::Login)
        } else {
            Ok(Self { user, password })
        }
    }
}

/// Undoes percent-encoding (RFC 3986 2.1); `None` when a percent sign lacks its two digits or
/// the bytes are not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len().min(MAX_LOGIN * 3));
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap_or_default().bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Percent-encodes whatever is not unreserved (RFC 3986 2.3): the result survives any loader.
fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_added_as_it_is() {
        let plain: ProxyUrl = "http://10.0.0.3:3128".parse().unwrap();
        let proxy = plain.clone().with_login("ann", "p@ss:w%rd").unwrap();
        assert_eq!(proxy.login(), Some(("ann", "p@ss:w%rd")));
        assert_eq!(proxy.reveal().parse::<ProxyUrl>().unwrap(), proxy);
        assert_eq!(plain.with_login("a:b", "c"), Err(ProxyUrlError::Login));
    }
    use proptest::prelude::*;

    #[test]
    fn proxy_is_host_and_port_and_perhaps_a_login() {
        for (text, shown) in [
            ("http://10.0.0.3:3128", "http://10.0.0.3:3128"),
            ("http://Proxy.Example:80/", "http://proxy.example:80"),
            ("http://[fd00::3]:3128", "http://[fd00::3]:3128"),
            ("http://ann:s3cret@proxy:3128", "http://ann:[redacted]@proxy:3128"),
        ] {
            assert_eq!(text.parse::<ProxyUrl>().unwrap().to_string(), shown);
        }
        let proxy: ProxyUrl = "http://ann:p%40ss:w@rd@[fd00::3]:3128".parse().unwrap();
        assert_eq!(proxy.login(), Some(("ann", "p@ss:w@rd")));
        assert_eq!(proxy.reveal(), "http://ann:p%40ss%3Aw%40rd@[fd00::3]:3128");
        assert_eq!(format!("{proxy:?}"), "ProxyUrl(http://ann:[redacted]@[fd00::3]:3128)");
    }

    #[test]
    fn mistakes_are_named_without_the_password() {
        for (text, error) in [
            ("https://proxy:3128", ProxyUrlError::Scheme),
            ("proxy:3128", ProxyUrlError::Scheme),
            ("http://proxy", ProxyUrlError::Port),
            ("http://proxy:0", ProxyUrlError::Port),
            ("http://:3128", ProxyUrlError::Host),
            ("http://[::1", ProxyUrlError::Host),
            ("http://proxy:3128/path", ProxyUrlError::Rest),
            ("http://ann@proxy:3128", ProxyUrlError::Login),
            ("http://ann:s3%zz@proxy:3128", ProxyUrlError::Login),
            ("http://ann:s3%+5@proxy:3128", ProxyUrlError::Login),
            ("http://ann:s3cret%0d@proxy:3128", ProxyUrlError::Login),
            ("http://:s3cret@proxy:3128", ProxyUrlError::Login),
        ] {
            let met = text.parse::<ProxyUrl>().unwrap_err();
            assert_eq!(met, error, "{text}");
            assert!(!met.to_string().contains("s3"), "{met}");
        }
        let long = format!("http://ann:{}@proxy:3128", "x".repeat(129));
        assert_eq!(long.parse::<ProxyUrl>(), Err(ProxyUrlError::Login));
    }

    proptest! {
        #[test]
        fn parsing_is_total_and_what_is_revealed_reads_back(
            text in "(http://)?\\PC{0,60}", user in "[^:\\pC]{1,20}", password in "\\PC{0,30}",
        ) {
            if let Ok(proxy) = text.parse::<ProxyUrl>() {
                prop_assert_eq!(proxy.reveal().parse::<ProxyUrl>().unwrap(), proxy);
            }
            let proxy = ProxyUrl {
                host: "proxy".to_owned(), port: 1, login: Some(Login { user, password }),
            };
            prop_assert_eq!(proxy.reveal().parse::<ProxyUrl>().unwrap(), proxy);
        }
    }
}
