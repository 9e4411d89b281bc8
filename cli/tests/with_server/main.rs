//! The commands against the real server: `muster serve` on a free loopback port.

mod many;
mod mesh;
mod server;
mod session;

use serde_json::Value;
use server::{MUSTER, Server};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

#[test]
fn a_login_carries_address_ca_and_token_to_later_commands() {
    let server = Server::start();
    let told = server.log_in();
    assert_eq!(told.code, Some(0), "{}", told.error);
    assert!(!told.error.contains(&server.password()) && told.out.is_empty(), "{}", told.error);
    let kept = server.file("home/.config/muster/credentials.json");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);

    let list = server.run(&["machine", "list", "-o", "json"], &[], "");
    assert_eq!((list.code, list.out.trim()), (Some(0), "[]"), "{}", list.error);
    let table = server.run(&["machine", "list"], &[], "");
    assert!(table.out.starts_with("no machines yet"), "{}", table.out);
    let yaml = server.run(&["bootstrap", "list", "-o", "yaml"], &[], "");
    assert_eq!(yaml.out.trim(), "[]");
}

#[test]
fn a_token_is_the_rest_object_and_three_menus_to_paste() {
    let server = Server::start();
    let ca = server.file("data/ca.pem");
    let env = [
        ("MUSTER_ENDPOINT", server.url.as_str()),
        ("MUSTER_CA", ca.to_str().unwrap()),
        ("MUSTER_USERNAME", "admin"),
        ("MUSTER_PASSWORD", &server.password()),
    ];
    let told = server.run(&["token", "create", "--lifetime", "1d", "-o", "json"], &env, "");
    assert_eq!(told.code, Some(0), "{}", told.error);
    let token: Value = serde_json::from_str(&told.out).unwrap();
    for key in ["Token", "Id", "ExpiresAt", "KernelArgs"] {
        assert!(token.get(key).is_some_and(Value::is_string), "{key}: {}", told.out);
    }
    let secret = token.get("Token").and_then(Value::as_str).unwrap();
    let menus = token.get("Menus").and_then(Value::as_object).unwrap();
    let names: BTreeSet<&str> = menus.keys().map(String::as_str).collect();
    assert_eq!(names.into_iter().collect::<Vec<_>>(), ["Grub", "Ipxe", "Pxelinux"]);
    assert!(menus.values().all(|menu| menu.as_str().unwrap().contains(secret)));
}

#[test]
fn tokens_and_their_keys_are_listed_revoked_and_rolled() {
    let server = Server::start();
    assert_eq!(server.log_in().code, Some(0));
    let run = |args: &[&str]| {
        let told = server.run(args, &[], "");
        assert_eq!(told.code, Some(0), "{args:?}: {}", told.error);
        told.out
    };
    let create = |args: &[&str]| -> Value {
        let line = [&["token", "create", "-o", "json"], args].concat();
        serde_json::from_str(&run(&line)).unwrap()
    };
    let narrow = create(&["--lifetime", "1d", "--cidr", "10.0.0.0/8", "--max-uses", "3", "--role", "web"]);
    let id = narrow["Id"].as_str().unwrap();
    let other = create(&[]);
    let list = run(&["token", "list"]);
    let row = list.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(
        row.contains("live") && row.contains("0 of 3") && row.contains("cidr 10.0.0.0/8; role web"),
        "{row}"
    );
    assert!(!list.contains(narrow["Token"].as_str().unwrap()));
    assert_eq!(run(&["token", "revoke", id]), format!("revoked token {id}: 1 live token ended\n"));
    assert!(run(&["key", "roll", "token"]).starts_with("k2 seals bootstrap tokens from now on"));
    let keys: Value = serde_json::from_str(&run(&["key", "list", "-o", "json"])).unwrap();
    assert_eq!(
        (&keys[0]["Kid"], &keys[0]["Issued"], &keys[1]["Current"]),
        (&"k1".into(), &2.into(), &true.into())
    );
    assert_eq!(
        run(&["token", "revoke", "--kid", "k1"]),
        "revoked all tokens of key k1: 1 live token ended\n"
    );
    let states: Vec<Value> = serde_json::from_str(&run(&["token", "list", "-o", "json"])).unwrap();
    assert!(states.iter().all(|token| token["State"] == "revoked"), "{states:?}");
    assert!(states.iter().any(|token| token["Id"] == other["Id"]));
    assert!(run(&["token", "revoke", "--before", "now"]).ends_with("no live token was among them\n"));
    assert!(
        run(&["token", "revoke", "--user", "admin"]).starts_with("revoked all tokens of user:admin before")
    );
    let wrong = server.run(&["token", "revoke", "--kid", "k9"], &[], "");
    assert_eq!(
        (wrong.code, wrong.error.contains("nothing is called \"k9\"")),
        (Some(1), true),
        "{}",
        wrong.error
    );
}

