//! Mesh networks over the store. Virtual addresses are granted once that is stored, moved when a lease is over, known
//! after a restart; what roles say of members is followed.

use super::*;
use crate::app::MachineTokenActor;
use protocol::ids::MachineId;
use protocol::mesh::{MeshReport, PublicKey, VipGrant, VipReport};
use protocol::model::{Vip, VipState};
use protocol::rest::TokenCreate;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const GATEWAY: &str = "gateway";
/// Interval times unhealthy threshold, as nobody says otherwise.
const LEASE: Duration = Duration::from_secs(15);

/// A member that may hold the gateway.
struct Candidate {
    id: MachineId,
    actor: Actor,
    key: PublicKey,
}

impl Candidate {
    async fn make(app: &TestApp, number: u8) -> Self {
        let machine = json!({"Name": format!("node-{number}"), "MeshNetwork": "home"});
        let made = app.create(&admin(), Kind::Machines, &[], machine).await.unwrap();
        let id: MachineId = made.value["Uuid"].as_str().unwrap().parse().unwrap();
        Self { id, actor: itself(id, number), key: PublicKey([number; 32]) }
    }

    /// What it holds after a report.
    async fn reports(&self, app: &TestApp, healthy: bool) -> Vec<VipGrant> {
        let vip = VipReport { name: GATEWAY.to_owned(), healthy, ..VipReport::default() };
        let report = MeshReport {
            key: Some(self.key),
            port: 51_820,
            addresses: Vec::new(),
            peers: Vec::new(),
            vips: vec![vip],
            error: String::new(),
        };
        app.mesh_report(&self.actor, report).await.unwrap().grants
    }

    /// Under which epoch it holds the gateway after a report that it is well.
    async fn holds(&self, app: &TestApp) -> Option<u64> {
        self.reports(app, true).await.first().map(|grant| grant.epoch)
    }

    /// By whom it reaches the gateway.
    async fn goes_by(&self, app: &TestApp) -> Vec<MachineId> {
        let news = app.mesh_news(&self.actor, "", NO_WAIT).await.unwrap();
        news.peers.into_iter().filter(|peer| !peer.routes.is_empty()).map(|peer| peer.machine).collect()
    }
}

/// A machine's own token.
fn itself(machine: MachineId, number: u8) -> Actor {
    Actor::MachineToken(MachineTokenActor {
        machine,
        grantor: String::new(),
        extra: Claims::default(),
        source: IpAddr::from([192, 0, 2, number]),
        request_id: String::new(),
    })
}

async fn site() -> (TestApp, Candidate, Candidate) {
    let app = TestApp::start().await;
    let mesh = json!({"Name": "home", "Cidrs": ["10.20.0.0/16"]});
    app.create(&admin(), Kind::Meshes, &[], mesh).await.unwrap();
    let (one, other) = (Candidate::make(&app, 1).await, Candidate::make(&app, 2).await);
    let machines = [one.id.to_string(), other.id.to_string()];
    let vip =
        json!({"Name": GATEWAY, "MeshNetwork": "home", "Prefix": "10.20.255.1/32", "Machines": machines});
    app.create(&admin(), Kind::Vips, &[], vip).await.unwrap();
    (app, one, other)
}

async fn shown(app: &TestApp) -> Vip {
    let shown = app.get(&admin(), Kind::Vips, GATEWAY, &[], &Known::default()).await.unwrap().unwrap();
    serde_json::from_value(shown.value).unwrap()
}

/// The stored epoch.
async fn stored(app: &TestApp) -> u64 {
    let record = app.store.record("vip", GATEWAY).await.unwrap().expect("stored before it is granted");
    serde_json::from_str::<engine::mesh::vip::Record>(&record.body).unwrap().epoch
}

