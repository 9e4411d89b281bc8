//! Defaults at creation, and what is refused.

use super::*;
use crate::content::sample::{bootenv, builtin, stage, task, with, workflow};
use protocol::model::Kind;

#[test]
fn g1_p4_machine_needs_a_name_and_gets_defaults_for_the_rest() {
    let body = json!({"Name": "alpha", "Secret": "s1", "Address": "10.0.0.5",
        "Uuid": "6E8F4F5C-2E8A-4A4E-9D61-0A4E7C1D2B3A", "Runnable": false});
    let machine = made(&builtin(), &body);
    let view = serde_json::to_value(machine.view(Presence::default())).unwrap();
    for (field, value) in [
        ("Uuid", json!("6e8f4f5c-2e8a-4a4e-9d61-0a4e7c1d2b3a")),
        ("Name", json!("alpha")),
        ("Address", json!("10.0.0.5")),
        ("Secret", json!("s1")),
        ("Stage", json!("none")),
        ("BootEnv", json!("local")),
        ("Workflow", json!("")),
        ("Runnable", json!(true)),
        ("Tasks", json!([])),
        ("CurrentTask", json!(0)),
        ("WorkflowComplete", json!(true)),
        ("Arch", json!("amd64")),
        ("Meta", json!({"feature-flags": "change-stage-v2"})),
        ("Pool", json!("default")),
        ("PoolStatus", json!("Free")),
        ("Params", json!({})),
        ("Profiles", json!([])),
        ("Context", json!("")),
        ("CurrentJob", json!("")),
        ("Available", json!(true)),
        ("Validated", json!(true)),
        ("ReadOnly", json!(false)),
        ("CreatedBy", json!("ops")),
        ("LastModifiedBy", json!("ops")),
    ] {
        assert_eq!(view[field], value, "{field}");
    }
    assert_eq!((machine.key, machine.origin), (None, Origin::Api));
}

#[test]
fn p1_id_is_random_when_none_is_given() {
    for body in [
        json!({"Name": "alpha"}),
        json!({"Name": "alpha", "Uuid": ""}),
        json!({"Name": "alpha", "Uuid": "00000000-0000-0000-0000-000000000000"}),
    ] {
        let machine = made(&builtin(), &body);
        assert_eq!(machine.id.0, Uuid::from_u128(0x42));
        assert_eq!(machine.fields.secret, "fresh-secret-0001");
    }
    assert_eq!(
        messages(create(&json!({"Name": "alpha", "Uuid": "x"}), &wish(&builtin()))),
        ["Uuid \"x\" is no UUID"]
    );
}

#[test]
fn zero_values_count_as_not_given() {
    let zero = json!({"Name": "alpha", "Uuid": "", "CurrentJob": "", "Address": "", "CurrentTask": 0,
        "Runnable": false, "Stage": "", "BootEnv": "", "Workflow": "", "Tasks": null, "Profiles": null,
        "HardwareAddrs": [], "Params": null, "Meta": null, "Arch": "amd64", "Secret": "", "Pool": "",
        "Fingerprint": {"MemoryIds": null}, "TaskErrorStacks": null, "Errors": null});
    assert_eq!(made(&builtin(), &zero), made(&builtin(), &json!({"Name": "alpha"})));
}

#[test]
fn fields_of_the_server_are_not_taken_from_the_client() {
    let machine = made(
        &builtin(),
        &json!({"Name": "alpha", "CurrentJob": "6e8f4f5c-2e8a-4a4e-9d61-0a4e7c1d2b3a",
        "JobState": "failed", "JobExitState": "failed", "JobResultErrors": ["x"], "WorkflowComplete": false,
        "PoolAllocated": true, "PendingWorkOrders": 3, "RetryTaskAttempt": 4, "Available": false,
        "Errors": ["x"], "Bundle": "x", "ReadOnly": true, "CreatedBy": "mallory",
        "TaskErrorStacks": [{"CurrentTask": 1}], "Online": true, "Origin": "pxe"}),
    );
    assert_eq!(machine, made(&builtin(), &json!({"Name": "alpha"})));
}

