//! Rooms for peers: Debian systems in a folder, made by mmdebstrap from Debian's packages alone.
//!
//! initramfs-tools and dracut exclude each other, and none of them should see this computer's
//! own configuration; so each gets a room. Rooms are kept in the cache and made anew when their
//! list of packages changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::unistd::Uid;

use crate::measure::{Call, has_program};
use crate::stage::{Stage, write};

const SUITE: &str = "bookworm";
/// Where a room has its programs.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest way to a room: a hundred packages over a slow line.
const MADE_WITHIN: Duration = Duration::from_secs(1_800);
/// Lies in every finished room and says what it was made of.
const STAMP: &str = ".bench-packages";

/// A room to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Its folder's name.
    pub(crate) name: &'static str,
    /// Packages, by comma.
    pub(crate) packages: &'static str,
}

/// A Debian system in a folder.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    path: PathBuf,
}

impl Plan {
    /// Why there can be no rooms here.
    pub(crate) fn available(self) -> Result<(), String> {
        if !has_program("mmdebstrap") {
            return Err("mmdebstrap is missing: run `make bench`, which installs it".to_owned());
        }
        if !Uid::effective().is_root() {
            return Err("rooms for peers need root (chroot)".to_owned());
        }
        Ok(())
    }

    /// The room, made unless it is there.
    pub(crate) fn open(self, stage: &Stage) -> Result<Room> {
        let path = stage.cache.join("rooms").join(self.name);
        let stamp = format!("{SUITE} {}\n", self.packages);
        if fs::read_to_string(path.join(STAMP)).is_ok_and(|known| known == stamp) {
            return Ok(Room { path });
        }
        stage.tell(&format!("  making a room for {}", self.name))?;
        let new = path.with_extension("new");
        for old in [&path, &new] {
            if old.exists() {
                fs::remove_dir_all(old).with_context(|| format!("cannot remove {}", old.display()))?;
            }
        }
        let rooms = path.parent().context("rooms have a folder")?;
        fs::create_dir_all(rooms).with_context(|| format!("cannot make {}", rooms.display()))?;
        let packages = format!("--include={}", self.packages);
        let call = Call::new("mmdebstrap").args(["--variant=minbase", &packages, SUITE]).arg(&new);
        call.within(MADE_WITHIN).measured(&stage.folder(&format!("room-{}", self.name))?, "mmdebstrap")?;
        write(&new.join(STAMP), stamp)?;
        fs::rename(&new, &path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Room { path })
    }
}

impl Room {
    /// A file of the room, by its absolute path inside.
    pub(crate) fn file(&self, inside: &str) -> PathBuf {
        self.path.join(inside.trim_start_matches('/'))
    }

    /// A program of the room.
    pub(crate) fn call(&self, program: &str) -> Call {
        Call::new("chroot").arg(&self.path).arg(program).env("PATH", PATH)
    }

    /// An empty folder of the room, by its absolute path inside.
    pub(crate) fn empty(&self, inside: &str) -> Result<PathBuf> {
        let path = self.file(inside);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot empty {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Version of an installed package.
    pub(crate) fn version(&self, package: &str, folder: &Path) -> Result<String> {
        let call = self.call("dpkg-query").args(["--show", "--showformat=${Version}", package]);
        Ok(call.output(folder, "version")?.trim().to_owned())
    }
}
