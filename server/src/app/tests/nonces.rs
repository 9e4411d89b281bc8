//! Machines that come back with the one-time nonce of their boot.

use super::*;
use crate::app::{Door, Requester};
use engine::patch::Patch;
use protocol::ids::MachineId;
use protocol::nonce::BootNonce;
use protocol::rest::DenyRequest;

const HOUR: u64 = 3_600;

impl Bare {
    /// With the address in its inventory that it calls from.
    fn at_home(number: u8) -> Self {
        let mut machine = Self::number(number);
        for link in &mut machine.inventory.links {
            link.addresses = vec![format!("{}/24", machine.source)];
        }
        machine
    }

    fn with_nonce(&self, nonce: &BootNonce) -> RegisterRequest {
        RegisterRequest { nonce: nonce.reveal(), ..self.registration("") }
    }
}

impl TestApp {
    /// A machine that registered by token and is on duty.
    async fn at_work(&self, machine: &Bare) -> MachineId {
        let token = self.token().await.token;
        let id = self.try_register(machine, &token).await.unwrap().machine.uuid;
        self.access_token(&machine.caller()).await.unwrap();
        id
    }

    /// The same, silent for a minute.
    async fn at_rest(&self, machine: &Bare) -> MachineId {
        let id = self.at_work(machine).await;
        self.pass(60);
        id
    }

    async fn asked(&self, id: MachineId, from: IpAddr) -> Option<BootNonce> {
        let machine = self.store.machine(id).await.unwrap().unwrap();
        self.boot_nonce(&machine, Requester { door: Door::Http, address: from, reached: None }).await.unwrap()
    }

    async fn come_back(&self, machine: &Bare, nonce: &BootNonce) -> Result<Approved, AppError> {
        self.register(&machine.caller(), machine.with_nonce(nonce)).await
    }

    async fn say_goodbye(&self, machine: &Bare, id: MachineId) {
        let shown = self.machine(&admin(), &id.to_string()).await.unwrap();
        self.heartbeat(&machine.actor(&shown), HeartbeatRequest::goodbye(), NO_WAIT).await.unwrap();
    }

    /// An operator gives the machine a workflow.
    async fn assign(&self, id: MachineId) {
        for (kind, object) in [
            (Kind::Tasks, json!({"Name": "burn-in"})),
            (Kind::Stages, json!({"Name": "burn-in", "Tasks": ["burn-in"]})),
            (Kind::Workflows, json!({"Name": "burn-in", "Stages": ["burn-in"]})),
        ] {
            self.create(&admin(), kind, &[], object).await.unwrap();
        }
        let patch = Patch::parse(json!([{"op": "replace", "path": "/Workflow", "value": "burn-in"}]));
        let id = id.to_string();
        self.patch(&admin(), Kind::Machines, &id, &[], None, &patch.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn machine_that_was_reset_comes_back_with_everything_it_had() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    let before = app.machine(&admin(), &id.to_string()).await.unwrap();
    app.assign(id).await;
    let nonce = app.asked(id, machine.source).await.unwrap();
    let back = app.come_back(&machine.reset(), &nonce).await.unwrap();
    assert_eq!((back.machine.uuid, &back.machine.name), (id, &before.name));
    app.access_token(&machine.reset().caller()).await.unwrap();
    let after = app.machine(&admin(), &id.to_string()).await.unwrap();
    assert_eq!((after.fields.workflow.as_str(), after.own.online), ("burn-in", true));
    assert_eq!(app.machines(&admin()).await.unwrap().len(), 1);
    assert_eq!(refusal(app.access_token(&machine.caller()).await), refused_as(RefusalKind::AccessDenied));
    for kind in [AuditKind::NonceIssued, AuditKind::MachineRekeyed] {
        assert_eq!(app.count(kind).await, 1, "{kind:?}");
    }
    // Its answer lost, it asks again.
    assert_eq!(app.come_back(&machine.reset(), &nonce).await.unwrap().machine.uuid, id);
}

#[tokio::test]
async fn machine_that_has_nothing_to_do_comes_back_too() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    app.pass(10 * HOUR);
    let nonce = app.asked(id, machine.source).await.unwrap();
    assert_eq!(app.come_back(&machine.reset(), &nonce).await.unwrap().machine.uuid, id);
}

#[tokio::test]
async fn nonce_of_one_machine_is_nothing_to_another_and_used_by_it() {
    let app = TestApp::start().await;
    let (machine, other) = (Bare::at_home(1), Bare::at_home(2));
    let id = app.at_rest(&machine).await;
    let nonce = app.asked(id, machine.source).await.unwrap();
    let refused = app.come_back(&other, &nonce).await.unwrap_err();
    assert_eq!(refused.kind, refused_as(RefusalKind::ConstraintFailed));
    assert!(refused.message.contains("other hardware"), "{refused}");
    // Presented once: nobody tries one hardware after the other with it.
    let late = app.come_back(&machine.reset(), &nonce).await;
    assert_eq!(refusal(late), refused_as(RefusalKind::InvalidToken));
    assert_eq!(app.count(AuditKind::NonceRefused).await, 1);
    assert_eq!(app.machines(&admin()).await.unwrap().len(), 1);
    // The code is left, with the machine it looks like.
    let pending = app.wait_with_code(&machine.reset()).await;
    assert_eq!(app.look_up(&pending).await.matches.first().unwrap().uuid, id);
}

#[tokio::test]
async fn nonce_is_used_once() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    let (nonce, second) =
        (app.asked(id, machine.source).await.unwrap(), app.asked(id, machine.source).await.unwrap());
    app.come_back(&machine.reset(), &nonce).await.unwrap();
    app.pass(60);
    for used in [nonce, second] {
        let again = app.come_back(&machine.reset().reset(), &used).await;
        assert_eq!(refusal(again), refused_as(RefusalKind::InvalidToken));
    }
}

