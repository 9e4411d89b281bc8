//! Starting another kernel without firmware: loaded here, entered by whoever restarts the machine next.

use crate::sys;
use nix::errno::Errno;
use nix::sys::reboot::{RebootMode, reboot};
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

/// Whether a kernel waits to be entered.
const LOADED: &str = "/sys/kernel/kexec_loaded";

/// Why a kernel is not loaded.
#[derive(Debug, thiserror::Error)]
pub enum KexecError {
    /// The command line has a NUL in it.
    #[error("the kernel's command line has a NUL byte in it")]
    CommandLine,
    /// The running kernel does not take it.
    #[error("the running kernel does not load another one ({}); the machine restarts by its firmware", why(.0))]
    Refused(#[source] io::Error),
}

fn why(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => "lockdown or kernel.kexec_load_disabled forbids it",
        Some(Errno::ENOSYS) => "it cannot",
        Some(Errno::ENOKEY | Errno::EKEYREJECTED | Errno::EBADMSG | Errno::ENODATA) => {
            "that one is signed by nobody it trusts"
        }
        Some(Errno::EBUSY) => "another is being loaded",
        Some(_) | None => "it says no",
    }
}

/// Loads a kernel with an initial ramdisk: the next restart enters it. Both files are read from their beginning, and
/// nobody else may have them open.
///
/// # Errors
/// [`KexecError`]; nothing is loaded then.
pub fn load(kernel: File, initrd: File, command_line: &str) -> Result<(), KexecError> {
    let line = CString::new(command_line).map_err(|_| KexecError::CommandLine)?;
    let (kernel, initrd) =
        readable(kernel).and_then(|kernel| Ok((kernel, readable(initrd)?))).map_err(KexecError::Refused)?;
    sys::kexec_file_load(&kernel, &initrd, &line).map_err(KexecError::Refused)
}

/// The same file, open for reading alone: the kernel does not read what somebody may write (`ETXTBSY`,
/// `fs/kernel_read_file.c`).
fn readable(file: File) -> io::Result<File> {
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Name under which this program is one of those that `systemd-shutdown(8)` runs last.
pub(crate) const HOOK_NAME: &str = "muster-kexec";

/// What that does: systemd itself enters a kernel by `kexec(8)`, which few systems have. Told anything but `kexec`,
/// or without a kernel that is loaded, it leaves the rest to systemd.
pub(crate) fn shutdown_hook(mut arguments: impl Iterator<Item = String>) -> ExitCode {
    if arguments.next().as_deref() != Some("kexec") {
        return ExitCode::SUCCESS;
    }
    match reboot(RebootMode::RB_KEXEC) {
        Ok(never) => match never {},
        Err(_nothing_loaded) => ExitCode::FAILURE,
    }
}

/// Whether the next restart enters a kernel that was loaded.
pub fn is_loaded() -> bool {
    fs::read_to_string(LOADED).is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn files_are_given_to_the_kernel_for_reading_alone() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"kernel").unwrap();
        let mut same = readable(file).unwrap();
        let mut text = String::new();
        same.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kernel");
        assert!(same.write(b"x").is_err());
    }

    #[test]
    fn what_is_no_kernel_is_refused_and_nothing_is_loaded() {
        let file = || tempfile::tempfile().unwrap();
        assert!(matches!(load(file(), file(), "a\0b"), Err(KexecError::CommandLine)));
        let refused = load(file(), file(), "panic=30").unwrap_err();
        assert!(refused.to_string().ends_with("the machine restarts by its firmware"), "{refused}");
        let KexecError::Refused(error) = refused else { panic!("{refused}") };
        assert_ne!(error.raw_os_error(), Some(Errno::ETXTBSY as i32), "it was open for writing");
        assert!(!is_loaded());
    }

    #[test]
    fn a_shutdown_that_is_none_of_ours_is_left_to_systemd() {
        for word in ["reboot", "poweroff", "halt"] {
            let code = shutdown_hook([word.to_owned()].into_iter());
            assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS), "{word}");
        }
    }
}