#[test]
fn everything_that_is_wrong_is_told() {
    let content = with(&[(Kind::Params, json!({"Name": "size", "Schema": {"type": "integer"}}))]);
    let problems = messages(create(
        &json!({"Name": "alpha", "Address": "fe80::1", "HardwareAddrs": ["x"], "Arch": "x86_64",
            "Profiles": ["p1", "p1"], "Params": {"size": "x"}, "Meta": {"machine-role": "cluster"},
            "Fingerprint": {"SSNHash": "?"}, "Stage": "missing", "BootEnv": "missing", "Tasks": ["missing"],
            "Context": "a/b", "Pool": "9"}),
        &wish(&content),
    ));
    for complaint in [
        "Address \"fe80::1\" is no IPv4 address",
        "HardwareAddrs: \"x\"",
        "Arch \"x86_64\" is called \"amd64\" here",
        "Profiles: profile p1 does not exist",
        "Profiles: p1 is there twice",
        "Params: size: ",
        "Meta: machine-role \"cluster\" is no machine",
        "Fingerprint.SSNHash: \"?\" is no base64",
        "stage missing does not exist",
        "bootenv missing does not exist",
        "Tasks: task missing does not exist",
        "Context: ",
        "Pool: ",
    ] {
        assert!(problems.iter().any(|told| told.starts_with(complaint)), "{complaint} {problems:#?}");
    }
    assert_eq!(problems.len(), 13, "{problems:#?}");
    for body in [json!({}), json!({"Name": "a/b"}), json!({"Name": 7}), json!([]), json!("alpha")] {
        assert!(create(&body, &wish(&content)).is_err(), "{body}");
    }
}

#[test]
fn g22_bootenv_must_exist_be_available_and_for_known_machines() {
    let content = with(&[
        (Kind::BootEnvs, json!({"Name": "broken", "Templates": [{"Name": "a", "Path": "p", "ID": "gone"}]})),
        stage("st", "broken", &[]),
        stage("strangers", "ignore", &[]),
    ]);
    for (body, complaint) in [
        (json!({"BootEnv": "missing"}), "bootenv missing does not exist"),
        (json!({"BootEnv": "ignore"}), "bootenv ignore is for unknown machines only"),
        (json!({"BootEnv": "broken"}), "bootenv broken is not available"),
        (json!({"Stage": "st"}), "stage st is not available"),
        (json!({"Stage": "strangers"}), "bootenv ignore is for unknown machines only"),
    ] {
        let mut body = body;
        body["Name"] = json!("alpha");
        assert_eq!(messages(create(&body, &wish(&content))), [complaint], "{body}");
    }
}

#[test]
fn p3_addresses_are_kept_in_one_form() {
    let machine = made(
        &builtin(),
        &json!({"Name": "alpha",
        "HardwareAddrs": ["52-54-00-AB-CD-EF", "52:54:00:ab:cd:ef", "52:54:00:00:00:01"]}),
    );
    assert_eq!(machine.fields.hardware_addrs, ["52:54:00:ab:cd:ef", "52:54:00:00:00:01"]);
}

#[test]
fn g4_workflow_gives_tasks_stage_and_bootenv_and_leaves_it_runnable() {
    let content = with(&[
        bootenv("env"),
        stage("A1", "local", &[]),
        stage("B1", "env", &[]),
        workflow("W1", &["A1", "B1"]),
        workflow("W2", &["B1", "A1"]),
    ]);
    let one = made(&content, &json!({"Name": "alpha", "Workflow": "W1", "Tasks": ["ignored"]}));
    assert_eq!(tasks(&one), ["stage:A1", "bootenv:local", "stage:B1", "bootenv:env"]);
    let two = made(&content, &json!({"Name": "alpha", "Workflow": "W2"}));
    for (machine, stage, env) in [(one, "A1", "local"), (two, "B1", "env")] {
        let fields = &machine.fields;
        assert_eq!((fields.stage.as_str(), fields.boot_env.as_str()), (stage, env));
        assert_eq!((fields.current_task, fields.runnable, machine.paused), (-1, true, None));
        assert!(!fields.workflow_complete);
    }
}

#[test]
fn preferences_fill_what_is_not_given() {
    let content = with(&[
        bootenv("env"),
        bootenv("other"),
        task("t1", &[]),
        stage("st", "", &["t1"]),
        stage("env-stage", "env", &[]),
        stage("flow-stage", "", &["t1"]),
        workflow("wf", &["flow-stage"]),
    ]);
    let set = |content: &Content, prefs: Value| {
        let prefs = prefs.as_object().unwrap().clone();
        content.set_prefs(&prefs, &cause()).unwrap().content
    };
    let content = set(&content, json!({"defaultStage": "st", "defaultBootEnv": "env"}));
    let machine = made(&content, &json!({"Name": "alpha"}));
    assert_eq!((tasks(&machine), machine.fields.boot_env.as_str()), (vec!["t1"], "env"));
    assert_eq!(machine.fields.current_task, -1);
    let own = made(&content, &json!({"Name": "alpha", "Stage": "env-stage", "BootEnv": "other"}));
    assert_eq!((own.fields.stage.as_str(), own.fields.boot_env.as_str()), ("env-stage", "other"));
    let listed = made(&content, &json!({"Name": "alpha", "Tasks": ["context:c1", "t1"]}));
    assert_eq!(tasks(&listed), ["context:c1", "t1"]);
    let content = set(&content, json!({"defaultWorkflow": "wf"}));
    let flowing = made(&content, &json!({"Name": "alpha"}));
    assert_eq!((flowing.fields.workflow.as_str(), flowing.fields.stage.as_str()), ("wf", "flow-stage"));
    assert_eq!(flowing.fields.boot_env, "env");
    assert_eq!(tasks(&flowing), ["stage:flow-stage", "t1"]);
}