#[tokio::test]
async fn address_of_a_silent_holder_moves_when_its_lease_is_over() {
    let (app, one, other) = site().await;
    let watcher = Candidate::make(&app, 3).await;
    watcher.reports(&app, true).await;
    assert_eq!(shown(&app).await.state, VipState::Nobody);
    let first = one.holds(&app).await.expect("nobody else is there");
    assert_eq!(stored(&app).await, first);
    assert_eq!(other.holds(&app).await, None);
    assert_eq!(watcher.goes_by(&app).await, [one.id]);
    let vip = shown(&app).await;
    assert_eq!((vip.holder, vip.epoch, vip.state), (one.id.to_string(), first, VipState::Held));
    assert_eq!(vip.members.len(), 2, "who may not hold it is not among them");
    assert!(
        vip.members.iter().all(|member| member.healthy && member.online && member.name.starts_with("node-"))
    );

    app.mesh.pass(LEASE);
    assert_eq!(other.holds(&app).await, None, "the holder may still have it");
    app.mesh.pass(Duration::from_millis(1_001));
    let second = other.holds(&app).await.expect("the lease is over");
    assert!(second > first);
    assert_eq!((stored(&app).await, watcher.goes_by(&app).await), (second, vec![other.id]));
    assert_eq!(one.holds(&app).await, None, "who comes back does not get it back");
}

#[tokio::test]
async fn unhealthy_holder_is_granted_nothing_and_members_are_told_when_nobody_holds_it() {
    let (app, one, other) = site().await;
    one.holds(&app).await.unwrap();
    assert_eq!(one.reports(&app, false).await, []);
    app.mesh.pass(LEASE + SECOND + SECOND);
    app.attend_meshes();
    assert_eq!(other.goes_by(&app).await, []);
    assert_eq!((shown(&app).await.holder.as_str(), shown(&app).await.state), ("", VipState::Nobody));
    let disabled =
        json!({"Name": GATEWAY, "MeshNetwork": "home", "Prefix": "10.20.255.1/32", "Enabled": false});
    app.replace(&admin(), Kind::Vips, GATEWAY, &[], None, disabled).await.unwrap();
    assert_eq!(other.holds(&app).await, None);
    assert_eq!(shown(&app).await.state, VipState::Disabled);
}

#[tokio::test]
async fn server_that_starts_again_lets_leases_run_out_and_goes_on_counting() {
    let (app, one, other) = site().await;
    let first = one.holds(&app).await.unwrap();
    let app = app.killed_and_started().await;
    assert_eq!(other.holds(&app).await, None, "the other may have been renewed just before");
    assert_eq!(one.holds(&app).await, Some(first), "the same holder is none other");
    let app = app.killed_and_started().await;
    app.mesh.pass(LEASE);
    assert_eq!(other.holds(&app).await, None);
    app.mesh.pass(SECOND + SECOND);
    let second = other.holds(&app).await.unwrap();
    assert!(second > first);
    // One that is made again under its name does not begin with an epoch that somebody had.
    app.delete(&admin(), Kind::Vips, GATEWAY, &[]).await.unwrap();
    let vip =
        json!({"Name": GATEWAY, "MeshNetwork": "home", "Prefix": "10.20.255.2/32", "Machines": ["node-1"]});
    app.create(&admin(), Kind::Vips, &[], vip).await.unwrap();
    app.mesh.pass(LEASE + SECOND + SECOND);
    assert!(one.holds(&app).await.unwrap() > second);
}

#[tokio::test]
async fn holder_that_leaves_the_network_or_is_deleted_holds_nothing() {
    let (app, one, other) = site().await;
    one.holds(&app).await.unwrap();
    let out = json!({"Name": "node-1", "MeshNetwork": ""});
    app.replace(&admin(), Kind::Machines, &one.id.to_string(), &[], None, out).await.unwrap();
    assert_eq!(one.holds(&app).await, None);
    assert_eq!(other.goes_by(&app).await, []);
    assert_eq!(other.holds(&app).await, None, "its lease still runs");
    app.mesh.pass(LEASE + SECOND + SECOND);
    other.holds(&app).await.unwrap();
    app.forget(&admin(), &other.id.to_string()).await.unwrap();
    assert_eq!(shown(&app).await.holder, "");
}

