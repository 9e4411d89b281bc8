//! A lab with our server on a host of its own, a router, and a mesh network that is still empty.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Result;
use protocol::rest::TokenCreated;
use reqwest::Method;
use serde_json::{Value, json};
use tests::browser::Script;
use tests::lab::{Host, Lab, Nat, Port};
use tests::media::{Media, Profile};
use tests::muster::Server;
use tests::operator::Operator;
use tests::output;
use tests::process::{Process, Spec};
use tests::qemu::{Boot, SIT_DOWN, Vm, VmBuilder};
use tests::wait;

use crate::member::Member;

/// Power-on to a registration, translated and beside two other machines.
pub(crate) const BOOT_WITHIN: Duration = Duration::from_secs(180);
/// A short task on a machine.
const TASK_WITHIN: Duration = Duration::from_secs(120);
/// A change of what the server tells.
pub(crate) const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// Where our server is.
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The router, as those on the bridge see it, and as those behind it do.
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);
const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
/// The mesh network.
pub(crate) const MESH: &str = "lab";
const CIDRS: [&str; 2] = ["10.99.0.0/24", "fd99:4d4d:1::/64"];
/// A computer of Debian's kernel for clouds, with room for the tools.
const MEMORY: u32 = 768;

/// Where a machine is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// On the bridge.
    Bridge,
    /// Behind the router.
    Behind,
}

/// A lab, and what is in it before the first machine.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) operator: Operator,
    pub(crate) lab: Lab,
    pub(crate) nat: Nat,
    media: Media,
    host: Host,
    events: Process,
    machines: u8,
    name: String,
}

impl Site {
    pub(crate) fn start(name: &str) -> Self {
        let media = Media::of(Profile::Cloud).unwrap();
        let lab = Lab::new(&format!("mesh-{name}-lab")).unwrap();
        let host = lab.host(SERVER).unwrap();
        let nat = lab.nat(ROUTER, BEHIND).unwrap();
        let server = Server::builder(&format!("mesh-{name}-server")).media(media.folder()).on(&host);
        let server = server.advertise(&format!("https://{SERVER}:{{port}}")).start().unwrap();
        let operator = server.operator().unwrap();
        let events = listen(&server, &operator, &host);
        let site =
            Self { server, operator, lab, nat, media, host, events, machines: 0, name: name.to_owned() };
        site.call(Method::POST, "/meshes", &json!({ "Name": MESH, "Cidrs": CIDRS }));
        let script = format!("#!/usr/bin/env sh\nmuster-agent fetch-tools || exit\n{SIT_DOWN}\n");
        let template = json!({ "Name": "sit-down", "Path": "", "Contents": script });
        site.call(Method::POST, "/tasks", &json!({ "Name": "sit-down", "Templates": [template] }));
        site.call(Method::POST, "/stages", &json!({ "Name": "sit-down", "Tasks": ["sit-down"] }));
        site.call(Method::POST, "/workflows", &json!({ "Name": "sit-down", "Stages": ["sit-down"] }));
        site
    }

