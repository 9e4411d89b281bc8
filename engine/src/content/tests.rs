//! The content: what may be written, what follows, what is shown.

use super::sample::{and, bootenv, builtin, cause, create, replace, stage, task, with, workflow};
use super::{Content, PREFS, Write};
use crate::change::{AuditKind, Cause, Change, Revision, StoredObject};
use crate::problem::{Problem, ProblemKind};
use crate::time::Timestamp;
use protocol::model::Kind;
use serde_json::{Map, Value, json};

fn refused(result: Result<super::Edit, Problem>) -> (ProblemKind, Vec<String>) {
    let problem = result.unwrap_err();
    (problem.kind, problem.messages)
}

fn invalid(content: &Content, kind: Kind, value: &Value) -> Vec<String> {
    let (problem, messages) = refused(create(content, kind, value));
    assert_eq!(problem, ProblemKind::Invalid, "{messages:?}");
    messages
}

/// The objects as they would be stored.
fn stored(content: &Content, edit: super::Edit) -> StoredObject {
    assert_eq!(edit.changes.on_content, Some(content.revision));
    let put = |change| if let Change::PutObject(object) = change { Some(object) } else { None };
    edit.changes.list.into_iter().find_map(put).unwrap()
}

#[test]
fn built_in_objects_are_read_only_but_for_the_global_profile() {
    let content = builtin();
    for (kind, key) in [
        (Kind::BootEnvs, "local"),
        (Kind::BootEnvs, "ignore"),
        (Kind::Stages, "none"),
        (Kind::Stages, "local"),
        (Kind::Params, "pxelinux-local-boot"),
        (Kind::Roles, "superuser"),
    ] {
        let shown = content.show(kind, key).unwrap();
        assert_eq!((&shown["ReadOnly"], &shown["Bundle"]), (&json!(true), &json!("BasicStore")), "{key}");
        assert_eq!((&shown["Available"], &shown["Validated"]), (&json!(true), &json!(true)), "{key}");
        assert_eq!(refused(replace(&content, kind, key, &shown)).0, ProblemKind::ReadOnly);
        assert_eq!(refused(content.remove(kind, key, false, &cause())).0, ProblemKind::ReadOnly);
    }
    assert_eq!(content.show(Kind::BootEnvs, "ignore").unwrap()["OnlyUnknown"], true);
    assert_eq!(content.show(Kind::Stages, "local").unwrap()["BootEnv"], "local");
    let global = content.show(Kind::Profiles, "global").unwrap();
    assert_eq!((&global["ReadOnly"], &global["Bundle"]), (&json!(false), &json!("BackingStore")));
    let written = replace(&content, Kind::Profiles, "global", &json!({"Name": "global", "Params": {"a": 1}}));
    assert_eq!(written.unwrap().after.unwrap()["Params"], json!({"a": 1}));
    assert_eq!(refused(content.remove(Kind::Profiles, "global", false, &cause())).0, ProblemKind::InUse);
}

#[test]
fn object_is_created_once_and_replaced_when_it_is_there() {
    let content = builtin();
    let made = create(&content, Kind::Profiles, &json!({"Name": "p1", "Available": false})).unwrap();
    assert_eq!(made.key, "p1");
    assert_eq!(made.before, None);
    let after = made.after.unwrap();
    assert_eq!(after["Available"], true, "the server says so");
    assert_eq!(after["CreatedBy"], "ops");
    assert_eq!(after["Bundle"], "BackingStore");
    let again = refused(create(&made.content, Kind::Profiles, &json!({"Name": "p1"})));
    assert_eq!(again, (ProblemKind::Exists, vec!["profile p1 exists already".to_owned()]));
    let absent = refused(replace(&content, Kind::Profiles, "p1", &json!({"Name": "p1"})));
    assert_eq!(absent, (ProblemKind::NotFound, vec!["profile p1 does not exist".to_owned()]));
    let renamed = refused(replace(&made.content, Kind::Profiles, "p1", &json!({"Name": "p2"})));
    assert_eq!(
        renamed,
        (ProblemKind::Invalid, vec!["Name cannot be changed; make another profile".to_owned()])
    );
    assert_eq!(refused(create(&content, Kind::Machines, &json!({"Name": "m1"}))).0, ProblemKind::NotFound);
}

