//! The kernel log: read for the verbose mode, kept off our screen otherwise, and written to so
//! that the agent's own lines stand among the kernel's.
//!
//! Format of a record: `Documentation/ABI/testing/dev-kmsg`.

use crate::sys;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use tokio::io::unix::AsyncFd;

/// Longest record the kernel hands out (`CONSOLE_EXT_LOG_MAX`), in bytes.
const MAX_RECORD: usize = 8_192;
/// Longest text that is shown of a record, in characters.
const MAX_TEXT: usize = 512;
/// What hides a token.
const REDACTED: &str = "muster.token=[redacted]";

/// Why the kernel log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KmsgError {
    /// `/dev/kmsg` cannot be opened.
    #[error("cannot open /dev/kmsg; kernel messages are not shown")]
    Open(#[source] io::Error),
    /// This process is not the machine's init: the kernel log is not ours to write.
    #[error("the kernel log is only written by the boot image's init, process 1")]
    NotInit,
    /// Reading failed for good.
    #[error("cannot read /dev/kmsg; kernel messages are no longer shown")]
    Read(#[source] io::Error),
    /// A setting below `/proc/sys/kernel` cannot be written.
    #[error("cannot set kernel.{0}; kernel messages may appear on the screen")]
    Setting(&'static str, #[source] io::Error),
}

/// How much the kernel prints on its consoles by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chatter {
    /// Only when the system is unusable: our screen belongs to the code.
    Emergencies,
    /// Warnings and worse: the rescue shell.
    Warnings,
}

/// Sets what the kernel prints on its consoles, and stops it from dropping the agent's lines.
///
/// # Errors
/// [`KmsgError::Setting`] names the setting.
pub(crate) fn set_chatter(chatter: Chatter) -> Result<(), KmsgError> {
    let level = match chatter {
        Chatter::Emergencies => "1",
        Chatter::Warnings => "5",
    };
    let write = |name: &'static str, value: &str| {
        fs::write(format!("/proc/sys/kernel/{name}"), value).map_err(|error| KmsgError::Setting(name, error))
    };
    write("printk", level)?;
    // This one takes a whole line and nothing else.
    write("printk_devkmsg", "on\n")?;
    // The log holds the command line, and with it a token: for root's eyes only.
    write("dmesg_restrict", "1")
}

/// One kernel message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Severity, 0 (emergency) to 7 (debug).
    pub(crate) level: u8,
    /// Time since boot, in microseconds.
    pub(crate) uptime_us: u64,
    /// The message: one line of printable text without secrets.
    pub(crate) text: String,
}

/// Reads a record; `None` when it is not one.
pub(crate) fn parse(record: &[u8]) -> Option<Line> {
    let record = String::from_utf8_lossy(record.get(..record.len().min(MAX_RECORD))?);
    let (head, message) = record.split_once(';')?;
    let mut fields = head.split(',');
    let priority: u32 = fields.next()?.parse().ok()?;
    let uptime_us = fields.nth(1)?.parse().ok()?;
    let first_line = message.lines().next().unwrap_or_default();
    let text: String =
        redact(first_line).chars().filter(|c| !c.is_control() && *c < '\u{2000}').take(MAX_TEXT).collect();
    // The facility is in the bits above the three of the level (RFC 5424 6.2.1).
    Some(Line { level: u8::try_from(priority & 7).ok()?, uptime_us, text })
}

/// Replaces every token of a kernel command line in the text.
pub(crate) fn redact(text: &str) -> String {
    const KEY: &str = "muster.token=";
    let mut parts = text.split(KEY);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(REDACTED);
        let end = part.find(char::is_whitespace).unwrap_or(part.len());
        out.push_str(part.get(end..).unwrap_or_default());
    }
    out
}

/// The kernel log from its beginning, then as it grows.
#[derive(Debug)]
pub(crate) struct Reader {
    file: AsyncFd<File>,
}

impl Reader {
    /// Opens the log. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// [`KmsgError::Open`].
    pub(crate) fn open() -> Result<Self, KmsgError> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nix::libc::O_NONBLOCK)
            .open("/dev/kmsg")
            .map_err(KmsgError::Open)?;
        Ok(Self { file: sys::watch(file).map_err(KmsgError::Open)? })
    }

    /// Waits for the next message. Records that were overwritten before we came are skipped.
    /// Cancel safe: a record is either returned or still there.
    ///
    /// # Errors
    /// [`KmsgError::Read`]; there is nothing to try again then.
    pub(crate) async fn next(&mut self) -> Result<Line, KmsgError> {
        let mut buffer = [0; MAX_RECORD];
        loop {
            let mut ready = self.file.readable().await.map_err(KmsgError::Read)?;
            let Ok(outcome) = ready.try_io(|file| file.get_ref().read(&mut buffer)) else {
                continue;
            };
            match outcome {
                Ok(len) => {
                    if let Some(line) = buffer.get(..len).and_then(parse) {
                        return Ok(line);
                    }
                }
                // EPIPE: the record was overwritten; the next read goes on after it.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(error) => return Err(KmsgError::Read(error)),
            }
        }
    }
}

/// Writes a line of the agent into the kernel log at level info. The caller passes no secrets;
/// a token of a command line is hidden all the same.
///
/// # Errors
/// [`KmsgError::Open`] where there is no `/dev/kmsg`, as before the first mount.
pub(crate) fn say(text: &str) -> Result<(), KmsgError> {
    if std::process::id() != 1 {
        return Err(KmsgError::NotInit);
    }
    let line: String = redact(text).chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    let mut file = OpenOptions::new().write(true).open("/dev/kmsg").map_err(KmsgError::Open)?;
    // One write is one record.
    file.write_all(format!("<6>muster-agent: {line}\n").as_bytes()).map_err(KmsgError::Open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_becomes_level_time_and_text() {
        let line = parse(b"30,1234,5678901,-;e1000 0000:00:03.0: eth0\n SUBSYSTEM=net\n").unwrap();
        assert_eq!(
            line,
            Line { level: 6, uptime_us: 5_678_901, text: "e1000 0000:00:03.0: eth0".to_owned() }
        );
    }

    #[test]
    fn broken_records_are_passed_over() {
        for record in [&b""[..], b"no head", b"x,1,2,-;text", b"6;text", b"\xff\xfe;"] {
            assert_eq!(parse(record), None, "{record:?}");
        }
    }

    #[test]
    fn token_never_reaches_the_screen() {
        let line = parse(b"6,1,0,-;Command line: quiet muster.token=eyJ.s3cret muster.net=dhcp").unwrap();
        assert_eq!(line.text, "Command line: quiet muster.token=[redacted] muster.net=dhcp");
    }

    #[test]
    fn control_characters_of_a_device_do_nothing() {
        assert_eq!(parse("6,1,0,-;usb \u{1b}[2Jstick\u{202e}".as_bytes()).unwrap().text, "usb [2Jstick");
    }
}
