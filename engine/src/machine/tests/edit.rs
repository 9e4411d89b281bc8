//! What may be changed, and what follows.

use super::*;
use crate::change::{AuditKind, Change};
use crate::content::sample::{bootenv, builtin, stage, task, with, workflow};
use crate::problem::ProblemKind;
use crate::time::Timestamp;
use protocol::model::Kind;

#[test]
fn unchanged_object_changes_nothing() {
    let machine = machine();
    assert_eq!(patched(&machine, &builtin(), &json!({})).unwrap(), machine);
}

#[test]
fn p28_body_that_replaces_all_empties_what_users_write_and_leaves_the_way() {
    let content = with(&[task("t1", &[]), task("t2", &[])]);
    let body = json!({"Name": "alpha", "Tasks": ["t1", "t2"], "Params": {"a": 1}, "Address": "10.0.0.1",
        "Description": "x", "Secret": "s1", "Meta": {"BaseContext": "runner"}});
    let mut machine = made(&content, &body);
    machine.fields.current_task = 1;
    machine.fields.runnable = false;
    machine.paused = Some(Pause::Failed);
    let replaced = edit(&machine, &json!({"Name": "alpha", "Params": {"b": 2}}), &wish(&content)).unwrap();
    let fields = &replaced.fields;
    assert_eq!(serde_json::to_value(&fields.params).unwrap(), json!({"b": 2}));
    assert_eq!((fields.address.as_str(), replaced.description.as_str()), ("", ""));
    assert_eq!((fields.current_task, fields.runnable, fields.secret.as_str()), (1, false, "s1"));
    assert_eq!(
        (tasks(&replaced), &replaced.meta, replaced.paused),
        (vec!["t1", "t2"], &machine.meta, machine.paused)
    );
    assert_eq!(messages(edit(&machine, &json!({}), &wish(&content))).len(), 1, "a name is needed");
}

#[test]
fn p5_machine_is_renamed_at_any_time_and_keeps_its_id() {
    let machine = machine();
    let content = builtin();
    assert_eq!(
        patched(&machine, &content, &json!({"Name": "beta.example.org"})).unwrap().name.as_str(),
        "beta.example.org"
    );
    assert_eq!(messages(patched(&machine, &content, &json!({"Name": "a/b"}))).len(), 1);
    let other = json!({"Uuid": "6e8f4f5c-2e8a-4a4e-9d61-0a4e7c1d2b3a"});
    assert_eq!(messages(patched(&machine, &content, &other)), ["Uuid cannot be changed"]);
    let upper = json!({"Uuid": machine.id.to_string().to_uppercase()});
    assert_eq!(patched(&machine, &content, &upper).unwrap(), machine);
}

#[test]
fn p6_address_is_ipv4_or_nothing() {
    let machine = machine();
    let content = builtin();
    let at = patched(&machine, &content, &json!({"Address": "10.1.2.3"})).unwrap();
    assert_eq!(at.fields.address, "10.1.2.3");
    assert_eq!(patched(&at, &content, &json!({"Address": ""})).unwrap().fields.address, "");
    for wrong in ["10.1.2", "010.1.2.3", "fe80::1", "host"] {
        assert!(patched(&machine, &content, &json!({"Address": wrong})).is_err(), "{wrong}");
    }
}

#[test]
fn fields_of_the_server_keep_their_values() {
    let mut machine = machine();
    machine.fields.current_job = "6e8f4f5c-2e8a-4a4e-9d61-0a4e7c1d2b3a".into();
    machine.fields.job_state = "running".into();
    machine.errors = vec!["x".into()];
    let same = patched(
        &machine,
        &builtin(),
        &json!({"Available": true, "Errors": [], "ReadOnly": true, "Bundle": "x",
        "CreatedBy": "mallory", "LastModifiedAt": "2001-01-01T00:00:00Z", "CurrentJob": "", "JobState": "",
        "JobExitState": "failed", "JobResultErrors": ["y"], "PoolAllocated": true, "WorkflowComplete": false,
        "PendingWorkOrders": 9, "RetryTaskAttempt": 5, "Online": true}),
    );
    assert_eq!(same.unwrap(), machine);
}