#[test]
fn refusals_say_what_to_do() {
    let server = Server::start();
    let stranger =
        server.run(&["machine", "list", "--endpoint", &server.url], &[("MUSTER_API_TOKEN", "x")], "");
    assert_eq!(stranger.code, Some(1));
    assert!(stranger.error.contains("pass MUSTER_CA=DATA_DIR/ca.pem"), "{}", stranger.error);

    let ca = server.file("data/ca.pem");
    let args = ["login", "--endpoint", &server.url, "--ca", ca.to_str().unwrap()];
    let wrong = server.run(&args, &[], "not the password\n");
    assert_eq!(wrong.code, Some(1));
    assert!(!server.file("home/.config/muster/credentials.json").exists());

    assert_eq!(server.log_in().code, Some(0));
    for (args, expected) in [
        (vec!["bootstrap", "lookup", "K7P-3XB"], "read the code on its console again"),
        (vec!["bootstrap", "approve", "K7P-3XB", "--yes"], "read the code on its console again"),
        (
            vec!["bootstrap", "approve", "--request", "0b0c7d0e-6a35-4f0e-8f0c-6f2f9f2f9f01", "--yes"],
            "no machine waits with request 0b0c7d0e",
        ),
        (vec!["machine", "show", "nobody"], "nobody"),
        (vec!["machine", "delete", "--yes", "nobody"], "nobody"),
        (vec!["media", "download", "muster.iso"], "muster:"),
    ] {
        let told = server.run(&args, &[], "");
        assert_eq!(told.code, Some(1), "{args:?}: {}", told.out);
        assert!(told.error.contains(expected), "{args:?}: {}", told.error);
        assert_eq!(told.out, "", "{args:?}");
    }
}

#[test]
fn a_roll_of_the_ca_asks_first_and_the_login_follows_every_one() {
    let server = Server::start();
    assert_eq!(server.log_in().code, Some(0));
    let asked = server.run(&["key", "roll", "ca"], &[], "y\n");
    assert_eq!(asked.code, Some(1));
    assert!(asked.error.contains("run this on a terminal, or add --yes"), "{}", asked.error);

    let ca = server.file("data/ca.pem");
    let old = server.file("old-ca.pem");
    std::fs::copy(&ca, &old).unwrap();
    let told = server.run(&["key", "roll", "ca", "--yes", "-o", "json"], &[], "");
    assert_eq!(told.code, Some(0), "{}", told.error);
    let rolled: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(rolled["CaPem"].as_str().unwrap(), std::fs::read_to_string(&ca).unwrap());
    assert_eq!(rolled["PreviousRoll"], Value::Null);
    // The file from before, as scripts have it: it survives one roll.
    let password = server.password();
    let env = [("MUSTER_USERNAME", "admin"), ("MUSTER_PASSWORD", password.as_str())];
    let list = ["machine", "list", "--endpoint", &server.url, "--ca", old.to_str().unwrap()];
    assert_eq!(server.run(&list, &env, "").code, Some(0));

    let soon = server.run(&["key", "roll", "ca", "--yes"], &[], "");
    assert_eq!(soon.code, Some(1));
    assert!(soon.error.contains("the CA was rolled on 20") && soon.error.contains("force"), "{}", soon.error);
    let forced = server.run(&["key", "roll", "ca", "--yes", "--force"], &[], "");
    assert_eq!(forced.code, Some(0), "{}", forced.error);
    assert!(forced.out.contains("what was made before 20"), "{}", forced.out);
    // The login followed both; the old file missed the second.
    assert_eq!(server.run(&["machine", "list"], &[], "").code, Some(0));
    assert_eq!(server.run(&list, &env, "").code, Some(1));
}

#[test]
fn events_are_listened_to_until_the_server_stops() {
    let mut server = Server::start();
    assert_eq!(server.log_in().code, Some(0));
    let mut events = Command::new(MUSTER)
        .arg("events")
        .env_clear()
        .env("HOME", server.file("home"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(events.stderr.take().unwrap()).lines();
    let listening = told.next().unwrap().unwrap();
    assert_eq!(listening, format!("listening at {} for machines.*.* enrollments.*.*", server.url));
    server.process.kill().unwrap();
    assert_eq!(events.wait().unwrap().code(), Some(1));
    let last = told.next().unwrap().unwrap();
    assert!(
        last.starts_with("muster: the connection broke") || last.contains("ended the connection"),
        "{last}"
    );
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let server = Server::start();
    let data = server.file("data");
    let told =
        server.run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()], &[], "");
    assert_eq!(told.code, Some(1));
    assert!(told.error.contains("is in use by another server (process "), "{}", told.error);
}