    pub(crate) fn call(&self, method: Method, path: &str, body: &Value) -> Value {
        self.operator.call(method, path, body).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, &Value::Null)
    }

    /// A token with the kernel arguments that go with it.
    pub(crate) fn token(&self) -> TokenCreated {
        self.operator.create_token(600).unwrap()
    }

    /// Our image with these kernel arguments, as a network boot loader hands it over.
    pub(crate) fn image(&self, append: &str) -> Boot {
        Boot::Kernel { kernel: self.media.kernel(), initrd: self.media.initrd(), append: append.to_owned() }
    }

    /// The next machine of this site, with a second serial line and its cable captured, and its address.
    pub(crate) fn machine(&mut self, place: Place) -> (VmBuilder, Ipv4Addr, String) {
        self.machines += 1;
        let mac = format!("52:54:00:0c:08:{:02x}", self.machines);
        let port: Port = match place {
            Place::Bridge => self.lab.port(&mac).unwrap(),
            Place::Behind => self.nat.port(&mac).unwrap(),
        };
        let [first, second, third, gateway] = match place {
            Place::Bridge => SERVER.octets().map(|octet| if octet == 2 { 1 } else { octet }),
            Place::Behind => BEHIND.octets(),
        };
        let address = Ipv4Addr::new(first, second, third, 20 + self.machines);
        let gateway = Ipv4Addr::new(first, second, third, gateway);
        let machine = Vm::builder(&format!("mesh-{}-{}", self.name, self.machines)).memory_mib(MEMORY);
        let machine = machine.second_line().plug(port).capture_network();
        (machine, address, format!("muster.net=if={mac},addr={address}/24,gw={gateway}"))
    }

    /// Powers machines on that boot our image and register by a token.
    pub(crate) fn powers_on<const COUNT: usize>(
        &mut self,
        places: [Place; COUNT],
    ) -> [(Vm, Ipv4Addr); COUNT] {
        let token = self.token();
        places.map(|place| {
            let (machine, address, net) = self.machine(place);
            let image = self.image(&format!("quiet {} {net}", token.kernel_args));
            (machine.boot(image).start().unwrap(), address)
        })
    }

    /// Waits until they have registered, and a shell sits at each.
    pub(crate) fn welcomes<const COUNT: usize>(&self, machines: [(Vm, Ipv4Addr); COUNT]) -> [Member; COUNT] {
        let registered = machines.map(|(mut vm, address)| {
            let registered = vm.wait_for_registration(BOOT_WITHIN).unwrap();
            self.change(&registered.uuid.to_string(), "Workflow", &json!("sit-down"));
            (vm, address, registered)
        });
        registered.map(|(mut vm, address, registered)| {
            let uuid = registered.uuid.to_string();
            let done = wait::until("the first task", TASK_WITHIN, || {
                Ok((self.get(&format!("/machines/{uuid}"))["WorkflowComplete"] == true).then_some(()))
            });
            done.map_err(|error| vm.failed(&error)).unwrap();
            Member::new(vm, registered.name, uuid, address)
        })
    }

    /// Changes one field of a machine.
    pub(crate) fn change(&self, uuid: &str, field: &str, value: &Value) {
        let patch = json!([{ "op": "replace", "path": format!("/{field}"), "value": value }]);
        self.call(Method::PATCH, &format!("/machines/{uuid}"), &patch);
    }

    /// A script for the dashboard, on the computer of the server: from outside of the lab nobody reaches it.
    pub(crate) fn script(&self, name: &str) -> Script {
        Script::of(&self.server, name).unwrap().on(&self.host)
    }

    /// Assigns a machine to the mesh network by the call that the dashboard makes.
    pub(crate) fn assign(&self, member: &Member) {
        self.change(&member.uuid, "MeshNetwork", &json!(MESH));
    }

    /// Takes a machine out.
    pub(crate) fn take_out(&self, member: &Member) {
        self.change(&member.uuid, "MeshNetwork", &json!(""));
    }

    /// A machine's addresses in the mesh network: one of each family.
    pub(crate) fn addresses(&self, member: &Member) -> Vec<IpAddr> {
        let machine = self.get(&format!("/machines/{}", member.uuid));
        let addresses: Vec<IpAddr> = serde_json::from_value(machine["MeshAddresses"].clone()).unwrap();
        assert_eq!(addresses.iter().filter(|address| address.is_ipv4()).count(), 1, "{addresses:?}");
        assert_eq!(addresses.len(), CIDRS.len(), "{addresses:?}");
        addresses
    }

    /// The way between two machines that have a session, as one of them has it told.
    pub(crate) fn way(&self, from: &Member, to: &Member) -> Result<(String, bool)> {
        let peers =
            self.operator.call(Method::GET, &format!("/machines/{}/peers", from.uuid), &Value::Null)?;
        let peer = peers["Peers"].as_array().into_iter().flatten().find(|peer| peer["Machine"] == *to.uuid);
        let peer = peer.unwrap_or(&Value::Null);
        Ok((peer["Way"].as_str().unwrap_or_default().to_owned(), peer["Up"] == true))
    }

    /// The server is away: what it held open breaks, and nobody answers at its address.
    pub(crate) fn stop_server(&mut self) {
        self.server.kill().unwrap();
    }

    /// The server is there again, with the same data.
    pub(crate) fn start_server(&mut self) {
        self.server.start_again().unwrap();
        self.operator = self.server.operator().unwrap();
        self.events = listen(&self.server, &self.operator, &self.host);
    }

    /// Every event so far.
    pub(crate) fn events(&self) -> String {
        std::fs::read_to_string(self.events.stdout()).unwrap()
    }

    /// Whether an address is one of the mesh network.
    pub(crate) fn is_of_mesh(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets().starts_with(&[10, 99, 0]),
            IpAddr::V6(address) => address.segments().starts_with(&[0xfd99, 0x4d4d, 1, 0]),
        }
    }
}

/// Listens to every event from now on.
fn listen(server: &Server, operator: &Operator, host: &Host) -> Process {
    Spec::new(&output::muster_binary().unwrap(), server.folder(), "events")
        .args(["events"])
        .env("MUSTER_ENDPOINT", server.url())
        .env("MUSTER_CA", server.ca_file())
        .env("MUSTER_API_TOKEN", operator.reveal_token().unwrap())
        .in_network(host.namespace().path())
        .start()
        .unwrap()
}
