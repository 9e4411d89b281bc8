//! Network boot: machines without a medium boot our image by what their network tells their firmware,
//! and register by the token in what it serves; with a token that is over they show a code and say why.
//!
//! Each test is a network of its own ([`tests::lab`]): dnsmasq on its first host is the DHCP server that
//! was there before, our server is on its second, and machines have real firmware: SeaBIOS with iPXE, and
//! OVMF with its own PXE and HTTP Boot. Run with two threads on two cores.

mod by_hand;
mod dhcp;
mod doors;
mod known;
mod proxy;
mod rendered;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use protocol::agent_api::Origin;
use protocol::rest::{Machine, ProvisionState};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use tests::lab::{HOST, Host, Lab, Services};
use tests::media::{Media, Profile};
use tests::muster::{Server, ServerBuilder};
use tests::operator::Operator;
use tests::qemu::{Boot, Firmware, Network, Vm, VmBuilder};

/// Power-on to a registration or a code: firmware and loaders take 10 to 20 s when quiet, translated, and
/// much more while other machines and compilers run.
const BOOT_WITHIN: Duration = Duration::from_secs(150);
/// From one sentence on the console to the next.
const SOON: Duration = Duration::from_secs(30);
/// Where our server is.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// What a machine says whose token is over.
const EXPIRED: &str = "E40 the bootstrap token expired";
/// What every token begins with: `{"alg"` in base64url.
const TOKEN: &str = "eyJhbGci";

/// A network, and our server in it.
struct Site {
    name: String,
    server: Server,
    operator: Operator,
    media: Media,
    lab: Lab,
    machines: u8,
    /// Files of this test.
    files: TempDir,
}

impl Site {
    /// A site whose DHCP server is still silent.
    fn start(name: &str, arrange: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Self {
        let media = Media::of(Profile::Cloud).unwrap();
        let lab = Lab::new(&format!("netboot-{name}-lab")).unwrap();
        let host = lab.host(SERVER).unwrap();
        let server = Server::builder(&format!("netboot-{name}-server")).media(media.folder()).on(&host);
        let server = arrange(server).start().unwrap();
        let operator = server.operator().unwrap();
        let files = tempfile::tempdir().unwrap();
        Self { name: name.to_owned(), server, operator, media, lab, machines: 0, files }
    }

    /// The computer that was there before us.
    fn gateway(&self) -> Host {
        self.lab.gateway()
    }

    /// A folder or file of this test's own.
    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The next machine of this site, which boots from the network.
    fn machine(&mut self, name: &str, firmware: Firmware, network: Network) -> VmBuilder {
        self.machines += 1;
        let port = self.lab.port(&format!("52:54:00:0b:07:{:02x}", self.machines)).unwrap();
        let memory = if network == Network::Http { 1_024 } else { 768 };
        let machine = Vm::builder(&format!("netboot-{}-{name}", self.name)).firmware(firmware);
        machine.memory_mib(memory).boot(Boot::Network(network)).plug(port).capture_network()
    }

    /// A site whose server boots strangers by TFTP and HTTP.
    fn with_tftp(name: &str) -> Self {
        Self::discovering(name, &[])
    }

    /// The same, and it says so by proxyDHCP.
    fn with_proxy(name: &str) -> Self {
        Self::discovering(name, &["--proxy-dhcp", &SERVER.to_string()])
    }

    /// The same, and it leases addresses.
    fn with_range(name: &str) -> Self {
        Self::discovering(
            name,
            &["--proxy-dhcp", &SERVER.to_string(), "--dhcp-range", "10.77.0.50-10.77.0.59"],
        )
    }

    fn discovering(name: &str, args: &[&str]) -> Self {
        let tftp = format!("{SERVER}:69");
        let site = Self::start(name, |server| server.args(&["--tftp-listen", &tftp]).args(args));
        site.prefer("unknownBootEnv", "discovery");
        site
    }

    /// Sets a preference.
    fn prefer(&self, name: &str, value: &str) {
        self.operator.call(Method::POST, "/prefs", &json!({ name: value })).unwrap();
    }

    /// A machine registers by the token that was rendered for it; the next one gets a token that is
    /// over when it registers, and shows a code. `look` sees each when it is there.
    fn welcomes_then_refuses(mut self, firmware: Firmware, network: Network, look: impl Fn(&Vm)) -> Machine {
        let mut vm = self.machine("good", firmware, network).start().unwrap();
        let machine = self.registers(&mut vm);
        look(&vm);
        assert!(self.operator.enrollments().unwrap().is_empty());
        drop(vm);
        self.prefer("unknownTokenTimeout", "1");
        let mut vm = self.machine("over", firmware, network).start().unwrap();
        self.shows_a_code(&mut vm);
        look(&vm);
        assert_eq!(self.operator.machines().unwrap().len(), 1);
        machine
    }

    /// Waits until a machine has registered without anybody at its keyboard, and looks at it as an
    /// operator does.
    fn registers(&self, vm: &mut Vm) -> Machine {
        let registered = vm.wait_for_registration(BOOT_WITHIN).unwrap();
        note_time(vm);
        let machine = self.operator.machine(&registered.uuid.to_string()).unwrap();
        assert_eq!(
            (machine.own.origin, machine.own.provision_state),
            (Origin::Pxe, ProvisionState::Discovery)
        );
        assert!(machine.own.online, "{} is offline", machine.name);
        self.keeps_secrets(vm);
        machine
    }

    /// Waits until a machine whose token is over shows a code, which an operator finds, and says why.
    fn shows_a_code(&self, vm: &mut Vm) {
        let code = vm.wait_for_code(BOOT_WITHIN).unwrap();
        note_time(vm);
        vm.wait_for_words(EXPIRED, SOON).unwrap();
        let preview = self.operator.lookup(&code.to_string()).map_err(|error| vm.failed(&error)).unwrap();
        assert_eq!(preview.origin, Origin::Pxe);
        self.keeps_secrets(vm);
    }

    /// No token is on the machine's console or in the server's log.
    fn keeps_secrets(&self, vm: &mut Vm) {
        tells_no_secrets(&vm.said().unwrap());
        tells_no_secrets(&self.server.logs().unwrap());
    }
}

/// A text in which no token and no nonce is.
fn tells_no_secrets(text: &str) {
    let is_secret = |word: &&str| {
        let hidden = |name: &str| {
            word.split_once(name)
                .is_some_and(|(_, value)| !value.is_empty() && !value.starts_with("[redacted]"))
        };
        word.contains(TOKEN) || hidden("muster.token=") || hidden("muster.nonce=")
    };
    let shown = text.split_whitespace().find(is_secret);
    assert!(shown.is_none(), "a secret is shown:\n{text}");
}

/// Leaves the time since power-on in the machine's folder.
fn note_time(vm: &Vm) {
    let seconds = vm.started().elapsed().as_secs_f64();
    std::fs::write(vm.folder().join("time"), format!("{seconds:.1} s after power-on\n")).unwrap();
}

/// What the network gives to everybody: addresses of both families.
fn network() -> Services {
    Services::dhcp().and_router_advertisement()
}

/// The address of something on the computer that was there before us.
fn on_gateway(path: &str) -> String {
    format!("http://{HOST}/{path}")
}
