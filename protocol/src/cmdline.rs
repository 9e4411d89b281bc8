//! The kernel command line: a total parser, a renderer that refuses and never cuts.
//!
//! Sources: Linux `Documentation/admin-guide/kernel-parameters.rst` (quoting),
//! `arch/x86/include/asm/setup.h` (`COMMAND_LINE_SIZE` 2048 with its NUL).

use crate::config::{MAX_SERVERS, ProxyUrl, ServerUrl};
use crate::ids::SpkiPin;
use crate::net::NetPlan;
use crate::nonce::BootNonce;
use crate::token::{BootstrapToken, TokenShapeError};

/// A server's address; repeatable, tried in order.
pub const SERVER: &str = "muster.server";
/// A bootstrap token.
pub const TOKEN: &str = "muster.token";
/// A one-time boot nonce. See [`crate::nonce`].
pub const NONCE: &str = "muster.nonce";
/// Comma-separated pins of the current and the next CA.
pub const CA_HASH: &str = "muster.ca-hash";
/// Comma-separated words: `verbose`, `rescue`, and names of further terminals such as `ttyS1`.
pub const CONSOLE: &str = "muster.console";
/// Network set-up; repeatable. See [`crate::net`].
pub const NET: &str = "muster.net";
/// HTTP proxy towards the server.
pub const PROXY: &str = "muster.proxy";
/// Id of the medium's server: for the medium's boot loader alone, which looks for disks that this server
/// installed (`iso::menu`).
pub const LOCAL: &str = "muster.local";

/// Longest command line every loader and kernel carries whole, in bytes.
pub const MAX_CMDLINE: usize = 2_047;
/// Longest line that is looked at, in bytes; the kernel never hands out more than 4,096.
pub const MAX_PARSED: usize = 4_096;

/// How the console behaves (`muster.console=`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsoleMode {
    /// Show kernel and agent messages as they come.
    pub verbose: bool,
    /// Start a shell on the first console: only ever set by the rescue menu entry.
    pub rescue: bool,
    /// Further terminals to write to, device names under `/dev`.
    pub terminals: Vec<String>,
}

impl ConsoleMode {
    /// Whether nothing was asked for.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What the `muster.*` arguments of a command line say. Debug hides its secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelArgs {
    /// `muster.server=`, in order.
    pub servers: Vec<ServerUrl>,
    /// `muster.token=`, when its shape is right.
    pub token: Option<BootstrapToken>,
    /// A token was given and its shape is wrong: cut off or damaged (E41), or too long (E45).
    pub token_error: Option<TokenShapeError>,
    /// `muster.nonce=`, when its shape is right.
    pub nonce: Option<BootNonce>,
    /// `muster.ca-hash=`.
    pub ca_hash: Vec<SpkiPin>,
    /// `muster.console=`.
    pub console: ConsoleMode,
    /// `muster.net=`, all of them together; `None` when nothing usable was said.
    pub net: Option<NetPlan>,
    /// `muster.proxy=`.
    pub proxy: Option<ProxyUrl>,
    /// Sentences about arguments that could not be used, the token aside, for the console and the
    /// log.
    pub problems: Vec<String>,
}

impl KernelArgs {
    /// Reads a command line. Never fails: what is wrong becomes a problem, what is not ours is
    /// passed over, and an unknown `muster.*` key is reported and not obeyed.
    pub fn parse(line: &str) -> Self {
        let mut args = Self::default();
        let mut end = line.len().min(MAX_PARSED);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        if end < line.len() {
            args.problems
                .push(format!("kernel command line has {} bytes, only {MAX_PARSED} are read", line.len()));
        }
        for word in words(line.get(..end).unwrap_or_default()) {
            // Everything after "--" belongs to init, by the kernel's own rule.
            if word == "--" {
                break;
            }
            if let Some((key, value)) = word.split_once('=') {
                args.take(key, value);
            } else if word.starts_with("muster.") {
                args.problems.push(format!("{} has no value", printable(&word)));
            }
        }
        args
    }

