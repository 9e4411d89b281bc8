//! Back into our image, from a running system: by kexec of the image that the server has now, with the machine's
//! key in its initial ramdisk; else by the firmware, which finds no boot entry of ours on the disk any more.

use super::belongings::{Belongings, BelongingsError, SHUTDOWN_HOOK, remove};
use super::{boot_next, say};
use crate::api::download::Way;
use crate::api::rest::{Call, Place, Rest, RestError};
use crate::handover::RAMDISK_KEY;
use crate::identity::Identity;
use crate::kexec::{self, KexecError};
use crate::mounts::EFIVARS;
use crate::reap::Reaper;
use crate::report::chain;
use crate::tools::{Source, ToolsError};
use hyper::Method;
use initrd::cpio::Tree;
use protocol::config::{AgentConfig, CONFIG_PATH};
use protocol::tools::{Ticket, TicketError};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// The image that kexec leads into; other boot environments are booted by firmware and network.
const OURS: &str = "muster";
const KERNEL: &str = "vmlinuz";
const INITRD: &str = "initrd";
/// What the server's media are, by name.
const MANIFEST: &str = "/media/manifest.json";
/// How long the way by kexec may take before the firmware's is taken.
const PATIENCE: Duration = Duration::from_secs(600);
/// Arguments of the image's kernel beside the terminals of this one.
const ARGUMENTS: &str = "panic=30";
/// Terminals where this kernel names none.
const TERMINALS: &str = "console=ttyS0,115200n8 console=tty0";
/// Ramdisks follow one another on multiples of this, in bytes.
const ALIGNED: u64 = 4;

