//! Members of mesh networks from outside: who hears of whom, and how soon; who hears nothing; what a report may hold;
//! and what is known after a restart.

use crate::member::{Member, bootstrap_token, make_mesh, tunnel};
use crate::support::{Answer, Fixture, logged, options, start};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use protocol::ids::MachineId;
use protocol::mesh::{MAX_PEERS, MeshReport, PublicKey, REPORT_PATH, Way};
use protocol::rest::{MachinePeers, MeshMap};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;

const HOME: &str = "home";
/// Longer than any test takes: whoever waits this long was not woken.
const LONG: u64 = 25;

/// A server with a mesh network, and machines that are in none.
async fn site(machines: u8) -> (Fixture, Vec<Member>) {
    let fixture = start().await;
    make_mesh(&fixture, HOME, &["10.20.0.0/16", "fd00:20::/64"]).await;
    let token = bootstrap_token(&fixture).await;
    let registered = join_all((1..=machines).map(|seed| Member::register(&fixture, seed, &token))).await;
    (fixture, registered)
}

/// The same, all in the network with their keys told.
async fn members(machines: u8) -> (Fixture, Vec<Member>) {
    let (fixture, members) = site(machines).await;
    join_all(members.iter().map(|member| joins(&fixture, member))).await;
    (fixture, members)
}

async fn joins(fixture: &Fixture, member: &Member) {
    member.is_moved(fixture, HOME).await;
    member.says_hello(fixture).await;
}

async fn get(fixture: &Fixture, path: &str) -> Answer {
    fixture.call(fixture.admin("GET", path, "")).await
}

async fn peers_of(fixture: &Fixture, member: &Member) -> MachinePeers {
    serde_json::from_slice(&get(fixture, &format!("{}/peers", member.path())).await.body).unwrap()
}

/// Words of the audit log of this kind.
async fn audited(fixture: &Fixture, kind: &str) -> Vec<Value> {
    get(fixture, &format!("/api/v3/audit?limit=500&kind={kind}")).await.json().as_array().unwrap().clone()
}

#[tokio::test]
async fn member_hears_at_once_of_who_joins_and_who_leaves() {
    let (fixture, mut all) = site(2).await;
    let (mut second, mut first) = (all.pop().unwrap(), all.pop().unwrap());
    joins(&fixture, &first).await;
    let news = first.polls(&fixture, LONG).await;
    let own = news.own.unwrap();
    assert!(news.whole && news.peers.is_empty());
    assert_eq!(
        (own.network.as_str(), own.port, own.relay, own.name.as_str()),
        (HOME, 51_820, false, first.name.as_str())
    );
    assert_eq!(
        own.addresses,
        ["10.20.0.1".parse::<std::net::IpAddr>().unwrap(), "fd00:20::1".parse().unwrap()]
    );

    let (news, ()) = tokio::join!(first.polls(&fixture, LONG), joins(&fixture, &second));
    assert!(!news.whole);
    let peer = &first.peers[&second.id];
    assert_eq!(
        (peer.key, peer.way, peer.name.as_str()),
        (Some(second.key), Way::Direct, second.name.as_str())
    );
    let places: Vec<SocketAddr> =
        ["192.0.2.2:51820", "198.51.100.2:51820"].map(|place| place.parse().unwrap()).to_vec();
    assert_eq!(peer.endpoints, places, "where its requests come from, and its own address");
    second.polls(&fixture, 0).await;
    assert_eq!(second.peers[&first.id].key, Some(first.key));

    let leaves = second.is_moved(&fixture, "");
    let (news, told, ()) = tokio::join!(first.polls(&fixture, LONG), second.ask(&fixture, LONG), leaves);
    assert_eq!((news.whole, news.gone.as_slice()), (false, [second.id].as_slice()));
    assert!(first.peers.is_empty());
    assert_eq!(
        (&told.json()["own"], &told.json()["whole"]),
        (&Value::Null, &json!(true)),
        "who left is told so"
    );
    assert!(!String::from_utf8_lossy(&told.body).contains(&first.key.to_string()));
    assert!(peers_of(&fixture, &first).await.peers.is_empty());
}

