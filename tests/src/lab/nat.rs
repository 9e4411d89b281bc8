//! A router that hides what is behind it, as those of homes and offices do: a network namespace on the bridge that
//! masquerades (iptables), with a network of its own at its back.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{BRIDGE, Cable, Host, Lab, Port};
use crate::output;

/// Switch of the kernel that makes a router.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";

/// A router. Gone when dropped, with what is behind it.
#[derive(Debug)]
pub struct Nat {
    host: Host,
    taps: usize,
}

impl Nat {
    /// Plugs one into a lab's bridge with the address `outside`; `inside` is its address for those behind it, in a /24.
    pub(super) fn new(lab: &Lab, outside: Ipv4Addr, inside: Ipv4Addr) -> Result<Self> {
        let host = Host::new(lab, outside)?;
        let namespace = host.namespace();
        namespace.ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        namespace.ip(&["address", "add", &format!("{inside}/24"), "dev", BRIDGE])?;
        namespace.ip(&["link", "set", BRIDGE, "up"])?;
        let forward = namespace.inside(|| std::fs::write(FORWARDING, "1"))?;
        forward.context("cannot make a router of a network namespace")?;
        let nat = Self { host, taps: 0 };
        nat.iptables(&["-t", "nat", "-A", "POSTROUTING", "-o", "eth0", "-j", "MASQUERADE"])?;
        // Nobody outside begins anything, as far as addresses inside are known there at all.
        nat.iptables(&["-A", "FORWARD", "-i", "eth0", "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"])?;
        Ok(nat)
    }

    /// Its address on the bridge, which everything behind it seems to have.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.host.address()
    }

    /// A socket behind it for a machine with this hardware address.
    ///
    /// # Errors
    /// When the tap cannot be made.
    pub fn port(&mut self, mac: &str) -> Result<Port> {
        let namespace = self.host.namespace();
        let name = format!("tap{}", self.taps);
        self.taps += 1;
        namespace.ip(&["tuntap", "add", "dev", &name, "mode", "tap"])?;
        namespace.ip(&["link", "set", &name, "master", BRIDGE, "up"])?;
        let namespace = namespace.path().to_path_buf();
        Ok(Port { mac: mac.to_owned(), cable: Cable::Tap(name), namespace })
    }

    /// Drops every datagram (UDP) between those behind it and this address, as a strict firewall would.
    ///
    /// # Errors
    /// When iptables fails; with what it said.
    pub fn drop_datagrams(&self, other: Ipv4Addr) -> Result<()> {
        self.datagrams("-I", other)
    }

    /// Lets them through again.
    ///
    /// # Errors
    /// When iptables fails; with what it said.
    pub fn pass_datagrams(&self, other: Ipv4Addr) -> Result<()> {
        self.datagrams("-D", other)
    }

    fn datagrams(&self, verb: &str, other: Ipv4Addr) -> Result<()> {
        let other = other.to_string();
        for end in ["-s", "-d"] {
            self.iptables(&[verb, "FORWARD", "-p", "udp", end, &other, "-j", "DROP"])?;
        }
        Ok(())
    }

    fn iptables(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new("iptables");
        let output = self.host.namespace().run(command.args(args)).context("install iptables")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("iptables {}:\n{}", args.join(" "), output::tail(&said, 5));
        }
        Ok(())
    }
}
