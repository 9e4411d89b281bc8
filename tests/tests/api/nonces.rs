//! Known machines that netboot after they lost their key: what they boot carries a one-time nonce, by
//! which they keep their identity, and nobody else gets it (`spec/security.md` 5, "Re-registration").

use std::time::Duration;

use protocol::agent_api::{Approved, HEARTBEAT_PATH, HeartbeatRequest, RefusalKind};
use protocol::cmdline::KernelArgs;
use protocol::ids::MachineId;
use protocol::inventory::Inventory;
use serde_json::json;
use tests::machine::Machine;

use crate::clock::Ahead;
use crate::secrets::no_file_holds;
use crate::source;
use crate::tokens::refusal;

/// A server that has an image to boot machines with, as far as anybody looks at it here.
pub(crate) fn start(name: &str) -> Ahead {
    let mut ahead = Ahead::start(name);
    let folder = ahead.site.server.data_dir().join("boot/muster");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["vmlinuz", "initrd"] {
        std::fs::write(folder.join(file), file).unwrap();
    }
    ahead.site.server.stop().unwrap();
    ahead.site.server.start_again().unwrap();
    ahead.site.operator = ahead.site.server.operator().unwrap();
    ahead
}

/// Hardware `number` with a key that was made just now.
fn boot(ahead: &Ahead, number: u32) -> Machine {
    Machine::calling_from(&ahead.site.target, number, source(number)).unwrap()
}

/// Registers by a fresh token and goes on duty.
fn on_duty(ahead: &Ahead, machine: &mut Machine) -> Approved {
    let token = ahead.site.operator.create_token(600).unwrap().token;
    let approved: Approved = machine.try_register(&token).unwrap().expect(201).unwrap();
    machine.acknowledge(&approved).unwrap();
    machine.heartbeat().unwrap();
    approved
}

/// What the firmware of a machine is told to boot. It calls from the loopback, where every machine of
/// these tests is at home.
fn menu(ahead: &Ahead, hardware: &Inventory) -> String {
    let mac = hardware.links[0].mac;
    let url = format!("{}/{mac}.ipxe", ahead.site.server.boot_url().unwrap());
    reqwest::blocking::get(url).unwrap().error_for_status().unwrap().text().unwrap()
}

/// The nonce in a menu.
fn nonce(menu: &str) -> Option<String> {
    let args = KernelArgs::parse(menu.lines().find(|line| line.starts_with("kernel "))?);
    assert_eq!(args.token, None, "a known machine never gets a token");
    args.nonce.map(|nonce| nonce.reveal())
}

/// The nonce of a machine's boot.
pub(crate) fn given(ahead: &Ahead, hardware: &Inventory) -> String {
    nonce(&menu(ahead, hardware)).expect("its boot carries a nonce")
}

fn says_goodbye(machine: &mut Machine) {
    assert_eq!(
        machine.call(HEARTBEAT_PATH, &HeartbeatRequest::goodbye(), Duration::ZERO).unwrap().status,
        200
    );
}

fn patch(ahead: &Ahead, id: MachineId, patch: &serde_json::Value) {
    let path = format!("/api/v3/machines/{id}");
    let request = ahead.site.operator.request(reqwest::Method::PATCH, &path).json(patch);
    let answer = ahead.site.operator.send(request).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// An operator gives a machine a workflow.
fn assign(ahead: &Ahead, id: MachineId) {
    for (path, object) in [
        ("tasks", json!({"Name": "burn-in"})),
        ("stages", json!({"Name": "burn-in", "Tasks": ["burn-in"]})),
        ("workflows", json!({"Name": "burn-in", "Stages": ["burn-in"]})),
    ] {
        let answer = ahead.site.operator.post(&format!("/api/v3/{path}"), &object).unwrap();
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
    }
    patch(ahead, id, &json!([{"op": "replace", "path": "/Workflow", "value": "burn-in"}]));
}

#[test]
fn a_machine_that_netboots_without_its_key_keeps_id_name_and_workflow() {
    let ahead = start("nonces-return");
    let mut machine = boot(&ahead, 1);
    let first = on_duty(&ahead, &mut machine);
    let shown = |ahead: &Ahead| ahead.site.operator.machine(&first.machine.uuid.to_string()).unwrap();
    assert_eq!(shown(&ahead).fields.boot_env, "muster", "our image booted it");
    assign(&ahead, first.machine.uuid);
    patch(&ahead, first.machine.uuid, &json!([{"op": "replace", "path": "/Name", "value": "db-07"}]));
    says_goodbye(&mut machine);
    for boots in 1..=3 {
        let mut again = boot(&ahead, 1);
        let nonce = given(&ahead, &again.inventory);
        let back: Approved = again.try_come_back(&nonce).unwrap().expect(201).unwrap();
        assert_eq!((back.machine.uuid, back.machine.name.as_str()), (first.machine.uuid, "db-07"), "{boots}");
        again.acknowledge(&back).unwrap();
        again.heartbeat().unwrap();
        says_goodbye(&mut again);
    }
    assert_eq!(shown(&ahead).fields.workflow, "burn-in");
    assert_eq!(ahead.site.operator.machines().unwrap().len(), 1);
    // The key before is nobody's.
    assert_eq!(refusal(&machine.try_renew().unwrap()), (403, RefusalKind::AccessDenied));
}

#[test]
fn a_nonce_is_for_one_machines_hardware_and_for_one_request() {
    let mut ahead = start("nonces-once");
    let mut machine = boot(&ahead, 1);
    on_duty(&ahead, &mut machine);
    ahead.advance(61);
    let stolen = given(&ahead, &machine.inventory);
    let mut thief = boot(&ahead, 2);
    assert_eq!(refusal(&thief.try_come_back(&stolen).unwrap()), (403, RefusalKind::ConstraintFailed));
    let late = boot(&ahead, 1).try_come_back(&stolen).unwrap();
    assert_eq!(refusal(&late), (401, RefusalKind::InvalidToken), "the thief has used it");
    let nonce = given(&ahead, &machine.inventory);
    let mut again = boot(&ahead, 1);
    let back: Approved = again.try_come_back(&nonce).unwrap().expect(201).unwrap();
    again.acknowledge(&back).unwrap();
    ahead.advance(61);
    assert_eq!(refusal(&boot(&ahead, 1).try_come_back(&nonce).unwrap()), (401, RefusalKind::InvalidToken));
    assert_eq!(ahead.site.operator.machines().unwrap().len(), 1);
}

#[test]
fn of_two_machines_with_one_nonce_at_once_one_comes_back() {
    let mut ahead = start("nonces-race");
    let mut machine = boot(&ahead, 1);
    on_duty(&ahead, &mut machine);
    ahead.advance(61);
    let nonce = given(&ahead, &machine.inventory);
    let racers = [boot(&ahead, 1), boot(&ahead, 1), boot(&ahead, 1), boot(&ahead, 1)];
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let nonce = &nonce;
        let races = racers.map(|mut racer| scope.spawn(move || racer.try_come_back(nonce).unwrap().status));
        races.into_iter().map(|race| race.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 201 | 401 | 403)), "{statuses:?}");
}

