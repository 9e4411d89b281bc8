//! How a shell asks process 1 for the tools: `tools`, or `muster-agent fetch-tools`.
//!
//! A socket that root alone may open. Whoever connects is told how far it has come, a line at a
//! time; the last line says how it ended, and its first character is [`GOOD`] or [`BAD`].

use super::{Source, ToolsError};
use crate::handover::listen;
use crate::report::chain;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream as Caller;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Where the agent of process 1 keeps what it shares with root's other programs.
pub(crate) const FOLDER: &str = "/run/muster";
const SOCKET: &str = "tools.sock";
const GOOD: char = '+';
const BAD: char = '!';
const MORE: char = ' ';

/// Why nobody can ask for tools.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {path}; the command 'tools' does not work")]
pub(crate) struct DoorError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Answers whoever asks, one after another. Ends with an error only.
///
/// # Errors
/// [`DoorError`].
pub(crate) async fn serve(source: Source) -> Result<(), DoorError> {
    let path = source.folder.join(SOCKET);
    let failed = |error: io::Error| DoorError { path: path.clone(), source: error };
    let listener = listen(&source.folder, SOCKET).map_err(failed)?;
    loop {
        let (caller, _) = listener.accept().await.map_err(failed)?;
        if let Err(error) = answer(caller, &source).await {
            // A caller that has gone, such as a shell that was left: the tools are there all the same.
            drop(crate::kmsg::say(&format!("tools: {error}")));
        }
    }
}

async fn answer(mut caller: UnixStream, source: &Source) -> io::Result<()> {
    let (tell, mut told) = mpsc::unbounded_channel();
    let work = async move {
        // Nobody may be left to tell; the work is done all the same.
        let mut say = |text: String| tell.send(text).unwrap_or(());
        source.fetch(&mut say).await
    };
    let lines = async {
        let mut outcome = Ok(());
        while let Some(text) = told.recv().await {
            if outcome.is_ok() {
                outcome = caller.write_all(line(MORE, &text).as_bytes()).await;
            }
        }
        outcome
    };
    let (outcome, written) = tokio::join!(work, lines);
    written?;
    caller.write_all(last_line(outcome).as_bytes()).await
}

fn last_line(outcome: Result<Vec<String>, ToolsError>) -> String {
    match outcome {
        Ok(programs) => line(GOOD, &format!("there are now: {}", programs.join(" "))),
        Err(error) => line(BAD, &chain(&error)),
    }
}

fn line(kind: char, text: &str) -> String {
    format!("{kind}{}\n", text.replace('\n', " "))
}

/// The command: asks, and prints what is said.
pub(crate) fn ask() -> ExitCode {
    ask_at(&Path::new(FOLDER).join(SOCKET), &mut io::stdout())
}

pub(super) fn ask_at(socket: &Path, out: &mut impl Write) -> ExitCode {
    let mut good = false;
    let mut relay = || {
        for line in BufReader::new(Caller::connect(socket)?).lines() {
            let line = line?;
            good = line.starts_with(GOOD);
            writeln!(out, "{}", line.strip_prefix([GOOD, BAD, MORE]).unwrap_or(&line))?;
            out.flush()?;
        }
        Ok::<(), io::Error>(())
    };
    let outcome = relay();
    if let Err(error) = outcome {
        let remedy = "it listens once the network was set up, on an image with tools";
        // Where nothing can be printed the exit code says it.
        drop(writeln!(out, "cannot ask the agent: {error}; {remedy}"));
        good = false;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_agent_the_command_says_when_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut said = Vec::new();
        let code = ask_at(&folder.path().join(SOCKET), &mut said);
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
        assert!(String::from_utf8(said).unwrap().contains("once the network was set up"));
    }
}