/// Why it is not by kexec.
#[derive(Debug, thiserror::Error)]
enum HomeError {
    #[error("this machine knows no server")]
    NoServer,
    #[error("cannot ask the server what its image is")]
    Ask(#[from] RestError),
    #[error("the server answers HTTP {0}; it has no media, build them with 'muster media build'")]
    NoMedia(hyper::StatusCode),
    #[error("the server's list of media is not understood")]
    Manifest(#[from] serde_json::Error),
    #[error("the server's media have no usable {0}")]
    Missing(&'static str, #[source] Option<TicketError>),
    #[error(transparent)]
    Fetch(#[from] ToolsError),
    #[error("cannot put the machine's key into the image")]
    Compose(#[source] io::Error),
    #[error(transparent)]
    Kexec(#[from] KexecError),
    #[error("cannot have systemd enter it")]
    Hook(#[source] BelongingsError),
    #[error("it took longer than {} s", PATIENCE.as_secs())]
    Late,
}

/// What the way back takes.
pub(super) struct Home {
    pub(super) belongings: Belongings,
    pub(super) identity: Arc<Identity>,
    pub(super) config: AgentConfig,
    pub(super) way: Way,
    pub(super) reaper: Reaper,
    /// Id of the server, under which the disk's boot entry is.
    pub(super) server_id: String,
}

/// The media's manifest, as far as it is looked at.
#[derive(Deserialize)]
struct Manifest {
    files: Files,
}

#[derive(Deserialize)]
struct Files {
    vmlinuz: Option<Listed>,
    initrd: Option<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    size: u64,
    sha256: String,
}

impl Home {
    /// Prepares the machine for a boot environment that is not its disk's: the verb of `systemctl` that leads
    /// there.
    ///
    /// # Errors
    /// [`BelongingsError`] when the boot entry cannot be taken away: the machine would come back here for ever.
    pub(super) async fn go(&self, boot_env: &str) -> Result<&'static str, BelongingsError> {
        let before = self.belongings.returns();
        self.belongings.note_return()?;
        self.remove_markers()?;
        if boot_env == OURS {
            let loaded = timeout(PATIENCE, self.load()).await.unwrap_or(Err(HomeError::Late));
            match loaded.and_then(|()| self.hook().map_err(HomeError::Hook)) {
                Ok(()) => {
                    say("starting the server's image by kexec");
                    return Ok("kexec");
                }
                Err(error) => say(&format!("not by kexec: {}", chain(&error))),
            }
        }
        match boot_next::set(&self.belongings.path(EFIVARS), before) {
            Ok(Some(entry)) => say(&format!("restarting for {boot_env}, by the firmware's entry {entry:?}")),
            Ok(None) => say(&format!("restarting for {boot_env}; the firmware has no entry but disks")),
            // BIOS, or variables that cannot be written: its own order counts.
            Err(error) => say(&format!("restarting for {boot_env} by the firmware's own order ({error})")),
        }
        Ok("reboot")
    }

    /// Lets this program be the last that runs.
    fn hook(&self) -> Result<(), BelongingsError> {
        let hook = self.belongings.path(SHUTDOWN_HOOK);
        remove(&hook)?;
        std::env::current_exe()
            .and_then(|program| std::os::unix::fs::symlink(program, &hook))
            .map_err(|source| BelongingsError::Write { path: hook, source })
    }

    /// Takes the boot entry from the disk by which our media let it boot.
    fn remove_markers(&self) -> Result<(), BelongingsError> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for folder in fat_mounts(&table).into_iter().chain([PathBuf::from("/boot")]) {
            remove(&folder.join("muster").join(&self.server_id).join("local.cfg"))?;
        }
        nix::unistd::sync();
        Ok(())
    }

    /// Loads the server's image, the same as its media, for the next restart.
    async fn load(&self) -> Result<(), HomeError> {
        let Files { vmlinuz, initrd } = self.manifest().await?.files;
        let kernel = self.fetch(KERNEL, vmlinuz).await?;
        let mut initrd = self.fetch(INITRD, initrd).await?;
        append(&mut initrd, &self.luggage().map_err(HomeError::Compose)?).map_err(HomeError::Compose)?;
        let line = command_line(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
        // For a moment: there is nothing else to do any more.
        Ok(kexec::load(kernel, initrd, &line)?)
    }

    async fn manifest(&self) -> Result<Manifest, HomeError> {
        let mut last = HomeError::NoServer;
        for server in &self.way.servers {
            let (trust, proxy) = (self.way.trust.clone(), self.way.proxy.borrow().clone());
            let mut rest = Rest::new(Place { server: server.clone(), trust, proxy });
            match rest.send(&Call::new(Method::GET, MANIFEST), "").await {
                Ok(reply) if reply.status.is_success() => return Ok(serde_json::from_slice(&reply.body)?),
                Ok(reply) => last = HomeError::NoMedia(reply.status),
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    async fn fetch(&self, name: &'static str, listed: Option<Listed>) -> Result<File, HomeError> {
        let Listed { size, sha256 } = listed.ok_or(HomeError::Missing(name, None))?;
        let ticket = Ticket { file: name.to_owned(), size, unpacked_size: size, sha256 };
        ticket.check().map_err(|error| HomeError::Missing(name, Some(error)))?;
        Ok(Source::new(ticket, self.way.clone()).download(&mut |text| say(&text)).await?)
    }

    /// What the image finds beside its own files: who it goes to, and who it is.
    fn luggage(&self) -> io::Result<Vec<u8>> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let config = AgentConfig {
            built_at: Some(seconds),
            token: None,
            nonce: None,
            origin: None,
            ..self.config.clone()
        };
        let config = config.render().map_err(io::Error::other)?;
        let mut tree = Tree::new();
        let mut put = |path: &str, bytes: &[u8]| tree.file(path, 0o600, bytes.to_vec());
        put(CONFIG_PATH, &config)
            .and_then(|()| put(RAMDISK_KEY, self.identity.secret().reveal()))
            .map_err(io::Error::other)?;
        tree.to_bytes(u32::try_from(seconds).unwrap_or(u32::MAX)).map_err(io::Error::other)
    }
}

/// Adds an archive behind those of an initial ramdisk.
fn append(initrd: &mut File, archive: &[u8]) -> io::Result<()> {
    let length = initrd.seek(SeekFrom::End(0))?;
    let padding = usize::try_from(length.next_multiple_of(ALIGNED) - length).unwrap_or_default();
    initrd.write_all(&[0; 4][..padding])?;
    initrd.write_all(archive)?;
    initrd.rewind()
}

/// The command line of the image: nothing of this kernel's but its terminals.
fn command_line(running: &str) -> String {
    let terminals: Vec<&str> =
        running.split_whitespace().filter(|word| word.starts_with("console=")).collect();
    let terminals = if terminals.is_empty() { TERMINALS.to_owned() } else { terminals.join(" ") };
    format!("{ARGUMENTS} {terminals}")
}

/// Mount points of FAT file systems (`proc(5)`, mountinfo).
fn fat_mounts(mountinfo: &str) -> Vec<PathBuf> {
    let mount = |line: &str| {
        let (left, right) = line.split_once(" - ")?;
        let target = left.split(' ').nth(4)?.replace("\\040", " ");
        right.starts_with("vfat ").then(|| PathBuf::from(target))
    };
    mountinfo.lines().filter_map(mount).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_image_is_told_the_terminals_and_nothing_else_of_this_system() {
        let line = "BOOT_IMAGE=/vmlinuz root=UUID=1 secret=x console=tty0 console=ttyS1,9600 quiet\n";
        assert_eq!(command_line(line), "panic=30 console=tty0 console=ttyS1,9600");
        assert_eq!(command_line(""), "panic=30 console=ttyS0,115200n8 console=tty0");
    }

    #[test]
    fn boot_entries_are_looked_for_on_fat_alone() {
        let table = "22 1 0:20 / /proc rw - proc proc rw\n30 1 8:1 / / rw - ext4 /dev/sda2 rw\n\
            31 30 8:2 / /boot/e\\040fi rw,relatime shared:1 - vfat /dev/sda1 rw\nbroken\n";
        assert_eq!(fat_mounts(table), [PathBuf::from("/boot/e fi")]);
    }

    #[test]
    fn a_further_archive_begins_on_a_multiple_of_four() {
        for length in 0..9_usize {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![1; length]).unwrap();
            append(&mut file, b"070701").unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len(), length.next_multiple_of(4) + 6);
            assert!(bytes.ends_with(b"070701"));
        }
    }
}