#[test]
fn who_changed_an_object_is_told_of_users_only() {
    let made = create(&builtin(), Kind::Profiles, &json!({"Name": "p1"})).unwrap().content;
    let later = Cause::system(Timestamp::from_seconds(1_900_000_000));
    let wish = json!({"Name": "p1", "CreatedBy": "mallory", "CreatedAt": "2001-01-01T00:00:00Z"});
    let edit = made.put(Kind::Profiles, wish, Write::Replace("p1"), &later, "").unwrap();
    let (before, after) = (edit.before.unwrap(), edit.after.unwrap());
    assert_eq!((&after["CreatedBy"], &after["LastModifiedBy"]), (&json!("ops"), &json!("ops")));
    assert_eq!(after["CreatedAt"], before["CreatedAt"]);
    assert_ne!(after["LastModifiedAt"], before["LastModifiedAt"]);
}

#[test]
fn what_is_stored_is_loaded_as_it_was() {
    let content = builtin();
    let edits = [
        (Kind::Stages, json!({"Name": "st", "BootEnv": "gone", "Params": {"a": null, "b/c": [1]}})),
        (Kind::Params, json!({"Name": "net/dns", "Schema": {"type": "string"}})),
        (Kind::Profiles, json!({"Name": "pr", "Meta": {"icon": "x"}})),
    ];
    let objects = edits.iter().map(|(kind, value)| stored(&content, create(&content, *kind, value).unwrap()));
    let loaded = Content::load(objects.collect(), [].into(), Revision(9)).unwrap();
    for (kind, value) in &edits {
        let key = value["Name"].as_str().unwrap();
        let made = create(&content, *kind, value).unwrap().after;
        assert_eq!(loaded.show(*kind, key), made);
    }
    assert!(crate::params::problem(&loaded, "net/dns", &json!(1)).is_some(), "its schema holds");
    let alien =
        StoredObject { kind: Kind::Stages, key: "a".into(), bundle: String::new(), body: "[]".into() };
    let error = Content::load(vec![alien], [].into(), Revision(9)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "stored object stages/a cannot be read; restore it from a backup, or remove its row"
    );
}

#[test]
fn object_of_a_bundle_is_read_only_and_passes_the_same_rules() {
    let mut content = builtin();
    let placed = content.place(Kind::Tasks, json!({"Name": "t1"}), "community", &cause()).unwrap();
    assert_eq!(placed.bundle, "community");
    assert_eq!(content.show(Kind::Tasks, "t1").unwrap()["ReadOnly"], true);
    assert_eq!(
        refused(replace(&content, Kind::Tasks, "t1", &json!({"Name": "t1"}))).0,
        ProblemKind::ReadOnly
    );
    assert!(content.place(Kind::Tasks, json!({"Name": "9"}), "community", &cause()).is_err());
    let writable = content.place(Kind::Tasks, json!({"Name": "t1"}), "BackingStore", &cause()).unwrap();
    assert_eq!(writable.bundle, "BackingStore");
    assert_eq!(content.show(Kind::Tasks, "t1").unwrap()["ReadOnly"], false);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let messages = invalid(
        &builtin(),
        Kind::Stages,
        &json!({"Name": "9", "BootEnv": "a/b", "Tasks": ["what:ever", "action:on"], "Profiles": ["p", "p"]}),
    );
    assert_eq!(messages.len(), 5, "{messages:#?}");
    let messages = invalid(&builtin(), Kind::Stages, &json!({"Name": "st", "Tasks": "a", "Reboot": "yes"}));
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().any(|message| message.starts_with("Tasks: ")));
}