#[test]
fn p20_context_is_what_is_given_or_the_base() {
    let base = json!({"BaseContext": "runner"});
    let content = with(&[stage("st", "", &[]), workflow("wf", &["st"])]);
    for (body, context) in [
        (json!({"Name": "alpha", "Meta": base}), "runner"),
        (json!({"Name": "alpha", "Meta": base, "Workflow": "wf"}), "runner"),
        (json!({"Name": "alpha", "Meta": base, "Context": "own"}), "own"),
        (json!({"Name": "alpha"}), ""),
    ] {
        assert_eq!(made(&content, &body).fields.context, context, "{body}");
    }
}

#[test]
fn g20_p10_machine_made_in_an_installing_bootenv_has_its_system() {
    let content = with(&[(Kind::BootEnvs, json!({"Name": "march-install", "OS": {"Name": "march"}}))]);
    assert_eq!(made(&content, &json!({"Name": "alpha", "BootEnv": "march-install"})).fields.os, "march");
    assert_eq!(made(&content, &json!({"Name": "alpha", "OS": "said"})).fields.os, "said");
}

#[test]
fn p29_machine_has_no_other_role() {
    for role in ["machine", "self"] {
        assert!(create(&json!({"Name": "alpha", "Meta": {"machine-role": role}}), &wish(&builtin())).is_ok());
    }
    assert!(
        create(&json!({"Name": "alpha", "Meta": {"machine-role": "resource-broker"}}), &wish(&builtin()))
            .is_err()
    );
}

#[test]
fn newborn_follows_preferences_as_far_as_they_go() {
    let content = with(&[stage("st", "", &[]), workflow("wf", &["st", "missing"])]);
    let mut content = content;
    assert_eq!(newborn(&content, "s1", Origin::Api).fields.secret, "s1");
    content.prefs.insert("defaultStage".into(), "st".into());
    assert_eq!(newborn(&content, "s1", Origin::Api).fields.stage, "st");
    content.prefs.insert("defaultWorkflow".into(), "wf".into());
    let fields = newborn(&content, "s1", Origin::Api).fields;
    assert_eq!(
        (fields.workflow.as_str(), fields.secret.as_str()),
        ("", "s1"),
        "an unavailable workflow stops nobody"
    );
}

/// What machines boot that register themselves, by how they were booted.
fn first_boots(content: &Content) -> [String; 4] {
    [Origin::Iso, Origin::Pxe, Origin::Cli, Origin::Api]
        .map(|origin| newborn(content, "s1", origin).fields.boot_env)
}

#[test]
fn machine_that_our_image_booted_boots_it_again_unless_something_else_was_chosen() {
    let mut content = with(&[bootenv("env"), stage("st", "env", &[]), workflow("wf", &["st"])]);
    let media = crate::bootenv::needed_files(content.bootenvs.get("muster").unwrap());
    assert_eq!(first_boots(&content), ["muster", "muster", "local", "local"]);
    for (pref, value, boots) in [
        ("defaultBootEnv", "env", "env"),
        ("defaultStage", "st", "env"),
        ("defaultStage", "local", "local"),
        ("defaultWorkflow", "wf", "env"),
    ] {
        content.prefs.insert(pref.into(), value.into());
        assert_eq!(first_boots(&content), [boots; 4], "{pref} {value}");
        content.prefs.remove(pref);
    }
    // No media, or not the whole of them.
    content.missing_files.extend(media.into_iter().take(1));
    assert_eq!(first_boots(&content), ["local"; 4]);
}

#[test]
fn machine_that_comes_back_as_it_was_born_boots_our_image_from_then_on() {
    let content = builtin();
    let born = || Machine {
        fields: MachineFields { boot_env: "local".into(), stage: "none".into(), ..MachineFields::default() },
        created_by: String::new(),
        modified_by: String::new(),
        ..made(&content, &json!({"Name": "alpha"}))
    };
    assert_eq!(born().booted_by(Origin::Iso, &content).fields.boot_env, "muster");
    assert_eq!(born().booted_by(Origin::Cli, &content).fields.boot_env, "local");
    let mut touched = born();
    touched.modified_by = "admin".into();
    let mut staged = born();
    staged.fields.stage = "local".into();
    let mut at_work = born();
    at_work.fields.workflow = "wf".into();
    for machine in [touched, staged, at_work] {
        assert_eq!(machine.clone().booted_by(Origin::Pxe, &content), machine);
    }
}
