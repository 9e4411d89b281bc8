//! A pseudo terminal: the side that we read and write without blocking, and the one that a shell gets.

use crate::sys;
use nix::fcntl::OFlag;
use nix::libc;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use protocol::terminal::Size;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use tokio::io::unix::AsyncFd;

/// Why there is no terminal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PtyError {
    /// The kernel gives none.
    #[error("cannot open a terminal; the machine may have no /dev/pts, or too many terminals")]
    Open(#[source] io::Error),
    /// It has no size.
    #[error("cannot set the terminal's size")]
    Size(#[source] io::Error),
}

/// Our side. The shell's programs hear that it hung up when it is dropped.
#[derive(Debug)]
pub(crate) struct Pty {
    ours: AsyncFd<File>,
    /// Device of the other side.
    device: PathBuf,
}

impl Pty {
    /// A new one of this size. Needs a tokio runtime with I/O.
    ///
    /// # Errors
    /// [`PtyError`].
    pub(crate) fn open(size: Size) -> Result<Self, PtyError> {
        let open = || -> io::Result<Self> {
            // No child of ours is to have it.
            let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
            let ours = posix_openpt(flags)?;
            grantpt(&ours)?;
            unlockpt(&ours)?;
            let device = PathBuf::from(ptsname_r(&ours)?);
            Ok(Self { ours: sys::watch(File::from(OwnedFd::from(ours)))?, device })
        };
        let pty = open().map_err(PtyError::Open)?;
        pty.resize(size)?;
        Ok(pty)
    }

    /// The shell's side.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn theirs(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open(&self.device)
    }

    /// Another size; the programs in front hear of it.
    ///
    /// # Errors
    /// [`PtyError::Size`].
    pub(crate) fn resize(&self, size: Size) -> Result<(), PtyError> {
        sys::set_terminal_size(self.ours.get_ref().as_fd(), size.cols(), size.rows()).map_err(PtyError::Size)
    }

    /// What was written on the other side; nothing once nobody has that any more. Cancel safe.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.ours.readable().await?;
            if let Ok(outcome) = ready.try_io(|ours| ours.get_ref().read(buffer)) {
                return hung_up(outcome);
            }
        }
    }

    /// What was written on the other side and is there already.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is; what the kernel says.
    pub(crate) fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        hung_up(self.ours.get_ref().read(buffer))
    }

    /// Types all of it. Not cancel safe.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) async fn type_in(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.ours.writable().await?;
            if let Ok(outcome) = ready.try_io(|ours| ours.get_ref().write(bytes)) {
                bytes = bytes.get(outcome?..).unwrap_or_default();
            }
        }
        Ok(())
    }
}

/// When nobody has the other side open, Linux says EIO, which is an end like any other.
fn hung_up(outcome: io::Result<usize>) -> io::Result<usize> {
    match outcome {
        Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(0),
        Err(error) if error.kind() == ErrorKind::Interrupted => Err(ErrorKind::WouldBlock.into()),
        outcome => outcome,
    }
}