#[test]
fn templates_of_objects_have_a_name_and_one_text_and_parse() {
    let content = builtin();
    for (info, complaint) in [
        (json!([{"Name": "", "Path": "p", "Contents": "x"}]), "has no Name"),
        (json!([{"Name": "a", "Path": "p"}]), "needs one of ID, Contents and Link, and has 0"),
        (json!([{"Name": "a", "Path": "p", "ID": "i", "Link": "l"}]), "and has 2"),
        (json!([{"Name": "a", "Contents": "x"}]), "needs a Path"),
        (json!([{"Name": "a", "Path": "{{", "Contents": "x"}]), "Templates: "),
        (json!([{"Name": "a", "Path": "p", "Contents": "{{if}}"}]), "Templates: "),
    ] {
        let messages = invalid(&content, Kind::Stages, &json!({"Name": "st", "Templates": info}));
        assert!(messages.iter().any(|message| message.contains(complaint)), "{info} {messages:?}");
    }
    let two =
        json!([{"Name": "a", "Path": "p", "Contents": "x"}, {"Name": "a", "Path": "q", "Contents": "x"}]);
    assert!(invalid(&content, Kind::Stages, &json!({"Name": "st", "Templates": two}))[0].contains("twice"));
    let script = json!({"Name": "t1", "Templates": [{"Name": "run", "Contents": "{{.Param \"a\"}}"}]});
    assert!(create(&content, Kind::Tasks, &script).is_ok(), "a script needs no path");
    assert!(!invalid(&content, Kind::Templates, &json!({"ID": "x.tmpl", "Contents": "{{end}}"})).is_empty());
    let ours = json!({"ID": "y.tmpl", "Contents": "{{ [[.Param \"a\"]]", "StartDelimiter": "[[", "EndDelimiter": "]]"});
    assert!(create(&content, Kind::Templates, &ours).is_ok());
}

#[test]
fn bootenv_knows_its_architectures_and_loaders() {
    let content = builtin();
    let arches = |arches: Value| json!({"Name": "env", "OS": {"SupportedArchitectures": arches}});
    assert!(create(&content, Kind::BootEnvs, &arches(json!({"x86_64": {}, "aarch64": {}}))).is_ok());
    assert!(!invalid(&content, Kind::BootEnvs, &arches(json!({"vax": {}}))).is_empty());
    assert!(!invalid(&content, Kind::BootEnvs, &arches(json!({"x86_64": {}, "amd64": {}}))).is_empty());
    let loaders = json!({"Name": "env", "Loaders": {"amd64-uefi": "a.efi", "vax-uefi": "b.efi"}});
    assert_eq!(
        invalid(&content, Kind::BootEnvs, &loaders),
        ["Loaders: \"vax-uefi\" is none of 386-pcbios, amd64-uefi, arm64-uefi"]
    );
}

#[test]
fn g6_stage_and_workflow_name_what_is_not_there_and_turn_available_when_it_is() {
    let content = with(&[stage("st", "env", &["t1"]), workflow("wf", &["st", "other"])]);
    let errors = content.errors_of(Kind::Stages, "st");
    assert_eq!(errors, ["bootenv env does not exist", "task t1 does not exist"]);
    let shown = content.show(Kind::Workflows, "wf").unwrap();
    assert_eq!(shown["Available"], false);
    assert_eq!(shown["Errors"], json!(["stage st is not available", "stage other does not exist"]));
    let content = and(&content, &[bootenv("env"), task("t1", &[]), stage("other", "", &[])]);
    for (kind, key) in [(Kind::Stages, "st"), (Kind::Workflows, "wf")] {
        assert_eq!(content.show(kind, key).unwrap()["Available"], true);
    }
    let gone = content.remove(Kind::Tasks, "t1", false, &cause()).unwrap().content;
    assert_eq!(gone.errors_of(Kind::Stages, "st"), ["task t1 does not exist"]);
    let missing = with(&[workflow("wf", &["missing"])]);
    assert_eq!(missing.errors_of(Kind::Workflows, "wf").len(), 1);
}

#[test]
fn lack_of_a_template_or_a_needed_task_reaches_everything_above() {
    let content = with(&[
        (Kind::Tasks, json!({"Name": "t3", "Templates": [{"Name": "a", "ID": "x.tmpl"}]})),
        task("t2", &["t3"]),
        task("t1", &["t2"]),
        stage("st", "", &["t1"]),
        workflow("wf", &["st"]),
        workflow("direct", &["task:t1", "context:c1"]),
    ]);
    assert_eq!(content.errors_of(Kind::Tasks, "t3"), ["template x.tmpl does not exist"]);
    assert_eq!(content.errors_of(Kind::Tasks, "t1"), ["task t2 is not available"]);
    assert_eq!(content.errors_of(Kind::Stages, "st"), ["task t1 is not available"]);
    assert_eq!(content.errors_of(Kind::Workflows, "wf"), ["stage st is not available"]);
    assert_eq!(content.errors_of(Kind::Workflows, "direct"), ["task t1 is not available"]);
    let content = and(&content, &[(Kind::Templates, json!({"ID": "x.tmpl", "Contents": "x"}))]);
    assert!(content.errors_of(Kind::Workflows, "wf").is_empty());
}

