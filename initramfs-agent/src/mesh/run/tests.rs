//! The loop of a member with a server that follows a script, and with a real kernel, in a namespace of its own. Where that
//! kernel has no WireGuard, a cable stands for the interface: what is not the tunnels themselves is the same.

use super::*;
use crate::mesh::network::tests::{network, routes};
use crate::mesh::plan::tests::{key, own, peer};
use crate::mesh::wireguard::Device;
use crate::net::tests::wire::{self, Wire};
use futures_util::StreamExt;
use protocol::mesh::{HealthCheck, MeshPeer, MeshReport, MeshReportAnswer, MeshSelf, MeshVip, VipGrant};
use rtnetlink::packet_core::NetlinkPayload;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::RouteType;
use rtnetlink::{MulticastGroup, new_multicast_connection};
use std::fs;
use tempfile::TempDir;
use tokio::join;
use tokio::time::{timeout, timeout_at};

/// Longest wait for the other side, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The lease of what is given, in milliseconds: nothing ends by itself here.
const LEASE: u64 = 599_500;
/// What is given to hold.
const WEB: &str = "10.20.128.1/32";

/// The machine: its namespace, and its files.
struct Machine<'a> {
    wire: &'a Wire,
    files: TempDir,
    has_wireguard: bool,
}

impl<'a> Machine<'a> {
    fn new(wire: &'a Wire) -> Self {
        let files = tempfile::tempdir().unwrap();
        fs::write(files.path().join("hosts"), "127.0.0.1 localhost\n").unwrap();
        Self { wire, files, has_wireguard: wire.can("ip link add muster0 type wireguard") }
    }

    /// A member of it, and the server's script.
    async fn member(&self) -> (Worker, Script) {
        let (tell, heard) = mpsc::channel(ROOM);
        let (reports, sent) = mpsc::channel(1);
        let ground = Ground {
            folder: Folder::new(self.files.path().join("mesh")),
            hosts: self.files.path().join("hosts"),
            network: network(self.wire, self.files.path()),
        };
        let worker = Worker::begin(ground, || Server { heard, reports: Some(reports) }).await.unwrap();
        (worker, Script { tell, sent, grants: Vec::new() })
    }

    fn addresses(&self) -> String {
        self.wire.here("ip addr show dev muster0")
    }

    fn hosts(&self) -> String {
        fs::read_to_string(self.files.path().join("hosts")).unwrap()
    }

    /// The tunnels; none without WireGuard.
    async fn tunnels(&self) -> Option<Device> {
        if !self.has_wireguard {
            return None;
        }
        Some(Wireguard::open(INTERFACE).await.unwrap().look().await.unwrap().unwrap())
    }
}

/// The server, as it is told to be.
struct Script {
    tell: mpsc::Sender<Heard>,
    sent: mpsc::Receiver<Sending>,
    /// What the member holds by every answer.
    grants: Vec<VipGrant>,
}

impl Script {
    async fn says(&self, heard: Heard) {
        self.tell.send(heard).await.unwrap();
    }

    /// The whole network: the machine's place, the others, and what it may be given.
    async fn tells(&self, own: Option<MeshSelf>, peers: &[MeshPeer], vips: &[(&str, &str)]) {
        let vip = |(name, prefix): &(&str, &str)| MeshVip {
            name: (*name).to_owned(),
            prefix: prefix.parse().unwrap(),
            check: HealthCheck::default(),
        };
        let vips = vips.iter().map(vip).collect();
        let news = MeshNews { whole: true, own, peers: peers.to_vec(), vips, ..MeshNews::default() };
        self.says(Heard::News(news)).await;
    }

    fn gives(&mut self, grants: &[(&str, u64)]) {
        let grant =
            |(name, epoch): &(&str, u64)| VipGrant { name: (*name).to_owned(), epoch: *epoch, lease: LEASE };
        self.grants = grants.iter().map(grant).collect();
    }

    /// Answers reports until one is as wanted, and that one, too.
    async fn until(&mut self, what: &str, wanted: impl Fn(&MeshReport) -> bool) -> MeshReport {
        let (until, mut last) = (Instant::now() + PATIENCE, None);
        loop {
            let sending = timeout_at(until, self.sent.recv()).await;
            let sending = sending.unwrap_or_else(|_| panic!("{what}: {last:?}")).unwrap();
            let report: MeshReport = serde_json::from_slice(&sending.body).unwrap();
            let answer = MeshReportAnswer { due: 300, grants: self.grants.clone() };
            self.says(Heard::Answer { sent: sending.sent, answer }).await;
            if wanted(&report) {
                return report;
            }
            last = Some(report);
        }
    }

