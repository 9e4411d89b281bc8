//! The runner: asks the server for a machine's jobs, one after another, runs them and reports
//! (`spec/machine-model.md` 4). In the boot image process 1 starts it when there is work; for other
//! contexts anybody starts it on any Linux.
//!
//! What to do next is decided by [`plan`], what an exit code means by [`outcome`]; the rest does it.
//! A runner that is killed loses nothing but time: the next one finds the job it left and runs it
//! again, under a lease of its own.

mod calls;
pub(crate) mod child;
mod folder;
mod job;
mod log;
mod outcome;
mod plan;
mod process;
pub(crate) mod settings;
mod spool;
#[cfg(test)]
mod tests;
mod wire;

use crate::api::rest::{Call, Reply};
use crate::deadline::since_boot;
use crate::reap::Reaper;
use crate::report::{chain, printable};
use crate::runtime;
use calls::{Asked, CallError, Credential, Held, Muster, escaped};
use hyper::{Method, StatusCode};
use job::{JobError, Ran, Run};
use outcome::JobEnd;
use plan::{Course, Order, Seen};
use protocol::model::JobState;
use settings::{Settings, SettingsError};
use std::fs::{self, DirBuilder};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use wire::{Job, Machine};

pub(crate) use plan::Ending;
pub(crate) use process::TASK_FOLDER;

/// How long one call of a task waits for a server that is away.
const TASK_PATIENCE: Duration = Duration::from_secs(120);
/// Names the job that another runner took, for the runners that come after this one.
const LOST: &str = "lost";
/// Longest sentence that is said, in characters.
const MAX_SENTENCE: usize = 400;
/// Longest body of such a call, in bytes.
const MAX_BODY: u64 = 4 * 1_024 * 1_024;

impl Ending {
    /// The runner's exit code: as that of a task's script, where there is one for it.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Idle => 0,
            Self::Refused => 3,
            Self::Stop => 16,
            Self::PowerOff => 32,
            Self::Reboot => 64,
        }
    }

    /// What an exit code says; none for those of a runner that could not go on.
    pub(crate) fn of_code(code: i32) -> Option<Self> {
        let all = [Self::Idle, Self::Refused, Self::Stop, Self::PowerOff, Self::Reboot];
        all.into_iter().find(|ending| i32::from(ending.code()) == code)
    }
}

/// Why a runner ends before its time.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("cannot start")]
    Start(#[source] io::Error),
    #[error("cannot use the folder {path}; set RS_RUNNER_DIR to another one")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Asking(#[from] AskError),
}

/// Why a call of a task has no good answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody answered.
    #[error("no answer within {} s", TASK_PATIENCE.as_secs())]
    Late,
    /// The token is no longer taken.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The server said no.
    #[error("HTTP {status} {message}")]
    Refused {
        /// The answer's status.
        status: StatusCode,
        /// The server's words.
        message: String,
    },
}

/// Where jobs run.
pub(crate) struct Host {
    settings: Settings,
    /// This program, for scripts that call it.
    program: PathBuf,
    /// Holds tasks' folders.
    folder: PathBuf,
    reaper: Reaper,
}

/// `muster-agent run`: the arguments after it.
pub(crate) fn run(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let outcome = Settings::read(arguments, |name| std::env::var_os(name))
        .map_err(RunError::from)
        .and_then(|settings| block_on(work(settings)));
    match outcome {
        Ok(ending) => ExitCode::from(ending.code()),
        Err(error) => failed(&error),
    }
}