#[test]
fn user_who_changes_it_is_named_and_a_machine_is_not() {
    let (machine, content) = (machine(), builtin());
    let later =
        Cause { principal: "user:eve".into(), ..Cause::system(Timestamp::from_seconds(1_900_000_000)) };
    let by = |cause: &Cause| {
        edit(&machine, &wanted(&machine, &json!({"Description": "x"})), &Wish { cause, ..wish(&content) })
            .unwrap()
    };
    let changed = by(&later);
    assert_eq!((changed.modified_by.as_str(), changed.modified_at), ("eve", Some(later.at)));
    let own = Cause { principal: "machine:x".into(), ..later.clone() };
    assert_eq!((by(&own).modified_by.as_str(), by(&own).modified_at), ("ops", Some(later.at)));
    assert_eq!(changed.created_by, "ops");
}

#[test]
fn g13_p13_locked_machine_is_changed_only_by_the_change_that_unlocks_it() {
    let content = builtin();
    let open = machine();
    let locked = patched(&open, &content, &json!({"Locked": true, "Description": "mine"})).unwrap();
    assert!(locked.fields.locked);
    let problem = patched(&locked, &content, &json!({"Address": "10.0.0.1"})).unwrap_err();
    assert_eq!(problem.kind, ProblemKind::Locked);
    let unlocked = patched(&locked, &content, &json!({"Address": "10.0.0.1", "Locked": false})).unwrap();
    assert_eq!((unlocked.fields.address.as_str(), unlocked.fields.locked), ("10.0.0.1", false));
    assert_eq!(delete(&locked, &wish(&content)).unwrap_err().kind, ProblemKind::Locked);
    assert_eq!(
        start(&locked, &wanted(&stopped(&locked), &json!({})), &wish(&content)).unwrap_err().kind,
        ProblemKind::Locked
    );
    let own = Wish { by_user: false, ..wish(&content) };
    assert!(
        edit(&locked, &wanted(&locked, &json!({"Address": "10.0.0.1"})), &own).is_ok(),
        "only users are held to it"
    );
    let rows = |old: &Machine, new: &Machine| {
        let changes = new.saved(Some(old), Revision(7), &cause());
        assert_eq!(changes.on_content, Some(Revision(7)));
        changes.audit_rows().map(|row| row.kind).collect::<Vec<_>>()
    };
    assert_eq!(rows(&locked, &unlocked), [AuditKind::MachineUnlocked]);
    assert_eq!(rows(&open, &locked), []);
    let made = open.saved(None, Revision(7), &cause());
    assert!(matches!(made.list.first(), Some(Change::InsertMachine(_))));
    assert_eq!(made.audit_rows().next().unwrap().kind, AuditKind::MachineCreated);
}

#[test]
fn p11_another_secret_is_taken_and_an_empty_one_is_made_new() {
    let content = builtin();
    let machine = made(&content, &json!({"Name": "alpha", "Secret": "given"}));
    assert_eq!(patched(&machine, &content, &json!({"Secret": "another"})).unwrap().fields.secret, "another");
    assert_eq!(
        patched(&machine, &content, &json!({"Secret": ""})).unwrap().fields.secret,
        "fresh-secret-0001"
    );
    assert!(patched(&machine, &content, &json!({"Secret": "x".repeat(1_025)})).is_err());
}

#[test]
fn p12_runnable_says_why_not() {
    let (machine, content) = (machine(), builtin());
    let off = json!({"Runnable": false});
    let by_user = patched(&machine, &content, &off).unwrap();
    assert_eq!((by_user.fields.runnable, by_user.paused), (false, Some(Pause::User)));
    let by_agent =
        edit(&machine, &wanted(&machine, &off), &Wish { by_user: false, ..wish(&content) }).unwrap();
    assert_eq!(by_agent.paused, Some(Pause::Agent));
    let mut waiting = by_user;
    waiting.marks.not_before = Some(Timestamp::from_seconds(2_000_000_000));
    let on = patched(&waiting, &content, &json!({"Runnable": true})).unwrap();
    assert_eq!((on.fields.runnable, on.paused, on.marks.not_before), (true, None, None));
}

#[test]
fn g14_params_satisfy_their_schemas_or_nothing_changes() {
    let content =
        with(&[(Kind::Params, json!({"Name": "text", "Schema": {"type": "string", "default": "x"}}))]);
    let machine = machine();
    let set = patched(&machine, &content, &json!({"Params": {"text": "a", "free": null, "n": 1.5}})).unwrap();
    assert_eq!(set.fields.params.get("free"), Some(&Value::Null));
    assert_eq!(messages(patched(&set, &content, &json!({"Params": {"text": ["a"]}}))).len(), 1);
    assert!(
        patched(&set, &content, &json!({"Params": {}})).unwrap().fields.params.is_empty(),
        "P28: replaced"
    );
}

