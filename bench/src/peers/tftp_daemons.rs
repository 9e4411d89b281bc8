//! The TFTP servers of Debian, each as its package has it: tftpd-hpa 5.2 (a process for each
//! transfer), atftpd 0.8 (a thread for each) and dnsmasq 2.90 (all in one loop). Only atftpd
//! knows windows.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use harness::process::{Process, Spec};

use crate::room::Plan;
use crate::stage::{Stage, write};

/// Folder of the files, inside a room.
const FILES: &str = "/srv/bench";
/// More transfers at once than a suite has, where a server must be told.
const TRANSFERS: &str = "200";
/// dnsmasq listens on TFTP's own port and on no other: here on an address that nobody else uses.
const OWN_PORT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 69, 69, 69), 69);

/// A server that can be had.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Daemon {
    /// Its name in tables, and of its room.
    pub(crate) name: &'static str,
    package: &'static str,
    address: fn() -> Result<SocketAddrV4>,
    /// The program and its arguments, by the address to listen on.
    command: fn(SocketAddrV4) -> Vec<String>,
}

/// All of them.
pub(crate) const DAEMONS: [Daemon; 3] = [
    Daemon { name: "tftpd-hpa", package: "tftpd-hpa", address: free_address, command: tftpd_hpa },
    Daemon { name: "atftpd", package: "atftpd", address: free_address, command: atftpd },
    Daemon { name: "dnsmasq", package: "dnsmasq-base", address: || Ok(OWN_PORT), command: dnsmasq },
];

/// A running one; ended by its process id when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    pub(crate) address: SocketAddrV4,
    pub(crate) version: String,
}

impl Daemon {
    fn plan(self) -> Plan {
        Plan { name: self.name, packages: self.package }
    }

    /// Why it cannot run here.
    pub(crate) fn available(self) -> Result<(), String> {
        self.plan().available()
    }

    /// Serves these files, on one processor.
    ///
    /// # Errors
    /// When there is no room for it, or it cannot be started.
    pub(crate) fn serve(
        self,
        stage: &Stage,
        files: &[(&str, &[u8])],
        processor: usize,
        folder: &Path,
    ) -> Result<Running> {
        let room = self.plan().open(stage)?;
        let base = room.empty(FILES)?;
        for (name, bytes) in files {
            write(&base.join(name), bytes)?;
        }
        let version = room.version(self.package, folder)?;
        let address = (self.address)()?;
        let spec = Spec::new(Path::new("taskset"), folder, self.name);
        let spec = spec.args(["--cpu-list", &processor.to_string(), "chroot"]).args([room.file("/")]);
        let process = spec.args((self.command)(address)).start()?;
        Ok(Running { process, address, version })
    }
}

impl Running {
    /// Its process, which is the first of those it starts.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it does not: with the file that has its last words.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.process.ended()? {
            None => Ok(()),
            Some(status) => bail!("it ended with {status}: see {}", self.process.stderr().display()),
        }
    }
}

fn free_address() -> Result<SocketAddrV4> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    match socket.local_addr().context("no free port")? {
        SocketAddr::V4(address) => Ok(address),
        SocketAddr::V6(address) => bail!("{address} is no address of version 4"),
    }
}

fn tftpd_hpa(address: SocketAddrV4) -> Vec<String> {
    let address = address.to_string();
    words(&["/usr/sbin/in.tftpd", "--foreground", "--user", "root", "--address", &address, "--secure", FILES])
}

fn atftpd(address: SocketAddrV4) -> Vec<String> {
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let own = ["/usr/sbin/atftpd", "--daemon", "--no-fork", "--user", "root.root", "--maxthread", TRANSFERS];
    words(&[&own[..], &["--bind-address", &ip, "--port", &port, FILES]].concat())
}

fn dnsmasq(address: SocketAddrV4) -> Vec<String> {
    let (listen, root) = (format!("--listen-address={}", address.ip()), format!("--tftp-root={FILES}"));
    let (most, own) = (format!("--tftp-max={TRANSFERS}"), "/usr/sbin/dnsmasq");
    let alone = ["--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file", "--port=0"];
    let served = ["--bind-interfaces", &listen, "--enable-tftp", &root, &most, "--quiet-tftp"];
    words(&[&[own][..], &alone, &served].concat())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
