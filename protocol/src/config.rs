//! What an agent is told at boot: the config embedded in the medium, the kernel command line,
//! and the one rule that joins them.
//!
//! The embedded config is versioned JSON in a 64 KiB region of the ISO that a download
//! patches. It holds no secret unless an operator puts a token in it, or the server a boot nonce.
//! The command line wins key by key.

use crate::agent_api::Origin;
use crate::cmdline::{ConsoleMode, KernelArgs};
use crate::ids::SpkiPin;
use crate::inventory::clean_text;
use crate::net::NetPlan;
use crate::nonce::BootNonce;
use crate::token::{BootstrapToken, TokenShapeError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

mod ca;
mod proxy;

pub use ca::{CaCertificate, CaError, MAX_CA, MAX_CA_LEN};
pub use proxy::{ProxyUrl, ProxyUrlError};

/// Version of the embedded config this build writes and the newest it reads.
pub const CONFIG_VERSION: u32 = 1;
/// Path of the config inside the initrd, relative to the root.
pub const CONFIG_PATH: &str = "muster/config.json";
/// Longest config that is read, in bytes: it must fit its 64 KiB region.
pub const MAX_CONFIG_LEN: usize = 60 * 1_024;
/// Most servers and most pins an agent is told.
pub const MAX_SERVERS: usize = 16;

/// Why a text is not a server's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerUrlError {
    /// Not `https://`.
    #[error("server address must begin with https://, such as https://10.0.0.5:8092")]
    Scheme,
    /// Empty or impossible host.
    #[error("server address has no usable host name or IP address")]
    Host,
    /// Port outside 1 to 65535.
    #[error("server address has no usable port (1 to 65535)")]
    Port,
    /// Path, query, user or fragment.
    #[error("server address must end after host and port")]
    Rest,
}

/// `https://HOST[:PORT]`, nothing else. Without a port it is 443, as everywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerUrl {
    host: String,
    port: u16,
}

impl ServerUrl {
    /// The host: a DNS name, an IPv4 address or an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `HOST:PORT`, as a proxy is asked for it.
    pub fn authority(&self) -> String {
        format!("{}:{}", write_host(&self.host), self.port)
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}", write_host(&self.host))?;
        if self.port == 443 { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let rest = text.strip_prefix("https://").ok_or(ServerUrlError::Scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@', ' ']) {
            return Err(ServerUrlError::Rest);
        }
        let (host, port) = host_and_port(rest)?;
        Ok(Self { host, port: port.unwrap_or(443) })
    }
}