#[test]
fn bootenv_without_its_files_is_not_available() {
    let mut content =
        with(&[(Kind::BootEnvs, json!({"Name": "env", "OS": {"Name": "os"}, "Kernel": "vmlinuz"}))]);
    assert!(content.errors_of(Kind::BootEnvs, "env").is_empty());
    content.missing_files.insert("os/vmlinuz".to_owned());
    assert_eq!(content.errors_of(Kind::BootEnvs, "env").len(), 1);
}

#[test]
fn g19_circles_of_prerequisites_and_profiles_are_refused() {
    let content = with(&[task("t1", &["t2"]), task("t2", &["t3"])]);
    let messages = invalid(&content, Kind::Tasks, &task("t3", &["t1"]).1);
    assert_eq!(messages, ["Prerequisites: t3 > t1 > t2 > t3 is a circle"]);
    assert!(!invalid(&content, Kind::Tasks, &task("t9", &["t9"]).1).is_empty());
    let content = with(&[(Kind::Profiles, json!({"Name": "p1", "Profiles": ["p2"]}))]);
    let messages = invalid(&content, Kind::Profiles, &json!({"Name": "p2", "Profiles": ["p1"]}));
    assert_eq!(messages, ["Profiles: p2 > p1 > p2 is a circle"]);
    let pools = with(&[(Kind::Pools, json!({"Id": "a1", "ParentPool": "b1"}))]);
    assert!(!invalid(&pools, Kind::Pools, &json!({"Id": "b1", "ParentPool": "a1"})).is_empty());
}

#[test]
fn task_gets_sane_exit_codes_unless_it_chose() {
    let content = builtin();
    let flags = |meta: Value| {
        let made = create(&content, Kind::Tasks, &json!({"Name": "t1", "Meta": meta})).unwrap();
        made.after.unwrap()["Meta"]["feature-flags"].as_str().unwrap().to_owned()
    };
    assert_eq!(flags(json!({})), "sane-exit-codes");
    assert_eq!(flags(json!({"feature-flags": "other"})), "other,sane-exit-codes");
    assert_eq!(flags(json!({"feature-flags": "original-exit-codes"})), "original-exit-codes");
    let made = create(&content, Kind::Tasks, &json!({"Name": "t1"})).unwrap().content;
    let replaced = replace(&made, Kind::Tasks, "t1", &json!({"Name": "t1"})).unwrap().after.unwrap();
    assert_eq!(replaced["Meta"], json!({}), "only at creation");
}

#[test]
fn scripts_of_a_task_are_all_for_a_system_or_none_is() {
    let script = |name: &str, os: Option<&str>| {
        let meta: Value = os.map_or(json!({}), |os| json!({"OS": os}));
        json!({"Name": name, "Contents": "x", "Meta": meta})
    };
    let content = builtin();
    let task = |scripts: &[Value]| json!({"Name": "t1", "Templates": scripts});
    let ok = task(&[script("a", Some("linux, darwin")), script("b", Some("any"))]);
    assert!(create(&content, Kind::Tasks, &ok).is_ok());
    assert_eq!(
        invalid(&content, Kind::Tasks, &task(&[script("a", Some("linux")), script("b", None)])).len(),
        1
    );
    assert!(invalid(&content, Kind::Tasks, &task(&[script("a", Some("beos"))]))[0].contains("\"beos\""));
}

#[test]
fn param_has_a_schema_that_its_default_satisfies_and_no_seal() {
    let content = builtin();
    let param = |schema: Value| json!({"Name": "net/dns", "Schema": schema});
    assert!(create(&content, Kind::Params, &param(json!({"type": "string", "default": "a"}))).is_ok());
    assert!(!invalid(&content, Kind::Params, &param(json!({"type": "string", "default": 1}))).is_empty());
    assert!(!invalid(&content, Kind::Params, &param(json!({"type": 7}))).is_empty());
    assert!(
        invalid(&content, Kind::Params, &json!({"Name": "pw", "Secure": true}))[0].starts_with("Secure: ")
    );
}

