//! Digital Rebar's own Python client, unmodified, over verified TLS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tests::muster::Server;
use tests::process::Spec;

/// Longest run of one of the programs.
const WITHIN: Duration = Duration::from_secs(120);

/// The interpreter of the package's own environment, which `scripts/setup` makes.
fn python() -> Result<PathBuf> {
    let cache = match std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cache"),
    };
    let python = cache.join("muster/drppy/bin/python");
    ensure!(python.exists(), "{} is missing: run make setup", python.display());
    Ok(python)
}

/// Runs a program of `tests/clients/drppy` against a server; answers what it said.
fn run(server: &Server, program: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/drppy").join(program);
    let ca = server.ca_file();
    let mut process = Spec::new(&python()?, server.folder(), program)
        .args(["-B".as_ref(), path.as_os_str()])
        .env("MUSTER_ENDPOINT", server.url())
        .env("MUSTER_CA", &ca)
        .env("MUSTER_USERNAME", "admin")
        .env("MUSTER_PASSWORD", server.admin_password()?)
        .start()?;
    let status = process.wait(WITHIN)?;
    let read = |stream: &str| std::fs::read_to_string(server.folder().join(format!("{program}.{stream}")));
    let (out, error) = (read("out")?, read("err")?);
    ensure!(status.success(), "{program} ended with {status}\n{out}{error}");
    Ok(out)
}

#[test]
fn digital_rebars_python_client_drives_the_server() {
    let server = Server::builder("drppy-journey").start().unwrap();
    let told = run(&server, "journey.py").unwrap();
    assert!(told.lines().last().is_some_and(|line| line == "all 9 held"), "{told}");
}

#[test]
fn examples_that_come_with_the_python_client_run_as_they_are() {
    let server = Server::builder("drppy-shipped").start().unwrap();
    let told = run(&server, "shipped.py").unwrap();
    assert_eq!(told.trim(), "all shipped examples ran");
}
