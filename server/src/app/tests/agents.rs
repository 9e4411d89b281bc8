//! Heartbeats, and the dots they turn.

use super::*;
use protocol::mesh::PublicKey;
use protocol::token::base64url;
use ring::digest::{SHA256, digest};

#[tokio::test]
async fn silent_machine_turns_red_after_sixty_seconds_and_green_at_once() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let key = registered.uuid.to_string();
    app.sweep().await.unwrap();
    let mut watcher = app.hub.subscribe();
    app.pass(59);
    assert!(app.machine(&admin(), &key).await.unwrap().own.online);
    app.pass(1);
    assert!(!app.machine(&admin(), &key).await.unwrap().own.online);
    app.sweep().await.unwrap();
    app.heartbeat(&machine.actor(&registered), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    app.heartbeat(&machine.actor(&registered), heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    let told = told(&mut watcher).await;
    let dots: Vec<_> =
        told.into_iter().map(|event| (event.key, event.object.get("Online").cloned())).collect();
    assert_eq!(dots, [(key.clone(), Some(false.into())), (key, Some(true.into()))]);
}

#[tokio::test]
async fn machine_that_says_goodbye_is_red_at_once() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    app.heartbeat(&machine.actor(&registered), heartbeat(AgentState::Stopping), 20 * SECOND).await.unwrap();
    let shown = app.machine(&admin(), &registered.uuid.to_string()).await.unwrap();
    assert_eq!((shown.own.online, shown.own.last_seen_at), (false, Some(START.to_string())));
}

#[tokio::test]
async fn what_registration_left_out_is_asked_for_with_a_heartbeat() {
    let app = TestApp::start().await;
    let mut machine = Bare::number(1);
    let function = PciDevice { address: "0000:00:1f.2".into(), ..PciDevice::default() };
    machine.inventory.pci = vec![function; 384];
    let whole = machine.inventory.clone();
    machine.inventory = whole.clone().fit(MAX_INVENTORY);
    assert!(machine.inventory.abridged, "the list is too long for a registration");
    let registered = app.registered(&machine).await;
    let actor = machine.actor(&registered);
    let mut request = heartbeat(AgentState::Discovery);
    request.inventory_digest = base64url(digest(&SHA256, &serde_json::to_vec(&whole).unwrap()).as_ref());
    assert!(app.heartbeat(&actor, request.clone(), NO_WAIT).await.unwrap().send_inventory);
    request.observed = Some(whole.clone());
    assert!(!app.heartbeat(&actor, request, NO_WAIT).await.unwrap().send_inventory);
    assert_eq!(app.machine(&admin(), &registered.uuid.to_string()).await.unwrap().own.inventory, whole);
}

#[tokio::test]
async fn inventory_is_asked_for_once_and_kept_under_the_agents_digest() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let actor = machine.actor(&registered);
    let same = base64url(digest(&SHA256, &serde_json::to_vec(&machine.inventory).unwrap()).as_ref());
    let mut request = heartbeat(AgentState::Discovery);
    request.inventory_digest = same;
    assert!(!app.heartbeat(&actor, request.clone(), NO_WAIT).await.unwrap().send_inventory);
    request.inventory_digest = "agent's own".into();
    // Held, it would answer only after 20 seconds: what it asks for cannot wait.
    assert!(app.heartbeat(&actor, request.clone(), 20 * SECOND).await.unwrap().send_inventory);
    let mut grown = machine.inventory.clone();
    grown.memory_bytes = 1 << 36;
    request.observed = Some(grown);
    assert!(!app.heartbeat(&actor, request.clone(), NO_WAIT).await.unwrap().send_inventory);
    request.observed = None;
    assert!(!app.heartbeat(&actor, request, NO_WAIT).await.unwrap().send_inventory);
    let shown = app.machine(&admin(), &registered.uuid.to_string()).await.unwrap();
    assert_eq!(shown.own.inventory.memory_bytes, 1 << 36);
}

