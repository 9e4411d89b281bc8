//! A machine, and what is done at its shell.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tests::qemu::{Shell, Vm};

use crate::secrets::KEY;

/// Byte that pings are filled with, and words of a line that goes over TCP: what a capture is searched for.
pub(crate) const MARK: u8 = 0x4d;
pub(crate) const MARKED_LINE: &str = "a line that only members may read, of";
/// The same for pings outside of the mesh network, which a capture does show.
pub(crate) const CLEAR: u8 = 0x55;
/// What a machine says of an address that did not answer in time.
const LOST: &str = "no answer of";
/// A command of no length.
pub(crate) const SHORT: Duration = Duration::from_secs(20);
/// The interface.
const INTERFACE: &str = protocol::mesh::INTERFACE;

/// A machine with a shell.
pub(crate) struct Member {
    pub(crate) vm: Vm,
    pub(crate) shell: Shell,
    pub(crate) name: String,
    pub(crate) uuid: String,
    /// Its address on its cable.
    pub(crate) outside: Ipv4Addr,
}

impl Member {
    pub(crate) fn new(mut vm: Vm, name: String, uuid: String, outside: Ipv4Addr) -> Self {
        let shell = vm.shell().and_then(|mut shell| shell.greet().map(|()| shell));
        let shell = shell.map_err(|error| vm.failed(&error)).unwrap();
        Self { vm, shell, name, uuid, outside }
    }

    /// Runs a command that must end well; what it said.
    pub(crate) fn does(&mut self, command: &str) -> String {
        self.shell.done(command, SHORT).map_err(|error| self.vm.failed(&error)).unwrap()
    }

    /// Whether a command ends well.
    pub(crate) fn can(&mut self, command: &str) -> bool {
        let said = self.shell.run(command, SHORT).map_err(|error| self.vm.failed(&error)).unwrap();
        said.code == 0
    }

    /// Whether another one answers a ping within a second.
    pub(crate) fn reaches(&mut self, address: IpAddr) -> bool {
        self.can(&format!("ping -q -c 1 -W 1 -p {MARK:02x} {address}"))
    }

    /// Begins to ping ten times a second, for ten seconds: [`Member::answers`].
    pub(crate) fn pings_on(&mut self, address: IpAddr) {
        self.shell.begin(&format!("ping -c 100 -i 0.1 -W 1 -p {MARK:02x} {address}")).unwrap();
    }

    /// How many answers it told of so far.
    pub(crate) fn answers(&mut self) -> Result<usize> {
        Ok(self.shell.so_far()?.matches(" bytes from ").count())
    }

    /// Pings in clear text, outside of the mesh network.
    pub(crate) fn pings_in_clear(&mut self, address: Ipv4Addr) {
        self.does(&format!("ping -q -c 2 -W 5 -p {CLEAR:02x} {address}"));
    }

    /// Neither the interface of the mesh network nor the private key is there any more.
    pub(crate) fn has_left(&mut self) {
        for (what, command) in
            [("interface", format!("ip link show {INTERFACE}")), ("key", format!("[ -e {KEY} ]"))]
        {
            if self.can(&command) {
                let error = anyhow!("the {what} is still there\n{}", self.standing());
                panic!("{:#}", self.vm.failed(&error));
            }
        }
    }

    /// How it stands, for a test that failed: told by the machine itself.
    fn standing(&mut self) -> String {
        let told = format!(
            "ip address; ip route; ip -6 route; ip rule; cat /run/muster/mesh/state.json /var/lib/muster/mesh/state.json; \
             ps | grep '[m]esh'; dmesg | grep -i wireguard; ls /sys/class/net/{INTERFACE}"
        );
        let said = self.shell.run(&told, SHORT).map_or_else(|error| format!("{error:#}"), |said| said.text);
        format!("--- {}\n{said}", self.name)
    }
}

/// Begins to ping until each address has answered, or the time is over.
fn begin(member: &mut Member, addresses: &[IpAddr], within: Duration) {
    let each: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    let ping = format!("ping -q -c 1 -W 1 -p {MARK:02x} $to >/dev/null 2>&1");
    // Whole seconds of the machine's clock: here is measured exactly.
    let over = format!("[ $(date +%s) -gt $((begun + {})) ]", within.as_secs() + 1);
    let until = format!("until {ping}; do {over} && echo {LOST} $to && break; sleep 0.1; done");
    let all = format!("begun=$(date +%s); for to in {}; do {until} & done; wait", each.join(" "));
    member.shell.begin(&all).unwrap();
}

/// Each of these members gets an answer of each of these addresses; the time that the last one took.
pub(crate) fn reach(members: &mut [(&mut Member, Vec<IpAddr>)], within: Duration) -> Duration {
    let begun = Instant::now();
    for (member, addresses) in &mut *members {
        begin(member, addresses, within);
    }
    let mut lost = Vec::new();
    for (member, addresses) in &mut *members {
        let said = member.shell.end(within + SHORT).map_err(|error| member.vm.failed(&error)).unwrap();
        if said.text.contains(LOST) || begun.elapsed() > within {
            lost.push(format!("{} of {addresses:?}: {}", member.name, said.text));
        }
    }
    let took = begun.elapsed();
    if !lost.is_empty() {
        let standing: Vec<String> = members.iter_mut().map(|(member, _)| member.standing()).collect();
        panic!("not within {within:?} ({took:?}):\n{}\n{}", lost.join("\n"), standing.join("\n"));
    }
    took
}
