//! The one-line command and its script, run by a real shell in a room of its own: its `/etc`, `/run`, `/usr/local`
//! and `/var/lib` are folders of the test, its curl, sudo, systemctl and agent scripts that note how they were
//! called.

use super::*;
use iso::manifest::{FileDigest, Identity, Manifest, SCHEMA};
use protocol::config::AgentConfig;
use protocol::installed::{
    CONFIG_FILE, HELPER_FILE, MESH_UNIT, MESH_UNIT_FILE, PROGRAM_FILE, UNIT, UNIT_FILE,
};
use ring::digest::{SHA256, digest};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What the shell of the room runs first. The script comes by its input.
const ROOM: &str = r#"set -e
for folder in etc run usr/local var/lib; do mount --bind "$ROOT/$folder" "/$folder"; done
PATH="$ROOT/bin:$PATH"
exec sh -s -- "$@""#;

const CURL: &str = r#"#!/bin/sh
echo "curl $*" >>"$ROOT/log"; env >>"$ROOT/log"
for word do case "$last" in -o) out=$word ;; -K) cat >"$ROOT/header" ;; esac; last=$word; done
case "$last" in
*/install.sh) cat "$ROOT/script" ;;
*/media/muster-agent | */media/muster-installer) cp "$ROOT/agent" "$out" ;;
*) exit 22 ;;
esac
"#;

const SYSTEMCTL: &str = r#"#!/bin/sh
echo "systemctl $*" >>"$ROOT/log"; env >>"$ROOT/log"
"#;

const SUDO: &str = r#"#!/bin/sh
echo "sudo $*" >>"$ROOT/log"
exec "$@"
"#;

const AGENT: &str = r#"#!/bin/sh
echo "agent $*" >>"$ROOT/log"
case "$*" in
--version) echo "muster-agent 0.1.0" ;;
identity) cat "$ROOT/registered" ;;
"identity --wait 90")
    if [ -e "$ROOT/refusal" ]; then cat "$ROOT/refusal" >&2; exit 1; fi
    printf '{"uuid":"u","name":"db-07","server_id":"%s"}\n' "$SERVER_ID" >"$ROOT/registered"
    echo "Registered as db-07 (u)" ;;
forget) rm -f "$ROOT/registered" /etc/muster/agent.json ;;
*) exit 2 ;;
esac
"#;

struct Room {
    app: TestApp,
    root: PathBuf,
    _folder: TempDir,
}

