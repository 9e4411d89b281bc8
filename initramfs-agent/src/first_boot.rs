//! `muster-agent first-boot`: the last task of an installation, run by the agent of the system that was just
//! installed. Waits until cloud-init has had its say, and tells the server how that ended and what runs here.
//!
//! What cloud-init leaves behind: `result.json` and `status.json` in `/run/cloud-init`, as its documentation
//! ("Reference: status") has them; exit code 2 of `cloud-init status` are errors that it went on after.

use crate::api::rest::Call;
use crate::reap::{Reaper, SpawnError};
use crate::report::chain;
use crate::runner::settings::{Settings, SettingsError};
use crate::runner::{AskError, ask};
use crate::runtime;
use hyper::Method;
use protocol::install::FirstBoot;
use protocol::inventory::clean_text;
use serde::Deserialize;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// The run that this is the first boot of.
const RUN: &str = "MUSTER_RUN";
const CLOUD_INIT: &str = "cloud-init";
/// How long cloud-init may take; the step's own deadline is the server's.
const PATIENCE: Duration = Duration::from_secs(1_000);
/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 256 * 1_024;
/// Most errors that are told, and their length in bytes.
const MAX_ERRORS: usize = 16;
const MAX_ERROR: usize = 512;

/// Why the first boot is not told.
#[derive(Debug, thiserror::Error)]
enum FirstBootError {
    #[error("this is the boot image and not the installed system; the machine did not boot its disk")]
    BootImage,
    #[error("{RUN} in the environment is not the id of a run; the task sets it")]
    Run,
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot start")]
    Start(#[source] io::Error),
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    #[error("cannot compose the report")]
    Compose(#[from] serde_json::Error),
    #[error("cannot tell the server")]
    Ask(#[from] AskError),
}

/// How waiting for cloud-init ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    /// There is none.
    Absent,
    /// With this exit code, if it had one.
    Ended(Option<i32>),
    /// Not in time.
    Late,
}

/// `muster-agent first-boot`.
pub(crate) fn run() -> ExitCode {
    let outcome = runtime::block_on(tell()).map_err(FirstBootError::Start).flatten();
    let written = match &outcome {
        Ok(told) => writeln!(io::stdout(), "{} runs; cloud-init: {}", told.os, told.cloud_init),
        Err(error) => writeln!(io::stdout(), "error: {}", chain(error)),
    };
    if outcome.is_ok() && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn tell() -> Result<FirstBoot, FirstBootError> {
    if is_boot_image() {
        return Err(FirstBootError::BootImage);
    }
    let run =
        std::env::var(RUN).ok().and_then(|text| text.parse::<Uuid>().ok()).ok_or(FirstBootError::Run)?;
    let settings = Settings::read([], |name| std::env::var_os(name))?;
    let waited = wait().await?;
    let told = report(Path::new("/"), waited);
    let call = Call::new(Method::POST, format!("/api/v3/provisions/{run}/first-boot"));
    ask(&settings, &call.body(serde_json::to_vec(&told)?)).await?;
    Ok(told)
}

/// Whether process 1 is this very program.
fn is_boot_image() -> bool {
    let file = |path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((file("/proc/1/exe"), file("/proc/self/exe")), (Ok(first), Ok(own)) if first == own)
}

async fn wait() -> Result<Waited, FirstBootError> {
    let (reaper, _collector) = Reaper::start().map_err(FirstBootError::Start)?;
    let mut command = Command::new(CLOUD_INIT);
    command.args(["status", "--wait"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut running = match reaper.spawn(&mut command) {
        Ok(running) => running,
        Err(SpawnError::Program { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(Waited::Absent);
        }
        Err(error) => return Err(error.into()),
    };
    Ok(match timeout(PATIENCE, running.wait()).await {
        Ok(status) => Waited::Ended(status.and_then(|status| status.code())),
        Err(_) => Waited::Late,
    })
}

/// What the system beneath `root` tells of its first boot.
fn report(root: &Path, waited: Waited) -> FirstBoot {
    let os = ["etc/os-release", "usr/lib/os-release"].iter().find_map(|file| text(&root.join(file)));
    let (cloud_init, errors) = outcome(root, waited);
    let errors = errors.iter().take(MAX_ERRORS).map(|error| cut(&clean_text(error))).collect();
    FirstBoot {
        os: os.map(|text| os_name(&text)).unwrap_or_default(),
        cloud_init: cloud_init.to_owned(),
        errors,
    }
}

fn outcome(root: &Path, waited: Waited) -> (&'static str, Vec<String>) {
    let code = match waited {
        Waited::Absent => return ("none", Vec::new()),
        Waited::Late => {
            let late = format!("cloud-init did not end within {} s", PATIENCE.as_secs());
            return ("error", vec![late]);
        }
        Waited::Ended(code) => code,
    };
    let folder = root.join("run/cloud-init");
    let read = |name: &str| {
        text(&folder.join(name)).and_then(|text| serde_json::from_slice::<Versioned>(text.as_bytes()).ok())
    };
    let errors: Vec<String> =
        read("result.json").map(|result| words(&result.v1["errors"])).unwrap_or_default();
    let status = read("status.json").map(|status| status.v1).unwrap_or_default();
    let passed_over: Vec<String> = status
        .as_object()
        .into_iter()
        .flat_map(|stages| stages.values())
        .filter_map(|stage| stage.get("recoverable_errors")?.as_object())
        .flat_map(|kinds| kinds.values().flat_map(words))
        .collect();
    match code {
        _ if !errors.is_empty() => ("error", errors),
        Some(0) if passed_over.is_empty() => {
            // Switched off, it ends well and leaves nothing.
            (if folder.join("result.json").exists() { "done" } else { "none" }, errors)
        }
        Some(0 | 2) => ("degraded", passed_over),
        Some(_) | None => {
            let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
            ("error", vec![format!("cloud-init status --wait ended with {code}")])
        }
    }
}

#[derive(Deserialize)]
struct Versioned {
    #[serde(default)]
    v1: Value,
}

fn words(list: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    list.as_array().into_iter().flatten().map(word).collect()
}

/// `ID-VERSION_ID`, or `ID` where a system has no versions (`os-release(5)`).
fn os_name(text: &str) -> String {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))?;
        let value = line.trim().trim_matches(['"', '\'']);
        Some(cut(&clean_text(value))).filter(|value| !value.is_empty())
    };
    let id = value("ID").unwrap_or_else(|| "linux".to_owned());
    value("VERSION_ID").map_or_else(|| id.clone(), |version| format!("{id}-{version}"))
}

fn cut(text: &str) -> String {
    text.chars()
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= MAX_ERROR).then_some(c)
        })
        .collect()
}