/// Reads `HOST[:PORT]`, the host in lower case and an IPv6 address without its brackets.
fn host_and_port(text: &str) -> Result<(String, Option<u16>), ServerUrlError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner.split_once(']').ok_or(ServerUrlError::Host)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| ServerUrlError::Host)?;
            match after {
                "" => (host, None),
                _ => (host, Some(after.strip_prefix(':').ok_or(ServerUrlError::Port)?)),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let name_ok = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.is_empty() || host.len() > 253 || !host.chars().all(name_ok) {
        return Err(ServerUrlError::Host);
    }
    let port = match port {
        None => None,
        Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
            Some(text.parse().ok().filter(|&port| port != 0).ok_or(ServerUrlError::Port)?)
        }
        Some(_) => return Err(ServerUrlError::Port),
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// A host as it stands in an address: IPv6 in brackets.
fn write_host(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Whether a text can be a server's id: a label of a DNS name in lower case.
pub fn is_server_id(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

impl TryFrom<String> for ServerUrl {
    type Error = ServerUrlError;
    fn try_from(text: String) -> Result<Self, ServerUrlError> {
        text.parse()
    }
}

impl From<ServerUrl> for String {
    fn from(url: ServerUrl) -> String {
        url.to_string()
    }
}

/// The config embedded in a medium. Fields a later version adds are ignored by this one;
/// a `version` above [`CONFIG_VERSION`] is refused.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentConfig {
    /// Schema version, [`CONFIG_VERSION`].
    pub version: u32,
    /// Servers, tried in order. Empty on a medium that was never personalised (E11).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server: Vec<ServerUrl>,
    /// Pins of the current and the next CA.
    #[serde(default, rename = "ca-hash", skip_serializing_if = "Vec::is_empty")]
    pub ca_hash: Vec<SpkiPin>,
    /// Random id of this download, to tell one stick from another in the audit log.
    #[serde(default, rename = "image-id", skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// When the medium was made, in seconds since 1970: a floor for a dead clock.
    #[serde(default, rename = "built-at", skip_serializing_if = "Option::is_none")]
    pub built_at: Option<u64>,
    /// As `muster.console=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<String>,
    /// As `muster.net=`; several specs are separated by blanks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub net: Option<String>,
    /// As `muster.proxy=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// As `muster.token=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// As `muster.nonce=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// CAs that may vouch for a server whose chain has no pinned key in it: for servers behind a
    /// proxy that ends TLS. At most [`MAX_CA`], together at most [`MAX_CA_LEN`] bytes of PEM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ca: Vec<CaCertificate>,
    /// Id of the server behind that proxy, whose certificate does not tell it.
    #[serde(default, rename = "server-id", skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// How the machine is booted, where the config knows better than the agent: by a boot server,
    /// in an overlay beside our initrd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl fmt::Debug for AgentConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentConfig")
            .field("version", &self.version)
            .field("server", &self.server)
            .field("ca_hash", &self.ca_hash)
            .field("image_id", &self.image_id)
            .field("built_at", &self.built_at)
            .field("net", &self.net)
            .field("proxy", &self.proxy.as_ref().map(|_| "[redacted]"))
            .field("token", &self.token.as_ref().map(|_| "[redacted]"))
            .field("nonce", &self.nonce.as_ref().map(|_| "[redacted]"))
            .field("ca", &self.ca)
            .field("server_id", &self.server_id)
            .finish_non_exhaustive()
    }
}

/// Why an embedded config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Larger than [`MAX_CONFIG_LEN`].
    #[error("embedded config has {0} bytes, at most {MAX_CONFIG_LEN} are read; shorten it")]
    TooLong(usize),
    /// Not the JSON of a config.
    #[error("embedded config is not valid: {}; download the medium again", json_problem(.0))]
    Json(#[source] serde_json::Error),
    /// Made for a later agent.
    #[error("embedded config has version {0}, this agent reads up to {CONFIG_VERSION}; use a newer medium")]
    Version(u32),
    /// More servers or pins than [`MAX_SERVERS`].
    #[error("embedded config names more than {MAX_SERVERS} servers or CA hashes")]
    TooMany,
    /// More or longer CA certificates than [`MAX_CA`] and [`MAX_CA_LEN`].
    #[error(
        "embedded config has {0} CA certificates of {1} bytes, at most {MAX_CA} of {MAX_CA_LEN} are read"
    )]
    Ca(usize, usize),
    /// `ca` without `server-id`, or one that no server has.
    #[error(
        "embedded config needs server-id beside ca, the Id in /api/v3/info of that server: lower-case letters, digits, dashes"
    )]
    ServerId,
}

/// What is wrong with a document and where. A value that stands in a wrong place may be long, and
/// may be anything.
fn json_problem(error: &serde_json::Error) -> String {
    let (text, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
    clean_text(text.strip_suffix(&place).unwrap_or(&text)) + &place
}

impl AgentConfig {
    /// A config that names nobody: what the base medium carries.
    pub fn unpersonalised() -> Self {
        Self {
            version: CONFIG_VERSION,
            server: Vec::new(),
            ca_hash: Vec::new(),
            image_id: None,
            built_at: None,
            console: None,
            net: None,
            proxy: None,
            token: None,
            nonce: None,
            ca: Vec::new(),
            server_id: None,
            origin: None,
        }
    }

    /// Reads a config's JSON. Trailing NUL bytes and white space are padding.
    ///
    /// # Errors
    /// [`ConfigError`] names the limit or the place.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        if bytes.len() > MAX_CONFIG_LEN {
            return Err(ConfigError::TooLong(bytes.len()));
        }
        let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        let config: Self =
            serde_json::from_slice(bytes.get(..end).unwrap_or_default()).map_err(ConfigError::Json)?;
        if config.version > CONFIG_VERSION {
            return Err(ConfigError::Version(config.version));
        }
        if config.server.len() > MAX_SERVERS || config.ca_hash.len() > MAX_SERVERS {
            return Err(ConfigError::TooMany);
        }
        let pem = config.ca.iter().map(|certificate| certificate.pem().len()).sum();
        if config.ca.len() > MAX_CA || pem > MAX_CA_LEN {
            return Err(ConfigError::Ca(config.ca.len(), pem));
        }
        if !config.server_id.as_deref().map_or(config.ca.is_empty(), is_server_id) {
            return Err(ConfigError::ServerId);
        }
        Ok(config)
    }

    /// The config as JSON, checked against the same limits as [`AgentConfig::parse`].
    ///
    /// # Errors
    /// When it is too long or names too many servers.
    pub fn render(&self) -> Result<Vec<u8>, ConfigError> {
        let bytes = serde_json::to_vec(self).map_err(ConfigError::Json)?;
        Self::parse(&bytes)?;
        Ok(bytes)
    }
}

