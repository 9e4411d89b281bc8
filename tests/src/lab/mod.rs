//! A network of one test's own: a network namespace with a bridge, and whatever weather the test
//! wants on it. Machines are plugged into the bridge, dnsmasq hands out addresses there (or does
//! not), and the server, which listens on the loopback of the host, is reached through a
//! [`Relay`] that can be cut, restored and moved.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use tests::lab::{Lab, Services};
//! use tests::muster::Server;
//! use tests::qemu::Vm;
//!
//! let mut lab = Lab::new("my-test")?;
//! let server = Server::builder("my-server").advertise("https://10.77.0.1:{port}").start()?;
//! let relay = lab.relay(server.port())?;
//! lab.serve(&Services::dhcp())?;
//! let vm = Vm::builder("my-machine").plug(lab.port("52:54:00:00:00:01")?);
//! # Ok(())
//! # }
//! ```
//!
//! Bridge and taps lie in a [`Namespace`] without a name, so nothing is left behind, whatever happens
//! to the test. Making one takes root's rights over networks; `make e2e SUITE=weather` gets them
//! through a user namespace where the caller is not root. A [`Host`] is a namespace of its own on the
//! same bridge: there the server under test has ports like 69 and 80 to itself.

mod dnsmasq;
mod door;
mod host;
mod namespace;
mod nat;
mod nfs;
mod nginx;
mod proxy;
mod relay;
mod terminator;
mod trunk;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

pub use dnsmasq::Services;
pub use host::Host;
pub use namespace::Namespace;
pub use nat::Nat;
pub use nfs::Export;
pub use nginx::Nginx;
pub use proxy::{Proxy, Temper};
pub use relay::Relay;
pub use terminator::Terminator;
pub use trunk::Trunk;

use crate::output;
use crate::process::Process;

/// The lab's own IPv4 address, where relays, proxies and the name server listen.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The lab's own IPv6 address.
pub const HOST_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// An address that no route of the lab's network leads to, but a default route.
pub const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);
/// Name of the bridge.
const BRIDGE: &str = "br0";

/// A network of a test's own. Gone when dropped.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    namespace: Namespace,
    /// Sockets and lease files; gone with the lab.
    private: TempDir,
    taps: usize,
    dnsmasq: Option<Process>,
}

impl Lab {
    /// A network with a bridge that has the addresses [`HOST`], [`HOST_V6`] and [`ELSEWHERE`], and
    /// nobody on it. `name` also names its folder under `target/e2e-output/`.
    ///
    /// # Errors
    /// When the caller may not make networks, with what would help.
    pub fn new(name: &str) -> Result<Self> {
        let folder = output::folder(name)?;
        let private =
            tempfile::Builder::new().prefix("muster-lab").tempdir().context("cannot make a folder")?;
        let lab = Self { folder, namespace: Namespace::new()?, private, taps: 0, dnsmasq: None };
        lab.ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        lab.ip(&["address", "add", &format!("{HOST}/24"), "dev", BRIDGE])?;
        lab.ip(&["address", "add", &format!("{HOST_V6}/64"), "dev", BRIDGE, "nodad"])?;
        lab.ip(&["address", "add", &format!("{ELSEWHERE}/32"), "dev", "lo"])?;
        lab.ip(&["link", "set", BRIDGE, "up"])?;
        Ok(lab)
    }

    /// Folder with its logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// File that stands for the namespace, for `nsenter --net=`.
    #[must_use]
    pub fn namespace(&self) -> &Path {
        self.namespace.path()
    }

    /// Another computer on the bridge.
    ///
    /// # Errors
    /// When the address is taken, or no namespace can be made.
    pub fn host(&self, address: Ipv4Addr) -> Result<Host> {
        Host::new(self, address)
    }

    /// A router on the bridge that hides what is behind it.
    ///
    /// # Errors
    /// When the address is taken, or iptables is missing.
    pub fn nat(&self, outside: Ipv4Addr, inside: Ipv4Addr) -> Result<Nat> {
        Nat::new(self, outside, inside)
    }

