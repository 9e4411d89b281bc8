//! initramfs-tools 0.142 with Debian's own settings, but for the list of modules.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::contest::Driver;
use crate::modules::Frozen;
use crate::peers::hook_line;
use crate::record::{Metric, Sample};
use crate::room::{Plan, Room};
use crate::stage::{Stage, number, read, write};

const ROOM: Plan =
    Plan { name: "initramfs-tools", packages: "initramfs-tools,zstd,kmod,busybox,linux-base,udev" };
const IMAGE: &str = "/bench/image";
const CONFIG: &str = "/bench/config";
/// Lines that every script of initramfs-tools begins with.
const PREAMBLE: &str = "#!/bin/sh\ncase \"$1\" in prereqs) exit 0;; esac\n";

/// Builds a ramdisk with mkinitramfs.
#[derive(Debug)]
pub(crate) struct InitramfsTools<'a> {
    stage: &'a Stage,
    frozen: &'a Frozen,
    room: Option<Room>,
    folder: PathBuf,
}

impl<'a> InitramfsTools<'a> {
    pub(crate) fn new(stage: &'a Stage, frozen: &'a Frozen) -> Self {
        Self { stage, frozen, room: None, folder: PathBuf::new() }
    }

    /// The image that the last run made.
    pub(crate) fn image(&self) -> Result<PathBuf> {
        Ok(self.room()?.file(IMAGE))
    }

    fn room(&self) -> Result<&Room> {
        self.room.as_ref().context("the room is not open")
    }

    /// Debian's configuration with `MODULES=list` and an empty list: what is on the list would
    /// be loaded at boot, all of it. A hook adds the modules without that.
    fn configure(&self, room: &Room) -> Result<()> {
        room.empty("/bench")?;
        let config = room.file(CONFIG);
        let etc = room.file("/etc/initramfs-tools");
        let text = String::from_utf8(read(&etc.join("initramfs.conf"))?).context("initramfs.conf")?;
        let lines = text.lines().map(|line| match line.starts_with("MODULES=") {
            true => "MODULES=list\n".to_owned(),
            false => format!("{line}\n"),
        });
        write(&config.join("initramfs.conf"), lines.collect::<String>())?;
        write(&config.join("modules"), "")?;
        let names = self.frozen.names().join(" ");
        let hook =
            format!("{PREAMBLE}. /usr/share/initramfs-tools/hook-functions\nmanual_add_modules {names}\n");
        script(&config.join("hooks/bench"), &hook)?;
        script(&config.join("scripts/init-top/bench"), &format!("{PREAMBLE}{}", hook_line()))
    }
}

fn script(path: &Path, text: &str) -> Result<()> {
    write(path, text)?;
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(path, mode).with_context(|| format!("cannot make {} a program", path.display()))
}

impl Driver for InitramfsTools<'_> {
    fn name(&self) -> &str {
        ROOM.name
    }

    fn available(&self) -> Result<(), String> {
        ROOM.available()
    }

    fn setup(&mut self) -> Result<()> {
        self.folder = self.stage.folder(ROOM.name)?;
        let room = ROOM.open(self.stage)?;
        self.frozen.lay_out(&room.file("/"))?;
        self.configure(&room)?;
        room.call("depmod").arg(&self.frozen.release).measured(&self.folder, "depmod")?;
        self.room = Some(room);
        Ok(())
    }

    fn version(&self) -> Result<Option<String>> {
        self.room()?.version("initramfs-tools-core", &self.folder).map(Some)
    }

    fn run(&mut self) -> Result<Sample> {
        let room = self.room()?;
        let call = room.call("mkinitramfs").args(["-d", CONFIG, "-o", IMAGE, &self.frozen.release]);
        let mut sample = call.measured(&self.folder, "mkinitramfs")?;
        self.frozen.check(&room.call("lsinitramfs").arg(IMAGE).output(&self.folder, "lsinitramfs")?)?;
        let image = room.file(IMAGE);
        let size = image.metadata().with_context(|| format!("cannot read {}", image.display()))?.len();
        sample.insert(Metric::Initrd, number(size));
        Ok(sample)
    }
}