#[tokio::test]
async fn machine_that_changes_all_the_time_is_stored_thrice_and_then_every_ten_seconds() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let actor = machine.actor(&registered);
    let revision = || async { app.store.machine(registered.uuid).await.unwrap().unwrap().revision };
    let mut revisions = std::collections::BTreeSet::from([revision().await]);
    let mut request = heartbeat(AgentState::Discovery);
    for number in 1..=50 {
        request.inventory_digest = number.to_string();
        request.observed = Some(Inventory { memory_bytes: number, ..machine.inventory.clone() });
        let answer = app.heartbeat(&actor, request.clone(), NO_WAIT).await.unwrap();
        assert!(!answer.send_inventory, "asked for at once, it would come at once");
        revisions.insert(revision().await);
    }
    assert_eq!(revisions.len(), 1 + 3);
    // What is stored already costs nothing, and what was put off is asked for next time.
    request.observed = None;
    assert!(app.heartbeat(&actor, request.clone(), NO_WAIT).await.unwrap().send_inventory);
    app.pass(10);
    request.observed = Some(Inventory { memory_bytes: 50, ..machine.inventory.clone() });
    for _ in 0..5 {
        assert!(!app.heartbeat(&actor, request.clone(), NO_WAIT).await.unwrap().send_inventory);
    }
    let shown = app.machine(&admin(), &registered.uuid.to_string()).await.unwrap();
    assert_eq!(shown.own.inventory.memory_bytes, 50);
}

#[tokio::test]
async fn held_heartbeat_answers_at_once_when_the_machine_is_deleted() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let actor = machine.actor(&registered);
    let held = app.heartbeat(&actor, heartbeat(AgentState::Discovery), 25 * SECOND);
    let operator = admin();
    let key = registered.uuid.to_string();
    let delete = async {
        tokio::task::yield_now().await;
        app.forget(&operator, &key).await.unwrap();
    };
    let both = async { tokio::join!(held, delete) };
    let (answer, ()) = tokio::time::timeout(10 * SECOND, both).await.expect("woken, not waited");
    assert_eq!(refusal(answer), refused_as(RefusalKind::AccessDenied));
}

