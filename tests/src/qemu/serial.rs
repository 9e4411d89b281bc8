//! The serial console, read while QEMU writes it to a file.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Most that is read from a console in all; a machine that prints more is broken.
const MAX_CONSOLE: u64 = 64 * 1_024 * 1_024;

/// Follows one serial log.
#[derive(Debug)]
pub struct SerialReader {
    path: PathBuf,
    position: u64,
    partial: Vec<u8>,
}

impl SerialReader {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_path_buf(), position: 0, partial: Vec::new() }
    }

    /// The log file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was printed since the last call, as it came, escape sequences and all.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn new_bytes(&mut self) -> Result<Vec<u8>> {
        let read = || format!("cannot read {}", self.path.display());
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            // QEMU has not made it yet.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).with_context(read),
        };
        file.seek(SeekFrom::Start(self.position)).with_context(read)?;
        let mut bytes = Vec::new();
        let left = MAX_CONSOLE.saturating_sub(self.position);
        file.take(left).read_to_end(&mut bytes).with_context(read)?;
        self.position += bytes.len() as u64;
        Ok(bytes)
    }

    /// Lines completed since the last call, without control sequences.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn new_lines(&mut self) -> Result<Vec<String>> {
        let bytes = self.new_bytes()?;
        self.partial.extend(bytes);
        let Some(end) = self.partial.iter().rposition(|&byte| byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.partial.split_off(end + 1);
        let complete = std::mem::replace(&mut self.partial, rest);
        Ok(plain(&String::from_utf8_lossy(&complete)).lines().map(str::to_owned).collect())
    }
}

/// Text without escape sequences (ECMA-48 CSI and OSC) and control characters but newlines.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                Some('[') => {
                    while characters.next_if(|c| !('@'..='~').contains(c)).is_some() {}
                    characters.next();
                }
                Some(']') => {
                    while characters.next_if(|c| !matches!(c, '\u{7}' | '\n')).is_some() {}
                    characters.next_if_eq(&'\u{7}');
                }
                _ => {}
            },
            '\n' => out.push('\n'),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn escape_sequences_are_not_part_of_a_line() {
        assert_eq!(plain("\u{1b}[2J\u{1b}[1;1Ha\u{1b}]0;t\u{7}b\r\n\u{1b}cc"), "ab\nc");
    }

    #[test]
    fn a_line_is_seen_when_it_is_complete() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut reader = SerialReader::new(file.path());
        file.write_all(b"one\r\ntw").unwrap();
        assert_eq!(reader.new_lines().unwrap(), ["one"]);
        file.write_all(b"o\r\n").unwrap();
        assert_eq!(reader.new_lines().unwrap(), ["two"]);
        assert!(reader.new_lines().unwrap().is_empty());
    }
}