#[test]
fn p9_profiles_are_known_and_named_once() {
    let content = with(&[(Kind::Profiles, json!({"Name": "p1"})), (Kind::Profiles, json!({"Name": "p2"}))]);
    let machine = machine();
    let both = patched(&machine, &content, &json!({"Profiles": ["p2", "p1"]})).unwrap();
    assert_eq!(both.fields.profiles, ["p2", "p1"]);
    assert_eq!(
        messages(patched(&machine, &content, &json!({"Profiles": ["p1", "p1"]}))),
        ["Profiles: p1 is there twice"]
    );
    assert_eq!(
        messages(patched(&machine, &content, &json!({"Profiles": ["p9"]}))),
        ["Profiles: profile p9 does not exist"]
    );
    let gone = content.remove(Kind::Profiles, "p1", true, &cause());
    assert!(gone.is_err());
    let gone = content.remove(Kind::Profiles, "p1", false, &cause()).unwrap().content;
    assert!(
        patched(&both, &gone, &json!({"Description": "x"})).is_ok(),
        "what went since stops no other change"
    );
    assert_eq!(errors(&both, &gone), ["profile p1 does not exist"]);
}

#[test]
fn g20_p10_system_is_set_by_a_move_into_an_installing_bootenv_only() {
    let content = with(&[
        (Kind::BootEnvs, json!({"Name": "march-install", "OS": {"Name": "march"}})),
        bootenv("other"),
    ]);
    let machine = machine();
    let installing = patched(&machine, &content, &json!({"BootEnv": "march-install"})).unwrap();
    assert_eq!(installing.fields.os, "march");
    assert_eq!((installing.fields.runnable, installing.paused), (false, Some(Pause::BootEnv)));
    let moved = patched(&installing, &content, &json!({"BootEnv": "other"})).unwrap();
    assert_eq!(moved.fields.os, "march");
    assert_eq!(patched(&moved, &content, &json!({"OS": "own"})).unwrap().fields.os, "own", "tasks report it");
}

#[test]
fn bootenv_that_cannot_be_booted_is_refused() {
    let (machine, content) = (machine(), builtin());
    assert_eq!(
        messages(patched(&machine, &content, &json!({"BootEnv": "ignore"}))),
        ["bootenv ignore is for unknown machines only"]
    );
    assert_eq!(
        messages(patched(&machine, &content, &json!({"BootEnv": "gone"}))),
        ["bootenv gone does not exist"]
    );
}

#[test]
fn pause_by_a_user_outlasts_another_bootenv() {
    let content = with(&[bootenv("env")]);
    let off = patched(&machine(), &content, &json!({"Runnable": false})).unwrap();
    assert_eq!(patched(&off, &content, &json!({"BootEnv": "env"})).unwrap().paused, Some(Pause::User));
}

#[test]
fn p14_stage_and_bootenv_are_read_only_under_a_workflow() {
    let content =
        with(&[bootenv("env"), stage("st", "", &[]), stage("other", "", &[]), workflow("wf", &["st"])]);
    let machine = made(&content, &json!({"Name": "alpha", "Workflow": "wf"}));
    assert_eq!(
        messages(patched(&machine, &content, &json!({"Stage": "other", "BootEnv": "env"}))),
        [
            "Stage is read-only under workflow wf; clear it first",
            "BootEnv is read-only under workflow wf; clear it first"
        ]
    );
    let cleared = patched(&machine, &content, &json!({"Workflow": "", "Stage": "other"})).unwrap();
    assert_eq!((cleared.fields.stage.as_str(), cleared.fields.workflow.as_str()), ("other", ""));
    let set = patched(&cleared, &content, &json!({"Workflow": "wf", "Stage": "none"}));
    assert_eq!(messages(set).len(), 1);
}

#[test]
fn p20_context_is_set_by_users() {
    let (machine, content) = (machine(), builtin());
    assert_eq!(patched(&machine, &content, &json!({"Context": "runner"})).unwrap().fields.context, "runner");
    assert!(patched(&machine, &content, &json!({"Context": "a/b"})).is_err());
}

#[test]
fn start_begins_the_same_workflow_again_and_lets_it_run() {
    let content = with(&[task("t1", &[]), stage("st", "", &["t1"]), workflow("wf", &["st"])]);
    let mut machine = made(&content, &json!({"Name": "alpha", "Workflow": "wf"}));
    machine.fields.current_task = 2;
    machine.fields.workflow_complete = true;
    machine.fields.runnable = false;
    machine.paused = Some(Pause::Failed);
    assert_eq!(
        patched(&machine, &content, &json!({"Workflow": "wf"})).unwrap(),
        machine,
        "the same value is no restart"
    );
    let before = stopped(&machine);
    assert_eq!((before.fields.workflow.as_str(), before.fields.runnable), ("", false));
    let begun = start(&machine, &wanted(&before, &json!({"Workflow": "wf"})), &wish(&content)).unwrap();
    assert_eq!((begun.fields.current_task, begun.fields.runnable, begun.paused), (-1, true, None));
    assert!(!begun.fields.workflow_complete);
    assert_eq!(tasks(&begun), ["stage:st", "t1"]);
}