#[tokio::test]
async fn agent_is_told_at_once_that_tunnels_are_wanted_and_until_the_machine_heard_that_they_are_not() {
    let (fixture, mut all) = site(2).await;
    let mut member = all.remove(0);
    let other = all.remove(0);
    assert_eq!(member.beat(&fixture, 0).await.get("mesh"), None);
    let path = member.path();
    let moved = json!({"MeshNetwork": HOME}).to_string();
    let mut request = fixture.admin("PATCH", &path, &moved);
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let (answer, joined) = tokio::join!(member.beat(&fixture, LONG), fixture.call(request));
    assert_eq!((&answer["mesh"], joined.status), (&json!(true), StatusCode::OK));
    member.says_hello(&fixture).await;
    joins(&fixture, &other).await;

    member.is_moved(&fixture, "").await;
    assert_eq!(member.beat(&fixture, 0).await["mesh"], true, "its tunnels are still there");
    assert_eq!(member.polls(&fixture, 0).await.own, None);
    assert_eq!(member.beat(&fixture, 0).await.get("mesh"), None);
    // Whoever speaks on is no member: nothing is taken and nothing told.
    member.says_hello(&fixture).await;
    let machine = get(&fixture, &path).await.json();
    assert_eq!((&machine["MeshKey"], &machine["MeshNetwork"]), (&json!(""), &json!("")));
    assert!(peers_of(&fixture, &other).await.peers.is_empty());
}

#[tokio::test]
async fn two_hundred_join_and_leave_at_once_and_each_hears_within_one_poll() {
    let (fixture, mut all) = site(200).await;
    let path = |member: &Member| format!("{}?slim=Inventory", member.path());
    join_all(all.iter().map(|member| joins(&fixture, member))).await;
    let news = join_all(all.iter_mut().map(|member| member.polls(&fixture, 0))).await;
    let mut addresses = BTreeSet::new();
    for (member, news) in all.iter().zip(&news) {
        assert_eq!(member.peers.len(), 199, "{}", member.name);
        let own = news.own.as_ref().unwrap();
        assert!(own.addresses.iter().all(|address| addresses.insert(*address)), "{} twice", member.name);
        assert!(!member.peers.contains_key(&member.id));
    }
    assert_eq!(addresses.len(), 400);

    // One hundred leave while the others wait; they come back with other numbers, perhaps, and the same keys.
    let mut leaving = all.split_off(100);
    let waiting = join_all(all.iter_mut().map(|member| member.polls(&fixture, LONG)));
    let leave = join_all(leaving.iter().map(|member| member.is_moved(&fixture, "")));
    let (news, _) = tokio::join!(waiting, leave);
    assert!(
        news.iter().all(|news| !news.whole && !news.gone.is_empty()),
        "each was woken by somebody's leaving"
    );
    join_all(all.iter_mut().map(|member| member.polls(&fixture, 0))).await;
    let stay: BTreeSet<MachineId> = all.iter().map(|member| member.id).collect();
    for member in &all {
        let known: BTreeSet<MachineId> = member.peers.keys().copied().chain([member.id]).collect();
        assert_eq!(known, stay, "{}", member.name);
    }
    for told in join_all(leaving.iter_mut().map(|member| member.polls(&fixture, LONG))).await {
        assert_eq!((told.own, told.peers.len(), told.whole), (None, 0, true));
    }
    let map: MeshMap =
        serde_json::from_slice(&get(&fixture, "/api/v3/meshes/home/peers").await.body).unwrap();
    assert_eq!((map.members.len(), map.edges.len()), (100, 100 * 99 / 2));
    let mesh = get(&fixture, "/api/v3/meshes/home").await.json();
    assert_eq!(
        (
            &mesh["Members"],
            get(&fixture, &path(&leaving[0])).await.json()["MeshAddresses"].as_array().unwrap().len()
        ),
        (&json!(100), 0)
    );
}

#[tokio::test]
async fn keys_and_places_go_to_members_of_the_network_alone() {
    let (fixture, mut all) = site(3).await;
    make_mesh(&fixture, "lab", &["10.21.0.0/24"]).await;
    joins(&fixture, &all[0]).await;
    all[1].is_moved(&fixture, "lab").await;
    all[1].says_hello(&fixture).await;
    all[2].says_hello(&fixture).await;
    let secrets = [all[0].key.to_string(), "198.51.100.1".to_owned(), "10.20.0.1".to_owned()];
    for other in 1..=2 {
        let told = all[other].ask(&fixture, 0).await;
        let text = String::from_utf8_lossy(&told.body).into_owned();
        assert_eq!(told.status, StatusCode::OK);
        assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
        // Neither by the routes that operators have.
        for path in [format!("{}/peers", all[0].path()), "/api/v3/meshes/home/peers".to_owned()] {
            let mut request = Fixture::request("GET", &path, "");
            let bearer = format!("Bearer {}", all[other].token);
            request.headers_mut().insert("authorization", bearer.parse().unwrap());
            assert_eq!(fixture.call(request).await.status, StatusCode::FORBIDDEN, "{path}");
        }
    }
    assert!(all[1].polls(&fixture, 0).await.own.is_some_and(|own| own.network == "lab"));
    assert_eq!(all[2].polls(&fixture, 0).await.own, None);
}

