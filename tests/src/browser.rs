//! The dashboard in a real Chromium: runs the scripts of `dashboard/e2e/` with Node.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::muster::Server;
use crate::output;
use crate::process::Spec;

/// Lines of a script's output that a failure shows.
const SHOWN_LINES: usize = 40;

/// Runs `dashboard/e2e/SCRIPT` against a server, logged in as `admin`, and gives back what it
/// printed. Screenshots go to `shots` in the server's folder.
///
/// `settings` are passed as environment variables beside `MUSTER_URL`, `MUSTER_USERNAME`,
/// `MUSTER_PASSWORD` and `MUSTER_SHOTS`.
///
/// # Errors
/// When the script fails or takes longer than `within`; with what it printed.
pub fn run(server: &Server, script: &str, settings: &[(&str, &str)], within: Duration) -> Result<String> {
    let shots = server.folder().join("shots");
    std::fs::create_dir_all(&shots).with_context(|| format!("cannot make {}", shots.display()))?;
    let path = output::workspace().join("dashboard/e2e").join(script);
    if !path.is_file() {
        bail!("{} does not exist", path.display());
    }
    let mut spec = Spec::new(&node(), server.folder(), script)
        .args([&path])
        .env("MUSTER_URL", server.url())
        .env("MUSTER_USERNAME", "admin")
        .env("MUSTER_PASSWORD", server.admin_password()?)
        .env("MUSTER_CA", server.ca_file())
        .env("MUSTER_SHOTS", &shots);
    for (key, value) in settings {
        spec = spec.env(*key, *value);
    }
    let mut process = spec.start()?;
    let ended = process.wait(within);
    let read = |path| std::fs::read_to_string(path).context("cannot read a script's output");
    let (out, err) = (read(process.stdout())?, read(process.stderr())?);
    match ended {
        Ok(status) if status.success() => Ok(out),
        Ok(status) => bail!("{script} ended with {status}:\n{}", output::tail(&(out + &err), SHOWN_LINES)),
        Err(error) => bail!("{script}: {error:#}:\n{}", output::tail(&(out + &err), SHOWN_LINES)),
    }
}

/// Node: `NODE`, else the one on the path.
fn node() -> PathBuf {
    std::env::var_os("NODE").map_or_else(|| "node".into(), PathBuf::from)
}
