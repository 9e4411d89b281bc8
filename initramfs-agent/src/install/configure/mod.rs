//! `configure`: what makes the written image this machine's system. Its name, its tables of file systems, the
//! seed for cloud-init and the agent go into it; what the image has of another machine (ids, host keys) goes
//! out.
//!
//! Nothing of the running system is copied but the agent's program: neither its command line, which may hold a
//! token, nor its configuration.

mod agent;
mod seed;
mod tables;

use super::chroot::{Chroot, ChrootError};
use super::fail::InstallError;
use super::state::Partitioned;
use super::system::{System, SystemError};
use super::target::{Tree, TreeError};
use super::write::permitted;
use super::{Install, say};
use crate::handover::HandoverError;
use nix::sys::stat::SFlag;
use protocol::install::InstallOrder;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Longest text of the image that is read, in bytes.
const MAX_TEXT: u64 = 256 * 1_024;
/// Longest name of a host (`HOST_NAME_MAX`).
const MAX_HOSTNAME: usize = 64;
/// What making host keys may take.
const KEYS_LIMIT: Duration = Duration::from_secs(120);
const SSH: &str = "/etc/ssh";
const SSH_KEYGEN: &str = "/usr/bin/ssh-keygen";
const CLOUD_INIT: &str = "/usr/bin/cloud-init";
const MACHINE_ID: &str = "/etc/machine-id";
const DBUS_MACHINE_ID: &str = "/var/lib/dbus/machine-id";
const RANDOM_SEED: &str = "/var/lib/systemd/random-seed";
const SELINUX: &str = "/etc/selinux/config";
const AUTORELABEL: &str = "/.autorelabel";

/// Why the system is not this machine's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigureError {
    /// The target is not there.
    #[error(transparent)]
    System(#[from] SystemError),
    /// A file of it cannot be used.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A program of it failed.
    #[error(transparent)]
    Chroot(#[from] ChrootError),
    /// A name that no system takes.
    #[error(
        "the machine's name {0:?} cannot be a host name; rename the machine: letters, digits, - and ., at most {MAX_HOSTNAME}"
    )]
    Hostname(String),
    /// No systemd to start the agent.
    #[error(
        "the image has no systemd, which starts the agent; use another image, or set the param muster/inject-agent to false"
    )]
    NoSystemd,
    /// The machine's key has no successor.
    #[error("the machine's key cannot be handed over to the installed system")]
    Handover(#[from] HandoverError),
    /// Our own program cannot be copied.
    #[error("cannot read {0}, the agent's program")]
    Program(PathBuf, #[source] io::Error),
}

/// The verb.
///
/// # Errors
/// [`InstallError`].
pub(crate) fn configure(install: &Install) -> Result<(), InstallError> {
    let (order, state) = (install.order()?, install.state()?);
    install.progress.tell(0, "configuring the system")?;
    permitted(install, &order, &state)?;
    let system = System::open(install, &order, &state).map_err(ConfigureError::from)?;
    let tree = Tree::open(system.root()).map_err(ConfigureError::from)?;
    adopt(&tree, &order, system.layout())?;
    host_keys(&tree, &system)?;
    install.progress.tell(50, "handing over to the installed agent")?;
    if let Some(agent) = &order.agent {
        agent::put(&tree, agent, &install.folder.file("key"))?;
    }
    drop(tree);
    system.close().map_err(ConfigureError::from)?;
    install.progress.tell(100, "the system is configured")?;
    Ok(())
}

/// Refuses an order whose system could not be configured, whatever is in the image.
///
/// # Errors
/// [`ConfigureError::Hostname`].
pub(super) fn check(order: &InstallOrder) -> Result<(), ConfigureError> {
    let is_fine = is_hostname(&order.hostname);
    if is_fine { Ok(()) } else { Err(ConfigureError::Hostname(order.hostname.clone())) }
}

/// Puts in the tree what the order says, and takes out what is another machine's.
fn adopt(tree: &Tree, order: &InstallOrder, layout: Option<&Partitioned>) -> Result<(), ConfigureError> {
    check(order)?;
    seed::put(tree, &order.seed)?;
    tree.put("/etc/hostname", format!("{}\n", order.hostname).as_bytes(), 0o644)?;
    let hosts = hosts(&tree.text("/etc/hosts", MAX_TEXT)?, &order.hostname);
    tree.put("/etc/hosts", hosts.as_bytes(), 0o644)?;
    if let Some(layout) = layout {
        tables::put(tree, layout)?;
    }
    // Empty, it is made anew at the first start (machine-id(5)).
    tree.put(MACHINE_ID, b"", 0o444)?;
    if tree.kind(DBUS_MACHINE_ID)? == Some(SFlag::S_IFREG) {
        tree.remove(DBUS_MACHINE_ID)?;
    }
    tree.remove(RANDOM_SEED)?;
    if is_labelled(&tree.text(SELINUX, MAX_TEXT)?) {
        // What we write has no labels.
        tree.put(AUTORELABEL, b"", 0o644)?;
        say("SELinux labels are made anew at the first start");
    }
    Ok(())
}

/// Removes the image's host keys: every machine of the image would have the same ones. cloud-init makes new ones; where
/// there is none, the image's own program does.
fn host_keys(tree: &Tree, system: &System) -> Result<(), ConfigureError> {
    for name in tree.names(SSH)?.iter().filter(|name| name.starts_with("ssh_host_")) {
        tree.remove(&format!("{SSH}/{name}"))?;
    }
    if !tree.has(CLOUD_INIT)? && tree.has(SSH_KEYGEN)? {
        say("the image has no cloud-init: its host keys are made now, and the seed is not read");
        let chroot = Chroot { root: system.root(), devices: &[], is_mapped: false };
        chroot.run(&[SSH_KEYGEN, "-A"], KEYS_LIMIT)?;
    }
    Ok(())
}

/// Whether a system takes it as its name, and every file that it goes into.
fn is_hostname(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    name.len() <= MAX_HOSTNAME && name.split('.').all(part)
}

/// The image's `/etc/hosts` with this machine's name at Debian's place for it.
fn hosts(image: &str, hostname: &str) -> String {
    const OWN: &str = "127.0.1.1";
    let mut lines: Vec<&str> =
        image.lines().filter(|line| line.split_whitespace().next() != Some(OWN)).collect();
    let names_loopback = |line: &&str| line.split_whitespace().next() == Some("127.0.0.1");
    if !lines.iter().any(names_loopback) {
        lines.splice(..0, ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]);
    }
    let short = hostname.split('.').next().unwrap_or(hostname);
    let names = if short == hostname { hostname.to_owned() } else { format!("{hostname} {short}") };
    format!("{}\n{OWN} {names}\n", lines.join("\n"))
}

/// Whether SELinux looks at labels.
fn is_labelled(config: &str) -> bool {
    let mode = config.lines().rev().find_map(|line| line.trim().strip_prefix("SELINUX="));
    mode.is_some_and(|mode| matches!(mode.trim(), "enforcing" | "permissive"))
}

#[cfg(test)]
mod tests;
