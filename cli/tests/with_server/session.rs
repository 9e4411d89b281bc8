//! Who the commands speak for, and what they hide.

use crate::server::Server;
use serde_json::{Value, json};

#[test]
fn log_out_ends_the_token_here_and_at_the_server() {
    let server = Server::logged_in();
    assert_eq!(server.json(&["whoami"])["Username"], "admin");
    assert!(server.done(&["whoami"]).starts_with("User        admin\n"));
    let kept = server.file("home/.config/muster/credentials.json");
    let login: Value = serde_json::from_str(&std::fs::read_to_string(&kept).unwrap()).unwrap();
    let told = server.run(&["logout"], &[], "");
    assert_eq!((told.code, told.out.as_str()), (Some(0), ""), "{}", told.error);
    assert_eq!(told.error, format!("logged out at {}: the token is ended\n", server.url));
    assert!(!kept.exists());

    let ca = server.file("data/ca.pem");
    let env = [("MUSTER_API_TOKEN", login["Token"].as_str().unwrap()), ("MUSTER_CA", ca.to_str().unwrap())];
    let refused = server.run(&["whoami", "--endpoint", &server.url], &env, "");
    assert_eq!(refused.code, Some(1), "{}", refused.out);
    assert_eq!(server.failed(&["logout"]).error, "muster: nobody is logged in here\n");
}

#[test]
fn server_says_what_it_is() {
    let server = Server::logged_in();
    assert_eq!(server.json(&["info"])["muster_version"], env!("CARGO_PKG_VERSION"));
    let told = server.done(&["info"]);
    assert!(told.starts_with("Muster          ") && told.contains("no boot media yet"), "{told}");
}

#[test]
fn secret_gets_another_description_and_keeps_its_value() {
    let server = Server::logged_in();
    let told = server.run(&["secret", "set", "APP"], &[], "hunter2\n");
    assert_eq!((told.code, told.out.as_str()), (Some(0), "made secret APP\n"), "{}", told.error);
    server.done(&["secret", "set", "APP", "--keep-value", "--description", "of the shop"]);
    let secret = server.json(&["secret", "show", "APP"]);
    assert_eq!((&secret["HasValue"], &secret["Description"]), (&json!(true), &json!("of the shop")));
    let told = server.run(&["registry-credential", "set", "ci", "--registry", "r.example"], &[], "pw\n");
    assert_eq!((told.code, told.out.as_str()), (Some(0), "made registry credential ci\n"), "{}", told.error);
    assert!(!server.done(&["registry-credential", "list", "-o", "json"]).contains("pw"));
}

#[test]
fn file_on_standard_input_changes_an_object() {
    let server = Server::logged_in();
    server.done(&["stage", "create", "s1"]);
    let told = server.run(&["stage", "set", "s1", "--from", "-"], &[], "Description: by a pipe\n");
    assert_eq!(told.code, Some(0), "{}", told.error);
    assert_eq!(server.json(&["stage", "show", "s1"])["Description"], "by a pipe");
}
