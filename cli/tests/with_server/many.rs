//! Verbs that take several machines: one line each, and a failure that hinders no other.

use crate::server::Server;
use serde_json::Value;

/// A server that knows these machines, none of which ever booted.
fn with_machines(names: &[&str]) -> Server {
    let server = Server::logged_in();
    for name in names {
        server.done(&["machine", "create", name]);
    }
    server
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|machine| machine["Name"].as_str().unwrap()).collect()
}

#[test]
fn one_machine_that_fails_hinders_no_other_and_is_told() {
    let server = with_machines(&["m1", "m2", "m3"]);
    let told = server.failed(&["machine", "lock", "m1", "nobody", "m2"]);
    assert_eq!(told.out, "m1 is locked\nm2 is locked\n");
    let errors: Vec<&str> = told.error.lines().collect();
    assert!(errors[0].starts_with("nobody: ") && errors[0].contains("nobody"), "{errors:?}");
    assert_eq!(errors[1..], ["muster: 1 of 3 machines failed"]);
    assert_eq!(names(&server.json(&["machine", "list", "Locked=true"])), ["m1", "m2"]);
    let unlocked = server.json(&["machine", "unlock", "m1"]);
    assert_eq!((names(&unlocked), &unlocked[0]["Locked"]), (vec!["m1"], &Value::Bool(false)));

    let told = server.failed(&["machine", "delete", "--yes", "m1", "nobody"]);
    assert_eq!(told.out, "m1 is deleted\n");
    assert!(told.error.ends_with("muster: 1 of 2 machines failed\n"), "{}", told.error);
    assert_eq!(names(&server.json(&["machine", "list"])), ["m2", "m3"]);
}

#[test]
fn machines_that_are_described_are_asked_about_first() {
    let server = with_machines(&["m1", "m2", "web-1"]);
    let asked = server.failed(&["machine", "lock", "--where", "Name=Re(^m)"]);
    assert_eq!(
        asked.error,
        "muster: this asks first: lock 2 machines: m1, m2; pass --yes to do it without a terminal\n"
    );
    assert_eq!(server.json(&["machine", "list", "Locked=true"]), Value::Array(Vec::new()));
    assert_eq!(
        server.done(&["machine", "lock", "--where", "Name=Re(^m)", "--yes"]),
        "m1 is locked\nm2 is locked\n"
    );
    let none = server.failed(&["machine", "lock", "--search", "nobody", "--yes"]);
    assert!(none.error.starts_with("muster: no machine is like that"), "{}", none.error);
}

#[test]
fn roles_come_and_go_for_many_machines_at_once() {
    let server = with_machines(&["m1", "m2"]);
    for role in ["web", "db"] {
        server.done(&["role", "create", role]);
    }
    server.done(&["machine", "add-role", "m1", "db"]);
    let told = server.done(&["machine", "roles", "m1", "m2", "--add", "web", "--remove", "db"]);
    assert_eq!(told, "roles of m1: web\nroles of m2: web\n");
    // What is so already is what was asked for; with one machine, it is worth a word.
    assert_eq!(server.done(&["machine", "roles", "--role", "web", "--add", "web", "--yes"]), told);
    let same = server.failed(&["machine", "remove-role", "m1", "db"]);
    assert_eq!(same.error, "muster: that changes nothing: roles of m1: web\n");
    assert_eq!(server.done(&["machine", "roles", "m2", "--remove", "web"]), "roles of m2: none\n");
}

#[test]
fn installations_are_planned_for_each_before_anything_begins() {
    let server = with_machines(&["m1", "m2"]);
    let told = server.failed(&["machine", "provision", "m1", "m2", "--yes"]);
    assert_eq!(told.out, "");
    let plans: Vec<&str> =
        told.error.lines().filter(|line| line.contains("nothing can be installed: ")).collect();
    assert_eq!(plans.len(), 2, "{}", told.error);
    assert!(told.error.ends_with("muster: 2 of 2 machines failed\n"), "{}", told.error);
    assert_eq!(server.json(&["provision", "list"]), Value::Array(Vec::new()));

    // A server without boot media has nothing that would bring them back.
    let told = server.failed(&["machine", "discover", "--all", "--yes"]);
    assert!(told.error.contains("m2: workflow muster-discover is not available"), "{}", told.error);
    server.done(&["stage", "create", "spare"]);
    server.done(&["workflow", "create", "spare", r#"Stages=["spare"]"#]);
    let own = ["machine", "provision", "--mode", "discover", "--workflow", "spare", "m1", "m2"];
    let told = server.done(&own);
    assert!(told.starts_with("m1: run ") && told.lines().count() == 2, "{told}");
    assert_eq!(server.json(&["provision", "list"]).as_array().unwrap().len(), 2);
}

#[test]
fn setup_is_shown_as_it_would_be_after_a_change() {
    let server = with_machines(&["m1"]);
    let told = server.done(&["machine", "setup", "m1", r#"Params={"muster/kernel-args":"quiet"}"#]);
    assert!(told.contains("muster/kernel-args  \"quiet\"  the machine"), "{told}");
    assert!(!server.done(&["machine", "setup", "m1"]).contains("kernel-args"));
}