/// What the agent goes by: the command line where it speaks, else the embedded config.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Servers in the order they are tried. Empty: E11.
    pub servers: Vec<ServerUrl>,
    /// Pins; empty means the agent trusts nobody (E21) since it carries no other roots.
    pub ca_hash: Vec<SpkiPin>,
    /// A token of the right shape.
    pub token: Option<BootstrapToken>,
    /// Why the token that was given cannot be used; never beside a token that can.
    pub token_error: Option<TokenShapeError>,
    /// A boot nonce of the right shape.
    pub nonce: Option<BootNonce>,
    /// Console behaviour.
    pub console: ConsoleMode,
    /// Network set-up.
    pub net: NetPlan,
    /// HTTP proxy towards the servers.
    pub proxy: Option<ProxyUrl>,
    /// CAs that may vouch for a server without a pinned key.
    pub ca: Vec<CaCertificate>,
    /// Id of the server that such a CA vouches for.
    pub server_id: Option<String>,
    /// Seconds since 1970 when the medium was made.
    pub built_at: Option<u64>,
    /// Everything that was given and could not be used, as sentences for the console; of a token
    /// without another beside it, `token_error` says it.
    pub problems: Vec<String>,
}

impl Settings {
    /// Joins both sources. Nothing fails here: what cannot be used becomes a problem to show.
    pub fn combine(args: &KernelArgs, config: Option<&AgentConfig>) -> Self {
        let from_config = config.map(Self::from_config).unwrap_or_default();
        let token = args.token.clone().or(from_config.token);
        // Beside a good token a bad one is a problem; alone it is a fault of its own.
        let beside = |error: Option<TokenShapeError>| error.filter(|_| token.is_some());
        let mut problems = args.problems.clone();
        problems.extend(beside(args.token_error).map(|error| error.to_string()));
        problems.extend(from_config.problems);
        problems.extend(beside(from_config.token_error).map(|error| format!("embedded config: {error}")));
        Self {
            servers: if args.servers.is_empty() { from_config.servers } else { args.servers.clone() },
            ca_hash: if args.ca_hash.is_empty() { from_config.ca_hash } else { args.ca_hash.clone() },
            token_error: args.token_error.or(from_config.token_error).filter(|_| token.is_none()),
            token,
            nonce: args.nonce.clone().or(from_config.nonce),
            console: if args.console.is_default() { from_config.console } else { args.console.clone() },
            net: args.net.clone().unwrap_or(from_config.net),
            proxy: args.proxy.clone().or(from_config.proxy),
            ca: from_config.ca,
            server_id: from_config.server_id,
            built_at: from_config.built_at,
            problems,
        }
    }

