//! A shell at a machine's second serial line, for tests that do things on machines: what is typed there goes by no
//! network and by no server.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::{output, wait};

/// What a machine's own shell runs to sit at its second serial line: busybox, each line in a shell of its own.
pub const SIT_DOWN: &str = "\
setsid sh -c 'stty -echo; while read -r line; do (eval \"$line\"); done' </dev/ttyS1 >/dev/ttyS1 2>&1 &";
/// Longest line that a terminal takes (`N_TTY_BUF_SIZE`), with some room for the shell's own words.
const MAX_LINE: usize = 3_900;
/// Longest time until somebody sits there.
const SITS_WITHIN: Duration = Duration::from_secs(60);
/// One look at what was said.
const LOOK: Duration = Duration::from_millis(20);
/// Lines that a failure shows.
const SHOWN_LINES: usize = 20;

/// What a command said, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Both of its outputs.
    pub text: String,
}

/// A shell. One command runs at a time.
#[derive(Debug)]
pub struct Shell {
    socket: UnixStream,
    /// What was said and belongs to no command that has ended.
    heard: Vec<u8>,
    commands: u32,
}

impl Shell {
    pub(super) fn connect(path: &Path) -> Result<Self> {
        let socket = UnixStream::connect(path).context("cannot reach the second serial line")?;
        socket.set_read_timeout(Some(LOOK)).context("cannot set a time limit")?;
        Ok(Self { socket, heard: Vec::new(), commands: 0 })
    }

    /// Waits until somebody sits there.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn greet(&mut self) -> Result<()> {
        wait::until("a shell at the second serial line", SITS_WITHIN, || {
            self.begin("true")?;
            // What is typed before somebody sits there may be lost: it is typed again.
            Ok(self.end(Duration::from_secs(2)).ok())
        })
        .map(drop)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it has not ended `within`.
    pub fn run(&mut self, command: &str, within: Duration) -> Result<Said> {
        self.begin(command)?;
        self.end(within)
    }

    /// Runs a command that must end well; what it said.
    ///
    /// # Errors
    /// When it has not ended `within`, or not well.
    pub fn done(&mut self, command: &str, within: Duration) -> Result<String> {
        let said = self.run(command, within)?;
        if said.code != 0 {
            bail!("{command:?} ended with {}:\n{}", said.code, output::tail(&said.text, SHOWN_LINES));
        }
        Ok(said.text)
    }

    /// Types a command, and does not wait for its end.
    ///
    /// # Errors
    /// When it is none of one short line, or QEMU takes nothing.
    pub fn begin(&mut self, command: &str) -> Result<()> {
        if command.contains('\n') || command.len() > MAX_LINE {
            bail!("a command is one line of at most {MAX_LINE} bytes");
        }
        self.commands += 1;
        let line = typed(command, self.commands);
        self.socket.write_all(line.as_bytes()).context("the second serial line takes nothing")
    }

    /// Waits for the end of the command that was typed last.
    ///
    /// # Errors
    /// When it has not ended `within`: with what it said so far.
    pub fn end(&mut self, within: Duration) -> Result<Said> {
        let mark = format!("ended-{} ", self.commands);
        let ended = wait::until("a command on the machine", within, || {
            self.hear()?;
            Ok(said(&self.heard, &mark))
        });
        let heard = std::mem::take(&mut self.heard);
        ended.with_context(|| {
            let heard = String::from_utf8_lossy(&heard).replace('\r', "");
            format!("it said:\n{}", output::tail(&heard, SHOWN_LINES))
        })
    }

    /// What the command that runs has said so far.
    ///
    /// # Errors
    /// When the machine is gone.
    pub fn so_far(&mut self) -> Result<String> {
        self.hear()?;
        Ok(String::from_utf8_lossy(&self.heard).into_owned())
    }

    fn hear(&mut self) -> Result<()> {
        let mut piece = [0; 4_096];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => bail!("the machine is gone"),
                Ok(count) => self.heard.extend(piece.iter().take(count)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(());
                }
                Err(error) => return Err(error).context("cannot read the second serial line"),
            }
        }
    }
}

/// What is typed to run a command and to hear of its end. The mark is in two pieces, so that an echo of the line, where there
/// is one, does not end it.
fn typed(command: &str, number: u32) -> String {
    format!("( {command} ) 2>&1; code=$?; echo; echo \"ended-\"\"{number} $code\"\n")
}

/// What was said before the line that ends a command, and the code in that line.
fn said(heard: &[u8], mark: &str) -> Option<Said> {
    let text = String::from_utf8_lossy(heard).replace('\r', "");
    let complete = text.get(..=text.rfind('\n')?)?;
    let mut before = Vec::new();
    for line in complete.lines() {
        if let Some(code) = line.strip_prefix(mark) {
            // The last line feed of a command that ends its last line, and ours.
            let text = before.join("\n").trim_end_matches('\n').to_owned();
            return Some(Said { code: code.trim().parse().ok()?, text });
        }
        if !line.starts_with("ended-") {
            before.push(line);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_ends_with_its_own_mark_and_code() {
        let heard = b"ended-1 0\r\none\r\ntwo\r\n\r\nended-2 7\r\n";
        assert_eq!(said(heard, "ended-2 "), Some(Said { code: 7, text: "one\ntwo".to_owned() }));
        assert_eq!(said(heard, "ended-3 "), None);
        assert_eq!(said(b"\nended-2 12", "ended-2 "), None, "a line that is not complete");
    }

    #[test]
    fn an_echo_ends_nothing() {
        let heard = typed("true", 1) + "\r\nended-1 0\r\n";
        let said = said(heard.as_bytes(), "ended-1 ").unwrap();
        assert_eq!(said.code, 0);
        assert!(said.text.starts_with("( true )"));
    }

    #[test]
    fn a_shell_tells_the_code_of_the_command_and_of_nothing_else() {
        let output = std::process::Command::new("sh").arg("-c").arg(typed("echo one; exit 7", 3)).output();
        let told = said(&output.unwrap().stdout, "ended-3 ");
        assert_eq!(told, Some(Said { code: 7, text: "one".to_owned() }));
    }
}
