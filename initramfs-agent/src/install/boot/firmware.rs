//! The firmware's boot order, by `efibootmgr`: this disk first, and the next start from it whatever the order.
//! Firmware that forgets or refuses it is no failure: media of ours find the disk by its marker.

use crate::report::printable;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Whether this machine was started by UEFI.
const UEFI: &str = "/sys/firmware/efi";
const PROGRAM: &str = "efibootmgr";
/// How our entries are called; those of earlier installations are replaced.
const LABEL: &str = "Muster installed system";
const MAX_TOLD: usize = 200;

/// Why the order is as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum FirmwareError {
    /// It cannot be started.
    #[error("cannot run {0}")]
    Start(PathBuf, #[source] io::Error),
    /// It failed.
    #[error("the firmware refuses: {0}")]
    Refused(String),
    /// There is no entry after one was made.
    #[error("the firmware did not keep the entry")]
    Lost,
}

/// What firmware is to start.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// The disk, in `/dev`.
    pub(super) disk: &'a Path,
    /// Number of its ESP.
    pub(super) partition: u32,
    /// The loader's path on it, with `/` between.
    pub(super) loader: &'a str,
}

/// Firmware's entries, by a program.
#[derive(Debug)]
pub(super) struct Firmware {
    program: PathBuf,
}

impl Firmware {
    /// This machine's; `None` under BIOS.
    pub(super) fn here() -> Option<Self> {
        Path::new(UEFI).is_dir().then(|| Self { program: PROGRAM.into() })
    }

    #[cfg(test)]
    pub(super) fn by(program: PathBuf) -> Self {
        Self { program }
    }

    /// Puts the entry first, and next.
    ///
    /// # Errors
    /// [`FirmwareError`].
    pub(super) fn put_first(&self, entry: &Entry<'_>) -> Result<(), FirmwareError> {
        for old in numbers(&self.run(&[])?) {
            self.run(&["--quiet", "--bootnum", &old, "--delete-bootnum"])?;
        }
        let (disk, part) = (entry.disk.to_string_lossy(), entry.partition.to_string());
        let loader = format!("\\{}", entry.loader.replace('/', "\\"));
        let made =
            self.run(&["--create", "--disk", &disk, "--part", &part, "--label", LABEL, "--loader", &loader])?;
        let number = numbers(&made).pop().ok_or(FirmwareError::Lost)?;
        self.run(&["--quiet", "--bootnext", &number]).map(|_| ())
    }

    /// Number of the entry that this boot came by, for who wants to come back.
    ///
    /// # Errors
    /// [`FirmwareError`].
    pub(super) fn current(&self) -> Result<Option<String>, FirmwareError> {
        let told = self.run(&[])?;
        let current = told.lines().find_map(|line| line.strip_prefix("BootCurrent: "));
        Ok(current.map(str::trim).filter(|number| is_number(number)).map(str::to_owned))
    }

    fn run(&self, words: &[&str]) -> Result<String, FirmwareError> {
        let done = Command::new(&self.program).args(words).output();
        let done = done.map_err(|error| FirmwareError::Start(self.program.clone(), error))?;
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        } else {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(FirmwareError::Refused(printable(said.trim(), MAX_TOLD)))
        }
    }
}

/// Numbers of the entries of our name: `Boot0004* Muster installed system`.
fn numbers(told: &str) -> Vec<String> {
    let number = |line: &str| {
        let (number, rest) = line.strip_prefix("Boot")?.split_at_checked(4)?;
        let name = rest.strip_prefix('*').unwrap_or(rest).trim_start();
        (is_number(number) && name.starts_with(LABEL)).then(|| number.to_owned())
    };
    told.lines().filter_map(number).collect()
}

fn is_number(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_entries_are_known_by_their_name() {
        let told = "BootCurrent: 0001\nTimeout: 0 seconds\nBootOrder: 0001,0000\nBoot0000* UiApp\nBoot0001* UEFI QEMU DVD-ROM\n\
                    Boot0004* Muster installed system\tHD(2,GPT)/File(\\EFI\\debian\\shimx64.efi)\nBoot000A  Muster installed system\n";
        assert_eq!(numbers(told), ["0004", "000A"]);
        assert_eq!(numbers("Boot\nBootNext: 0001\nBoot00"), [] as [String; 0]);
    }
}