impl Room {
    /// A Linux, and a server with this agent among its media.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (root, clock) = (folder.path().join("root"), Clock::manual(START));
        for path in ["bin", "etc/systemd/system", "run/systemd/system", "usr/local", "var/lib"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for (name, text) in [("curl", CURL), ("systemctl", SYSTEMCTL), ("sudo", SUDO)] {
            let path = root.join("bin").join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(root.join("agent"), AGENT).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let media = directory.path().join("media");
        put_media(&media, std::env::consts::ARCH);
        let app = TestApp::open_with(&directory, &clock, |boot| boot.media = Some(media)).await;
        let app = TestApp { app, clock, directory };
        app.ensure_user("admin").await;
        Self { app, root, _folder: folder }
    }

    async fn script(&self, token: Option<&str>) -> String {
        let reached = "https://10.20.0.5:8092".parse().ok();
        self.app.install_script([10, 0, 0, 9].into(), token, reached, 8092).await
    }

    /// Runs a script as `sh -s -- ARGUMENTS` does.
    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let mut child = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", ROOM, "sh"])
            .args(arguments)
            .env("ROOT", &self.root)
            .env("SERVER_ID", self.app.keys.server_id())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn inside(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// Everything that is not there before an installation.
    fn is_untouched(&self) -> bool {
        let absent = [PROGRAM_FILE, UNIT_FILE, MESH_UNIT_FILE, "/etc/muster", "/usr/local/sbin"];
        self.log().is_empty() && absent.iter().all(|path| !self.inside(path).exists())
    }
}

fn agent_digest() -> String {
    digest(&SHA256, AGENT.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn put_media(folder: &Path, arch: &str) {
    fs::create_dir(folder).unwrap();
    let names = ["muster-agent", "muster-installer"];
    for name in names {
        fs::write(folder.join(name), AGENT).unwrap();
    }
    let file = FileDigest { size: AGENT.len() as u64, sha256: agent_digest() };
    let manifest = Manifest {
        schema: SCHEMA,
        identity: Identity {
            version: "0.1.0".into(),
            arch: arch.into(),
            kernel: "6.1.0".into(),
            profile: "cloud".into(),
            build_time: 1_700_000_000,
            marker: "MUSTER-0011aabb".into(),
        },
        files: names.map(|name| (name.to_owned(), file.clone())).into(),
        loaders: BTreeMap::new(),
        regions: vec![],
        packages: vec![],
        firmware: BTreeMap::new(),
    };
    fs::write(folder.join("manifest.json"), manifest.to_json().unwrap()).unwrap();
}

fn said(output: &Output) -> (bool, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_command_installs_and_its_token_is_in_no_argument_environment_or_log() {
    let room = Room::new().await;
    let created = room.app.token().await;
    let (head, rest) = created.command.split_once('\n').unwrap();
    assert!(head.ends_with("https://10.20.0.5:8092/install.sh <<'T' | sudo sh"), "{head}");
    assert!(!head.contains(&created.token) && rest.contains(&created.token));
    fs::write(room.root.join("script"), room.script(Some(&created.token)).await).unwrap();
    let (good, out, err) = said(&room.run(&created.command, &[]));
    assert!(good && out == "Registered as db-07 (u)\n", "{out}{err}");
    let header = fs::read_to_string(room.root.join("header")).unwrap();
    assert_eq!(header, format!("header = \"Authorization: Bearer {}\"\n", created.token));
    let log = room.log();
    let enabled = "systemctl daemon-reload\n|systemctl enable --quiet muster-agent.service muster-mesh.service\n|systemctl restart muster-agent.service\n";
    assert!(enabled.split('|').all(|line| log.contains(line)), "{log}");
    assert!(!log.contains(&created.token), "the token was told");
    assert!(!format!("{out}{err}").contains(&created.token));

    let config = AgentConfig::parse(&fs::read(room.inside(CONFIG_FILE)).unwrap()).unwrap();
    assert_eq!((config.server.len(), config.ca_hash), (1, room.app.keys.pins()));
    assert_eq!((config.token, config.origin), (Some(created.token), Some(Origin::Cli)));
    assert_eq!([mode(&room.inside(CONFIG_FILE)), mode(&room.inside("/etc/muster"))], [0o600, 0o700]);
    assert_eq!(mode(&room.inside(PROGRAM_FILE)), 0o755);
    assert_eq!(mode(&room.inside("/usr/local/sbin")), 0o755, "other programs go there, too");
    for (file, text) in [(UNIT_FILE, UNIT), (MESH_UNIT_FILE, MESH_UNIT)] {
        assert_eq!(
            (fs::read_to_string(room.inside(file)).unwrap().as_str(), mode(&room.inside(file))),
            (text, 0o644)
        );
    }
}

#[tokio::test]
async fn a_second_run_changes_nothing_and_uninstalling_leaves_nothing() {
    let room = Room::new().await;
    let script = room.script(Some(&room.app.token().await.token)).await;
    assert!(said(&room.run(&script, &[])).0);
    fs::write(room.inside(CONFIG_FILE), "as the agent left it").unwrap();
    fs::write(room.root.join("log"), "").unwrap();
    let (good, out, _) = said(&room.run(&script, &[]));
    assert!(good && out == "Registered as db-07 (u)\n", "{out}");
    assert!(!room.log().contains("curl "), "nothing is downloaded again");
    assert_eq!(fs::read_to_string(room.inside(CONFIG_FILE)).unwrap(), "as the agent left it");
    let names = fs::read_dir(room.inside("/usr/local/sbin")).unwrap().count();
    assert_eq!(names, 2, "no temporary file stays");

    // Taken away without a token, twice.
    fs::write(room.root.join("log"), "").unwrap();
    let bare = room.script(None).await;
    for expected in ["the agent is gone", "there is no agent here"] {
        let (good, out, err) = said(&room.run(&bare, &["--uninstall"]));
        assert!(good && out.contains(expected), "{out}{err}");
    }
    let log = room.log();
    let steps =
        ["systemctl disable --quiet --now muster-agent.service", "agent forget", "systemctl daemon-reload"];
    let places: Vec<_> = steps.iter().map(|step| log.find(step).expect(step)).collect();
    assert!(places.is_sorted(), "stopped, it says goodbye; then its key goes: {log}");
    let gone = [PROGRAM_FILE, HELPER_FILE, UNIT_FILE, MESH_UNIT_FILE];
    for path in gone.into_iter().chain(["/etc/muster", "/var/lib/muster", "/run/muster"]) {
        assert!(!room.inside(path).exists(), "{path}");
    }
}

#[tokio::test]
async fn the_helper_comes_along_where_the_media_have_one() {
    let room = Room::new().await;
    let script = room.script(Some(&room.app.token().await.token)).await;
    let without = script.replace(&format!("helper_sha256='{}'", agent_digest()), "helper_sha256=''");
    assert_ne!(script, without);
    assert!(said(&room.run(&without, &[])).0);
    assert!(room.inside(PROGRAM_FILE).exists() && !room.inside(HELPER_FILE).exists());
    assert!(said(&room.run(&script, &[])).0);
    assert_eq!(mode(&room.inside(HELPER_FILE)), 0o755);
}

#[tokio::test]
async fn a_token_that_registers_nobody_says_why_and_installs_nothing() {
    let room = Room::new().await;
    let token = room.app.token().await;
    let admin = admin();
    let revoked = room.app.token().await;
    room.app.revoke_token(&admin, &revoked.id).await.unwrap();
    room.app.pass(1);
    let mut told = vec![
        (room.script(None).await, "there is no bootstrap token"),
        (room.script(Some("nonsense")).await, "damaged or not one of this server's"),
        (room.script(Some(&revoked.token)).await, "was revoked"),
    ];
    room.app.pass(600);
    told.push((room.script(Some(&token.token)).await, "the bootstrap token expired"));
    for (script, why) in told {
        let (good, out, err) = said(&room.run(&script, &[]));
        assert!(!good && out.is_empty() && err.contains(why), "{why}: {out}{err}");
        assert!(room.is_untouched(), "{why}");
        assert!(!script.contains("eyJ"), "no token in a script that installs nothing");
    }
}

#[tokio::test]
async fn what_the_agent_says_against_registering_is_the_commands_last_word() {
    let room = Room::new().await;
    let script = room.script(Some(&room.app.token().await.token)).await;
    let refusal = "muster-agent: not registered: E44 the token does not cover this machine";
    fs::write(room.root.join("refusal"), refusal).unwrap();
    let (good, out, err) = said(&room.run(&script, &[]));
    assert!(!good && out.is_empty(), "{out}");
    assert!(err.ends_with("muster: not registered: E44 the token does not cover this machine\n"), "{err}");
    // With another token it goes on where it was.
    fs::remove_file(room.root.join("refusal")).unwrap();
    let again = room.script(Some(&room.app.token().await.token)).await;
    assert!(said(&room.run(&again, &[])).0);
    let config = fs::read_to_string(room.inside(CONFIG_FILE)).unwrap();
    assert!(again.contains(config.trim()), "the other token");
}

#[tokio::test]
async fn systems_that_it_is_not_for_are_left_alone() {
    let room = Room::new().await;
    let script = room.script(Some(&room.app.token().await.token)).await;
    let other = script.replace(&format!("arch='{}'", std::env::consts::ARCH), "arch='riscv64'");
    let (good, _, err) = said(&room.run(&other, &[]));
    assert!(!good && err.contains("the server's agent is for riscv64"), "{err}");
    fs::remove_dir(room.inside("/run/systemd/system")).unwrap();
    let (good, _, err) = said(&room.run(&script, &[]));
    assert!(!good && err.contains("systemd"), "{err}");
    fs::create_dir(room.inside("/run/systemd/system")).unwrap();
    let (good, _, err) = said(&room.run(&script, &["--help"]));
    assert!(!good && err.contains("usage"), "{err}");
    assert!(room.is_untouched());

    // Somebody between server and machine.
    fs::write(room.root.join("agent"), "#!/bin/sh\n").unwrap();
    let (good, _, err) = said(&room.run(&script, &[]));
    assert!(!good && err.contains("is not its muster-agent; nothing was installed"), "{err}");
    assert!(!room.inside(PROGRAM_FILE).exists() && !room.inside("/etc/muster").exists());
    assert_eq!(fs::read_dir(room.inside("/usr/local/sbin")).unwrap().count(), 0);

    // Another server's machine.
    fs::write(room.root.join("agent"), AGENT).unwrap();
    assert!(said(&room.run(&script, &[])).0);
    fs::write(room.root.join("registered"), r#"{"server_id":"another"}"#).unwrap();
    let (good, _, err) = said(&room.run(&script, &[]));
    assert!(!good && err.contains("registered with the server another"), "{err}");
}

#[tokio::test]
async fn a_script_that_was_cut_off_anywhere_does_nothing() {
    let room = Room::new().await;
    let script = room.script(Some(&room.app.token().await.token)).await;
    let lines = script.match_indices('\n').map(|(at, _)| at + 1).filter(|at| *at < script.len());
    let end = script.len() - 20..script.len() - 1;
    for length in lines.chain(end) {
        room.run(script.get(..length).unwrap(), &["--uninstall"]);
        assert!(room.is_untouched(), "cut off after {length} bytes");
    }
}

#[tokio::test]
async fn shellcheck_has_nothing_to_say() {
    let room = Room::new().await;
    let script = room.script(Some(&room.app.token().await.token)).await;
    let path = room.root.join("install.sh");
    fs::write(&path, script).unwrap();
    match Command::new("shellcheck")
        .args(["--shell=sh", "--enable=all", "--exclude=SC2310,SC2312,SC2250"])
        .arg(&path)
        .output()
    {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout)),
        // `scripts/setup` installs it; everywhere else the shell itself is what counts.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}