#[tokio::test]
async fn only_the_machine_itself_is_a_member() {
    let (fixture, mut all) = members(1).await;
    let made = get(&fixture, &format!("{}/token", all[0].path())).await.json();
    let own = std::mem::replace(&mut all[0].token, made["Token"].as_str().unwrap().to_owned());
    let by_user = [
        all[0].ask(&fixture, 0).await,
        all[0].sends(&fixture, &serde_json::to_string(&all[0].report()).unwrap()).await,
        get(&fixture, "/api/v3/agent/mesh").await,
        fixture
            .call(fixture.admin("POST", REPORT_PATH, &serde_json::to_string(&all[0].report()).unwrap()))
            .await,
    ];
    for refused in by_user {
        assert_eq!(refused.status, StatusCode::FORBIDDEN);
        let said = refused.json()["Messages"][0].as_str().unwrap().to_owned();
        assert!(said.contains("with the token that the server gives their agents"), "{said}");
    }
    all[0].token = own;
    // A machine that is deleted while it waits hears that it has no place, and nothing afterwards.
    all[0].polls(&fixture, 0).await;
    let (told, gone) =
        tokio::join!(all[0].ask(&fixture, LONG), fixture.call(fixture.admin("DELETE", &all[0].path(), "")));
    assert_eq!((gone.status, told.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(told.json()["own"], Value::Null);
    assert_eq!(all[0].ask(&fixture, 0).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn key_that_another_machine_has_is_refused() {
    let (fixture, mut all) = site(3).await;
    make_mesh(&fixture, "lab", &["10.21.0.0/24"]).await;
    joins(&fixture, &all[0]).await;
    for mesh in [HOME, "lab"] {
        let (first, rest) = all.split_first_mut().unwrap();
        let thief = &mut rest[usize::from(mesh == "lab")];
        thief.is_moved(&fixture, mesh).await;
        thief.key = first.key;
        let refused = thief.sends(&fixture, &serde_json::to_string(&thief.report()).unwrap()).await;
        assert_eq!(refused.status, StatusCode::CONFLICT);
        let said = refused.json()["Messages"][0].as_str().unwrap().to_owned();
        assert!(said.starts_with("another machine has this WireGuard key"), "{said}");
        assert_eq!(get(&fixture, &thief.path()).await.json()["MeshKey"], "");
        first.polls(&fixture, 0).await;
        assert!(first.peers.is_empty());
    }
    // With a key of its own it is taken; a new one replaces it, and both are on record.
    let other = &mut all[1];
    for key in [[77; 32], [78; 32]] {
        other.key = PublicKey(key);
        other.says_hello(&fixture).await;
        assert_eq!(get(&fixture, &other.path()).await.json()["MeshKey"], other.key.to_string());
    }
    other.says_hello(&fixture).await;
    let rows = audited(&fixture, "mesh.key").await;
    let reasons: Vec<&str> = rows.iter().rev().map(|row| row["Reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.len(), 3, "{reasons:?}");
    assert_eq!(reasons[2], format!("another key: {}", other.key));
}

#[tokio::test]
async fn hostile_reports_are_refused_or_cleaned() {
    let (fixture, mut all) = members(2).await;
    let (mut second, mut first) = (all.pop().unwrap(), all.pop().unwrap());
    second.polls(&fixture, 0).await;
    first.polls(&fixture, 0).await;
    let good = second.report();
    let json = |report: &MeshReport| serde_json::to_value(report).unwrap();
    let many = MeshReport { peers: vec![tunnel(&first, None, 0); MAX_PEERS + 1], ..good.clone() };
    let addresses = MeshReport { addresses: vec![[198, 51, 100, 7].into(); 9], ..good.clone() };
    let mut keyless = json(&good);
    keyless["key"] = json!("AAAA");
    for body in [
        json(&many).to_string(),
        json(&addresses).to_string(),
        keyless.to_string(),
        "{}".into(),
        "[".repeat(90_000),
    ] {
        let refused = second.sends(&fixture, &body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{:.80}", body);
    }
    let endless = format!("{}{}", json(&good), " ".repeat(3 << 20));
    assert_eq!(second.sends(&fixture, &endless).await.status, StatusCode::PAYLOAD_TOO_LARGE);

    // Places that lead nowhere, into the mesh network itself, or to whoever sends there, are told to nobody.
    let nowhere =
        ["127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "ff02::1", "169.254.1.1", "fe80::1", "10.20.0.77"];
    let hostile = MeshReport {
        addresses: nowhere.map(|address| address.parse().unwrap()).to_vec(),
        peers: vec![protocol::mesh::PeerReport {
            endpoint: Some("127.0.0.1:22".parse().unwrap()),
            ..tunnel(&first, Some(1), 0)
        }],
        error: "no\u{1b}[31m module\u{202e}\nat all".to_owned(),
        ..good.clone()
    };
    second.sends(&fixture, &json(&hostile).to_string()).await;
    first.polls(&fixture, 0).await;
    let told: Vec<String> = first.peers[&second.id].endpoints.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["192.0.2.2:51820"]);
    second.polls(&fixture, 0).await;
    assert!(second.peers[&first.id].endpoints.iter().all(|place| !place.ip().is_loopback()));
    let error = peers_of(&fixture, &second).await.error;
    assert!(
        error.contains("module") && !error.contains(char::is_control) && !error.contains('\u{202e}'),
        "{error:?}"
    );
    // About whom it has nothing to do with, it tells nothing.
    let stranger = MeshReport {
        peers: vec![protocol::mesh::PeerReport { machine: MachineId(uuid()), ..tunnel(&first, Some(1), 0) }],
        ..good
    };
    second.reports(&fixture, &stranger).await;
    assert_eq!(peers_of(&fixture, &second).await.peers.len(), 1);
}

fn uuid() -> uuid::Uuid {
    uuid::Uuid::from_u128(0xdead)
}

#[tokio::test]
async fn machine_that_asks_too_often_or_too_many_times_at_once_is_told_to_wait() {
    let (fixture, mut all) = members(1).await;
    let member = &mut all[0];
    member.polls(&fixture, 0).await;
    let asked = join_all((0..6).map(|_| member.ask(&fixture, 1))).await;
    let refused = asked.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).count();
    assert_eq!(refused, 2, "four are held at once");
    let report = serde_json::to_string(&member.report()).unwrap();
    let mut last = StatusCode::OK;
    for _ in 0..200 {
        let answer = member.sends(&fixture, &report).await;
        last = answer.status;
        if last != StatusCode::OK {
            assert!(!answer.header("retry-after").is_empty());
            break;
        }
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn pair_goes_by_the_relay_when_both_tried_in_vain_and_back_at_the_first_handshake() {
    let (fixture, mut all) = members(3).await;
    let params = json!({"Params": {"muster/mesh-relay": true}}).to_string();
    let mut request = fixture.admin("PATCH", &all[2].path(), &params);
    request.headers_mut().insert("content-type", "application/json".parse().unwrap());
    assert_eq!(fixture.call(request).await.status, StatusCode::OK);
    for member in &mut all {
        member.polls(&fixture, 0).await;
    }
    let (first, second, relay) = (all[0].id, all[1].id, all[2].id);
    assert!(all[2].own.as_ref().unwrap().relay);
    let routes: Vec<String> = all[0].peers[&relay].routes.iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["10.20.0.0/16", "fd00:20::/64"], "the relay answers for the whole network");
    let report = |from: usize, to: usize, handshake, tried| MeshReport {
        peers: vec![tunnel(&all[to], handshake, tried)],
        ..all[from].report()
    };
    let (vain, too, met) = (report(0, 1, None, 20), report(1, 0, None, 20), report(1, 0, Some(1), 0));
    all[0].reports(&fixture, &vain).await;
    all[1].reports(&fixture, &too).await;
    all[0].polls(&fixture, LONG).await;
    all[1].polls(&fixture, LONG).await;
    assert_eq!((all[0].peers[&second].way, all[1].peers[&first].way), (Way::Relay, Way::Relay));
    let seen = peers_of(&fixture, &all[0]).await;
    let peer = seen.peers.iter().find(|peer| peer.machine == second).unwrap();
    assert_eq!((peer.way, peer.relay.as_str(), peer.up), (Way::Relay, all[2].name.as_str(), false));
    assert_eq!(seen.relay, all[2].name);

    all[1].reports(&fixture, &met).await;
    all[0].polls(&fixture, LONG).await;
    assert_eq!(all[0].peers[&second].way, Way::Direct);
    let seen = peers_of(&fixture, &all[1]).await;
    let peer = seen.peers.iter().find(|peer| peer.machine == first).unwrap();
    assert!(peer.up && peer.handshake_at.is_some());
    assert_eq!((peer.received, peer.sent, peer.relay.as_str()), (1_000, 2_000, ""));
    let map: MeshMap =
        serde_json::from_slice(&get(&fixture, "/api/v3/meshes/home/peers").await.body).unwrap();
    let edge = map.edges.iter().find(|edge| edge.up).unwrap();
    let ends = [edge.from, edge.to].map(|at| map.members[usize::try_from(at).unwrap()].machine);
    assert_eq!((map.relay, map.edges.len(), edge.way), (Some(relay), 3, Way::Direct));
    assert!(ends.contains(&first) && ends.contains(&second));
}

#[tokio::test]
async fn after_a_restart_members_are_told_everything_and_nothing_secret_was_kept() {
    let directory = tempfile::tempdir().unwrap();
    let server = server::start(options(directory.path())).await.unwrap();
    let password = std::fs::read_to_string(directory.path().join("data/admin-password")).unwrap();
    let fixture =
        Fixture { router: server.router(), server, directory, password: password.trim().to_owned() };
    make_mesh(&fixture, HOME, &["10.20.0.0/16"]).await;
    let token = bootstrap_token(&fixture).await;
    let mut all = join_all((1..=3).map(|seed| Member::register(&fixture, seed, &token))).await;
    join_all(all.iter().map(|member| joins(&fixture, member))).await;
    // A member that says more than it is asked: nobody keeps it.
    let private = STANDARD.encode([0xa7; 32]);
    let mut report = serde_json::to_value(all[0].report()).unwrap();
    report["private_key"] = json!(private);
    report["PrivateKey"] = json!(private);
    assert_eq!(all[0].sends(&fixture, &report.to_string()).await.status, StatusCode::OK);
    for member in &mut all {
        member.polls(&fixture, 0).await;
    }
    all[2].is_moved(&fixture, "").await;
    let answers = [
        get(&fixture, &all[0].path()).await,
        get(&fixture, &format!("{}/peers", all[0].path())).await,
        get(&fixture, "/api/v3/meshes/home/peers").await,
        get(&fixture, "/api/v3/audit?limit=500").await,
        all[1].ask(&fixture, 0).await,
    ];
    for answer in answers {
        assert!(!String::from_utf8_lossy(&answer.body).contains(&private));
    }

    let Fixture { router, server, directory, password } = fixture;
    drop(router);
    server.run(std::future::ready(())).await;
    for entry in walk(&directory.path().join("data")) {
        let bytes = std::fs::read(&entry).unwrap();
        let found = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(!found(private.as_bytes()) && !found(&[0xa7; 32]), "{}", entry.display());
    }
    assert!(!logged().contains(&private));
    let server = server::start(options(directory.path())).await.unwrap();
    let fixture = Fixture { router: server.router(), server, directory, password };
    let news = all[0].polls(&fixture, LONG).await;
    assert!(news.whole, "a cursor of another run is known to nobody");
    assert_eq!(news.peers.len(), 1);
    let peer = &all[0].peers[&all[1].id];
    assert_eq!(
        (peer.key, peer.endpoints.len()),
        (Some(all[1].key), 0),
        "its key is stored, its places come with its report"
    );
    all[1].says_hello(&fixture).await;
    all[0].polls(&fixture, LONG).await;
    assert_eq!(all[0].peers[&all[1].id].endpoints.len(), 2);
    assert_eq!(all[2].beat(&fixture, 0).await["mesh"], true, "it has not heard yet that it left");
}

/// Every file below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[tokio::test]
async fn token_that_names_no_mesh_network_is_not_made() {
    let fixture = start().await;
    let wish = json!({"Lifetime": 600, "MeshNetwork": "nowhere"}).to_string();
    let refused = fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", &wish)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    let said = refused.json()["Messages"][0].clone();
    assert_eq!(said, "mesh network nowhere does not exist; make it first, or leave it out");
    make_mesh(&fixture, "nowhere", &["10.20.0.0/24"]).await;
    let made = fixture.call(fixture.admin("POST", "/api/v3/bootstrap/tokens", &wish)).await;
    assert_eq!(made.status, StatusCode::CREATED);
}