#[test]
fn what_a_user_gives_a_machine_to_boot_or_to_do_lets_a_boot_be_expected() {
    let content = with(&[bootenv("env"), stage("st", "", &["t1"]), task("t1", &[]), workflow("wf", &["st"])]);
    let machine = made(&content, &json!({"Name": "alpha"}));
    assert_eq!(machine.boot_asked_at, None);
    for change in [json!({"Workflow": "wf"}), json!({"Stage": "st"}), json!({"BootEnv": "env"})] {
        let by = |by_user| {
            edit(&machine, &wanted(&machine, &change), &Wish { by_user, ..wish(&content) }).unwrap()
        };
        assert_eq!(by(true).boot_asked_at, Some(cause().at), "{change}");
        assert_eq!(by(false).boot_asked_at, None, "{change} by a task, whose runner says goodbye");
    }
    let told = patched(&machine, &content, &json!({"Description": "x", "Params": {"p": 1}})).unwrap();
    assert_eq!(told.boot_asked_at, None);
    // The same workflow once more is another installation.
    let begun = patched(&machine, &content, &json!({"Workflow": "wf"})).unwrap();
    let begun = Machine { boot_asked_at: None, ..begun };
    let again = wanted(&stopped(&begun), &json!({"Workflow": "wf", "Runnable": true}));
    assert_eq!(start(&begun, &again, &wish(&content)).unwrap().boot_asked_at, Some(cause().at));
}

#[test]
fn registered_machine_is_edited_like_any_other() {
    let inventory = Inventory { arch: "arm64".into(), ..Inventory::default() };
    let id = MachineId(Uuid::from_u128(5));
    let (name, key) = ("m-5".parse().unwrap(), KeyThumbprint([5; 32]));
    let machine = Machine::register(id, name, key, Origin::Iso, inventory, "token:j", cause().at);
    let machine = machine.begins(newborn(&builtin(), "s1", Origin::Iso));
    assert_eq!((machine.fields.arch.as_str(), machine.fields.secret.as_str()), ("arm64", "s1"));
    let changed = patched(&machine, &builtin(), &json!({"Description": "x"})).unwrap();
    assert_eq!((changed.key, changed.registered_by.as_str()), (Some(key), "token:j"));
}

#[test]
fn roles_are_given_and_taken_away_whoever_gave_them() {
    let role = |name: &str| (Kind::Profiles, json!({"Name": name, "Meta": {"muster-role": "true"}}));
    let content = with(&[role("web"), role("db"), (Kind::Profiles, json!({"Name": "plain"}))]);
    let mut machine = made(&content, &json!({"Name": "alpha", "Profiles": ["plain"], "Roles": ["web"]}));
    assert_eq!(machine.fields.profiles, ["plain", "web"]);
    machine.placement.roles = vec!["gone".to_owned(), "db".to_owned()];
    let profiles = |roles: Value| {
        let changed = patched(&machine, &content, &json!({"Roles": roles})).unwrap();
        (changed.fields.profiles, changed.placement.roles)
    };
    let lists = |profiles: &[&str], given: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        (owned(profiles), owned(given))
    };
    assert_eq!(profiles(json!(["web", "db", "gone"])), lists(&["plain", "web"], &["gone", "db"]));
    assert_eq!(profiles(json!(["db"])), lists(&["plain"], &["db"]));
    assert_eq!(profiles(json!([])), lists(&["plain"], &[]));
    // A body that does not speak of them leaves them as they are.
    let body = json!({"Name": "alpha", "Profiles": ["plain", "web"]});
    let kept = edit(&machine, &body, &wish(&content)).unwrap();
    assert_eq!((kept.fields.profiles, kept.placement.roles), profiles(json!(["web", "db", "gone"])));
    let refused = messages(patched(&machine, &content, &json!({"Roles": ["web", "web", "plain", "none"]})));
    let no = |name: &str| format!("Roles: there is no machine role {name}");
    assert_eq!(refused, ["Roles: web is there twice".to_owned(), no("plain"), no("none")]);
}