    /// Takes one argument; keys that are not ours are passed over.
    pub fn take(&mut self, key: &str, value: &str) {
        match key {
            SERVER => self.take_server(value),
            TOKEN => match value.parse::<BootstrapToken>() {
                Ok(token) => self.token = Some(token),
                Err(error) => self.token_error = Some(error),
            },
            // Without the value, as below: it may be a nonce that lost a character.
            NONCE => match value.parse() {
                Ok(nonce) => self.nonce = Some(nonce),
                Err(error) => self.problems.push(format!("{NONCE}: {error}")),
            },
            CA_HASH => self.take_pins(value),
            CONSOLE => self.take_console(value),
            NET => match NetPlan::join(self.net.clone(), value) {
                Ok(plan) => self.net = Some(plan),
                Err(error) => self.problems.push(format!("{NET}: {error}")),
            },
            // Without the value: there may be a password in it.
            PROXY => match value.parse() {
                Ok(proxy) => self.proxy = Some(proxy),
                Err(error) => self.problems.push(format!("{PROXY}: {error}")),
            },
            LOCAL => {}
            _ if key.starts_with("muster.") => {
                self.problems.push(format!("{} is not known to this agent and is ignored", printable(key)));
            }
            _ => {}
        }
    }

    fn take_server(&mut self, value: &str) {
        match value.parse() {
            Ok(url) if self.servers.len() < MAX_SERVERS => self.servers.push(url),
            Ok(_) => {
                self.problems.push(format!("more than {MAX_SERVERS} servers given, the rest is ignored"))
            }
            Err(error) => self.problems.push(format!("{SERVER}={}: {error}", printable(value))),
        }
    }

    fn take_pins(&mut self, value: &str) {
        for pin in value.split(',').take(MAX_SERVERS) {
            match pin.parse() {
                Ok(pin) if self.ca_hash.len() < MAX_SERVERS => self.ca_hash.push(pin),
                Ok(_) => {
                    self.problems
                        .push(format!("more than {MAX_SERVERS} CA hashes given, the rest is ignored"));
                }
                Err(error) => self.problems.push(format!("{CA_HASH}: {error}")),
            }
        }
    }

    fn take_console(&mut self, value: &str) {
        for word in value.split(',') {
            match word {
                "verbose" => self.console.verbose = true,
                "rescue" => self.console.rescue = true,
                name if is_terminal(name) && self.console.terminals.len() < 4 => {
                    self.console.terminals.push(name.to_owned());
                }
                other => self.problems.push(format!(
                    "{CONSOLE}: {} is neither verbose, rescue nor a terminal such as ttyS1",
                    printable(other)
                )),
            }
        }
    }

    /// Writes the arguments as a command line that [`KernelArgs::parse`] reads back the same.
    ///
    /// # Errors
    /// [`CmdlineError`] when the line would be longer than [`MAX_CMDLINE`] or a value cannot
    /// be carried; nothing is ever cut off.
    pub fn render(&self) -> Result<String, CmdlineError> {
        let mut words: Vec<String> = self.servers.iter().map(|url| format!("{SERVER}={url}")).collect();
        if !self.ca_hash.is_empty() {
            let pins: Vec<String> = self.ca_hash.iter().map(SpkiPin::to_string).collect();
            words.push(format!("{CA_HASH}={}", pins.join(",")));
        }
        let mut console: Vec<&str> = Vec::new();
        console.extend(self.console.verbose.then_some("verbose"));
        console.extend(self.console.rescue.then_some("rescue"));
        console.extend(self.console.terminals.iter().map(String::as_str));
        if !console.is_empty() {
            words.push(format!("{CONSOLE}={}", console.join(",")));
        }
        words.extend(self.net.iter().flat_map(NetPlan::words).map(|word| format!("{NET}={word}")));
        words.extend(self.proxy.iter().map(|proxy| format!("{PROXY}={}", proxy.reveal())));
        words.extend(self.nonce.iter().map(|nonce| format!("{NONCE}={}", nonce.reveal())));
        words.extend(self.token.iter().map(|token| format!("{TOKEN}={}", token.reveal())));
        let line = words.join(" ");
        check(&line)?;
        if words.iter().any(|word| word.contains(' ')) {
            return Err(CmdlineError::Character(' '));
        }
        Ok(line)
    }
}