#[test]
fn params_of_profiles_and_stages_satisfy_their_schemas() {
    let content = with(&[(Kind::Params, json!({"Name": "size", "Schema": {"type": "integer"}}))]);
    for kind in [Kind::Profiles, Kind::Stages] {
        let object = |value: Value| json!({"Name": "ob", "Params": {"size": value, "free": "x"}});
        assert!(create(&content, kind, &object(json!(3))).is_ok());
        assert_eq!(invalid(&content, kind, &object(json!("x"))).len(), 1);
    }
    let before = with(&[(Kind::Profiles, json!({"Name": "pr", "Params": {"size": "big"}}))]);
    let content = and(&before, &[(Kind::Params, json!({"Name": "size", "Schema": {"type": "integer"}}))]);
    let other = json!({"Name": "pr", "Params": {"size": "big"}, "Description": "x"});
    assert!(
        replace(&content, Kind::Profiles, "pr", &other).is_ok(),
        "what was there before the schema may stay"
    );
    assert!(
        content
            .remove(Kind::Params, "size", false, &cause())
            .unwrap()
            .content
            .schemas
            .problem("size", &json!("x"))
            .is_none()
    );
}

#[test]
fn bootenv_that_is_needed_stays() {
    let content = with(&[bootenv("env"), stage("st", "env", &[])]);
    let (kind, messages) = refused(content.remove(Kind::BootEnvs, "env", true, &cause()));
    assert_eq!(kind, ProblemKind::InUse);
    assert_eq!(messages, ["bootenv env is used by machines", "bootenv env is used by stage st"]);
    let content = with(&[bootenv("env")]);
    let set = content.set_prefs(&prefs(json!({"defaultBootEnv": "env"})), &cause()).unwrap().content;
    assert_eq!(refused(set.remove(Kind::BootEnvs, "env", false, &cause())).0, ProblemKind::InUse);
    let edit = content.remove(Kind::BootEnvs, "env", false, &cause()).unwrap();
    assert_eq!(edit.before.unwrap()["Name"], "env");
    assert_eq!(edit.changes.list, [Change::DeleteObject { kind: Kind::BootEnvs, key: "env".to_owned() }]);
    assert!(!edit.content.has(Kind::BootEnvs, "env"));
}

#[test]
fn secret_of_a_user_is_made_kept_and_never_shown() {
    let made = create(&builtin(), Kind::Users, &json!({"Name": "eve", "Roles": ["superuser"]})).unwrap();
    assert_eq!(made.after.as_ref().unwrap()["Secret"], "");
    assert_eq!(made.content.users.get("eve").unwrap().secret, "fresh-secret-0001");
    assert_eq!(made.changes.audit_rows().next().unwrap().kind, AuditKind::AccessChanged);
    let shown = made.after.unwrap();
    let kept = replace(&made.content, Kind::Users, "eve", &shown).unwrap().content;
    assert_eq!(kept.users.get("eve").unwrap().secret, "fresh-secret-0001", "what is shown changes nothing");
    let mut other = shown;
    other["Secret"] = json!("another");
    let changed = replace(&made.content, Kind::Users, "eve", &other).unwrap().content;
    assert_eq!(changed.users.get("eve").unwrap().secret, "another");
}

#[test]
fn last_administrator_stays_one() {
    let content = with(&[(Kind::Users, json!({"Name": "eve", "Roles": ["superuser"]}))]);
    assert_eq!(refused(content.remove(Kind::Users, "eve", false, &cause())).0, ProblemKind::InUse);
    let demoted = json!({"Name": "eve", "Roles": []});
    assert_eq!(refused(replace(&content, Kind::Users, "eve", &demoted)).0, ProblemKind::InUse);
    let two = and(&content, &[(Kind::Users, json!({"Name": "bob", "Roles": ["superuser"]}))]);
    assert!(two.remove(Kind::Users, "eve", false, &cause()).is_ok());
    assert!(replace(&two, Kind::Users, "eve", &demoted).is_ok());
}