#[tokio::test]
async fn of_two_registrations_with_one_nonce_at_once_one_wins() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    let nonce = app.asked(id, machine.source).await.unwrap();
    let (one, other) = (machine.reset(), machine.reset().reset());
    let (first, second) = tokio::join!(app.come_back(&one, &nonce), app.come_back(&other, &nonce));
    let (winners, losers): (Vec<_>, Vec<_>) = [first, second].into_iter().partition(Result::is_ok);
    assert_eq!((winners.len(), losers.len()), (1, 1));
    for loser in losers {
        assert_eq!(refusal(loser), refused_as(RefusalKind::InvalidToken));
    }
    assert_eq!(app.count(AuditKind::MachineRekeyed).await, 1);
}

#[tokio::test]
async fn nonce_ends_after_an_hour() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    let (early, late) =
        (app.asked(id, machine.source).await.unwrap(), app.asked(id, machine.source).await.unwrap());
    app.pass(HOUR - 1);
    app.clean_up().await.unwrap();
    app.pass(1);
    assert_eq!(refusal(app.come_back(&machine.reset(), &late).await), refused_as(RefusalKind::InvalidToken));
    let app = app.killed_and_started().await;
    app.pass(1);
    app.clean_up().await.unwrap();
    assert_eq!(refusal(app.come_back(&machine.reset(), &early).await), refused_as(RefusalKind::InvalidToken));
}

#[tokio::test]
async fn machine_that_was_reset_without_a_goodbye_comes_back_after_a_minute() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_work(&machine).await;
    app.pass(12);
    let nonce = app.asked(id, machine.source).await.unwrap();
    app.pass(8);
    let reset = machine.reset();
    assert_eq!(refusal(app.come_back(&reset, &nonce).await), refused_as(RefusalKind::SlowDown));
    app.pass(40);
    assert_eq!(app.come_back(&reset, &nonce).await.unwrap().machine.uuid, id);
}

#[tokio::test]
async fn machine_that_is_online_loses_nothing_by_a_nonce_in_wrong_hands() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_work(&machine).await;
    let nonce = app.asked(id, machine.source).await.unwrap();
    let thief = machine.reset();
    assert_eq!(refusal(app.come_back(&thief, &nonce).await), refused_as(RefusalKind::SlowDown));
    app.pass(20);
    app.access_token(&machine.caller()).await.unwrap();
    let refused = app.come_back(&thief, &nonce).await.unwrap_err();
    assert_eq!(refused.kind, refused_as(RefusalKind::ConstraintFailed));
    assert!(refused.message.contains("is online"), "{refused}");
    // It was presented, and is nothing any more.
    app.pass(60);
    assert_eq!(refusal(app.come_back(&thief, &nonce).await), refused_as(RefusalKind::InvalidToken));
}

#[tokio::test]
async fn whoever_asks_from_elsewhere_gets_none() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    for other in ["10.20.4.2", "10.20.5.1", "fd00::1"] {
        assert_eq!(app.asked(id, other.parse().unwrap()).await, None, "{other}");
    }
    assert!(app.asked(id, "127.0.0.1".parse().unwrap()).await.is_some());
    assert_eq!(app.count(AuditKind::NonceIssued).await, 1);
}

#[tokio::test]
async fn assigned_machine_gets_one_within_an_hour_of_a_reason_to_boot() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    app.assign(id).await;
    app.pass(HOUR - 1);
    assert!(app.asked(id, machine.source).await.is_some());
    app.pass(1);
    assert_eq!(app.asked(id, machine.source).await, None);
    app.access_token(&machine.caller()).await.unwrap();
    app.say_goodbye(&machine, id).await;
    let nonce = app.asked(id, machine.source).await.unwrap();
    assert_eq!(app.come_back(&machine.reset(), &nonce).await.unwrap().machine.uuid, id);
    app.pass(60);
    assert_eq!(app.asked(id, machine.source).await, None, "the boot has come");
}

