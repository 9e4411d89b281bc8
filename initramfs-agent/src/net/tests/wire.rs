//! A network namespace for a test, with a cable to another one where servers run.
//!
//! A namespace belongs to a process, so the test runs its own program again, in a new one, for
//! itself alone. Root makes namespaces as it likes, others inside a user namespace; where the
//! machine allows neither, the test says so. Nothing here touches the machine's own links.

use super::liar::{self, Lie};
use crate::net::{NetEvent, Network, Status};
use nix::sched::{CloneFlags, setns};
use protocol::net::NetPlan;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

/// Set in the process that has a namespace of its own.
const INSIDE: &str = "MUSTER_TEST_NAMESPACE";
/// What a test that did nothing says first.
const NOT_RUN: &str = "not run: ";
/// Longest time until something happens: duplicate address detection takes two seconds, a DHCP
/// client that asked in vain asks again after eight. A busy machine takes its time for all of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a scenario in a namespace of its own. `test` is the full name of the calling test.
pub(crate) fn run(test: &str, scenario: impl AsyncFnOnce(&mut Wire)) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut wire = Wire::lay();
        runtime.block_on(scenario(&mut wire));
        return;
    }
    if !namespaces_are_ours() {
        return not_run("no permission for network namespaces");
    }
    let mut again = in_namespace(&std::env::current_exe().unwrap().to_string_lossy());
    again
        .args([test, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .env("RUST_BACKTRACE", "0");
    let output = again.output().unwrap();
    let (said, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{error}");
    if let Some(why) = error.lines().find_map(|line| line.strip_prefix(NOT_RUN)) {
        not_run(why);
    }
}

/// Says why a test did nothing.
#[expect(clippy::print_stderr, reason = "a test that did nothing must not look like one that passed")]
pub(super) fn not_run(why: &str) {
    eprintln!("{NOT_RUN}{why}");
}

/// A command in a new network namespace.
fn in_namespace(program: &str) -> Command {
    let mut command = Command::new("unshare");
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", program]);
    command
}

fn namespaces_are_ours() -> bool {
    let may = in_namespace("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    assert!(may || !nix::unistd::geteuid().is_root(), "root cannot make network namespaces");
    may
}

/// A cable: `eth0` here, `srv0` in the namespace of the servers.
pub(crate) struct Wire {
    there: Child,
    daemon: Option<Child>,
    files: TempDir,
    /// What dnsmasq said so far.
    log: Arc<Mutex<Vec<String>>>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop_dnsmasq();
        self.there.kill().unwrap();
        self.there.wait().unwrap();
    }
}

impl Wire {
    fn lay() -> Self {
        // Holds the other namespace open until its standard input ends, at the latest with us.
        let mut there = Command::new("unshare");
        there.args(["--net", "sh", "-c", "echo ready; exec cat"]);
        let mut there = there.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(there.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let wire = Self { there, daemon: None, files: tempfile::tempdir().unwrap(), log: Arc::default() };
        wire.cable("eth0", "srv0");
        wire.there("ip link set lo up");
        wire.there("ip link set srv0 up");
        wire
    }

    /// One more cable.
    pub(crate) fn cable(&self, here: &str, there: &str) {
        let pid = self.there.id();
        self.here(&format!("ip link add {here} type veth peer name {there} netns {pid}"));
    }

    /// Runs a command on the machine's end, which must succeed.
    pub(crate) fn here(&self, command: &str) -> String {
        finish(Command::new("sh").args(["-c", command]))
    }

    /// Whether a command on the machine's end succeeds.
    pub(crate) fn can(&self, command: &str) -> bool {
        Command::new("sh").args(["-c", command]).output().is_ok_and(|output| output.status.success())
    }

    /// Runs a command on the servers' end, which must succeed.
    pub(crate) fn there(&self, command: &str) -> String {
        finish(self.entering().args(["sh", "-c", command]))
    }

    /// Whether somebody answers at this address: a closed port does.
    pub(super) fn reaches(&self, address: &str) -> bool {
        let there = std::net::SocketAddr::new(address.parse().unwrap(), 9);
        let outcome = std::net::TcpStream::connect_timeout(&there, PATIENCE);
        outcome.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
    }

    fn entering(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.there.id().to_string(), "--net"]);
        command
    }

    /// Starts a DHCPv4 server that lies, on the servers' end.
    pub(super) fn liar(&self, script: Vec<Lie>) {
        self.there("ip addr add 10.77.0.1/24 dev srv0");
        let namespace = File::open(format!("/proc/{}/ns/net", self.there.id())).unwrap();
        // Ends with the process, like the namespace.
        std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            liar::serve("srv0", script);
        });
    }

    /// Starts dnsmasq on the servers' end with these options beside the usual.
    pub(super) fn dnsmasq(&mut self, options: &[&str]) {
        let file = |name: &str| self.files.path().join(name).display().to_string();
        let mut command = self.entering();
        command.args(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root"]);
        command.args(["--no-ping", "--no-resolv", "--no-hosts", "--bind-dynamic", "--log-dhcp"]);
        if !options.iter().any(|option| option.starts_with("--port=")) {
            command.arg("--port=0");
        }
        command.arg(format!("--dhcp-leasefile={}", file("leases")));
        command.arg(format!("--pid-file={}", file("pid")));
        // Its log comes to us: it says when it listens.
        command.arg("--log-facility=-").args(options).stderr(Stdio::piped());
        let mut daemon = command.spawn().expect("dnsmasq runs; scripts/setup installs it");
        let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines().map_while(Result::ok);
        self.daemon = Some(daemon);
        let begun = lines.by_ref().find(|line| {
            self.log.lock().unwrap().push(line.clone());
            line.contains("started")
        });
        assert!(begun.is_some(), "dnsmasq does not start: {}", self.log());
        let log = self.log.clone();
        // Ends with the daemon.
        std::thread::spawn(move || lines.for_each(|line| log.lock().unwrap().push(line)));
    }

    pub(super) fn stop_dnsmasq(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    /// What dnsmasq wrote down so far.
    fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Starts the network with a plan.
    pub(super) fn start(&self, plan: &str) -> Machine {
        let plan: NetPlan = plan.parse().unwrap();
        let (network, events) = Network::start(plan, None, None).unwrap();
        Machine { status: network.status(), network, events, told: Vec::new() }
    }

    /// Waits until the status is as wanted.
    pub(super) async fn until(&self, machine: &mut Machine, what: &str, wanted: impl Fn(&Status) -> bool) {
        let outcome = tokio::time::timeout(PATIENCE, machine.reach(wanted)).await;
        let status = machine.status.borrow().clone();
        assert!(
            outcome.is_ok(),
            "waited in vain for {what}: {status:#?}\ntold: {:#?}\n{}",
            machine.told,
            self.log()
        );
    }
}

/// The machine's network, running.
pub(super) struct Machine {
    pub(super) network: Network,
    pub(super) status: watch::Receiver<Status>,
    events: mpsc::Receiver<NetEvent>,
    /// Every event so far, as the console says it.
    pub(super) told: Vec<String>,
}

impl Machine {
    /// Reads events, which the network wants, until the status is as wanted.
    async fn reach(&mut self, wanted: impl Fn(&Status) -> bool) {
        loop {
            if wanted(&self.status.borrow_and_update()) {
                return;
            }
            tokio::select! {
                changed = self.status.changed() => changed.unwrap(),
                Some(event) = self.events.recv() => self.told.push(crate::view::told(&event)),
            }
        }
    }

    /// Waits until something was told that contains these words.
    pub(super) async fn hears(&mut self, words: &str) {
        let heard = async {
            while !self.told.iter().any(|line| line.contains(words)) {
                let event = self.events.recv().await.unwrap();
                self.told.push(crate::view::told(&event));
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, heard).await;
        assert!(outcome.is_ok(), "never heard {words:?}: {:#?}", self.told);
    }

    /// The addresses that count, as text.
    pub(super) fn addresses(&self) -> Vec<String> {
        shown(&self.status.borrow())
    }
}

/// The addresses of a status, as text.
pub(super) fn shown(status: &Status) -> Vec<String> {
    status.leases().map(|lease| format!("{}/{}", lease.address, lease.prefix)).collect()
}

fn finish(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
