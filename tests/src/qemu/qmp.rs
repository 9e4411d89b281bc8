//! QEMU's machine protocol: one JSON object a line over a Unix socket
//! (QEMU `docs/interop/qmp-spec`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::wait;

/// Longest wait for one answer: a busy TCG machine holds QEMU's main lock for seconds.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Most events passed over while waiting for one answer.
const MAX_EVENTS: usize = 10_000;

/// A connection to a running QEMU.
#[derive(Debug)]
pub(super) struct Qmp {
    stream: BufReader<UnixStream>,
}

impl Qmp {
    /// Connects as soon as QEMU listens; `alive` fails when QEMU has ended.
    pub(super) fn connect(path: &Path, mut alive: impl FnMut() -> Result<()>) -> Result<Self> {
        let stream = wait::until("QEMU's control socket", ANSWER_WITHIN, || {
            alive()?;
            // Refused or missing: QEMU is still starting.
            Ok(UnixStream::connect(path).ok())
        })?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).context("cannot set a time limit")?;
        stream.set_write_timeout(Some(ANSWER_WITHIN)).context("cannot set a time limit")?;
        let mut qmp = Self { stream: BufReader::new(stream) };
        qmp.read().context("no greeting from QEMU")?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and gives its answer back; events in between are passed over.
    pub(super) fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let mut line = json!({ "execute": command, "arguments": arguments }).to_string();
        line.push('\n');
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .with_context(|| format!("QEMU does not take {command}"))?;
        for _ in 0..MAX_EVENTS {
            let mut answer = self.read().with_context(|| format!("no answer from QEMU to {command}"))?;
            if let Some(error) = answer.get("error") {
                bail!("QEMU refused {command}: {error}");
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
        bail!("QEMU answers {command} with events only");
    }

    fn read(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).context("cannot read from QEMU")? == 0 {
            bail!("QEMU closed its control socket");
        }
        serde_json::from_str(&line).context("QEMU sent something else than JSON")
    }
}
