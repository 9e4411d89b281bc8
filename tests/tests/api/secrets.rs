//! Secrets stay where they belong: after everything that can be done with them, none is found
//! in a log, in the database with its audit rows, in an event or in a list.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::agent_api::Approved;
use protocol::rest::TokenCreate;
use tests::operator::Operator;
use tests::process::{Process, Spec};
use tests::{output, wait};

use crate::Site;

const WRONG_PASSWORD: &str = "wrong-horse-battery";

/// Every file of a folder, at most two levels deep.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let (folders, mut files): (Vec<_>, Vec<_>) = entries(folder).into_iter().partition(|path| path.is_dir());
    files.extend(folders.iter().flat_map(|folder| entries(folder)).filter(|path| path.is_file()));
    files
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// What each secret is, and the secret.
pub(crate) type Secrets<'a> = [(&'a str, &'a str)];

/// Everything the server keeps, but for the one file that is there to tell the first password.
pub(crate) fn no_file_holds(data_dir: &Path, secrets: &Secrets<'_>, machine_key: &[u8]) {
    let mut looked_at = 0;
    for path in files(data_dir) {
        if path.file_name().is_some_and(|name| name == "admin-password") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        looked_at += bytes.len();
        for (what, secret) in secrets {
            assert!(!contains(&bytes, secret.as_bytes()), "{what} is in {}", path.display());
        }
        assert!(!contains(&bytes, machine_key), "a machine's key is in {}", path.display());
    }
    assert!(looked_at > 16 * 1_024, "the database was not looked at");
}

/// Logs in as a browser does, after a wrong password, and gives back the session's secret.
fn session_cookie(site: &Site, password: &str) -> String {
    let anonymous = Operator::anonymous(&site.server.url(), &site.target.ca_pem).unwrap();
    let login = |password: &str| {
        anonymous
            .post("/api/v3/session", &serde_json::json!({ "Username": "admin", "Password": password }))
            .unwrap()
    };
    assert_eq!(login(WRONG_PASSWORD).status, 401);
    let session = login(password);
    let cookie = session.header("set-cookie").unwrap().split(';').next().unwrap();
    cookie.split_once('=').unwrap().1.to_owned()
}

/// A token that is refused in every way an authentic one can be, and then revoked.
fn use_up_and_revoke(site: &mut Site) -> String {
    let terms = TokenCreate { lifetime: 600, max_uses: Some(1), ..TokenCreate::default() };
    let token = site.operator.issue(&terms).unwrap();
    for expected in [201, 403] {
        assert_eq!(site.machine().try_register(&token.token).unwrap().status, expected);
    }
    site.operator.delete(&format!("/api/v3/bootstrap/tokens/{}", token.id)).unwrap();
    assert_eq!(site.machine().try_register(&token.token).unwrap().status, 401);
    // Typed where only its id belongs.
    let typed = site.operator.delete(&format!("/api/v3/bootstrap/tokens/{}", token.token)).unwrap();
    assert_eq!(typed.status, 422);
    token.token
}

/// What no mask of headers would know: the middle of the ciphertext.
fn sealed_part(token: &str) -> &str {
    let sealed = token.split('.').nth(3).unwrap();
    &sealed[60..100]
}

/// Listens to every event from now on.
fn listen(site: &mut Site) -> Process {
    let spec = Spec::new(&output::muster_binary().unwrap(), site.server.folder(), "events");
    let events = spec
        .args(["events"])
        .env("MUSTER_ENDPOINT", site.server.url())
        .env("MUSTER_CA", site.server.ca_file())
        .env("MUSTER_API_TOKEN", site.operator.reveal_token().unwrap())
        .start()
        .unwrap();
    // It listens once it hears a machine ask and take its request back.
    let listens = || {
        let mut machine = site.machine();
        let pending = machine.enroll()?;
        machine.try_cancel(pending.id)?;
        Ok((!heard(site).is_empty()).then_some(()))
    };
    wait::until("an event", Duration::from_secs(20), listens).unwrap();
    events
}

fn heard(site: &Site) -> String {
    std::fs::read_to_string(site.server.folder().join("events.out")).unwrap()
}

#[test]
fn no_secret_is_found_in_logs_database_or_answers() {
    let mut site = Site::start("secrets");
    let password = site.server.admin_password().unwrap();
    let api_token = site.operator.reveal_token().unwrap().to_owned();
    let mut events = listen(&mut site);
    let token = site.operator.create_token(600).unwrap().token;
    let mut machine = site.machine();
    let approved: Approved = machine.try_register(&token).unwrap().expect(201).unwrap();
    machine.acknowledge(&approved).unwrap();
    machine.heartbeat().unwrap();
    let access_token = machine.access_token().unwrap().to_owned();
    // Used wrongly, too: refusals are logged.
    let mut damaged = token.clone();
    damaged.pop();
    site.machine().try_register(&damaged).unwrap();
    let revoked = use_up_and_revoke(&mut site);
    let cookie = session_cookie(&site, &password);
    let mut waiting = site.machine();
    let code = waiting.enroll().unwrap().code.unwrap();
    let told = || Ok(heard(&site).contains(&waiting.inventory.serial).then_some(()));
    wait::until("the last event", Duration::from_secs(20), told).unwrap();
    events.kill().unwrap();
    site.server.stop().unwrap();

    let secrets = [
        ("the password", password.as_str()),
        ("a wrong password", WRONG_PASSWORD),
        ("an API token", &api_token),
        ("a bootstrap token", &token),
        ("a damaged bootstrap token", &damaged[..damaged.len() - 1]),
        ("the sealed part of a bootstrap token", sealed_part(&token)),
        ("a revoked bootstrap token", &revoked),
        ("a machine's access token", &access_token),
        ("a session's cookie", &cookie),
    ];
    let logs = site.server.logs().unwrap();
    let events = heard(&site);
    assert!(events.contains(&approved.machine.uuid.to_string()), "the registration made no event");
    for (what, secret) in secrets {
        assert!(!logs.contains(secret), "{what} is in the server's log");
        assert!(!events.contains(secret), "{what} is in an event");
    }
    assert!(!logs.contains(&code.to_string()) && !logs.contains(code.as_str()), "a live code is in the log");
    no_file_holds(site.server.data_dir(), &secrets, machine.pkcs8());

    site.server.start_again().unwrap();
    let operator = site.server.operator().unwrap();
    for path in [
        "/api/v3/machines",
        "/api/v3/bootstrap/enrollments",
        "/api/v3/bootstrap/tokens",
        "/api/v3/keys/token",
        "/api/v3/info",
        "/metrics",
        "/api/v3/openapi.json",
    ] {
        let answer = operator.get(path).unwrap();
        assert_eq!(answer.status, 200, "{path}");
        for (what, secret) in secrets {
            assert!(!answer.text().contains(secret), "{what} is in {path}");
        }
    }
    let list = operator.get("/api/v3/bootstrap/enrollments").unwrap().text();
    assert!(!list.contains(&code.to_string()), "the list of requests shows a code");
}

#[test]
fn what_the_server_keeps_is_readable_by_the_server_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = Site::start("secrets-modes");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let data = site.server.data_dir();
    assert_eq!(mode(data), 0o700);
    // Secrets by themselves too: backups copy files without the folder around them.
    let secrets: Vec<PathBuf> =
        files(&data.join("keys")).into_iter().chain([data.join("admin-password")]).collect();
    assert!(secrets.len() > 5);
    for path in secrets {
        assert_eq!(mode(&path) & 0o077, 0, "{} has mode {:o}", path.display(), mode(&path));
    }
}
