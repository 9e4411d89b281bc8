//! Machines that go on under another key, by the earlier one's word.

use super::*;
use protocol::ids::MachineId;
use protocol::proof;
use protocol::token::base64url;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// A key made of this number, and what the server calls it.
fn key(number: u8) -> (Ed25519KeyPair, KeyThumbprint) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
    let public = pair.public_key().as_ref().try_into().unwrap();
    let name = digest(&SHA256, proof::thumbprint_preimage(&public).as_bytes());
    let name = KeyThumbprint(name.as_ref().try_into().unwrap());
    (pair, name)
}

/// What `pair` says about its successor.
fn statement(pair: &Ed25519KeyPair, server_id: &str, machine: MachineId, successor: KeyThumbprint) -> String {
    let about = base64url(digest(&SHA256, successor.to_string().as_bytes()).as_ref());
    let claims = protocol::succession::claims(server_id, machine, about, "unique".into());
    let input = proof::signing_input(&pair.public_key().as_ref().try_into().unwrap(), &claims);
    proof::finish(&input, pair.sign(input.as_bytes()).as_ref())
}

/// A registered machine with a real key, and the same with the next one.
async fn machine(app: &TestApp) -> (Ed25519KeyPair, protocol::rest::Machine, Bare, Bare) {
    let (pair, name) = key(1);
    let old = Bare { key: name, ..Bare::number(1) };
    let shown = app.registered(&old).await;
    let new = Bare { key: key(2).1, ..old.clone() };
    (pair, shown, old, new)
}

#[tokio::test]
async fn old_key_works_until_the_new_one_is_used_and_never_after() {
    let app = TestApp::start().await;
    let (pair, shown, old, new) = machine(&app).await;
    let word = statement(&pair, app.keys.server_id(), shown.uuid, new.key);
    let request = RegisterRequest { statement: word, ..new.registration("") };
    app.heartbeat(&old.actor(&shown), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    for _ in 0..2 {
        let approved = app.register(&new.caller(), request.clone()).await.unwrap();
        assert_eq!(approved.machine.uuid, shown.uuid, "a lost answer is given again");
    }
    let stale = app.heartbeat(&old.actor(&shown), heartbeat(AgentState::Discovery), NO_WAIT).await;
    assert_eq!(refusal(stale), refused_as(RefusalKind::AccessDenied));
    app.heartbeat(&new.actor(&shown), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    assert_eq!(app.count(AuditKind::MachineRekeyed).await, 1);
    // The same word once more, from a third key that nobody vouched for.
    let thief = Bare { key: key(3).1, ..new.clone() };
    let refused = app.register(&thief.caller(), request).await;
    assert_eq!(refusal(refused), refused_as(RefusalKind::InvalidToken));
}

#[tokio::test]
async fn a_word_that_is_another_machines_or_another_servers_changes_nothing() {
    let app = TestApp::start().await;
    let (pair, shown, old, new) = machine(&app).await;
    let other = app.registered(&Bare::number(9)).await;
    let id = app.keys.server_id().to_owned();
    let words = [
        statement(&pair, "other", shown.uuid, new.key),
        statement(&pair, &id, other.uuid, new.key),
        statement(&pair, &id, shown.uuid, key(3).1),
        statement(&key(3).0, &id, shown.uuid, new.key),
        "a.b.c".to_owned(),
        "x".repeat(5_000),
    ];
    for word in words {
        let refused =
            app.register(&new.caller(), RegisterRequest { statement: word, ..new.registration("") }).await;
        assert_eq!(refusal(refused), refused_as(RefusalKind::InvalidToken));
    }
    app.heartbeat(&old.actor(&shown), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    assert_eq!(app.count(AuditKind::MachineRekeyed).await, 0);
}
