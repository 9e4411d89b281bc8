//! A PostgreSQL server for the contract suite: Debian's package, started by the test in a
//! directory of its own, reachable through a socket there and nowhere else.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The unprivileged user Debian's package brings; PostgreSQL refuses to run as root.
const USER: &str = "postgres";

/// A running server. Dropping it stops the server and deletes its files.
#[derive(Debug)]
pub(super) struct Postgres {
    directory: TempDir,
    programs: PathBuf,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub(super) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("muster-pg").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let server = Self { programs: programs(), directory };
        let data = server.data();
        server.run("initdb", &["-D", &data, "-A", "trust", "-U", USER, "--no-sync"]);
        let socket = server.directory.path().display();
        let options = format!("-c listen_addresses= -c unix_socket_directories={socket} -c fsync=off");
        let log = server.directory.path().join("log").display().to_string();
        server.run("pg_ctl", &["-D", &data, "-l", &log, "-o", &options, "-w", "start"]);
        server
    }

    /// A fresh database.
    pub(super) fn database(&self, name: &str) -> String {
        let socket = self.directory.path().display().to_string();
        self.run("createdb", &["-h", &socket, "-U", USER, name]);
        format!("postgres:///{name}?host={socket}&user={USER}")
    }

    fn data(&self) -> String {
        self.directory.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.output(program, arguments);
        assert!(
            output.status.success(),
            "{program} failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.programs.join(program);
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command.args([&format!("--reuid={USER}"), &format!("--regid={USER}"), "--init-groups", "--"]);
            command.arg(program);
            command
        } else {
            Command::new(program)
        };
        // pg_ctl's server inherits these; an open pipe would be waited for.
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(self.directory.path().join("output"))
            .unwrap();
        let status = command
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        let said = std::fs::read(self.directory.path().join("output")).unwrap();
        Output { status, stdout: Vec::new(), stderr: said }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stopped = self.output("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
        if !stopped.status.success() && !std::thread::panicking() {
            panic!("PostgreSQL did not stop: {}", String::from_utf8_lossy(&stopped.stderr));
        }
    }
}

fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").map(|entries| {
        entries
            .filter_map(Result::ok)
            .map(|entry| entry.path().join("bin"))
            .filter(|bin| bin.join("initdb").exists())
    });
    let newest = versions.ok().and_then(Iterator::max);
    newest.unwrap_or_else(|| {
        panic!(
            "no PostgreSQL under {}: run `apt-get install postgresql`",
            Path::new("/usr/lib/postgresql").display()
        )
    })
}
