//! The code exchange as operators and machines see it (`spec/security.md` 2.5).

use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;

use protocol::agent_api::{Approved, EnrollmentAnswer, Pending, Refusal, RefusalKind};
use protocol::rest::{ApproveRequest, EnrollmentState, ProvisionState};
use tests::machine::Machine;
use tests::operator::{Answer, approval};
use tests::output::muster_binary;

use crate::Site;

fn code(pending: &Pending) -> String {
    pending.code.unwrap().to_string()
}

fn refused(answer: &Answer, status: u16, kind: RefusalKind) {
    let refusal: Refusal = answer.expect(status).unwrap();
    assert_eq!(refusal.error, kind, "{}", refusal.message);
    assert!(!refusal.message.is_empty());
}

fn error(answer: &Answer, status: u16, kind: &str) {
    assert_eq!((answer.status, answer.error_kind().unwrap().as_str()), (status, kind), "{}", answer.text());
}

/// A code that no live machine can have: two letters away from `code`.
fn another(code: &str) -> String {
    let swapped = |letter: char| if letter == 'K' { 'B' } else { 'K' };
    code.chars().enumerate().map(|(index, c)| if index < 2 { swapped(c) } else { c }).collect()
}

#[test]
fn a_machine_is_approved_by_its_code_and_appears_in_discovery_mode() {
    let mut site = Site::start("codes-approve");
    let mut machine = site.machine();
    let answer = machine.try_enroll().unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let EnrollmentAnswer::AuthorizationPending(pending) = answer.json().unwrap() else { panic!("approved") };
    assert!((590..=600).contains(&pending.code_expires_in) && pending.interval == 5, "{pending:?}");

    let preview = site.operator.lookup(&code(&pending).to_lowercase()).unwrap();
    assert_eq!(preview.id, pending.id);
    assert_eq!(preview.state, EnrollmentState::Pending);
    assert_eq!(preview.fingerprint, machine.fingerprint().unwrap());
    assert_eq!(preview.key, machine.thumbprint().unwrap());
    assert_eq!(preview.serial, machine.inventory.serial);
    assert_eq!(preview.source_ip, "127.1.0.1");
    assert!(preview.warnings.is_empty(), "{:?}", preview.warnings);

    let mut request = approval(&code(&pending), &preview);
    request.name = Some("db-07.example".to_owned());
    let approved: protocol::rest::Machine =
        site.operator.try_approve(preview.id, &request).unwrap().expect(200).unwrap();
    assert_eq!(approved.name, "db-07.example");
    assert!(!approved.own.online);

    let welcome = machine.collect(pending.id).unwrap();
    assert_eq!(welcome.machine.uuid, approved.uuid);
    machine.heartbeat().unwrap();
    let shown = site.operator.machine(&approved.uuid.to_string()).unwrap();
    assert!(shown.own.online && shown.own.last_seen_at.is_some());
    assert_eq!(shown.own.provision_state, ProvisionState::Discovery);
    assert_eq!(shown.fields.hardware_addrs, [machine.inventory.links[0].mac.to_string()]);
    assert_eq!(site.operator.machine("Name:db-07.example").unwrap().uuid, approved.uuid);

    let deleted = site.operator.delete(&format!("/api/v3/machines/{}", approved.uuid)).unwrap();
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    assert!(site.operator.machines().unwrap().is_empty());
    assert!(matches!(machine.try_heartbeat().unwrap().status, 401 | 403));
}

/// Runs `muster bootstrap` as its operator, where nobody can be asked: whether it went well, and all it wrote.
fn bootstrap(site: &Site, args: &[&str]) -> (bool, String) {
    let output = Command::new(muster_binary().unwrap())
        .arg("bootstrap")
        .args(args)
        .envs(site.server.as_admin().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let wrote = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(wrote).unwrap())
}

#[test]
fn a_command_approves_and_denies_machines_of_the_list_without_their_codes() {
    let mut site = Site::start("codes-listed");
    let (mut first, mut second) = (site.machine(), site.machine());
    let (first_id, second_id) = (first.enroll().unwrap().id, second.enroll().unwrap().id);
    let (listed, told) = bootstrap(&site, &["list"]);
    assert!(
        listed && told.contains(&first_id.to_string()) && told.contains(&second_id.to_string()),
        "{told}"
    );

    let request = first_id.to_string();
    let approve = ["approve", "--request", request.as_str(), "--yes"];
    let (approved, told) = bootstrap(&site, &approve);
    assert!(!approved && told.contains("pass it as --fingerprint"), "{told}");
    let check = second.fingerprint().unwrap().to_string();
    let (approved, told) = bootstrap(&site, &[&approve[..], &["--fingerprint", &check]].concat());
    assert!(!approved && told.contains("it is another machine"), "{told}");
    let check = first.fingerprint().unwrap().to_string();
    let (approved, told) = bootstrap(&site, &[&approve[..], &["--fingerprint", &check]].concat());
    assert!(approved, "{told}");
    let welcome = first.collect(first_id).unwrap();
    assert_eq!(site.operator.machines().unwrap()[0].uuid, welcome.machine.uuid);

    let (denied, told) = bootstrap(&site, &["deny", "--request", &second_id.to_string()]);
    assert!(denied && told.contains(&format!("denied {second_id}")), "{told}");
    assert!(site.operator.enrollments().unwrap().is_empty());
}