/// `muster-agent api METHOD PATH [BODY]`: one call of a task, whose answer is printed.
pub(crate) fn api(arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let outcome = Settings::read([], |name| std::env::var_os(name))
        .map_err(RunError::from)
        .and_then(|settings| block_on(one_call(settings, arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &RunError) -> ExitCode {
    // Nobody may be left to read it; the code says it, too.
    drop(writeln!(io::stderr(), "muster-agent: {}", printable(&chain(error), MAX_SENTENCE)));
    ExitCode::from(if matches!(error, RunError::Settings(_)) { 2 } else { 1 })
}

fn block_on<T>(work: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
    runtime::block_on(work).map_err(RunError::Start)?
}

/// Says a line to whoever started the runner: process 1, which shows it, or a person.
fn say(text: &str) {
    let mut out = io::stdout();
    // Without a reader the work goes on.
    drop(writeln!(out, "{}", printable(text, MAX_SENTENCE)).and_then(|()| out.flush()));
}

async fn work(settings: Settings) -> Result<Ending, RunError> {
    let (reaper, _collector) = Reaper::start().map_err(RunError::Start)?;
    let program = std::env::current_exe().map_err(RunError::Start)?;
    let (folder, is_ours) = runner_folder(settings.folder.as_deref())?;
    let credential = Credential::new(settings.token.clone());
    let mut muster = Muster::new(settings.place.clone(), settings.machine, credential, say);
    let host = Host { settings, program, folder, reaper };
    let ending = follow_course(&host, &mut muster).await;
    if is_ours {
        // What is left there is a script's that still runs.
        fs::remove_dir_all(&host.folder).unwrap_or(());
    }
    ending
}

/// The folder given, made where it is missing, or a fresh one; and whether it is to be removed.
fn runner_folder(given: Option<&Path>) -> Result<(PathBuf, bool), RunError> {
    let Some(given) = given else {
        let template = std::env::temp_dir().join("muster-runner.XXXXXX");
        let made = nix::unistd::mkdtemp(&template);
        let folder = made.map_err(|source| RunError::Folder { path: template, source: source.into() })?;
        return Ok((folder, true));
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(given)
        .and_then(|()| given.canonicalize())
        .map(|folder| (folder, false))
        .map_err(|source| RunError::Folder { path: given.to_owned(), source })
}

async fn follow_course(host: &Host, muster: &mut Muster) -> Result<Ending, RunError> {
    let Settings { context, booted_env, oneshot, .. } = &host.settings;
    // Unreadable is as good as absent: most runners never lost a job.
    let lost = fs::read_to_string(host.folder.join(LOST)).ok();
    let mut course = Course::new(context, booted_env.as_deref(), !oneshot).after_losing(lost);
    let mut version = None;
    let mut order = Order::Look;
    loop {
        if let Order::End(ending) = order {
            return Ok(ending);
        }
        let seen = match obey(host, muster, order, &mut version).await {
            Ok(seen) => seen,
            Err(
                RunError::Call(CallError::Refused(why))
                | RunError::Job(JobError::Call(CallError::Refused(why))),
            ) => {
                say(&format!("the server refuses the machine's token: {why}"));
                Seen::Refused
            }
            Err(error) => return Err(error),
        };
        order = course.next(seen);
    }
}

/// Does what was ordered. `version` is that of the machine as last read.
async fn obey(
    host: &Host,
    muster: &mut Muster,
    order: Order,
    version: &mut Option<String>,
) -> Result<Seen, RunError> {
    match order {
        Order::Look => {
            let (machine, etag) = muster.machine().await?;
            *version = etag;
            Ok(Seen::Machine(machine))
        }
        Order::Wait => match muster.changed_machine(version.as_deref()).await? {
            Some((machine, etag)) => {
                *version = etag;
                Ok(Seen::Machine(machine))
            }
            None => Ok(Seen::Same),
        },
        Order::LookAtJob(id) => Ok(Seen::Job(muster.job(&id).await?)),
        Order::Release { job, into } => release(host, muster, &job, into).await,
        Order::Ask => match muster.ask(&host.settings.context).await? {
            Asked::Granted(job) => Ok(Seen::Granted(job)),
            Asked::None(again_in) => Ok(Seen::Nothing { again_in }),
        },
        Order::Sleep(pause) => {
            sleep(pause).await;
            Ok(Seen::Rested)
        }
        Order::Run { job, machine } => run_job(host, muster, &job, &machine).await,
        Order::Reboot { boot_env, pause } => {
            if pause && muster.pause(Err(&host.settings.context)).await? == Held::Lost {
                return Ok(Seen::Rested);
            }
            say(&format!("Rebooting for boot environment {boot_env}"));
            Ok(Seen::Reported(Some(outcome::Wish::Reboot)))
        }
        // Ended before it comes here.
        Order::End(_) => Ok(Seen::Lost),
    }
}

/// Ends what an interrupted run left behind, and lets the job begin again, or fail.
async fn release(host: &Host, muster: &mut Muster, job: &Job, into: JobState) -> Result<Seen, RunError> {
    process::end_all(&host.folder.join(job.uuid.to_string()));
    let (words, more) = if into == JobState::Failed {
        let why = format!("given up: it was interrupted for the {}th time", job.epoch);
        muster.pause(Err(&host.settings.context)).await?;
        let errors = vec![
            serde_json::json!({ "op": "replace", "path": "/ExitState", "value": JobEnd::FAILED.exit_state() }),
            serde_json::json!({ "op": "replace", "path": "/ResultErrors", "value": [why] }),
        ];
        (why, errors)
    } else {
        ("interrupted: its runner or its machine went away; it begins again".to_owned(), Vec::new())
    };
    log::remark(muster, job.uuid, &words).await?;
    muster.set_state((job.uuid, None), (job.state, into), more).await?;
    say(&format!("{}: {words}", job.task));
    Ok(Seen::Released)
}

async fn run_job(host: &Host, muster: &mut Muster, job: &Job, machine: &Machine) -> Result<Seen, RunError> {
    let (begun, lost) = (since_boot(), host.folder.join(LOST));
    if fs::read_to_string(&lost).is_ok_and(|id| id == job.uuid.to_string()) {
        // It was given back.
        fs::remove_file(&lost).map_err(|source| RunError::Folder { path: lost.clone(), source })?;
    }
    match (Run { host, job, machine }).to_its_end(muster).await? {
        Ran::Reported(JobEnd { wish, .. }) => Ok(Seen::Reported(wish)),
        Ran::Lost => {
            fs::write(&lost, job.uuid.to_string())
                .map_err(|source| RunError::Folder { path: lost.clone(), source })?;
            let after = since_boot().saturating_sub(begun).as_secs();
            say(&format!("{}: another runner has the job, this one gave it up after {after} s", job.task));
            Ok(Seen::Lost)
        }
    }
}

async fn one_call(settings: Settings, arguments: impl IntoIterator<Item = String>) -> Result<(), RunError> {
    let usage = |what: &str| RunError::Settings(SettingsError::Argument(what.to_owned()));
    let mut arguments = arguments.into_iter();
    let (Some(method), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err(usage("api"));
    };
    let method: Method = method.parse().map_err(|_| usage(&method))?;
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    let mut target = format!("/api/v3{}", escaped(path));
    if !query.is_empty() {
        target.push('?');
        target.push_str(query);
    }
    let body = match arguments.next().as_deref() {
        Some("-") => {
            let mut body = Vec::new();
            io::stdin().take(MAX_BODY).read_to_end(&mut body).map_err(RunError::Start)?;
            body
        }
        Some(body) => body.as_bytes().to_vec(),
        None => Vec::new(),
    };
    let reply = ask(&settings, &Call::new(method, target).body(body)).await?;
    let mut out = io::stdout();
    out.write_all(&reply.body).and_then(|()| out.write_all(b"\n")).map_err(RunError::Start)
}

/// One call of a task under the token that it has now. A server that is away is waited for, within limits.
///
/// # Errors
/// [`AskError`]: any answer that is not good is one.
pub(crate) async fn ask(settings: &Settings, call: &Call) -> Result<Reply, AskError> {
    let credential = Credential::lasting(task_token(settings));
    let mut muster = Muster::new(settings.place.clone(), settings.machine, credential, |_| {});
    let reply = timeout(TASK_PATIENCE, muster.answer(call)).await.map_err(|_| AskError::Late)??;
    if reply.status.is_success() {
        return Ok(reply);
    }
    Err(AskError::Refused { status: reply.status, message: wire::told(&reply.body) })
}

/// The token of the task that this program runs in: who runs for long finds a newer one beside it.
pub(crate) fn task_token(settings: &Settings) -> String {
    let folder = std::env::var_os(TASK_FOLDER).map(PathBuf::from);
    folder.and_then(|folder| folder::token_in(&folder)).unwrap_or_else(|| settings.token.clone())
}