#[test]
fn a_nonce_ends_after_an_hour() {
    let mut ahead = start("nonces-hour");
    let mut machine = boot(&ahead, 1);
    let first = on_duty(&ahead, &mut machine);
    ahead.advance(61);
    let (early, late) = (given(&ahead, &machine.inventory), given(&ahead, &machine.inventory));
    ahead.advance(3_600);
    assert_eq!(refusal(&boot(&ahead, 1).try_come_back(&late).unwrap()), (401, RefusalKind::InvalidToken));
    ahead.advance(-100);
    // The server's clock never goes back behind what it has seen.
    assert_eq!(refusal(&boot(&ahead, 1).try_come_back(&early).unwrap()), (401, RefusalKind::InvalidToken));
    let fresh = given(&ahead, &machine.inventory);
    let back: Approved = boot(&ahead, 1).try_come_back(&fresh).unwrap().expect(201).unwrap();
    assert_eq!(back.machine.uuid, first.machine.uuid);
}

#[test]
fn a_machine_that_is_online_is_nobody_elses() {
    let mut ahead = start("nonces-online");
    let mut machine = boot(&ahead, 1);
    on_duty(&ahead, &mut machine);
    let nonce = given(&ahead, &machine.inventory);
    let mut twin = boot(&ahead, 1);
    // Was it reset? Whoever brings the nonce waits, and the machine speaks.
    assert_eq!(refusal(&twin.try_come_back(&nonce).unwrap()), (429, RefusalKind::SlowDown));
    ahead.advance(20);
    machine.heartbeat().unwrap();
    assert_eq!(refusal(&twin.try_come_back(&nonce).unwrap()), (403, RefusalKind::ConstraintFailed));
    machine.heartbeat().unwrap();
    // Its agent goes on to a code, which says whom it looks like.
    let pending = twin.enroll().unwrap();
    let preview = ahead.site.operator.lookup(&pending.code.unwrap().to_string()).unwrap();
    assert!(preview.matches[0].score >= 100 && preview.matches[0].online);
}

#[test]
fn a_machine_with_work_comes_back_within_an_hour_of_a_reason_to_boot() {
    let mut ahead = start("nonces-reason");
    let mut machine = boot(&ahead, 1);
    let id = on_duty(&ahead, &mut machine).machine.uuid;
    assign(&ahead, id);
    ahead.advance(61);
    assert!(nonce(&menu(&ahead, &machine.inventory)).is_some(), "an operator gave it something to do");
    ahead.advance(3_600);
    assert_eq!(nonce(&menu(&ahead, &machine.inventory)), None);
    machine.renew().unwrap();
    says_goodbye(&mut machine);
    assert!(nonce(&menu(&ahead, &machine.inventory)).is_some(), "it said that it restarts");
}

#[test]
fn no_nonce_is_found_in_logs_database_or_answers() {
    let mut ahead = start("nonces-secret");
    let mut machine = boot(&ahead, 1);
    let id = on_duty(&ahead, &mut machine).machine.uuid;
    ahead.advance(61);
    let (left, stolen, used) = (
        given(&ahead, &machine.inventory),
        given(&ahead, &machine.inventory),
        given(&ahead, &machine.inventory),
    );
    boot(&ahead, 2).try_come_back(&stolen).unwrap();
    boot(&ahead, 1).try_come_back("AAAAAAAAAAAAAAAAAAAAAA").unwrap();
    let looked_at = [format!("/api/v3/machines/{id}"), "/api/v3/machines".to_owned(), "/metrics".to_owned()];
    let told: Vec<String> =
        looked_at.iter().map(|path| ahead.site.operator.get(path).unwrap().text()).collect();
    let mut again = boot(&ahead, 1);
    assert_eq!(again.try_come_back(&used).unwrap().status, 201);
    ahead.site.server.stop().unwrap();
    let secrets = [("a nonce", left.as_str()), ("a refused nonce", &stolen), ("a used nonce", &used)];
    let logs = ahead.site.server.logs().unwrap();
    for (what, secret) in secrets {
        assert!(!logs.contains(secret), "{what} is in the server's log");
        assert!(told.iter().all(|text| !text.contains(secret)), "{what} is in an answer");
    }
    no_file_holds(ahead.site.server.data_dir(), &secrets, again.pkcs8());
}
