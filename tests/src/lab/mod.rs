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
//! The namespace has no name: it lives as long as the thread that keeps it and the processes in
//! it, so nothing is left behind, whatever happens to the test. Bridge and taps lie inside.
//! Making one takes root's rights over networks; `make e2e SUITE=weather` gets them through a
//! user namespace where the caller is not root.

mod dnsmasq;
mod door;
mod proxy;
mod relay;
mod terminator;
mod trunk;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getpid, gettid};
use tempfile::TempDir;

pub use dnsmasq::Services;
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

/// Something to do inside the namespace.
type Job = Box<dyn FnOnce() + Send>;

/// A network of a test's own. Gone when dropped.
#[derive(Debug)]
pub struct Lab {
    folder: PathBuf,
    namespace: PathBuf,
    /// Sockets and lease files; gone with the lab.
    private: TempDir,
    jobs: Option<Sender<Job>>,
    keeper: Option<JoinHandle<()>>,
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
        let (jobs, work) = channel::<Job>();
        let (made, namespace) = channel();
        let keeper = std::thread::spawn(move || {
            let entered = unshare(CloneFlags::CLONE_NEWNET).map(|()| (getpid(), gettid()));
            let ours = entered.is_ok();
            if made.send(entered).is_ok() && ours {
                work.into_iter().for_each(|job| job());
            }
        });
        let (process, thread) = namespace.recv().context("the lab's thread is gone")?.context(
            "cannot make a network of its own: run this as root or through `make e2e SUITE=weather`, \
             on a system that allows network namespaces",
        )?;
        let namespace = PathBuf::from(format!("/proc/{process}/task/{thread}/ns/net"));
        let lab = Self {
            folder,
            namespace,
            private,
            jobs: Some(jobs),
            keeper: Some(keeper),
            taps: 0,
            dnsmasq: None,
        };
        lab.ip(&["link", "set", "lo", "up"])?;
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
        &self.namespace
    }

    fn private(&self) -> &Path {
        self.private.path()
    }

    /// Does something inside the namespace: sockets made there stay there.
    ///
    /// # Errors
    /// When the thread that keeps the namespace is gone.
    pub fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let (done, result) = channel();
        let job = Box::new(move || {
            // Whoever asked waits for it.
            drop(done.send(work()));
        });
        let jobs = self.jobs.as_ref().context("the lab is closed")?;
        jobs.send(job).ok().context("the lab's thread is gone")?;
        result.recv().context("the lab's thread is gone")
    }

    /// Runs `ip` (iproute2) inside.
    ///
    /// # Errors
    /// When it fails; with what it said.
    pub fn ip(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(args);
        let output = self.inside(move || command.output())?.context("cannot run ip: install iproute2")?;
        if !output.status.success() {
            bail!("ip {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// A socket on the lab's bridge for a machine with this hardware address.
    ///
    /// # Errors
    /// When the tap cannot be made.
    pub fn port(&mut self, mac: &str) -> Result<Port> {
        let cable = Cable::Tap(self.tap()?);
        Ok(Port { mac: mac.to_owned(), cable, namespace: self.namespace.clone() })
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
        let port = Port { mac: mac.to_owned(), cable, namespace: self.namespace.clone() };
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

impl Drop for Lab {
    fn drop(&mut self) {
        self.dnsmasq = None;
        // The thread ends when there is nothing more to do, and takes the namespace along.
        self.jobs = None;
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
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