#[tokio::test]
async fn another_servers_epoch_is_never_granted_a_second_time() {
    let (app, one, other) = site().await;
    let first = one.holds(&app).await.unwrap();
    let second_server = TestApp::open(&app.directory, &app.clock).await;
    app.mesh.pass(LEASE + SECOND + SECOND);
    second_server.mesh.pass(LEASE + SECOND + SECOND);
    let second = other.holds(&app).await.unwrap();
    let report = |actor: &Actor, key: PublicKey| {
        let vip = VipReport { name: GATEWAY.to_owned(), healthy: true, ..VipReport::default() };
        let report = MeshReport {
            key: Some(key),
            port: 1,
            addresses: Vec::new(),
            peers: Vec::new(),
            vips: vec![vip],
            error: String::new(),
        };
        let (server, actor) = (&second_server, actor.clone());
        async move { server.mesh_report(&actor, report).await }
    };
    // It decided on what it knew: the store refuses, and it begins anew with what is there.
    assert_eq!(report(&one.actor, one.key).await.unwrap_err().kind, AppErrorKind::Unavailable);
    assert_eq!(
        report(&one.actor, one.key).await.unwrap().grants,
        [],
        "the other server's holder has its lease"
    );
    assert_eq!(stored(&app).await, second);
    assert!(second > first);
}

#[tokio::test]
async fn pages_hear_of_a_machines_peers_at_once_and_then_every_two_seconds() {
    let (app, one, other) = site().await;
    other.reports(&app, true).await;
    one.reports(&app, true).await;
    app.pass(2);
    let mut watcher = app.hub.subscribe();
    let tunnel = |age| protocol::mesh::PeerReport {
        machine: other.id,
        endpoint: Some(([203, 0, 113, 7], 4_500).into()),
        handshake: age,
        tried: 0,
        received: 1,
        sent: 1,
        way: protocol::mesh::Way::Direct,
    };
    let report = |age| MeshReport {
        key: Some(one.key),
        port: 51_820,
        addresses: Vec::new(),
        peers: vec![tunnel(age)],
        vips: Vec::new(),
        error: String::new(),
    };
    let mut heard = async || -> Vec<Event> {
        told(&mut watcher).await.into_iter().filter(|event| event.kind == "peers").collect()
    };
    app.mesh_report(&one.actor, report(Some(1))).await.unwrap();
    let events = heard().await;
    assert_eq!((events.len(), events[0].key.as_str()), (1, one.id.to_string().as_str()));
    assert_eq!(events[0].object, json!({"Machine": one.id, "MeshNetwork": "home"}));
    app.mesh_report(&one.actor, report(Some(2))).await.unwrap();
    assert_eq!(heard().await.len(), 0, "nothing else is shown");
    app.mesh_report(&one.actor, report(None)).await.unwrap();
    app.attend_meshes();
    assert_eq!(heard().await.len(), 0, "too soon");
    app.pass(2);
    app.attend_meshes();
    app.attend_meshes();
    assert_eq!(heard().await.len(), 1, "late, and once");
}

#[tokio::test]
async fn members_follow_what_their_roles_say_whoever_gave_them() {
    let (app, _, _) = site().await;
    let role = json!({"Name": "gate", "Meta": {"muster-role": "true"}});
    app.create(&admin(), Kind::Profiles, &[], role).await.unwrap();
    let terms = TokenCreate {
        roles: vec!["gate".to_owned()],
        mesh_network: "home".to_owned(),
        ..TokenCreate::default()
    };
    let token = app.token_for(terms).await;
    let by_token = app.try_register(&Bare::number(7), &token).await.unwrap().machine.uuid;
    let machine = json!({"Name": "node-8", "MeshNetwork": "home", "Profiles": ["gate"]});
    let made = app.create(&admin(), Kind::Machines, &[], machine).await.unwrap();
    let by_hand: MachineId = made.value["Uuid"].as_str().unwrap().parse().unwrap();

    let TestApp { app, clock: _clock, directory: _directory } = app;
    let app = Arc::new(app);
    let stopping = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&app).run_revalidation(stopping.clone()));
    let actors = [itself(by_token, 7), itself(by_hand, 8)];
    let mut cursors = Vec::new();
    for actor in &actors {
        let news = app.mesh_news(actor, "", NO_WAIT).await.unwrap();
        assert!(!news.own.unwrap().relay);
        cursors.push(news.cursor);
    }
    let add = json!([{"op": "add", "path": "/Params/muster~1mesh-relay", "value": true}]);
    let patch = engine::patch::Patch::parse(add).unwrap();
    app.patch(&admin(), Kind::Profiles, "gate", &[], None, &patch).await.unwrap();
    for (actor, cursor) in actors.iter().zip(&cursors) {
        let news = app.mesh_news(actor, cursor, 20 * SECOND).await.unwrap();
        assert!(news.own.unwrap().relay);
    }
    stopping.cancel();
    running.await.unwrap();
}
