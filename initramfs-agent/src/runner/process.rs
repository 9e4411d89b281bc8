//! A task's script as a process: a session of its own, its output merged into one pipe, and nothing
//! of it left behind when it must go.

use crate::reap::{Reaper, Running, SpawnError};
use crate::sys;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, timeout};

/// Where a script finds its task's folder; what it starts inherits it.
pub(crate) const TASK_FOLDER: &str = "RS_TASK_DIR";
/// How long the pipe is read on after the script has ended, while something comes. A service that
/// a task started and left running may hold it open for ever.
const DRAIN: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_millis(200);
/// Rounds of ending processes that start others meanwhile, and what one that is told to end is given to do so: on a busy
/// machine it is there until a processor has time for it.
const ROUNDS: usize = 200;
const ROUND: Duration = Duration::from_millis(5);

/// Why a script does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScriptError {
    /// There is no pipe for what it says.
    #[error("cannot make a pipe")]
    Pipe(#[source] io::Error),
    /// It cannot be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

/// A script. Given up before it has ended, it ends with everything it started.
#[derive(Debug)]
pub(crate) struct Script {
    running: Running,
    output: Receiver,
    leader: Pid,
    folder: PathBuf,
    has_ended: bool,
}

impl Script {
    /// Starts it in `folder` with exactly this environment.
    ///
    /// # Errors
    /// [`ScriptError`].
    pub(crate) fn start(
        reaper: &Reaper,
        mut command: Command,
        folder: &Path,
        environment: &[(OsString, OsString)],
    ) -> Result<Self, ScriptError> {
        let (output, input) = io::pipe().map_err(ScriptError::Pipe)?;
        let output = Receiver::from_owned_fd(OwnedFd::from(output)).map_err(ScriptError::Pipe)?;
        command
            .current_dir(folder)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(input.try_clone().map_err(ScriptError::Pipe)?)
            .stderr(input);
        let running = reaper.spawn(sys::in_own_session(&mut command))?;
        // Its ends of the pipe are the script's alone from here on.
        drop(command);
        let leader = Pid::from_raw(i32::try_from(running.pid()).unwrap_or(i32::MAX));
        Ok(Self { running, output, leader, folder: folder.to_owned(), has_ended: false })
    }

    /// Hands over what it says until it has ended, and then its exit code; none when a signal ended
    /// it. Cancel safe but for the bytes that `hear` was told already.
    ///
    /// # Errors
    /// What `hear` fails with.
    pub(crate) async fn follow(
        &mut self,
        mut hear: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<Option<i32>> {
        let mut buffer = vec![0; 16 * 1_024];
        let mut is_open = true;
        let status = loop {
            tokio::select! {
                status = self.running.wait() => break status,
                count = self.output.read(&mut buffer), if is_open => {
                    let count = count.unwrap_or(0);
                    is_open = count > 0;
                    hear(buffer.get(..count).unwrap_or_default())?;
                }
            }
        };
        self.has_ended = true;
        let end = Instant::now() + DRAIN;
        while is_open && Instant::now() < end {
            let Ok(Ok(count)) = timeout(SILENCE, self.output.read(&mut buffer)).await else { break };
            is_open = count > 0;
            hear(buffer.get(..count).unwrap_or_default())?;
        }
        Ok(status.and_then(|status| status.code()))
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if !self.has_ended {
            // It may have ended this moment.
            killpg(self.leader, Signal::SIGKILL).unwrap_or(());
            end_all(&self.folder);
        }
    }
}

/// Ends every process that was started for the task in this folder, wherever it went since.
pub(crate) fn end_all(folder: &Path) {
    let mark = mark(folder);
    for _ in 0..ROUNDS {
        let found = marked(&mark);
        if found.is_empty() {
            return;
        }
        for process in found {
            // It may have ended meanwhile, or be somebody's we may not touch.
            kill(process, Signal::SIGKILL).unwrap_or(());
        }
        std::thread::sleep(ROUND);
    }
}

/// The variable that processes of the task in this folder have.
fn mark(folder: &Path) -> OsString {
    let mut mark = OsString::from(TASK_FOLDER);
    mark.push("=");
    mark.push(folder);
    mark
}

/// Processes with this variable in the environment they were started with.
fn marked(mark: &OsStr) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = Pid::this();
    let processes = entries.flatten().filter_map(|entry| {
        let process = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?);
        let environment = fs::read(entry.path().join("environ")).ok()?;
        let is_marked = environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes());
        (is_marked && process != own).then_some(process)
    });
    processes.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Whether no process of the task in this folder is left.
    pub(crate) fn is_quiet(folder: &Path) -> bool {
        marked(&mark(folder)).is_empty()
    }

    use crate::reap::tests::reaper;

    fn environment(folder: &Path) -> Vec<(OsString, OsString)> {
        vec![("PATH".into(), "/usr/bin:/bin".into()), (TASK_FOLDER.into(), folder.as_os_str().to_owned())]
    }

    fn start(folder: &Path, script: &str) -> Script {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        Script::start(&reaper(), command, folder, &environment(folder)).unwrap()
    }

    /// What a script says to its end, and its exit code.
    async fn heard(script: &mut Script) -> (Option<i32>, Vec<u8>) {
        let mut heard = Vec::new();
        let follow = script.follow(|bytes| {
            heard.extend(bytes);
            Ok(())
        });
        let code = follow.await.unwrap();
        (code, heard)
    }

    #[tokio::test]
    async fn both_outputs_are_heard_to_their_end_and_the_code_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut script = start(folder.path(), "echo one; echo two >&2; pwd; exit 7");
        let (code, heard) = heard(&mut script).await;
        assert_eq!(code, Some(7));
        let place = fs::canonicalize(folder.path()).unwrap();
        assert_eq!(String::from_utf8(heard).unwrap(), format!("one\ntwo\n{}\n", place.display()));
    }

    #[tokio::test]
    async fn a_service_that_a_script_leaves_running_does_not_hold_it_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut script = start(folder.path(), "sleep 600 & echo started");
        let (code, heard) = heard(&mut script).await;
        assert_eq!((code, heard.as_slice()), (Some(0), b"started\n".as_slice()));
        drop(script);
        assert_eq!(marked(&mark(folder.path())).len(), 1, "it was left running on purpose");
        end_all(folder.path());
    }

    #[tokio::test]
    async fn whatever_a_script_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let script = "for name in one two; do setsid sh -c 'echo $0; sleep 600; :' $name & done; wait";
        let mut script = start(folder.path(), script);
        let (tell, mut heard) = tokio::sync::mpsc::unbounded_channel();
        {
            let follow = script.follow(|bytes| {
                tell.send(bytes.to_vec()).unwrap();
                Ok(())
            });
            tokio::select! {
                _ = follow => panic!("it waits for what it started"),
                () = async {
                    let mut said = Vec::new();
                    while said.len() < "one\ntwo\n".len() {
                        said.extend(heard.recv().await.unwrap());
                    }
                } => {}
            }
        }
        assert!(marked(&mark(folder.path())).len() >= 3, "the shell, and what it started");
        drop(script);
        assert_eq!(marked(&mark(folder.path())), []);
    }
}