    /// Waits until the member says that it holds this under these epochs, and nothing else.
    async fn until_held(&mut self, held: &[(&str, u64)]) -> MeshReport {
        let is_held = |report: &MeshReport| {
            let told = report.vips.iter().filter(|vip| vip.epoch != 0);
            told.map(|vip| (vip.name.as_str(), vip.epoch)).eq(held.iter().copied())
        };
        self.until(&format!("{held:?} is not held"), is_held).await
    }
}

/// Lets a member work while its server follows the script, to the end of both.
async fn follow(worker: Worker, script: impl Future<Output = ()>) -> Ending {
    let (ending, ()) = join!(worker.work(), script);
    ending.unwrap()
}

/// Runs a test in a namespace of its own.
fn run(test: &str, scenario: impl AsyncFnOnce(Machine<'_>)) {
    wire::run(&format!("mesh::run::tests::{test}"), async |wire| scenario(Machine::new(wire)).await);
}

#[test]
fn member_takes_in_what_the_server_says_until_it_is_taken_out() {
    run("member_takes_in_what_the_server_says_until_it_is_taken_out", async |machine| {
        let (worker, mut server) = machine.member().await;
        let script = async {
            server.tells(Some(own()), &[peer(2)], &[("web", WEB)]).await;
            let first = server.until("no report", |_| true).await;
            assert_eq!(first.key.is_some(), machine.has_wireguard);
            assert_eq!(first.error.contains("WireGuard"), !machine.has_wireguard, "{}", first.error);
            assert!(first.vips[0].healthy && first.vips[0].epoch == 0, "{first:?}");
            assert!(routes(machine.wire).contains("unreachable 10.20.0.0/16"));
            assert!(!machine.addresses().contains(WEB), "nobody gave it");
            server.gives(&[("web", 3)]);
            let held = server.until_held(&[("web", 3)]).await;
            assert_eq!(held.error, first.error, "what does not work is not forgotten meanwhile");
            let there = machine.addresses();
            assert!(there.contains("inet 10.20.0.1/32") && there.contains("inet6 fd00:20::1/128"), "{there}");
            assert!(there.contains(&format!("inet {WEB}")) && there.contains("valid_lft 59"), "{there}");
            assert!(machine.tunnels().await.is_none_or(|seen| seen.peers.keys().eq([&key(2)])));
            assert!(!machine.hosts().contains("web-2"));
            // A change: other members, their names, another place, other things to hold.
            let place = MeshSelf { addresses: vec!["10.20.0.9".parse().unwrap()], hosts: true, ..own() };
            let behind = MeshPeer { routes: vec!["192.168.7.0/24".parse().unwrap()], ..peer(3) };
            server.tells(Some(place), &[behind], &[("db", "10.20.128.2/32")]).await;
            server.gives(&[("db", 1)]);
            server.until_held(&[("db", 1)]).await;
            let there = machine.addresses();
            assert!(there.contains("inet 10.20.0.9/32") && there.contains("inet 10.20.128.2/32"), "{there}");
            assert!(
                !there.contains("10.20.0.1/32") && !there.contains(WEB) && !there.contains("fd00"),
                "{there}"
            );
            assert!(routes(machine.wire).contains("192.168.7.0/24 dev muster0"), "{}", routes(machine.wire));
            assert!(machine.tunnels().await.is_none_or(|seen| seen.peers.keys().eq([&key(3)])));
            let names = machine.hosts();
            assert!(names.contains("10.20.0.3 web-3.home.mesh web-3") && !names.contains("web-2"), "{names}");
            assert!(machine.files.path().join("mesh/state.json").exists());
            server.tells(None, &[], &[]).await;
        };
        assert_eq!(follow(worker, script).await, Ending::Idle);
        assert!(!machine.wire.can("ip link show muster0"));
        let there = routes(machine.wire);
        assert!(
            there.contains("unreachable 10.20.0.0/16") && there.contains("unreachable fd00:20::/64"),
            "{there}"
        );
        assert_eq!(there.lines().count(), 2, "{there}");
        assert_eq!(machine.hosts(), "127.0.0.1 localhost\n");
        assert!(!machine.files.path().join("mesh/state.json").exists());
    });
}

#[test]
fn member_whose_tokens_are_refused_holds_nothing_and_keeps_its_place() {
    run("member_whose_tokens_are_refused_holds_nothing_and_keeps_its_place", async |machine| {
        let (worker, mut server) = machine.member().await;
        let script = async {
            server.tells(Some(own()), &[peer(2)], &[("web", WEB)]).await;
            server.gives(&[("web", 3)]);
            server.until_held(&[("web", 3)]).await;
            assert!(machine.addresses().contains(WEB));
            server.says(Heard::Refused("void".to_owned())).await;
        };
        assert_eq!(follow(worker, script).await, Ending::Refused);
        let there = machine.addresses();
        assert!(there.contains("10.20.0.1/32") && !there.contains(WEB), "{there}");
        let there = routes(machine.wire);
        assert!(
            there.contains("10.20.0.0/16 dev muster0") && there.contains("unreachable 10.20.0.0/16"),
            "{there}"
        );
    });
}

#[test]
fn member_that_has_no_answer_lets_go_when_its_lease_ends() {
    run("member_that_has_no_answer_lets_go_when_its_lease_ends", async |machine| {
        let (worker, mut server) = machine.member().await;
        let script = async {
            server.tells(Some(own()), &[peer(2)], &[("web", WEB)]).await;
            server.grants = vec![VipGrant { name: "web".to_owned(), epoch: 3, lease: 3_000 }];
            server.until_held(&[("web", 3)]).await;
            assert!(machine.addresses().contains(WEB));
            // From here on reports are lost.
            loop {
                let sending = timeout(PATIENCE, server.sent.recv()).await.expect("it is held still").unwrap();
                let report: MeshReport = serde_json::from_slice(&sending.body).unwrap();
                server.says(Heard::NoAnswer("no answer in time".to_owned())).await;
                if report.vips[0].epoch == 0 {
                    assert_eq!(report.vips[0].released, 3, "it says so once it is gone");
                    assert!(!machine.addresses().contains(WEB));
                    break;
                }
            }
            server.tells(None, &[], &[]).await;
        };
        assert_eq!(follow(worker, script).await, Ending::Idle);
    });
}

#[test]
fn who_comes_later_takes_over_from_a_member_that_has_let_go() {
    run("who_comes_later_takes_over_from_a_member_that_has_let_go", async |machine| {
        let (earlier, mut server) = machine.member().await;
        let script = async {
            server.tells(Some(own()), &[peer(2)], &[("web", WEB)]).await;
            server.gives(&[("web", 3)]);
            server.until_held(&[("web", 3)]).await;
            let (later, mut server) = machine.member().await;
            assert!(!machine.addresses().contains(WEB), "it was let go before");
            let script = async {
                // It is what the earlier one was, before it has heard anything.
                let report = server.until("no report", |_| true).await;
                assert!(report.vips.is_empty(), "{report:?}");
                server.tells(Some(own()), &[peer(2)], &[("web", WEB)]).await;
                server.gives(&[("web", 3)]);
                server.until_held(&[("web", 3)]).await;
                assert!(machine.addresses().contains(WEB));
                server.tells(None, &[], &[]).await;
            };
            assert_eq!(follow(later, script).await, Ending::Idle);
        };
        assert_eq!(follow(earlier, script).await, Ending::Idle);
    });
}

#[test]
fn dead_end_that_somebody_takes_away_is_back_at_once_and_not_too_often() {
    run("dead_end_that_somebody_takes_away_is_back_at_once_and_not_too_often", async |machine| {
        const QUARRELS: u32 = 5;
        // Long before it would be looked for without a word.
        const SOON: Duration = Duration::from_secs(4);
        let (worker, mut server) = machine.member().await;
        let script = async {
            server.tells(Some(own()), &[peer(2)], &[]).await;
            server.until("no report", |_| true).await;
            let (connection, _, mut told) = new_multicast_connection(&[MulticastGroup::Ipv4Route]).unwrap();
            beside(connection);
            let begun = Instant::now();
            for _ in 0..QUARRELS {
                machine.wire.here("ip route del unreachable 10.20.0.0/16 proto 183 metric 4294967280");
                let back = async {
                    loop {
                        let (message, _) = told.next().await.unwrap();
                        if let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) =
                            message.payload
                            && route.header.kind == RouteType::Unreachable
                        {
                            return;
                        }
                    }
                };
                timeout(SOON, back).await.expect("it stays away");
                assert!(routes(machine.wire).contains("unreachable 10.20.0.0/16"));
            }
            let least = Duration::from_millis(QUARREL) * (QUARRELS - 1);
            assert!(begun.elapsed() >= least, "{:?}", begun.elapsed());
            server.tells(None, &[], &[]).await;
        };
        assert_eq!(follow(worker, script).await, Ending::Idle);
    });
}
