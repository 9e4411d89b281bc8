//! `muster-installer terminal`: the machine's side of a terminal. The agent starts it when it hears of one with a
//! heartbeat, and nothing of it is in process 1.
//!
//! 1. Connect to the server as every program of ours does ([`crate::api`]), with the one-time secret of the ticket.
//! 2. Hear who opened it, and say so: our lines are shown on the machine's console, or go to its journal.
//! 3. Start root's shell in a terminal of its own ([`pty`], [`shell`]).
//! 4. Carry bytes both ways ([`relay`]) until the shell ends, or the connection does; then neither is left.

mod pty;
mod relay;
mod shell;

use crate::api::ConnectError;
use crate::reap::{Reaper, Running};
use crate::report::{chain, printable};
use crate::runner::settings::{Settings, SettingsError, TERMINAL_ID};
use crate::runtime;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use protocol::terminal::{MAX_BYTES, MAX_SENTENCE, MachineHears, MachineSays, machine_path};
use pty::{Pty, PtyError};
use relay::{Line, Over, Way};
use shell::{Shell, ShellError};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::client_async_with_config;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a shell may take to end once its terminal is gone.
const GRACE: Duration = Duration::from_secs(2);

/// Why there is no terminal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TerminalError {
    /// What the agent told.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The id is missing, or none.
    #[error("{TERMINAL_ID} in the environment names no terminal: the agent starts this program")]
    Id,
    /// There is no runtime, or no way to collect children.
    #[error("cannot start")]
    Start(#[source] io::Error),
    /// The server cannot be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It does not open the terminal.
    #[error("the server does not open the terminal: {0}")]
    Refused(String),
    /// The server said nothing, or something else.
    #[error("the server does not say what to start")]
    NotTold,
    /// There is no terminal to be had.
    #[error(transparent)]
    Pty(#[from] PtyError),
    /// There is no shell.
    #[error(transparent)]
    Shell(#[from] ShellError),
}

/// The verb.
pub(crate) fn run() -> ExitCode {
    let outcome = runtime::block_on(work()).map_err(TerminalError::Start).and_then(|outcome| outcome);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("terminal: {}", chain(&error)));
            ExitCode::FAILURE
        }
    }
}

async fn work() -> Result<(), TerminalError> {
    let settings = Settings::read([], |name| std::env::var_os(name))?;
    let id = std::env::var(TERMINAL_ID).ok().and_then(|id| id.parse().ok()).ok_or(TerminalError::Id)?;
    let (reaper, _collector) = Reaper::start().map_err(TerminalError::Start)?;
    let mut line = connect(&settings, &machine_path(id)).await?;
    let Some(MachineHears::Start { user, source, size }) = line.hear_text(PATIENCE).await else {
        return Err(TerminalError::NotTold);
    };
    let (user, source) = (printable(&user, MAX_SENTENCE), printable(&source, MAX_SENTENCE));
    say(&format!("terminal: {user} opened one from {source}"));
    let begin = || -> Result<(Pty, Running), TerminalError> {
        let pty = Pty::open(size)?;
        let shell = Shell::of_root(Path::new("/"))?;
        let running = shell.start(&reaper, &pty)?;
        Ok((pty, running))
    };
    let (pty, running) = match begin() {
        Ok(begun) => begun,
        Err(error) => {
            line.say(&MachineSays::Failed { message: chain(&error) }).await;
            return Err(error);
        }
    };
    let over = attend(line, pty, running).await;
    say(&format!("terminal: that of {user} is over: {over}"));
    Ok(())
}

/// Runs until either end is gone, and sees to it that the other one goes, too.
async fn attend(line: Line, pty: Pty, mut running: Running) -> Over {
    let over = relay::carry(line, &pty, &mut running).await;
    // Whatever still has it is told by the kernel that its terminal hung up.
    drop(pty);
    if matches!(over, Over::Exited(_)) || timeout(GRACE, running.wait()).await.is_ok() {
        return over;
    }
    let group = i32::try_from(running.pid()).map(Pid::from_raw);
    // Gone meanwhile is gone.
    group.map_or(Ok(()), |group| killpg(group, Signal::SIGKILL)).unwrap_or(());
    over
}

async fn connect(settings: &Settings, path: &str) -> Result<Line, TerminalError> {
    let late = || TerminalError::Refused("no answer in time".to_owned());
    let refused = |error: tokio_tungstenite::tungstenite::Error| {
        TerminalError::Refused(printable(&error.to_string(), MAX_SENTENCE))
    };
    let (stream, host) = timeout(PATIENCE, settings.place.recognise()).await.map_err(|_| late())??;
    // TLS is made already; the scheme only says that there is none to make.
    let mut request = format!("ws://{host}{path}").into_client_request().map_err(refused)?;
    let mut secret = HeaderValue::try_from(format!("Bearer {}", settings.token))
        .map_err(|error| TerminalError::Refused(error.to_string()))?;
    secret.set_sensitive(true);
    request.headers_mut().insert(AUTHORIZATION, secret);
    let limits = WebSocketConfig::default().max_message_size(Some(MAX_BYTES)).max_frame_size(Some(MAX_BYTES));
    let stream: Box<dyn Way> = Box::new(stream);
    let opening = client_async_with_config(request, stream, Some(limits));
    let (socket, _) = timeout(PATIENCE, opening).await.map_err(|_| late())?.map_err(refused)?;
    Ok(Line::new(socket))
}

/// Says a line to the agent, which shows it.
fn say(text: &str) {
    if cfg!(test) {
        // It would drown what tests have to say.
        return;
    }
    let mut out = io::stdout();
    // Without a reader the terminal goes on.
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

#[cfg(test)]
mod tests;