fn is_terminal(name: &str) -> bool {
    name.starts_with("tty") && name.len() <= 16 && name.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Why a command line cannot be carried whole by every loader.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineError {
    /// Longer than [`MAX_CMDLINE`].
    #[error(
        "kernel command line has {0} bytes, loaders carry at most {MAX_CMDLINE}; use a shorter token or fewer arguments"
    )]
    TooLong(usize),
    /// A character that ends, quotes or splits arguments somewhere on the way.
    #[error("kernel command line cannot carry {0:?}")]
    Character(char),
}

/// Checks a whole line: its length, and characters that loaders or the kernel would interpret.
///
/// # Errors
/// [`CmdlineError`] with the number or the character.
pub fn check(line: &str) -> Result<(), CmdlineError> {
    if line.len() > MAX_CMDLINE {
        return Err(CmdlineError::TooLong(line.len()));
    }
    let refused = |c: &char| {
        !c.is_ascii() || c.is_ascii_control() || matches!(c, '"' | '\'' | '$' | '\\' | ';' | '{' | '}' | '`')
    };
    match line.chars().find(refused) {
        Some(character) => Err(CmdlineError::Character(character)),
        None => Ok(()),
    }
}

/// Length in bytes of a line that lost its bootstrap token: it is as long as loaders carry, and it
/// ends in a token of the wrong shape, or in the beginning of that argument's name. A full line
/// that ends otherwise may be whole.
pub fn token_cut_at(line: &str) -> Option<usize> {
    let line = line.trim_end();
    let last = words(line).pop().filter(|_| line.len() >= MAX_CMDLINE)?;
    let is_cut = match last.split_once('=') {
        Some((key, value)) => key == TOKEN && value.parse::<BootstrapToken>().is_err(),
        // The first letters that no other argument of ours has.
        None => last.starts_with("muster.t") && TOKEN.starts_with(&last),
    };
    is_cut.then_some(line.len())
}