#[test]
fn an_approval_is_repeated_until_it_is_acknowledged() {
    let mut site = Site::start("codes-repeat");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let approved = site.operator.approve(&code(&pending)).unwrap();
    let collect = |machine: &mut Machine| -> Approved {
        let answer = machine.try_poll(pending.id, Duration::from_secs(1)).unwrap();
        match answer.expect(200).unwrap() {
            EnrollmentAnswer::Approved(approved) => approved,
            EnrollmentAnswer::AuthorizationPending(_) => panic!("still pending"),
        }
    };
    let first = collect(&mut machine);
    let second = collect(&mut machine);
    assert_eq!((first.machine.uuid, second.machine.uuid), (approved.uuid, approved.uuid));
    machine.acknowledge(&second).unwrap();
    // The same key asking anew is the same machine: no second code, no second object.
    let again = machine.try_enroll().unwrap();
    assert!(
        matches!(again.json().unwrap(), EnrollmentAnswer::Approved(known) if known.machine == first.machine)
    );
    assert_eq!(site.operator.machines().unwrap().len(), 1);
}

#[test]
fn a_machine_that_asks_twice_keeps_its_code() {
    let mut site = Site::start("codes-twice");
    let mut machine = site.machine();
    let first = machine.try_enroll().unwrap();
    let second = machine.try_enroll().unwrap();
    assert_eq!((first.status, second.status), (201, 200));
    let read = |answer: &Answer| match answer.json().unwrap() {
        EnrollmentAnswer::AuthorizationPending(pending) => (pending.id, code(&pending)),
        EnrollmentAnswer::Approved(_) => panic!("approved"),
    };
    assert_eq!(read(&first), read(&second));
    assert_eq!(site.operator.enrollments().unwrap().len(), 1);
}

#[test]
fn wrong_and_used_codes_are_answered_alike_and_malformed_ones_by_a_sentence() {
    let mut site = Site::start("codes-wrong");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let code = code(&pending);

    for text in ["", "K7P", "K7P-3XO", "K7P-3XB-K7P-3XB-K7P", "<script>"] {
        error(&site.operator.try_lookup(text).unwrap(), 400, "malformed_code");
    }
    let unknown = site.operator.try_lookup(&another(&code)).unwrap();
    error(&unknown, 404, "code_not_found");
    site.operator.approve(&code).unwrap();
    let used = site.operator.try_lookup(&code).unwrap();
    error(&used, 404, "code_not_found");
    let said = |answer: &Answer, code: &str| answer.text().replace(code, "CODE");
    assert_eq!(
        said(&used, &code),
        said(&unknown, &another(&code)),
        "unknown and used codes must look the same"
    );
}

#[test]
fn a_code_is_single_use() {
    let mut site = Site::start("codes-once");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let preview = site.operator.lookup(&code(&pending)).unwrap();
    let request = approval(&code(&pending), &preview);
    assert_eq!(site.operator.try_approve(pending.id, &request).unwrap().status, 200);
    error(&site.operator.try_approve(pending.id, &request).unwrap(), 409, "already_decided");
    error(&site.operator.try_deny(pending.id, "late").unwrap(), 409, "already_decided");
    assert_eq!(site.operator.machines().unwrap().len(), 1);
}

#[test]
fn what_was_seen_is_what_is_approved() {
    let mut site = Site::start("codes-seen");
    let (mut one, mut other) = (site.machine(), site.machine());
    let (pending, foreign) = (one.enroll().unwrap(), other.enroll().unwrap());
    let preview = site.operator.lookup(&code(&pending)).unwrap();
    let approve = |change: &dyn Fn(&mut ApproveRequest)| {
        let mut request = approval(&code(&pending), &preview);
        change(&mut request);
        site.operator.try_approve(pending.id, &request).unwrap()
    };
    let fingerprint = other.fingerprint().unwrap().to_string();
    error(&approve(&|request| request.fingerprint.clone_from(&fingerprint)), 409, "fingerprint_mismatch");
    let refused = approve(&|request| request.code = Some(code(&foreign)));
    assert!(matches!(refused.status, 404 | 409), "another machine's code: {}", refused.text());
    assert_eq!(approve(&|request| request.name = Some("bad/name".to_owned())).status, 422);
    assert!(site.operator.machines().unwrap().is_empty());
    assert_eq!(approve(&|_| {}).status, 200);
}