    fn from_config(config: &AgentConfig) -> Self {
        let mut args = KernelArgs::default();
        let told = [
            (crate::cmdline::TOKEN, &config.token),
            (crate::cmdline::NONCE, &config.nonce),
            (crate::cmdline::CONSOLE, &config.console),
            (crate::cmdline::NET, &config.net),
            (crate::cmdline::PROXY, &config.proxy),
        ];
        for (key, value) in told {
            if let Some(value) = value {
                args.take(key, value);
            }
        }
        Self {
            servers: config.server.clone(),
            ca_hash: config.ca_hash.clone(),
            token: args.token,
            token_error: args.token_error,
            nonce: args.nonce,
            console: args.console,
            net: args.net.unwrap_or_default(),
            proxy: args.proxy,
            ca: config.ca.clone(),
            server_id: config.server_id.clone(),
            built_at: config.built_at,
            problems: args.problems.iter().map(|p| format!("embedded config: {p}")).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_address_is_host_and_port_only() {
        for (text, shown) in [
            ("https://10.0.2.2:8092", "https://10.0.2.2:8092"),
            ("https://Muster.Example/", "https://muster.example"),
            ("https://[fd00::1]:8092", "https://[fd00::1]:8092"),
        ] {
            assert_eq!(text.parse::<ServerUrl>().unwrap().to_string(), shown);
        }
        for text in [
            "http://a",
            "https://",
            "https://a:0",
            "https://a:99999",
            "https://a/b",
            "https://u@a",
            "https://[::1",
            "https://a b",
            "https://a:+5",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn command_line_wins_key_by_key() {
        let config = AgentConfig {
            server: vec!["https://config:8092".parse().unwrap()],
            ca_hash: vec![SpkiPin([1; 32])],
            ..AgentConfig::unpersonalised()
        };
        let args = KernelArgs::parse("quiet muster.server=https://line:8092");
        let settings = Settings::combine(&args, Some(&config));
        assert_eq!(settings.servers.first().unwrap().host(), "line");
        assert_eq!(settings.ca_hash, vec![SpkiPin([1; 32])]);
    }

    #[test]
    fn config_round_trips_and_refuses_a_later_version() {
        let config = AgentConfig { built_at: Some(5), ..AgentConfig::unpersonalised() };
        let mut bytes = config.render().unwrap();
        bytes.extend([0; 100]);
        assert_eq!(AgentConfig::parse(&bytes).unwrap(), config);
        assert_eq!(
            AgentConfig::parse(br#"{"version":2}"#).unwrap_err().to_string(),
            "embedded config has version 2, this agent reads up to 1; use a newer medium"
        );
        assert!(AgentConfig::parse(&vec![b' '; MAX_CONFIG_LEN + 1]).is_err());
    }

    #[test]
    fn config_never_shows_its_secrets() {
        let proxy = Some("http://ann:s3cret@proxy:3128".into());
        let token = Some("s3cret".into());
        let nonce = Some("s3cretAAAAAAAAAAAAAAAA".into());
        let config = AgentConfig { token, proxy, nonce, ..AgentConfig::unpersonalised() };
        assert!(!format!("{config:?}").contains("s3cret"));
        let settings = Settings::combine(&KernelArgs::default(), Some(&config));
        assert!(!format!("{settings:?}").contains("s3cret"));
        assert_eq!(settings.proxy.unwrap().login(), Some(("ann", "s3cret")));
        assert_eq!(settings.nonce.unwrap().reveal(), "s3cretAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn extra_authorities_come_with_a_server_id_and_within_limits() {
        let pem = |length: usize| CaCertificate::try_from(ca::wrapped(&vec![0x30; length])).unwrap();
        let config = |ca: Vec<CaCertificate>, server_id: Option<&str>| AgentConfig {
            ca,
            server_id: server_id.map(str::to_owned),
            ..AgentConfig::unpersonalised()
        };
        let good = config(vec![pem(800)], Some("muster-4k2p"));
        assert_eq!(AgentConfig::parse(&good.render().unwrap()).unwrap(), good);
        let settings = Settings::combine(&KernelArgs::default(), Some(&good));
        assert_eq!((settings.ca, settings.server_id.as_deref()), (good.ca, Some("muster-4k2p")));
        let refused = |config: AgentConfig| config.render().unwrap_err();
        assert!(matches!(refused(config(vec![pem(800)], None)), ConfigError::ServerId));
        assert!(matches!(refused(config(vec![pem(800)], Some("Site 1"))), ConfigError::ServerId));
        assert!(matches!(refused(config(vec![pem(9); 5], Some("a"))), ConfigError::Ca(5, _)));
        let long = refused(config(vec![pem(5_000); 3], Some("a")));
        assert!(matches!(long, ConfigError::Ca(3, length) if length > MAX_CA_LEN), "{long}");
        assert!(AgentConfig::parse(br#"{"version":1,"ca":["no PEM"],"server-id":"a"}"#).is_err());
    }
}
