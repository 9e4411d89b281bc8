//! One terminal: a virtual console or a serial port, opened directly.
//!
//! Never blocks: a serial port with flow control and nobody at its end would hold PID 1 for
//! ever. What the port does not take waits in a small buffer; when that is full, lines are
//! dropped, never a half one. Opening `/dev/ttyS1` succeeds on machines without one and
//! writing then says EIO: such a terminal is given up quietly.

use super::keys::{Decoder, Key};
use nix::sys::termios::{ControlFlags, LocalFlags, SetArg, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

// Linux keeps the speed in these flags. glibc's own calls for it have versioned symbols, which
// a static binary cannot be linked with.
use nix::libc::{B9600, B115200, CBAUD};

/// Most bytes that wait for a slow port.
const MAX_WAITING: usize = 16 * 1_024;

/// An open terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    file: Option<File>,
    waiting: Vec<u8>,
    keys: Decoder,
    /// It is a program's output: lines end as in files, and nobody is heard.
    is_output: bool,
}

impl Terminal {
    /// Opens a terminal for writing, and for keys when `keys`.
    ///
    /// # Errors
    /// When there is no such device.
    pub(crate) fn open(path: &Path, keys: bool) -> io::Result<Self> {
        let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
        let file = OpenOptions::new().read(keys).write(true).custom_flags(flags).open(path)?;
        let mut terminal = Self::on(file, false);
        if keys {
            terminal.take_keys_one_by_one(path);
        }
        Ok(terminal)
    }

    /// Shows lines where they end as in files, such as a service's output.
    pub(crate) fn output(file: File) -> Self {
        Self::on(file, true)
    }

    fn on(file: File, is_output: bool) -> Self {
        Self { file: Some(file), waiting: Vec::new(), keys: Decoder::default(), is_output }
    }

    /// No line editing, no echo and no signals, so that a key is heard at once and leaves no
    /// mark. A serial port that nobody set up yet is set to the 115200 baud that people expect. A
    /// terminal that refuses still shows what is written to it.
    fn take_keys_one_by_one(&mut self, path: &Path) {
        let Some(file) = &self.file else { return };
        let Ok(mut settings) = tcgetattr(file) else { return };
        settings
            .local_flags
            .remove(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG | LocalFlags::IEXTEN);
        settings.control_flags.insert(ControlFlags::CLOCAL);
        let is_serial = path.to_string_lossy().contains("ttyS");
        let untouched = settings.control_flags.bits() & CBAUD == B9600 && !is_kernel_console(path);
        if is_serial && untouched {
            let other = settings.control_flags.bits() & !CBAUD;
            settings.control_flags = ControlFlags::from_bits_retain(other | B115200);
        }
        // A pretend port refuses; the first write will find out for good.
        if tcsetattr(file, SetArg::TCSANOW, &settings).is_err() {
            self.file = None;
        }
    }

    /// Adds lines, whole or not at all.
    pub(crate) fn print(&mut self, lines: &[String]) {
        let end = if self.is_output { "\n" } else { "\r\n" };
        let mut text = lines.join(end);
        text.push_str(end);
        self.write(&text);
    }

    /// Adds text as it is, whole or not at all.
    pub(super) fn write(&mut self, text: &str) {
        if self.waiting.len() + text.len() <= MAX_WAITING {
            self.waiting.extend_from_slice(text.as_bytes());
        }
        self.flush();
    }

    /// Draws a frame; one that the terminal has not begun to take is replaced.
    pub(crate) fn draw(&mut self, frame: &str) {
        self.waiting.clear();
        self.waiting.extend_from_slice(frame.as_bytes());
        self.flush();
    }

    /// Hands over what waits, as far as the terminal takes it.
    pub(crate) fn flush(&mut self) {
        let Some(file) = &mut self.file else {
            self.waiting.clear();
            return;
        };
        while !self.waiting.is_empty() {
            match file.write(&self.waiting) {
                Ok(written) if written > 0 => {
                    self.waiting.drain(..written.min(self.waiting.len()));
                }
                Ok(_) => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.file = None;
                    self.waiting.clear();
                    return;
                }
            }
        }
    }

    /// Keys pressed since the last call, at most a few dozen.
    pub(crate) fn keys(&mut self) -> Vec<Key> {
        let mut buffer = [0; 64];
        let read = self.file.as_mut().filter(|_| !self.is_output).map(|file| file.read(&mut buffer));
        // An error is nothing pressed, or a terminal that only shows.
        let count = read.and_then(Result::ok).unwrap_or_default();
        self.keys.decode(buffer.get(..count).unwrap_or_default())
    }
}

/// Whether the kernel set the port up as one of its own consoles.
fn is_kernel_console(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    std::fs::read_to_string("/proc/consoles")
        .is_ok_and(|consoles| consoles.lines().any(|line| line.split_whitespace().next() == Some(&name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Terminal)) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut terminal = Terminal::open(file.path(), false).unwrap();
        write(&mut terminal);
        std::fs::read_to_string(file.path()).unwrap()
    }

    #[test]
    fn lines_end_as_terminals_want_them() {
        assert_eq!(written(|terminal| terminal.print(&["a".to_owned(), "b".to_owned()])), "a\r\nb\r\n");
    }

    #[test]
    fn a_terminal_that_is_full_loses_whole_lines_and_never_waits() {
        let mut terminal = Terminal::open(Path::new("/dev/full"), false).unwrap();
        terminal.print(&["x".to_owned()]);
        assert!(terminal.file.is_none(), "a terminal that fails is given up");
        terminal.print(&["y".repeat(MAX_WAITING)]);
        assert!(terminal.waiting.is_empty());
    }
}