#[tokio::test]
async fn heartbeats_reach_the_store_in_one_batch_and_no_revision() {
    let app = TestApp::start().await;
    let machines: Vec<_> = (1..=5).map(Bare::number).collect();
    let mut actors = Vec::new();
    for machine in &machines {
        actors.push(machine.actor(&app.registered(machine).await));
    }
    app.pass(20);
    for actor in &actors {
        app.heartbeat(actor, heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    }
    app.sweep().await.unwrap();
    let stored = app.store.last_seen().await.unwrap();
    assert_eq!(stored.len(), 5);
    assert!(stored.iter().all(|(_, seen)| *seen == Some(START.plus(20 * SECOND))), "{stored:?}");
    let before = app.store.machines().await.unwrap();
    app.pass(5);
    app.heartbeat(&actors[0], heartbeat(AgentState::Discovery), NO_WAIT).await.unwrap();
    app.sweep().await.unwrap();
    assert_eq!(app.store.machines().await.unwrap(), before);
}

/// A heartbeat of an agent that runs jobs, in the boot of this id.
fn beat(boot: &str, working: bool) -> HeartbeatRequest {
    HeartbeatRequest { boot_id: boot.into(), working, ..heartbeat(AgentState::Discovery) }
}

/// Changes the stored machine, as a use case does.
async fn change(
    app: &TestApp,
    registered: &protocol::rest::Machine,
    edit: impl Fn(&mut engine::machine::Machine),
) {
    loop {
        let mut machine = app.store.machine(registered.uuid).await.unwrap().unwrap();
        edit(&mut machine);
        let changes = Changes::new(app.now()).and(Change::UpdateMachine(Box::new(machine)));
        match app.commit(changes, Vec::new()).await {
            Ok(_) => return,
            // The heartbeat beside it stored its boot.
            Err(error) => assert!(error.is_stale(), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_held_heartbeat_hears_of_work_at_once_and_of_nothing_else() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let actor = machine.actor(&registered);
    let held = app.heartbeat(&actor, beat("boot-1", false), 25 * SECOND);
    let work = async {
        tokio::task::yield_now().await;
        change(&app, &registered, |machine| machine.description = "nobody's business".into()).await;
        change(&app, &registered, |machine| {
            machine.fields.tasks = vec!["task".into()];
            machine.fields.current_task = -1;
        })
        .await;
    };
    let both = async { tokio::join!(held, work) };
    let (answer, ()) = tokio::time::timeout(10 * SECOND, both).await.expect("woken, not waited");
    assert!(answer.unwrap().work);
    // An agent without a runner hears of it again, one that has one is not called from its work.
    let again = app.heartbeat(&actor, beat("boot-1", false), 25 * SECOND);
    assert!(tokio::time::timeout(10 * SECOND, again).await.expect("answered at once").unwrap().work);
    let busy = app.heartbeat(&actor, beat("boot-1", true), 25 * SECOND);
    assert!(tokio::time::timeout(SECOND / 2, busy).await.is_err(), "held while it works");
    let of_old = app.heartbeat(&actor, heartbeat(AgentState::Discovery), 25 * SECOND);
    assert!(tokio::time::timeout(SECOND / 2, of_old).await.is_err(), "it runs no jobs");
}

#[tokio::test]
async fn what_changed_between_two_heartbeats_is_told_at_once_and_once() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let actor = machine.actor(&registered);
    let held = |wait| app.heartbeat(&actor, beat("boot-1", false), wait);
    assert!(!held(NO_WAIT).await.unwrap().mesh);
    change(&app, &registered, |machine| machine.membership.key = Some(PublicKey([1; 32]))).await;
    let told = tokio::time::timeout(10 * SECOND, held(25 * SECOND)).await.expect("answered at once");
    assert!(told.unwrap().mesh);
    change(&app, &registered, |machine| machine.name = "another".parse().unwrap()).await;
    let told = tokio::time::timeout(10 * SECOND, held(25 * SECOND)).await.expect("answered at once");
    assert_eq!(told.unwrap().name, "another");
    assert!(tokio::time::timeout(SECOND / 2, held(25 * SECOND)).await.is_err(), "it was told of both");
}

#[tokio::test]
async fn a_new_boot_lets_go_on_what_waited_for_it() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let actor = machine.actor(&registered);
    app.heartbeat(&actor, beat("boot-1", false), NO_WAIT).await.unwrap();
    change(&app, &registered, |machine| {
        machine.fields.boot_env = "other".into();
        machine.fields.runnable = false;
        machine.paused = Some(engine::machine::Pause::BootEnv);
    })
    .await;
    let booted = app.store.machine(registered.uuid).await.unwrap().unwrap().booted_env().to_owned();
    let ticket = app.runner_ticket(&actor).await.unwrap();
    assert_eq!(ticket.boot_env, booted, "what it runs in, not what it is to boot");
    let still = app.heartbeat(&actor, beat("boot-1", false), NO_WAIT).await.unwrap();
    assert!(still.work, "to reboot is work");
    assert!(!app.machine(&admin(), &registered.uuid.to_string()).await.unwrap().fields.runnable);
    let after = app.heartbeat(&actor, beat("boot-2", false), NO_WAIT).await.unwrap();
    assert!(!after.work);
    let shown = app.machine(&admin(), &registered.uuid.to_string()).await.unwrap();
    assert!(shown.fields.runnable);
    assert_eq!(app.runner_ticket(&actor).await.unwrap().boot_env, "other");
}

#[tokio::test]
async fn a_boot_id_longer_than_any_is_refused() {
    let app = TestApp::start().await;
    let machine = Bare::number(1);
    let registered = app.registered(&machine).await;
    let long = app.heartbeat(&machine.actor(&registered), beat(&"b".repeat(37), false), NO_WAIT).await;
    assert_eq!(refusal(long), refused_as(RefusalKind::InvalidRequest));
}
