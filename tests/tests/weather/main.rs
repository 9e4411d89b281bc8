//! Every weather: machines whose network, server, clock or token is broken say which, with a code and
//! a remedy on screen and serial line, and go on by themselves when the cause goes. Each test is one
//! machine or a few in a network of their own ([`tests::lab`]); one machine walks through several
//! troubles, since a boot is what costs time. Run with two threads on two cores.

mod canary;
mod clock;
mod links;
mod media;
mod network;
mod proxy;
mod server;
mod tokens;

use std::time::Duration;

use protocol::code::BootstrapCode;
use tests::lab::{HOST, Lab, Relay, Services};
use tests::media::{Media, Profile};
use tests::muster::{Server, ServerBuilder};
use tests::operator::Operator;
use tests::qemu::{Boot, Vm, VmBuilder};

/// Power-on to a fault or a code: seconds when quiet, many more while other machines and compilers
/// run.
const BOOT_WITHIN: Duration = Duration::from_secs(120);
/// From one trouble to the next, or to a code: a DHCP client that got no answer asks again within
/// 16 s, a server that is unreachable is tried again within a minute.
const CHANGE_WITHIN: Duration = Duration::from_secs(75);
/// From the serial console to the same on the screen.
const SCREEN_WITHIN: Duration = Duration::from_secs(20);

/// A lab with the way to a server in it.
struct Site {
    server: Server,
    operator: Operator,
    media: Media,
    lab: Lab,
    relay: Relay,
}

impl Site {
    /// A site without weather: nobody hands out addresses yet.
    fn start(name: &str) -> Self {
        Self::of(name, Server::builder(&format!("weather-{name}-server")))
    }

    fn of(name: &str, server: ServerBuilder) -> Self {
        let media = Media::of(Profile::Cloud).unwrap();
        let server = server.advertise(&format!("https://{HOST}:{{port}}")).start().unwrap();
        let operator = server.operator().unwrap();
        let lab = Lab::new(&format!("weather-{name}-lab")).unwrap();
        let relay = lab.relay(server.port()).unwrap();
        Self { server, operator, media, lab, relay }
    }

    /// A site whose network gives what machines ask for.
    fn fair(name: &str) -> Self {
        let mut site = Self::start(name);
        site.lab.serve(&Services::dhcp()).unwrap();
        site
    }

    /// The server's pins, as a kernel argument.
    fn pins(&self) -> String {
        format!("muster.ca-hash={}", self.operator.info().unwrap().ca_hash.join(","))
    }

    /// Kernel arguments of a machine that asks this server for a code.
    fn args(&self) -> String {
        format!("muster.server={} {}", self.relay.url(), self.pins())
    }

    /// A machine that boots with these kernel arguments; no card is plugged in yet.
    fn machine(&self, name: &str, args: &str) -> VmBuilder {
        let append = format!("quiet {args}");
        let kernel = Boot::Kernel { kernel: self.media.kernel(), initrd: self.media.initrd(), append };
        Vm::builder(&format!("weather-{name}")).memory_mib(512).boot(kernel)
    }
}

/// The machine says, on both consoles, this code with this sentence, and what to do.
fn shows(vm: &mut Vm, fault: &str, remedy: &str, within: Duration) {
    vm.wait_for_words(fault, within).unwrap();
    vm.wait_for_words(remedy, SCREEN_WITHIN).unwrap();
    let (code, _) = fault.split_once(' ').unwrap();
    vm.wait_for_words_on_screen(fault, code, SCREEN_WITHIN).unwrap();
    vm.wait_for_words_on_screen(remedy, code, SCREEN_WITHIN).unwrap();
    vm.look_from_here().unwrap();
}

/// The machine shows a code on both consoles, and an operator finds it.
fn shows_a_code(vm: &mut Vm, operator: &Operator, within: Duration) -> BootstrapCode {
    let code = vm.wait_for_code(within).unwrap();
    assert_eq!(vm.wait_for_code_on_screen(SCREEN_WITHIN).unwrap(), code, "serial and screen must agree");
    operator.lookup(&code.to_string()).map_err(|error| vm.failed(&error)).unwrap();
    code
}
