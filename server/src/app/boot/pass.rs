//! What a machine that boots our image is let in by, and the kernel arguments that carry it.

use super::super::App;
use super::Requester;
use crate::report::chain;
use engine::machine::Machine;
use protocol::cmdline::{CA_HASH, KernelArgs, NONCE, SERVER, TOKEN};
use protocol::config::{AgentConfig, ServerUrl};
use protocol::nonce::BootNonce;
use protocol::token::BootstrapToken;
use pxe::documents::{DocumentError, MenuEntry, grub, ipxe, pxelinux};
use std::net::{IpAddr, SocketAddr};

/// What an agent is told by this server alone: whoever else could name a server and a CA would have the
/// machine register there.
const OURS: [&str; 4] = [SERVER, CA_HASH, TOKEN, NONCE];
/// Our kernel and ramdisk, as the built-in boot environments name them.
const KERNEL: &str = "muster/vmlinuz";
const INITRD: &str = "muster/initrd";

/// What a machine registers by. Debug hides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pass {
    /// A bootstrap token: it is not known.
    Token(BootstrapToken),
    /// A boot nonce: it is known, and expected to boot.
    Nonce(BootNonce),
    /// Nothing: it has its key, or somebody types its code.
    Nothing,
}

impl Pass {
    /// The token and the nonce.
    fn parts(&self) -> (Option<&BootstrapToken>, Option<&BootNonce>) {
        match self {
            Self::Token(token) => (Some(token), None),
            Self::Nonce(nonce) => (None, Some(nonce)),
            Self::Nothing => (None, None),
        }
    }

    /// What stands in an image for it.
    pub(super) fn config(&self) -> AgentConfig {
        let (token, nonce) = self.parts();
        AgentConfig {
            token: token.map(|token| token.reveal().to_owned()),
            nonce: nonce.map(BootNonce::reveal),
            ..AgentConfig::unpersonalised()
        }
    }
}

impl App {
    /// The addresses that a machine is told which came to this one of ours.
    pub(super) fn servers_for(&self, reached: Option<IpAddr>) -> Vec<ServerUrl> {
        let port = self.boot.settings.https_port;
        let url = |ip: IpAddr| format!("https://{}", SocketAddr::new(ip.to_canonical(), port)).parse().ok();
        self.media.servers(reached.and_then(url), port)
    }

    /// What a known machine is let in by: a boot nonce where it may have one. A store that cannot be
    /// written keeps nobody from booting.
    pub(super) async fn pass_of(&self, machine: &Machine, requester: Requester) -> Pass {
        match self.boot_nonce(machine, requester).await {
            Ok(nonce) => nonce.map_or(Pass::Nothing, Pass::Nonce),
            Err(error) => {
                tracing::error!(machine = %machine.name, error = %chain(&error), "its boot carries no nonce");
                Pass::Nothing
            }
        }
    }

    /// The arguments of an agent that comes to these servers and is let in by `pass`.
    ///
    /// # Errors
    /// As a fragment, when no kernel would take them.
    pub(super) fn agent_args(&self, servers: Vec<ServerUrl>, pass: &Pass) -> Result<String, String> {
        let (token, nonce) = pass.parts();
        let args = KernelArgs {
            servers,
            ca_hash: self.keys.pins(),
            token: token.cloned(),
            nonce: nonce.cloned(),
            ..KernelArgs::default()
        };
        args.render().map_err(|error| error.to_string())
    }
}

/// The arguments of an agent behind `further` ones, for loaders that load from the URL `base`. The
/// token stands last: by that an agent sees that a loader cut the line.
///
/// # Errors
/// As a fragment, when a loader would not hand the whole line on, or interpret something in it, and
/// when the further ones speak for this server, or hide its own from the agent.
pub(crate) fn line(further: &str, args: &str, base: &str) -> Result<String, String> {
    for word in further.split_ascii_whitespace() {
        let key = word.split('=').next().unwrap_or_default();
        if OURS.contains(&key) {
            return Err(format!("{key} is this server's to say; leave it out"));
        }
        if word == "--" {
            return Err("what follows -- goes to init, and the agent does not read it; leave it out".into());
        }
    }
    let line = [further, args].join(" ").trim().to_owned();
    carried(&line, base).map_err(|error| error.to_string())?;
    Ok(line)
}

/// Whether every loader hands this line on whole, with what it adds of its own.
fn carried(line: &str, base: &str) -> Result<(), DocumentError> {
    let (kernel, initrd) = (format!("{base}/{KERNEL}"), format!("{base}/{INITRD}"));
    pxelinux(&MenuEntry { kernel: KERNEL, initrd: INITRD, kernel_args: line })?;
    let by_url = MenuEntry { kernel: &kernel, initrd: &initrd, kernel_args: line };
    grub(&by_url)?;
    ipxe(&by_url)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_line_that_arrives_whole_is_known_by_the_number() {
        let base = "http://10.0.0.1:8091";
        let fits = (0..2_048).rev().find(|len| carried(&"a".repeat(*len), base).is_ok()).unwrap();
        let told = carried(&"a".repeat(fits + 1), base).unwrap_err().to_string();
        assert!(told.contains("2048 bytes, at most 2047"), "{told}");
        assert!(fits > 1_950, "{fits}");
        assert!(carried("a b=c\nd", base).unwrap_err().to_string().contains("'\\n'"));
    }

    #[test]
    fn nobody_else_says_where_a_machine_registers() {
        let base = "http://10.0.0.1:8091";
        for further in [
            "muster.server=https://evil",
            "quiet muster.ca-hash=sha256:AAAA",
            "muster.token",
            "muster.nonce=a",
        ] {
            let told = line(further, "muster.server=https://10.0.0.1", base).unwrap_err();
            assert!(told.contains("this server's to say"), "{further}: {told}");
        }
        assert!(line("quiet -- x", "muster.server=https://10.0.0.1", base).unwrap_err().contains("init"));
        for further in ["", "quiet console=ttyS0,115200n8", "muster.console=plain muster.net=vlan=7", "a--b"]
        {
            assert!(line(further, "muster.server=https://10.0.0.1", base).is_ok(), "{further}");
        }
    }

    #[test]
    fn passes_stay_out_of_debug() {
        let nonce = BootNonce::from_random([7; 16]);
        let shown = nonce.reveal();
        let pass = Pass::Nonce(nonce);
        assert!(!format!("{pass:?}").contains(&shown));
        assert_eq!((pass.config().nonce, pass.config().token), (Some(shown), None));
    }
}