fn prefs(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[test]
fn preferences_have_defaults_and_are_checked() {
    let content = with(&[bootenv("env"), workflow("wf", &[])]);
    let shown = content.prefs_shown();
    assert_eq!(shown.len(), PREFS.len());
    for (pref, value) in [
        ("defaultBootEnv", "local"),
        ("unknownBootEnv", "ignore"),
        ("defaultStage", "none"),
        ("defaultWorkflow", ""),
        ("knownTokenTimeout", "3600"),
        ("unknownTokenTimeout", "600"),
        ("logLevel", "warn"),
    ] {
        assert_eq!(shown.get(pref).unwrap(), value);
    }
    let wanted =
        json!({"defaultBootEnv": "env", "defaultWorkflow": "wf", "debugDhcp": 2, "knownTokenTimeout": "60"});
    let edit = content.set_prefs(&prefs(wanted), &cause()).unwrap();
    assert_eq!(edit.content.pref("debugDhcp"), "debug");
    assert_eq!(edit.changes.list.len(), 4);
    assert_eq!(edit.content.set_prefs(&prefs(json!({"logLevel": "0"})), &cause()).unwrap().changes.list, []);
    for wrong in [
        json!({"defaultBootEnv": "ignore"}),
        json!({"defaultBootEnv": "missing"}),
        json!({"unknownBootEnv": "local"}),
        json!({"defaultStage": "missing"}),
        json!({"defaultStage": ""}),
        json!({"defaultWorkflow": "missing"}),
        json!({"knownTokenTimeout": "soon"}),
        json!({"knownTokenTimeout": -1}),
        json!({"logLevel": "loud"}),
        json!({"defaultImage": "missing"}),
        json!({"imageHosts": "not a host!"}),
        json!({"colour": "red"}),
        json!({"logLevel": ["warn"]}),
        json!({"baseTokenSecret": "short"}),
    ] {
        let problem = content.set_prefs(&prefs(wrong.clone()), &cause()).unwrap_err();
        assert_eq!((problem.kind, problem.model), (ProblemKind::Invalid, "prefs"), "{wrong}");
    }
    let image = and(&content, &[(Kind::Images, json!({"Name": "os", "Source": "upload"}))]);
    let wanted = json!({"defaultImage": "os", "imageHosts": "10.0.0.0/8"});
    let image = image.set_prefs(&prefs(wanted), &cause()).unwrap().content;
    assert_eq!(refused(image.remove(Kind::Images, "os", false, &cause())).0, ProblemKind::InUse);
    let all_or_nothing = json!({"debugDhcp": "1", "logLevel": "loud"});
    assert!(content.set_prefs(&prefs(all_or_nothing), &cause()).is_err());
}

#[test]
fn secrets_among_preferences_are_written_and_never_shown() {
    let content = builtin();
    let secret = "s".repeat(32);
    let edit = content.set_prefs(&prefs(json!({"baseTokenSecret": secret})), &cause()).unwrap();
    assert_eq!(edit.content.pref("baseTokenSecret"), secret);
    assert_eq!(edit.content.prefs_shown().get("baseTokenSecret").unwrap(), "");
    assert_eq!(edit.changes.audit_rows().count(), 1);
    assert!(!format!("{:?}", edit.changes.audit_rows().next().unwrap()).contains(&secret));
    let shown = edit.content.prefs_shown().into_iter().map(|(name, value)| (name, json!(value))).collect();
    let again = edit.content.set_prefs(&shown, &cause()).unwrap();
    assert_eq!(again.changes.list, [], "what is shown changes nothing");
}

#[test]
fn bootenv_that_is_a_preference_keeps_for_whom_it_is() {
    let content = with(&[bootenv("env")]);
    let content = content.set_prefs(&prefs(json!({"defaultBootEnv": "env"})), &cause()).unwrap().content;
    let (kind, _) =
        refused(replace(&content, Kind::BootEnvs, "env", &json!({"Name": "env", "OnlyUnknown": true})));
    assert_eq!(kind, ProblemKind::Invalid);
}

#[test]
fn stage_is_always_shown_to_wait_for_the_runner() {
    let made = create(&builtin(), Kind::Stages, &json!({"Name": "st", "RunnerWait": false})).unwrap();
    assert_eq!(made.after.unwrap()["RunnerWait"], true);
}

#[test]
fn long_chains_of_needs_are_walked_not_climbed() {
    let names: Vec<String> = (0..400).map(|number| format!("t{number}")).collect();
    let mut content = builtin();
    for (at, name) in names.iter().enumerate().rev() {
        let needs: Vec<&String> = names.get(at + 1).into_iter().collect();
        let task = json!({"Name": name, "Prerequisites": needs});
        content.place(Kind::Tasks, task, "BackingStore", &cause()).unwrap();
    }
    assert!(content.errors_of(Kind::Tasks, "t0").is_empty());
    let last = json!({"Name": "t399", "Prerequisites": ["t0"]});
    assert!(content.place(Kind::Tasks, last, "BackingStore", &cause()).is_err());
}