/// A file as text; what cannot be read is told as if it were absent.
fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn told(files: &[(&str, &str)], waited: Waited) -> (String, Vec<String>) {
        let FirstBoot { cloud_init, errors, .. } = report(system(files).path(), waited);
        (cloud_init, errors)
    }

    const RESULT: &str = "run/cloud-init/result.json";
    const STATUS: &str = "run/cloud-init/status.json";
    const GOOD: &str = r#"{"v1": {"datasource": "DataSourceNoCloud", "errors": []}}"#;

    #[test]
    fn systems_are_named_by_id_and_version() {
        for (text, name) in [
            ("NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n", "debian-12"),
            ("ID='arch'\nVERSION_ID=\n", "arch"),
            ("BUILD_ID=7\n", "linux"),
            ("", "linux"),
        ] {
            let root = system(&[("usr/lib/os-release", text)]);
            assert_eq!(report(root.path(), Waited::Absent).os, name, "{text:?}");
        }
        assert_eq!(
            report(Path::new("/nonexistent"), Waited::Absent),
            FirstBoot { cloud_init: "none".into(), ..FirstBoot::default() }
        );
    }

    #[test]
    fn every_end_of_cloud_init_has_its_word() {
        let ended = |code| Waited::Ended(Some(code));
        assert_eq!(told(&[(RESULT, GOOD)], ended(0)), ("done".into(), vec![]));
        assert_eq!(told(&[], ended(0)), ("none".into(), vec![]), "it is switched off");
        let failed = r#"{"v1": {"errors": ["('scripts-user', RuntimeError('1 failures'))"]}}"#;
        let (word, errors) = told(&[(RESULT, failed)], ended(1));
        assert_eq!((word.as_str(), errors.len()), ("error", 1));
        let warned = r#"{"v1": {"init": {"recoverable_errors": {"WARNING": ["no key", 7]}}, "stage": null}}"#;
        for code in [0, 2] {
            let told = told(&[(RESULT, GOOD), (STATUS, warned)], ended(code));
            assert_eq!(told, ("degraded".into(), vec!["no key".into(), "7".into()]));
        }
        assert_eq!(told(&[(RESULT, GOOD)], ended(2)).0, "degraded");
        assert_eq!(told(&[(RESULT, "{")], ended(1)).0, "error");
        assert!(told(&[], Waited::Late).1.concat().contains("did not end within"));
        assert_eq!(told(&[], Waited::Ended(None)).0, "error");
    }

    #[test]
    fn what_goes_wrong_is_told_within_limits() {
        let long =
            format!(r#"{{"v1": {{"errors": {}}}}}"#, serde_json::json!(vec!["\u{1b}[2Jö".repeat(400); 40]));
        let (_, errors) = told(&[(RESULT, &long)], Waited::Ended(Some(1)));
        assert_eq!(errors.len(), MAX_ERRORS);
        assert!(errors.iter().all(|error| error.len() <= MAX_ERROR && !error.contains('\u{1b}')));
    }
}
