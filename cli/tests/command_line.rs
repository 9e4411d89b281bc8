//! The program as people and scripts meet it: its exit codes and its sentences. Nothing here
//! needs a server; `tests/` has the commands that do.

use std::process::{Command, Output};

/// Runs `muster` with nothing of this machine's own settings.
fn muster(args: &[&str]) -> (Option<i32>, String, String) {
    let home = tempfile::tempdir().unwrap();
    let output: Output = Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn wrong_usage_is_2_and_says_what_was_meant() {
    for (args, told) in [
        (vec![], "Usage: muster <COMMAND>"),
        (vec!["machne", "list"], "similar subcommands exist: 'image', 'man', 'machine'"),
        (vec!["machine", "list", "--outptu", "json"], "a similar argument exists: '--output'"),
        (vec!["machine", "list", "-o", "xml"], "[possible values: table, json, yaml]"),
        (vec!["bootstrap", "lookup", "K7P"], "a bootstrap code has 6 characters such as K7P-3XB, this has 3"),
        (
            vec!["bootstrap", "approve", "K7P-3XB", "--fingerprint", "QM4T"],
            "12 characters such as QM4T-9HXR-2VKD",
        ),
        (vec!["bootstrap", "approve", "K7P-3XB", "--merge", "db-07"], "a UUID of 36 characters"),
        (vec!["bootstrap", "approve"], "<CODE|--request <UUID>>"),
        (vec!["bootstrap", "deny", "--request", "K7P-3XB"], "a UUID of 36 characters"),
        (
            vec!["bootstrap", "deny", "K7P-3XB", "--request", "0b0c7d0e-6a35-4f0e-8f0c-6f2f9f2f9f01"],
            "cannot be used with",
        ),
        (vec!["events", "machines"], "an event pattern is TYPE.ACTION.KEY"),
        (vec!["media", "build", "--out", "m", "--profile", "server"], "use `generic` or `cloud`"),
        (vec!["media", "build", "--out", "m", "--kernel", "bzImage"], "--modules <DIR>"),
        (vec!["media", "customize", "a.iso", "--out", "b.iso"], "--config <FILE>"),
        (vec!["serve", "--data-dir", "d", "--tftp-listen", "69"], "it is an address with a port, or off"),
        (
            vec!["serve", "--data-dir", "d", "--proxy-dhcp", "eth0"],
            "it is an IPv4 address of this server, or off",
        ),
        (
            vec![
                "serve",
                "--data-dir",
                "d",
                "--proxy-dhcp",
                "127.0.0.1",
                "--dhcp-range",
                "10.0.0.9-10.0.0.1",
            ],
            "the range ends at 10.0.0.1, below its beginning 10.0.0.9",
        ),
        (vec!["serve", "--data-dir", "d", "--boot-downloads", "0"], "it is a number from 1 on"),
        (vec!["serve", "--data-dir", "d", "--advertise", "http://10.0.0.5"], "must begin with https://"),
        (vec!["machine", "lock"], "<MACHINE>"),
        (vec!["machine", "lock", "web-1", "--role", "web"], "cannot be used with"),
        (vec!["machine", "lock", "--where", "Name"], "a filter is FIELD=VALUE"),
        (vec!["machine", "roles", "web-1"], "--add"),
        (vec!["machine", "discover", "--state", "broken"], "there is no such state"),
        (vec!["mesh", "peers"], "<NETWORK>"),
        (vec!["mesh", "peers", "home", "--machine", "web-1"], "cannot be used with"),
        (vec!["vip", "create", "web", "--check", "udp::53"], "a check is tcp:HOST:PORT"),
        (vec!["vip", "create", "web", "--prefix", "10.0.0.300"], "it is an address"),
        (vec!["vip", "set", "web", "--interval", "0"], "0 is not in 1..=300"),
        (vec!["secret", "set", "APP", "--keep-value"], "--description"),
        (vec!["media", "download", "../ca.pem"], "name a file of the media directory"),
    ] {
        let (code, out, error) = muster(&args);
        assert_eq!(code, Some(2), "{args:?}");
        assert_eq!(out, "", "{args:?}");
        assert!(error.contains(told), "{args:?}: {error}");
    }
}

#[test]
fn failure_is_1_and_one_line() {
    let cases: [(&[&str], &str); 4] = [
        (&["machine", "list"], "nobody is logged in at https://127.0.0.1:8092: run `muster login`"),
        (
            &["media", "inspect", "none.iso"],
            "none.iso cannot be inspected: open the image none.iso: No such file",
        ),
        (&["media", "build", "--out", "m", "--agent", "none"], "none"),
        (&["login", "--ca", "none.pem"], "the CA file none.pem cannot be read: No such file"),
    ];
    for (args, told) in cases {
        let (code, out, error) = muster(args);
        assert_eq!(code, Some(1), "{args:?}: {error}");
        assert_eq!(out, "", "{args:?}");
        assert!(error.starts_with("muster: ") && error.contains(told), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
    }
}

#[test]
fn a_closed_port_is_told_from_a_stranger() {
    // A port that was free a moment ago, with nobody behind it any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("https://127.0.0.1:{port}");
    let (code, _, error) = muster(&["media", "download", "muster.iso", "--endpoint", &url]);
    assert_eq!(code, Some(1));
    assert!(
        error.starts_with(&format!("muster: nothing listens at {url}: start it with `muster serve`")),
        "{error}"
    );
}

#[test]
fn help_and_completions_go_to_standard_output() {
    let (code, out, error) = muster(&["bootstrap", "approve", "--help"]);
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(out.contains("MUSTER_ENDPOINT") && out.contains("--fingerprint"), "{out}");
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = muster(&["completions", shell]);
        assert_eq!(code, Some(0));
        assert!(out.contains("bootstrap"), "{shell}");
    }
}