#[tokio::test]
async fn goodbye_is_known_to_other_servers_and_after_a_restart() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_work(&machine).await;
    app.assign(id).await;
    app.pass(2 * HOUR);
    app.access_token(&machine.caller()).await.unwrap();
    app.say_goodbye(&machine, id).await;
    app.sweep().await.unwrap();
    let other = TestApp::open(&app.directory, &app.clock).await;
    let stored = other.store.machine(id).await.unwrap().unwrap();
    let from = Requester { door: Door::Http, address: machine.source, reached: None };
    assert!(other.boot_nonce(&stored, from).await.unwrap().is_some());
    drop(other);
    let app = app.killed_and_started().await;
    assert!(app.asked(id, machine.source).await.is_some());
}

#[tokio::test]
async fn machine_that_kept_its_key_needs_no_nonce_and_ends_those_of_its_boot() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    let nonces = [app.asked(id, machine.source).await.unwrap(), app.asked(id, machine.source).await.unwrap()];
    assert_eq!(app.come_back(&machine, &nonces[0]).await.unwrap().machine.uuid, id);
    assert_eq!(app.count(AuditKind::MachineRekeyed).await, 0);
    let shown = app.machine(&admin(), &id.to_string()).await.unwrap();
    let beat = HeartbeatRequest { boot_id: "boot-2".into(), ..heartbeat(AgentState::Discovery) };
    app.heartbeat(&machine.actor(&shown), beat, NO_WAIT).await.unwrap();
    app.pass(60);
    for nonce in nonces {
        let thief = app.come_back(&machine.reset(), &nonce).await;
        assert_eq!(refusal(thief), refused_as(RefusalKind::InvalidToken));
    }
}

#[tokio::test]
async fn machine_has_sixteen_nonces_at_most() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    for _ in 0..16 {
        assert!(app.asked(id, machine.source).await.is_some());
    }
    assert_eq!(app.asked(id, machine.source).await, None);
    app.pass(HOUR);
    assert!(app.asked(id, machine.source).await.is_some());
}

#[tokio::test]
async fn denied_key_does_not_come_back_and_a_deleted_machine_neither() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    let (nonce, other) =
        (app.asked(id, machine.source).await.unwrap(), app.asked(id, machine.source).await.unwrap());
    let pending = app.wait_with_code(&machine.reset()).await;
    app.deny(&admin(), pending.id, DenyRequest::default()).await.unwrap();
    let denied = app.come_back(&machine.reset(), &nonce).await;
    assert_eq!(refusal(denied), refused_as(RefusalKind::AccessDenied));
    app.forget(&admin(), &id.to_string()).await.unwrap();
    let gone = app.come_back(&machine.reset().reset(), &other).await;
    assert_eq!(refusal(gone), refused_as(RefusalKind::InvalidToken));
}

#[tokio::test]
async fn machine_that_comes_back_waits_no_longer_with_its_code() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    let pending = app.wait_with_code(&machine.reset()).await;
    let nonce = app.asked(id, machine.source).await.unwrap();
    app.come_back(&machine.reset(), &nonce).await.unwrap();
    let code = pending.code.unwrap().to_string();
    assert_eq!(refusal(app.lookup(&admin(), &code).await), AppErrorKind::CodeNotFound);
    assert_eq!(app.liveness.waiting(), 0);
}

#[tokio::test]
async fn damaged_nonces_are_refused_like_unknown_ones() {
    let app = TestApp::start().await;
    let machine = Bare::at_home(1);
    let unknown = BootNonce::from_random([7; 16]).reveal();
    let mut told = std::collections::BTreeSet::new();
    for nonce in [unknown.as_str(), "x", &unknown[..21], "ABAgMEBQYHCAkKCwwNDg8B"] {
        let request = RegisterRequest { nonce: nonce.to_owned(), ..machine.registration("") };
        let refused = app.register(&machine.caller(), request).await.unwrap_err();
        assert_eq!(refused.kind, refused_as(RefusalKind::InvalidToken), "{nonce}");
        told.insert(refused.message);
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(app.audit_kinds().await.is_empty(), "anybody can make those up");
}

#[tokio::test]
async fn nonce_itself_is_stored_nowhere() {
    let app = TestApp::start().await;
    let mut watcher = app.hub.subscribe();
    let machine = Bare::at_home(1);
    let id = app.at_rest(&machine).await;
    let (used, left) =
        (app.asked(id, machine.source).await.unwrap(), app.asked(id, machine.source).await.unwrap());
    app.come_back(&Bare::at_home(2), &used).await.unwrap_err();
    let events = told(&mut watcher).await;
    assert!(!events.is_empty());
    let rows = app.store.audit(0, 10_000).await.unwrap();
    let mut kept = vec![format!("{events:?}").into_bytes(), format!("{rows:?}").into_bytes()];
    for entry in std::fs::read_dir(app.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            kept.push(std::fs::read(path).unwrap());
        }
    }
    assert!(kept.iter().map(Vec::len).sum::<usize>() > 16 * 1_024, "the database was not looked at");
    for nonce in [used, left] {
        for secret in [nonce.reveal().as_bytes(), nonce.bytes().as_slice()] {
            assert!(kept.iter().all(|bytes| !bytes.windows(secret.len()).any(|part| part == secret)));
        }
    }
}