#[test]
fn of_two_operators_at_once_exactly_one_wins() {
    let mut site = Site::start("codes-race");
    let operators = [site.server.operator().unwrap(), site.server.operator().unwrap()];
    for _ in 0..10 {
        let mut machine = site.machine();
        let pending = machine.enroll().unwrap();
        let preview = site.operator.lookup(&code(&pending)).unwrap();
        let request = approval(&code(&pending), &preview);
        let start = Barrier::new(operators.len());
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let threads: Vec<_> = operators
                .iter()
                .map(|operator| {
                    scope.spawn(|| {
                        start.wait();
                        operator.try_approve(pending.id, &request).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
        let loser = answers.iter().find(|answer| answer.status == 409).unwrap();
        error(loser, 409, "already_decided");
        machine.collect(pending.id).unwrap();
    }
    assert_eq!(site.operator.machines().unwrap().len(), 10);
}

#[test]
fn a_denied_machine_is_told_and_its_key_must_wait() {
    let mut site = Site::start("codes-deny");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    assert_eq!(site.operator.try_deny(pending.id, "not ours").unwrap().status, 200);
    refused(&machine.try_poll(pending.id, Duration::ZERO).unwrap(), 403, RefusalKind::AccessDenied);
    let again = machine.try_enroll().unwrap();
    refused(&again, 403, RefusalKind::AccessDenied);
    assert!(matches!(again.retry_after, Some(1..=600)), "{:?}", again.retry_after);
    // A fresh key with the same hardware may ask: hardware addresses can be forged.
    let mut fresh = Machine::calling_from(&site.target, 1, crate::source(1)).unwrap();
    let pending = fresh.enroll().unwrap();
    let preview = site.operator.lookup(&code(&pending)).unwrap();
    assert!(preview.warnings.iter().any(|warning| warning.kind == "denied_before"), "{:?}", preview.warnings);
}

#[test]
fn a_request_taken_back_cannot_be_approved() {
    let mut site = Site::start("codes-cancel");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let preview = site.operator.lookup(&code(&pending)).unwrap();
    let cancelled = machine.try_cancel(pending.id).unwrap();
    assert_eq!(cancelled.status, 200, "{}", cancelled.text());
    let answer = site.operator.try_approve(pending.id, &approval(&code(&pending), &preview)).unwrap();
    error(&answer, 409, "already_decided");
    error(&site.operator.try_lookup(&code(&pending)).unwrap(), 404, "code_not_found");
}

#[test]
fn an_approval_reaches_a_held_poll_at_once() {
    let mut site = Site::start("codes-wake");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let (operator, code) = (&site.operator, code(&pending));
    let waited = std::thread::scope(|scope| {
        let poll = scope.spawn(move || {
            let answer = machine.try_poll(pending.id, Duration::from_secs(25)).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            std::time::Instant::now()
        });
        // The poll is held by now, or it finds the approval when it arrives: 200 in both cases.
        std::thread::sleep(Duration::from_millis(500));
        operator.approve(&code).unwrap();
        let approved = std::time::Instant::now();
        poll.join().unwrap().saturating_duration_since(approved)
    });
    assert!(waited < Duration::from_secs(10), "the machine heard of its approval after {waited:?}");
}

#[test]
fn a_machine_with_a_new_key_is_merged_with_the_one_it_was() {
    let mut site = Site::start("codes-merge");
    let mut machine = site.machine();
    let pending = machine.enroll().unwrap();
    let first = site.operator.approve(&code(&pending)).unwrap();
    machine.collect(pending.id).unwrap();
    machine.heartbeat().unwrap();

    // Rebooted without its key, while the server still thinks it is online.
    let mut rebooted = Machine::calling_from(&site.target, 1, crate::source(1)).unwrap();
    let pending = rebooted.enroll().unwrap();
    let preview = site.operator.lookup(&code(&pending)).unwrap();
    assert!(
        preview.warnings.iter().any(|warning| warning.kind == "machine_online"),
        "{:?}",
        preview.warnings
    );
    let known = preview.matches.first().unwrap();
    assert!(known.uuid == first.uuid && known.score >= 100 && known.online, "{known:?}");
    let mut request = approval(&code(&pending), &preview);
    request.merge = Some(first.uuid);
    let answer = site.operator.try_approve(pending.id, &request).unwrap();
    assert_eq!(answer.status, 409, "a machine that is online cannot be merged into: {}", answer.text());
    // Without a look at the console, a warning is not passed over.
    let mut unconfirmed = approval(&code(&pending), &preview);
    unconfirmed.fingerprint_confirmed = false;
    assert!(matches!(site.operator.try_approve(pending.id, &unconfirmed).unwrap().status, 409 | 422));
    assert_eq!(site.operator.machines().unwrap().len(), 1);
}