/// Splits a line at white space outside double quotes, and drops the quotes, as the kernel does.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut begun) = (false, false);
    for character in line.chars() {
        match character {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            c if c.is_whitespace() && !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// At most 160 printable ASCII characters of outside text, for a message.
fn printable(text: &str) -> String {
    text.chars().take(160).map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quoting_is_the_kernels() {
        assert_eq!(words(r#"a  b="c d" "e f"=g h"#), ["a", "b=c d", "e f=g", "h"]);
        assert_eq!(words(r#"foo=""#), ["foo="]);
    }

    #[test]
    fn unknown_keys_are_reported_and_not_obeyed() {
        let args =
            KernelArgs::parse("muster.insecure=1 muster.server=https://a:1 muster.rescue root=/dev/sda");
        assert_eq!(
            args.problems,
            ["muster.insecure is not known to this agent and is ignored", "muster.rescue has no value"]
        );
        assert_eq!(args.servers.len(), 1);
        assert!(KernelArgs::parse("muster.local=dc1").problems.is_empty());
    }

    #[test]
    fn network_arguments_are_joined_and_their_mistakes_named() {
        let args =
            KernelArgs::parse("muster.net=if=eth0,addr=10.0.0.5/24 muster.net=if=eth1 muster.net=vlan=0");
        assert_eq!(args.net.unwrap().words(), ["if=eth0,addr=10.0.0.5/24", "if=eth1"]);
        assert_eq!(args.problems, ["muster.net: vlan=0 must be a number from 1 to 4094, such as vlan=120"]);
        assert_eq!(KernelArgs::parse("quiet").net, None);
        assert_eq!(KernelArgs::parse("muster.net=dhcp").net, Some(NetPlan::Automatic));
    }

    #[test]
    fn overlong_line_is_refused_with_the_number() {
        assert_eq!(
            check(&"a".repeat(2_048)).unwrap_err().to_string(),
            "kernel command line has 2048 bytes, loaders carry at most 2047; use a shorter token or fewer arguments"
        );
        assert!(check(&"a".repeat(2_047)).is_ok());
        assert_eq!(check("a\nb").unwrap_err(), CmdlineError::Character('\n'));
    }

    #[test]
    fn damaged_token_is_told_apart_from_none() {
        assert_eq!(KernelArgs::parse("muster.token=eyJh").token_error, Some(TokenShapeError::Parts(1)));
        let long = format!("muster.token={}", "x".repeat(1_100));
        assert_eq!(KernelArgs::parse(&long).token_error, Some(TokenShapeError::TooLong(1_100)));
        assert_eq!(KernelArgs::parse("quiet").token_error, None);
    }

    #[test]
    fn a_line_has_lost_its_token_only_where_its_end_shows_it() {
        let full = |end: &str| format!("{} {end}", "x".repeat(MAX_CMDLINE - 1 - end.len()));
        for (end, is_cut) in [
            ("muster.token=eyJh", true),
            ("muster.token=", true),
            ("muster.tok", true),
            ("muster.", false),
            ("quiet", false),
            ("muster.token=eyJh quiet", false),
        ] {
            assert_eq!(token_cut_at(&full(end)), is_cut.then_some(MAX_CMDLINE), "{end}");
            assert_eq!(token_cut_at(end), None, "{end}, and a short line");
        }
    }

    #[test]
    fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
        let args = KernelArgs::parse("muster.proxy=http://ann:s3cret@proxy");
        let told =
            "muster.proxy: proxy address has no usable port (1 to 65535), such as http://10.0.0.3:3128";
        assert_eq!((args.proxy.clone(), args.problems.as_slice()), (None, &[told.to_owned()][..]));
    }

    #[test]
    fn a_nonce_is_read_and_a_damaged_one_is_named_without_its_value() {
        let args = KernelArgs::parse("muster.nonce=ABAgMEBQYHCAkKCwwNDg8A quiet");
        assert_eq!(args.nonce.as_ref().unwrap().reveal(), "ABAgMEBQYHCAkKCwwNDg8A");
        assert!(!format!("{args:?}").contains("ABAgMEBQ"), "{args:?}");
        let damaged = KernelArgs::parse("muster.nonce=ABAgMEBQYHCAkKCwwNDg8");
        let told = "muster.nonce: boot nonce must have 22 characters of base64url: it was cut off or damaged";
        assert_eq!((damaged.nonce, damaged.problems.as_slice()), (None, &[told.to_owned()][..]));
    }

    #[test]
    fn what_belongs_to_init_is_not_ours() {
        assert_eq!(KernelArgs::parse("quiet -- muster.server=https://a").servers, []);
    }

    proptest! {
        #[test]
        fn parsing_is_total(line in "\\PC{0,300}") {
            let _args = KernelArgs::parse(&line);
        }

        #[test]
        fn rendered_lines_read_back_the_same(
            port in 1u16.., rescue: bool, verbose: bool, pin in proptest::array::uniform32(any::<u8>()),
            nonce: Option<[u8; 16]>,
            net in proptest::sample::select(vec!["dhcp", "ask", "addr=10.0.0.5/24,gw=10.0.0.1", "if=eth0 if=eth1,vlan=5"]),
        ) {
            let args = KernelArgs {
                servers: vec![format!("https://10.0.0.1:{port}").parse().unwrap()],
                ca_hash: vec![SpkiPin(pin)],
                console: ConsoleMode { verbose, rescue, terminals: vec!["ttyS1".into()] },
                net: Some(net.parse().unwrap()),
                proxy: Some("http://ann:p%24ss%20w%22rd@[fd00::3]:3128".parse().unwrap()),
                nonce: nonce.map(BootNonce::from_random),
                ..KernelArgs::default()
            };
            prop_assert_eq!(KernelArgs::parse(&args.render().unwrap()), args);
        }
    }
}
