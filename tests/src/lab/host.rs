//! A computer of a lab's network: a network namespace of its own, plugged into the bridge.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{BRIDGE, Lab, Namespace};
use crate::process::Spec;

/// A host on the bridge, with one address. Gone when dropped, with the last process in it.
#[derive(Debug, Clone)]
pub struct Host {
    pub(super) namespace: Namespace,
    pub(super) address: Ipv4Addr,
    pub(super) folder: PathBuf,
}

impl Host {
    /// Plugs a host into a lab's bridge. It has no way elsewhere: what is not here is known to be
    /// out of reach at once.
    pub(super) fn new(lab: &Lab, address: Ipv4Addr) -> Result<Self> {
        let namespace = Namespace::new()?;
        let Some(&last) = address.octets().last() else { bail!("{address} has no last byte") };
        // Both ends begin in the lab; one moves out.
        let (here, there) = (format!("veth{last}"), format!("host{last}"));
        lab.ip(&["link", "add", &here, "type", "veth", "peer", "name", &there])?;
        lab.ip(&["link", "set", &there, "netns", &namespace.path().to_string_lossy()])?;
        lab.ip(&["link", "set", &here, "master", BRIDGE, "up"])?;
        namespace.ip(&["link", "set", &there, "name", "eth0"])?;
        namespace.ip(&["address", "add", &format!("{address}/24"), "dev", "eth0"])?;
        namespace.ip(&["link", "set", "eth0", "up"])?;
        Ok(Self { namespace, address, folder: lab.folder().to_path_buf() })
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Its network.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A program to start on it, with its output in the lab's folder.
    #[must_use]
    pub fn program(&self, program: &Path, name: &str) -> Spec {
        Spec::new(program, &self.folder, name).in_network(self.namespace.path())
    }
}
