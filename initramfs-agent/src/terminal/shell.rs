//! Which shell a terminal gets: that of root in `/etc/passwd`, as a log-in shell; `/bin/sh` where the system has no
//! such file, as the boot image. A shell that lets nobody in, such as `nologin`, is obeyed.

use super::pty::Pty;
use crate::reap::{Reaper, Running, SEARCH, SHELL, SpawnError};
use crate::sys;
use nix::sys::stat::{Mode, umask};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Bytes of `/etc/passwd` that are looked at.
const MAX_PASSWD: u64 = 1_024 * 1_024;
/// Programs that let nobody in.
const CLOSED: [&str; 2] = ["nologin", "false"];

/// Why there is no shell.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShellError {
    /// Root may not log in.
    #[error("root may not log in on this system: its shell is {0}")]
    Closed(String),
    /// `/etc/passwd` cannot be read.
    #[error("cannot read /etc/passwd")]
    Passwd(#[source] io::Error),
    /// The terminal cannot be handed over.
    #[error("cannot open the shell's side of the terminal")]
    Terminal(#[source] io::Error),
    /// It cannot be started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

/// A shell and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shell {
    program: String,
    home: String,
}

impl Default for Shell {
    fn default() -> Self {
        Self { program: SHELL.to_owned(), home: "/".to_owned() }
    }
}

impl Shell {
    /// Root's on the system at this place.
    ///
    /// # Errors
    /// [`ShellError::Closed`] and [`ShellError::Passwd`].
    pub(crate) fn of_root(system: &Path) -> Result<Self, ShellError> {
        let mut passwd = Vec::new();
        match File::open(system.join("etc/passwd")) {
            Ok(file) => file.take(MAX_PASSWD).read_to_end(&mut passwd).map_err(ShellError::Passwd)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(ShellError::Passwd(error)),
        };
        Self::in_passwd(&String::from_utf8_lossy(&passwd))
    }

    /// Root's by the text of `/etc/passwd`: the first line of user number 0.
    fn in_passwd(text: &str) -> Result<Self, ShellError> {
        let root = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let found = root.into_iter().find_map(|fields| match fields.as_slice() {
            [_, _, "0", _, _, home, program] => Some(((*home).to_owned(), (*program).to_owned())),
            _ => None,
        });
        let Some((home, program)) = found else { return Ok(Self::default()) };
        if CLOSED.iter().any(|closed| program.rsplit('/').next() == Some(closed)) {
            return Err(ShellError::Closed(program));
        }
        let or = |text: String, instead: &str| if text.starts_with('/') { text } else { instead.to_owned() };
        Ok(Self { program: or(program, SHELL), home: or(home, "/") })
    }

    /// Starts it in a terminal.
    ///
    /// # Errors
    /// [`ShellError::Terminal`] and [`ShellError::Spawn`].
    pub(crate) fn start(&self, reaper: &Reaper, pty: &Pty) -> Result<Running, ShellError> {
        let theirs = || pty.theirs().map_err(ShellError::Terminal);
        let name = self.program.rsplit('/').next().unwrap_or_default();
        let home = if fs::metadata(&self.home).is_ok_and(|home| home.is_dir()) { &self.home } else { "/" };
        // The service's own is tighter than what people expect of files they make.
        umask(Mode::S_IWGRP | Mode::S_IWOTH);
        let mut command = Command::new(&self.program);
        command
            .arg0(format!("-{name}"))
            .env_clear()
            .env("PATH", SEARCH)
            .env("HOME", home)
            .env("SHELL", &self.program)
            .env("USER", "root")
            .env("LOGNAME", "root")
            .env("TERM", "xterm-256color")
            .current_dir(home)
            .stdin(theirs()?)
            .stdout(theirs()?)
            .stderr(theirs()?);
        Ok(reaper.spawn(sys::with_controlling_terminal(&mut command))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Shell, String> {
        Shell::in_passwd(text).map_err(|error| error.to_string())
    }

    #[test]
    fn shell_is_roots_own() {
        let shell =
            |program: &str, home: &str| Ok(Shell { program: program.to_owned(), home: home.to_owned() });
        let bash =
            "daemon:x:1:1::/:/usr/sbin/nologin\nroot:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:/bin/zsh\n";
        assert_eq!(of(bash), shell("/bin/bash", "/root"));
        for text in ["", "root", "root:x:0:0:root:/root", "eve:x:00:0::/:/bin/zsh", "\u{0}:::::::\n"] {
            assert_eq!(of(text), shell("/bin/sh", "/"), "{text:?}");
        }
        assert_eq!(of("root:x:0:0::relative:"), shell("/bin/sh", "/"));
    }

    #[test]
    fn who_may_not_log_in_gets_no_terminal() {
        for program in ["/usr/sbin/nologin", "/bin/false"] {
            let told = of(&format!("root:x:0:0::/root:{program}")).unwrap_err();
            assert_eq!(told, format!("root may not log in on this system: its shell is {program}"));
        }
    }

    #[test]
    fn system_without_users_has_the_shell_of_the_image() {
        let system = tempfile::tempdir().unwrap();
        assert_eq!(Shell::of_root(system.path()).unwrap(), Shell::default());
        fs::create_dir(system.path().join("etc")).unwrap();
        fs::write(system.path().join("etc/passwd"), b"root:x:0:0:\xff:/root:/bin/ash\n").unwrap();
        assert_eq!(Shell::of_root(system.path()).unwrap().program, "/bin/ash");
    }
}