    /// The lab's own computer as a host: dnsmasq is on it.
    #[must_use]
    pub fn gateway(&self) -> Host {
        Host { namespace: self.namespace.clone(), address: HOST, folder: self.folder.clone() }
    }

    fn private(&self) -> &Path {
        self.private.path()
    }

    /// Does something inside the namespace: sockets made there stay there.
    ///
    /// # Errors
    /// When the thread that keeps the namespace is gone.
    pub fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        self.namespace.inside(work)
    }

    /// Runs `ip` (iproute2) inside.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn ip(&self, args: &[&str]) -> Result<()> {
        self.namespace.ip(args)
    }

    /// A socket on the lab's bridge for a machine with this hardware address.
    ///
    /// # Errors
    /// When the tap cannot be made.
    pub fn port(&mut self, mac: &str) -> Result<Port> {
        let cable = Cable::Tap(self.tap()?);
        Ok(Port { mac: mac.to_owned(), cable, namespace: self.namespace().to_path_buf() })
    }

    /// A switch port that carries one VLAN of the machine behind it, tagged, onto the lab's bridge,
    /// and drops everything else the machine says. The switch's end of the cable speaks for itself,
    /// too: [`Trunk::say`].
    ///
    /// # Errors
    /// When the tap or the sockets cannot be made.
    pub fn trunk(&mut self, mac: &str, vlan: u16) -> Result<(Port, Trunk)> {
        let tap = self.tap()?;
        let (guest, lab) =
            (self.private().join(format!("{tap}.guest")), self.private().join(format!("{tap}.lab")));
        let trunk = Trunk::listen(&guest, &lab, vlan)?;
        let cable = Cable::Trunk { tap, guest, lab };
        let port = Port { mac: mac.to_owned(), cable, namespace: self.namespace().to_path_buf() };
        Ok((port, trunk))
    }

    fn tap(&mut self) -> Result<String> {
        let name = format!("tap{}", self.taps);
        self.taps += 1;
        self.ip(&["tuntap", "add", "dev", &name, "mode", "tap"])?;
        self.ip(&["link", "set", &name, "master", BRIDGE, "up"])?;
        Ok(name)
    }

    /// Machines reach port `port` of the host's loopback at the same port of [`HOST`].
    ///
    /// # Errors
    /// When the port is taken.
    pub fn relay(&self, port: u16) -> Result<Relay> {
        self.relay_at(IpAddr::V4(HOST), port)
    }

    /// As [`Lab::relay`], at another address of the lab.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn relay_at(&self, address: IpAddr, port: u16) -> Result<Relay> {
        Relay::start(self, SocketAddr::new(address, port), SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }

    /// Serves addresses and names on the bridge, instead of what was served before.
    ///
    /// # Errors
    /// When dnsmasq does not start; with what it said.
    pub fn serve(&mut self, services: &Services) -> Result<()> {
        self.silence();
        self.dnsmasq = Some(services.start(self)?);
        Ok(())
    }

    /// Nobody hands out addresses any more.
    pub fn silence(&mut self) {
        self.dnsmasq = None;
    }
}

/// A socket in a lab that one network card, a paravirtual one, is plugged into.
#[derive(Debug, Clone)]
pub struct Port {
    pub(crate) mac: String,
    pub(crate) cable: Cable,
    pub(crate) namespace: PathBuf,
}

/// What lies between a card and the bridge.
#[derive(Debug, Clone)]
pub(crate) enum Cable {
    /// A tap.
    Tap(String),
    /// A switch port of ours ([`Trunk`]), reached over two stream sockets, and a tap behind it.
    Trunk {
        /// Tap on the bridge.
        tap: String,
        /// Where the machine's card connects to.
        guest: PathBuf,
        /// Where the tap connects to.
        lab: PathBuf,
    },
}
