//! The kernel log: read for the verbose mode, kept off our screen otherwise, and written to so
//! that the agent's own lines stand among the kernel's.
//!
//! The kernel writes its command line there, and with it a token ([`scrub`]).
//!
//! Format of a record: `Documentation/ABI/testing/dev-kmsg`.

use crate::mounts::{self, MountError};
use crate::sys;
use protocol::token::redact;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// The kernel's own door to its log.
const DEVICE: &str = "/dev/kmsg";
/// The log of the boot without secrets, for people.
const COPY: &str = "/run/muster/kernel.log";
/// The same as records, for programs that read `/dev/kmsg`.
const RECORDS: &str = "/run/muster/kmsg";
/// Most records that are copied: more than the kernel's buffer holds.
const MAX_RECORDS: usize = 65_536;
/// The device, opened before it was covered.
static KEPT: OnceLock<File> = OnceLock::new();

/// Longest record the kernel hands out (`CONSOLE_EXT_LOG_MAX`), in bytes.
const MAX_RECORD: usize = 8_192;
/// Longest text that is shown of a record, in characters.
const MAX_TEXT: usize = 512;

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
    /// A secret stays readable in the log.
    #[error("cannot hide the token in the kernel log; root on this machine can read it with dmesg")]
    Copy(#[source] io::Error),
    /// The device cannot be covered.
    #[error(transparent)]
    Cover(#[from] MountError),
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

/// Takes the secrets of the kernel command line out of the log's reach (`spec/security.md` 3.5):
///
/// 1. a copy without secrets is put where people find it;
/// 2. what `dmesg` and `/proc/kmsg` still hold back is read to its end and marked as cleared;
/// 3. `/dev/kmsg`, which hands out the records from the first one whatever was cleared, is for root
///    alone and covered with that copy. This process keeps the device to write to.
///
/// No kernel lets go of the record itself: root who uncovers the device can read it.
///
/// # Errors
/// [`KmsgError`]; the steps before the one that failed are done.
pub(crate) fn scrub() -> Result<(), KmsgError> {
    if std::process::id() != 1 {
        return Err(KmsgError::NotInit);
    }
    let mut device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(DEVICE)
        .map_err(KmsgError::Open)?;
    let (records, lines) = copy_redacted(&mut device).map_err(KmsgError::Copy)?;
    // Somebody else's file is no reason to hold it open twice: the first one stays.
    KEPT.get_or_init(|| device);
    for (path, text) in [(COPY, lines), (RECORDS, records)] {
        write_private(Path::new(path), &text).map_err(KmsgError::Copy)?;
    }
    sys::drain_kernel_log().map_err(KmsgError::Copy)?;
    fs::set_permissions(DEVICE, Permissions::from_mode(0o600)).map_err(KmsgError::Copy)?;
    Ok(mounts::cover(RECORDS, DEVICE)?)
}

/// Everything the log holds now, without secrets: as records, and as lines for people.
fn copy_redacted(log: &mut impl Read) -> io::Result<(String, String)> {
    let (mut records, mut lines) = (String::new(), String::new());
    let mut buffer = [0; MAX_RECORD];
    for _ in 0..MAX_RECORDS {
        match log.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let record = buffer.get(..length).unwrap_or_default();
                records.push_str(&redact(&String::from_utf8_lossy(record)));
                if let Some(line) = parse(record) {
                    let at = Duration::from_micros(line.uptime_us).as_secs_f64();
                    lines.push_str(&format!("[{at:12.6}] {}\n", line.text));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            // EPIPE: the record was overwritten; the next read goes on after it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => return Err(error),
        }
    }
    Ok((records, lines))
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o400).open(path)?;
    file.write_all(text.as_bytes())
}

/// Where the log is opened: the device itself, also where it is covered.
fn door() -> String {
    KEPT.get().map_or_else(|| DEVICE.to_owned(), |kept| format!("/proc/self/fd/{}", kept.as_raw_fd()))
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
            .open(door())
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
/// those of a command line are hidden all the same.
///
/// # Errors
/// [`KmsgError::Open`] where there is no `/dev/kmsg`, as before the first mount.
pub(crate) fn say(text: &str) -> Result<(), KmsgError> {
    if std::process::id() != 1 {
        return Err(KmsgError::NotInit);
    }
    let line: String = redact(text).chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect();
    let mut file = OpenOptions::new().write(true).open(door()).map_err(KmsgError::Open)?;
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
        let line = parse(b"6,1,0,-;Command line: muster.nonce=s3cret muster.token=eyJ.s3cret quiet").unwrap();
        assert_eq!(line.text, "Command line: muster.nonce=[redacted] muster.token=[redacted] quiet");
    }

    /// A log that hands out one record a read, as the device does.
    struct Log(Vec<io::Result<&'static [u8]>>);

    impl Read for Log {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let record = self.0.remove(0)?;
            buffer[..record.len()].copy_from_slice(record);
            Ok(record.len())
        }
    }

    #[test]
    fn copy_of_the_log_has_everything_but_the_secrets() {
        let mut log = Log(vec![
            Ok(b"5,0,0,-;Linux version 6.1\n"),
            Err(io::ErrorKind::BrokenPipe.into()),
            Ok(b"6,2,1500000,-;Command line: ro muster.token=eyJ.s3cret muster.proxy=http://a:s3cret@p:1\n"),
            Ok(b"no record s3cret=eyJhbG.s3.cret\n"),
            Err(io::ErrorKind::WouldBlock.into()),
        ]);
        let (records, lines) = copy_redacted(&mut log).unwrap();
        assert_eq!(
            lines,
            "[    0.000000] Linux version 6.1\n[    1.500000] Command line: ro muster.token=[redacted] \
             muster.proxy=http://a:[redacted]@p:1\n"
        );
        assert_eq!(records.lines().count(), 3);
        assert!(records.starts_with("5,0,0,-;Linux version 6.1\n6,2,1500000,-;Command line: ro"));
        assert!(!records.contains("eyJ") && !lines.contains("s3cret"), "{records}");
    }

    #[test]
    fn only_init_touches_the_kernel_log() {
        assert!(matches!(scrub(), Err(KmsgError::NotInit)));
        assert!(matches!(say("x"), Err(KmsgError::NotInit)));
    }

    #[test]
    fn control_characters_of_a_device_do_nothing() {
        assert_eq!(parse("6,1,0,-;usb \u{1b}[2Jstick\u{202e}".as_bytes()).unwrap().text, "usb [2Jstick");
    }
}
