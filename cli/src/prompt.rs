//! Questions to the person at the terminal.

use anyhow::{Context, Result, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{IsTerminal, Read, Write};

/// Longest line that is read, in bytes.
const MAX_LINE: usize = 1_024;

/// Whether a person can be asked: standard input and error are terminals.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks a yes-or-no question; anything but yes is no.
pub(crate) fn confirm(question: &str) -> Result<bool> {
    write!(std::io::stderr(), "{question} [y/N] ")?;
    let answer = read_line(&mut std::io::stdin().lock())?;
    Ok(is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Asks for a line.
pub(crate) fn line(question: &str) -> Result<String> {
    write!(std::io::stderr(), "{question}: ")?;
    read_line(&mut std::io::stdin().lock())
}

/// Asks for a password without showing it; from a pipe, reads one line.
pub(crate) fn password(question: &str) -> Result<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return read_line(&mut stdin.lock());
    }
    write!(std::io::stderr(), "{question}: ")?;
    let silence = Silence::begin()?;
    let line = read_line(&mut std::io::stdin().lock());
    drop(silence);
    writeln!(std::io::stderr())?;
    line
}

/// Keeps the terminal from echoing until it is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> Result<Self> {
        let before = tcgetattr(std::io::stdin()).context("the terminal's settings cannot be read")?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(std::io::stdin(), SetArg::TCSAFLUSH, &silent).context("the terminal cannot be silenced")?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if tcsetattr(std::io::stdin(), SetArg::TCSANOW, &self.0).is_err() {
            // The terminal went away while we waited; there is nothing left to restore.
        }
    }
}

/// One line without its end, byte by byte so that nothing behind it is swallowed.
fn read_line(from: &mut impl Read) -> Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).context("standard input cannot be read")? == 1 && byte != [b'\n'] {
        if line.len() == MAX_LINE {
            bail!("the line is longer than {MAX_LINE} bytes");
        }
        line.extend_from_slice(&byte);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).ok().context("the line is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_and_the_next_is_left() {
        let mut input = "hunter2\r\nrest".as_bytes();
        assert_eq!(read_line(&mut input).unwrap(), "hunter2");
        assert_eq!(input, b"rest");
        assert!(read_line(&mut "a".repeat(2_000).as_bytes()).is_err());
    }

    #[test]
    fn only_yes_is_yes() {
        assert!(["y", " YES\n"].iter().all(|answer| is_yes(answer)));
        assert!(["", "n", "yep", "да"].iter().all(|answer| !is_yes(answer)));
    }
}
