//! A server with a data directory of its own, and commands run against it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The program.
pub(crate) const MUSTER: &str = env!("CARGO_BIN_EXE_muster");

/// A server with a data directory of its own; stopped when dropped.
pub(crate) struct Server {
    pub(crate) process: Child,
    folder: TempDir,
    pub(crate) url: String,
}

/// How a command ended and what it wrote.
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Command::new(MUSTER)
            .args(["serve", "--listen", "127.0.0.1:0", "--http-listen", "off", "--data-dir"])
            .arg(folder.path().join("data"))
            .env("MUSTER_LOG", "error")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("ready ").expect("the ready line").to_owned();
        Self { process, folder, url }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn password(&self) -> String {
        std::fs::read_to_string(self.file("data/admin-password")).unwrap().trim().to_owned()
    }

    /// Runs a command with a home of this server's own; `input` is its standard input.
    pub(crate) fn run(&self, args: &[&str], env: &[(&str, &str)], input: &str) -> Told {
        let mut child = Command::new(MUSTER)
            .args(args)
            .env_clear()
            .env("HOME", self.file("home"))
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Told { code: output.status.code(), out: text(output.stdout), error: text(output.stderr) }
    }

    pub(crate) fn log_in(&self) -> Told {
        let ca = self.file("data/ca.pem");
        let args = ["login", "--endpoint", &self.url, "--ca", ca.to_str().unwrap()];
        self.run(&args, &[], &format!("{}\n", self.password()))
    }

    /// A server that somebody is logged in at.
    pub(crate) fn logged_in() -> Self {
        let server = Self::start();
        let told = server.log_in();
        assert_eq!(told.code, Some(0), "{}", told.error);
        server
    }

    /// What a command writes that has to go well.
    pub(crate) fn done(&self, args: &[&str]) -> String {
        let told = self.run(args, &[], "");
        assert_eq!(told.code, Some(0), "{args:?}: {}", told.error);
        told.out
    }

    /// The same as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.done(&[args, &["-o", "json"]].concat())).unwrap()
    }

    /// What a command writes that has to fail.
    pub(crate) fn failed(&self, args: &[&str]) -> Told {
        let told = self.run(args, &[], "");
        assert_eq!(told.code, Some(1), "{args:?}: {}", told.out);
        told
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
